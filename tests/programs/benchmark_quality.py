"""Measure when a render is as close to its style as two plain implementations: a program, not a test.

GUIDEDSTYLE_TEST_DATA=DIR python tests/programs/benchmark_quality.py [--size 512] [--pairs 3] [--iterations 300]
    [--reach 0.5 0.3 0.2] [--out results.json]
python tests/programs/benchmark_quality.py --table results.json

All methods render the same pairs of images in one run, on the CPU. Time counts from the opened images, with targets but
without storing and judging images. The judge is VGG-19 in float32 at the final size: |G - G'|^2 / |G'|^2, averaged over
layers and octaves. For all methods freed memory is kept, as `guidedstyle render` does. Prints Markdown. If a
method kept fewer cores busy than there are threads, something else was running, and its times are invalid.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/support

from quality_tables import OURS, Results, describe
from support.baselines import NeuralStyle, PlainAdam
from support.cases import DATA, WEIGHTS, write_recipe
from torch import Tensor

from guidedstyle.device.free_memory import keep_freed_memory
from guidedstyle.device.precision import choose_precision
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.canvas import resize
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.render import render
from guidedstyle.io.paths import CACHE_VARIABLE
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

PAIRS = (
    ("nspt_tubingen", "nspt_starry_night"),
    ("nspt_golden_gate", "nspt_shipwreck"),
    ("nspt_hoovertowernight", "jfns_candy"),
)
SPACING = 1.15  # ratio of the iterations at which images are stored
OUR_STEPS = (4, 8, 15, 30, 60, 100, 150)  # of separate renders: the final size is reached only at the end
WARM_SIZE = 64  # px


class Snapshot(NamedTuple):
    """An image after some iterations, with the seconds by the clock and of processor time until then."""

    number: int
    seconds: float
    work: float
    image: Tensor


class Recorder:
    """Store images with the time spent on them, without the time of storing."""

    def __init__(self, last: int) -> None:
        self.last, self.watched, self.due = last, 0, 1.0
        self.snapshots: list[Snapshot] = []
        self.restart()

    def restart(self) -> None:
        """Start counting time."""
        self.clock, self.work = time.perf_counter(), time.process_time()

    def watch(self, number: int, show: Callable[[], Tensor]) -> None:
        """Store the image of an iteration if it is due or the last."""
        self.watched += 1
        if self.watched >= self.due or number == self.last:
            self.store(number, show)
            self.due = SPACING * self.watched

    def store(self, number: int, show: Callable[[], Tensor]) -> None:
        """Store the image of an iteration."""
        seconds, work = time.perf_counter() - self.clock, time.process_time() - self.work
        self.snapshots.append(Snapshot(number, seconds, work, show().clone()))
        self.clock, self.work = time.perf_counter() - seconds, time.process_time() - work


Method = Callable[[Scene, Recorder], None]


def make_methods(iterations: int) -> dict[str, Method]:
    """Make the methods, with weights read before time is counted."""
    vgg19, lite, ours = load_by_name("vgg19", WEIGHTS), load_by_name("lite"), load_by_name("lite")

    def render_like_neural_style(scene: Scene, recorder: Recorder) -> None:
        NeuralStyle(vgg19, *read_images(scene)).paint(iterations, recorder.watch, start="image")

    def render_with_adam(scene: Scene, recorder: Recorder) -> None:
        PlainAdam(lite, *read_images(scene)).paint(iterations, recorder.watch)

    def render_ours(scene: Scene, recorder: Recorder) -> None:
        for steps in OUR_STEPS:
            solver = scene.recipe.solver.model_copy(update={"steps": steps})
            short = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
            with TemporaryDirectory() as cache:  # empty: each run measures its style images
                os.environ[CACHE_VARIABLE] = cache
                recorder.restart()
                rendering = render(short, ours, make_plan(short, ours, "cpu"))
            recorder.store(rendering.steps, partial(torch.from_numpy, rendering.image))

    return {OURS: render_ours, "neural-style-pt": render_like_neural_style, "plain Adam": render_with_adam}


def read_images(scene: Scene) -> tuple[Tensor, Tensor]:
    """Return the content and the style image, both at the size of the result."""
    (style_image,) = scene.style_images.values()
    return torch.from_numpy(scene.content), resize(
        torch.from_numpy(style_image.image), style_image.fit(max(scene.size))
    )


def open_pair(pair: tuple[str, str], size: int) -> Scene:
    """Open a content and a style image of the test data with the smallest recipe."""
    content, style = (DATA / "images" / f"{name}.jpg" for name in pair)
    with TemporaryDirectory() as folder:
        return open_scene(read_recipe(write_recipe(Path(folder, "a.yaml"), content=content, style=style, size=size)))


def make_judge(scene: Scene) -> Callable[[Tensor], float]:
    """Make the judge of a scene."""
    teacher = load_by_name("vgg19", WEIGHTS)
    plan = make_plan(scene, teacher, "cpu")
    objective = Objective(scene, teacher, plan, plan.stages[-1])

    @torch.no_grad()
    def judge(image: Tensor) -> float:
        return float(objective.weights.balance @ objective.measure(image).style)

    return judge


def measure(options: argparse.Namespace) -> Results:
    """Run every method on every pair; save the results after each."""
    warm_up()
    methods, results = make_methods(options.iterations), describe_run(options)
    for pair in PAIRS[: options.pairs]:
        name, scene = " + ".join(part.partition("_")[2] for part in pair), open_pair(pair, options.size)
        judge, curves = make_judge(scene), {}
        results["pairs"][name] = {"content": judge(torch.from_numpy(scene.content)), "curves": curves}
        for method, render_pair in methods.items():
            recorder = Recorder(options.iterations)
            render_pair(scene, recorder)
            curves[method] = [(one.number, one.seconds, judge(one.image), one.work) for one in recorder.snapshots]
            options.out.write_text(json.dumps(results, indent=1))
            print(
                "{}, {}: {} steps, {:.1f} s, {:.4f}".format(name, method, *curves[method][-1]),
                file=sys.stderr,
                flush=True,
            )
    return results


def warm_up() -> None:
    """Load what each method loads on first use, so that it does not count for the first."""
    scene = open_pair(PAIRS[0], WARM_SIZE)
    for render_pair in make_methods(2).values():
        render_pair(scene, Recorder(2))


def describe_run(options: argparse.Namespace) -> Results:
    """Describe the run and the machine."""
    return {
        "size": options.size,
        "iterations": options.iterations,
        "torch": torch.__version__,
        "cpu": str(torch.cpu.get_capabilities().get("cpu_name", "unknown")),
        "threads": torch.get_num_threads(),
        "precision": str(choose_precision(torch.device("cpu"))).removeprefix("torch."),
        "pairs": {},
    }


def main() -> None:
    """Measure, or read saved results, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="longest side in px")
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="how many pairs of images")
    parser.add_argument("--iterations", type=int, default=300, help="of the plain methods")
    parser.add_argument("--reach", type=float, nargs="+", default=[0.5, 0.3, 0.2, 0.1], help="style distances")
    parser.add_argument("--out", type=Path, default=Path("results.json"), help="where the curves are saved")
    parser.add_argument("--table", type=Path, help="print the tables of saved curves instead")
    options = parser.parse_args()
    if not options.table and not WEIGHTS.is_file():
        parser.error("GUIDEDSTYLE_TEST_DATA does not name the test data")
    keep_freed_memory()
    print(
        "\n".join(describe(json.loads(options.table.read_text()) if options.table else measure(options), options.reach))
    )


if __name__ == "__main__":
    main()
