"""Build the guides of all regions for each layer, octave and tile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from guidedstyle.device.transfer import send
from guidedstyle.encoders.architecture import Architecture
from guidedstyle.engine.objective.canvas import Canvas
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.propagation import OctaveLayer, halve_shape, propagate
from guidedstyle.losses.statistics import GuidedStatistic, tile_octave
from guidedstyle.losses.tiles import Tile
from guidedstyle.scene.scene import Stage
from guidedstyle.types import Array, Propagation, Size, Statistic


class GuideBuilder:
    """Divides octaves into tiles, and propagates the weights of regions to the grids of layers."""

    def __init__(self, canvas: Canvas, architecture: Architecture, plan: Plan, stage: Stage) -> None:
        self.canvas, self.architecture, self.plan, self.stage = canvas, architecture, plan, stage
        self.known: dict[tuple[object, ...], Sequence[Guides]] = {}  # by grid and parts

    @cached_property
    def tiles(self) -> list[tuple[Tile, ...]]:
        """The tiles of every octave of the image."""
        return [self.tile(self.stage.size, octave) for octave in range(self.stage.octaves)]

    def tile(self, size: Size, octave: int) -> tuple[Tile, ...]:
        """Divide an octave of an image of (width, height) into tiles for all layers that are read."""
        height, width = halve_shape((size[1], size[0]), octave)
        layers = (*self.plan.style_layers, *self.plan.content_layers)
        return tile_octave(self.architecture, (width, height), layers, self.plan.tiling(self.stage).side)

    def guide_parts(self, key: OctaveLayer, statistic: Statistic, indices: Sequence[int]) -> GuidedStatistic:
        """Guide a statistic of parts of regions, by their indices among the parts of the canvas.

        Layers with the same grid share their guides, unless their receptive fields matter.
        """
        parts = [self.canvas.parts[index] for index in indices]
        modes = [self.canvas.controls[part.region].guides for part in parts]
        octave, layer = key[0], self.architecture.layers[key[1]]
        grid = layer.grid(halve_shape((self.stage.size[1], self.stage.size[0]), octave))
        known = (octave, (grid, layer.stride, layer.centre) if {*modes} == {"simple"} else layer.name, *indices)
        if known not in self.known:
            weights = parts[0].weights[None] if len(parts) == 1 else np.stack([part.weights for part in parts])
            self.known[known] = self._guide(weights, key, modes, self.tiles[octave])
        return GuidedStatistic(layer, statistic, self.known[known])

    def guide_style_image(
        self, mask: Array, key: OctaveLayer, *, statistic: Statistic, mode: Propagation, tiles: Sequence[Tile]
    ) -> GuidedStatistic:
        """Guide a statistic of a style image under its mask (1, H, W)."""
        layer = self.architecture.layers[key[1]]
        return GuidedStatistic(layer, statistic, self._guide(mask, key, [mode], tiles))

    def _guide(
        self, weights: Array, key: OctaveLayer, modes: Sequence[Propagation], tiles: Sequence[Tile]
    ) -> Sequence[Guides]:
        """Make the guides of weights (R, H, W) in every tile."""
        layer, grid_weights = self.architecture.layers[key[1]], torch.from_numpy(self._propagate(weights, key, modes))
        own = (grid_weights[(slice(None), *tile.positions(layer))] for tile in tiles)
        return [make_guides(part).to(self.plan.device) for part in own]

    def weigh_content(self, layer: str) -> Tensor:
        """Return the grid weights (R, h, w) of the painted regions at a layer of the finest octave."""
        weights = self.canvas.region_weights[self.canvas.painted]
        modes: list[Propagation] = ["simple"] * len(weights)
        return send(torch.from_numpy(self._propagate(weights, (0, layer), modes)), self.plan.device)

    def _propagate(self, weights: Array, key: OctaveLayer, modes: Sequence[Propagation]) -> Array:
        return propagate(weights, self.architecture.layers[key[1]], octave=key[0], modes=modes)
