"""Measure the start-up time of commands: `python tests/programs/benchmark_startup.py`.

Times `--help`, and `check` on a 12-megapixel content image with three masks, against a bare `python -c pass` in the
same run, and prints medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 4000, 3000
REPEATS = 9


def write_inputs(folder: Path) -> Path:
    """Write a content image of smooth noise, three masks of soft stripes, a style image and the recipe."""
    noise = np.random.default_rng(0)
    small = Image.fromarray(noise.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8))
    small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / "photo.jpg", quality=92)
    small.save(folder / "painting.jpg")
    across = np.arange(WIDTH) / WIDTH
    lines = "content: photo.jpg\nstyles: {paint: painting.jpg}\nregions:\n  - {name: back, mask: rest, style: paint}\n"
    for index in range(3):
        stripe = np.clip(8 - 40 * np.abs(across - (index + 0.5) / 3.3), 0, 1)
        Image.fromarray(np.uint8(255 * np.tile(stripe, (HEIGHT, 1)))).save(folder / f"{index}.png")
        lines += f"  - {{name: part {index}, mask: {index}.png, style: paint}}\n"
    (folder / "recipe.yaml").write_text(lines)
    return folder / "recipe.yaml"


def main() -> None:
    """Print the median time of each command and its ratio to a bare interpreter."""
    with tempfile.TemporaryDirectory() as name:
        recipe = str(write_inputs(Path(name)))
        commands = {
            "python -c pass": ["-c", "pass"],
            "guidedstyle --help": ["-m", "guidedstyle", "--help"],
            "guidedstyle check": ["-m", "guidedstyle", "check", recipe],
        }
        times: dict[str, list[float]] = {command: [] for command in commands}
        for _ in range(REPEATS):
            for command, arguments in commands.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
                times[command].append(time.perf_counter() - began)
    bare = statistics.median(times["python -c pass"])
    for command, taken in times.items():
        median = statistics.median(taken)
        print(f"{command:20} {median:6.3f} s  {median / bare:5.1f} times a bare interpreter")


if __name__ == "__main__":
    main()
