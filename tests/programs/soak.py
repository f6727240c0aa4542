"""Render hundreds of small images in one process with every kind of output, and watch memory and open files.

    python tests/programs/soak.py recipes/everything.yaml recipes/colours.yaml --runs 200

Prints resident memory and open files on the way; exits with 1 if memory grew by more than GROWTH after the first
quarter, or if files stay open.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from guidedstyle.cli.main import app

GROWTH = 0.05
ALL = ["--preview-every", "1", "--checkpoint-every", "2", "--save-every", "2", "-q"]


def measure() -> tuple[int, int]:
    """Measure resident memory in bytes, and count open files."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir()))


def render(recipe: Path, number: int, folder: Path, size: int) -> None:
    """Render with previews and checkpoints; every third time as layers, every fifth with report, film and resume."""
    output = folder / f"{recipe.stem}{'.ora' if number % 3 == 0 else '.png'}"
    arguments = ["render", str(recipe), "-o", str(output), "--size", str(size), "--steps", "6", *ALL]
    if number % 5 == 0:
        arguments += ["--report", str(folder / "page.html"), "--timelapse", str(folder / "film.mp4")]
    if number % 5 == 1:
        arguments += ["--resume", "--seed", str(number)]
    code = app(arguments, standalone_mode=False)
    assert code in (0, None), (code, arguments)


def soak(recipes: list[Path], runs: int, size: int) -> Iterator[tuple[int, int]]:
    """Render repeatedly; yield memory and open files after each run."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GUIDEDSTYLE_CACHE"] = f"{folder}/cache"
        for number, recipe in enumerate(islice(cycle(recipes), runs), 1):
            render(recipe, number, Path(folder), size)
            yield measure()


def main() -> int:
    """Run, print the measurements, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--size", type=int, default=96)
    chosen = parser.parse_args()
    began, found = time.monotonic(), list[tuple[int, int]]()
    for memory, files in soak(chosen.recipes, chosen.runs, chosen.size):
        found.append((memory, files))
        if len(found) % max(1, chosen.runs // 20) == 0:
            spent = time.monotonic() - began
            print(f"{len(found):4} renders  {spent:6.0f} s  {memory / 2**20:7.1f} MiB  {files} open files", flush=True)
    quarter = len(found) // 4
    early, late = (median(memory for memory, _ in part) for part in (found[quarter : 2 * quarter], found[-quarter:]))
    growth, left = late / early - 1, found[-1][1] - found[quarter][1]
    print(f"memory grew by {growth:+.1%} from the second quarter to the last, {left} more files are open")
    return int(growth > GROWTH or left > 0)


if __name__ == "__main__":
    sys.exit(main())
