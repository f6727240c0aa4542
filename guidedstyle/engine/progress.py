"""Updates, snapshots, results and loss history of a render."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidedstyle.device.modes import UsualModes
from guidedstyle.device.transfer import send
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.solvers.lbfgs import History
from guidedstyle.engine.solvers.minimise import Ending, EndReason, State, Step
from guidedstyle.io.images.reading import fit_size
from guidedstyle.losses.terms import Losses
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.types import Array


@dataclass(frozen=True)
class LossHistory:
    """The losses before each of N steps, of R painted regions, on the CPU.

    `stages` (N,) are the indices of the stages; `total` and `smoothness` are (N,), `style` and `content` (N, R).
    """

    stages: Tensor
    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor

    @classmethod
    def stack(cls, stages: Sequence[int], losses: Sequence[Losses]) -> LossHistory:
        """Stack the losses of steps, from the first to the last."""
        terms = (
            torch.stack([getattr(one, term) for one in losses]).cpu() if losses else torch.empty(0)
            for term in ("total", "style", "content", "smoothness")
        )
        return cls(torch.tensor(stages), *terms)

    def unstack(self, device: torch.device) -> list[Losses]:
        """Return the losses of every step, on a device."""
        terms = (send(one, device) for one in (self.total, self.style, self.content, self.smoothness))
        return [Losses(*found) for found in zip(*terms, strict=True)]


@dataclass(frozen=True)
class Snapshot:
    """Everything a render needs to resume.

    `endings` say how the earlier stages ended; `image` (1, 3, h, w) is that of the current stage, at its size or
    another one, and `state` the solver's. Without a state the stage starts over from the image. `seconds` is the time
    that was spent so far. The tensors are not copied: a snapshot of a running render is valid until its next step.
    """

    endings: tuple[Ending, ...]
    image: Tensor
    state: State | None
    tilings: tuple[Tiling, ...]
    histories: tuple[History, ...]
    precision: torch.dtype
    history: LossHistory
    seconds: float

    @classmethod
    def of_image(cls, image: Tensor, plan: Plan) -> Snapshot:
        """Start the first stage of a plan from an image (1, 3, h, w)."""
        return cls((), image, None, plan.tilings, plan.histories, plan.precision, LossHistory.stack([], []), 0.0)


@dataclass
class Progress:
    """How far a render is: the only object that changes while it runs.

    `plan` is what is carried out: its tiles shrink when memory runs out. `stages` and `losses` are those of all steps.
    """

    plan: Plan
    image: Tensor
    began: float  # on the monotonic clock
    endings: list[Ending]
    state: State | None  # of the solver, to continue the current stage from
    stages: list[int]
    losses: list[Losses]

    @classmethod
    def resume(cls, snapshot: Snapshot, plan: Plan, began: float) -> Progress:
        """Continue from a snapshot, `began` being when this process began to render."""
        return cls(
            plan=plan,
            image=snapshot.image.to(plan.device),
            began=began - snapshot.seconds,
            endings=list(snapshot.endings),
            state=snapshot.state,
            stages=snapshot.history.stages.tolist(),
            losses=snapshot.history.unstack(plan.device),
        )

    @property
    def seconds(self) -> float:
        """The time spent so far, in earlier processes too."""
        return time.monotonic() - self.began

    @property
    def history(self) -> LossHistory:
        """The losses of all steps so far."""
        return LossHistory.stack(self.stages, self.losses)

    def snapshot(self, step: Step[Losses]) -> Snapshot:
        """Take a snapshot after a step of the current stage."""
        return Snapshot(
            endings=tuple(self.endings),
            image=step.image,
            state=step.state_dict(),
            tilings=self.plan.tilings,
            histories=self.plan.histories,
            precision=self.plan.precision,
            history=self.history,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class Update:
    """What a callback receives after each step: the stage from 0, the steps done in all stages, the step.

    Valid inside the callback only: `preview` and `snapshot` read the running render.
    """

    stage: int
    done: int
    step: Step[Losses]
    canvas: Canvas
    progress: Progress

    def preview(self, longest: int) -> Array:
        """Draw the image so far, (1, 3, h, w) in [0, 1], at the stage's size or at most `longest` px a side."""
        with UsualModes(), torch.no_grad():
            shown = self.canvas.finish(self.step.image)
            height, width = shown.shape[2:]
            return resize(shown, fit_size((width, height), min(longest, max(height, width)))).cpu().numpy()

    def snapshot(self) -> Snapshot:
        """Take a snapshot to resume from; its tensors are the render's own, valid inside the callback only."""
        with UsualModes():
            return self.progress.snapshot(self.step)


OnUpdate = Callable[[Update], bool]  # returns whether to continue


@dataclass(frozen=True)
class Rendering:
    """A finished or interrupted render: the image (1, 3, H, W) in [0, 1] and how it was made.

    `image` is `paint`, which covers everything, laid over the content image with `opacity` (H, W): 0 where it is kept.
    `plan` is what was carried out, `losses` are those of the paint at full opacity, `history` those of all steps;
    `endings` say how each stage ended, and `notes` where the render departed from its plan.
    """

    image: Array
    paint: Array
    opacity: Array
    plan: Plan
    losses: Losses
    history: LossHistory
    endings: tuple[Ending, ...]
    seconds: float
    notes: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether every stage was finished."""
        return self.endings[-1].finished

    @property
    def steps(self) -> int:
        """The number of steps of all stages."""
        return sum(ending.steps for ending in self.endings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each stage ended, in words, with its number of steps."""
        return tuple(map(str, self.endings))

    @property
    def end_reason(self) -> EndReason:
        """Why the render ended."""
        return self.endings[-1].reason

    @property
    def reason(self) -> str:
        """Why the render ended, in words, with the number of all steps, if there are any."""
        return "painted in one pass" if not self.steps else f"{self.end_reason.phrase} ({self.steps})"


def load_encoder(choice: EncoderChoice) -> Encoder:
    """Load the encoder a recipe asks for."""
    return load_by_name(choice.name, choice.weights, choice.convention)
