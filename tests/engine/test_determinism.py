"""The same recipe gives the same image in two processes, and nearly the same with another number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from guidedstyle.types import SolverMethod

pytestmark = pytest.mark.slow

METHODS = get_args(SolverMethod)
BOUND = 1e-3  # of the values may differ by more than a level with another number of threads, after FEW steps
FEW = 6


def render(
    project: Path, name: str, threads: int, method: str = "lbfgs", steps: int = 12, **environment: str
) -> np.ndarray:
    """Render the project's recipe in a new process with an empty cache and a number of threads."""
    settings = ["--steps", str(steps), "--set", f"solver.method={method}", "--set", "init={content: 1, noise: 0.1}"]
    command = [sys.executable, "-m", "guidedstyle", "render", str(project / "recipe.yaml"), "-q", *settings]
    variables = {"OMP_NUM_THREADS": str(threads), "GUIDEDSTYLE_CACHE": str(project / f"cache-{name}")}
    environment = {**os.environ, **variables, **environment}
    subprocess.run([*command, "-o", str(project / f"{name}.png")], check=True, env=environment, timeout=300)
    return np.asarray(Image.open(project / f"{name}.png"), int)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_processes_give_the_same_bits(project: Path, threads: int) -> None:
    first, second = (render(project, name, threads, PYTHONHASHSEED=seed) for name, seed in (("a", "1"), ("b", "2")))
    assert (first == second).all()


def test_cached_statistics_give_the_same_bits_as_measured_ones(project: Path) -> None:
    first, again = render(project, "a", 2), render(project, "a", 2)
    assert list((project / "cache-a").iterdir())
    assert (first == again).all()


@pytest.mark.parametrize("method", METHODS)
def test_another_number_of_threads_changes_little_in_few_steps(project: Path, method: str) -> None:
    one, two = (render(project, f"on{threads}", threads, method, FEW) for threads in (1, 2))
    assert (np.abs(one - two) > 1).mean() <= BOUND
