"""Examine packages, extras, folders, threads and the terminal. Imports torch only to test it."""

from __future__ import annotations

import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from rich.console import Console

from guidedstyle.device.environment import PACKAGES
from guidedstyle.device.threads import LIMITS, write_spinning

MODULES = {"pillow": "PIL", "opencv-python-headless": "cv2"}  # of packages whose modules have other names
DEVELOPER_EXTRAS = {"test", "dev", "audit"}

Mark = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Finding:
    """The state of one part of this machine."""

    mark: Mark  # missing: not every render needs it; problem: see the remedy
    what: str
    found: str
    remedy: str = ""
    prevents: bool = False  # whether nothing can be rendered until it is fixed


def examine_packages() -> Iterator[Finding]:
    """Examine the system, Python, and the packages that can change an image."""
    yield Finding("ok", "platform", platform.platform())
    yield Finding("ok", "python", platform.python_version())
    yield from map(_examine_package, PACKAGES)


def _examine_package(package: str) -> Finding:
    """Look up a package's version, and import it, which fails if its installation is broken."""
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
    """Test whether a file can be written in a folder, or, if there is no such folder, in the nearest one above it."""
    try:
        paths = (folder.absolute(), *folder.absolute().parents)
        nearest = next(path for path in paths if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free / 2**30
        return Finding("ok", what, f"{paths[0]}, {free:.1f} GiB free")
    except OSError as error:
        return Finding("problem", what, f"{folder} cannot be written: {error.strerror}", remedy)


def examine_extras() -> Iterator[Finding]:
    """Examine which packages of each extra for users are installed."""
    about = metadata("guidedstyle")
    requirements = [Requirement(line) for line in about.get_all("Requires-Dist") or ()]
    for extra in about.get_all("Provides-Extra") or ():
        if extra in DEVELOPER_EXTRAS:
            continue
        names = [one.name for one in requirements if _belongs_to(one, extra)]
        if missing := [name for name in names if not _is_installed(name)]:
            yield Finding("missing", f"extra {extra}", f"pip install {' '.join(missing)}")
        else:
            yield Finding("ok", f"extra {extra}", ", ".join(f"{name} {version(name)}" for name in names))


def _belongs_to(requirement: Requirement, extra: str) -> bool:
    """Whether only an extra needs a requirement on this machine."""
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def examine_threads() -> Finding:
    """Report whether OpenMP's threads free the cores for other processes while they wait for each other."""
    if found := write_spinning():
        return Finding("ok", "threads", found)
    why = "torch was loaded before guidedstyle: waiting threads spin, which is slow when other processes are busy"
    return Finding("missing", "threads", why, f"set GOMP_SPINCOUNT={LIMITS['GOMP_SPINCOUNT']} before Python starts")


def examine_terminal() -> Finding:
    """Report how progress is shown here."""
    shown = "a bar" if Console(stderr=True).is_terminal else "lines, since this is not a terminal"
    return Finding("ok", "progress", shown)
