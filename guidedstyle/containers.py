"""What memory the limits of containers and batch jobs leave: Linux's control groups, of both versions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


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
