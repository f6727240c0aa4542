"""Minimise a loss step by step; why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from guidedstyle.engine.solvers.first_order import OPTIMISERS, Optimiser
from guidedstyle.engine.solvers.lbfgs import LEAP
from guidedstyle.types import SolverMethod

PATIENCE = 10  # steps between two looks at the losses
SLIGHT = 0.01  # of a loss: less may be rounding

DONE, FLAT = "all steps are done", "the loss no longer falls"
STOPPED = "stopped by hand"
BROKEN, DIVERGED = "the loss was no longer a number", "the loss rose, even with short steps"


class HasTotal(Protocol):
    """What an objective returns: anything with a scalar `total`."""

    @property
    def total(self) -> Tensor:
        """What is minimised, a scalar."""


L = TypeVar("L", bound=HasTotal)
Objective = Callable[[Tensor], L]
State = dict[str, Any]  # plain data and tensors


@dataclass(frozen=True)
class Step(Generic[L]):
    """Where a descent is after a step: its number from 1, and the losses that it set out from.

    `save` returns all it takes to go on from here, as plain data that refers to the descent's own tensors.
    """

    number: int
    losses: L
    save: Callable[[], State]
    look: Callable[[], Tensor]

    @property
    def image(self) -> Tensor:
        """The best image (1, 3, H, W) so far."""
        return self.look()


@dataclass(frozen=True)
class Ending:
    """After how many steps a descent ended, why, and whether it was through."""

    steps: int
    reason: str
    finished: bool


def minimise(
    objective: Objective[L],
    start: Tensor,
    method: SolverMethod,
    steps: int,
    watch: Callable[[Step[L]], bool],
    rate: float | None = None,
    tolerance: float = 0.0,
    state: State | None = None,
) -> tuple[Tensor, Ending]:
    """Minimise `objective` from `start` (1, 3, H, W) within [0, 1]; returns the best image and how it ended.

    Hands each step to `watch`. Stops after `steps`, when PATIENCE steps have lowered the loss by less than `tolerance`
    of it, when `watch` returns False, or when the loss is no longer a number, or leaps to the end and never
    fell; these return the image before it broke. `rate` is the size of the first steps, in units of the pixels' range.
    Losses are looked at every PATIENCE steps only, so that a GPU need not wait for the host. With the `state` that a
    step saved it goes on from there, bit by bit.
    """
    optimiser, totals = OPTIMISERS[method](start, rate, steps), list[Tensor]()
    del start  # of a large image every copy counts
    if state:
        state = _bring(state, optimiser.image.device)
        optimiser.restore(state["descent"])
        totals += state["totals"]
    while not (reason := _judge(totals, steps, tolerance)):
        losses, gradient = _differentiate(objective, optimiser.image)
        totals.append(losses.total.detach())
        optimiser.step(totals[-1], gradient)
        step = Step(len(totals), losses, lambda: _save(optimiser, totals), lambda: optimiser.best)
        if not watch(step):
            return optimiser.best, Ending(len(totals), STOPPED, finished=False)
    return optimiser.best, Ending(len(totals), reason, reason != BROKEN)


def _save(optimiser: Optimiser, totals: Sequence[Tensor]) -> State:
    return {"descent": optimiser.save(), "totals": torch.stack(list(totals))}


def _bring(state: Any, device: torch.device) -> Any:
    """Bring a state's tensors to a device."""
    if isinstance(state, dict):
        return {key: _bring(value, device) for key, value in state.items()}
    if isinstance(state, tuple):
        return tuple(_bring(value, device) for value in state)
    return state.to(device) if isinstance(state, Tensor) else state


def _judge(totals: Sequence[Tensor], steps: int, tolerance: float) -> str | None:
    """Tell why a descent with these losses has to end, if it has."""
    done = len(totals) >= steps
    if not totals or (len(totals) % PATIENCE and not done):
        return DONE if done else None
    losses = [loss if isfinite(loss) else inf for loss in torch.stack(list(totals)).tolist()]
    earlier, recent = losses[:-PATIENCE], losses[-PATIENCE:]
    if min(recent) == inf:
        return BROKEN
    leapt = max(recent) > LEAP * min(losses)  # the descent still looks for a rate
    if done:
        return DIVERGED if leapt and min(losses) > (1 - SLIGHT) * losses[0] else DONE
    flat = tolerance and earlier and not leapt and min(recent) > (1 - tolerance) * min(earlier)
    return FLAT if flat else None


def _differentiate(objective: Objective[L], image: Tensor) -> tuple[L, Tensor]:
    """Compute losses and gradient, in units of loss per pixel: what a step does must not depend on the size."""
    image = image.detach().requires_grad_()
    losses = objective(image)
    (gradient,) = torch.autograd.grad(losses.total * image.numel(), image)
    return losses, gradient
