"""Measure how soon a render is as close to its style as two plain ways of style image: a program, not a test.

GUIDEDSTYLE_TEST_DATA=DIR python tests/programs/benchmark_quality.py [--size 512] [--pairs 3] [--iterations 300]
    [--reach 0.5 0.3 0.2] [--out results.json]
python tests/programs/benchmark_quality.py --table results.json

All ways paint the same images, one pair after the other in one run, on the CPU. Seconds are counted from the
opened images on, targets included; what it takes to keep an image, and to judge it after the run, is not. The judge
is VGG-19 in float32 at the finished size: |G - G'|^2 / |G'|^2, averaged over layers and octaves. All ways profit from
freed memory being kept, as `guidedstyle render` keeps it. Prints Markdown; where a way kept fewer cores busy at the end
than there are threads, something else was running, and its seconds are no good.
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

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own helpers

from quality_tables import OURS, Results, describe
from support.baselines import NeuralStyle, PlainAdam
from support.cases import DATA, WEIGHTS, write_recipe
from torch import Tensor

from guidedstyle.device.memory import keep_freed_memory
from guidedstyle.device.precision import choose_precision
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.cache import FOLDER
from guidedstyle.engine.objective.canvas import resize
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.render import render
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

PAIRS = (
    ("nspt_tubingen", "nspt_starry_night"),
    ("nspt_golden_gate", "nspt_shipwreck"),
    ("nspt_hoovertowernight", "jfns_candy"),
)
SPACING = 1.15  # from one iteration whose image is kept to the next
OUR_STEPS = (4, 8, 15, 30, 60, 100, 150)  # of renders of their own: a render shows nothing of its size before its end
WARM_SIZE = 64  # px


class Kept(NamedTuple):
    """An image that was kept, after how many iterations, and the seconds by the clock and of the cores till then."""

    number: int
    seconds: float
    work: float
    picture: Tensor


class Recorder:
    """Keeps images with the seconds that were spent on them; the time it takes itself does not count."""

    def __init__(self, last: int) -> None:
        self.last, self.watched, self.due = last, 0, 1.0
        self.kept: list[Kept] = []
        self.restart()

    def restart(self) -> None:
        """Count the time from now on."""
        self.clock, self.work = time.perf_counter(), time.process_time()

    def watch(self, number: int, show: Callable[[], Tensor]) -> None:
        """Keep the image of an iteration, if it is due or the last."""
        self.watched += 1
        if self.watched >= self.due or number == self.last:
            self.keep(number, show)
            self.due = SPACING * self.watched

    def keep(self, number: int, show: Callable[[], Tensor]) -> None:
        """Keep the image of an iteration."""
        seconds, work = time.perf_counter() - self.clock, time.process_time() - self.work
        self.kept.append(Kept(number, seconds, work, show().clone()))
        self.clock, self.work = time.perf_counter() - seconds, time.process_time() - work


Method = Callable[[Scene, Recorder], None]


def make_methods(iterations: int) -> dict[str, Method]:
    """Make the ways to paint; each has weights of its own, read before any time is counted."""
    vgg19, lite, ours = load_by_name("vgg19", WEIGHTS), load_by_name("lite"), load_by_name("lite")

    def paint_as_neural_style(scene: Scene, recorder: Recorder) -> None:
        NeuralStyle(vgg19, *take_pictures(scene)).paint(iterations, recorder.watch, start="image")

    def paint_by_adam(scene: Scene, recorder: Recorder) -> None:
        PlainAdam(lite, *take_pictures(scene)).paint(iterations, recorder.watch)

    def paint_ours(scene: Scene, recorder: Recorder) -> None:
        for steps in OUR_STEPS:
            solver = scene.recipe.solver.model_copy(update={"steps": steps})
            short = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
            with TemporaryDirectory() as cache:  # empty: every run measures its style images itself
                os.environ[FOLDER] = cache
                recorder.restart()
                rendering = render(short, ours, make_plan(short, ours, "cpu"))
            recorder.keep(rendering.steps, partial(torch.from_numpy, rendering.image))

    return {OURS: paint_ours, "neural-style-pt": paint_as_neural_style, "plain Adam": paint_by_adam}


def take_pictures(scene: Scene) -> tuple[Tensor, Tensor]:
    """Take content image and style image, both with the longest side of the image."""
    (style_image,) = scene.style_images.values()
    return torch.from_numpy(scene.content), resize(
        torch.from_numpy(style_image.image), style_image.fit(max(scene.size))
    )


def open_pair(pair: tuple[str, str], size: int) -> Scene:
    """Open a content image and a style image of the test data, in the smallest recipe there is."""
    content, style = (DATA / "images" / f"{name}.jpg" for name in pair)
    with TemporaryDirectory() as folder:
        return open_scene(read_recipe(write_recipe(Path(folder, "a.yaml"), content=content, style=style, size=size)))


def make_judge(scene: Scene) -> Callable[[Tensor], float]:
    """Make the judge of the images of a scene."""
    teacher = load_by_name("vgg19", WEIGHTS)
    plan = make_plan(scene, teacher, "cpu")
    objective = Objective(scene, teacher, plan, plan.stages[-1])

    @torch.no_grad()
    def judge(picture: Tensor) -> float:
        return float(objective.weights.balance @ objective.measure(picture).style)

    return judge


def measure(asked: argparse.Namespace) -> Results:
    """Run every way on every pair and save what is there after each."""
    warm_up()
    methods, results = make_methods(asked.iterations), describe_run(asked)
    for pair in PAIRS[: asked.pairs]:
        name, scene = " + ".join(part.partition("_")[2] for part in pair), open_pair(pair, asked.size)
        judge, curves = make_judge(scene), {}
        results["pairs"][name] = {"photograph": judge(torch.from_numpy(scene.content)), "curves": curves}
        for way, paint in methods.items():
            recorder = Recorder(asked.iterations)
            paint(scene, recorder)
            curves[way] = [(kept.number, kept.seconds, judge(kept.picture), kept.work) for kept in recorder.kept]
            asked.out.write_text(json.dumps(results, indent=1))
            print("{}, {}: {} steps, {:.1f} s, {:.4f}".format(name, way, *curves[way][-1]), file=sys.stderr, flush=True)
    return results


def warm_up() -> None:
    """Let Python load what the first use of every way loads: seconds that whoever is first would pay for all."""
    scene = open_pair(PAIRS[0], WARM_SIZE)
    for paint in make_methods(2).values():
        paint(scene, Recorder(2))


def describe_run(asked: argparse.Namespace) -> Results:
    """Describe what is measured, and on what."""
    return {
        "size": asked.size,
        "iterations": asked.iterations,
        "torch": torch.__version__,
        "cpu": str(torch.cpu.get_capabilities().get("cpu_name", "unknown")),
        "threads": torch.get_num_threads(),
        "precision": str(choose_precision(torch.device("cpu"))).removeprefix("torch."),
        "pairs": {},
    }


def main() -> None:
    """Measure, or read what was measured, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="longest side in px")
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="how many pairs of images")
    parser.add_argument("--iterations", type=int, default=300, help="of the plain ways")
    parser.add_argument("--reach", type=float, nargs="+", default=[0.5, 0.3, 0.2, 0.1], help="style distances")
    parser.add_argument("--out", type=Path, default=Path("results.json"), help="where the curves are saved")
    parser.add_argument("--table", type=Path, help="print the tables of saved curves instead")
    asked = parser.parse_args()
    if not asked.table and not WEIGHTS.is_file():
        parser.error("GUIDEDSTYLE_TEST_DATA does not name the test data")
    keep_freed_memory()
    print("\n".join(describe(json.loads(asked.table.read_text()) if asked.table else measure(asked), asked.reach)))


if __name__ == "__main__":
    main()
