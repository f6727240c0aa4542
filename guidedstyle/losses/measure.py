"""Measure features tile by tile: guided statistics and content features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from guidedstyle.device.distributed import count_processes
from guidedstyle.encoders.architecture import Architecture, Layer
from guidedstyle.encoders.encoder import Encoder, Features
from guidedstyle.losses.gram import STATISTICS
from guidedstyle.losses.guides import Guides
from guidedstyle.losses.terms import TINY, content_losses, measure_total_variation
from guidedstyle.losses.tiles import Coarser, Tile, make_tiles, split_rows, sum_tiles
from guidedstyle.types import Size, Statistic

PIXELS = Layer()  # an image's own values


class Probe(Protocol):
    """Measures something that can be summed over tiles."""

    @property
    def layer(self) -> Layer:
        """The layer whose features are read."""

    def measure(self, features: Tensor, tile: Tile, number: int) -> Tensor:
        """Measure the features (1, C, h, w) of a tile's window."""


@dataclass(frozen=True)
class StyleProbe:
    """Sums up a statistic of regions under their guides, one of each tile."""

    layer: Layer
    statistic: Statistic
    guides: Sequence[Guides]

    def measure(self, features: Tensor, tile: Tile, number: int) -> Tensor:
        """Collect what the statistic needs: (R, C, C), (R, C), or (R, C + 1, C)."""
        return STATISTICS[self.statistic].collect(tile.take_own(features, self.layer), self.guides[number])


@dataclass(frozen=True)
class ContentProbe:
    """Sums up the distance of features to those `wanted` of each tile, in cells (R, h, w) of regions, over `norm`."""

    layer: Layer
    wanted: Callable[[int], Tensor]
    cells: Tensor
    norm: Tensor | float

    def measure(self, features: Tensor, tile: Tile, number: int) -> Tensor:
        """Collect the content losses (R,)."""
        cells = self.cells[(slice(None), *tile.cells(self.layer))].flatten(1)
        return content_losses(tile.take_own(features, self.layer), self.wanted(number), cells, self.norm)


@dataclass(frozen=True)
class TotalVariationProbe:
    """Sums up the roughness of pixels: weighed by `smoothness` (H, W), and as it is."""

    smoothness: Tensor
    layer: Layer = PIXELS

    def measure(self, features: Tensor, tile: Tile, number: int) -> Tensor:
        """Collect the mean roughness, weighed and not: (2,)."""
        roughness = tile.take_own(measure_total_variation(features)[None, None], PIXELS) / self.smoothness.numel()
        return torch.stack([(self.smoothness[tile.own] * roughness).sum(), roughness.sum()])


def measure_octave(
    encoder: Encoder,
    picture: Tensor,
    tiles: Sequence[Tile],
    probes: Sequence[Probe],
    kept: int = 0,
    coarser: Coarser | None = None,
) -> Sequence[Tensor]:
    """Measure with every probe an octave (1, 3, H, W) of an image; see `sum_tiles` for `kept` and `coarser`."""
    layers = {probe.layer.name for probe in probes} - {PIXELS.name}

    def measure(window: Tensor, number: int) -> list[Tensor]:
        features = {PIXELS.name: window} | (encoder.encode(window, layers) if layers else {})
        return [probe.measure(features[probe.layer.name], tiles[number], number) for probe in probes]

    if not probes:
        return coarser(picture) if coarser else []
    return sum_tiles(picture, tiles, measure, kept, coarser)


def tile_octave(architecture: Architecture, size: Size, layers: Sequence[str], side: int | None) -> tuple[Tile, ...]:
    """Divide an octave of (width, height) into tiles of `side` px for the layers that are read; None: into one.

    Tiles are larger where smaller ones would have no positions of their own at some layer.
    """
    found = [PIXELS, *(architecture.layers[layer] for layer in layers)]
    stride = math.lcm(*(layer.stride for layer in found))
    halo = max(1, *(layer.halo for layer in found))  # total variation sees the next pixel
    tiles = make_tiles(size, side or max(size), -(-halo // stride) * stride, stride)
    if len(tiles) > 1 and any(_is_empty(tile, layer) for tile in tiles for layer in found):
        return tile_octave(architecture, size, layers, 2 * max(side or 1, stride))
    return tiles if len(split_rows(tiles)) >= count_processes() else make_tiles(size, max(size), 0, stride)


def _is_empty(tile: Tile, layer: Layer) -> bool:
    return any(cells.start == cells.stop for cells in tile.cells(layer))


class ContentFeatures:
    """The features of an image (1, 3, H, W) at some layers, tile by tile; `remembered` takes memory but no time."""

    def __init__(
        self, encoder: Encoder, picture: Tensor, tiles: Sequence[Tile], layers: Sequence[str], remembered: bool
    ) -> None:
        self.encoder, self.picture, self.tiles, self.layers = encoder, picture, tiles, layers
        self.most, self.known = len(tiles) if remembered else 1, dict[int, Features]()

    def at(self, number: int) -> Features:
        """Return the features of a tile, (1, C, h, w) each."""
        if number not in self.known:
            if len(self.known) == self.most:
                self.known.clear()
            self.known[number] = self._encode(number)
        return self.known[number]

    def _encode(self, number: int) -> Features:
        tile = self.tiles[number]
        with torch.no_grad():
            features = self.encoder.encode(tile.cut(self.picture), self.layers)
        return {layer: tile.take_own(found, self.encoder.layers[layer]) for layer, found in features.items()}

    def measure_powers(self) -> dict[str, float]:
        """Measure the mean |P|^2 over positions of each layer: what content losses are relative to."""

        def measure(_: Tensor, number: int) -> list[Tensor]:
            found = [self.at(number)[layer] for layer in self.layers]
            return [one.square().sum(dtype=torch.promote_types(one.dtype, torch.float32)) for one in found]

        height, width = self.picture.shape[2:]
        counts = [math.prod(self.encoder.layers[layer].grid((height, width))) for layer in self.layers]
        with torch.no_grad():
            sums = sum_tiles(self.picture, self.tiles, measure) if self.layers else []
        return {
            layer: max(TINY, float(power) / count)
            for layer, power, count in zip(self.layers, sums, counts, strict=True)
        }
