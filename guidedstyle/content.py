"""The photograph's own features, which keep its drawing: in every tile, remembered or computed again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidedstyle.encoder import Encoder, Features
from guidedstyle.losses import TINY
from guidedstyle.tiles import Tile, sum_tiles


class ContentFeatures:
    """The features of a picture (1, 3, H, W) at some layers, tile by tile; `remembered` takes memory but no time."""

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
        return {layer: tile.take_own(found, self.encoder.layers[layer].stride) for layer, found in features.items()}

    def measure_powers(self) -> dict[str, float]:
        """Measure the mean |P|^2 over positions of each layer: what content losses are relative to."""

        def measure(_: Tensor, number: int) -> list[Tensor]:
            found = [self.at(number)[layer] for layer in self.layers]
            return [one.square().sum(dtype=torch.promote_types(one.dtype, torch.float32)) for one in found]

        height, width = self.picture.shape[2:]
        strides = [self.encoder.layers[layer].stride for layer in self.layers]
        counts = [(height // stride) * (width // stride) for stride in strides]
        with torch.no_grad():
            sums = sum_tiles(self.picture, self.tiles, measure) if self.layers else []
        return {
            layer: max(TINY, float(power) / count)
            for layer, power, count in zip(self.layers, sums, counts, strict=True)
        }
