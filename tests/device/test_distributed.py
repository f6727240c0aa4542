"""One image rendered by several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import draw_image
from support.processes import spawn, wait_for

from guidedstyle.io.files import lock_output

pytestmark = pytest.mark.slow


def run_module(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GUIDEDSTYLE_CACHE": str(folder / "cache")}
    command = (sys.executable, "-m", *map(str, command))
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


def list_children(process: int) -> Path:
    return Path(f"/proc/{process}/task/{process}/children")


def read_pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"), np.int16)


START = ("torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m")
RENDER = ("guidedstyle", "render", "recipe.yaml", "--tile", 128, "--steps", 20, "--set", "solver.sizes=2")


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_two_processes_render_the_same_image_as_one(project: Path, method: str) -> None:
    """Tiles and their sums are the same; only the first process prints and writes."""
    draw_image(400, 300, 1).save(project / "photo.png")
    Image.open(project / "left.png").resize((400, 300)).save(project / "left.png")
    solver = ("--set", f"solver.method={method}")
    alone = run_module(*RENDER, *solver, "-o", "one.png", folder=project)
    assert alone.returncode == 0, alone.stderr
    both = run_module(*START, *RENDER, *solver, "-o", "two.png", folder=project)
    assert both.returncode == 0, both.stderr
    assert np.abs(read_pixels(project / "one.png") - read_pixels(project / "photo.png")).mean() > 3
    difference = np.abs(read_pixels(project / "one.png") - read_pixels(project / "two.png"))
    assert (difference > 1).mean() < 1e-3  # rounding errors grow with the steps
    records = [json.loads((project / f"{name}.png.json").read_text()) for name in ("one", "two")]
    assert [record["plan"]["processes"] for record in records] == [1, 2]
    assert both.stdout.count("device") == 1


def test_processes_each_compute_what_is_too_small_to_share(project: Path) -> None:
    """A single tile at every size: the processes compute the same image, from the smallest size on."""
    small = ("guidedstyle", "render", "recipe.yaml", "--size", 96, "--steps", 6)
    alone = run_module(*small, "-o", "one.png", folder=project)
    both = run_module(*START, *small, "-o", "two.png", folder=project)
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr + both.stderr
    assert np.abs(read_pixels(project / "one.png") - read_pixels(project / "two.png")).max() <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="outputs are not locked there")
def test_all_processes_refuse_an_output_that_another_render_writes(project: Path) -> None:
    with lock_output(project / "recipe.png"):
        both = run_module(*START, *RENDER, folder=project)
    assert both.returncode == 1  # of torchrun
    assert f"another process writes it: {os.getpid()}" in both.stderr
    assert "bug of guidedstyle" not in both.stderr
    assert not (project / "recipe.png").exists()


@pytest.mark.skipif(not list_children(os.getpid()).exists(), reason="only Linux lists the children of a process")
def test_the_image_so_far_is_kept_when_one_process_is_killed(project: Path) -> None:
    often = ("--preview-every", 1, "--checkpoint-every", 1, "--steps", 4000, "--set", "solver.tolerance=0")
    command = [sys.executable, "-m", *map(str, (*START, *RENDER, *often))]
    process = spawn(command, cwd=project, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wait_for(project / "recipe.png.state", process)
    children = list_children(process.pid).read_text().split()
    second = next(child for child in children if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))
    os.kill(int(second), signal.SIGKILL)
    output = process.communicate(timeout=200)[1]
    assert "recipe.png is not written: torchrun: the processes of this render cannot reach each other" in output
    assert "the image so far is recipe.preview.png" in output
    assert "bug of guidedstyle" not in output
    assert np.asarray(Image.open(project / "recipe.preview.png")).shape == (64, 96, 3)
