"""Small test images and noise."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def draw_image(width: int, height: int, seed: int) -> Image.Image:
    """Draw waves of random direction and colour, with structure at several scales."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x * noise.normal() + y * noise.normal()) / noise.uniform(2, 9)) for _ in range(9)]
    channels = [0.5 + sum(waves[i::3]) / 7 for i in range(3)]
    return Image.fromarray(np.uint8(255 * np.clip(np.stack(channels, 2), 0, 1)))


def draw_tensor(*shape: int) -> Tensor:
    """Draw normal noise; equal shapes give equal noise."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))
