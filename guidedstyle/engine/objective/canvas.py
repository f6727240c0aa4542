"""The image in its regions: weights, kept pixels, colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.device.transfer import send
from guidedstyle.engine.objective.colour import extract_luminance, replace_luminance
from guidedstyle.masks.compositing import ROUNDING, Part, split_region
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import StyleUse
from guidedstyle.scene.scene import NEGLIGIBLE, Scene
from guidedstyle.types import Array


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) to (width, height) with averaging, within its range."""
    if (image.shape[3], image.shape[2]) == size:
        return image
    return functional.interpolate(image, size[::-1], mode="bicubic", antialias=True).clamp(0, 1)


def resize_layers(layers: Array, size: tuple[int, int]) -> Tensor:
    """Resize weights (R, H, W) to (width, height) by averaging."""
    if (layers.shape[2], layers.shape[1]) == size:
        return torch.from_numpy(layers)
    return functional.adaptive_avg_pool2d(torch.from_numpy(layers), size[::-1])


def overlay(content: Tensor, image: Tensor, opacity: Tensor) -> Tensor:
    """Lay an image over the content, both (1, 3, h, w): content + opacity (h, w) x (image - content), in [0, 1].

    Other shapes that are broadcast together will do. Where the opacity is 0 the content is unchanged to the bit, and
    where it is 1 the image.
    """
    return torch.where(opacity > 0, torch.lerp(content, image, opacity), content)


@dataclass(frozen=True)
class PaintedRegion:
    """A region that is not kept: its index among all, its controls, its styles, and their mix (S,) or (S, h, w)."""

    index: int
    controls: Controls
    style: Mapping[str, StyleUse]
    mix: Array


