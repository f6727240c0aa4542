"""Measure the time and memory of a step on this machine."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from guidedstyle.device.free_memory import measure_memory, measure_peak
from guidedstyle.device.precision import time_work
from guidedstyle.device.threads import write_spinning
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import SIDES, find_needs, make_plan
from guidedstyle.engine.progress import Update
from guidedstyle.engine.render import render
from guidedstyle.losses.statistics import build_octaves
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.shorthand import expand
from guidedstyle.run.eta import Forecast
from guidedstyle.run.speeds import Machine, Sample, Work, load_speed, measure_stages, store_samples, write_duration
from guidedstyle.scene.scene import Scene, StyleImage, plan_stages

Task = Callable[[], object]
REGIONS = (1, 3, 4, 16)
DRAWN = 256  # px a side at which regions are drawn
LARGEST_SIZE = 2**16  # px
USUAL = ((384, 1), (768, 3), (1536, 3))  # px of the longest side, and regions, of renders whose times are told
STEPS, OCTAVES = 60, 3  # of them: the defaults
MEASURED, SHORT = ((1, 256), (3, 640)), 6  # regions and px of renders that are measured, and their steps at each size
FIRST_GROWTH = 512  # px a side; doubled up to the largest size


@dataclass(frozen=True)
class Line:
    """A row of the table: what was measured, its value, and its ratio to another measurement of the same run."""

    what: str
    value: str
    ratio: str = ""


class Bench:
    """Measure an encoder on a device, on squares of noise of `size` px; times are medians of `repeats`."""

    def __init__(self, encoder: Encoder, *, device: str, size: int, repeats: int) -> None:
        self.device, self.size, self.repeats = device, size, repeats
        self.plan = make_plan(make_scene(1, size), encoder, device)
        self.encoder = self.plan.place(encoder)

    def run(self, largest: int) -> Iterator[Line]:
        """Measure everything; the growth with pixels up to squares of `largest` px."""
        yield Line("waiting threads", "", write_spinning() or "spin without limit")
        yield from self.time_renders(largest)
        yield from self.compare_regions()
        yield from self.compare_tiles()
        yield from self.measure_growth(largest)
        yield from self.fit_sizes()

    def time_renders(self, largest: int) -> Iterator[Line]:
        """Measure short renders, keep the times for the estimates of later renders, and estimate usual ones."""
        machine = Machine.of(self.encoder.architecture.name, self.plan)
        for count, size in MEASURED:
            if size <= largest:
                store_samples(self._measure_render(make_scene(count, size)), machine)
        speed = load_speed(machine.encoder, self.plan)
        if speed is None:  # the cache cannot be written
            return
        for longest, regions in USUAL:
            stages = plan_stages((longest, longest * 2 // 3), STEPS, OCTAVES)
            work = Work(machine.encoder, stages, (0.0,) * len(stages), regions)
            yield Line(f"{longest} px, {regions} region{'s' * (regions > 1)}", write_duration(speed.estimate(work)))

    def _measure_render(self, scene: Scene) -> Iterator[Sample]:
        """Measure each stage of a render by a few steps."""
        plan = make_plan(scene, self.encoder, self.device)
        plan = replace(plan, stages=tuple(replace(stage, steps=SHORT) for stage in plan.stages))
        forecast = Forecast(plan.stages)

        def note(update: Update) -> bool:
            forecast.note(update.stage, update.done)
            return True

        render(scene, self.encoder, plan, on_update=note)
        return measure_stages(forecast, Work.of(scene, plan))

    def compare_regions(self) -> Iterator[Line]:
        """Compare steps of several regions with the encoder alone, forward and backward over the same octaves."""
        tasks = {"bare": self._make_bare()} | {str(count): self._make_step(count) for count in REGIONS}
        times = self._time(tasks)
        yield Line(f"bare encoder, forward and backward, {self.size} px", _show(times["bare"]))
        for count in REGIONS:
            seconds = times[str(count)]
            ratio = f"{seconds / times['bare']:.2f} of the bare encoder"
            yield Line(f"step, regions: {count}", _show(seconds), ratio)
        yield Line("16 regions against 1", "", f"{times['16'] / times['1']:.2f}")
        yield Line("steps a second, regions: 3", f"{1 / times['3']:.2f}")

    def compare_tiles(self) -> Iterator[Line]:
        """Compare a step in tiles with a step on the whole image."""
        side = self.size // 2
        tilings = {"whole": Tiling()} | {f"{kept:.0%}": Tiling(side, kept) for kept in (0.0, 0.5, 1.0)}
        times = self._time({name: self._make_step(3, tiling) for name, tiling in tilings.items()})
        for name in list(tilings)[1:]:
            ratio = f"{times[name] / times['whole']:.2f} of whole"
            yield Line(f"tiles of {side} px, {name} kept", _show(times[name]), ratio)

    def measure_growth(self, largest: int) -> Iterator[Line]:
        """Measure how the time of a step in tiles grows with pixels."""
        count = max(2, 1 + int(math.log2(max(1, largest / FIRST_GROWTH))))
        sizes = [FIRST_GROWTH * 2**index for index in range(count)]
        times = [self._time({"step": self._make_step(3, Tiling(SIDES[1]), size)}, 3)["step"] for size in sizes]
        for size, seconds in zip(sizes, times, strict=True):
            rate = f"{1e9 * seconds / size**2:.0f} ns per pixel"
            yield Line(f"step in tiles, {size**2 / 2**20:g} Mpx", _show(seconds), rate)
        pixels = [math.log(size**2) for size in sizes]
        slope = statistics.linear_regression(pixels, [math.log(seconds) for seconds in times]).slope
        yield Line("growth with pixels", "", f"exponent {slope:.2f}")

    def fit_sizes(self) -> Iterator[Line]:
        """Estimate the largest size that fits into free memory, and report the peak of this run."""
        scene, free = make_scene(3, DRAWN), measure_memory(self.plan.device)
        layers, precision = (self.plan.style_layers, self.plan.content_layers), self.plan.precision
        needs = find_needs(
            scene, self.encoder.architecture, style=layers[0], content=layers[1], itemsize=precision.itemsize
        )

        def estimate(size: int, tiling: Tiling) -> int:
            return needs.estimate(replace(scene.stages[-1], size=(size, size)), tiling)

        for name, tiling in (("whole", Tiling()), ("in tiles", Tiling(SIDES[1], content=False))):
            size = find_largest(estimate, tiling, free)
            yield Line(f"largest square that fits {name}", f"{size} px", f"of {free / 2**30:.1f} GiB free")
        yield Line("peak memory of this run", f"{measure_peak(self.plan.device) / 2**30:.2f} GiB")

    def _time(self, tasks: Mapping[str, Task], repeats: int | None = None) -> dict[str, float]:
        """Return the median seconds of each task; they take turns, so that a busy machine slows all of them equally."""
        times: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range((repeats or self.repeats) + 1):
            for name, task in tasks.items():
                times[name].append(time_work(task, self.plan.device))
        return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}

    def _make_bare(self) -> Task:
        image = torch.rand(1, 3, self.size, self.size, device=self.plan.device).requires_grad_()
        octaves, layers = self.plan.stages[-1].octaves, self.plan.style_layers

        def task() -> None:
            halved = build_octaves(image, octaves)
            found = [features for octave in halved for features in self.encoder.encode(octave, layers).values()]
            torch.autograd.grad(found, image, [torch.ones_like(features) for features in found])

        return task

    def _make_step(self, count: int, tiling: Tiling | None = None, size: int | None = None) -> Task:
        scene = make_scene(count, size or self.size)
        plan = make_plan(scene, self.encoder, self.device)
        plan = replace(plan, tilings=(tiling or Tiling(),) * len(plan.stages))
        objective = Objective(scene, self.encoder, plan, plan.stages[-1])
        image = torch.from_numpy(scene.content).to(plan.device).flip(3).requires_grad_()
        return lambda: torch.autograd.grad(objective(image).total, image)


def make_scene(count: int, size: int) -> Scene:
    """Make a square of noise, divided into `count` regions (a Voronoi diagram) in two styles."""
    noise = np.random.default_rng(0)
    seeds, grid = noise.uniform(0, DRAWN, (count, 2)), np.mgrid[:DRAWN, :DRAWN]
    nearest = np.linalg.norm(grid[:, :, :, None] - seeds.T[:, None, None], axis=0).argmin(-1).astype(np.uint8)
    nearest = cv2.resize(nearest, (size, size), interpolation=cv2.INTER_NEAREST)
    weights = np.stack([nearest == region for region in [*range(count), 255]]).astype(np.float32)
    style = (noise.random((1, 3, DRAWN, DRAWN), np.float32), np.ones((DRAWN, DRAWN), np.float32), (DRAWN, DRAWN))
    regions = [{"name": f"{index}", "mask": "rest", "style": "ab"[index % 2]} for index in range(count)]
    recipe = Recipe.model_validate(
        expand({"content": "noise", "styles": {"a": "noise", "b": "noise"}, "regions": regions})
    )
    shares = tuple(float(share) for share in weights.mean((1, 2)))
    content = noise.random((1, 3, size, size), np.float32)
    style_images = {name: StyleImage(*style) for name in "ab"}
    return Scene(recipe, content, style_images, weights, (np.ones(1, np.float32),) * count, (size, size), shares)


def find_largest(estimate: Callable[[int, Tiling], int], tiling: Tiling, free: int) -> int:
    """Find the side of the largest square, in multiples of 64 px, whose estimate is at most `free` bytes."""
    sizes = range(64, LARGEST_SIZE, 64)
    return sizes[max(0, bisect_right(sizes, free, key=lambda size: estimate(size, tiling)) - 1)]


def _show(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
