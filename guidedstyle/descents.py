"""Ways down: each says where the next loss is asked for, and steps from it. Nothing waits for the host."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Any, Protocol

import torch
from torch import Tensor

from guidedstyle.lbfgs import Lbfgs

ADAM_RATE, ADAM_BETAS, ADAM_TINY = 0.03, (0.9, 0.99), 1e-8  # the rate in units of the pixels' range
SGD_RATE, SGD_MOMENTUM, SGD_LIMIT = 0.01, 0.9, 0.3


class Descent(Protocol):
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


class _Saved:
    """Goes on from its attributes alone."""

    def save(self) -> dict[str, Any]:
        """Return all attributes."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Take over all attributes."""
        vars(self).update(state)


class Adam(_Saved):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with a step that shrinks to a tenth along a cosine."""

    def __init__(self, image: Tensor, rate: float | None, steps: int) -> None:
        self.image, self.rate, self.steps, self.number = image, rate or ADAM_RATE, steps, 0
        self.mean, self.power = torch.zeros_like(image), torch.zeros_like(image)

    @property
    def best(self) -> Tensor:
        """The image: every step counts as an improvement."""
        return self.image

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step; none where the loss is no longer a number."""
        rate = self.rate * (0.55 + 0.45 * cos(pi * self.number / self.steps))
        self.number += 1
        self.mean.lerp_(gradient, 1 - ADAM_BETAS[0])
        self.power.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
        first, second = (1 - beta**self.number for beta in ADAM_BETAS)
        deviation = (self.power / second).sqrt_().add_(ADAM_TINY)
        self.image = _move(self.image, torch.div(self.mean, deviation, out=deviation).mul_(-rate / first), loss)


class Sgd(_Saved):
    """Gradient descent with Nesterov momentum; the slope is limited to a root mean square of SGD_LIMIT."""

    def __init__(self, image: Tensor, rate: float | None, steps: int) -> None:
        self.image, self.rate = image, rate or SGD_RATE
        self.momentum = torch.zeros_like(image)

    @property
    def best(self) -> Tensor:
        """The image: every step counts as an improvement."""
        return self.image

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step; none where the loss is no longer a number."""
        steepness = torch.linalg.vector_norm(gradient) / gradient.numel() ** 0.5
        gradient.mul_(SGD_LIMIT / steepness.clamp(min=SGD_LIMIT))
        self.momentum.mul_(SGD_MOMENTUM).add_(gradient)
        change = gradient.add_(self.momentum, alpha=SGD_MOMENTUM).mul_(-self.rate)
        self.image = _move(self.image, change, loss)


def _move(image: Tensor, change: Tensor, loss: Tensor) -> Tensor:
    """Move an image, in the memory of the `change`; leave it as it is where the loss is no longer a number."""
    moved = change.add_(image).clamp_(0, 1)
    return torch.where(torch.isfinite(loss), moved, image, out=moved)


DESCENTS: dict[str, Callable[[Tensor, float | None, int], Descent]] = {"lbfgs": Lbfgs, "adam": Adam, "sgd": Sgd}
