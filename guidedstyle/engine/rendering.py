"""Updates, snapshots, results and loss history of a render."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.weights import load_lite, load_vgg19
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.solvers.minimise import Ending, EndReason, State, Step
from guidedstyle.losses.terms import Losses
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.types import Array


@dataclass(frozen=True)
class LossHistory:
    """The losses that N steps set out from, over R painted regions, on the CPU.

    `stages` (N,) number the sizes that the steps were taken at, from 0; `total` and `smoothness` are (N,), `style` and
    `content` (N, R).
    """

    stages: Tensor
    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor

    def unstack(self) -> list[Losses]:
        """Return the losses of every step."""
        return [Losses(*terms) for terms in zip(self.total, self.style, self.content, self.smoothness, strict=True)]


def stack_losses(stages: Sequence[int], losses: Sequence[Losses]) -> LossHistory:
    """Trace the losses of steps, the first first."""
    terms = (
        torch.stack([getattr(one, term).cpu() for one in losses]) if losses else torch.empty(0)
        for term in ("total", "style", "content", "smoothness")
    )
    return LossHistory(torch.tensor(stages), *terms)


@dataclass(frozen=True)
class Snapshot:
    """All it takes to go on: how earlier sizes ended, this one's image and solver, how it is computed, losses, seconds.

    Its tensors are the render's own: they change with its next step. Without a solver's state the size is begun anew.
    """

    endings: tuple[Ending, ...]
    image: Tensor
    state: State | None
    tilings: tuple[Tiling, ...]
    precision: torch.dtype
    curves: LossHistory
    seconds: float


@dataclass(frozen=True)
class Update:
    """Where a render is: its stage from 0, the steps it has come of all that are planned, and the solver's step.

    `show` makes the image so far, (1, 3, h, w) in [0, 1] at the stage's size or with at most so many px a side, and
    `save` what goes on from here.
    """

    stage: int
    done: int
    step: Step[Losses]
    show: Callable[[int], Array]
    save: Callable[[], Snapshot]


Watch = Callable[[Update], bool]


@dataclass(frozen=True)
class Rendering:
    """An image (1, 3, H, W) in [0, 1], the losses at its end, how each size ended, and the seconds it took.

    `paint` is the image before it was laid over what is kept; `plan` is what was done, and `notes` tell where that
    is not what was planned; `curves` are the losses on the way.
    """

    image: Array
    paint: Array
    plan: Plan
    losses: Losses
    curves: LossHistory
    endings: tuple[Ending, ...]
    seconds: float
    notes: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether every size was solved."""
        return self.endings[-1].finished

    @property
    def steps(self) -> int:
        """The steps taken in all."""
        return sum(ending.steps for ending in self.endings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each size ended."""
        return tuple(map(str, self.endings))

    @property
    def end_reason(self) -> EndReason:
        """Why the render ended."""
        return self.endings[-1].reason

    @property
    def reason(self) -> str:
        """Why the render ended, in words, with the steps it took in all."""
        return f"{self.end_reason.phrase} ({self.steps})"


def load_encoder(choice: EncoderChoice) -> Encoder:
    """Load the encoder a recipe asks for."""
    return load_lite(choice.weights) if choice.name == "lite" else load_vgg19(choice.weights, choice.convention)
