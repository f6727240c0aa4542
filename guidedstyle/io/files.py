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
TEMPORARY_SUFFIX = ".part"
TEMPORARY = set[Path]()  # files to delete before this process exits


def write_file(file: Path, content: bytes) -> None:
    """Write a file atomically; raises GuidedStyleError if it cannot be written."""
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)


def read_small_file(file: Path, most: int) -> bytes:
    """Read a file that should be small; raises OSError if it is not a regular file or larger than `most` bytes."""
    status = file.stat()
    if not S_ISREG(status.st_mode):  # reading a pipe would block
        raise OSError(EINVAL, "it is not a regular file", str(file))
    if status.st_size > most:
        raise OSError(EFBIG, f"{status.st_size:,} bytes are too many", str(file))
    return file.read_bytes()


@contextmanager
def atomic_write(file: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `file` at the end; after a crash or a power cut `file` is old or new, whole.

    Raises GuidedStyleError if it cannot be written.
    """
    with explaining_errors(file, "it cannot be written"):
        handle, name = tempfile.mkstemp(TEMPORARY_SUFFIX, f".{file.name}.{os.getpid()}.", file.parent)
        os.close(handle)
        with deleting(Path(name)) as temporary:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o666 & ~_read_umask())
            temporary.replace(file)


@contextmanager
def deleting(file: Path) -> Iterator[Path]:
    """Delete a file at the end, also if the process exits at once."""
    TEMPORARY.add(file)
    try:
        yield file
    finally:
        with suppress(OSError):  # the disk may have become read-only
            file.unlink(missing_ok=True)
        TEMPORARY.discard(file)


def delete_temporary_files() -> None:
    """Delete this process's temporary files and locks, before it exits at once."""
    for file in tuple(TEMPORARY):
        with suppress(OSError):
            file.unlink(missing_ok=True)


@contextmanager
def explaining_errors(place: Path, rule: str) -> Iterator[None]:
    """Turn an OSError on writing to `place` into a GuidedStyleError."""
    try:
        yield
    except OSError as error:
        remedy = "choose another folder, or free disk space"
        raise GuidedStyleError.of(place, f"{rule}: {error.strerror}", remedy) from error


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(folder: Path) -> None:
    """Raise GuidedStyleError if no file can be written in a folder."""
    with (
        explaining_errors(folder, "nothing can be written here"),
        tempfile.TemporaryFile(dir=folder, buffering=0) as file,
    ):
        file.write(b"test")  # on a full disk an empty file may still be created


def delete_leftovers(file: Path) -> None:
    """Delete the temporary files of processes that were killed while they wrote `file`."""
    for temporary in file.parent.glob(f".{glob.escape(file.name)}.*{TEMPORARY_SUFFIX}"):
        process = temporary.name.removeprefix(f".{file.name}.").split(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            temporary.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    import psutil  # slow to import, and not needed to start

    try:
        return psutil.pid_exists(process)
    except OverflowError:  # no process has this number: the file is not ours
        return True


@contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Lock an output for this process; raises GuidedStyleError if another process has locked it.

    The lock ends with the process, however it ends. On Windows, and on disks without locks, there is none: files are
    still written atomically, and the last process to write one wins.
    """
    if sys.platform == "win32":
        yield
        return
    file = name_lock(output)
    handle = _open_lock(file)
    try:
        while not _try_lock(handle, file, output):
            os.close(handle)
            handle = _open_lock(file)
        with deleting(file):
            with suppress(OSError):  # the process number is only for the message; the disk may be full
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            yield
    finally:
        os.close(handle)


def _open_lock(file: Path) -> int:
    with explaining_errors(file.parent, "nothing can be written here"):
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)  # a link could point to any file


def _try_lock(handle: int, file: Path, output: Path) -> bool:
    """Lock an open file; False: another process has deleted it since it was opened."""
    import fcntl  # not on Windows

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.read(handle, 20).decode(errors="replace") or "unknown"
        remedy = "wait until it has finished, or stop it, or choose another output (-o)"
        raise GuidedStyleError.of(output, f"another process writes it: {process}", remedy) from None
    except OSError:  # this disk has no locks
        return True
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), file.stat())
    return False


def check_folder_path(folder: Path, place: str) -> None:
    """Raise GuidedStyleError if a folder cannot be created because it, or one of its parents, is a file."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        rule = f"{folder} cannot be created: {existing} is a file"
        raise GuidedStyleError.of(place, rule, "choose another folder")


def make_folder(folder: Path, place: str = "--out") -> None:
    """Create a folder and its parents; raises GuidedStyleError if that fails."""
    check_folder_path(folder, place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuidedStyleError.of(place, f"{folder} cannot be created", "choose another folder") from error
