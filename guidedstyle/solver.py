"""Minimise any function of an image. Nothing here knows of style."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor


class HasTotal(Protocol):
    """What an objective returns: anything with a scalar `total`."""

    @property
    def total(self) -> Tensor:
        """What is minimised, a scalar."""


ADAM_RATE = 0.03  # in units of the pixels' range
SGD_RATE, SGD_LIMIT = 0.01, 0.3
PATIENCE = 10  # steps
LBFGS_FIRST, LBFGS_LEAP, LBFGS_HISTORY = 0.02, 2.0, 10

L = TypeVar("L", bound=HasTotal)
Objective = Callable[[Tensor], L]


@dataclass(frozen=True)
class Step(Generic[L]):
    """The state after a step: its number from 1, the image, and the losses that the step set out from."""

    number: int
    image: Tensor
    losses: L


@dataclass(frozen=True)
class Solution(Generic[L]):
    """Where the solver ended, after how many steps, and why it stopped."""

    image: Tensor
    steps: int
    losses: L
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
) -> Solution[L]:
    """Minimise `objective` from `start` (1, 3, H, W) within [0, 1], handing each step to `watch`.

    Stops after `steps`, when PATIENCE steps have lowered the loss by less than `tolerance` of it, when `watch`
    returns False, or when the loss is no longer a number; the last returns the image before it broke. `rate` is the
    size of the first steps, in units of the pixels' range.
    """
    solve = {"adam": _solve_adam, "lbfgs": _solve_lbfgs, "sgd": _solve_sgd}[method]
    whole = before = start
    least: list[float] = []
    for number, (image, losses) in enumerate(solve(objective, start.detach().clone(), steps, rate), 1):
        loss = float(losses.total.detach())
        if not isfinite(loss):
            return Solution(whole, number, losses, "the loss was no longer a number", False)
        whole, before = before, image  # the losses are those of the image before the step
        least.append(min([loss, *least[-1:]]))
        if not watch(Step(number, image, losses)):
            return Solution(image, number, losses, "stopped by hand", False)
        if number > PATIENCE and least[-1] > (1 - tolerance) * least[-1 - PATIENCE] and tolerance:
            return Solution(image, number, losses, "the loss no longer falls", True)
    return Solution(image, number, losses, "all steps are done", True)


Steps = Iterator[tuple[Tensor, L]]


def _solve_adam(objective: Objective[L], image: Tensor, steps: int, rate: float | None) -> Steps[L]:
    """Adam (Kingma & Ba 2015) with a step that shrinks to a tenth along a cosine."""
    first = rate or ADAM_RATE
    optimiser = torch.optim.Adam([image.requires_grad_()], lr=first, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=first / 10)
    return _descend(objective, image, optimiser, steps, schedule.step)


def _solve_sgd(objective: Objective[L], image: Tensor, steps: int, rate: float | None) -> Steps[L]:
    """Gradient descent with Nesterov momentum; the slope is limited to a root mean square of SGD_LIMIT."""
    optimiser = torch.optim.SGD([image.requires_grad_()], lr=rate or SGD_RATE, momentum=0.9, nesterov=True)
    limit = SGD_LIMIT * image.numel() ** 0.5
    clip = partial(torch.nn.utils.clip_grad_norm_, image, limit)
    return _descend(objective, image, optimiser, steps, lambda: None, clip)


def _descend(
    objective: Objective[L],
    image: Tensor,
    optimiser: torch.optim.Optimizer,
    steps: int,
    after: Callable[[], object],
    before: Callable[[], object] = lambda: None,
) -> Steps[L]:
    for _ in range(steps):
        losses = _differentiate(objective, image, optimiser)
        before()
        optimiser.step()
        after()
        yield _clamp(image), losses


def _solve_lbfgs(objective: Objective[L], image: Tensor, steps: int, rate: float | None) -> Steps[L]:
    """L-BFGS (Liu & Nocedal 1989) without a line search, as Gatys et al. use it, yielding the best image so far.

    Departs from them where the loss leaps: it goes back to the best image and sets out anew with half the first step.
    """
    first, best, least = rate or LBFGS_FIRST, image, float("inf")
    descent = _Lbfgs(best, first)
    for _ in range(steps):
        tried = descent.image
        losses = descent.evaluate(objective)
        loss = float(losses.total.detach())
        if loss < least:
            best, least = tried, loss
        if loss > LBFGS_LEAP * least:
            first = first / 2
            descent = _Lbfgs(best, first)
        else:
            descent.step(loss)
        yield best, losses


class _Lbfgs:
    """PyTorch's L-BFGS on the image in units in which its first step, 1 / n on average, is `first` a pixel."""

    def __init__(self, image: Tensor, first: float) -> None:
        self.unit = first * image.numel()
        self.scaled = (image / self.unit).requires_grad_()
        self.optimiser = torch.optim.LBFGS(
            [self.scaled], max_iter=1, history_size=LBFGS_HISTORY, tolerance_grad=0, tolerance_change=0
        )

    @property
    def image(self) -> Tensor:
        return (self.scaled.detach() * self.unit).clamp(0, 1)

    def evaluate(self, objective: Objective[L]) -> L:
        return _differentiate(lambda scaled: objective(scaled * self.unit), self.scaled, self.optimiser)

    def step(self, loss: float) -> None:
        self.optimiser.step(lambda: loss * self.scaled.numel())
        with torch.no_grad():
            self.scaled.clamp_(0, 1 / self.unit)


def _differentiate(objective: Objective[L], image: Tensor, optimiser: torch.optim.Optimizer) -> L:
    """Set the image's gradient, in units of loss per pixel: what a step does must not depend on the size."""
    optimiser.zero_grad(set_to_none=True)
    losses = objective(image)
    (losses.total * image.numel()).backward()
    return losses


def _clamp(image: Tensor) -> Tensor:
    with torch.no_grad():
        return image.clamp_(0, 1).clone()
