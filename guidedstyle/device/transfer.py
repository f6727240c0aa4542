"""Copies between the CPU and another device, with as few waits of the host as there can be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def fetch(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors of one device and data type to the CPU: all at once, so that the host waits a single time."""
    if not tensors or tensors[0].device.type == "cpu":
        return list(tensors)
    flat = torch.cat([one.flatten() for one in tensors]).cpu()
    parts = flat.split([one.numel() for one in tensors])
    return [part.view(one.shape) for part, one in zip(parts, tensors, strict=True)]


def send(values: Tensor | Sequence[float], device: torch.device) -> Tensor:
    """Copy a tensor, or numbers, to a device; with CUDA without waiting for what that still has to do.

    On MPS such a copy may read the source after it was freed.
    """
    return torch.as_tensor(values).to(device, non_blocking=device.type == "cuda")
