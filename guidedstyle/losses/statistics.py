"""Measure features tile by tile: guided statistics and content features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.transfer import fetch
from guidedstyle.encoders.architecture import Architecture, Layer
from guidedstyle.encoders.encoder import Encoder, Features
from guidedstyle.encoders.passes import IMAGE, AddGradient, Reader
from guidedstyle.losses.gram import STATISTICS
from guidedstyle.losses.guides import Guides
from guidedstyle.losses.propagation import halve_shape
from guidedstyle.losses.tiles import MeasureImage, Tile, make_tiles, split_rows, sum_tiles
from guidedstyle.types import Size, Statistic

PIXELS = Layer()  # an image's own values
TINY = 1e-12


class Summable(Protocol):
    """A quantity that is summed over the tiles of an image."""

    @property
    def layer(self) -> Layer:
        """The layer whose features are read."""

    def read(self, features: Tensor, tile: Tile, number: int) -> tuple[Tensor, AddGradient]:
        """Compute the summand of a tile, by its number, from the features (1, C, h, w) of its window.

        The second result adds the gradient of the summand to that of the features, in place.
        """


@dataclass(frozen=True, eq=False)
class GuidedStatistic:
    """A statistic of R regions at a layer, under their `guides` in each tile.

    With a `metric` M (C, C), it is the Gram matrix of the features M f.
    """

    layer: Layer
    statistic: Statistic
    guides: Sequence[Guides]
    metric: Tensor | None = None

    def read(self, features: Tensor, tile: Tile, number: int) -> tuple[Tensor, AddGradient]:
        """Compute a tile's summand: (R, C, C), (R, C), or (R, C + 1, C)."""
        own, guides = tile.take_own(features, self.layer), self.guides[number]
        seen = own if self.metric is None else functional.conv2d(own, self.metric[:, :, None, None])
        sums, add_to_seen = STATISTICS[self.statistic].read(seen, guides)

        def add(outer: Tensor, gradient: Tensor) -> None:
            gradient = tile.take_own(gradient, self.layer)
            if self.metric is None:
                add_to_seen(outer, gradient)
            else:
                add_to_seen(outer, back := torch.zeros_like(seen))
                gradient.add_(functional.conv2d(back, self.metric.T[:, :, None, None]))

        return sums, add

    def finish(self, sums: Tensor) -> Tensor:
        """Compute the statistic (R, C, C) or (R, C) from the sums over all tiles."""
        return STATISTICS[self.statistic].finish(sums)


def measure_octave(
    encoder: Encoder,
    image: Tensor,
    tiles: Sequence[Tile],
    quantities: Sequence[Summable],
    *,
    kept: int = 0,
    whole: Sequence[Reader] = (),
    measure_coarser: MeasureImage | None = None,
) -> Sequence[Tensor]:
    """Sum quantities over the tiles of an octave (1, 3, H, W) of an image; see `sum_tiles` for the other parameters."""
    alone = len(tiles) == 1  # then all add to the gradient of one pass

    def measure(window: Tensor, number: int) -> Sequence[Tensor]:
        readers = [(one.layer.name, partial(one.read, tile=tiles[number], number=number)) for one in quantities]
        return encoder.measure(window, readers + [(IMAGE, reader) for reader in whole if alone])

    if not (quantities or whole):
        return measure_coarser(image) if measure_coarser else []
    left = () if alone else whole
    return sum_tiles(image, tiles, measure, kept=kept, whole=left, measure_coarser=measure_coarser)


def build_octaves(image: Tensor, count: int) -> list[Tensor]:
    """Halve an image (1, 3, H, W) repeatedly: `count` octaves, the finest first."""
    octaves = [image]
    for _ in range(count - 1):
        octaves.append(halve_image(octaves[-1]))
    return octaves


def halve_image(image: Tensor) -> Tensor:
    """Halve an image (1, 3, H, W) by averaging."""
    height, width = image.shape[2:]
    return functional.interpolate(image, halve_shape((height, width)), mode="bilinear", antialias=True)


def tile_octave(architecture: Architecture, size: Size, layers: Sequence[str], side: int | None) -> tuple[Tile, ...]:
    """Divide an octave of (width, height) into tiles of `side` px for the layers that are read; None: into one.

    Tiles are larger where smaller ones would have no positions of their own at some layer.
    """
    found = [PIXELS, *(architecture.layers[layer] for layer in layers)]
    stride = math.lcm(*(layer.stride for layer in found))
    halo = max(1, *(layer.halo for layer in found))  # total variation reads the next pixel
    tiles = make_tiles(size, side or max(size), halo=-(-halo // stride) * stride, stride=stride)
    if len(tiles) > 1 and any(_is_empty(tile, layer) for tile in tiles for layer in found):
        return tile_octave(architecture, size, layers, 2 * max(side or 1, stride))
    return tiles if len(split_rows(tiles)) >= count_processes() else make_tiles(size, max(size), halo=0, stride=stride)


def _is_empty(tile: Tile, layer: Layer) -> bool:
    return any(side.start == side.stop for side in tile.positions(layer))


class ContentFeatures:
    """The features of an image (1, 3, H, W) at some layers, tile by tile.

    With `cached` the features of all tiles stay in memory; otherwise only those of the last tile.
    """

    def __init__(
        self, encoder: Encoder, image: Tensor, tiles: Sequence[Tile], layers: Sequence[str], *, cached: bool
    ) -> None:
        self.encoder, self.image, self.tiles, self.layers = encoder, image, tiles, layers
        self.most, self.known = len(tiles) if cached else 1, dict[int, Features]()

    def at(self, number: int) -> Features:
        """Return the features (1, C, h, w) of a tile by layer."""
        if number not in self.known:
            if len(self.known) == self.most:
                self.known.clear()
            self.known[number] = self._encode(number)
        return self.known[number]

    def _encode(self, number: int) -> Features:
        tile = self.tiles[number]
        with torch.no_grad():
            features = self.encoder.encode(tile.cut(self.image), self.layers)
        own = {layer: tile.take_own(found, self.encoder.layers[layer]) for layer, found in features.items()}
        return {layer: found.contiguous(memory_format=torch.channels_last) for layer, found in own.items()}

    def measure_powers(self) -> dict[str, float]:
        """Measure the mean |P|^2 over the positions of each layer, which content losses are relative to."""

        def measure(_: Tensor, number: int) -> list[Tensor]:
            found = [self.at(number)[layer] for layer in self.layers]
            return [one.square().sum(dtype=torch.promote_types(one.dtype, torch.float32)) for one in found]

        height, width = self.image.shape[2:]
        counts = [math.prod(self.encoder.layers[layer].grid((height, width))) for layer in self.layers]
        with torch.no_grad():
            sums = sum_tiles(self.image, self.tiles, measure) if self.layers else []
        return {
            layer: max(TINY, power / count)
            for layer, power, count in zip(self.layers, (float(one) for one in fetch(sums)), counts, strict=True)
        }
