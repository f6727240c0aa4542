"""Build the guides of all regions for each layer, octave and tile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from guidedstyle.encoders.architecture import Architecture, Layer
from guidedstyle.engine.objective.canvas import Canvas
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.measure import ContentFeatures, ContentProbe, StyleProbe, tile_octave
from guidedstyle.losses.propagation import halve, weigh_cells
from guidedstyle.losses.terms import Place
from guidedstyle.losses.tiles import Tile
from guidedstyle.scene.scene import Stage
from guidedstyle.types import Array, Propagation, Shape, Size, Statistic


class GuideBuilder:
    """Cuts octaves into tiles and guides what is measured there, of an image or of a style image."""

    def __init__(self, canvas: Canvas, architecture: Architecture, plan: Plan, stage: Stage) -> None:
        self.canvas, self.architecture, self.plan, self.stage = canvas, architecture, plan, stage
        self.known: dict[tuple[object, ...], Sequence[Guides]] = {}  # by grid and parts

    def layer(self, place: Place) -> Layer:
        """Return what is known of the layer of a place."""
        return self.architecture.layers[place[1]]

    def grid(self, place: Place, size: Size) -> Shape:
        """Return the (height, width) of the features of an image of (width, height)."""
        return self.layer(place).grid(halve((size[1], size[0]), place[0]))

    @cached_property
    def tiles(self) -> list[tuple[Tile, ...]]:
        """The tiles of every octave of the image."""
        return [self.tile(self.stage.size, octave) for octave in range(self.stage.octaves)]

    def tile(self, size: Size, octave: int) -> tuple[Tile, ...]:
        """Divide an octave of an image of (width, height) into tiles for all layers that are read."""
        height, width = halve((size[1], size[0]), octave)
        layers = (*self.plan.style_layers, *self.plan.content_layers)
        return tile_octave(self.architecture, (width, height), layers, self.plan.tiling(self.stage).side)

    def probe_parts(self, place: Place, statistic: Statistic, indices: Sequence[int]) -> StyleProbe:
        """Make what measures parts of regions, by their numbers among all parts of the canvas.

        Layers with one grid share their guides, unless receptive fields matter.
        """
        parts = [self.canvas.parts[index] for index in indices]
        kinds = [self.canvas.controls[part.region].guides for part in parts]
        layer, grid = self.layer(place), self.grid(place, self.stage.size)
        key = (place[0], place[1] if "inside" in kinds else (grid, layer.stride, layer.centre), *indices)
        if key not in self.known:
            weights = parts[0].weights[None] if len(parts) == 1 else np.stack([part.weights for part in parts])
            self.known[key] = self._guide(weights, place, kinds, self.tiles[place[0]])
        return StyleProbe(layer, statistic, self.known[key])

    def probe_style_image(
        self, mask: Array, place: Place, statistic: Statistic, kind: Propagation, tiles: Sequence[Tile]
    ) -> StyleProbe:
        """Make what measures a style image under its mask (1, H, W)."""
        return StyleProbe(self.layer(place), statistic, self._guide(mask, place, [kind], tiles))

    def _guide(
        self, weights: Array, place: Place, kinds: Sequence[Propagation], tiles: Sequence[Tile]
    ) -> Sequence[Guides]:
        """Make the guides of weights (R, H, W) in every tile."""
        grid = self.grid(place, (weights.shape[2], weights.shape[1]))
        cells = weigh_cells(weights, place[0], grid, self.layer(place), kinds)
        own = (cells[(slice(None), *tile.cells(self.layer(place)))] for tile in tiles)
        return [make_guides(torch.from_numpy(part.reshape(len(part), -1)).to(self.plan.device)) for part in own]

    def probe_content(self, layer: str, features: ContentFeatures, norm: float) -> ContentProbe:
        """Make what measures the distance to the content image's features in every painted region."""
        place, weights = (0, layer), self.canvas.weights[self.canvas.painted].cpu().numpy()
        kinds: list[Propagation] = ["simple"] * len(weights)
        cells = weigh_cells(weights, 0, self.grid(place, self.stage.size), self.layer(place), kinds)
        there = torch.from_numpy(cells).to(self.plan.device)
        return ContentProbe(self.layer(place), lambda number: features.at(number)[layer], there, norm)
