"""The losses of a picture at one size: what the solver minimises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.colour import extract_luminance, match_colour, match_luminance, replace_luminance
from guidedstyle.encoder import Encoder
from guidedstyle.gram import guided_grams, make_guides, mix_grams
from guidedstyle.guidance import Kind, weigh_cells
from guidedstyle.losses import (
    CONTENT_WEIGHT,
    SMOOTHNESS_WEIGHT,
    Losses,
    Place,
    StyleTarget,
    content_losses,
    encode_octaves,
    smoothness_loss,
    style_losses,
)
from guidedstyle.plan import Plan
from guidedstyle.recipe import Recipe, Region
from guidedstyle.scene import Painting, Scene
from guidedstyle.stages import Stage


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) to (width, height) with averaging, within its range."""
    if (image.shape[3], image.shape[2]) == size:
        return image
    return functional.interpolate(image, size[::-1], mode="bicubic", antialias=True).clamp(0, 1)


@dataclass(frozen=True)
class Canvas:
    """A scene's content (1, 3, h, w), and region weights (R + 1, h, w), at one size."""

    recipe: Recipe
    content: Tensor
    weights: Tensor

    @classmethod
    def at_size(cls, scene: Scene, size: tuple[int, int], device: torch.device) -> Canvas:
        """Bring a scene to (width, height)."""
        content = resize(torch.from_numpy(scene.content).to(device), size)
        weights = functional.adaptive_avg_pool2d(torch.from_numpy(scene.weights).to(device), size[::-1])
        return cls(scene.recipe, content, weights)

    @cached_property
    def painted(self) -> list[int]:
        """The indices of the regions that get paint."""
        return [index for index, region in enumerate(self.recipe.regions) if not region.keep]

    @cached_property
    def paint(self) -> Tensor:
        """The opacity (1, 1, h, w) of the paint: 0 where a region is kept, or there is none."""
        return self.weights[self.painted].sum(0)[None, None].clamp(max=1)

    def compose(self, image: Tensor) -> Tensor:
        """Make the picture of a painted `image`."""
        return self.lay(self.colour(image))

    def colour(self, image: Tensor) -> Tensor:
        """Give a painted `image` the colours that the recipe asks for."""
        if self.recipe.colour == "content":
            return replace_luminance(self.content, image).clamp(0, 1)
        return image

    def lay(self, paint: Tensor) -> Tensor:
        """Lay `paint` over what is kept; there the content comes back exactly."""
        return torch.where(self.paint > 0, torch.lerp(self.content, paint, self.paint), self.content)


