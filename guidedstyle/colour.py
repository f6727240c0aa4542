"""Luminance and chroma of pictures (1, 3, H, W) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def extract_luminance(image: Tensor) -> Tensor:
    """Return Y = .299 R + .587 G + .114 B as a picture of three equal channels."""
    luma = torch.tensor(LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * luma).sum(1, keepdim=True).expand_as(image)


def replace_luminance(image: Tensor, luminance: Tensor) -> Tensor:
    """Return `image` with the luminance of another picture and its own chroma (Gatys et al. 2017, sec. 5.1).

    The luminance goes only as far as every channel stays within [0, 1]: clipping a channel would change the chroma.
    """
    chroma = image - extract_luminance(image)
    least, most = -chroma.amin(1, keepdim=True), 1 - chroma.amax(1, keepdim=True)
    return chroma + extract_luminance(luminance).clamp(least, most)
