"""Examine what torch can use: devices, their memory and precision, encoder weights, the cache."""

from __future__ import annotations

import platform
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence

import torch
from safetensors import SafetensorError

from guidedstyle.app.doctor.packages import Finding, examine_folder
from guidedstyle.device.free_memory import measure_memory
from guidedstyle.device.precision import check_computes, find_choice, find_file, name_precision
from guidedstyle.encoders.architecture import Download, Embedded
from guidedstyle.encoders.registry import find_architecture, list_encoders
from guidedstyle.encoders.weights import find_download, load_by_name
from guidedstyle.engine.plan import RUNTIME, choose_device
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.paths import CACHE_VARIABLE, NO_CACHE, find_cache

NEW_DRIVER = "install NVIDIA's driver, and a torch built for it: https://pytorch.org/get-started"
MOST_SHOWN = 200  # characters of an error


def examine_devices() -> list[Finding]:
    """Examine the CPU and every GPU; report why a kind of GPU is not available."""
    with warnings.catch_warnings(record=True) as warned:  # such as: the driver is too old
        warnings.simplefilter("always")
        found = [finding for device in _list_devices() for finding in examine_device(device)]
    return [*found, *_examine_missing([str(warning.message) for warning in warned])]


def _list_devices() -> Iterator[torch.device]:
    yield torch.device("cpu")
    yield from (torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield torch.device("mps")


def _examine_missing(warned: Sequence[str]) -> Iterator[Finding]:
    """Report which kinds of GPU are not available, and whether that is a problem."""
    reasons = [" ".join(text.split()) for text in warned if "CUDA" in text]
    if not torch.cuda.is_available() and (reasons or shutil.which("nvidia-smi")):
        why = reasons[0] if reasons else f"torch {torch.__version__} cannot use NVIDIA's GPU"
        yield Finding("problem", "cuda", why, f"{NEW_DRIVER}; if CUDA_VISIBLE_DEVICES hides the GPU, do nothing")
    elif not torch.cuda.is_available():
        yield Finding("missing", "cuda", "no NVIDIA GPU")
    if not torch.backends.mps.is_available():
        yield Finding("missing", "mps", "no Apple GPU")


def examine_device(device: torch.device) -> Iterator[Finding]:
    """Describe a device and test that it computes; a problem of the device that `auto` chooses prevents renders."""
    chosen = device.type == choose_device("auto").type and not device.index
    try:
        check_computes(device)
        free = measure_memory(device)
        yield Finding("ok", str(device), f"{_describe(device)}{', the default' if chosen else ''}")
        yield examine_memory(device, free, chosen)
        yield _examine_precision(device)
    except (RuntimeError, AssertionError) as error:  # the driver, or the kernels, may not fit the GPU
        said = " ".join(str(error).split())[:MOST_SHOWN]
        remedy = f"render with --device cpu, or {NEW_DRIVER}"
        yield Finding("problem", str(device), f"cannot compute: {said}", remedy, chosen)


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        return f"{about.name}, {about.total_memory / 2**30:.1f} GiB"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{platform.machine()}{threads}"


def examine_memory(device: torch.device, free: int, chosen: bool) -> Finding:
    """Compare the free memory of a device, in bytes, with that of the smallest render."""
    what = f"{device} memory"
    if free == sys.maxsize:
        return Finding("ok", what, "the free amount is unknown")
    found = f"{free / 2**30:.1f} GiB free"
    if free > RUNTIME:
        return Finding("ok", what, found)
    remedy = "close other programs, or raise the limit of this container"
    return Finding("problem", what, f"{found}; a render takes at least {RUNTIME / 2**30:.1f}", remedy, chosen)


def _examine_precision(device: torch.device) -> Finding:
    """Report what `precision: auto` chooses, without measuring."""
    choice, override = find_choice(device), "a recipe's key precision overrides it"
    if choice is None:
        first = f"the first render with precision: auto measures and stores it in {find_file()}"
        found = f"not measured yet; {'every render measures it' if find_cache() == NO_CACHE else first}"
        return Finding("ok", f"{device} precision", found)
    stored = f", stored in {choice.file}" if choice.file else ""
    return Finding(
        "ok", f"{device} precision", f"{name_precision(choice.precision)} ({choice.reason}{stored}; {override})"
    )


def examine_weights() -> Iterator[Finding]:
    """Load the encoders that are part of the package, and find which others have been downloaded."""
    for name in list_encoders():
        match find_architecture(name).source:
            case Embedded():
                yield _examine_embedded(name)
            case Download() as source:
                file = find_download(source)
                there = bool(file and file.is_file())
                found = str(file) if there else f"not downloaded yet ({source.size}, on first use)"
                yield Finding("ok" if there else "missing", f"encoder {name}", found)


def _examine_embedded(name: str) -> Finding:
    try:
        load_by_name(name)
        return Finding("ok", f"encoder {name}", "embedded")
    except (GuidedStyleError, OSError, RuntimeError, SafetensorError) as error:
        remedy = "install it again: pip install --force-reinstall --no-deps guidedstyle"
        return Finding("problem", f"encoder {name}", f"its embedded weights cannot be read: {error}", remedy, True)


def examine_cache() -> Finding:
    """Test whether the cache can be written; without it, every render measures its style images again."""
    if find_cache() == NO_CACHE:
        why = "there is no home folder: every render measures its style images again"
        return Finding("problem", "cache", why, f"set HOME or {CACHE_VARIABLE} to a folder that can be written")
    return examine_folder("cache", find_cache(), f"set {CACHE_VARIABLE} to a folder that can be written")
