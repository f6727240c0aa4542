"""Files that are written whole or not at all."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guidedstyle.errors import GuidedStyleError

PART = ".part"  # what the name of a file ends in while it is written


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises GuidedStyleError where it cannot be written."""
    with replacing(file) as part:
        part.write_bytes(content)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Lend a file to write to, which then takes the place of `file`, even if the power goes in between.

    Raises GuidedStyleError where it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(PART, f".{file.name}.{os.getpid()}.", file.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            _flush(part)
            part.chmod(0o666 & ~_umask())
            part.replace(file)
        except BaseException:
            part.unlink()
            raise
    except OSError as error:
        raise GuidedStyleError.of(
            file, f"it cannot be written: {error.strerror}", "choose another place, or make room"
        ) from error


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_folder(folder: Path) -> None:
    """Raise GuidedStyleError where nothing can be written in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise GuidedStyleError.of(
            folder, f"nothing can be written here: {error.strerror}", "choose another place"
        ) from error


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
