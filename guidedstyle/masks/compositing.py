"""Composite region opacities into weights that sum to 1 (Porter-Duff "over"); split mixes that vary over a region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from guidedstyle.masks.geometry import fade_outwards
from guidedstyle.types import Array, Size

ROUNDING = 1e-6  # of weights that sum to 1
MOST_STEPS = 4  # of the lattice, from one of two styles to the other; fewer for more styles


def settle_neighbours(opacities: Sequence[Array | None], files: Sequence[Path | None]) -> list[Array | None]:
    """Convert the colours of one file, which meet but never overlap, to opacities of layers, from back to front.

    Where two colours meet at a half, the layer behind gets everything that the one in front leaves, so there is no gap.
    """
    covered: dict[Path, Array] = {}
    settled = list(opacities)
    for index in reversed(range(len(opacities))):
        opacity, file = opacities[index], files[index]
        if opacity is None or file is None:
            continue
        before = covered.get(file, np.zeros_like(opacity))
        left = 1 - before
        settled[index] = np.clip(np.divide(opacity, left, out=np.zeros_like(opacity), where=left > 1e-4), 0, 1)
        covered[file] = np.minimum(before + opacity, 1)
    return settled


def stack_weights(opacities: Sequence[Array | None], size: Size) -> Array:
    """Stack layers, from back to front, into weights (R + 1, H, W) that sum to 1 at every pixel.

    A weight is an opacity times what the layers in front leave uncovered. `None` is `rest`: it gets what all layers
    leave. The last weight is the uncovered part: 0 if there is a `rest`.
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


def unstack_weights(weights: Array, factors: Sequence[float] = ()) -> list[Array]:
    """Return the opacities of layers, from back to front, that stack to these weights (R + 1, H, W).

    With `factors`, one for each layer, the layers times their factors stack to the weights times the factors.
    """
    left = np.ones_like(weights[0])
    opacities: list[Array] = []
    factors = factors or [1.0] * (len(weights) - 1)
    for weight, factor in zip(weights[-2::-1], reversed(factors), strict=True):
        opacities.insert(0, np.clip(np.divide(weight, left, out=np.zeros_like(left), where=left > 1e-6), 0, 1))
        left = left - factor * weight
    return opacities


def measure_overlaps(opacities: Sequence[Array | None]) -> list[float]:
    """Measure the share of the image where each layer is over or under another; 0 for `rest`."""
    solid = [None if opacity is None else opacity > 0.5 for opacity in opacities]
    depth = sum((layer.astype(np.uint8) for layer in solid if layer is not None), np.zeros((), np.uint8))
    return [0.0 if layer is None else float((layer & (depth > 1)).mean()) for layer in solid]


def add_borders(weights: Array, widths: dict[int, float]) -> Array:
    """Let kept regions, by index, fade over `widths` px into the styled regions around them; inside nothing changes."""
    if not any(widths.values()):
        return weights
    kept = weights[list(widths)].sum(0)
    paint = np.clip(1 - kept - weights[-1], 0, 1)
    faded = np.max([fade_outwards(weights[index], width) for index, width in widths.items()], axis=0)
    gain = np.clip(faded - kept, 0, paint)
    left = np.divide(paint - gain, paint, out=np.zeros_like(paint), where=paint > 0)
    bordered = weights.copy()
    painted = [index for index in range(len(weights) - 1) if index not in widths]
    bordered[painted] *= left
    bordered[next(iter(widths))] += gain
    return bordered


class Part(NamedTuple):
    """A part of a region with a constant mix: the weights (h, w) of its pixels, and the share of each style."""

    region: int
    weights: Array
    mix: tuple[float, ...]


def split_region(region: int, weights: Array, shares: Array) -> Iterator[Part]:
    """Split a region's weights (h, w) by the `shares` (S,) or (S, h, w) of its styles, which sum to 1.

    Shares that vary are expressed in a lattice of mixes: each pixel is divided between the corners around its own mix
    by barycentric coordinates (on Kuhn's triangulation). The parts' weights sum to the region's, and the weighted mean
    of their mixes at a pixel is its mix.
    """
    if shares.ndim == 1:
        yield Part(region, weights, tuple(shares.tolist()))
        return
    steps = max(1, MOST_STEPS + 2 - len(shares))
    corners, opacities = _spread(shares, steps)
    for corner in np.unique(corners):
        part = np.where(corners == corner, opacities, 0).sum(0) * weights
        if part.any():
            yield Part(region, part.astype(np.float32), _read_corner(int(corner), len(shares), steps))


def _spread(shares: Array, steps: int) -> tuple[Array, Array]:
    """Return the indices of the lattice corners around each pixel's mix, and its barycentric coordinates: (S, h, w)."""
    sums = steps * np.cumsum(shares[:0:-1], axis=0)[::-1].clip(0, 1)  # of the shares from each style on
    base = np.floor(sums)
    order = np.argsort(base - sums, axis=0, kind="stable")
    fractions = np.take_along_axis(sums - base, order, axis=0)
    digits = (steps + 1) ** np.arange(len(sums)).reshape(-1, 1, 1)
    risen = np.cumsum(np.take_along_axis(np.broadcast_to(digits, order.shape), order, axis=0), axis=0)
    first = (base * digits).sum(0)[None]
    corners = np.concatenate([first, first + risen])
    one, none = np.ones_like(first), np.zeros_like(first)
    opacities = -np.diff(np.concatenate([one, fractions, none]), axis=0)
    return corners, opacities


def _read_corner(corner: int, styles: int, steps: int) -> tuple[float, ...]:
    sums = [corner // (steps + 1) ** index % (steps + 1) for index in range(styles - 1)]
    bounds = [steps, *sums, 0]
    return tuple((high - low) / steps for high, low in pairwise(bounds))