class Objective:
    """Style, content and smoothness of an image (1, 3, h, w) at the size of one stage."""

    def __init__(self, scene: Scene, encoder: Encoder, plan: Plan, stage: Stage) -> None:
        self.recipe, self.encoder, self.plan, self.stage = scene.recipe, encoder, plan, stage
        self.canvas = Canvas.at_size(scene, stage.size, plan.device)
        regions = [self.recipe.regions[index] for index in self.canvas.painted]
        self.strength = torch.tensor([region.strength for region in regions], device=plan.device)
        self.faithfulness = torch.tensor([region.content for region in regions], device=plan.device)
        self.metrics = {layer: (metric.T @ metric).to(plan.device) for layer, metric in encoder.metrics.items()}
        with torch.no_grad():
            self._set_targets(scene)

    def __call__(self, image: Tensor) -> Losses:
        """Compute the losses of a painted image, per painted region and in all."""
        return self.measure(self.canvas.compose(image))

    def measure(self, picture: Tensor) -> Losses:
        """Compute the losses of a finished picture, which lies over what is kept already."""
        features = self._encode(self._view(picture), self.stage.octaves)
        style = style_losses(features, self.style_targets)
        content = content_losses(features[0, self.plan.content_layer], self.content_target, self.cells)
        smoothness = smoothness_loss(picture)
        per_region = self.strength * style + CONTENT_WEIGHT * self.faithfulness * content
        total = self.balance @ per_region + SMOOTHNESS_WEIGHT * self.recipe.smoothness * smoothness
        return Losses(total, style, content, smoothness)

    def _set_targets(self, scene: Scene) -> None:
        weights = self.canvas.weights[self.canvas.painted]
        regions = [self.recipe.regions[index] for index in self.canvas.painted]
        features = self._encode(self._view(self.canvas.content), self.stage.octaves)
        content_place = (0, self.plan.content_layer)
        self.content_target = features[content_place]
        self.cells = self._weigh(weights, content_place, features, ["simple"] * len(regions))
        self.balance = _balance(weights, self.recipe)
        grams = self._measure_paintings(scene)
        mixed = [_mix_styles(grams, region) for region in regions]
        kinds = [region.guides for region in regions]
        self.style_targets = {
            place: StyleTarget(
                make_guides(self._weigh(weights, place, features, kinds)),
                torch.stack([region[place] for region in mixed]),
                self.metrics.get(place[1]),
            )
            for place in mixed[0]
        }

    def _measure_paintings(self, scene: Scene) -> dict[tuple[str, Kind], dict[Place, Tensor]]:
        """Measure every painting with each kind of guides that a region asks of it."""
        wanted = {name: {r.guides for r in self.recipe.regions if name in r.style} for name in scene.paintings}
        return {
            (name, kind): grams
            for name, painting in scene.paintings.items()
            for kind, grams in self._measure_painting(name, painting, sorted(wanted[name])).items()
        }

    def _measure_painting(self, name: str, painting: Painting, kinds: list[Kind]) -> dict[Kind, dict[Place, Tensor]]:
        """Compute the Gram matrices (C, C) of the used part of a painting at this stage's size."""
        longest = self.recipe.styles[name].scale * max(self.stage.size)
        height, width = (max(16, round(side * longest / max(painting.mask.shape))) for side in painting.mask.shape)
        image = resize(torch.from_numpy(painting.image).to(self.plan.device), (width, height))
        mask = resize(torch.from_numpy(painting.mask)[None, None], (width, height))[0]
        features = self._encode(self._recolour(image), self.stage.octaves, style_only=True)
        return {
            kind: {
                place: guided_grams(found, make_guides(self._weigh(mask, place, features, [kind])))[0]
                for place, found in features.items()
            }
            for kind in kinds
        }

    def _weigh(self, weights: Tensor, place: Place, features: dict[Place, Tensor], kinds: Sequence[Kind]) -> Tensor:
        """Weigh the cells of a place's grid for regions (R, H, W), each to a sum of 1: (R, h * w)."""
        octave, layer = place
        height, width = features[place].shape[2:]
        cells = weigh_cells(weights.cpu().numpy(), octave, (height, width), self.encoder.layers[layer], kinds)
        return torch.from_numpy(cells).to(self.plan.device)

    def _encode(self, image: Tensor, octaves: int, style_only: bool = False) -> dict[Place, Tensor]:
        layers = self.plan.style_layers if style_only else {*self.plan.style_layers, self.plan.content_layer}
        return encode_octaves(self.encoder, image, tuple(layers), octaves)

    def _view(self, picture: Tensor) -> Tensor:
        """Show the encoder what the colour control lets it judge."""
        return extract_luminance(picture) if self.recipe.colour == "content" else picture

    def _recolour(self, painting: Tensor) -> Tensor:
        match self.recipe.colour:
            case "match":
                return match_colour(painting, self.canvas.content)
            case "content":
                return match_luminance(painting, self.canvas.content)
        return painting


def _balance(weights: Tensor, recipe: Recipe) -> Tensor:
    """Weigh painted regions (R, h, w) against each other, to a sum of 1, by area or equally."""
    areas = weights.sum((1, 2)) if recipe.balance == "area" else torch.ones_like(weights[:, 0, 0])
    return areas / areas.sum()


def _mix_styles(grams: dict[tuple[str, Kind], dict[Place, Tensor]], region: Region) -> dict[Place, Tensor]:
    parts = [grams[name, region.guides] for name in region.style]
    return {place: mix_grams([part[place] for part in parts], list(region.style.values())) for place in parts[0]}
