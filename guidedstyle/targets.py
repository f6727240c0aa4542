"""What the regions are to match: statistics of the paintings, measured once, mixed, and put under guides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from guidedstyle.architecture import Layer
from guidedstyle.canvas import Canvas, resize, resize_layers
from guidedstyle.content import ContentFeatures
from guidedstyle.controls import Controls
from guidedstyle.encoder import Encoder
from guidedstyle.gram import STATISTICS, Statistic, mix_grams
from guidedstyle.guidance import Kind, Shape, halve, weigh_cells
from guidedstyle.guides import Guides, make_guides
from guidedstyle.images import Array, Size
from guidedstyle.keys import parse_colour
from guidedstyle.losses import Place, StyleTarget, build_octaves, published_norms, relative_norms
from guidedstyle.mixing import Part
from guidedstyle.plan import Plan
from guidedstyle.probes import ContentProbe, StyleProbe, measure_octave, tile_octave
from guidedstyle.recolour import Swatch, match_colours, match_luminance, match_palette, take_swatch
from guidedstyle.scene import Scene
from guidedstyle.stages import Stage
from guidedstyle.tiles import Tile

Found = dict[Place, Tensor]
Memory = dict[bytes, Found]  # statistics of paintings by all that they depend on


@dataclass
class Atelier:
    """Where the targets of one stage are made: a scene's paintings, the canvas, the encoder."""

    scene: Scene
    encoder: Encoder
    plan: Plan
    stage: Stage
    canvas: Canvas
    memory: Memory = field(default_factory=dict)
    measured: dict[tuple[int, str], Found] = field(default_factory=dict)  # by region and style
    guides: dict[tuple[object, ...], Sequence[Guides]] = field(default_factory=dict)  # by grid and parts

    @cached_property
    def metrics(self) -> dict[str, Tensor]:
        """W = M^T M of every layer that has a metric M."""
        return {layer: (metric.T @ metric).to(self.plan.device) for layer, metric in self.encoder.metrics.items()}

    def weigh_places(self, controls: Controls) -> dict[Place, float]:
        """Weigh the octaves and layers at which a region's style is matched; those without weight are left out.

        Octaves are counted from the finished picture's own size down, so that a coarse stage has only the coarse ones.
        """
        layers = self.encoder.architecture.weigh_style(controls.style_layers)
        count = min(self.stage.octaves, len(controls.octaves))
        octaves = [_pick(controls.octaves, self.stage.halvings + octave) for octave in range(count)]
        sums = 1.0 if self.plan.published else sum(layers.values()) * count * _mean(controls.octaves)
        return {
            (octave, layer): weight * factor / sums
            for octave, factor in enumerate(octaves)
            for layer, weight in layers.items()
            if factor
        }

    def make_targets(self) -> tuple[list[StyleTarget], list[StyleProbe]]:
        """Make the targets of all parts, each place once for every statistic matched there, and what measures them."""
        parts, controls = self.canvas.parts, self.canvas.controls
        weights = [self.weigh_places(controls[part.region]) for part in parts]
        statistics = [controls[part.region].statistics for part in parts]
        wanted = [self._measure_part(part) for part in parts]
        groups: dict[tuple[Place, Statistic], list[int]] = {}
        for index, places in enumerate(weights):
            for place in places:
                groups.setdefault((place, statistics[index]), []).append(index)
        targets, probes = list[StyleTarget](), list[StyleProbe]()
        for (place, statistic), indices in sorted(groups.items()):
            found = [wanted[index][place] for index in indices]
            targets.append(self._make_target(place, statistic, indices, found, weights))
            guides = self._guide_parts(place, tuple(indices))
            probes.append(StyleProbe(place[1], self.stride(place), statistic, guides))
        return targets, probes

    def _make_target(
        self,
        place: Place,
        statistic: Statistic,
        indices: Sequence[int],
        found: Sequence[Tensor],
        weights: Sequence[Mapping[Place, float]],
    ) -> StyleTarget:
        wanted, metric = torch.stack(list(found)), self.metrics.get(place[1])
        published = self.plan.published
        norms = published_norms(wanted, self.encoder.unit) if published else relative_norms(wanted, metric)
        counts = torch.tensor([weights[index][place] for index in indices], device=self.plan.device)
        numbers = torch.tensor(indices, device=self.plan.device)
        return StyleTarget(place, statistic, wanted, norms, numbers, counts, metric)

    def _guide_parts(self, place: Place, indices: tuple[int, ...]) -> Sequence[Guides]:
        """Make the guides of parts in every tile; layers with one grid share them, unless receptive fields matter."""
        parts = [self.canvas.parts[index] for index in indices]
        kinds = [self.canvas.controls[part.region].guides for part in parts]
        stride = self.stride(place)
        key = (place[0], place[1] if "inside" in kinds else stride, indices)
        if key not in self.guides:
            weights = parts[0].weights[None] if len(parts) == 1 else np.stack([part.weights for part in parts])
            size = (self.stage.size[1], self.stage.size[0])
            cells = weigh_cells(weights, place[0], self.grid(place, size), self.layer(place), kinds)
            self.guides[key] = self._guide_tiles(cells, self.tiles[place[0]], stride)
        return self.guides[key]

    def _guide_tiles(self, cells: Array, tiles: Sequence[Tile], stride: int) -> Sequence[Guides]:
        """Make the guides of cells (R, h, w) in every tile."""
        own = (cells[(slice(None), *tile.cells(stride))].reshape(len(cells), -1) for tile in tiles)
        return [make_guides(torch.from_numpy(np.ascontiguousarray(part)).to(self.plan.device)) for part in own]

    def probe_content(self, layer: str, features: ContentFeatures, norm: float) -> ContentProbe:
        """Make what measures the distance to the photograph's features in every painted region."""
        weights = self.canvas.weights[self.canvas.painted].cpu().numpy()
        place, size = (0, layer), (self.stage.size[1], self.stage.size[0])
        cells = weigh_cells(weights, 0, self.grid(place, size), self.layer(place), ["simple"] * len(weights))
        there = torch.from_numpy(cells).to(self.plan.device)
        return ContentProbe(layer, self.stride(place), lambda number: features.at(number)[layer], there, norm)

    @cached_property
    def tiles(self) -> list[tuple[Tile, ...]]:
        """The tiles of every octave of the picture."""
        return [self.tile_octave(self.stage.size, octave) for octave in range(self.stage.octaves)]

    def tile_octave(self, size: Size, octave: int) -> tuple[Tile, ...]:
        """Divide an octave of a picture of (width, height) into tiles for all layers that are read."""
        height, width = halve((size[1], size[0]), octave)
        layers = (*self.plan.style_layers, *self.plan.content_layers)
        return tile_octave(self.encoder.architecture, (width, height), layers, self.plan.tiling(self.stage).side)

    def layer(self, place: Place) -> Layer:
        """Return what is known of the layer of a place."""
        return self.encoder.layers[place[1]]

    def stride(self, place: Place) -> int:
        """Return the stride of the layer of a place."""
        return self.layer(place).stride

    def grid(self, place: Place, size: Shape) -> Shape:
        """Return the (height, width) of the features of a picture of (height, width)."""
        height, width = halve(size, place[0])
        return height // self.stride(place), width // self.stride(place)

    def _measure_part(self, part: Part) -> Found:
        """Mix what is measured of the paintings of a part."""
        region = self.scene.recipe.regions[self.canvas.painted[part.region]]
        used = [(name, share) for name, share in zip(region.style, part.mix, strict=True) if share]
        for name, _ in used:
            if (part.region, name) not in self.measured:
                self.measured[part.region, name] = self._measure_painting(part.region, name)
        found = [self.measured[part.region, name] for name, _ in used]
        shares = [share for _, share in used]
        return {place: mix_grams([one[place] for one in found], shares) for place in found[0]}

    def _measure_painting(self, number: int, name: str) -> Found:
        """Measure a painting at every place of a painted region, in the region's colours, statistic and guides."""
        controls = self.canvas.controls[number]
        use = self.scene.recipe.regions[self.canvas.painted[number]].style[name]
        painting = self.scene.paintings[name]
        size = painting.fit(self.scene.recipe.scale(name, use) * max(self.stage.size))
        image = resize(torch.from_numpy(painting.image), size).numpy()
        mask = resize_layers(painting.mask[None], size).numpy()
        image = recolour(image, mask[0], controls, self._take_swatch(number))
        return self._recall(image, mask, controls.guides, controls.statistics, sorted(self.weigh_places(controls)))

    def _recall(self, image: Array, mask: Array, kind: Kind, statistic: Statistic, places: Sequence[Place]) -> Found:
        """Measure a painting, or remember what was measured of the same pixels before."""
        key = hashlib.sha256(repr((id(self.encoder), image.shape, kind, statistic, places)).encode())
        key.update(np.ascontiguousarray(image).tobytes() + np.ascontiguousarray(mask).tobytes())
        if key.digest() not in self.memory:
            self.memory[key.digest()] = self._measure(image, mask, kind, statistic, places)
        return self.memory[key.digest()]

    def _measure(self, image: Array, mask: Array, kind: Kind, statistic: Statistic, places: Sequence[Place]) -> Found:
        found: Found = {}
        pictures = build_octaves(torch.from_numpy(image).to(self.plan.device), places[-1][0] + 1)
        for octave, picture in enumerate(pictures):
            tiles = self.tile_octave((image.shape[3], image.shape[2]), octave)
            here = [place for place in places if place[0] == octave]
            probes = [self._probe_painting(mask, kind, statistic, place, tiles) for place in here]
            sums = measure_octave(self.encoder, picture, tiles, probes)
            found |= {place: STATISTICS[statistic].finish(one)[0] for place, one in zip(here, sums, strict=True)}
        return found

    def _probe_painting(
        self, mask: Array, kind: Kind, statistic: Statistic, place: Place, tiles: Sequence[Tile]
    ) -> StyleProbe:
        grid = self.grid(place, (mask.shape[1], mask.shape[2]))
        cells = weigh_cells(mask, place[0], grid, self.layer(place), [kind])
        return StyleProbe(place[1], self.stride(place), statistic, self._guide_tiles(cells, tiles, self.stride(place)))

    def _take_swatch(self, number: int) -> Swatch:
        """Take the colours of the photograph's pixels in a painted region."""
        weights = self.canvas.weights[self.canvas.painted[number]]
        return take_swatch(self.canvas.content.cpu().numpy(), weights.cpu().numpy())


def recolour(image: Array, mask: Array, controls: Controls, region: Swatch) -> Array:
    """Recolour a painting's image (1, 3, h, w) as a region asks for it, as far as it asks for it, within [0, 1]."""
    colour, strength = controls.colour, np.float32(controls.colour_strength)
    if colour.style or not strength:
        return image
    if colour.content:
        changed = match_luminance(image, mask, region)
    elif colour.match:
        changed = match_colours(image, mask, region, colour.match)
    else:
        changed = match_palette(image, mask, [parse_colour(name) for name in colour.palette])
    recoloured: Array = np.clip(image + strength * (changed - image), 0, 1)
    return recoloured


def _pick(octaves: Sequence[float], index: int) -> float:
    """Pick an octave's weight; those that are coarser than all listed weigh as the last."""
    return octaves[min(index, len(octaves) - 1)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
