"""Write files atomically, lock outputs, check folders."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EFBIG, EINVAL
from pathlib import Path
from stat import S_ISREG

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.paths import name_lock

MOST_BYTES = 2**24  # of a record
PART = ".part"  # what the name of a file ends in while it is written
TEMPORARY = set[Path]()  # what must not outlive this process


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises GuidedStyleError where it cannot be written."""
    with atomic_write(file) as part:
        part.write_bytes(content)


def read_small_file(file: Path, most: int) -> bytes:
    """Read a file that ought to be small; raises OSError where it is no plain file, or of more than `most` bytes."""
    status = file.stat()
    if not S_ISREG(status.st_mode):  # a pipe is waited for
        raise OSError(EINVAL, "it is no plain file", str(file))
    if status.st_size > most:
        raise OSError(EFBIG, f"{status.st_size:,} bytes are too many", str(file))
    return file.read_bytes()


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Lend a file to write to, which then takes the place of `file`, even if the power goes in between.

    Raises GuidedStyleError where it cannot be written.
    """
    with explaining_errors(file, "it cannot be written"):
        handle, name = tempfile.mkstemp(PART, f".{file.name}.{os.getpid()}.", file.parent)
        os.close(handle)
        with temporary_file(Path(name)) as part:
            yield part
            _flush(part)
            part.chmod(0o666 & ~_umask())
            part.replace(file)


@contextmanager
def temporary_file(file: Path) -> Iterator[Path]:
    """Remove a file in the end, unless it has moved, and also where the process breaks off."""
    TEMPORARY.add(file)
    try:
        yield file
    finally:
        with suppress(OSError):  # the disk can only be read by now
            file.unlink(missing_ok=True)
        TEMPORARY.discard(file)


def remove_temporary_files() -> None:
    """Remove what must not outlive this process, before it breaks off."""
    for file in tuple(TEMPORARY):
        with suppress(OSError):
            file.unlink(missing_ok=True)


@contextmanager
def explaining_errors(place: Path, rule: str) -> Iterator[None]:
    """Turn what the system says of a place that cannot be written into a GuidedStyleError."""
    try:
        yield
    except OSError as error:
        raise GuidedStyleError.of(place, f"{rule}: {error.strerror}", "choose another place, or make room") from error


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(folder: Path) -> None:
    """Raise GuidedStyleError where nothing can be written in a folder."""
    with (
        explaining_errors(folder, "nothing can be written here"),
        tempfile.TemporaryFile(dir=folder, buffering=0) as file,
    ):
        file.write(b"a letter")  # a full disk may still take a name


def remove_leftovers(file: Path) -> None:
    """Remove what programs left that were killed while they wrote `file`."""
    for part in file.parent.glob(f".{glob.escape(file.name)}.*{PART}"):
        process = part.name.removeprefix(f".{file.name}.").split(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            part.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # there a signal 0 is not harmless
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Claim an image for this process; raises GuidedStyleError where another one writes it.

    Where the system or the disk knows no such locks, files are still whole, of the last that wrote them.
    """
    if sys.platform == "win32":
        yield
        return
    file = name_lock(output)
    handle = _open(file)
    try:
        while not _lock(handle, file, output):
            os.close(handle)
            handle = _open(file)
        with temporary_file(file):
            with suppress(OSError):  # who it is, as far as the disk has room
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            yield
    finally:
        os.close(handle)


def _open(file: Path) -> int:
    with explaining_errors(file.parent, "nothing can be written here"):
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)  # a link may lead to somebody's file


def _lock(handle: int, file: Path, output: Path) -> bool:
    """Lock a file; False: whoever had it has removed it since."""
    import fcntl  # Windows has none

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        rule = f"another process writes it: {os.read(handle, 20).decode(errors='replace') or 'unknown'}"
        remedy = "wait until it is through, or stop it, or give this image another name (-o)"
        raise GuidedStyleError.of(output, rule, remedy) from None
    except OSError:  # this disk knows no locks
        return True
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), file.stat())
    return False


def check_folder_path(folder: Path, place: str) -> None:
    """Raise GuidedStyleError where a folder cannot be made since a file is in its place, or above it."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir():
        raise GuidedStyleError.of(place, f"{folder} cannot be made a folder: {there} is a file", "name another place")


def make_folder(folder: Path, place: str = "--out") -> None:
    """Make a folder to write into; raises GuidedStyleError where that cannot be."""
    check_folder_path(folder, place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuidedStyleError.of(place, f"{folder} cannot be made a folder", "name another place") from error
