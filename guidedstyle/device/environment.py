"""The environment of a render: device names, limits, threads, package versions. Without torch."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
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
_LINE = re.compile(r"^(.*?)\s*: (.*)$", re.MULTILINE)
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
SPIN_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # environment variables that say how long OpenMP's threads spin
SPIN_COUNT, BUSY_SPIN_COUNT = 1000, 100  # the best, measured, on an idle machine and beside busy processes
SAMPLES, PAUSE = 5, 0.002  # of the number of running threads, and seconds between two
LOAD, PROCESSORS = Path("/proc/loadavg"), Path("/proc/cpuinfo")
PACKAGES = ("guidedstyle", "torch", "torchvision", "numpy", "pillow", "opencv-python-headless")  # can change an image


def limit_spinning() -> None:
    """Limit how long OpenMP's threads spin while they wait for each other, so that other processes get the cores.

    Where others are busy, threads sleep almost at once: one that spins uses up its share of a core, and the others then
    wait for it. OpenMP reads its environment once, when torch is loaded: after that, this does nothing. A user's
    setting is kept.
    """
    if "torch" not in sys.modules and not find_spinning():
        _Start.busy = is_busy()
        os.environ[SPIN_VARIABLES[0]] = str(BUSY_SPIN_COUNT if _Start.busy else SPIN_COUNT)


class _Start:
    """What was found when the package was imported."""

    busy = False


def is_busy() -> bool:
    """Whether other processes keep so many cores busy that the threads of a render do not get one each.

    Known on Linux only, and for the whole machine, also in a container: False elsewhere. torch starts a thread for each
    physical core that it may use.
    """
    try:
        running = [_count_running()]
        for _ in range(SAMPLES - 1):
            time.sleep(PAUSE)
            running.append(_count_running())
        threads = min(_count_cores(), len(os.sched_getaffinity(0)))
        return sorted(running)[SAMPLES // 2] > (os.cpu_count() or 1) - threads
    except (OSError, ValueError, IndexError, AttributeError):
        return False


def _count_running() -> int:
    """Count the threads that run or wait for a core, besides this one."""
    return int(LOAD.read_text().split()[3].partition("/")[0]) - 1


def _count_cores() -> int:
    """Count the physical cores; where the system does not tell, the logical ones."""
    blocks = [dict(_LINE.findall(block)) for block in PROCESSORS.read_text(errors="replace").split("\n\n")]
    cores = {(one["physical id"], one["core id"]) for one in blocks if {"physical id", "core id"} <= one.keys()}
    return len(cores) or os.cpu_count() or 1


def find_spinning() -> dict[str, str]:
    """Return the environment variables that limit how long OpenMP's threads spin; empty if there are none."""
    return {name: os.environ[name] for name in SPIN_VARIABLES if name in os.environ}


def write_spinning() -> str:
    """Write the variables that limit how long OpenMP's threads spin; empty where nothing does."""
    return ", ".join(f"{name}={value}" for name, value in find_spinning().items())


def describe_spinning() -> str:
    """Write them, and why the number is small where other processes were busy at the start."""
    busy = f" (other processes kept the cores busy; {SPIN_COUNT} on an idle machine)"
    return write_spinning() + busy if _Start.busy else write_spinning()


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
