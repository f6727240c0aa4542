"""What memory the limits of containers and batch jobs leave: Linux's control groups, of both versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class _Version(NamedTuple):
    folder: str
    most: str
    taken: str
    idle: str  # within memory.stat: what was read from files, and is dropped first


FIRST = _Version("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
SECOND = _Version("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def read_left(root: Path = Path("/")) -> Iterator[int]:
    """Read the bytes that each limit on this process leaves; none where there is no limit, or no Linux."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for kinds, path in (line.split(":", 2)[1:] for line in lines):
        if not kinds or "memory" in kinds.split(","):
            version = FIRST if kinds else SECOND
            yield from _climb(root / version.folder, path.lstrip("/"), version)


def _climb(base: Path, path: str, version: _Version) -> Iterator[int]:
    """Read what is left in a group and in all above it; in a container, whose `path` may be the host's, in its own."""
    for group in (base / path, *(base / path).parents):
        if not group.is_relative_to(base):
            return
        try:
            most, taken = (int((group / name).read_text(encoding="ascii")) for name in (version.most, version.taken))
            yield most - taken + _read_idle(group, version)
        except (OSError, ValueError):  # no limit here
            continue


def _read_idle(group: Path, version: _Version) -> int:
    lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == version.idle)
