"""Minimise a loss step by step, and say why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from guidedstyle.device.transfer import send
from guidedstyle.engine.solvers.first_order import Adam, Optimiser, OptimiserClass, Sgd
from guidedstyle.engine.solvers.lbfgs import FULL, JUMP, History, Lbfgs
from guidedstyle.types import SolverMethod

OPTIMISERS: dict[SolverMethod, OptimiserClass] = {"lbfgs": Lbfgs, "adam": Adam, "sgd": Sgd}
PATIENCE = 10  # steps between two checks of the losses
ROUNDING = 0.01  # of a loss: a smaller improvement may be rounding


class EndReason(StrEnum):
    """Why a solve ended; the values are stored in checkpoints."""

    DONE = "done"
    CONVERGED = "converged"
    INTERRUPTED = "interrupted"
    DIVERGED = "diverged"
    NOT_FINITE = "not finite"

    @property
    def phrase(self) -> str:
        """The reason in words."""
        return _PHRASES[self]


_PHRASES = {
    EndReason.DONE: "all steps are done",
    EndReason.CONVERGED: "the loss no longer falls",
    EndReason.INTERRUPTED: "interrupted",
    EndReason.DIVERGED: "the loss diverged",
    EndReason.NOT_FINITE: "the loss became infinite or NaN",
}


@dataclass(frozen=True)
class Ending:
    """After how many steps a solve ended, and why."""

    steps: int
    reason: EndReason

    @property
    def finished(self) -> bool:
        """Whether the solve ran to its end: it was not interrupted, and its loss stayed finite."""
        return self.reason not in (EndReason.INTERRUPTED, EndReason.NOT_FINITE)

    def __str__(self) -> str:
        return f"{self.reason.phrase} ({self.steps})"


class HasTotal(Protocol):
    """What an objective returns: anything with a scalar `total`."""

    @property
    def total(self) -> Tensor:
        """The loss to be minimised, a scalar."""

    def detach(self) -> Self:
        """Return the numbers without the graph, which would keep the image alive."""


L = TypeVar("L", bound=HasTotal)
Objective = Callable[[Tensor], L]
State = dict[str, Any]  # plain data and tensors


@dataclass(frozen=True)
class Step(Generic[L]):
    """A step that was just taken: its number from 1, and the losses before it.

    Valid inside the callback only: `image` and `state_dict` read the optimiser, which moves on with the next step.
    """

    number: int
    losses: L
    optimiser: Optimiser
    totals: Sequence[Tensor]

    @property
    def image(self) -> Tensor:
        """The best image (1, 3, H, W) so far."""
        return self.optimiser.best

    def state_dict(self) -> State:
        """Return the state to continue from: the optimiser's, and the losses (N,) so far. Tensors are not copied."""
        return {"optimiser": self.optimiser.state_dict(), "totals": torch.stack(list(self.totals))}


def minimise(
    objective: Objective[L],
    start: Tensor,
    *,
    method: SolverMethod,
    steps: int,
    on_step: Callable[[Step[L]], bool] = lambda step: True,
    learning_rate: float | None = None,
    tolerance: float = 0.0,
    history: History = FULL,
    state: State | None = None,
) -> tuple[Tensor, Ending]:
    """Minimise `objective` from `start` (1, 3, H, W) within [0, 1]; returns the best image and how the solve ended.

    `method` is a key of OPTIMISERS; `learning_rate` is in units of the pixels' range. L-BFGS keeps a `history`, or that
    of a `state`. Calls `on_step` after each step.
    Ends after `steps`, when PATIENCE steps have lowered the loss by less than the fraction `tolerance`, when `on_step`
    returns False, or when the loss is not finite. The losses are checked every PATIENCE steps only, so that a GPU need
    not wait for the host. With the `state_dict` of a step as `state` it continues after that step, to the same bits.
    """
    optimiser = OPTIMISERS[method](start, learning_rate=learning_rate, steps=steps, history=history)
    totals = list[Tensor]()
    del start  # every copy of a large image counts
    if state:
        state = _move_state(state, optimiser.image.device)
        optimiser.load_state_dict(state["optimiser"])
        totals += state["totals"]
    while not (reason := _find_reason(totals, steps, tolerance)):
        losses, gradient = _differentiate(objective, optimiser.image)
        totals.append(losses.total)
        optimiser.step(totals[-1], gradient)
        goes_on = on_step(Step(len(totals), losses, optimiser, totals))
        del gradient  # L-BFGS has made its image of it, or keeps it in fewer bits
        if not goes_on:
            reason = EndReason.INTERRUPTED
            break
    with torch.no_grad():
        return optimiser.settle(lambda image: objective(image).total), Ending(len(totals), reason)


def _move_state(state: Any, device: torch.device) -> Any:
    """Move a state's tensors to a device."""
    if isinstance(state, dict):
        return {key: _move_state(value, device) for key, value in state.items()}
    if isinstance(state, tuple):
        return tuple(_move_state(value, device) for value in state)
    return send(state, device) if isinstance(state, Tensor) else state


def _find_reason(totals: Sequence[Tensor], steps: int, tolerance: float) -> EndReason | None:
    """Return why a solve with these losses has to end; None: it continues."""
    done = len(totals) >= steps
    if not totals or (len(totals) % PATIENCE and not done):
        return EndReason.DONE if done else None
    losses = [loss if isfinite(loss) else inf for loss in torch.stack(list(totals)).tolist()]
    earlier, recent = losses[:-PATIENCE], losses[-PATIENCE:]
    if min(recent) == inf:
        return EndReason.NOT_FINITE
    jumped = max(recent) > JUMP * min(losses)  # the optimiser is still reducing its learning rate
    if done:
        return EndReason.DIVERGED if jumped and min(losses) > (1 - ROUNDING) * losses[0] else EndReason.DONE
    converged = tolerance and earlier and not jumped and min(recent) > (1 - tolerance) * min(earlier)
    return EndReason.CONVERGED if converged else None


def _differentiate(objective: Objective[L], image: Tensor) -> tuple[L, Tensor]:
    """Compute losses and gradient, in units of loss per pixel: a step must not depend on the size."""
    image = image.detach().requires_grad_()
    losses = objective(image)
    (gradient,) = torch.autograd.grad(losses.total * image.numel(), image)
    return losses.detach(), gradient
