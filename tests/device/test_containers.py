"""Limits of containers and batch jobs: read as Linux writes them down, and what they end can be gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.renders import OFTEN, RENDER, check_picture, end, start
from support.waiting import end_all, wait_for

from guidedstyle.device.memory import read_left

UNLIMITED = "9223372036854771712"  # of version 1
GIB = 2**30

DISK = "22 1 8:1 / / rw - ext4 /dev/root rw"
SECOND = "31 22 0:2 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
FIRST = "35 31 0:5 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
DOCKER = "35 31 0:5 /docker/01ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
OTHER = "32 31 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"
UNUSED = "41 31 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
OLD = "memory.limit_in_bytes"


class Machine:
    """Files as Linux shows them to a process: its groups, what is mounted, and limits."""

    def __init__(self, root: Path, groups: list[str], mounts: list[str]) -> None:
        self.root, self.folder = root, root / "proc/self"
        self.folder.mkdir(parents=True)
        (self.folder / "cgroup").write_text("".join(f"{line}\n" for line in groups))
        (self.folder / "mountinfo").write_text("".join(f"{line}\n" for line in [DISK, *mounts]))

    def limit(self, folder: str, most: str | int, taken: int, idle: int | None = 0, name: str = "memory.max") -> None:
        group, first = self.root / folder, name == OLD
        group.mkdir(parents=True, exist_ok=True)
        (group / name).write_text(f"{most}\n")
        (group / ("memory.usage_in_bytes" if first else "memory.current")).write_text(f"{taken}\n")
        if idle is not None:
            told = f"inactive_file {77 if first else idle}\ntotal_inactive_file {idle}\n"
            (group / "memory.stat").write_text(f"anon 7\n\n{told}active_file 9\n")

    def read(self) -> list[int]:
        return list(read_left(self.root))


def test_the_limits_of_a_group_and_of_those_above_it_count(tmp_path: Path) -> None:
    """Version 2, as systemd nests them; what was read from files can be dropped."""
    machine = Machine(tmp_path, ["0::/user.slice/job.scope"], [SECOND])
    machine.limit("sys/fs/cgroup/user.slice/job.scope", "max", GIB)
    machine.limit("sys/fs/cgroup/user.slice", 4 * GIB, 3 * GIB, GIB)
    machine.limit("sys/fs/cgroup/user.slice", 3 * GIB, 3 * GIB, GIB, "memory.high")
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("anon 1\n")  # the root has no limit
    assert machine.read() == [2 * GIB, GIB]


def test_the_limits_of_version_1_are_read(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path, ["5:cpu:/other", "4:memory:/slurm/job_7", "1:name=systemd:/", "0::/"], [FIRST, OTHER, UNUSED]
    )
    machine.limit("sys/fs/cgroup/memory/slurm/job_7", 2 * GIB, GIB, 5, OLD)
    machine.limit("sys/fs/cgroup/memory", UNLIMITED, GIB, 0, OLD)
    machine.limit("sys/fs/cgroup/cpu/other", 7, 0, 0, OLD)  # of another kind of group
    assert machine.read() == [GIB + 5]


def test_in_a_container_its_own_limit_is_read_though_its_name_is_the_hosts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ["4:memory:/docker/01ab/job"], [DOCKER])
    machine.limit("sys/fs/cgroup/memory", GIB, 100, 0, OLD)
    machine.limit("sys/fs/cgroup/memory/job", GIB // 2, 100, 0, OLD)
    assert machine.read() == [GIB // 2 - 100, GIB - 100]


@pytest.mark.parametrize(("taken", "idle", "left"), [(GIB - 1, None, 1), (2 * GIB, 0, 0), (5, 100, GIB)])
def test_what_is_left_is_never_too_much_nor_below_nothing(
    tmp_path: Path, taken: int, idle: int | None, left: int
) -> None:
    machine = Machine(tmp_path, ["0::/"], [SECOND])
    machine.limit("sys/fs/cgroup", GIB, taken, idle)
    assert machine.read() == [left]


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [([], [SECOND]), (["0::/"], []), (["3:cpu,cpuacct:/a"], [FIRST]), (["0::/../elsewhere"], [SECOND])],
)
def test_where_there_is_no_limit_of_its_own_none_is_read(tmp_path: Path, groups: list[str], mounts: list[str]) -> None:
    machine = Machine(tmp_path, groups, mounts)
    for folder in ("sys/fs/cgroup", "sys/fs/elsewhere", "sys/fs/cgroup/memory"):
        machine.limit(folder, GIB, 0)
    assert machine.read() == []


def test_other_systems_have_no_such_limits(tmp_path: Path) -> None:
    assert list(read_left(tmp_path)) == []


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a group whose memory can be limited, without swapping; gives the file of its limit."""
    for base, name, swap in (("/memory", OLD, "memory.swappiness"), ("", "memory.max", "memory.swap.max")):
        folder = Path(f"/sys/fs/cgroup{base}/guidedstyle-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / name).exists():
            (folder / swap).write_text("0")
            yield folder / name
            end_all()
            folder.rmdir()
            return
        folder.rmdir()
    pytest.skip("no group can be made here: only root may, and only where Linux lets containers do so")


def read_taken(group: Path) -> int:
    """Read the bytes that a group holds but for files, which could be read again."""
    lines = group.with_name("memory.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] in ("total_rss", "anon"))


def test_what_is_planned_keeps_to_the_limit_of_a_group(group: Path) -> None:
    group.write_text(str(GIB))
    code = (
        "import torch; from guidedstyle.device.memory import measure_memory; print(measure_memory(torch.device('cpu')))"
    )
    command = f'echo $$ > {group.parent}/cgroup.procs; exec "{sys.executable}" -c "{code}"'
    left = int(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    assert 0 < left < GIB


@pytest.mark.slow
def test_where_a_group_ends_a_render_resume_goes_on(studio: Path, group: Path) -> None:
    """Beyond such a limit Linux kills: nothing can be told, but what was kept is whole."""
    (studio / "recipe.png").write_bytes(b"earlier")
    large = (*RENDER, *OFTEN, "--size", 400, "--set", "solver.sizes=3", "--steps", 30, "--max-memory", 64)
    process = start(studio, *large)
    (group.parent / "cgroup.procs").write_text(str(process.pid))
    wait_for(studio / "recipe.preview.png", process)
    process.send_signal(signal.SIGSTOP)
    group.write_text(str(read_taken(group) + 5 * 2**20))
    process.send_signal(signal.SIGCONT)
    assert end(process)[0] == -9
    assert (studio / "recipe.png").read_bytes() == b"earlier"
    assert np.asarray(Image.open(studio / "recipe.preview.png")).shape == (267, 400, 3)
    code, said = end(start(studio, *large, "--resume"))
    assert (code, "goes on from step" in said) == (0, True), said
    check_picture(studio / "recipe.png", (267, 400, 3))
