"""Style images: size, rotation, mask, and images made of two."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from guidedstyle.io.images import SMALLEST_SIDE
from guidedstyle.recipe.model import StyleImage
from guidedstyle.types import Array, Size


@dataclass(frozen=True)
class Painting:
    """A style's picture (1, 3, h, w) in [0, 1] and the opacities (h, w) of the part that is used.

    `size` is that of the file, (width, height), as far as it is turned; `extent` how much longer turning made it.
    A style made of two is the picture of the coarse one until the `fine` one's texture is laid on.
    """

    image: Array
    mask: Array
    size: Size
    extent: float = 1.0
    fine: Painting | None = None

    def fit(self, longest: float) -> Size:
        """Return the (width, height) at which the painting, before it was turned, is `longest`."""
        height, width = self.mask.shape
        scale = longest * self.extent / max(height, width)
        return max(SMALLEST_SIDE, round(width * scale)), max(SMALLEST_SIDE, round(height * scale))


def turn_painting(painting: Painting, style: StyleImage) -> Painting:
    """Mirror a painting, then turn it anticlockwise; what turning leaves empty is not used."""
    image, mask = painting.image[0].transpose(1, 2, 0), painting.mask
    for way, axis in (("horizontal", 1), ("vertical", 0)):
        if style.flip in (way, "both"):
            image, mask = np.flip(image, axis), np.flip(mask, axis)
    if style.rotate % 90 == 0:
        turns = round(style.rotate / 90)
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    else:
        image, mask = _rotate(image, mask, style.rotate)
    scale = max(painting.size) / max(painting.mask.shape)
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    extent = max(mask.shape) / max(painting.mask.shape)
    return Painting(np.ascontiguousarray(image.transpose(2, 0, 1)[None]), np.ascontiguousarray(mask), size, extent)


def _rotate(image: Array, mask: Array, degrees: float) -> tuple[Array, Array]:
    """Turn onto a larger sheet; the picture goes on mirrored beyond its edges, so that features there are no frame."""
    height, width = mask.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    sheet = (round(width * cosine + height * sine), round(width * sine + height * cosine))
    turn[:, 2] += (sheet[0] - width) / 2, (sheet[1] - height) / 2
    image = np.ascontiguousarray(image)
    turned = cv2.warpAffine(image, turn, sheet, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    used = cv2.warpAffine(np.ascontiguousarray(mask), turn, sheet, flags=cv2.INTER_LINEAR, borderValue=0)
    return np.clip(turned, 0, 1).astype(np.float32), used.astype(np.float32)
