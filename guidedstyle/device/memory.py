"""The memory of this machine: what is free, cgroup limits, peaks, the allocator."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of malloc.h
LARGE = 32 * 2**20  # bytes, the most that glibc takes for M_MMAP_THRESHOLD


def keep_freed_memory(large_too: bool = True) -> None:
    """Tell the C library to keep freed memory for the next step instead of returning it to the system.

    A step frees and takes hundreds of megabytes; fresh pages cost more time than many a layer. Where memory is short
    and images are large, `large_too` False returns what is large: its holes would fit nothing else. Other C
    libraries than glibc have no such switch and need none.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.malloc_trim(0)
        library.mallopt(M_MMAP_MAX, 0 if large_too else 2**16)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1 if large_too else LARGE)


class _Version(NamedTuple):
    kind: str  # what its groups are of, as Linux writes it down; "": of all
    limits: tuple[str, ...]
    taken: str
    idle: str  # within memory.stat: what was read from files, and is dropped first


VERSIONS = {
    "cgroup": _Version("memory", ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    "cgroup2": _Version("", ("memory.max", "memory.high"), "memory.current", "inactive_file"),
}
UNLIMITED = 2**62  # bytes; version 1 writes about twice as many for no limit


def read_left(root: Path = Path("/")) -> Iterator[int]:
    """Read the bytes that each limit on this process leaves; none where there is no limit, or no Linux."""
    try:
        groups, mounts = (_read_lines(root / "proc/self" / name) for name in ("cgroup", "mountinfo"))
    except OSError:
        return
    paths = {kind: path for _, kinds, path in (line.split(":", 2) for line in groups) for kind in kinds.split(",")}
    for mount in mounts:
        place, _, system = mount.partition(" - ")
        (top, folder), (name, _, options) = place.split()[3:5], system.split(" ", 2)
        version = VERSIONS.get(name)
        if version and version.kind in paths and version.kind in ("", *options.split(",")):
            yield from _climb(root / folder.lstrip("/"), paths[version.kind].removeprefix(top), version)


def _read_lines(file: Path) -> list[str]:
    """Read lines, which only a line feed ends: names may hold all the rest."""
    return [line for line in os.fsdecode(file.read_bytes()).split("\n") if line]


def _climb(base: Path, path: str, version: _Version) -> Iterator[int]:
    """Read what is left in a group and in all above it that are mounted at `base`."""
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts), -1, -1) if ".." not in parts else ():  # what is elsewhere is not to be seen
        group = base.joinpath(*parts[:depth])
        for limit in version.limits:
            most = _read_number(group / limit)
            if most is not None and most < UNLIMITED:
                yield max(0, most - max(0, (_read_number(group / version.taken) or 0) - _read_idle(group, version)))


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # there is no limit here, or it says "max"
        return None


def _read_idle(group: Path, version: _Version) -> int:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.split()[:1] == [version.idle])
    except (OSError, ValueError):  # not told: then all counts as taken
        return 0


def measure_memory(device: torch.device) -> int:
    """Measure the bytes of memory that are free on a device; a large number where it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = [_read_available(), *read_left()]
    return min((one for one in free if one is not None), default=sys.maxsize)


def _read_available() -> int | None:
    """Read what Linux could still give away; other systems say how much they have in all."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return _count_pages()


def _count_pages() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def measure_peak(device: torch.device) -> int:
    """Measure the most bytes of memory that this process has taken so far; 0 where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def free_memory(device: torch.device) -> None:
    """Give back what a failed attempt left behind."""
    gc.collect()
    keep_freed_memory(large_too=False)
    if device.type == "cuda":
        torch.cuda.empty_cache()
