"""Minimise any function of an image. Nothing here knows of style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from guidedstyle.descents import DESCENTS

PATIENCE = 10  # steps between two looks at the losses

DONE, FLAT = "all steps are done", "the loss no longer falls"
STOPPED, BROKEN = "stopped by hand", "the loss was no longer a number"


class HasTotal(Protocol):
    """What an objective returns: anything with a scalar `total`."""

    @property
    def total(self) -> Tensor:
        """What is minimised, a scalar."""


L = TypeVar("L", bound=HasTotal)
Objective = Callable[[Tensor], L]


@dataclass(frozen=True)
class Step(Generic[L]):
    """The state after a step: its number from 1, the image, and the losses that the step set out from."""

    number: int
    image: Tensor
    losses: L


@dataclass(frozen=True)
class Solution:
    """Where the solver ended, after how many steps, and why it stopped."""

    image: Tensor
    steps: int
    reason: str
    finished: bool


def minimise(
    objective: Objective[L],
    start: Tensor,
    method: str,
    steps: int,
    watch: Callable[[Step[L]], bool],
    rate: float | None = None,
    tolerance: float = 0.0,
) -> Solution:
    """Minimise `objective` from `start` (1, 3, H, W) within [0, 1], handing each step to `watch`.

    Stops after `steps`, when PATIENCE steps have lowered the loss by less than `tolerance` of it, when `watch`
    returns False, or when the loss is no longer a number; the last returns the image before it broke. `rate` is the
    size of the first steps, in units of the pixels' range. Losses are looked at every PATIENCE steps only, so that
    a GPU need not wait for the host.
    """
    descent, totals = DESCENTS[method](start, rate, steps), list[Tensor]()
    del start  # of a large picture every copy counts
    for number in range(1, steps + 1):
        losses, gradient = _differentiate(objective, descent.image)
        totals.append(losses.total.detach())
        descent.step(totals[-1], gradient)
        reason = None if watch(Step(number, descent.best, losses)) else STOPPED
        if not reason and (number % PATIENCE == 0 or number == steps):
            reason = _judge(torch.stack(totals).tolist(), tolerance)
        if reason or number == steps:
            return Solution(descent.best, number, reason or DONE, reason in (None, FLAT))
    raise ValueError("there is nothing to do in no steps")


def _judge(losses: Sequence[float], tolerance: float) -> str | None:
    """Tell why a descent with these losses has to end, if it has."""
    if not isfinite(sum(losses)):
        return BROKEN
    earlier = losses[:-PATIENCE]
    return FLAT if tolerance and earlier and min(losses) > (1 - tolerance) * min(earlier) else None


def _differentiate(objective: Objective[L], image: Tensor) -> tuple[L, Tensor]:
    """Compute losses and gradient, in units of loss per pixel: what a step does must not depend on the size."""
    image = image.detach().requires_grad_()
    losses = objective(image)
    (gradient,) = torch.autograd.grad(losses.total * image.numel(), image)
    return losses, gradient
