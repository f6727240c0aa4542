"""A pool of optimised images that the encoder is trained on too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from guidedstyle.training.data import Crops

LIFE = 80  # steps before a crop is given up for a fresh one, at most
RATE = 0.02
MOMENTUM = 0.8


class Pool:
    """Crops (B, 3, H, W), each half-way from a content to a style crop by the student's own gradient.

    What it paints wrongly, the teacher then corrects: a student trained on images alone has blind spots, which
    the solver finds.
    """

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops = crops
        self.images, self.styles = crops.cut(count), crops.cut(count)
        self.speed = torch.zeros_like(self.images)
        self.life = torch.tensor([crops.dice.randint(1, LIFE) for _ in range(count)])

    def advance(self, measure: Callable[[Tensor], Tensor]) -> None:
        """Paint every crop a step further down `measure`, their losses (B,), and replace those at their end."""
        images = self.images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(measure(images).sum(), images)
        slope = slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        self.speed = MOMENTUM * self.speed + (1 - MOMENTUM) * slope
        self.images = (self.images - RATE * self.speed).clamp(0, 1)
        self.life -= 1
        for index in torch.nonzero(self.life == 0).flatten().tolist():
            self._renew(index)

    def _renew(self, index: int) -> None:
        self.images[index], self.styles[index] = self.crops.cut(2)
        self.speed[index] = 0
        self.life[index] = self.crops.dice.randint(LIFE // 4, LIFE)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a resumed training needs."""
        return {"images": self.images, "styles": self.styles, "speed": self.speed, "life": self.life}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.images, self.styles, self.speed, self.life = (state[key] for key in ("images", "styles", "speed", "life"))
