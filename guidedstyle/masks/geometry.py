"""Geometry of masks: fit one to its image, draw shapes, combine, grow, shrink and feather; lengths in px."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.samples import Frame
from guidedstyle.types import Array, Opacities, Size

Point = tuple[float, float]

SUPERSAMPLING = 4  # of shapes' edges
LARGEST_DRAWN = 8192  # px, longest side of a supersampled shape
BRUSH = 5  # px, radius of the disc that widens a mask step by step


def check_shape(size: Size, frame: Frame | None, file: Path) -> None:
    """Raise GuidedStyleError if a mask of (width, height) has the shape of its image neither upright nor as stored."""
    if frame and not same_shape(size, frame.size) and not same_shape(size, frame.stored):
        rule = f"the mask is {size[0]} x {size[1]} px, its image {frame.size[0]} x {frame.size[1]}"
        raise GuidedStyleError.of(file, rule, "paint it over the image itself, or crop it to the same shape")


def check_stored_shape(size: Size, frame: Frame | None, file: Path) -> None:
    """Check the (width, height) of a mask file before it is decoded: its own EXIF rotation may swap the sides."""
    if frame and not same_shape(size[::-1], frame.size) and not same_shape(size[::-1], frame.stored):
        check_shape(size, frame, file)


def same_shape(mask: Size, image: Size) -> bool:
    """Return whether one size is the other scaled, to within a pixel of the smaller one."""
    slack = 1.01 * max(1.0, mask[0] / image[0])
    return abs(mask[0] * image[1] / image[0] - mask[1]) <= slack or (
        abs(mask[1] * image[0] / image[1] - mask[0]) <= slack
    )


def turn_upright(mask: Opacities, frame: Frame | None) -> Opacities:
    """Apply the image's EXIF rotation to a mask (H, W) that was painted over the image as stored."""
    if frame is None or same_shape((mask.shape[1], mask.shape[0]), frame.size):
        return mask
    turned = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}[frame.orientation]
    return np.ascontiguousarray(turned)  # type: ignore[return-value]


def resize_mask(mask: Opacities, size: Size) -> Array:
    """Resize opacities (H, W) to (width, height): area average when shrinking, bilinear when enlarging."""
    if (mask.shape[1], mask.shape[0]) == size:
        return to_unit(mask)
    shrinks = size[0] < mask.shape[1] or size[1] < mask.shape[0]
    resized: Any = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(to_unit(resized), 0, 1).round(5).astype(np.float32)  # averages of 1 fall short of 1


def to_unit(mask: Opacities) -> Array:
    """Convert opacities of 8 bits, or in [0, 1] already, to float32 in [0, 1]."""
    return np.asarray(mask, np.float32) / np.float32(255 if mask.dtype == np.uint8 else 1)


def soften_edge(mask: Array) -> Array:
    """Blur a hard-edged mask (H, W) by a Gaussian of 0.6 px, so that its edge is a pixel soft."""
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0.6), np.float32)


def fill_polygon(corners: Sequence[Point], size: Size) -> Array:
    """Fill a polygon, its corners in fractions of (width, height)."""
    factor = max(1, min(SUPERSAMPLING, LARGEST_DRAWN // max(size)))
    canvas = np.zeros((size[1] * factor, size[0] * factor), np.uint8)
    fractions = np.array(corners)
    points = fractions * (size[0] * factor, size[1] * factor) - 0.5
    points += (fractions >= 1).astype(float) - (fractions <= 0)  # no outline along the border
    outline = [np.round(points * 16).astype(np.int32)]
    cv2.fillPoly(canvas, outline, 255, shift=4)
    cv2.polylines(canvas, outline, True, 128, shift=4)  # OpenCV fills outlines whole, though half of each lies outside
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def fill_rectangle(box: Sequence[float], size: Size) -> Array:
    """Fill [left, top, right, bottom] in fractions of (width, height)."""
    left, top, right, bottom = box
    return fill_polygon([(left, top), (right, top), (right, bottom), (left, bottom)], size)


def fill_ellipse(box: Sequence[float], size: Size) -> Array:
    """Fill the ellipse within [left, top, right, bottom] in fractions of (width, height)."""
    left, top, right, bottom = box
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    across = (left + right) / 2 + (right - left) / 2 * np.cos(turn)
    down = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(turn)
    return fill_polygon(list(zip(across, down, strict=True)), size)


def fill_gradient(start: Point, end: Point, size: Size) -> Array:
    """Fill with a linear gradient from 0 at `start` to 1 at `end`, both in fractions of (width, height)."""
    scale = np.array(size, np.float32)
    origin, slope = np.array(start) * scale, (np.array(end) - start) * scale
    x, y = np.arange(size[0]) + 0.5 - origin[0], np.arange(size[1])[:, None] + 0.5 - origin[1]
    along = (x * slope[0] + y * slope[1]) / (slope @ slope)
    return np.asarray(np.clip(along, 0, 1), np.float32)


def unite(masks: Sequence[Array]) -> Array:
    """Add masks up to 1, so that masks which meet at a soft edge leave no gap."""
    return np.minimum(np.sum(masks, axis=0), 1)  # type: ignore[no-any-return]


COMBINATIONS: dict[str, Callable[[Sequence[Array]], Array]] = {
    "any": unite,
    "both": lambda masks: np.prod(masks, axis=0),
    "except": lambda masks: masks[0] * (1 - masks[1]),
}


def grow(mask: Array, radius: float) -> Array:
    """Widen a mask by a disc of `radius`."""
    whole, part = divmod(radius, 1)
    times, rest = divmod(int(whole), BRUSH)
    grown = cv2.dilate(mask, _disc(BRUSH), iterations=times) if times else mask
    grown = cv2.dilate(grown, _disc(rest)) if rest else grown
    if part:
        grown = cv2.addWeighted(grown, 1 - part, cv2.dilate(grown, _disc(1)), part, 0)
    return np.asarray(grown, np.float32)


def shrink(mask: Array, radius: float) -> Array:
    """Narrow a mask by a disc of `radius`, but not along the image's border."""
    return 1 - grow(1 - mask, radius)


def feather(mask: Array, radius: float) -> Array:
    """Blur a mask so that its edges fade over `radius` to each side."""
    extent = 2 * round(radius) + 1
    soft = cv2.stackBlur(mask, (extent, extent)) if extent > 1 else mask
    softened: Array = np.clip(soft, 0, 1).round(5).astype(np.float32)  # sums of 1 fall short of 1
    return softened


def fade_outwards(mask: Array, width: float) -> Array:
    """Add a soft border of `width` outside a mask; inside it nothing changes."""
    return np.maximum(mask, feather(grow(mask, round(width / 2)), width / 2))


def _disc(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))  # type: ignore[return-value]
