"""Suggest regions of a content image: superpixels merged by similarity."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import fit_size
from guidedstyle.types import Array, Pixels

Labels = NDArray[np.intp]

WORKING = 640  # px, longest side
SUPERPIXELS = 900
COMPACTNESS = 6.0
LIGHT, CHROMA = 25.0, 14.0  # of Lab, count as one unit of difference
ACROSS, DOWN, TEXTURE = 1.0, 2.0, 0.6  # weights of position and texture relative to colour
EDGE = 1.5  # px, standard deviation of the blur that smooths borders


def suggest_regions(content: Pixels, count: int) -> list[Pixels]:
    """Divide a content image (H, W, 3) into at most `count` masks (H, W) of 0 and 255, sorted from top to bottom.

    Superpixels (SLIC, Achanta et al. 2012) that touch are merged by Ward's method. Regions of a pixel or two, as in a
    tiny image, may be absorbed by their neighbours. Raises GuidedStyleError if the libraries for it are missing.
    """
    height, width = content.shape[:2]
    size = fit_size((width, height), min(WORKING, max(width, height)))
    labels = _merge_superpixels(np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_AREA), np.uint8), count)
    order = sorted(range(count), key=lambda index: float(np.nonzero(labels == index)[0].mean()))
    votes = [cv2.GaussianBlur((labels == index).astype(np.float32), (0, 0), EDGE) for index in order]
    winner = np.argmax([cv2.resize(vote, (width, height), interpolation=cv2.INTER_LINEAR) for vote in votes], axis=0)
    return [np.asarray(255 * (winner == index), np.uint8) for index in np.unique(winner)]


def _merge_superpixels(image: Pixels, count: int) -> Labels:
    try:
        from skimage.segmentation import slic
        from sklearn.cluster import AgglomerativeClustering
    except ImportError as error:
        rule = f"it needs the library {error.name}, which is not installed"
        raise GuidedStyleError.of("mask suggest", rule, "pip install scikit-image scikit-learn") from error
    superpixels = slic(image, SUPERPIXELS, COMPACTNESS, sigma=1, start_label=0, channel_axis=2)
    merging = AgglomerativeClustering(count, connectivity=_find_neighbours(superpixels), linkage="ward")
    labels: Labels = merging.fit_predict(_describe(image, superpixels))[superpixels]
    return labels


def _describe(image: Pixels, superpixels: Labels) -> Array:
    """Describe every superpixel by its mean colour in Lab, its texture and its position: (N, 6)."""
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
    texture = np.abs(lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 2))
    y, x = np.indices(superpixels.shape, np.float32) / max(superpixels.shape)
    pixels = np.bincount(superpixels.ravel())

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(superpixels.ravel(), values.ravel()) / pixels, np.float32)

    colour = [mean(lab[..., 0]) / LIGHT, mean(lab[..., 1]) / CHROMA, mean(lab[..., 2]) / CHROMA]
    return np.stack([*colour, TEXTURE * np.log1p(mean(texture)), ACROSS * mean(x), DOWN * mean(y)], 1)


def _find_neighbours(superpixels: Labels) -> NDArray[np.bool_]:
    """Return which superpixels touch: (N, N)."""
    touching = np.eye(superpixels.max() + 1, dtype=bool)
    for one, other in ((superpixels[1:], superpixels[:-1]), (superpixels[:, 1:], superpixels[:, :-1])):
        touching[one, other] = touching[other, one] = True
    return touching
