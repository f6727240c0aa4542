"""Measure the time and memory of a step on this machine."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from guidedstyle.device.free_memory import keep_freed_memory, measure_memory, measure_peak
from guidedstyle.device.precision import name_precision, time_work
from guidedstyle.device.threads import write_spinning
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.passes import AddGradient
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import SIDES, find_needs, make_plan
from guidedstyle.engine.progress import Update
from guidedstyle.engine.render import render
from guidedstyle.engine.solvers.lbfgs import FULL, SHORTER, History
from guidedstyle.evaluation.rates import Task, count_operations, measure_matrix_rate, time_in_turns
from guidedstyle.losses.statistics import build_octaves
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.shorthand import expand
from guidedstyle.run.eta import Forecast
from guidedstyle.run.speeds import Machine, Sample, Work, load_speed, measure_stages, store_samples, write_duration
from guidedstyle.scene.scene import Scene, StyleImage, plan_stages

REGIONS = (1, 3, 4, 16)
DRAWN = 256  # px a side at which regions are drawn
LARGEST_SIZE = 2**16  # px
USUAL = ((384, 1), (768, 3), (1536, 3))  # px of the longest side, and regions, of renders whose times are told
STEPS, OCTAVES = 60, 3  # of them: the defaults
MEASURED, SHORT = ((1, 256), (3, 640)), 6  # regions and px of renders that are measured, and their steps at each size
FIRST_GROWTH = 512  # px a side; doubled up to the largest size
STEP_LIMITS = {"lite": 1.12, "vgg19": 1.05}  # of the bare encoder: a step of three regions at LIMITED px
LIMITED = 1024  # px
REGION_LIMITS = {128: 1.10, 256: 1.08, 1024: 1.05}  # of one region: a step of sixteen, by px
TILE_LIMITS = {0.0: 1.45, 0.5: 1.25, 1.0: 1.06}  # of whole: a step in tiles, by the share that is kept
GROWTH_LIMIT = "1.00 ± 0.04"
GOALS = {1024: "1 s, at most 2 s", 4096: "20 s"}  # of a whole render on a GPU, by px


@dataclass(frozen=True)
class Line:
    """A row of the table: what was measured, its value, its ratio to another of the same run, and the limit of that."""

    what: str
    value: str
    ratio: str = ""
    limit: str = ""


class Bench:
    """Measure an encoder on a device, on squares of noise of `size` px; times are medians of `repeats`.

    As in a render, freed memory is kept.
    """

    def __init__(self, encoder: Encoder, *, device: str, size: int, repeats: int) -> None:
        keep_freed_memory()
        self.device, self.size, self.repeats = device, size, repeats
        self.plan = make_plan(make_scene(1, size), encoder, device)
        self.encoder = self.plan.place(encoder)

    def run(self, largest: int) -> Iterator[Line]:
        """Measure everything; the growth with pixels up to squares of `largest` px."""
        yield Line("waiting threads", "", write_spinning() or "spin without limit")
        yield from self.time_renders(largest)
        for size in GOALS if self.plan.device.type == "cuda" else ():
            if size <= largest:
                yield from self.time_whole(size)
        yield from self.measure_rates()
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

    def time_whole(self, size: int) -> Iterator[Line]:
        """Time a whole render of three regions, and compare its peak of memory with the estimate."""
        scene = make_scene(3, size)
        plan = make_plan(scene, self.encoder, self.device)
        taken = time_work(lambda: render(scene, self.encoder, plan), plan.device)
        yield Line(f"render, {size} px, regions: 3", f"{taken:.2f} s", limit=GOALS.get(size, ""))
        peak = measure_peak(plan.device)
        yield Line(
            "peak memory until then", f"{peak / 2**30:.2f} GiB", f"{peak / plan.memory:.2f} of the estimate", "1"
        )

    def measure_rates(self) -> Iterator[Line]:
        """Measure the rate of a large matrix product, and the share of it that the encoder reaches."""
        bare = self.make_bare()
        operations, seconds = count_operations(bare), self.time({"bare": bare})["bare"]
        rate = measure_matrix_rate(self.plan.device, self.plan.precision)
        yield Line(f"matrix product, {name_precision(self.plan.precision)}", f"{rate / 1e12:.2f} TFLOP/s")
        share = f"{operations / seconds / rate:.2f} of the matrix product"
        yield Line(f"encoder, {self.size} px", f"{operations / seconds / 1e12:.2f} TFLOP/s", share)

    def compare_regions(self) -> Iterator[Line]:
        """Compare steps of several regions with the encoder alone, forward and backward over the same octaves."""
        tasks = {"bare": self.make_bare()} | {str(count): self.make_step(count) for count in REGIONS}
        times = self.time(tasks)
        yield Line(f"bare encoder, forward and backward, {self.size} px", _show(times["bare"]))
        most = STEP_LIMITS.get(self.encoder.architecture.name)
        for count in REGIONS:
            seconds = times[str(count)]
            ratio = f"{seconds / times['bare']:.2f} of the bare encoder"
            limit = f"{most:.2f} at {LIMITED} px" if most and count == 3 else ""
            yield Line(f"step, regions: {count}", _show(seconds), ratio, limit)
        yield self._relate_regions(self.size, times["1"], times["16"])
        yield Line("steps a second, regions: 3", f"{1 / times['3']:.2f}")
        for size in (size for size in REGION_LIMITS if size < self.size):
            times = self.time({str(count): self.make_step(count, size=size) for count in (1, 16)})
            yield self._relate_regions(size, times["1"], times["16"])

    def _relate_regions(self, size: int, one: float, many: float) -> Line:
        limit = f"{REGION_LIMITS[size]:.2f}" if size in REGION_LIMITS else ""
        return Line(f"step of 16 regions against 1, {size} px", _show(many), f"{many / one:.2f} of 1 region", limit)

    def compare_tiles(self) -> Iterator[Line]:
        """Compare a step in tiles with a step on the whole image."""
        side = self.size // 2
        tilings = {"whole": Tiling()} | {f"{kept:.0%}": Tiling(side, kept) for kept in TILE_LIMITS}
        times = self.time({name: self.make_step(3, tiling) for name, tiling in tilings.items()})
        for kept, most in TILE_LIMITS.items():
            seconds = times[f"{kept:.0%}"]
            ratio = f"{seconds / times['whole']:.2f} of whole"
            yield Line(f"tiles of {side} px, {kept:.0%} kept", _show(seconds), ratio, f"{most:.2f}")

    def measure_growth(self, largest: int) -> Iterator[Line]:
        """Measure how the time of a step in tiles grows with pixels."""
        count = max(2, 1 + int(math.log2(max(1, largest / FIRST_GROWTH))))
        sizes = [FIRST_GROWTH * 2**index for index in range(count)]
        times = [self.time({"step": self.make_step(3, Tiling(SIDES[1]), size)}, 3)["step"] for size in sizes]
        for size, seconds in zip(sizes, times, strict=True):
            rate = f"{1e9 * seconds / size**2:.0f} ns per pixel"
            yield Line(f"step in tiles, {size**2 / 2**20:g} Mpx", _show(seconds), rate)
        pixels = [math.log(size**2) for size in sizes]
        slope = statistics.linear_regression(pixels, [math.log(seconds) for seconds in times]).slope
        yield Line("growth with pixels", "", f"exponent {slope:.2f}", GROWTH_LIMIT)

    def fit_sizes(self) -> Iterator[Line]:
        """Estimate the largest size that fits into free memory, and report the peak of this run."""
        scene, free = make_scene(3, DRAWN), measure_memory(self.plan.device)
        layers, precision = (self.plan.style_layers, self.plan.content_layers), self.plan.precision
        needs = find_needs(
            scene, self.encoder.architecture, style=layers[0], content=layers[1], itemsize=precision.itemsize
        )

        stage, tiles = replace(scene.stages[-1], steps=FULL.pairs), Tiling(SIDES[1], content=False)
        ways = {"whole": (Tiling(), FULL), "in tiles": (tiles, FULL), f"in tiles, {SHORTER[-1]}": (tiles, SHORTER[-1])}

        def estimate(side: int, tiling: Tiling, history: History) -> int:
            return needs.estimate(replace(stage, size=(side, side)), tiling, history)

        for name, (tiling, history) in ways.items():
            size = find_largest(partial(estimate, tiling=tiling, history=history), free)
            yield Line(f"largest square that fits {name}", f"{size} px", f"of {free / 2**30:.1f} GiB free")
        yield Line("peak memory of this run", f"{measure_peak(self.plan.device) / 2**30:.2f} GiB")

    def time(self, tasks: Mapping[str, Task], repeats: int | None = None) -> dict[str, float]:
        """Return the median seconds of each task; they take turns."""
        return time_in_turns(tasks, self.plan.device, repeats or self.repeats)

    def make_bare(self) -> Task:
        """Make the task of encoding an image and computing its gradient, over the octaves and layers of a step.

        The gradient that is sent back from each layer is 1 everywhere.
        """
        image = torch.rand(1, 3, self.size, self.size, device=self.plan.device).requires_grad_()
        octaves, readers = self.plan.stages[-1].octaves, [(layer, _read_nothing) for layer in self.plan.style_layers]

        def task() -> None:
            halved = build_octaves(image, octaves)
            found = torch.stack([one for octave in halved for one in self.encoder.measure(octave, readers)])
            torch.autograd.grad(found.sum(), image)

        return task

    def make_step(
        self, count: int, tiling: Tiling | None = None, size: int | None = None
    ) -> Callable[[], tuple[Tensor, ...]]:
        """Make the task of computing the gradient of the objective of `count` regions, which it returns."""
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


def find_largest(estimate: Callable[[int], int], free: int) -> int:
    """Find the side of the largest square, in multiples of 64 px, whose estimate is at most `free` bytes."""
    sizes = range(64, LARGEST_SIZE, 64)
    return sizes[max(0, bisect_right(sizes, free, key=estimate) - 1)]


def _read_nothing(features: Tensor) -> tuple[Tensor, AddGradient]:
    return torch.zeros((), device=features.device), _add_one


def _add_one(outer: Tensor, gradient: Tensor) -> None:
    gradient.add_(1)


def _show(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
