"""Optimise an image from coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from guidedstyle.device.distributed import all_agree
from guidedstyle.device.memory import free_memory
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.objective.targets import Memory
from guidedstyle.engine.plan import Plan, make_plan
from guidedstyle.engine.rendering import Rendering, Snapshot, Update, Watch, stack_losses
from guidedstyle.engine.solvers.minimise import Ending, EndReason, State, Step, minimise
from guidedstyle.engine.start import make_start
from guidedstyle.engine.synthesis import make_style_images
from guidedstyle.errors import StoppedEarlyError, is_out_of_memory
from guidedstyle.io.images import fit_size
from guidedstyle.losses.terms import Losses
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.scene.styles import StyleImage
from guidedstyle.types import Array


def render(
    scene: Scene,
    encoder: Encoder,
    plan: Plan,
    watch: Watch = lambda update: True,
    memory: Memory | None = None,
    snapshot: Snapshot | None = None,
) -> Rendering:
    """Paint a scene from coarse to fine (Gatys et al. 2017, sec. 6.2), all targets computed anew at each size.

    Ends when all steps are done, or the loss no longer falls, or when `watch` returns False, with the image so far
    at full size. `memory` holds the statistics of style images, for renders that share them. With a `snapshot` of the
    same scene and plan it resumes from there, on the CPU bit by bit.
    """
    began = time.monotonic() - (snapshot.seconds if snapshot else 0)
    encoder = encoder.to(plan.device, plan.precision).to(memory_format=torch.channels_last)
    scene = replace(scene, style_images=make_style_images_for(scene, encoder, plan, watch))
    painter = _Painter(scene, encoder, plan, watch, {} if memory is None else memory, began)
    painter.restore(snapshot) if snapshot else painter.begin()
    painter.paint()
    with torch.no_grad():
        losses = painter.objective(painter.image)
        picture, paint = finish_image(scene, plan, painter.image)
    curves, notes = stack_losses(painter.stages, painter.losses), tuple(painter.collect_warnings(plan))
    endings, seconds = tuple(painter.endings), time.monotonic() - began
    return Rendering(picture, paint, painter.plan, losses, curves, endings, seconds, notes)


class _Painter:
    """Solves one size after another."""

    objective: Objective
    state: State | None = None  # of the solver, to begin the next size with

    def __init__(self, scene: Scene, encoder: Encoder, plan: Plan, watch: Watch, memory: Memory, began: float) -> None:
        self.scene, self.encoder, self.plan, self.watch, self.memory = scene, encoder, plan, watch, memory
        self.began, self.endings, self.stages, self.losses = began, list[Ending](), list[int](), list[Losses]()

    def begin(self) -> None:
        """Begin with what the recipe starts from."""
        self.image = make_start(self.scene, Canvas.at_size(self.scene, self.plan.stages[0].size, self.plan.device))

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot."""
        self.endings, self.state = list(snapshot.endings), snapshot.state
        self.stages, self.losses = snapshot.curves.stages.tolist(), snapshot.curves.unstack()
        self.image = snapshot.image.to(self.plan.device)

    def paint(self) -> None:
        """Solve every size that is left, until one is not finished."""
        for stage in self.plan.stages[len(self.endings) :]:
            self._solve(stage)
            self.state = None
            if not self.endings[-1].finished:
                return

    def collect_warnings(self, planned: Plan) -> Iterator[str]:
        """Tell what went otherwise than planned: tiles for want of memory, and sizes that found no way down."""
        yield from self.plan.describe_smaller_tiles(planned)
        for stage, ending in zip(self.plan.stages, self.endings, strict=False):
            if ending.reason in (EndReason.DIVERGED, EndReason.NOT_FINITE):
                what = "the best image so far is kept; a smaller solver.rate or smaller strengths may help"
                yield f"at {max(stage.size)} px {ending.reason.phrase}: {what}"

    def _solve(self, stage: Stage) -> None:
        """Solve one size, and where memory does not suffice, in smaller and smaller tiles, each time from its start."""
        known = len(self.losses)
        while True:
            try:
                self.image, ending = self._attempt(stage)
                self.endings.append(ending)
                return
            except (MemoryError, RuntimeError) as error:
                smaller = self.plan.shrink(stage) if is_out_of_memory(error) else None
                if smaller is None:
                    raise
            self.plan, self.state = smaller, None  # the tensors of the state have changed since
            del self.losses[known:], self.stages[known:]
            free_memory(self.plan.device)

    def _attempt(self, stage: Stage) -> tuple[Tensor, Ending]:
        solver = self.scene.recipe.solver
        self.objective = Objective(self.scene, self.encoder, self.plan, stage, self.memory)
        index = self.plan.stages.index(stage)
        before = sum(earlier.steps for earlier in self.plan.stages[:index])

        def on_step(step: Step[Losses]) -> bool:
            shown = replace(step, losses=step.losses.detach())
            self.stages.append(index)
            self.losses.append(shown.losses)
            update = Update(index, before + step.number, shown, partial(self._show, step), partial(self._save, step))
            return all_agree(self.watch(update))

        return minimise(
            self.objective,
            resize(self.image, stage.size),
            method=solver.method,
            steps=stage.steps,
            on_step=on_step,
            learning_rate=solver.rate,
            tolerance=solver.tolerance,
            state=self.state,
        )

    def _show(self, step: Step[Losses], longest: int) -> Array:
        with torch.no_grad():
            picture = self.objective.canvas.compose(step.image)
            height, width = picture.shape[2:]
            return resize(picture, fit_size((width, height), min(longest, max(height, width)))).cpu().numpy()

    def _save(self, step: Step[Losses]) -> Snapshot:
        curves, seconds = stack_losses(self.stages, self.losses), time.monotonic() - self.began
        plan, endings = self.plan, tuple(self.endings)
        return Snapshot(endings, step.image, step.state_dict(), plan.tilings, plan.precision, curves, seconds)


def make_style_images_for(
    scene: Scene, encoder: Encoder, plan: Plan, watch: Watch = lambda update: True
) -> dict[str, StyleImage]:
    """Make the style images of a scene that are made of two, each by a render of its own, watched as step 0.

    Raises StoppedEarlyError where `watch` returns False.
    """

    def paint(synthesis: Scene) -> tuple[Array, bool]:
        own = replace(make_plan(synthesis, encoder, str(plan.device), plan.limits), precision=plan.precision)
        rendering = render(synthesis, encoder, own, lambda update: watch(replace(update, stage=0, done=0)))
        if rendering.end_reason == EndReason.INTERRUPTED:
            raise StoppedEarlyError
        return rendering.image, rendering.finished

    return make_style_images(scene, encoder, paint)


def finish_image(scene: Scene, plan: Plan, image: Tensor) -> tuple[Array, Array]:
    """Bring an image to full size: laid over what is kept, and as it is."""
    canvas = Canvas.at_size(scene, plan.stages[-1].size, plan.device)
    paint = canvas.colour(resize(image, plan.stages[-1].size))
    return canvas.lay(paint).cpu().numpy(), paint.cpu().numpy()
