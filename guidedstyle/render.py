"""From an opened scene to the picture: the only place where everything meets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidedstyle.canvas import Canvas, resize
from guidedstyle.encoder import Encoder
from guidedstyle.images import Array
from guidedstyle.losses import Losses
from guidedstyle.memory import free_memory, is_out_of_memory
from guidedstyle.objective import Objective
from guidedstyle.paintings import Painting
from guidedstyle.plan import Plan, make_plan
from guidedstyle.processes import agree
from guidedstyle.recipe import EncoderChoice
from guidedstyle.scene import Scene
from guidedstyle.solver import Solution, Step, minimise
from guidedstyle.stages import Stage
from guidedstyle.starts import begin_image
from guidedstyle.synthesis import make_paintings
from guidedstyle.targets import Memory
from guidedstyle.weights import load_lite, load_vgg19


@dataclass(frozen=True)
class Update:
    """Where a render is: its stage from 0, the steps it has come of all that are planned, and the solver's step."""

    stage: int
    done: int
    step: Step[Losses]


Watch = Callable[[Update], bool]


@dataclass(frozen=True)
class Rendering:
    """A picture (1, 3, H, W) in [0, 1], the losses at its end, how each size was solved, and the seconds it took.

    `paint` is the picture before it was laid over what is kept; `plan` is what was done, and `notes` tell where that
    is not what was planned.
    """

    image: Array
    paint: Array
    plan: Plan
    losses: Losses
    solutions: tuple[Solution, ...]
    seconds: float
    notes: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether every size was solved."""
        return self.solutions[-1].finished

    @property
    def steps(self) -> int:
        """The steps taken in all."""
        return sum(solution.steps for solution in self.solutions)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each size ended."""
        return tuple(f"{solution.reason} ({solution.steps})" for solution in self.solutions)

    @property
    def reason(self) -> str:
        """Why the render ended, with the steps it took in all."""
        return f"{self.solutions[-1].reason} ({self.steps})"


def load_encoder(choice: EncoderChoice) -> Encoder:
    """Load the encoder a recipe asks for."""
    return load_lite(choice.weights) if choice.name == "lite" else load_vgg19(choice.weights, choice.convention)


def render(
    scene: Scene,
    encoder: Encoder,
    plan: Plan,
    watch: Watch = lambda update: True,
    memory: Memory | None = None,
) -> Rendering:
    """Paint a scene from coarse to fine (Gatys et al. 2017, sec. 6.2), all targets computed anew at each size.

    Ends when all steps are done, or the loss no longer falls, or when `watch` returns False, with the picture so far
    at full size. `memory` holds what was measured of paintings, for renders that share them.
    """
    began = time.monotonic()
    encoder = encoder.to(plan.device, plan.precision).to(memory_format=torch.channels_last)
    scene = replace(scene, paintings=make_paintings_for(scene, encoder, plan, watch))
    painter = _Painter(scene, encoder, plan, watch, {} if memory is None else memory)
    for stage in plan.stages:
        painter.solve(stage)
        if not painter.solutions[-1].finished:
            break
    with torch.no_grad():
        losses = painter.objective(painter.image)
        picture, paint = finish_image(scene, plan, painter.image)
    seconds, notes = time.monotonic() - began, tuple(painter.plan.tell_smaller(plan))
    return Rendering(picture, paint, painter.plan, losses, tuple(painter.solutions), seconds, notes)


class _Painter:
    """Solves one size after another."""

    objective: Objective

    def __init__(self, scene: Scene, encoder: Encoder, plan: Plan, watch: Watch, memory: Memory) -> None:
        self.scene, self.encoder, self.plan, self.watch, self.memory = scene, encoder, plan, watch, memory
        self.solutions: list[Solution] = []
        self.image = begin_image(scene, Canvas.at_size(scene, plan.stages[0].size, plan.device))

    def solve(self, stage: Stage) -> None:
        """Solve one size, and where memory does not suffice, in smaller and smaller tiles, each time from its start."""
        while True:
            try:
                self.solutions.append(self._attempt(stage))
                self.image = self.solutions[-1].image
                return
            except (MemoryError, RuntimeError) as error:
                smaller = self.plan.shrink(stage) if is_out_of_memory(error) else None
                if smaller is None:
                    raise
            self.plan = smaller
            free_memory(self.plan.device)

    def _attempt(self, stage: Stage) -> Solution:
        index, solver = self.plan.stages.index(stage), self.scene.recipe.solver
        before = sum(earlier.steps for earlier in self.plan.stages[:index])
        self.objective = Objective(self.scene, self.encoder, self.plan, stage, self.memory)

        def watch(step: Step[Losses]) -> bool:
            shown = replace(step, losses=step.losses.detach())
            return agree(self.watch(Update(index, before + step.number, shown)))

        settings = (solver.method, stage.steps, watch, solver.rate, solver.tolerance)
        return minimise(self.objective, resize(self.image, stage.size), *settings)


def make_paintings_for(
    scene: Scene, encoder: Encoder, plan: Plan, watch: Watch = lambda update: True
) -> dict[str, Painting]:
    """Make the paintings of a scene that are made of two, each by a render of its own, watched as step 0."""

    def paint(synthesis: Scene) -> tuple[Array, bool]:
        own = make_plan(synthesis, encoder, str(plan.device), plan.limits)
        rendering = render(synthesis, encoder, own, lambda update: watch(Update(0, 0, update.step)))
        return rendering.image, rendering.finished

    return make_paintings(scene, encoder, paint)


def finish_image(scene: Scene, plan: Plan, image: Tensor) -> tuple[Array, Array]:
    """Bring an image to full size: laid over what is kept, and as it is."""
    canvas = Canvas.at_size(scene, plan.stages[-1].size, plan.device)
    paint = canvas.colour(resize(image, plan.stages[-1].size))
    return canvas.lay(paint).cpu().numpy(), paint.cpu().numpy()
