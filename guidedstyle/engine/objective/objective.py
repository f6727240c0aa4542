"""The loss of an image at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.engine.objective.canvas import Canvas, measure_areas
from guidedstyle.engine.objective.targets import TargetBuilder
from guidedstyle.engine.plan import Plan
from guidedstyle.losses.measure import (
    ContentFeatures,
    ContentProbe,
    Probe,
    StyleProbe,
    TotalVariationProbe,
    measure_octave,
)
from guidedstyle.losses.terms import (
    CONTENT_WEIGHT,
    PUBLISHED_CONTENT,
    SMOOTHNESS_WEIGHT,
    Losses,
    halve_image,
    style_losses,
)
from guidedstyle.losses.tiles import Tile
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import Scene, Stage


@dataclass(frozen=True)
class Octave:
    """What is measured of one octave of the image: first the style, then the rest."""

    tiles: Sequence[Tile]
    styles: Sequence[StyleProbe]
    others: Sequence[Probe]


class Objective:
    """Style, content and smoothness of an image (1, 3, h, w) at the size of one stage."""

    def __init__(
        self,
        scene: Scene,
        encoder: Encoder,
        plan: Plan,
        stage: Stage,
        *,
        statistics: StatisticsCache | None = None,
    ) -> None:
        self.recipe, self.encoder, self.plan, self.stage = scene.recipe, encoder, plan, stage
        self.canvas = Canvas.at_size(scene, stage.size, plan.device)
        cache = StatisticsCache() if statistics is None else statistics
        self.target_builder = TargetBuilder(scene, encoder, plan, stage, self.canvas, cache)
        with torch.no_grad():
            self.style_targets, self.style_probes = self.target_builder.make_targets()
            self._weigh_regions()
            self.contents = self._aim_at_content()
        self.roughness = TotalVariationProbe(self.canvas.smoothness)
        self.octaves = self._gather()

    def _gather(self) -> list[Octave]:
        """Gather what is measured of each octave; smoothness with the finest, unless that shows other colours."""
        styles = [(target.place[0], probe) for target, probe in zip(self.style_targets, self.style_probes, strict=True)]
        fine: list[Probe] = [probe for probe, _ in self.contents]
        fine += [self.roughness] if self.canvas.kept_chroma is None else []
        count = max([1, *(octave + 1 for octave, _ in styles)])
        return [
            Octave(
                self.target_builder.guide_builder.tiles[octave],
                [one for at, one in styles if at == octave],
                [] if octave else fine,
            )
            for octave in range(count)
        ]

    def __call__(self, image: Tensor) -> Losses:
        """Compute the losses of a painted image, per painted region and in all."""
        return self._measure(self.canvas.compose(image), image)

    def measure(self, picture: Tensor) -> Losses:
        """Compute the losses of a finished image, which lies over what is kept already."""
        return self._measure(picture, picture)

    def _measure(self, picture: Tensor, image: Tensor) -> Losses:
        styles, others = self._probe(self.canvas.show(picture, image))
        if self.canvas.kept_chroma is not None:
            others = [*others, *self._probe_octaves(picture, [Octave(self.octaves[0].tiles, [], [self.roughness])])]
        *contents, roughness = others
        style = self.sharing @ style_losses(styles, self.style_targets, self.nothing)
        content = torch.zeros_like(self.strength)
        for found, (_, weights) in zip(contents, self.contents, strict=True):
            content = content + weights * found
        per_region = self.strength * style + self.content_weight * content
        return Losses(self.balance @ per_region + SMOOTHNESS_WEIGHT * roughness[0], style, content, roughness[1])

    def _probe(self, shown: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Measure all octaves of an image: what is found of style, and of all else."""
        found = self._probe_octaves(shown, self.octaves)
        finest = self.octaves[0]
        first, last = len(finest.styles), len(finest.styles) + len(finest.others)
        return [*found[:first], *found[last:]], [*found[first:last]]

    def _probe_octaves(self, picture: Tensor, octaves: Sequence[Octave]) -> Sequence[Tensor]:
        """Measure an octave, and then all coarser ones in its halved image."""
        octave, *others = octaves
        kept = round(self.plan.tiling(self.stage).kept * len(octave.tiles))
        probes = [*octave.styles, *octave.others]

        def look_coarser(picture: Tensor) -> Sequence[Tensor]:
            return self._probe_octaves(halve_image(picture), others)

        return measure_octave(self.encoder, picture, octave.tiles, probes, kept, look_coarser if others else None)

    def _weigh_regions(self) -> None:
        """Weigh painted regions against each other, and the parts of each."""
        device, controls = self.plan.device, self.canvas.controls
        weights = self.canvas.weights[self.canvas.painted]
        self.balance = _balance(weights, self.recipe)
        self.strength = torch.tensor([one.strength for one in controls], device=device)
        scale = PUBLISHED_CONTENT if self.plan.published else CONTENT_WEIGHT
        self.content_weight = scale * torch.tensor([one.content_strength for one in controls], device=device)
        parts = self.canvas.parts
        owners = torch.tensor([part.region for part in parts], device=device, dtype=torch.long)
        areas = torch.from_numpy(measure_areas(parts)).to(device)
        self.nothing = torch.zeros(len(parts), device=device)
        self.sharing = torch.zeros(len(controls), len(parts), device=device)
        self.sharing[owners, torch.arange(len(parts), device=device)] = areas
        self.sharing /= self.sharing.sum(1, keepdim=True).clamp(min=1e-12)

    def _aim_at_content(self) -> list[tuple[ContentProbe, Tensor]]:
        """Aim at the content image at the layers that keep its drawing, each with its weights (R,)."""
        wanted = [self._weigh_content_layers(one) for one in self.canvas.controls]
        layers = sorted({layer for weights in wanted for layer in weights})
        content = self.canvas.content
        plain = self._read_content(content, layers)
        shown = self.canvas.show(content, content)
        features = plain if shown is content else self._read_content(shown, layers)
        norms = self._publish_norms(layers) if self.plan.published else plain.measure_powers()
        return [
            (
                self.target_builder.guide_builder.probe_content(layer, features, norms[layer]),
                torch.tensor([weights.get(layer, 0.0) for weights in wanted], device=self.plan.device),
            )
            for layer in layers
        ]

    def _read_content(self, picture: Tensor, layers: Sequence[str]) -> ContentFeatures:
        remembered = self.plan.tiling(self.stage).content
        return ContentFeatures(self.encoder, picture, self.target_builder.guide_builder.tiles[0], layers, remembered)

    def _publish_norms(self, layers: Sequence[str]) -> dict[str, float]:
        return {layer: self.encoder.layers[layer].channels / self.encoder.unit**2 for layer in layers}

    def _weigh_content_layers(self, controls: Controls) -> dict[str, float]:
        if not controls.content_strength:
            return {}
        layers = self.encoder.architecture.weigh_content(controls.content_layers)
        total = 1.0 if self.plan.published else sum(layers.values())
        return {layer: weight / total for layer, weight in layers.items()}


def _balance(weights: Tensor, recipe: Recipe) -> Tensor:
    """Weigh painted regions (R, h, w) against each other, to a sum of 1, by area or equally."""
    areas = weights.sum((1, 2)) if recipe.balance == "area" else torch.ones_like(weights[:, 0, 0])
    return areas / areas.sum()
