"""Several processes for one picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image

pytestmark = pytest.mark.slow


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", *map(str, command))
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


def read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"), np.int16)


RENDER = ("guidedstyle", "render", "recipe.yaml", "--tile", 128, "--steps", 20, "--set", "solver.sizes=2")


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_two_processes_paint_the_picture_of_one(studio: Path, method: str) -> None:
    """The tiles, and the sums over them, are the same; only the first process prints and writes."""
    draw_picture(400, 300, 1).save(studio / "photo.png")
    Image.open(studio / "left.png").resize((400, 300)).save(studio / "left.png")
    solver = ("--set", f"solver.method={method}")
    alone = run(*RENDER, *solver, "-o", "one.png", folder=studio)
    assert alone.returncode == 0, alone.stderr
    start = ("torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m")
    both = run(*start, *RENDER, *solver, "-o", "two.png", folder=studio)
    assert both.returncode == 0, both.stderr
    assert np.abs(read(studio / "one.png") - read(studio / "photo.png")).mean() > 3
    apart = np.abs(read(studio / "one.png") - read(studio / "two.png"))
    assert (apart > 1).mean() < 1e-3  # what rounding leaves grows with the steps
    records = [json.loads((studio / f"{name}.png.json").read_text()) for name in ("one", "two")]
    assert [record["plan"]["processes"] for record in records] == [1, 2]
    assert both.stdout.count("device") == 1
