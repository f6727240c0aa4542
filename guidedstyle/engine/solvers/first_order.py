"""First-order optimisers without host synchronisation."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Any, Protocol

import torch
from torch import Tensor

from guidedstyle.engine.solvers.lbfgs import LEAP, Lbfgs
from guidedstyle.types import SolverMethod

ADAM_RATE, ADAM_BETAS, ADAM_TINY = 0.03, (0.9, 0.99), 1e-8  # the rate in units of the pixels' range
SGD_RATE, SGD_MOMENTUM, SGD_LIMIT = 0.01, 0.9, 0.3


class Optimiser(Protocol):
    """Where the next loss is asked for, and the best image (1, 3, H, W) so far."""

    @property
    def image(self) -> Tensor:
        """Where the next loss and gradient are asked for."""

    @property
    def best(self) -> Tensor:
        """The best image so far."""

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step from the loss () and its gradient per pixel at `image`; the gradient's memory may be used."""

    def save(self) -> dict[str, Any]:
        """Return all it takes to go on from here: plain data and tensors, which are not copied."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `save` returned."""


class _Cautious:
    """Goes back to the best image where the loss leaps or is no number, and sets out anew with half the rate.

    The best image is kept in half precision: a whole copy of a large image is dear.
    """

    def __init__(self, image: Tensor, rate: float) -> None:
        self.image, self.rate = image, image.new_tensor(rate)
        self.kept, self.least = image.half(), image.new_tensor(float("inf"))
        self.doubts = image.new_tensor(0, dtype=torch.int8)  # losses to see before a step is trusted again

    @property
    def best(self) -> Tensor:
        """The image, since every step counts as an improvement; after a leap the best one, until a step did not."""
        return torch.where(self.doubts > 0, self.kept, self.image)

    def _move(self, change: Tensor, loss: Tensor, *memories: Tensor) -> None:
        """Move the image, in the memory of the `change`, or go back; then the `memories` of slopes are forgotten."""
        better, leapt = loss < self.least, ~(loss <= LEAP * self.least)
        self.kept = torch.where(better, self.image.half(), self.kept)
        self.least = torch.where(better, loss, self.least)
        self.rate = torch.where(leapt, self.rate / 2, self.rate)
        self.doubts = torch.where(leapt, 2, (self.doubts - 1).clamp(min=0))  # one is the loss that it goes back to
        moved = change.add_(self.image).clamp_(0, 1)
        self.image = torch.where(leapt, self.kept, moved, out=moved)
        for memory in memories:
            memory.masked_fill_(leapt, 0)

    def save(self) -> dict[str, Any]:
        """Return all attributes."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over all attributes."""
        vars(self).update(state)


class Adam(_Cautious):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with a step that shrinks to a tenth along a cosine."""

    def __init__(self, image: Tensor, rate: float | None, steps: int) -> None:
        super().__init__(image, rate or ADAM_RATE)
        self.steps, self.number = steps, 0
        self.mean, self.power = torch.zeros_like(image), torch.zeros_like(image)

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step, or go back."""
        rate = self.rate * (0.55 + 0.45 * cos(pi * self.number / self.steps))
        self.number += 1
        self.mean.lerp_(gradient, 1 - ADAM_BETAS[0])
        self.power.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
        first, second = (1 - beta**self.number for beta in ADAM_BETAS)
        deviation = (self.power / second).sqrt_().add_(ADAM_TINY)
        change = torch.div(self.mean, deviation, out=deviation).mul_(-rate / first)
        self._move(change, loss, self.mean, self.power)


class Sgd(_Cautious):
    """Gradient descent with Nesterov momentum; the slope is limited to a root mean square of SGD_LIMIT."""

    def __init__(self, image: Tensor, rate: float | None, steps: int) -> None:
        super().__init__(image, rate or SGD_RATE)
        self.momentum = torch.zeros_like(image)

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step, or go back."""
        steepness = torch.linalg.vector_norm(gradient) / gradient.numel() ** 0.5
        gradient.mul_(SGD_LIMIT / steepness.clamp(min=SGD_LIMIT))
        self.momentum.mul_(SGD_MOMENTUM).add_(gradient)
        self._move(gradient.add_(self.momentum, alpha=SGD_MOMENTUM).mul_(-self.rate), loss, self.momentum)


OPTIMISERS: dict[SolverMethod, Callable[[Tensor, float | None, int], Optimiser]] = {
    "lbfgs": Lbfgs,
    "adam": Adam,
    "sgd": Sgd,
}
