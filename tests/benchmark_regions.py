"""Measure how a step's cost grows with the number of regions: `python tests/benchmark_regions.py`.

Interleaves the measurements in one run, so that a noisy machine slows all of them alike, and prints medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from guidedstyle.objective import Objective
from guidedstyle.paintings import Painting
from guidedstyle.plan import make_plan
from guidedstyle.recipe import EncoderChoice, Recipe
from guidedstyle.render import load_encoder
from guidedstyle.scene import Scene


def make_scene(count: int, size: int) -> Scene:
    """Make a picture of noise with `count` blob-shaped regions in two styles."""
    noise = np.random.default_rng(0)
    seeds = noise.uniform(0, size, (count, 2))
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    nearest = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(-1)
    weights = np.stack([nearest == region for region in [*range(count), -1]]).astype(np.float32)
    paintings = {
        name: Painting(noise.random((1, 3, size, size), np.float32), np.ones((size, size), np.float32), (size, size))
        for name in ("a", "b")
    }
    recipe = Recipe.model_validate(
        {
            "content": "noise",
            "styles": {"a": "noise", "b": "noise"},
            "regions": [{"name": f"{index}", "mask": "rest", "style": "ab"[index % 2]} for index in range(count)],
        }
    )
    return Scene(
        recipe,
        noise.random((1, 3, size, size), np.float32),
        paintings,
        weights,
        (np.ones(1, np.float32),) * count,
        (size, size),
        tuple(weights.mean((1, 2))),
    )


def make_step(count: int, size: int, choice: EncoderChoice) -> Callable[[], None]:
    """Return a function that computes the losses and their gradient once."""
    scene, encoder = make_scene(count, size), load_encoder(choice)
    plan = make_plan(scene, encoder, "cpu")
    encoder.to(plan.precision).to(memory_format=torch.channels_last)
    objective = Objective(scene, encoder, plan, plan.stages[-1])
    image = torch.from_numpy(scene.content).clone().requires_grad_()

    def step() -> None:
        image.grad = None
        objective(image).total.backward()

    return step


def main() -> None:
    """Print the time of a step for several numbers of regions, and its ratio to that of one region."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--regions", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--weights", type=Path, help="measure VGG-19 with these weights instead of lite")
    asked = parser.parse_args()
    choice = EncoderChoice(name="vgg19", weights=asked.weights) if asked.weights else EncoderChoice()
    steps = {count: make_step(count, asked.size, choice) for count in asked.regions}
    times: dict[int, list[float]] = {count: [] for count in steps}
    for _ in range(asked.repeats + 1):
        for count, step in steps.items():
            began = time.perf_counter()
            step()
            times[count].append(time.perf_counter() - began)
    medians = {count: statistics.median(taken[1:]) for count, taken in times.items()}
    print(f"{choice.name}, {asked.size} px, {asked.repeats} repeats, {torch.get_num_threads()} threads")
    for count, median in medians.items():
        print(f"{count:3d} regions  {1000 * median:7.1f} ms a step  ratio {median / medians[asked.regions[0]]:.2f}")


if __name__ == "__main__":
    main()
