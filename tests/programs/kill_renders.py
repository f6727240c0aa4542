"""Kill renders at random moments, resume them, and compare with an uninterrupted one: a program, not a test.

python tests/programs/kill_renders.py --runs 50 --seed 1 recipes/strokes.yaml
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

ENDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@contextmanager
def polling(files: list[Path], broken: list[str]) -> Iterator[list[int]]:
    """Read images repeatedly, like a viewer; note those that are incomplete."""
    ended, reads = threading.Event(), [0]

    def poll() -> None:
        while not ended.wait(0.01):
            for file in files:
                try:
                    with Image.open(file) as picture:
                        picture.load()
                    reads[0] += 1
                except FileNotFoundError:
                    pass
                except OSError as error:
                    broken.append(f"{file.name}: {error}")

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield reads
    finally:
        ended.set()
        thread.join()


def render_with_kills(command: list[str], output: Path, noise: random.Random, longest: float) -> list[str]:
    """Render to the end, killing each attempt at a random moment; returns the signals, at least one."""
    ends: list[str] = []
    while True:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = process.communicate(timeout=noise.uniform(0, longest))
        except subprocess.TimeoutExpired:
            end = noise.choice(ENDS)
            process.send_signal(end)
            process.communicate()
            ends.append(end.name)
            longest *= 1.2  # so that it ends eventually
            continue
        if process.returncode != 0:
            raise SystemExit(f"ended with {process.returncode}:\n{said}")
        if ends:
            return ends
        output.unlink()  # it was finished before it was killed
        longest = min(longest, time.monotonic() - began)


def main() -> None:
    """Run, print a line for each render, and exit with 1 if an image differed or was read incomplete."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="192")
    parser.add_argument("--steps", default="60")
    chosen = parser.parse_args()
    noise, broken, differing = random.Random(chosen.seed), list[str](), 0
    settings = ["--size", chosen.size, "--steps", chosen.steps, "--set", "solver.sizes=2", "--device", "cpu"]
    every = ["--checkpoint-every", "0.1s", "--preview-every", "0.1s", "--resume"]
    base = [sys.executable, "-m", "guidedstyle", "render", str(chosen.recipe), *settings]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.png"
        began = time.monotonic()
        subprocess.run([*base, "-o", str(whole)], check=True, capture_output=True)
        seconds = time.monotonic() - began
        expected = np.asarray(Image.open(whole))
        for run in range(chosen.runs):
            output = Path(folder) / f"{run}.png"
            with polling([output, output.with_suffix(".preview.png")], broken) as reads:
                ends = render_with_kills([*base, "-o", str(output), *every], output, noise, seconds)
            same = np.array_equal(np.asarray(Image.open(output)), expected)
            left = sorted(file.name for file in Path(folder).glob(f"*{run}.p*") if file.suffix not in (".png", ".json"))
            differing += not same
            print(
                f"{run}: {'same' if same else 'DIFFERS'}, {len(ends)} ends ({', '.join(ends)}), {reads[0]} reads", left
            )
            sys.stdout.flush()
    print(f"{chosen.runs} renders, {differing} differ, {len(broken)} half-written files seen {broken[:3]}")
    raise SystemExit(bool(differing or broken))


if __name__ == "__main__":
    main()
