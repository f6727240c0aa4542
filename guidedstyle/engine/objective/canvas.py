"""The image in its regions: weights, kept pixels, colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.engine.objective.colour import extract_luminance, replace_luminance
from guidedstyle.masks.compositing import ROUNDING
from guidedstyle.masks.mixing import Part, split_region
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import NOTHING, Scene
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


@dataclass(frozen=True)
class Canvas:
    """A scene's content (1, 3, h, w), and region weights (R + 1, h, w), at one size."""

    recipe: Recipe
    content: Tensor
    weights: Tensor
    mixes: tuple[Array, ...]

    @classmethod
    def at_size(cls, scene: Scene, size: tuple[int, int], device: torch.device) -> Canvas:
        """Bring a scene to (width, height)."""
        content = resize(torch.from_numpy(scene.content).to(device), size)
        weights = resize_layers(scene.weights, size).to(device)
        mixes = tuple(mix if mix.ndim == 1 else resize_layers(mix, size).numpy() for mix in scene.mixes)
        return cls(scene.recipe, content, weights, mixes)

    @cached_property
    def painted(self) -> list[int]:
        """The indices of the regions that are painted: all that are not kept."""
        return [index for index, region in enumerate(self.recipe.regions) if not region.keep]

    @cached_property
    def controls(self) -> list[Controls]:
        """What each painted region is asked for."""
        controls = self.recipe.controls
        return [controls[index] for index in self.painted]

    @cached_property
    def parts(self) -> list[Part]:
        """The parts of painted regions that have one mix of styles each; regions are counted among the painted ones."""
        weights = self.weights.cpu().numpy()
        return [
            part
            for number, index in enumerate(self.painted)
            if self.recipe.regions[index].style and self.controls[number].strength
            for part in split_region(number, weights[index], self.mixes[index])
        ]

    @cached_property
    def paint(self) -> Tensor:
        """The opacity (1, 1, h, w) of the paint: 0 where a region is kept, or there is none."""
        return self.weights[self.painted].sum(0)[None, None].clamp(max=1)

    @cached_property
    def covered(self) -> bool:
        """Whether paint covers everything: no region is kept anywhere, and none is missing."""
        others = set(range(len(self.weights))) - set(self.painted)
        return all(float(self.weights[index].amax()) < ROUNDING for index in others)

    @cached_property
    def kept_chroma(self) -> Tensor | None:
        """How much of its chroma (1, 1, h, w) the content image keeps under the paint; None: nothing anywhere."""
        asked = [controls.colour_strength if controls.colour.content else 0.0 for controls in self.controls]
        if not any(asked):
            return None
        weights = self.weights[self.painted]
        chroma = torch.tensordot(torch.tensor(asked).to(weights), weights, 1)
        around = chroma.sum() / weights.sum()
        share = torch.where(weights.sum(0) > NOTHING, chroma / weights.sum(0).clamp(min=NOTHING), around)
        share = torch.where(share > 1 - NOTHING, 1.0, torch.where(share < NOTHING, 0.0, share))  # what rounding left
        return share[None, None]

    @cached_property
    def smoothness(self) -> Tensor:
        """The strength (h, w) of the smoothness at every pixel; beyond all regions it is that of the whole image."""
        everywhere = self.weights.new_tensor(self.recipe.smoothness).expand_as(self.weights[0])
        wanted = torch.tensor([controls.smoothness - self.recipe.smoothness for controls in self.controls])
        if not wanted.any():
            return everywhere
        beyond: Tensor = torch.tensordot(wanted.to(self.weights), self.weights[self.painted], 1)
        return everywhere + beyond

    def compose(self, image: Tensor) -> Tensor:
        """Make the image of a painted `image`."""
        return self.lay(self.colour(image))

    def colour(self, image: Tensor) -> Tensor:
        """Give a painted `image` the content image's chroma where that is kept.

        Its gradient is that of a luminance without limits: a pixel at its limit would have none, and stay there.
        """
        if self.kept_chroma is None:
            return image
        free = self.content + extract_luminance(image) - extract_luminance(self.content)
        limited = free + (replace_luminance(self.content, image) - free).detach()
        return torch.lerp(image, limited, self.kept_chroma)

    def lay(self, paint: Tensor) -> Tensor:
        """Lay `paint` over what is kept; there the content comes back exactly."""
        if self.covered:
            return paint
        return torch.where(self.paint > 0, torch.lerp(self.content, paint, self.paint), self.content)

    def show(self, picture: Tensor, image: Tensor) -> Tensor:
        """Show the encoder a finished `image` as it is judged: of the chroma only as much as the paint decides.

        That part comes from the painted `image`, so that it need not make up for the content image's.
        """
        if self.kept_chroma is None:
            return picture
        laid = self.lay(image)
        shown = extract_luminance(picture) + (1 - self.kept_chroma) * (laid - extract_luminance(laid))
        return torch.where(self.kept_chroma > 0, shown, picture)


def measure_areas(parts: list[Part]) -> Array:
    """Measure how many pixels each part covers (P,)."""
    return np.array([part.weights.sum(dtype=np.float64) for part in parts], np.float32)