@dataclass(frozen=True)
class Canvas:
    """A scene at one size: the content (1, 3, h, w), the weights (R + 1, h, w) of all regions, the painted regions.

    `weights` are on the device, `region_weights` the same numbers for guides, which are made on the CPU. `smoothness`
    is that of the whole image.
    """

    content: Tensor
    weights: Tensor
    region_weights: Array
    regions: tuple[PaintedRegion, ...]
    smoothness: float

    @classmethod
    def at_size(cls, scene: Scene, size: tuple[int, int], device: torch.device) -> Canvas:
        """Resize a scene to (width, height)."""
        recipe, weights = scene.recipe, resize_layers(scene.weights, size)
        regions = tuple(
            PaintedRegion(index, controls, region.style, mix if mix.ndim == 1 else resize_layers(mix, size).numpy())
            for index, (region, controls, mix) in enumerate(
                zip(recipe.regions, recipe.controls, scene.mixes, strict=True)
            )
            if index in scene.painted
        )
        content = resize(send(torch.from_numpy(scene.content), device), size)
        return cls(content, send(weights, device), weights.numpy(), regions, recipe.smoothness)

    @cached_property
    def pixels(self) -> Array:
        """The content (1, 3, h, w) on the CPU."""
        return self.content.cpu().numpy()

    @cached_property
    def painted(self) -> list[int]:
        """The indices of the painted regions among all."""
        return [region.index for region in self.regions]

    @cached_property
    def controls(self) -> list[Controls]:
        """The controls of each painted region."""
        return [region.controls for region in self.regions]

    @cached_property
    def parts(self) -> list[Part]:
        """The parts of painted regions that have a constant mix of styles; `region` counts the painted ones."""
        return [
            part
            for number, region in enumerate(self.regions)
            if region.style and region.controls.strength
            for part in split_region(number, self.region_weights[region.index], region.mix)
        ]

    @cached_property
    def paint(self) -> Tensor:
        """The opacity (1, 1, h, w) of the paint: 0 in kept regions, and where there is no region."""
        return self.weights[self.painted].sum(0)[None, None].clamp(max=1)

    @cached_property
    def styled(self) -> Tensor:
        """The weights (h, w) of all regions with a style that is painted."""
        found = [region.index for region in self.regions if region.style and region.controls.strength]
        if self.covered and found == self.painted:
            return self.weights.new_ones(()).expand_as(self.weights[0])  # takes no memory
        return self.weights[found].sum(0).clamp(max=1)

    @cached_property
    def covered(self) -> bool:
        """Whether paint covers every pixel: nothing is kept, and no pixel is without a region."""
        others = set(range(len(self.region_weights))) - set(self.painted)
        return all(float(self.region_weights[index].max()) < ROUNDING for index in others)

    @cached_property
    def kept_chroma(self) -> Tensor | None:
        """The fraction (1, 1, h, w) of the content image's chroma that is kept under the paint; None: 0 everywhere."""
        asked = [controls.colour_strength if controls.colour.content else 0.0 for controls in self.controls]
        if not any(asked):
            return None
        weights = self.weights[self.painted]
        chroma = torch.tensordot(torch.tensor(asked).to(weights), weights, 1)
        around = chroma.sum() / weights.sum()
        share = torch.where(weights.sum(0) > NEGLIGIBLE, chroma / weights.sum(0).clamp(min=NEGLIGIBLE), around)
        share = torch.where(share > 1 - NEGLIGIBLE, 1.0, torch.where(share < NEGLIGIBLE, 0.0, share))  # remove rounding
        return share[None, None]

    @cached_property
    def smoothness_map(self) -> Tensor:
        """The smoothness (h, w) of every pixel: that of the whole image where there is no region."""
        everywhere = self.weights.new_tensor(self.smoothness).expand_as(self.weights[0])
        differences = torch.tensor([controls.smoothness - self.smoothness for controls in self.controls])
        if not differences.any():
            return everywhere
        added: Tensor = torch.tensordot(differences.to(self.weights), self.weights[self.painted], 1)
        return everywhere + added

    @cached_property
    def opacity(self) -> Tensor:
        """The opacity (h, w) of the paint in the result: its weights, times the `opacity` of each region.

        Kept regions, and pixels in no region, have opacity 0. Losses are measured as if every opacity were 1.
        """
        full = torch.ones_like(self.weights[0]) if self.covered else self.paint[0, 0]
        missing = torch.tensor([1 - controls.opacity for controls in self.controls])
        if not missing.any():
            return full
        left = full - torch.tensordot(missing.to(self.weights), self.weights[self.painted], 1)
        return torch.where(left > ROUNDING, left, 0.0)

    def compose(self, image: Tensor) -> Tensor:
        """Compose what the losses see from a painted `image`."""
        return self.lay(self.colour(image))

    def finish(self, image: Tensor) -> Tensor:
        """Compose the result from a painted `image`, with the opacity of every region."""
        return overlay(self.content, self.colour(image), self.opacity)

    def colour(self, image: Tensor) -> Tensor:
        """Give a painted `image` the content image's chroma where that is kept.

        The gradient is that of an unlimited luminance: that of a limited one is zero, and a pixel would stay there.
        """
        if self.kept_chroma is None:
            return image
        free = self.content + extract_luminance(image) - extract_luminance(self.content)
        limited = free + (replace_luminance(self.content, image) - free).detach()
        return torch.lerp(image, limited, self.kept_chroma)

    def lay(self, paint: Tensor) -> Tensor:
        """Lay `paint` over the content, which is unchanged where there is no paint."""
        if self.covered:
            return paint
        return overlay(self.content, paint, self.paint[0, 0])

    def show(self, composed: Tensor, image: Tensor) -> Tensor:
        """Return what the encoder sees of a `composed` image: its luminance, and the paint's part of the chroma.

        The chroma comes from the painted `image`, so that the paint need not compensate for that of the content.
        """
        if self.kept_chroma is None:
            return composed
        laid = self.lay(image)
        shown = extract_luminance(composed) + (1 - self.kept_chroma) * (laid - extract_luminance(laid))
        return torch.where(self.kept_chroma > 0, shown, composed)


def measure_areas(parts: list[Part]) -> Array:
    """Return the area (P,) of each part, in pixels."""
    return np.array([part.weights.sum(dtype=np.float64) for part in parts], np.float32)
