"""Tools to paint with: noise, blur, look-ups and colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Colour = tuple[float, float, float]


def fractal(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    coarsest: float,
    roughness: float = 1.0,
    finest: float = 0.0,
) -> Floats:
    """Return tileable noise of unit variance, detailed from the `coarsest` wavelength to the `finest`."""
    axes = [np.fft.fftfreq(length) for length in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    squared = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    amplitude = (squared + coarsest**-2) ** (-(len(shape) / 2 + roughness) / 2) * np.exp(-squared * finest**2)
    amplitude.flat[0] = 0
    spectrum = np.fft.rfftn(rng.standard_normal(shape, np.float32)) * amplitude.astype(np.float32)
    noise = np.fft.irfftn(spectrum, shape, axes=range(len(shape)))
    return np.asarray(noise / noise.std(), np.float32)


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return the row and the column of every pixel."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows, columns


def blur(image: Floats, sigma: float, down: float | None = None) -> Floats:
    """Blur with a Gaussian of the same width across and, unless given, down."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigmaX=sigma, sigmaY=down or sigma), np.float32)


def resize(image: Floats, height: int, width: int) -> Floats:
    """Shrink by averaging or enlarge smoothly."""
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.float32)


def look_up(image: Floats, rows: Floats, columns: Floats, wrap: bool = False) -> Floats:
    """Sample an image bilinearly at the given positions; outside, it repeats or keeps its edge."""
    if wrap:
        rows, columns = rows % image.shape[0], columns % image.shape[1]
    border = cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE
    sampled = cv2.remap(image, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(sampled, np.float32)


def slopes(height: Floats) -> tuple[Floats, Floats]:
    """Return the slope of a relief downwards and to the right."""
    down, right = np.gradient(height)
    return np.asarray(down), np.asarray(right)


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """Rise softly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Floats:
    """Blend two colours or images; a grey `share` image blends every channel alike."""
    weight = np.asarray(share, np.float32)
    if weight.ndim == 2:
        weight = weight[..., None]
    start = np.asarray(first, np.float32)
    return np.asarray(start + (np.asarray(second, np.float32) - start) * weight, np.float32)


def hexes(*codes: str) -> Floats:
    """Turn colours written `rrggbb` into an array of 0..1."""
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes], np.float32)


def ramp(palette: Floats, position: Floats) -> Floats:
    """Colour every pixel by its position (0..1) along a palette."""
    stops = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(position, stops, channel) for channel in palette.T], -1).astype(np.float32)


def encode_srgb(linear: Floats) -> Floats:
    """Turn linear light into display values."""
    bounded = np.clip(linear, 0, 1)
    return np.where(bounded < 0.0031308, 12.92 * bounded, 1.055 * bounded ** (1 / 2.4) - 0.055).astype(np.float32)


def to_bytes(image: Floats) -> Bytes:
    """Turn 0..1 into 0..255."""
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
