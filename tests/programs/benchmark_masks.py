"""Measure `check` and `masks` on one core for documents of 24 megapixels with six layers: a program, not a test.

python tests/programs/benchmark_masks.py [--repeat 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop

WIDTH, HEIGHT, LAYERS = 6000, 4000, 6
Bytes = np.ndarray


def paint_regions() -> list[Bytes]:
    """Draw soft ellipses that overlap."""
    noise = np.random.default_rng(0)
    blots = []
    for _ in range(LAYERS):
        blot = np.zeros((HEIGHT, WIDTH), np.uint8)
        centre = (int(noise.integers(WIDTH)), int(noise.integers(HEIGHT)))
        cv2.ellipse(blot, centre, (1800, 1100), float(noise.integers(180)), 0, 360, 255, -1, cv2.LINE_AA)
        blots.append(cv2.GaussianBlur(blot, (0, 0), 6))
    return blots


def write_inputs(folder: Path) -> dict[str, list[str]]:
    """Write a content image, a style image and the documents; return the masks of each kind."""
    small = np.random.default_rng(1).integers(0, 255, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    photo = Image.fromarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    photo.save(folder / "photo.jpg", quality=90)
    photo.resize((600, 400)).save(folder / "ink.jpg")
    blots, layers = paint_regions(), [("photograph", photo.convert("RGBA"))]
    labels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index, blot in enumerate(blots):
        layer = Image.new("RGBA", (WIDTH, HEIGHT), (200, 40, 40))
        layer.putalpha(Image.fromarray(blot))
        layers.append((f"layer{index}", layer))
        Image.fromarray(blot).save(folder / f"grey{index}.png")
        labels[blot > 127] = [(index + 1) * 40, 255 * (index % 2), 0]
    write_openraster(folder / "scene.ora", layers, photo)
    write_photoshop(folder / "scene.psd", layers)
    Image.fromarray(labels).save(folder / "labels.png")
    colours = [f"#{(index + 1) * 40:02x}{255 * (index % 2):02x}00" for index in range(LAYERS)]
    numbers = range(LAYERS)
    return {
        "OpenRaster": [f"{{file: scene.ora, layer: layer{index}}}" for index in numbers],
        "Photoshop": [f"{{file: scene.psd, layer: layer{index}}}" for index in numbers],
        "grey PNGs": [f"grey{index}.png" for index in numbers],
        "colours": [f"{{file: labels.png, colour: '{colour}'}}" for colour in colours],
    }


def write_recipe(folder: Path, masks: list[str]) -> None:
    """Write a recipe with one region for every mask."""
    regions = "".join(f"  - {{name: r{index}, mask: {mask}, style: ink}}\n" for index, mask in enumerate(masks))
    (folder / "recipe.yaml").write_text(f"content: photo.jpg\nstyles: {{ink: ink.jpg}}\nregions:\n{regions}")


def measure(folder: Path, command: list[str], repeat: int) -> float:
    """Measure the median seconds of a command on one core."""
    seconds = []
    for _ in range(repeat):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "guidedstyle", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        )
        seconds.append(time.monotonic() - began)
        if done.returncode:
            sys.exit(done.stderr)
    return statistics.median(seconds)


def main() -> None:
    """Print a table of seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'masks of 24 Mpx':16} {'check':>8} {'masks':>8} {'masks -o':>9}")
        for kind, masks in write_inputs(folder).items():
            write_recipe(folder, masks)
            commands = (["check", "recipe.yaml"], ["masks", "recipe.yaml"], ["masks", "recipe.yaml", "-o", "a.png"])
            print(f"{kind:16} " + " ".join(f"{measure(folder, command, repeat):7.2f}s" for command in commands))


if __name__ == "__main__":
    main()
