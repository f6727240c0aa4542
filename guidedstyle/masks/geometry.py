"""Shapes drawn as masks, and what can be done to a mask (H, W) in [0, 1]: pure functions, in px."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from guidedstyle.types import Array, Size

Point = tuple[float, float]

SUPERSAMPLING = 4  # of shapes' edges
LARGEST_DRAWN = 8192  # px, longest side of a supersampled shape
BRUSH = 5  # px, radius of the disc that widens a mask step by step


def fill_polygon(corners: Sequence[Point], size: Size) -> Array:
    """Fill a polygon, its corners in fractions of (width, height)."""
    factor = max(1, min(SUPERSAMPLING, LARGEST_DRAWN // max(size)))
    canvas = np.zeros((size[1] * factor, size[0] * factor), np.uint8)
    fractions = np.array(corners)
    points = fractions * (size[0] * factor, size[1] * factor) - 0.5
    points += (fractions >= 1).astype(float) - (fractions <= 0)  # so that no outline is drawn along the border
    outline = [np.round(points * 16).astype(np.int32)]
    cv2.fillPoly(canvas, outline, 255, shift=4)
    cv2.polylines(canvas, outline, True, 128, shift=4)  # opencv fills it whole, though half of it lies outside
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
    """Slope from 0 at `start` to 1 at `end`, both in fractions of (width, height)."""
    scale = np.array(size, np.float32)
    origin, slope = np.array(start) * scale, (np.array(end) - start) * scale
    x, y = np.arange(size[0]) + 0.5 - origin[0], np.arange(size[1])[:, None] + 0.5 - origin[1]
    along = (x * slope[0] + y * slope[1]) / (slope @ slope)
    return np.asarray(np.clip(along, 0, 1), np.float32)


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
    """Narrow a mask by a disc of `radius`, but not from the image's border."""
    return 1 - grow(1 - mask, radius)


def feather(mask: Array, radius: float) -> Array:
    """Soften an edge so that it fades over `radius` to each side."""
    extent = 2 * round(radius) + 1
    soft = cv2.stackBlur(mask, (extent, extent)) if extent > 1 else mask
    softened: Array = np.clip(soft, 0, 1).round(5).astype(np.float32)  # sums of 1 fall short of 1
    return softened


def fade_outwards(mask: Array, width: float) -> Array:
    """Add a soft border of `width` around a mask that itself stays as it is."""
    return np.maximum(mask, feather(grow(mask, round(width / 2)), width / 2))


def _disc(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))  # type: ignore[return-value]
