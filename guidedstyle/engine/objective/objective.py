"""The loss of an image at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from guidedstyle.device.transfer import send
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.engine.objective.canvas import Canvas, measure_areas
from guidedstyle.engine.objective.targets import TargetBuilder
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.statistics import ContentFeatures, halve_image, measure_octave
from guidedstyle.losses.terms import (
    CONTENT_WEIGHTS,
    FRAME_WEIGHT,
    PUBLISHED_CONTENT,
    TOTAL_VARIATION_WEIGHT,
    ContentTerm,
    FrameTerm,
    Losses,
    StyleTerm,
    TotalVariationTerm,
    measure_style,
    weigh_distances,
)
from guidedstyle.losses.tiles import Tile
from guidedstyle.recipe.controls import Controls
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.types import Balance

Term = StyleTerm | ContentTerm | TotalVariationTerm


@dataclass(frozen=True)
class Octave:
    """The tiles of one octave of the image, the terms that are measured there, and the `frame` of the whole of it."""

    tiles: Sequence[Tile]
    terms: Sequence[Term]
    frame: Sequence[FrameTerm] = ()


@dataclass(frozen=True)
class RegionWeights:
    """How painted regions and their P parts count in the loss.

    `balance` (R,), which sums to 1, weighs the regions against each other, `style` and `content` (R,) the two terms of
    each region; `parts` (R, P) average the parts of each region by area.
    """

    balance: Tensor
    style: Tensor
    content: Tensor
    parts: Tensor

    @classmethod
    def of(cls, canvas: Canvas, *, balance: Balance, content_weight: float) -> RegionWeights:
        """Weigh the regions of a canvas; content_strength 1 is a `content_weight`."""
        controls, device = canvas.controls, canvas.weights.device
        return cls(
            balance=_balance(canvas.weights[canvas.painted], balance),
            style=torch.tensor([one.strength for one in controls], device=device),
            content=content_weight * torch.tensor([one.content_strength for one in controls], device=device),
            parts=_average_parts(canvas),
        )


def _balance(weights: Tensor, balance: Balance) -> Tensor:
    """Weigh painted regions (R, h, w) against each other, to a sum of 1, by area or equally."""
    areas = weights.sum((1, 2)) if balance == "area" else torch.ones_like(weights[:, 0, 0])
    return areas / areas.sum()


def _average_parts(canvas: Canvas) -> Tensor:
    """Return the share (R, P) of each part in the area of its region, 0 for the parts of other regions."""
    parts, device = canvas.parts, canvas.weights.device
    owners = torch.tensor([part.region for part in parts], device=device, dtype=torch.long)
    shares = torch.zeros(len(canvas.regions), len(parts), device=device)
    shares[owners, torch.arange(len(parts), device=device)] = torch.from_numpy(measure_areas(parts)).to(device)
    shares /= shares.sum(1, keepdim=True).clamp(min=1e-12)
    return shares


class Objective:
    """The style, content and total variation of an image (1, 3, h, w) at the size of one stage."""

    def __init__(
        self,
        scene: Scene,
        encoder: Encoder,
        plan: Plan,
        stage: Stage,
        *,
        statistics: StatisticsCache | None = None,
    ) -> None:
        self.encoder, self.plan, self.stage = encoder, plan, stage
        self.canvas = Canvas.at_size(scene, stage.size, plan.device)
        cache = StatisticsCache() if statistics is None else statistics
        self.target_builder = TargetBuilder(scene, encoder, plan, stage, self.canvas, cache)
        with torch.no_grad():
            self.style_terms = self.target_builder.make_terms()
            content_weight = PUBLISHED_CONTENT if plan.published else CONTENT_WEIGHTS[scene.recipe.format]
            self.weights = RegionWeights.of(self.canvas, balance=scene.recipe.balance, content_weight=content_weight)
            none = self.weights.parts.new_zeros(self.weights.parts.shape[1])
            self.style_weights = weigh_distances(self.style_terms, none)
            self.content_terms = self._make_content_terms()
        self.total_variation = TotalVariationTerm(self.canvas.smoothness_map)
        departs = plan.padding == "replicate"  # from the published border
        self.frame = [FrameTerm(self.canvas.styled)] if departs else []
        self.octaves = self._gather()

    def _gather(self) -> list[Octave]:
        """Gather the terms of each octave; those of the image itself unless the encoder sees other colours."""
        itself = self.canvas.kept_chroma is None
        fine: list[Term] = [*self.content_terms, *([self.total_variation] if itself else [])]
        count = max([1, *(term.octave + 1 for term in self.style_terms)])
        return [
            Octave(
                self.target_builder.guide_builder.tiles[octave],
                [*(term for term in self.style_terms if term.octave == octave), *([] if octave else fine)],
                self.frame if itself and octave == 0 else [],
            )
            for octave in range(count)
        ]

    def __call__(self, image: Tensor) -> Losses:
        """Compute the losses of a painted image, per painted region and in all."""
        return self._measure(self.canvas.compose(image), image)

    def measure(self, composed: Tensor) -> Losses:
        """Compute the losses of a composed image."""
        return self._measure(composed, composed)

    def _measure(self, composed: Tensor, image: Tensor) -> Losses:
        sums = self._sum_terms(self.canvas.show(composed, image), self.octaves)
        if self.canvas.kept_chroma is not None:
            itself = Octave(self.octaves[0].tiles, [self.total_variation], self.frame)
            sums |= self._sum_terms(composed, [itself])
        parts = measure_style(self.style_terms, self.style_weights, [sums[term] for term in self.style_terms])
        style = self.weights.parts @ parts
        content = torch.zeros_like(self.weights.content)
        for term in self.content_terms:
            content = content + term.weights * sums[term]
        per_region = self.weights.style * style + self.weights.content * content
        variation = sums[self.total_variation]
        total = self.weights.balance @ per_region + TOTAL_VARIATION_WEIGHT * variation[0]
        for frame in self.frame:
            total = total + FRAME_WEIGHT * sums[frame]
        return Losses(total, style, content, variation[1])

    def _sum_terms(self, image: Tensor, octaves: Sequence[Octave]) -> dict[Term | FrameTerm, Tensor]:
        """Sum the terms of octaves over an image, by term."""
        terms = [term for octave in octaves for term in (*octave.terms, *octave.frame)]
        return dict(zip(terms, self._measure_octaves(image, octaves), strict=True))

    def _measure_octaves(self, image: Tensor, octaves: Sequence[Octave]) -> Sequence[Tensor]:
        """Measure an octave of an image, and then all coarser ones of the halved image."""
        octave, *coarser = octaves
        kept = round(self.plan.tiling(self.stage).kept * len(octave.tiles))

        def measure_coarser(image: Tensor) -> Sequence[Tensor]:
            return self._measure_octaves(halve_image(image), coarser)

        return measure_octave(
            self.encoder,
            image,
            octave.tiles,
            octave.terms,
            kept=kept,
            whole=[frame.read for frame in octave.frame],
            measure_coarser=measure_coarser if coarser else None,
        )

    def _make_content_terms(self) -> list[ContentTerm]:
        """Make a content term for each layer that any region matches the content image at."""
        weights = [self._weigh_content_layers(one) for one in self.canvas.controls]
        layers = sorted({layer for found in weights for layer in found})
        content = self.canvas.content
        plain = self._encode_content(content, layers)
        shown = self.canvas.show(content, content)
        features = plain if shown is content else self._encode_content(shown, layers)
        norms = self._publish_norms(layers) if self.plan.published else plain.measure_powers()
        return [
            ContentTerm(
                layer=self.encoder.layers[layer],
                target=partial(_take_layer, features, layer),
                grid_weights=self.target_builder.guide_builder.weigh_content(layer),
                norm=norms[layer],
                weights=send([found.get(layer, 0.0) for found in weights], self.plan.device),
            )
            for layer in layers
        ]

    def _encode_content(self, image: Tensor, layers: Sequence[str]) -> ContentFeatures:
        cached = self.plan.tiling(self.stage).content
        return ContentFeatures(self.encoder, image, self.target_builder.guide_builder.tiles[0], layers, cached=cached)

    def _publish_norms(self, layers: Sequence[str]) -> dict[str, float]:
        return {layer: self.encoder.layers[layer].channels / self.target_builder.unit**2 for layer in layers}

    def _weigh_content_layers(self, controls: Controls) -> dict[str, float]:
        if not controls.content_strength:
            return {}
        layers = self.encoder.architecture.weigh_content(controls.content_layers)
        total = 1.0 if self.plan.published else sum(layers.values())
        return {layer: weight / total for layer, weight in layers.items()}


def _take_layer(features: ContentFeatures, layer: str, number: int) -> Tensor:
    return features.at(number)[layer]
