"""How the losses of a render fell, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidedstyle.losses import Losses


@dataclass(frozen=True)
class Curves:
    """The losses that N steps set out from, over R painted regions, on the CPU.

    `stages` (N,) number the sizes that the steps were taken at, from 0; `total` and `smoothness` are (N,), `style` and
    `content` (N, R).
    """

    stages: Tensor
    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor


def trace_losses(stages: Sequence[int], losses: Sequence[Losses]) -> Curves:
    """Trace the losses of steps, the first first."""
    terms = (
        torch.stack([getattr(one, term) for one in losses]).cpu()
        for term in ("total", "style", "content", "smoothness")
    )
    return Curves(torch.tensor(stages), *terms)
