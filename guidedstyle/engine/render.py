"""Optimise an image from coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidedstyle.device.distributed import all_agree
from guidedstyle.device.free_memory import free_memory, trim_memory
from guidedstyle.device.threads import sharing_cores
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.engine.combined_styles import make_style_images
from guidedstyle.engine.objective.canvas import Canvas, overlay
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import Plan, make_plan
from guidedstyle.engine.progress import OnUpdate, Progress, Rendering, Snapshot, Update
from guidedstyle.engine.solvers.minimise import EndReason, Step, minimise
from guidedstyle.engine.start_image import enlarge, make_start, paint_start
from guidedstyle.errors import StoppedEarlyError, is_out_of_memory
from guidedstyle.losses.terms import Losses
from guidedstyle.scene.scene import Scene, Stage, StyleImage
from guidedstyle.types import Array


@sharing_cores()
def render(
    scene: Scene,
    encoder: Encoder,
    plan: Plan,
    *,
    on_update: OnUpdate = lambda update: True,
    statistics: StatisticsCache | None = None,
    snapshot: Snapshot | None = None,
) -> Rendering:
    """Render a scene from coarse to fine (Gatys et al. 2017, sec. 6.2), with new style targets at each size.

    Ends when all steps are done, when the loss no longer falls, or when `on_update` returns False; the image so far is
    then brought to full size. Renders that share `statistics` measure each style image once. With a `snapshot` of
    the same scene and plan it resumes from there, on the CPU to the same bits.
    """
    began = time.monotonic()
    encoder = plan.place(encoder)
    scene = replace(scene, style_images=make_style_images_for(scene, encoder, plan, on_update=on_update))
    start, warnings = (snapshot, []) if snapshot else _start(scene, plan)
    progress = Progress.resume(start, plan, began)
    solver = _Solver(scene, encoder, progress, on_update, StatisticsCache() if statistics is None else statistics)
    objective = solver.solve_stages()
    with torch.no_grad():
        losses = objective(progress.image)
        canvas = Canvas.at_size(scene, plan.stages[-1].size, plan.device)
        paint = canvas.colour(enlarge(progress.image, scene, canvas))
        image = overlay(canvas.content, paint, canvas.opacity)
    return Rendering(
        image=image.cpu().numpy(),
        paint=paint.cpu().numpy(),
        opacity=canvas.opacity.cpu().numpy(),
        plan=progress.plan,
        losses=losses,
        history=progress.history,
        endings=tuple(progress.endings),
        seconds=progress.seconds,
        notes=(*warnings, *collect_warnings(progress, plan)),
    )


def _start(scene: Scene, plan: Plan) -> tuple[Snapshot, list[str]]:
    """Start the first stage from the image that the recipe's `init` describes, or a network paints; with warnings."""
    canvas = Canvas.at_size(scene, plan.stages[0].size, plan.device)
    image, warnings = paint_start(scene, canvas, plan) if scene.recipe.network else (make_start(scene, canvas), [])
    return Snapshot.of_image(image, plan), warnings


@dataclass(frozen=True)
class _Solver:
    """Solves one stage after another."""

    scene: Scene
    encoder: Encoder
    progress: Progress
    on_update: OnUpdate
    statistics: StatisticsCache

    def solve_stages(self) -> Objective:
        """Solve the remaining stages until one is not finished; returns the objective of the last one."""
        progress = self.progress
        for stage in progress.plan.stages[len(progress.endings) :]:
            objective = self._solve(stage)
            progress.state = None
            if stage == progress.plan.stages[-1] or not progress.endings[-1].finished:
                return objective
            del objective  # frees its memory for the next stage
        raise ValueError("a snapshot of a finished render has no stage to resume")

    def _solve(self, stage: Stage) -> Objective:
        """Solve a stage; when memory runs out, start it over in smaller tiles."""
        progress, known = self.progress, len(self.progress.losses)
        while True:
            try:
                return self._attempt(stage)
            except (MemoryError, RuntimeError) as error:
                smaller = progress.plan.shrink(stage) if is_out_of_memory(error) else None
                if smaller is None:
                    raise
            progress.plan, progress.state = smaller, None  # the tensors of the state have changed since
            del progress.losses[known:], progress.stages[known:]
            free_memory(progress.plan.device)

    def _make_start(self, objective: Objective) -> Tensor:
        """Make the image that a stage starts from."""
        start = enlarge(self.progress.image, self.scene, objective.canvas)
        self._trim(objective.stage)
        return start

    def _trim(self, stage: Stage) -> None:
        """Return freed memory to the system where memory is short."""
        if self.progress.plan.tiling(stage).side:
            trim_memory()

    def _attempt(self, stage: Stage) -> Objective:
        progress, solver = self.progress, self.scene.recipe.solver
        self._trim(stage)
        objective = Objective(self.scene, self.encoder, progress.plan, stage, statistics=self.statistics)
        index = progress.plan.stages.index(stage)
        before = sum(earlier.steps for earlier in progress.plan.stages[:index])

        def on_step(step: Step[Losses]) -> bool:
            progress.stages.append(index)
            progress.losses.append(step.losses)
            return all_agree(self.on_update(Update(index, before + step.number, step, objective.canvas, progress)))

        progress.image, ending = minimise(
            objective,
            self._make_start(objective),  # nothing here keeps it
            method=solver.method,
            steps=stage.steps,
            on_step=on_step,
            learning_rate=solver.learning_rate,
            tolerance=solver.tolerance,
            history=progress.plan.history(stage),
            state=progress.state,
        )
        progress.endings.append(ending)
        return objective


def collect_warnings(progress: Progress, planned: Plan) -> Iterator[str]:
    """Report stages that were not computed as planned, and those that diverged."""
    yield from progress.plan.describe_changes(planned)
    for stage, ending in zip(progress.plan.stages, progress.endings, strict=False):
        if ending.reason in (EndReason.DIVERGED, EndReason.NOT_FINITE):
            hint = "the best image so far is kept; a smaller solver.learning_rate or smaller strengths may help"
            yield f"at {max(stage.size)} px {ending.reason.phrase}: {hint}"


def make_style_images_for(
    scene: Scene, encoder: Encoder, plan: Plan, *, on_update: OnUpdate = lambda update: True
) -> dict[str, StyleImage]:
    """Synthesise the style images of a scene that are made of two; their updates count as step 0.

    Raises StoppedEarlyError when `on_update` returns False.
    """

    def paint(synthesis: Scene) -> tuple[Array, bool]:
        own = replace(make_plan(synthesis, encoder, str(plan.device), limits=plan.limits), precision=plan.precision)
        rendering = render(
            synthesis, encoder, own, on_update=lambda update: on_update(replace(update, stage=0, done=0))
        )
        if rendering.end_reason == EndReason.INTERRUPTED:
            raise StoppedEarlyError
        return rendering.image, rendering.finished

    return make_style_images(scene, encoder, paint)
