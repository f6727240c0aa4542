"""Build style terms: measure style images and mix their statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from guidedstyle.device.transfer import send
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import Statistics, StatisticsCache
from guidedstyle.engine.objective.canvas import Canvas, resize, resize_layers
from guidedstyle.engine.objective.colour import Swatch, match_colours, match_luminance, match_palette, take_swatch
from guidedstyle.engine.objective.guide_builder import GuideBuilder
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.gram import mix_grams
from guidedstyle.losses.propagation import OctaveLayer, halve_shape
from guidedstyle.losses.statistics import GuidedStatistic, build_octaves, measure_octave
from guidedstyle.losses.terms import StyleTerm, published_norms, relative_norms
from guidedstyle.masks.compositing import Part
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.values import parse_colour
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.types import Array, Propagation, Size, Statistic


@dataclass
class TargetBuilder:
    """Builds the style terms of one stage: measures the style images of a scene and mixes their statistics."""

    scene: Scene
    encoder: Encoder
    plan: Plan
    stage: Stage
    canvas: Canvas
    statistics: StatisticsCache
    measured: dict[tuple[object, ...], Statistics] = field(default_factory=dict)  # by what they depend on
    mixed: dict[tuple[tuple[int, float], ...], Statistics] = field(default_factory=dict)  # by measured ones and shares

    @cached_property
    def guide_builder(self) -> GuideBuilder:
        """The builder of all guides of the stage."""
        return GuideBuilder(self.canvas, self.encoder.architecture, self.plan, self.stage)

    @cached_property
    def metrics(self) -> dict[str, Tensor]:
        """W = M^T M of every layer that has a metric M."""
        return {layer: send(metric.T @ metric, self.plan.device) for layer, metric in self.encoder.metrics.items()}

    @cached_property
    def fingerprint(self) -> str:
        """The settings, besides the style image, on which statistics depend."""
        return self.encoder.fingerprint()

    @cached_property
    def unit(self) -> float:
        """The factor that makes features those of inputs in 0..255."""
        return self.encoder.unit

    def weigh_layers(self, controls: Controls) -> dict[OctaveLayer, float]:
        """Weigh the octaves and layers at which a region's style is matched, without those of weight 0.

        Octaves are counted from the size of the output, so that a coarse stage has only the coarse ones.
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

    def make_terms(self) -> list[StyleTerm]:
        """Make a style term for each octave, layer and statistic, of all parts that match it there."""
        parts, controls = self.canvas.parts, self.canvas.controls
        weights = [self.weigh_layers(controls[part.region]) for part in parts]
        targets = [self._mix_statistics(part) for part in parts]
        self.statistics.store()
        groups: dict[tuple[OctaveLayer, Statistic], list[int]] = {}
        for index, part in enumerate(parts):
            for key in weights[index]:
                groups.setdefault((key, controls[part.region].statistics), []).append(index)
        return [
            self._make_term(
                self.guide_builder.guide_parts(key, statistic, indices),
                octave=key[0],
                indices=indices,
                targets=[targets[index][key] for index in indices],
                weights=[weights[index][key] for index in indices],
            )
            for (key, statistic), indices in sorted(groups.items())
        ]

    def _make_term(
        self,
        statistic: GuidedStatistic,
        *,
        octave: int,
        indices: Sequence[int],
        targets: Sequence[Tensor],
        weights: Sequence[float],
    ) -> StyleTerm:
        metric, device = self.metrics.get(statistic.layer.name), self.plan.device
        distinct, numbers = _find_distinct(targets)
        which = send(numbers, device)
        norms = published_norms(distinct, self.unit) if self.plan.published else relative_norms(distinct, metric)
        if metric is not None and statistic.statistic == "gram":
            statistic, metric = self._apply_metric(statistic, metric, octave=octave)
        return StyleTerm(
            octave=octave,
            statistic=statistic,
            targets=distinct[which],
            norms=norms[which],
            indices=send(indices, device),
            weights=send(weights, device),
            metric=metric,
            seen=None if statistic.metric is None else _see(distinct, statistic.metric)[which],
        )

    def _apply_metric(
        self, statistic: GuidedStatistic, metric: Tensor, *, octave: int
    ) -> tuple[GuidedStatistic, Tensor | None]:
        """Apply a metric M to the features f of all parts at once, or to each part's Gram matrix: what takes less.

        As M f f^T M^T = M G M^T, both give the same distances. The products are as precise as the features. All regions
        count, whatever their controls, so that those of one change no rounding of another.
        """
        layer, precision = statistic.layer, self.encoder.dtype
        height, width = layer.grid(halve_shape((self.stage.size[1], self.stage.size[0]), octave))
        if height * width >= len(self.scene.recipe.regions) * layer.channels:
            return statistic, metric.to(precision)
        return replace(statistic, metric=send(self.encoder.metrics[layer.name].to(precision), self.plan.device)), None

    def _mix_statistics(self, part: Part) -> Statistics:
        """Mix the statistics of the style images of a part."""
        used = [
            (name, share) for name, share in zip(self.canvas.regions[part.region].style, part.mix, strict=True) if share
        ]
        found = [(self._measure_style_image(part.region, name), share) for name, share in used]
        key = tuple((id(measured), share) for measured, share in found)
        if key not in self.mixed:
            measured, shares = zip(*found, strict=True)
            self.mixed[key] = {place: mix_grams([one[place] for one in measured], shares) for place in measured[0]}
        return self.mixed[key]

    def _measure_style_image(self, number: int, name: str) -> Statistics:
        """Measure a style image for a painted region: in its colours, statistic, guides, octaves and layers.

        Regions that take the style image's own colours share what was measured.
        """
        region, controls = self.canvas.regions[number], self.canvas.controls[number]
        settings = (controls.guides, controls.statistics, sorted(self.weigh_layers(controls)))
        scale, owner = self.scene.recipe.scale(name, region.style[name]), number if recolours(controls) else None
        known = (name, scale, owner, repr(settings))
        if known not in self.measured:
            image, mask = draw_style_image(self.scene, self.canvas, number, name)
            key = hashlib.sha256(repr((self.fingerprint, image.shape, *settings)).encode())
            for array in (image, mask):
                key.update(np.ascontiguousarray(array).data)
            self.measured[known] = self.statistics.load_or_measure(
                key.hexdigest(), self.plan.device, lambda: self._measure(image, mask, *settings)
            )
        return self.measured[known]

    def _measure(
        self, image: Array, mask: Array, mode: Propagation, statistic: Statistic, keys: Sequence[OctaveLayer]
    ) -> Statistics:
        found: Statistics = {}
        halvings = build_octaves(send(torch.from_numpy(image), self.plan.device), keys[-1][0] + 1)
        for octave, halved in enumerate(halvings):
            tiles = self.guide_builder.tile((image.shape[3], image.shape[2]), octave)
            here = [key for key in keys if key[0] == octave]
            guided = [
                self.guide_builder.guide_style_image(mask, key, statistic=statistic, mode=mode, tiles=tiles)
                for key in here
            ]
            sums = measure_octave(self.encoder, halved, tiles, guided)
            found |= {key: one.finish(total)[0] for key, one, total in zip(here, guided, sums, strict=True)}
        return found


