"""Limits of containers and batch jobs: read as Linux writes them down, and what they end can be gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_faults import OFTEN, RENDER, check_picture, end, start
from waiting import wait_for

from guidedstyle.containers import read_left

UNLIMITED = "9223372036854771712"  # of version 1
GIB = 2**30


def limit(root: Path, folder: str, most: str, taken: int, idle: int, first: bool = False) -> None:
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / names[0]).write_text(f"{most}\n")
    (root / folder / names[1]).write_text(f"{taken}\n")
    stat = f"anon 7\ninactive_file {0 if first else idle}\ntotal_inactive_file {idle}\nactive_file 9\n"
    (root / folder / "memory.stat").write_text(stat)


def join(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def test_the_limits_of_a_group_and_of_those_above_it_count(tmp_path: Path) -> None:
    """Version 2, as systemd nests them; what was read from files can be dropped."""
    join(tmp_path, "0::/user.slice/job.scope")
    limit(tmp_path, "sys/fs/cgroup/user.slice/job.scope", "max", GIB, 0)
    limit(tmp_path, "sys/fs/cgroup/user.slice", str(4 * GIB), 3 * GIB, GIB)
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("anon 1\n")  # the root has no limit
    assert list(read_left(tmp_path)) == [2 * GIB]


def test_the_limits_of_version_1_are_read(tmp_path: Path) -> None:
    join(tmp_path, "5:cpu:/", "4:memory:/slurm/job_7", "1:name=systemd:/", "0::/")
    limit(tmp_path, "sys/fs/cgroup/memory/slurm/job_7", str(2 * GIB), GIB, 5, first=True)
    limit(tmp_path, "sys/fs/cgroup/memory", UNLIMITED, GIB, 0, first=True)
    assert list(read_left(tmp_path)) == [GIB + 5, int(UNLIMITED) - GIB]


def test_in_a_container_its_own_limit_is_read_though_its_name_is_the_hosts(tmp_path: Path) -> None:
    join(tmp_path, "4:memory:/docker/0123456789ab")
    limit(tmp_path, "sys/fs/cgroup/memory", str(GIB), 100, 0, first=True)
    assert list(read_left(tmp_path)) == [GIB - 100]


@pytest.mark.parametrize("lines", [None, [], ["0::/"], ["3:cpu,cpuacct:/a"], ["0::/../.."]])
def test_where_there_are_no_limits_none_are_read(tmp_path: Path, lines: list[str] | None) -> None:
    if lines is not None:
        join(tmp_path, *lines)
    assert list(read_left(tmp_path)) == []


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a group whose memory can be limited; gives the file of its limit."""
    for base, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(base) / f"guidedstyle-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / name).exists():
            yield folder / name
            folder.rmdir()
            return
        folder.rmdir()
    pytest.skip("no group can be made here: only root may, and only where Linux lets containers do so")


def test_what_is_planned_keeps_to_the_limit_of_a_group(group: Path) -> None:
    group.write_text(str(GIB))
    code = "import torch; from guidedstyle.memory import measure_memory; print(measure_memory(torch.device('cpu')))"
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
    taken = group.with_name(group.name.replace("limit", "usage").replace("max", "current"))
    group.write_text(str(int(taken.read_text()) + 5 * 2**20))
    assert end(process)[0] == -9
    assert (studio / "recipe.png").read_bytes() == b"earlier"
    assert np.asarray(Image.open(studio / "recipe.preview.png")).shape == (267, 400, 3)
    code, said = end(start(studio, *large, "--resume"))
    assert (code, "goes on from step" in said) == (0, True), said
    check_picture(studio / "recipe.png", (267, 400, 3))
