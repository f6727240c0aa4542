"""First-order optimisers without host synchronisation."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Any, Protocol

import torch
from torch import Tensor

from guidedstyle.engine.solvers.lbfgs import FULL, JUMP, History

ADAM_RATE, ADAM_BETAS, ADAM_EPSILON = 0.03, (0.9, 0.99), 1e-8  # learning rates are in units of the pixels' range
SGD_RATE, SGD_MOMENTUM, SGD_LIMIT = 0.01, 0.9, 0.3


class Optimiser(Protocol):
    """Moves an image (1, 3, H, W) step by step to a smaller loss, and keeps the best one."""

    @property
    def image(self) -> Tensor:
        """Where the next loss and gradient are evaluated."""

    @property
    def best(self) -> Tensor:
        """The best image so far."""

    def settle(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the image that a solve ends with; `measure` computes the loss () of an image."""

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step from the loss () and its gradient per pixel at `image`; overwrites the gradient."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied, and change with the next step."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""


class OptimiserClass(Protocol):
    """Makes an optimiser for a number of steps; without a learning rate it uses its own."""

    def __call__(self, image: Tensor, *, learning_rate: float | None, steps: int, history: History = FULL) -> Optimiser:
        """Make an optimiser that starts from `image`; first-order ones keep no `history`."""


class _Safeguarded:
    """When the loss jumps or is not finite: returns to the best image and halves the learning rate.

    The best image is stored in half precision: a float32 copy of a large image would cost too much memory.
    """

    def __init__(self, image: Tensor, learning_rate: float) -> None:
        self.image, self.learning_rate = image, image.new_tensor(learning_rate)
        self.stored, self.least_loss = image.half(), image.new_tensor(float("inf"))
        self.recovering = image.new_tensor(0, dtype=torch.int8)  # losses until a step is trusted again

    @property
    def best(self) -> Tensor:
        """The image after the last step; after a jump the best one, until the loss of a new step is known."""
        return torch.where(self.recovering > 0, self.stored, self.image)

    def settle(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the image after the last step, whose loss no step has shown yet; the best one if that jumped."""
        last = self.best
        return torch.where(measure(last) <= JUMP * self.least_loss, last, self.stored)

    def _move(self, change: Tensor, loss: Tensor, *averages: Tensor) -> None:
        """Move the image by `change`, overwriting it, or return to the best one and set the `averages` to zero."""
        better, jumped = loss < self.least_loss, ~(loss <= JUMP * self.least_loss)
        self.stored = torch.where(better, self.image.half(), self.stored)
        self.least_loss = torch.where(better, loss, self.least_loss)
        self.learning_rate = torch.where(jumped, self.learning_rate / 2, self.learning_rate)
        self.recovering = torch.where(jumped, 2, (self.recovering - 1).clamp(min=0))  # one is that of the best image
        moved = change.add_(self.image).clamp_(0, 1)
        self.image = torch.where(jumped, self.stored, moved, out=moved)
        for average in averages:
            average.masked_fill_(jumped, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied."""
        return {
            "image": self.image,
            "learning_rate": self.learning_rate,
            "stored": self.stored,
            "least_loss": self.least_loss,
            "recovering": self.recovering,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.image, self.learning_rate = state["image"], state["learning_rate"]
        self.stored, self.least_loss, self.recovering = state["stored"], state["least_loss"], state["recovering"]


class Adam(_Safeguarded):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); the learning rate falls to a tenth along a cosine."""

    def __init__(self, image: Tensor, *, learning_rate: float | None, steps: int, history: History = FULL) -> None:
        super().__init__(image, learning_rate or ADAM_RATE)
        self.steps, self.count = steps, 0
        self.mean, self.square = torch.zeros_like(image), torch.zeros_like(image)  # moving averages of the gradient

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step, or return to the best image."""
        rate = self.learning_rate * (0.55 + 0.45 * cos(pi * self.count / self.steps))
        self.count += 1
        self.mean.lerp_(gradient, 1 - ADAM_BETAS[0])
        self.square.mul_(ADAM_BETAS[1]).addcmul_(gradient, gradient, value=1 - ADAM_BETAS[1])
        first, second = (1 - beta**self.count for beta in ADAM_BETAS)
        deviation = (self.square / second).sqrt_().add_(ADAM_EPSILON)
        change = torch.div(self.mean, deviation, out=deviation).mul_(-rate / first)
        self._move(change, loss, self.mean, self.square)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied."""
        return super().state_dict() | {"count": self.count, "mean": self.mean, "square": self.square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        super().load_state_dict(state)
        self.count, self.mean, self.square = state["count"], state["mean"], state["square"]


class Sgd(_Safeguarded):
    """Gradient descent with Nesterov momentum; the gradient's root mean square is limited to SGD_LIMIT."""

    def __init__(self, image: Tensor, *, learning_rate: float | None, steps: int, history: History = FULL) -> None:
        super().__init__(image, learning_rate or SGD_RATE)
        self.momentum = torch.zeros_like(image)

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step, or return to the best image."""
        norm = torch.linalg.vector_norm(gradient) / gradient.numel() ** 0.5
        gradient.mul_(SGD_LIMIT / norm.clamp(min=SGD_LIMIT))
        self.momentum.mul_(SGD_MOMENTUM).add_(gradient)
        self._move(gradient.add_(self.momentum, alpha=SGD_MOMENTUM).mul_(-self.learning_rate), loss, self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied."""
        return super().state_dict() | {"momentum": self.momentum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        super().load_state_dict(state)
        self.momentum = state["momentum"]
