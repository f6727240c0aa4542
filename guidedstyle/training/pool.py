"""A pool of images optimised under the student, which it is trained on too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from guidedstyle.training.data import Crops

MAX_AGE = 80  # steps before an image is replaced by a fresh crop
STEP_SIZE = 0.02
MOMENTUM = 0.8


class Pool:
    """Crops (B, 3, H, W) on their way from a content crop to a style crop, moved by the student's own gradient.

    The teacher corrects what the student gets wrong on them: a student trained on photographs alone has blind spots,
    and the optimiser of a render finds them.
    """

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops = crops
        self.images, self.styles = crops.cut(count), crops.cut(count)
        self.velocity = torch.zeros_like(self.images)
        self.steps_left = torch.tensor([crops.random.randint(1, MAX_AGE) for _ in range(count)])

    def advance(self, measure: Callable[[Tensor], Tensor]) -> None:
        """Move every image one step down `measure`, which returns their losses (B,), and replace the oldest."""
        images = self.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(measure(images).sum(), images)
        gradient = gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        self.velocity = MOMENTUM * self.velocity + (1 - MOMENTUM) * gradient
        self.images = (self.images - STEP_SIZE * self.velocity).clamp(0, 1)
        self.steps_left -= 1
        for index in torch.nonzero(self.steps_left == 0).flatten().tolist():
            self._replace(index)

    def _replace(self, index: int) -> None:
        self.images[index], self.styles[index] = self.crops.cut(2)
        self.velocity[index] = 0
        self.steps_left[index] = self.crops.random.randint(MAX_AGE // 4, MAX_AGE)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that `load_state_dict` needs to continue."""
        return {
            "images": self.images,
            "styles": self.styles,
            "velocity": self.velocity,
            "steps_left": self.steps_left,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a state."""
        self.images, self.styles = state["images"], state["styles"]
        self.velocity, self.steps_left = state["velocity"], state["steps_left"]
