"""The environment of a render: device names, limits, threads, package versions. Without torch."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from typing import Literal

from guidedstyle.errors import GuidedStyleError

Words = Literal["auto", "off"]
WORDS: dict[str, Words] = {"auto": "auto", "off": "off"}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
LEAST_TILE, MOST_TILE = 64, 8192  # px
SPINNING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # environment variables: how long OpenMP's threads spin
SPIN_COUNT = 1000


def limit_spinning() -> None:
    """Limit how long OpenMP's threads spin while they wait for each other, so that other processes get the cores.

    OpenMP reads its environment once, when torch is loaded: nothing is set after that, nor where the user has chosen.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in SPINNING):
        os.environ[SPINNING[0]] = str(SPIN_COUNT)


def find_spinning() -> dict[str, str]:
    """Find the environment variables that limit how long OpenMP's threads spin; empty: nothing does."""
    return {name: os.environ[name] for name in SPINNING if name in os.environ}


@dataclass(frozen=True)
class Limits:
    """Tiles of so many px, `off`, or `auto` where memory does not suffice; bytes of memory, or all that are free."""

    tile: int | Words = "auto"
    memory: int | None = None


def read_limits(tile: str, memory: float | str | None) -> Limits:
    """Read --tile and --max-memory (GiB); raises GuidedStyleError where they are no limits."""
    return Limits(_read_tile(tile), None if memory is None else _read_memory(memory))


def _read_memory(memory: float | str) -> int:
    try:
        if isfinite(float(memory)) and float(memory) > 0:
            return round(float(memory) * 2**30)
    except (ValueError, OverflowError):
        pass
    raise GuidedStyleError.of("--max-memory", f"{memory!r} is no size of memory", "name GiB: --max-memory 4")


def check_device(name: str) -> str:
    """Return the name of a device; raises GuidedStyleError where none is called so anywhere."""
    if not DEVICE.fullmatch(name):
        remedy = "use auto, cpu, or a GPU that is there: cuda, cuda:1, mps"
        raise GuidedStyleError.of("--device", f"{name!r} is no device that can be used here", remedy)
    return name


def _read_tile(tile: str) -> int | Words:
    if tile in WORDS:
        return WORDS[tile]
    if tile.isascii() and tile.isdigit() and LEAST_TILE <= int(tile) <= MOST_TILE:
        return int(tile)
    rule = f"{tile!r} is neither auto, off, nor a number from {LEAST_TILE} to {MOST_TILE}"
    raise GuidedStyleError.of("--tile", rule, "leave it out, or choose a number of px: --tile 512")


PACKAGES = ("guidedstyle", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless")


def list_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that can change an image."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
