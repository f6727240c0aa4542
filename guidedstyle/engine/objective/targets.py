"""Build style targets: measure style images and mix their statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import Statistics, StatisticsCache
from guidedstyle.engine.objective.canvas import Canvas, resize, resize_layers
from guidedstyle.engine.objective.colour import Swatch, match_colours, match_luminance, match_palette, take_swatch
from guidedstyle.engine.objective.guidance import GuideBuilder
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.gram import STATISTICS, mix_grams
from guidedstyle.losses.measure import StyleProbe, measure_octave
from guidedstyle.losses.terms import Place, StyleTarget, build_octaves, published_norms, relative_norms
from guidedstyle.masks.mixing import Part
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.values import parse_colour
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.types import Array, Propagation, Statistic


@dataclass
class TargetBuilder:
    """Where the targets of one stage are made: a scene's style images, the canvas, the encoder."""

    scene: Scene
    encoder: Encoder
    plan: Plan
    stage: Stage
    canvas: Canvas
    statistics: StatisticsCache
    measured: dict[tuple[int, str], Statistics] = field(default_factory=dict)  # by region and style

    @cached_property
    def guide_builder(self) -> GuideBuilder:
        """What guides the measurements."""
        return GuideBuilder(self.canvas, self.encoder.architecture, self.plan, self.stage)

    @cached_property
    def metrics(self) -> dict[str, Tensor]:
        """W = M^T M of every layer that has a metric M."""
        return {layer: (metric.T @ metric).to(self.plan.device) for layer, metric in self.encoder.metrics.items()}

    def weigh_places(self, controls: Controls) -> dict[Place, float]:
        """Weigh the octaves and layers at which a region's style is matched; those without weight are left out.

        Octaves are counted from the finished image's own size down, so that a coarse stage has only the coarse ones.
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
            probes.append(self.guide_builder.probe_parts(place, statistic, indices))
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

    def _measure_part(self, part: Part) -> Statistics:
        """Mix what is measured of the style images of a part."""
        region = self.scene.recipe.regions[self.canvas.painted[part.region]]
        used = [(name, share) for name, share in zip(region.style, part.mix, strict=True) if share]
        for name, _ in used:
            if (part.region, name) not in self.measured:
                self.measured[part.region, name] = self._measure_style_image(part.region, name)
        found = [self.measured[part.region, name] for name, _ in used]
        shares = [share for _, share in used]
        return {place: mix_grams([one[place] for one in found], shares) for place in found[0]}

    def _measure_style_image(self, number: int, name: str) -> Statistics:
        """Measure a style image at every place of a painted region, in the region's colours, statistic and guides."""
        controls = self.canvas.controls[number]
        use = self.scene.recipe.regions[self.canvas.painted[number]].style[name]
        style_image = self.scene.style_images[name]
        size = style_image.fit(self.scene.recipe.scale(name, use) * max(self.stage.size))
        image = resize(torch.from_numpy(style_image.image), size).numpy()
        mask = resize_layers(style_image.mask[None], size).numpy()
        image = recolour(image, mask[0], controls, self._take_swatch(number))
        return self._recall(image, mask, controls.guides, controls.statistics, sorted(self.weigh_places(controls)))

    def _recall(
        self, image: Array, mask: Array, kind: Propagation, statistic: Statistic, places: Sequence[Place]
    ) -> Statistics:
        """Measure a style image, unless the same pixels were measured before in the same way."""
        key = hashlib.sha256(repr((self.encoder_print, image.shape, kind, statistic, places)).encode())
        for array in (image, mask):
            key.update(np.ascontiguousarray(array).data)
        return self.statistics.load_or_measure(
            key.hexdigest(), self.plan.device, lambda: self._measure(image, mask, kind, statistic, places)
        )

    @cached_property
    def encoder_print(self) -> str:
        """What measurements depend on besides the style image."""
        return self.encoder.fingerprint()

    def _measure(
        self, image: Array, mask: Array, kind: Propagation, statistic: Statistic, places: Sequence[Place]
    ) -> Statistics:
        found: Statistics = {}
        pictures = build_octaves(torch.from_numpy(image).to(self.plan.device), places[-1][0] + 1)
        for octave, picture in enumerate(pictures):
            tiles = self.guide_builder.tile((image.shape[3], image.shape[2]), octave)
            here = [place for place in places if place[0] == octave]
            probes = [self.guide_builder.probe_style_image(mask, place, statistic, kind, tiles) for place in here]
            sums = measure_octave(self.encoder, picture, tiles, probes)
            found |= {place: STATISTICS[statistic].finish(one)[0] for place, one in zip(here, sums, strict=True)}
        return found

    def _take_swatch(self, number: int) -> Swatch:
        """Take the colours of the content image's pixels in a painted region."""
        weights = self.canvas.weights[self.canvas.painted[number]]
        return take_swatch(self.canvas.content.cpu().numpy(), weights.cpu().numpy())


def recolour(image: Array, mask: Array, controls: Controls, region: Swatch) -> Array:
    """Recolour a style image (1, 3, h, w) as a region asks for it, as far as it asks for it, within [0, 1]."""
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
