"""The losses of a picture at one size: what the solver minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from guidedstyle.canvas import Canvas, measure_areas
from guidedstyle.controls import Controls
from guidedstyle.encoder import Encoder
from guidedstyle.losses import (
    CONTENT_WEIGHT,
    PUBLISHED_CONTENT,
    SMOOTHNESS_WEIGHT,
    Losses,
    Place,
    content_losses,
    encode_octaves,
    measure_power,
    measure_roughness,
    style_losses,
)
from guidedstyle.plan import Plan
from guidedstyle.recipe import Recipe
from guidedstyle.scene import Scene
from guidedstyle.stages import Stage
from guidedstyle.targets import Atelier, Memory


class Objective:
    """Style, content and smoothness of an image (1, 3, h, w) at the size of one stage."""

    def __init__(self, scene: Scene, encoder: Encoder, plan: Plan, stage: Stage, memory: Memory | None = None) -> None:
        self.recipe, self.encoder, self.plan, self.stage = scene.recipe, encoder, plan, stage
        self.canvas = Canvas.at_size(scene, stage.size, plan.device)
        self.atelier = Atelier(scene, encoder, plan, stage, self.canvas, {} if memory is None else memory)
        with torch.no_grad():
            self.style_targets = self.atelier.make_targets()
            self._weigh_regions()
            self._set_content()
        self.places = {target.place for target in self.style_targets} | {(0, layer) for layer in self.content_targets}

    def __call__(self, image: Tensor) -> Losses:
        """Compute the losses of a painted image, per painted region and in all."""
        return self._measure(self.canvas.compose(image), image)

    def measure(self, picture: Tensor) -> Losses:
        """Compute the losses of a finished picture, which lies over what is kept already."""
        return self._measure(picture, picture)

    def _measure(self, picture: Tensor, image: Tensor) -> Losses:
        features = encode_octaves(self.encoder, self.canvas.show(picture, image), self.places)
        style = self.sharing @ style_losses(features, self.style_targets, self.nothing)
        content = self._measure_content(features)
        roughness = measure_roughness(picture)
        per_region = self.strength * style + self.content_weight * content
        smoothness = SMOOTHNESS_WEIGHT * (self.canvas.smoothness * roughness).mean()
        return Losses(self.balance @ per_region + smoothness, style, content, roughness.mean())

    def _measure_content(self, features: dict[Place, Tensor]) -> Tensor:
        losses = torch.zeros_like(self.strength)
        for layer, (target, cells, norm, weights) in self.content_targets.items():
            losses = losses + weights * content_losses(features[0, layer], target, cells, norm)
        return losses

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

    def _set_content(self) -> None:
        """Encode the photograph at the layers that keep its drawing."""
        controls, content = self.canvas.controls, self.canvas.content
        wanted = [self._weigh_content_layers(one) for one in controls]
        layers = sorted({layer for weights in wanted for layer in weights})
        places = [(0, layer) for layer in layers]
        plain = encode_octaves(self.encoder, content, places)
        shown = self.canvas.show(content, content)
        features = plain if shown is content else encode_octaves(self.encoder, shown, places)
        regions = self.canvas.weights[self.canvas.painted].cpu().numpy()
        self.content_targets = {}
        for layer in layers:
            target = features[0, layer]
            cells = self.atelier.weigh_cells(regions, (0, layer), target.shape[2:], ["simple"] * len(controls))
            published = target.shape[1] / self.encoder.unit**2
            norm = published if self.plan.published else measure_power(plain[0, layer])
            weights = torch.tensor([weights.get(layer, 0.0) for weights in wanted], device=self.plan.device)
            self.content_targets[layer] = (target, cells, norm, weights)

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
