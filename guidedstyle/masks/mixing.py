"""Split a style mix that varies over a region into parts of constant mix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from guidedstyle.types import Array

MOST_STEPS = 4  # of the lattice, from one of two styles to the other; fewer for more styles


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
