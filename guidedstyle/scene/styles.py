"""Style images: rotated, mirrored and masked; or one made of two."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from guidedstyle.io.images import SMALLEST_SIDE
from guidedstyle.recipe.model import StyleChoice
from guidedstyle.types import Array, Size


@dataclass(frozen=True)
class StyleImage:
    """A style image (1, 3, h, w) in [0, 1], and the opacities (h, w) of the part that is used.

    `size` (width, height) is that of the file after rotation; `extent` is the factor by which rotation made its longest
    side longer. A style made of two holds the coarse image here, and the other, whose texture it gets, in `fine`.
    """

    image: Array
    mask: Array
    size: Size
    extent: float = 1.0
    fine: StyleImage | None = None

    def fit(self, longest: float) -> Size:
        """Return the (width, height) at which the longest side is `longest` px, measured before the rotation."""
        height, width = self.mask.shape
        scale = longest * self.extent / max(height, width)
        return max(SMALLEST_SIDE, round(width * scale)), max(SMALLEST_SIDE, round(height * scale))


def turn_style_image(style_image: StyleImage, style: StyleChoice) -> StyleImage:
    """Mirror a style image, then rotate it anticlockwise; corners that the rotation leaves empty are not used."""
    image, mask = style_image.image[0].transpose(1, 2, 0), style_image.mask
    for direction, axis in (("horizontal", 1), ("vertical", 0)):
        if style.flip in (direction, "both"):
            image, mask = np.flip(image, axis), np.flip(mask, axis)
    if style.rotate % 90 == 0:
        turns = round(style.rotate / 90)
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    else:
        image, mask = _rotate(image, mask, style.rotate)
    scale = max(style_image.size) / max(style_image.mask.shape)
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    extent = max(mask.shape) / max(style_image.mask.shape)
    return StyleImage(np.ascontiguousarray(image.transpose(2, 0, 1)[None]), np.ascontiguousarray(mask), size, extent)


def _rotate(image: Array, mask: Array, degrees: float) -> tuple[Array, Array]:
    """Rotate onto a larger canvas, the image reflected beyond its edges so that no frame appears in its features."""
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    canvas = (round(width * cosine + height * sine), round(width * sine + height * cosine))
    matrix[:, 2] += (canvas[0] - width) / 2, (canvas[1] - height) / 2
    image = np.ascontiguousarray(image)
    rotated = cv2.warpAffine(image, matrix, canvas, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    used = cv2.warpAffine(np.ascontiguousarray(mask), matrix, canvas, flags=cv2.INTER_LINEAR, borderValue=0)
    return np.clip(rotated, 0, 1).astype(np.float32), used.astype(np.float32)
