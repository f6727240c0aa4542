"""Judge renders by the teacher's style and content distances."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median

import torch

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.render import render
from guidedstyle.engine.rendering import Rendering
from guidedstyle.errors import GuidedStyleError
from guidedstyle.evaluation.spectrum import measure_grid
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

REPETITIONS = 9


@dataclass(frozen=True)
class Verdict:
    """What the teacher says of an image: its style and content loss, and the share of its energy on a grid."""

    image: Array
    style: float
    content: float
    grid: float


@dataclass(frozen=True)
class Comparison:
    """An encoder beside the teacher on one scene.

    `in_teachers_time` is the encoder's image after about as long as the teacher took, by as many more steps;
    `teacher_in_time` the teacher's after about as long as the encoder took. `step` is the time of an encoder's
    step, in steps of the teacher.
    """

    name: str
    teacher: Verdict
    student: Verdict
    teacher_in_time: Verdict
    in_teachers_time: Verdict
    step: float


class Judge:
    """Renders scenes and judges the images by the teacher."""

    def __init__(self, teacher: Encoder, steps: int) -> None:
        self.teacher, self.steps = teacher, steps

    def compare(self, name: str, scene: Scene, student: Encoder) -> Comparison:
        """Compare a student with the teacher on one scene."""
        step = self.time_steps(scene, student)
        ours, theirs = (self.paint(scene, encoder, self.steps) for encoder in (student, self.teacher))
        ratio = theirs.seconds / ours.seconds
        short = self.paint(scene, self.teacher, max(1, round(self.steps / ratio)))
        long = self.paint(scene, student, max(1, round(self.steps * ratio)))
        teacher, mine, short_verdict, long_verdict = (
            self.judge(scene, rendering) for rendering in (theirs, ours, short, long)
        )
        return Comparison(name, teacher, mine, short_verdict, long_verdict, step)

    def paint(self, scene: Scene, encoder: Encoder, steps: int) -> Rendering:
        """Render a scene in so many steps."""
        solver = scene.recipe.solver.model_copy(update={"steps": steps, "tolerance": 0.0})
        scene = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
        rendering = render(scene, encoder, make_plan(scene, encoder))
        if not rendering.finished:
            place, remedy = f"encoder: {encoder.architecture.name}", "compare other weights"
            raise GuidedStyleError.of(place, f"the render broke off: {rendering.reason}", remedy)
        return rendering

    def judge(self, scene: Scene, rendering: Rendering) -> Verdict:
        """Measure an image by the teacher, at the last size and over all octaves."""
        objective = make_objective(scene, self.teacher)
        with torch.no_grad():
            losses = objective.measure(torch.from_numpy(rendering.image).to(objective.plan.device))
        style, content = (float(objective.balance @ part) for part in (losses.style, losses.content))
        return Verdict(rendering.image, style, content, measure_grid(rendering.image, scene.content))

    def time_steps(self, scene: Scene, student: Encoder) -> float:
        """Time a gradient of the student in gradients of the teacher, side by side."""
        objectives = [make_objective(scene, encoder) for encoder in (student, self.teacher)]
        image = objectives[0].canvas.content
        times: list[list[float]] = [[], []]
        for _ in range(REPETITIONS):
            for spent, objective in zip(times, objectives, strict=True):
                began = time.perf_counter()
                objective(image.clone().requires_grad_()).total.backward()
                spent.append(time.perf_counter() - began)
        mine, theirs = (median(spent[1:]) for spent in times)
        return mine / theirs


def make_objective(scene: Scene, encoder: Encoder) -> Objective:
    """Make the losses of a scene at its final size."""
    plan = make_plan(scene, encoder)
    return Objective(
        scene, encoder.to(plan.device, plan.precision).to(memory_format=torch.channels_last), plan, plan.stages[-1]
    )
