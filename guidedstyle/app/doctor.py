"""Examine this machine: packages, devices, weights, folders."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from math import isfinite
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from safetensors import SafetensorError

from guidedstyle.device.limits import SPIN_COUNT, SPINNING, find_spinning
from guidedstyle.device.memory import measure_memory
from guidedstyle.device.precision import compare_precisions, decide_precision, name_precision
from guidedstyle.encoders.weights import find_vgg19, load_lite
from guidedstyle.engine.cache import FOLDER, find_cache
from guidedstyle.engine.plan import RUNTIME, choose_device
from guidedstyle.errors import GuidedStyleError
from guidedstyle.results.result import PACKAGES

MODULES = {"pillow": "PIL", "opencv-python-headless": "cv2"}  # packages whose modules are called otherwise
EXTRAS_OF_DEVELOPERS = {"test", "dev", "audit"}

Mark = Literal["ok", "missing", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `missing` is not needed by every render, a `problem` is to be mended by its remedy.

    `prevents` tells that nothing can be rendered before.
    """

    mark: Mark
    what: str
    found: str
    remedy: str = ""
    prevents: bool = False


def examine_packages() -> Iterator[Finding]:
    """Examine the system, Python, and the packages that pictures are computed with."""
    yield Finding("ok", "platform", platform.platform())
    yield Finding("ok", "python", platform.python_version())
    yield from map(_examine_package, PACKAGES)


def _examine_package(package: str) -> Finding:
    """Look up a package's version, and import it: a broken installation shows only then."""
    try:
        found = version(package)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(MODULES.get(package, package))
        return Finding("ok", package, found)
    except PackageNotFoundError:
        return Finding("problem", package, "is not installed", f"pip install {package}", True)
    except Exception as error:  # whatever a broken installation comes to
        said = " ".join(str(error).split())
        remedy = f"install it again: pip install --force-reinstall {package}"
        return Finding("problem", package, f"cannot be imported: {said}", remedy, True)


