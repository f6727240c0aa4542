"""One process at a time for each picture: a claim that ends with its process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guidedstyle.errors import GuidedStyleError
from guidedstyle.files import passing, telling
from guidedstyle.places import name_claim


@contextmanager
def claiming(output: Path) -> Iterator[None]:
    """Claim a picture for this process; raises GuidedStyleError where another one writes it.

    Where the system or the disk knows no such locks, files are still whole, of the last that wrote them.
    """
    if sys.platform == "win32":
        yield
        return
    file = name_claim(output)
    handle = _open(file)
    try:
        while not _lock(handle, file, output):
            os.close(handle)
            handle = _open(file)
        with passing(file):
            with suppress(OSError):  # who it is, as far as the disk has room
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            yield
    finally:
        os.close(handle)


def _open(file: Path) -> int:
    with telling(file.parent, "nothing can be written here"):
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)  # a link may lead to somebody's file


def _lock(handle: int, file: Path, output: Path) -> bool:
    """Lock a file; False: whoever had it has removed it since."""
    import fcntl  # Windows has none

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        rule = f"another process writes it: {os.read(handle, 20).decode(errors='replace') or 'unknown'}"
        remedy = "wait until it is through, or stop it, or give this picture another name (-o)"
        raise GuidedStyleError.of(output, rule, remedy) from None
    except OSError:  # this disk knows no locks
        return True
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), file.stat())
    return False
