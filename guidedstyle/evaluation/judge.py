"""Judge renders: style and content distances under the teacher, grid artefacts of pooling, and a second judge."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Rendering
from guidedstyle.engine.render import render
from guidedstyle.errors import GuidedStyleError
from guidedstyle.evaluation.second_judge import LayerDistances, SecondJudge
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

REPEATS = 9
TILE = 32  # px
TINY = 1e-12
FLAT_SHARE = 0.25  # of the tiles
POOLING = (TILE // 8, TILE // 4, TILE // 2)  # periods of 8, 4 and 2 px, in cycles per tile


@dataclass(frozen=True)
class Verdict:
    """An image (1, 3, H, W), its style and content loss under the teacher, and its grid artefacts (0 to 1).

    `second` are its style distances under a second judge; None: there is none.
    """

    image: Array
    style: float
    content: float
    grid: float
    second: LayerDistances | None = None


@dataclass(frozen=True)
class EncoderComparison:
    """A student encoder compared with its teacher on one scene, after equal steps and after equal times.

    `teacher_in_student_time` took about as long as `student`, `student_in_teacher_time` as long as `teacher`.
    `step_ratio` is the time of a student's step in steps of the teacher.
    """

    name: str
    teacher: Verdict
    student: Verdict
    teacher_in_student_time: Verdict
    student_in_teacher_time: Verdict
    step_ratio: float

    @property
    def ratios(self) -> tuple[float, ...]:
        """The ratios student / teacher: style, content, grid, step time, style in the student's and teacher's time.

        With a second judge, also its style distances after equal steps.
        """
        student, teacher = self.student, self.teacher
        second = [_divide(student.second.mean, teacher.second.mean)] if student.second and teacher.second else []
        return (
            _divide(student.style, teacher.style),
            _divide(student.content, teacher.content),
            _divide(student.grid, teacher.grid),
            self.step_ratio,
            _divide(student.style, self.teacher_in_student_time.style),
            _divide(self.student_in_teacher_time.style, teacher.style),
            *second,
        )


def _divide(student: float, teacher: float) -> float:
    return (student + TINY) / (teacher + TINY)  # both are zero if a first step changes nothing


class Judge:
    """Render scenes in a fixed number of steps and judge the results under the teacher, and a `second` judge."""

    def __init__(self, teacher: Encoder, steps: int, *, second: SecondJudge | None = None) -> None:
        self.teacher, self.steps, self.second = teacher, steps, second

    def compare(self, name: str, scene: Scene, student: Encoder) -> EncoderComparison:
        """Compare a student with the teacher on one scene."""
        step_ratio = self.time_steps(scene, student)
        by_student, by_teacher = (self.render(scene, encoder, self.steps) for encoder in (student, self.teacher))
        ratio = by_teacher.seconds / by_student.seconds
        short = self.render(scene, self.teacher, max(1, round(self.steps / ratio)))
        long = self.render(scene, student, max(1, round(self.steps * ratio)))
        return EncoderComparison(
            name=name,
            teacher=self.judge(scene, by_teacher),
            student=self.judge(scene, by_student),
            teacher_in_student_time=self.judge(scene, short),
            student_in_teacher_time=self.judge(scene, long),
            step_ratio=step_ratio,
        )

    def render(self, scene: Scene, encoder: Encoder, steps: int) -> Rendering:
        """Render a scene in exactly `steps` steps; raises GuidedStyleError if it ends before."""
        solver = scene.recipe.solver.model_copy(update={"steps": steps, "tolerance": 0.0})
        scene = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
        rendering = render(scene, encoder, make_plan(scene, encoder))
        if not rendering.finished:
            place, rule = f"encoder: {encoder.architecture.name}", f"the render ended early: {rendering.reason}"
            raise GuidedStyleError.of(place, rule, "compare other weights")
        return rendering

    def judge(self, scene: Scene, rendering: Rendering) -> Verdict:
        """Measure a result under the teacher, at its final size and over all octaves, and under the second judge."""
        objective = _make_objective(scene, self.teacher)
        with torch.no_grad():
            losses = objective.measure(torch.from_numpy(rendering.image).to(objective.plan.device))
        style, content = (float(objective.weights.balance @ part) for part in (losses.style, losses.content))
        second = self.second.measure(scene, rendering.image) if self.second else None
        return Verdict(rendering.image, style, content, measure_grid(rendering.image, scene.content), second)

    def time_steps(self, scene: Scene, student: Encoder) -> float:
        """Return the time of a gradient under the student, in gradients under the teacher (medians, by turns)."""
        objectives = [_make_objective(scene, encoder) for encoder in (student, self.teacher)]
        image = objectives[0].canvas.content
        times: list[list[float]] = [[], []]
        for _ in range(REPEATS):
            for taken, objective in zip(times, objectives, strict=True):
                start = time.perf_counter()
                objective(image.clone().requires_grad_()).total.backward()
                taken.append(time.perf_counter() - start)
        by_student, by_teacher = (median(taken[1:]) for taken in times)
        return by_student / by_teacher


def _make_objective(scene: Scene, encoder: Encoder) -> Objective:
    """Make the objective of a scene at its final size."""
    plan = make_plan(scene, encoder)
    encoder = encoder.move(plan.device, plan.precision)
    return Objective(scene, encoder, plan, plan.stages[-1])


def measure_grid(image: Array, content: Array) -> float:
    """Measure the share (0 to 1) of an image's energy at the pooling frequencies, where the content is flat.

    Both are (1, 3, H, W), at least TILE px a side. A grid of n px appears in the spectrum at multiples of 1/n along
    one axis: those rows and columns of each windowed tile's spectrum are summed and divided by the energy of all
    frequencies but the lowest.
    """
    tiles, variance = _cut_tiles(image), _cut_tiles(content).var((1, 2))
    flat = tiles[np.argsort(variance)[: max(1, int(FLAT_SHARE * len(tiles)))]]
    window = np.hanning(TILE)[:, None] * np.hanning(TILE)
    power = np.square(np.abs(np.fft.fft2((flat - flat.mean((1, 2), keepdims=True)) * window))).sum(0)
    frequency = np.minimum(np.arange(TILE), TILE - np.arange(TILE))
    low = frequency < 3
    power[np.ix_(low, low)] = 0
    pooling = np.isin(frequency, POOLING)
    on_axis = (pooling[:, None] & low) | (low[:, None] & pooling)
    return float(power[on_axis].sum() / max(power.sum(), TINY))


def _cut_tiles(image: Array) -> Array:
    """Cut the mean of the channels into tiles (N, TILE, TILE)."""
    grey = image[0].mean(0)
    rows, columns = (side // TILE for side in grey.shape)
    cut = grey[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    tiles: Array = cut.transpose(0, 2, 1, 3).reshape(-1, TILE, TILE)
    return tiles
