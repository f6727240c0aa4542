"""The memory of this machine: free bytes, control group limits, peaks, the allocator."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of malloc.h
LARGE = 32 * 2**20  # bytes: the largest value that glibc accepts for M_MMAP_THRESHOLD


def keep_freed_memory(*, large_blocks: bool = True) -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    A step frees and allocates hundreds of megabytes, and fresh pages cost more time than many layers. Where memory
    is short and images are large, `large_blocks` False returns large blocks: the gaps they leave would not fit
    other blocks. Other C libraries have no such setting and need none.
    """
    trim_memory()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0 if large_blocks else 2**16)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1 if large_blocks else LARGE)


def trim_memory() -> None:
    """Return freed memory to the system: what one size left in small pieces is no use to the next one."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


class _Version(NamedTuple):
    """The file names of a version of control groups."""

    controller: str  # as /proc/self/cgroup names it; "" in version 2, which has one hierarchy for all
    limits: tuple[str, ...]
    usage: str
    inactive: str  # key of memory.stat: cached file pages, which the kernel drops first


VERSIONS = {
    "cgroup": _Version("memory", ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    "cgroup2": _Version("", ("memory.max", "memory.high"), "memory.current", "inactive_file"),
}
UNLIMITED = 2**62  # bytes; version 1 writes about twice as many where there is no limit


def read_cgroup_headroom(root: Path = Path("/")) -> Iterator[int]:
    """Read the free bytes under each control group limit of this process; none without limits, or without Linux."""
    try:
        groups, mounts = (_read_lines(root / "proc/self" / name) for name in ("cgroup", "mountinfo"))
    except OSError:
        return
    paths = {name: path for _, names, path in (line.split(":", 2) for line in groups) for name in names.split(",")}
    for mount in mounts:
        fields, _, system = mount.partition(" - ")
        (top, folder), (kind, _, options) = fields.split()[3:5], system.split(" ", 2)
        version = VERSIONS.get(kind)
        if version and version.controller in paths and version.controller in ("", *options.split(",")):
            path = paths[version.controller].removeprefix(top)
            yield from _read_groups(root / folder.lstrip("/"), path, version)


def _read_lines(file: Path) -> list[str]:
    """Read lines separated by line feeds only: names may contain any other separator."""
    return [line for line in os.fsdecode(file.read_bytes()).split("\n") if line]


def _read_groups(base: Path, path: str, version: _Version) -> Iterator[int]:
    """Read the free bytes of a group and of its parents, as far as they are mounted at `base`."""
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts), -1, -1) if ".." not in parts else ():  # a group outside the mount is not visible
        group = base.joinpath(*parts[:depth])
        for name in version.limits:
            limit = _read_number(group / name)
            if limit is not None and limit < UNLIMITED:
                used = (_read_number(group / version.usage) or 0) - _read_inactive(group, version)
                yield max(0, limit - max(0, used))


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # there is no limit here, or it is "max"
        return None


def _read_inactive(group: Path, version: _Version) -> int:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.split()[:1] == [version.inactive])
    except (OSError, ValueError):  # unknown: all memory counts as used
        return 0


def measure_memory(device: torch.device) -> int:
    """Measure the free bytes of memory of a device; sys.maxsize where the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = list(read_cgroup_headroom())
    with suppress(OSError):  # /proc may be hidden
        free.append(psutil.virtual_memory().available)
    return min(free, default=sys.maxsize)


def measure_peak(device: torch.device) -> int:
    """Measure the most bytes of memory that this process has used so far; 0 where the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()  # psutil has no peak on Linux
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))  # Windows


def free_memory(device: torch.device) -> None:
    """Release the memory that a failed attempt used."""
    gc.collect()
    keep_freed_memory(large_blocks=False)
    if device.type == "cuda":
        torch.cuda.empty_cache()
