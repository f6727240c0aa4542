"""Write files atomically, hash them, lock outputs, check folders."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.paths import name_lock

MOST_BYTES = 2**24  # of a record
TEMPORARY_SUFFIX = ".part"
TEMPORARY = set[Path]()  # files to delete before this process exits
LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)  # what was written is not on the disk
MOST_HASHES = 1024  # kept in memory
SETTLED = 50_000_000  # ns after a change; a second change before that may leave the times of a file as they are
ATTEMPTS = 10  # to lock a file that others delete; shares without lasting file numbers never confirm a lock


def write_file(file: Path, content: bytes) -> None:
    """Write a file atomically; raises GuidedStyleError if it cannot be written."""
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)


def read_small_file(file: Path, most: int) -> bytes:
    """Read a file that should be small; raises OSError if it is not a regular file or larger than `most` bytes."""
    status = file.stat()
    if not S_ISREG(status.st_mode):  # reading a pipe would block
        raise OSError(errno.EINVAL, "it is not a regular file", str(file))
    if status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size:,} bytes are too many", str(file))
    return file.read_bytes()


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file; it is read once, and again only after it has changed."""
    status = file.stat()
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED:
        return _hash(file)
    return _hash_once(file, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(MOST_HASHES)
def _hash_once(file: Path, status: tuple[int, ...]) -> str:
    """Hash a file; `status` changes with its content."""
    return _hash(file)


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


@contextmanager
def atomic_write(file: Path, ready: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a temporary file that replaces `file` at the end; after a crash or a power cut `file` is old or new, whole.

    `ready` is called right before that, and may raise to leave `file` as it is. On a disk that cannot flush or replace
    files it is written without that safety. Raises GuidedStyleError if it cannot be written.
    """
    with explaining_errors(file, "it cannot be written"), _making_temporary(file) as temporary:
        yield temporary
        _flush(temporary)
        ready()
        move_file(temporary, file)


@contextmanager
def _making_temporary(file: Path) -> Iterator[Path]:
    """Make an empty file next to another, with the permissions of a new file, and delete it at the end."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    with deleting(temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # here chmod may be refused
        yield temporary


def move_file(source: Path, target: Path) -> None:
    """Give a file another name, in place of any file there; raises OSError if that fails.

    Some shares cannot rename a file to a name that exists: then it is copied.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno in LOST or not source.exists() or target.is_dir():
            raise
        shutil.copyfile(source, target)
        _flush(target)
        with suppress(OSError):
            source.unlink()


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
    """Wait until a file is on the disk, where that is possible; raises OSError if it turns out to be lost."""
    try:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    except OSError as error:
        if error.errno in LOST:
            raise


def check_writable(folder: Path) -> None:
    """Raise GuidedStyleError if no file can be written in a folder."""
    with explaining_errors(folder, "nothing can be written here"), _making_temporary(folder / "test") as file:
        file.write_bytes(b"test")  # on a full disk an empty file may still be created


def find_scratch(near: Path) -> Path:
    """Find a folder for temporary files: the system's, or else `near`."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # there is none in which files can be written
        return near


def delete_leftovers(file: Path) -> None:
    """Delete the temporary files of processes that were killed while they wrote `file`."""
    for temporary in file.parent.glob(f".{glob.escape(file.name)}.*{TEMPORARY_SUFFIX}"):
        process = temporary.name.removeprefix(f".{file.name}.").split(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            with suppress(OSError):
                temporary.unlink()


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
    handle = _lock(file, output)
    if handle is None:
        yield
        return
    try:
        with deleting(file):
            with suppress(OSError):  # the process number is only for the message; the disk may be full
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            yield
    finally:
        os.close(handle)


def _lock(file: Path, output: Path) -> int | None:
    """Open and lock a file; None: this disk has no locks."""
    for _ in range(ATTEMPTS):
        handle = _open_lock(file)
        if handle is None or _try_lock(handle, file, output):
            return handle
        os.close(handle)
    return None


def _open_lock(file: Path) -> int | None:
    """Open the file of a lock; None: there can be none, though the folder can be written."""
    try:
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)  # a link could point to any file
    except OSError as error:
        with explaining_errors(file.parent, "nothing can be written here"):
            if error.errno in (*LOST, errno.ELOOP):
                raise
        check_writable(file.parent)
        return None


def _try_lock(handle: int, file: Path, output: Path) -> bool:
    """Lock an open file; False: another process has deleted it since it was opened.

    Raises GuidedStyleError, with the file closed, if another process has locked it.
    """
    import fcntl  # not on Windows

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.read(handle, 20).decode(errors="replace") or "unknown"
        os.close(handle)
        remedy = "wait until it has finished, or stop it, or choose another output (-o)"
        raise GuidedStyleError.of(output, f"another process writes it: {process}", remedy) from None
    except OSError:  # this disk has no locks
        return True
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), file.stat())
    return False


def find_obstacle(folder: Path) -> str | None:
    """Describe why a folder cannot be created if it, or one of its parents, is a file."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return None if existing.is_dir() else f"{folder} cannot be created: {existing} is a file"


def check_folder_path(folder: Path, place: str) -> None:
    """Raise GuidedStyleError if a folder cannot be created because it, or one of its parents, is a file."""
    if obstacle := find_obstacle(folder):
        raise GuidedStyleError.of(place, obstacle, "choose another folder")


def make_folder(folder: Path, place: str = "--out") -> None:
    """Create a folder and its parents; raises GuidedStyleError if that fails."""
    check_folder_path(folder, place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuidedStyleError.of(place, f"{folder} cannot be created", "choose another folder") from error


@contextmanager
def making_folders(files: Iterable[Path], place: str = "--output") -> Iterator[None]:
    """Create the folders of files; at the end, delete the new ones that are still empty.

    Raises GuidedStyleError if one cannot be created.
    """
    folders = list(dict.fromkeys(file.parent for file in files))
    new = [path for folder in folders for path in (folder, *folder.absolute().parents) if not path.exists()]
    try:
        for folder in folders:
            make_folder(folder, place)
        yield
    finally:
        for path in new:
            with suppress(OSError):  # it is not empty
                path.rmdir()
