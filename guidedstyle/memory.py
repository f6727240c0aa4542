"""How much memory a render takes at each size, and what to compute in tiles so that it fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from guidedstyle.architecture import Architecture
from guidedstyle.lbfgs import HISTORY
from guidedstyle.masks.compositing import ROUNDING
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.types import Array

# Measured on CPUs with glibc, where memory that was freed in pieces counts too.
RUNTIME = 700 * 2**20  # bytes that torch and its libraries take
SHAPES = 100 * 2**20  # bytes of kernels for windows of several shapes, in tiles
SPREAD, KEPT = 1.55, 0.9  # of what a step keeps for its way back: on the way, and waiting
PIXEL = 12  # bytes of three float32
GUIDES = 10 * 4 / 3  # bytes of two indices of int32 for every position of three grids
SIDES = (1024, 512, 256, 128)  # px
INDEX = 8  # bytes of an index of max pooling
STATE = {"lbfgs": 9, "adam": 7, "sgd": 5.8}  # pictures that a step holds, besides a history


@dataclass(frozen=True)
class Tiling:
    """How a size is computed: in tiles of `side` px (None: whole), of which a share is `kept` in memory.

    `content` tells whether the photograph's features stay in memory too.
    """

    side: int | None = None
    kept: float = 0.0
    content: bool = True

    def __str__(self) -> str:
        return f"tiles of {self.side} px, {self.kept:.0%} of them kept" if self.side else "whole"


@dataclass(frozen=True)
class Needs:
    """What the memory of a render depends on besides its size, in bytes a pixel unless told otherwise."""

    pictures: float  # the solver's, the photograph, region weights
    weights: Array  # of regions (R + 1, h, w), at any size
    history: float  # of L-BFGS at full length
    paintings: float  # bytes in all
    features: float  # that a step keeps
    content: float  # the photograph's features
    halo: int  # px around a tile

    def estimate(self, stage: Stage, tiling: Tiling) -> int:
        """Estimate the bytes that a size takes."""
        pixels, octaves = math.prod(stage.size), sum(0.25**octave for octave in range(stage.octaves))
        guides = GUIDES * _share_mixed(self.weights, stage, tiling)
        history = self.history * min(1.0, stage.steps / HISTORY)
        pictures = self.pictures + guides + history + self.content * tiling.content
        computed = SPREAD * octaves * pixels
        if tiling.side:
            window = min(pixels, (tiling.side + 2 * self.halo) ** 2)
            computed = SPREAD * window + KEPT * tiling.kept * octaves * pixels
        runtime = RUNTIME + (SHAPES if tiling.side else 0)
        return round(runtime + self.paintings + pictures * pixels + self.features * computed)


def find_needs(
    scene: Scene, architecture: Architecture, style: Sequence[str], content: Sequence[str], itemsize: int
) -> Needs:
    """Find what a scene needs that matches these layers for style and content, features having `itemsize` bytes."""
    recipe, count = scene.recipe, len(scene.recipe.regions)
    kept, read = [architecture.layers[name] for name in content], {*style, *content}
    return Needs(
        pictures=PIXEL * STATE[recipe.solver.method] + 4 * (count + 1),
        weights=scene.weights,
        history=2 * PIXEL * HISTORY if recipe.solver.method == "lbfgs" else 0,
        paintings=sum(_measure_paintings(scene)),
        features=_count_features(architecture, read, style if count > 1 else (), itemsize),
        content=sum(layer.channels / layer.stride**2 for layer in kept) * itemsize,
        halo=max([architecture.layers[name].receptive_field // 2 for name in read], default=0),
    )


def _share_mixed(weights: Array, stage: Stage, tiling: Tiling) -> float:
    """Measure the share of tiles that no region has for itself alone."""
    across, down = (-(-length // (tiling.side or length)) for length in stage.size)
    tiles = functional.adaptive_avg_pool2d(torch.from_numpy(weights), (down, across))
    return float((tiles.amax(0) < 1 - ROUNDING).float().mean())


def _count_features(architecture: Architecture, read: Set[str], guided: Sequence[str], itemsize: int) -> float:
    """Count the bytes a step keeps per pixel: features, indices of max pooling, rows of guided layers."""
    names = list(architecture.layers)
    deepest = max((names.index(name) for name in read), default=-1)
    total = 0.0
    for name, layer in list(architecture.layers.items())[: deepest + 1]:
        copies = 1 + (name in guided) + (0.25 if name in architecture.max_pooled else 0)
        indices = INDEX / 4 if name in architecture.max_pooled else 0
        rank = architecture.ranks.get(name, 0) * itemsize
        total += (layer.channels * (copies * itemsize + indices) + rank) / layer.stride**2
    return total


def _measure_paintings(scene: Scene) -> Iterator[float]:
    """Measure the bytes of every painting and its mask as they are opened."""
    for name, painting in scene.paintings.items():
        looked_at = math.prod(painting.fit(scene.recipe.largest_scale(name) * max(scene.size)))
        yield (PIXEL + 4.0) * min(looked_at, math.prod(painting.size))


def choose_tiling(needs: Needs, stage: Stage, tilings: Iterable[Tiling], limit: float) -> Tiling | None:
    """Choose the first tiling of a size that fits within `limit` bytes; None: none does.

    What memory is left keeps tiles, which then need not be computed twice.
    """
    for tiling in tilings:
        if (taken := needs.estimate(stage, tiling)) <= limit:
            each = needs.estimate(stage, replace(tiling, kept=1.0)) - taken
            return replace(tiling, kept=min(1.0, (limit - taken) / each)) if tiling.side else tiling
    return None


def shrink_tiling(tiling: Tiling, stage: Stage) -> Tiling | None:
    """Choose what takes less than a tiling that did not fit after all; None: nothing does."""
    if tiling.kept:
        return replace(tiling, kept=0.0)
    if side := next((side for side in SIDES if side < (tiling.side or max(stage.size))), None):
        return replace(tiling, side=side)
    return replace(tiling, content=False) if tiling.content else None
