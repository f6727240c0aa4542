"""Examine packages, extras, folders, threads and the terminal. Imports torch only to test it."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Literal

from rich.console import Console

from guidedstyle.device.environment import PACKAGES, SPIN_COUNT, SPINNING, find_spinning

MODULES = {"pillow": "PIL", "opencv-python-headless": "cv2"}  # packages whose modules have other names


DEVELOPER_EXTRAS = {"test", "dev", "audit"}


Mark = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one examination: `missing` means not needed by every render; a `problem` has a remedy.

    `prevents`: nothing can be rendered until it is solved.
    """

    mark: Mark
    what: str
    found: str
    remedy: str = ""
    prevents: bool = False


def examine_packages() -> Iterator[Finding]:
    """Examine the system, Python, and the packages that images are computed with."""
    yield Finding("ok", "platform", platform.platform())
    yield Finding("ok", "python", platform.python_version())
    yield from map(_examine_package, PACKAGES)


def _examine_package(package: str) -> Finding:
    """Look up the version of a package, and import it: only this reveals a broken installation."""
    try:
        found = version(package)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(MODULES.get(package, package))
        return Finding("ok", package, found)
    except PackageNotFoundError:
        return Finding("problem", package, "is not installed", f"pip install {package}", True)
    except Exception as error:  # a broken installation can raise anything
        said = " ".join(str(error).split())
        remedy = f"install it again: pip install --force-reinstall {package}"
        return Finding("problem", package, f"cannot be imported: {said}", remedy, True)


def examine_folder(what: str, folder: Path, remedy: str) -> Finding:
    """Examine whether a file can be written in a folder, or in the nearest parent that exists."""
    try:
        absolute = folder.absolute()
        nearest = next(path for path in (absolute, *absolute.parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free / 2**30
        return Finding("ok", what, f"{absolute}, {free:.1f} GiB free")
    except OSError as error:
        return Finding("problem", what, f"{folder} cannot be written: {error.strerror}", remedy)


def examine_extras() -> Iterator[Finding]:
    """Examine which packages of each extra are installed."""
    about = metadata("guidedstyle")
    for extra in about.get_all("Provides-Extra") or ():
        if extra in DEVELOPER_EXTRAS:
            continue
        needed = [line for line in about.get_all("Requires-Dist") or () if re.search(rf"extra == .{extra}.", line)]
        names = [re.split(r"[^\w.-]", line)[0] for line in needed]
        if absent := [name for name in names if not _is_installed(name)]:
            yield Finding("missing", f"extra {extra}", f"pip install {' '.join(absent)}")
        else:
            yield Finding("ok", f"extra {extra}", ", ".join(f"{name} {version(name)}" for name in names))


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def examine_threads() -> Finding:
    """Report whether OpenMP's threads leave the cores to other processes while they wait for each other."""
    if found := find_spinning():
        return Finding("ok", "threads", ", ".join(f"{name}={value}" for name, value in found.items()))
    why = "torch was loaded before guidedstyle: waiting threads spin, which is slow beside other busy processes"
    return Finding("missing", "threads", why, f"set {SPINNING[0]}={SPIN_COUNT} before Python starts")


def examine_terminal() -> Finding:
    """Report how progress is shown here."""
    shown = "a bar" if Console(stderr=True).is_terminal else "lines, as this is not a terminal"
    return Finding("ok", "progress", shown)
