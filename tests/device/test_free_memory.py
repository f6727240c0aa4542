"""The memory of this machine: control group limits, peaks, and memory kept by the allocator."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.processes import end_all, wait_for
from support.renders import OFTEN, RENDER, check_image, end, start

from guidedstyle.device.free_memory import read_cgroup_headroom

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
    """The files in which Linux shows a process its control groups, their mounts and their limits."""

    def __init__(self, root: Path, groups: list[str], mounts: list[str]) -> None:
        self.root, self.folder = root, root / "proc/self"
        self.folder.mkdir(parents=True)
        (self.folder / "cgroup").write_text("".join(f"{line}\n" for line in groups))
        (self.folder / "mountinfo").write_text("".join(f"{line}\n" for line in [DISK, *mounts]))

    def limit(
        self, folder: str, limit: str | int, used: int, inactive: int | None = 0, name: str = "memory.max"
    ) -> None:
        group, first = self.root / folder, name == OLD
        group.mkdir(parents=True, exist_ok=True)
        (group / name).write_text(f"{limit}\n")
        (group / ("memory.usage_in_bytes" if first else "memory.current")).write_text(f"{used}\n")
        if inactive is not None:
            cached = f"inactive_file {77 if first else inactive}\ntotal_inactive_file {inactive}\n"
            (group / "memory.stat").write_text(f"anon 7\n\n{cached}active_file 9\n")

    def read(self) -> list[int]:
        return list(read_cgroup_headroom(self.root))


def test_the_limits_of_a_group_and_of_its_parents_count(tmp_path: Path) -> None:
    """Version 2, nested as systemd nests groups; cached file pages do not count as used."""
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
    machine.limit("sys/fs/cgroup/cpu/other", 7, 0, 0, OLD)  # of another controller
    assert machine.read() == [GIB + 5]


def test_in_a_container_the_limit_is_found_although_its_path_is_the_hosts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ["4:memory:/docker/01ab/job"], [DOCKER])
    machine.limit("sys/fs/cgroup/memory", GIB, 100, 0, OLD)
    machine.limit("sys/fs/cgroup/memory/job", GIB // 2, 100, 0, OLD)
    assert machine.read() == [GIB // 2 - 100, GIB - 100]


@pytest.mark.parametrize(("used", "inactive", "free"), [(GIB - 1, None, 1), (2 * GIB, 0, 0), (5, 100, GIB)])
def test_free_memory_is_neither_negative_nor_above_the_limit(
    tmp_path: Path, used: int, inactive: int | None, free: int
) -> None:
    machine = Machine(tmp_path, ["0::/"], [SECOND])
    machine.limit("sys/fs/cgroup", GIB, used, inactive)
    assert machine.read() == [free]


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [([], [SECOND]), (["0::/"], []), (["3:cpu,cpuacct:/a"], [FIRST]), (["0::/../elsewhere"], [SECOND])],
)
def test_without_a_limit_of_this_process_none_is_read(tmp_path: Path, groups: list[str], mounts: list[str]) -> None:
    machine = Machine(tmp_path, groups, mounts)
    for folder in ("sys/fs/cgroup", "sys/fs/elsewhere", "sys/fs/cgroup/memory"):
        machine.limit(folder, GIB, 0)
    assert machine.read() == []


def test_systems_other_than_linux_have_no_such_limits(tmp_path: Path) -> None:
    assert list(read_cgroup_headroom(tmp_path)) == []


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a control group without swap; yields the file of its memory limit."""
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
    pytest.skip("needs root, and a Linux that lets this container make control groups")


def read_used(group: Path) -> int:
    """Read the bytes that a group uses, without cached files."""
    lines = group.with_name("memory.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] in ("total_rss", "anon"))


def test_free_memory_respects_the_limit_of_a_group(group: Path) -> None:
    group.write_text(str(GIB))
    code = "import torch; from guidedstyle.device.free_memory import measure_memory"
    code += "; print(measure_memory(torch.device('cpu')))"
    command = f'echo $$ > {group.parent}/cgroup.procs; exec "{sys.executable}" -c "{code}"'
    free = int(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    assert 0 < free < GIB


@pytest.mark.slow
def test_a_render_that_linux_killed_at_a_memory_limit_can_be_resumed(project: Path, group: Path) -> None:
    """Above the limit Linux kills the process without a message; the files it has written are whole."""
    (project / "recipe.png").write_bytes(b"earlier")
    limited = ("--size", 400, "--set", "solver.sizes=3", "--steps", 30, "--max-memory", 64)
    large = (*RENDER, "--overwrite", *OFTEN, *limited)
    process = start(project, *large)
    (group.parent / "cgroup.procs").write_text(str(process.pid))
    wait_for(project / "recipe.preview.png", process)
    process.send_signal(signal.SIGSTOP)
    group.write_text(str(read_used(group) + 5 * 2**20))
    process.send_signal(signal.SIGCONT)
    assert end(process)[0] == -9
    assert (project / "recipe.png").read_bytes() == b"earlier"
    assert np.asarray(Image.open(project / "recipe.preview.png")).shape == (267, 400, 3)
    code, said = end(start(project, *large, "--resume"))
    assert (code, "resumes from step" in said) == (0, True), said
    check_image(project / "recipe.png", (267, 400, 3))


PEAK = """
import torch
from guidedstyle.device.free_memory import measure_peak
before = measure_peak(torch.device("cpu"))
torch.ones(100 << 18)
print(measure_peak(torch.device("cpu")) - before)
"""


@pytest.mark.skipif(not sys.platform.startswith(("linux", "win")), reason="other systems do not report the peak")
def test_the_peak_counts_memory_that_was_freed() -> None:
    risen = int(subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout)
    assert 90 * 2**20 < risen < 200 * 2**20


FAULTS = """
import resource, sys
import torch
from guidedstyle.device.free_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    before = faults()
    for size in (40, 20, 10, 40):
        torch.ones(size << 18)
print(faults() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has this setting"
)
def test_freed_memory_is_used_again_without_fresh_pages() -> None:
    """110 MiB are 28160 pages; by default most of them are fresh in every round."""
    returned, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True).stdout)
        for how in ("return", "keep")
    )
    assert 10 * kept < returned