def examine_folder(what: str, folder: Path, remedy: str) -> Finding:
    """Look whether a file can be written in a folder, or in the nearest there is where it would be made."""
    try:
        ways = (folder.absolute(), *folder.absolute().parents)
        nearest = next(path for path in ways if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            free = shutil.disk_usage(nearest).free / 2**30
        return Finding("ok", what, f"{ways[0]}, {free:.1f} GiB free")
    except OSError as error:
        return Finding("problem", what, f"{folder} cannot be written: {error.strerror}", remedy)


def examine_extras() -> Iterator[Finding]:
    """Look which packages of each extra are installed."""
    about = metadata("guidedstyle")
    for extra in about.get_all("Provides-Extra") or ():
        if extra in EXTRAS_OF_DEVELOPERS:
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
    """Say how progress is shown here."""
    shown = "a bar" if Console(stderr=True).is_terminal else "lines, since this is no terminal"
    return Finding("ok", "progress", shown)


NEW_DRIVER = "install NVIDIA's driver, and a torch built for it: https://pytorch.org/get-started"
LONGEST_REASON = 200  # letters


def examine_devices() -> list[Finding]:
    """Examine the CPU and every GPU, or say why there is none."""
    with warnings.catch_warnings(record=True) as warned:  # of a driver that is too old, for one
        warnings.simplefilter("always")
        found = [finding for device in _list_devices() for finding in examine_device(device)]
    return [*found, *_examine_absence([str(warning.message) for warning in warned])]


def _list_devices() -> Iterator[torch.device]:
    yield torch.device("cpu")
    yield from (torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield torch.device("mps")


def _examine_absence(warned: Sequence[str]) -> Iterator[Finding]:
    """Say which kinds of GPU are not there, and whether they should be."""
    reasons = [" ".join(text.split()) for text in warned if "CUDA" in text]
    if not torch.cuda.is_available() and (reasons or shutil.which("nvidia-smi")):
        why = reasons[0] if reasons else f"torch {torch.__version__} cannot use NVIDIA's GPU"
        yield Finding("problem", "cuda", why, f"{NEW_DRIVER}; none is needed where CUDA_VISIBLE_DEVICES hides it")
    elif not torch.cuda.is_available():
        yield Finding("missing", "cuda", "no GPU of NVIDIA")
    if not torch.backends.mps.is_available():
        yield Finding("missing", "mps", "no GPU of Apple")


def examine_device(device: torch.device) -> Iterator[Finding]:
    """Describe a device, and let it compute; a problem of the one that `auto` chooses prevents renders."""
    chosen = device.type == choose_device("auto").type and not device.index
    try:
        free, precision = measure_memory(device), _examine_precision(device)
        yield Finding("ok", str(device), f"{_describe(device)}{', the default' if chosen else ''}")
        yield examine_memory(device, free, chosen)
        yield precision
    except (RuntimeError, AssertionError) as error:  # what a driver or a kernel that does not fit the GPU comes to
        said = " ".join(str(error).split())[:LONGEST_REASON]
        remedy = f"render with --device cpu, or {NEW_DRIVER}"
        yield Finding("problem", str(device), f"cannot compute: {said}", remedy, chosen)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        return f"{about.name}, {about.total_memory / 2**30:.1f} GiB"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{platform.machine()}{threads}"


def examine_memory(device: torch.device, free: int, chosen: bool) -> Finding:
    """Judge the bytes of memory that are free on a device against what the smallest render takes."""
    what = f"{device} memory"
    if free == sys.maxsize:
        return Finding("ok", what, "the system does not say how much is free")
    found = f"{free / 2**30:.1f} GiB free"
    if free > RUNTIME:
        return Finding("ok", what, found)
    remedy = "close other programs, or raise the limit of this container"
    return Finding("problem", what, f"{found}; a render takes at least {RUNTIME / 2**30:.1f}", remedy, chosen)


def _examine_precision(device: torch.device) -> Finding:
    share = compare_precisions(device)
    precision = name_precision(decide_precision(share))
    why = f"time of bfloat16 / float32: {share:.2f}" if isfinite(share) else "bfloat16 is not used there"
    return Finding("ok", f"{device} precision", f"{precision} ({why})")


def examine_weights() -> Iterator[Finding]:
    """Load the embedded network, and look whether the large one has been downloaded."""
    try:
        load_lite()
        yield Finding("ok", "encoder lite", "embedded")
    except (GuidedStyleError, OSError, SafetensorError) as error:
        remedy = "install it again: pip install --force-reinstall --no-deps guidedstyle"
        yield Finding("problem", "encoder lite", f"its embedded weights cannot be read: {error}", remedy, True)
    vgg19 = find_vgg19()
    if vgg19.is_file():
        yield Finding("ok", "encoder vgg19", str(vgg19))
    else:
        yield Finding("missing", "encoder vgg19", "not downloaded yet (550 MB, on first use)")


def examine_cache() -> Finding:
    """Look whether what is measured of paintings can be kept; without, it is measured at every render."""
    return examine_folder("cache", find_cache(), f"let {FOLDER} name a folder that can be written")


def examine_machine() -> Iterator[Finding]:
    """Examine all that renders here depend on; devices and weights only where the packages work."""
    packages = list(examine_packages())
    yield from packages
    yield examine_threads()
    if can_render(packages):
        yield from examine_devices()
        yield from examine_weights()
        yield examine_cache()
    yield examine_folder("folder", Path(), "render in another folder, or name one with -o")
    yield from examine_extras()
    yield examine_terminal()


def can_render(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing that was found keeps this machine from rendering."""
    return not any(finding.prevents for finding in findings)


def describe_findings(findings: Sequence[Finding]) -> dict[str, object]:
    """Describe findings for programs."""
    return {"can_render": can_render(findings), "findings": [asdict(finding) for finding in findings]}
