"""The main colours of an image, in CIELAB."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

from guidedstyle.types import RGB, Array

COLOURS = 8
MOST_PIXELS = 20_000  # sampled
ROUNDS, CLOSE = 30, 0.1  # of k-means: the most iterations, and the shift of the centres at which it ends
LIGHTNESS = (50.0, 55.0)  # in this range a line contrasts with white and with black


@dataclass(frozen=True)
class Palette:
    """The main colours of an image, darkest first, with their shares, and its mean lightness and chroma."""

    colours: tuple[tuple[RGB, float], ...]
    lightness: float
    chroma: float


def measure_palette(image: Array, weights: Array) -> Palette:
    """Cluster the colours of an image (1, 3, h, w) where weights (h, w) are at least half their maximum."""
    lab = to_lab(pick_pixels(image, weights))
    count = min(COLOURS, len(lab))
    ranks = (
        lab[:, 0].argsort().argsort()
    )  # start from equal parts by lightness: the same image always has the same palette
    start = np.asarray(ranks * count // len(lab), np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, ROUNDS, CLOSE)
    _, labels, middles = cv2.kmeans(lab, count, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares = np.bincount(labels[:, 0], minlength=count) / len(lab)
    colours = Counter[RGB]()  # flat images have fewer than `count`
    for index in middles[:, 0].argsort():
        colours[_to_rgb(middles[index])] += shares[index]
    found = tuple((colour, float(share)) for colour, share in colours.items() if share)
    return Palette(found, float(lab[:, 0].mean()), float(measure_chroma(lab).mean()))


def pick_pixels(image: Array, weights: Array) -> Array:
    """Sample pixels (N, 3) evenly where weights (h, w) of an image (1, 3, h, w) are at least half their maximum."""
    part = image[0][:, weights >= weights.max() / 2].T
    return np.ascontiguousarray(part[:: -(-len(part) // MOST_PIXELS)], np.float32)


def to_lab(pixels: Array) -> Array:
    """Convert sRGB colours (N, 3) in [0, 1] to CIELAB: lightness 0 to 100, a and b."""
    return np.asarray(cv2.cvtColor(pixels[None], cv2.COLOR_RGB2Lab)[0], np.float32)


def measure_chroma(lab: Array) -> Array:
    """Measure the chroma (N,) of CIELAB colours (N, 3)."""
    return np.asarray(np.hypot(lab[:, 1], lab[:, 2]), np.float32)


def make_legible(colour: RGB) -> RGB:
    """Return a colour of the same hue that contrasts with light and with dark backgrounds."""
    lab = to_lab(np.array([colour], np.float32) / np.float32(255))[0]
    return _to_rgb(np.array([np.clip(lab[0], *LIGHTNESS), *lab[1:]], np.float32))


def _to_rgb(lab: Array) -> RGB:
    red, green, blue = np.rint(255 * cv2.cvtColor(lab[None, None], cv2.COLOR_Lab2RGB)[0, 0].clip(0, 1)).astype(int)
    return int(red), int(green), int(blue)