def _see(grams: Tensor, metric: Tensor) -> Tensor:
    """Convert Gram matrices G (D, C, C) to those under a metric M, as precise as the features': M G M^T."""
    metric = metric.to(grams.dtype)
    return metric @ grams @ metric.T


def _find_distinct(tensors: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """Stack each tensor once; returns the stack, and where each is in it."""
    distinct = {id(one): one for one in tensors}
    order = list(distinct)
    return torch.stack(list(distinct.values())), [order.index(id(one)) for one in tensors]


def size_style_image(scene: Scene, canvas: Canvas, number: int, name: str) -> Size:
    """Return the (width, height) at which a style image is seen by a painted region."""
    region = canvas.regions[number]
    return scene.style_images[name].fit(scene.recipe.scale(name, region.style[name]) * max(canvas.content.shape[2:]))


def draw_style_image(scene: Scene, canvas: Canvas, number: int, name: str, *, grey: bool = True) -> tuple[Array, Array]:
    """Draw a style image (1, 3, h, w) and its mask (1, h, w) for a painted region: in its size and its colours.

    Not `grey`, it keeps its own colours where the content image's chroma is kept.
    """
    region, style_image = canvas.regions[number], scene.style_images[name]
    size = size_style_image(scene, canvas, number, name)
    image = resize(torch.from_numpy(style_image.image), size).numpy()
    mask = resize_layers(style_image.mask[None], size).numpy()
    if not recolours(region.controls, grey=grey):
        return image, mask
    swatch = take_swatch(canvas.pixels, canvas.region_weights[region.index])
    return recolour(image, mask[0], region.controls, swatch), mask


def recolours(controls: Controls, *, grey: bool = True) -> bool:
    """Whether a region's style images get other colours than their own; not `grey`, unless they would be grey."""
    changed = not controls.colour.style and (grey or not controls.colour.content)
    return changed and controls.colour_strength > 0


def recolour(image: Array, mask: Array, controls: Controls, region: Swatch) -> Array:
    """Recolour a style image (1, 3, h, w) by a region's `colour` and `colour_strength`, within [0, 1]."""
    colour, strength = controls.colour, np.float32(controls.colour_strength)
    if colour.content:
        changed = match_luminance(image, mask, region)
    elif colour.match:
        changed = match_colours(image, mask, region, colour.match)
    else:
        changed = match_palette(image, mask, [parse_colour(name) for name in colour.palette])
    recoloured: Array = np.clip(image + strength * (changed - image), 0, 1)
    return recoloured


def _pick(octaves: Sequence[float], index: int) -> float:
    """Return the weight of an octave; those coarser than all listed ones weigh as much as the last."""
    return octaves[min(index, len(octaves) - 1)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
