"""Painted masks to region weights that sum to 1 at every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from guidedstyle.errors import GuidedStyleError
from guidedstyle.images import Array, Size, read_grey


def read_mask(file: Path, picture: Size, size: Size) -> Array:
    """Read opacities (H, W) in [0, 1] at `size` of a mask painted over a picture of (width, height) `picture`.

    Raises GuidedStyleError where the shape of the mask is not the picture's up to rounding.
    """
    mask = read_grey(file)
    if not _same_shape((mask.shape[1], mask.shape[0]), picture):
        rule = f"the mask is {mask.shape[1]} x {mask.shape[0]} px, its picture {picture[0]} x {picture[1]}"
        raise GuidedStyleError.of(file, rule, "paint it over the picture itself, or crop it to the same shape")
    return resize_mask(mask, size)


def _same_shape(mask: Size, picture: Size) -> bool:
    """Tell whether one is the other scaled, give or take a pixel of the smaller one."""
    slack = 1.01 * max(1.0, mask[0] / picture[0])
    return abs(mask[0] * picture[1] / picture[0] - mask[1]) <= slack or (
        abs(mask[1] * picture[0] / picture[1] - mask[0]) <= slack
    )


def resize_mask(mask: Array, size: Size) -> Array:
    """Resize opacities to (width, height): the average of what each new pixel covers, or bilinear between old ones."""
    if (mask.shape[1], mask.shape[0]) == size:
        return mask
    shrinks = size[0] < mask.shape[1] or size[1] < mask.shape[0]
    resized = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(resized, 0, 1).round(5).astype(np.float32)  # opencv's averages of 1 fall short of 1


def stack_weights(opacities: Sequence[Array | None], size: Size) -> Array:
    """Stack layers from back to front into weights (R + 1, H, W) that sum to 1 at every pixel.

    A weight is an opacity times what the layers in front leave over. `None` is `rest`, which takes what nobody
    covers; the last entry is what even `rest` does not take: 0 where there is a `rest`, else what is left.
    """
    left = np.ones(size[::-1], np.float32)
    weights = np.zeros((len(opacities) + 1, *size[::-1]), np.float32)
    for index in reversed(range(len(opacities))):
        opacity = opacities[index]
        if opacity is not None:
            weights[index] = opacity * left
            left = left - weights[index]
    rest = next((index for index, opacity in enumerate(opacities) if opacity is None), -1)
    weights[rest] = left
    return weights
