"""The environment of a render: device names, limits, package versions. Without torch."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Literal

from guidedstyle.errors import GuidedStyleError

TileWord = Literal["auto", "off"]
TILE_WORDS: dict[str, TileWord] = {"auto": "auto", "off": "off"}
SMALLEST_TILE, LARGEST_TILE = 64, 8192  # px
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
PACKAGES = ("guidedstyle", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless")  # can change an image


@dataclass(frozen=True)
class Limits:
    """Limits of a render."""

    tile: int | TileWord = "auto"  # px of a tile's side; auto: tiles only where memory is too small for the whole image
    memory: int | None = None  # bytes; None: all that is free


def read_limits(tile: str, memory: float | str | None) -> Limits:
    """Read --tile and --max-memory (GiB); raises GuidedStyleError if one of them is not valid."""
    return Limits(_read_tile(tile), None if memory is None else _read_memory(memory))


def _read_memory(memory: float | str) -> int:
    try:
        if isfinite(float(memory)) and float(memory) > 0:
            return round(float(memory) * 2**30)
    except (ValueError, OverflowError):
        pass
    raise GuidedStyleError.of("--max-memory", f"{memory!r} is not an amount of memory", "give GiB: --max-memory 4")


def check_device(name: str) -> str:
    """Return the name of a device; raises GuidedStyleError if it names no device of any machine.

    A tensor's own device may be mps:0: it is the only one.
    """
    name = name.removesuffix(":0") if name in ("cpu:0", "mps:0") else name
    if not DEVICE.fullmatch(name):
        raise refuse_device(name)
    return name


def refuse_device(name: str) -> GuidedStyleError:
    """Make the error for a device that cannot be used on this machine."""
    hint = "use auto, cpu, or a GPU of this machine: cuda, cuda:1, mps"
    return GuidedStyleError.of("--device", f"{name!r} is not a device of this machine", hint)


def _read_tile(tile: str) -> int | TileWord:
    if tile in TILE_WORDS:
        return TILE_WORDS[tile]
    if tile.isascii() and tile.isdigit() and SMALLEST_TILE <= int(tile) <= LARGEST_TILE:
        return int(tile)
    rule = f"{tile!r} is neither auto, off, nor a number from {SMALLEST_TILE} to {LARGEST_TILE}"
    raise GuidedStyleError.of("--tile", rule, "leave it out, or give px: --tile 512")


@cache
def name_processor() -> str:
    """Name the model of the processor, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def list_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that can change an image."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
