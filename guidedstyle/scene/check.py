"""What a recipe comes to: coverage, overlaps, and layers at which a region is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from guidedstyle.encoders.architecture import Architecture, Layer
from guidedstyle.encoders.registry import find_architecture
from guidedstyle.losses.propagation import MOSTLY, cover_grid
from guidedstyle.losses.pyramid import halve_shape
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.model import Region
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE, Scene
from guidedstyle.types import Array, Propagation, Size


@dataclass(frozen=True)
class LayerCoverage:
    """What is left of a region at one size of the image, and which of the style layers it has a share in there.

    A region survives at a layer where some position is mostly its own: by area, or for `inside` guides with all
    that it sees. Where it does not, `inside` guides fall back to `simple` ones.
    """

    longest: int
    layers: tuple[str, ...]
    of: tuple[str, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """The layers at which it does not survive."""
        return tuple(layer for layer in self.of if layer not in self.layers)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        if not self.lost or not self.layers:
            return "none" if self.lost else "all"
        return f"to {self.layers[-1]}" if self.of[: len(self.layers)] == self.layers else ", ".join(self.layers)


@dataclass(frozen=True)
class Coverage:
    """What survives of every region, and of the used part of every masked style image by name, at each size."""

    regions: list[list[LayerCoverage]]
    style_images: dict[str, list[LayerCoverage]]


def measure_coverage(scene: Scene) -> Coverage:
    """Coverage a scene at every size that its render sees: the octaves of the final size, then of coarser stages."""
    recipe = scene.recipe
    sizes = max(stage.halvings + stage.octaves for stage in scene.stages)
    architecture = find_architecture(recipe.encoder.name)
    regions = [
        _measure_coverage(weights, scene.size, sizes, architecture, controls)
        for weights, controls in zip(scene.weights, recipe.controls, strict=False)
    ]
    style_images = {}
    for name, style_image in scene.style_images.items():
        users = recipe.users(name)
        if recipe.styles[name].mask and users:  # inside, if any region asks for it
            chosen = min(users, key=lambda controls: controls.guides)
            size = style_image.fit(recipe.largest_scale(name) * max(scene.size))
            style_images[name] = _measure_coverage(style_image.mask, size, sizes, architecture, chosen)
    return Coverage(regions, style_images)


def _measure_coverage(
    weights: Array, size: Size, sizes: int, architecture: Architecture, controls: Controls
) -> list[LayerCoverage]:
    """Coverage weights (h, w), which may be coarser than the image of (width, height) that they are of."""
    names, found = tuple(architecture.weigh_style(controls.style_layers)), []
    for octave in range(sizes):
        shape = halve_shape(size[::-1], octave)
        seen = names if controls.octaves[min(octave, len(controls.octaves) - 1)] else ()
        alive = tuple(name for name in seen if _is_covered(weights, shape, architecture.layers[name], controls.guides))
        found.append(LayerCoverage(max(shape), alive, seen))
    return found


def _is_covered(weights: Array, shape: Sequence[int], layer: Layer, kind: Propagation) -> bool:
    coarse = min(1.0, max(weights.shape) / max(shape))
    picture = (round(shape[0] * coarse), round(shape[1] * coarse))
    if coarse < 1:
        layer = _shrink_layer(layer, coarse)
        grid = (max(1, picture[0] // layer.stride), max(1, picture[1] // layer.stride))
    else:
        grid = layer.grid(picture)
    cells = cover_grid(weights[None], picture, grid, layer, kind)
    return bool(np.max(cells, initial=0) >= MOSTLY)


def _shrink_layer(layer: Layer, factor: float) -> Layer:
    """Return about the layer that sees of an image `factor` times as large what a layer sees of the image itself."""
    stride, extent = max(1, round(layer.stride * factor)), max(1, round(layer.receptive_field * factor))
    offset = (layer.centre - layer.stride / 2) * factor  # of receptive fields from the cells of the grid
    start = min(0, math.ceil(offset + (stride - extent) / 2))
    return replace(layer, stride=stride, receptive_field=extent, field_start=start)


def collect_warnings(scene: Scene, coverage: Coverage) -> tuple[str, ...]:
    """Collect the warnings about a scene that a person should read before the render."""
    return (*scene.warnings, *_describe_coverage(scene, coverage))


def _describe_coverage(scene: Scene, survey: Coverage) -> Iterator[str]:
    """Say in a painter's words which regions are too faint or thin, or fall back from `inside` to `simple` guides."""
    for weights, region, controls, found in zip(
        scene.weights, scene.recipe.regions, scene.recipe.controls, survey.regions, strict=False
    ):
        if not region.style or not controls.strength:
            continue
        if (most := weights.max()) < MOSTLY:
            yield f"{region.name} is nowhere more than {most:.0%} opaque: most of its paint is what lies around it"
        elif controls.guides == "simple":
            yield from _describe_thinness(region.name, found[: scene.stages[-1].octaves])
        else:
            yield from _describe_fall_back(region.name, found)
    for name, found in survey.style_images.items():
        if any(controls.guides == "inside" for controls in scene.recipe.users(name)):
            yield from _describe_fall_back(f"the mask of style {name}", found)


def _describe_thinness(name: str, found: Sequence[LayerCoverage]) -> Iterator[str]:
    gone = [f"{survival.longest} px" for survival in found if survival.of and not survival.layers]
    if gone:
        yield (
            f"{name} is so thin that nothing of it is left at {' and '.join(gone)}: its larger strokes will take after "
            f"its surroundings (widen it with grow, or render larger)"
        )


def _describe_fall_back(name: str, found: Sequence[LayerCoverage]) -> Iterator[str]:
    lost = [f"{', '.join(survival.lost)} at {survival.longest} px" for survival in found if survival.lost]
    if lost:
        yield f"{name} is too narrow for inside guides at {'; '.join(lost)}: there its guides are simple"


@dataclass(frozen=True)
class Check:
    """A recipe's scene, opened small, and what a person should know before the render."""

    scene: Scene

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about uncovered pixels, unnamed colours, and regions too small to have a style of their own."""
        return collect_warnings(self.scene, measure_coverage(self.scene))

    @property
    def size(self) -> Size:
        """The (width, height) of the image."""
        return self.scene.size

    @property
    def shares(self) -> dict[str, float]:
        """The share of the image that each region covers, 0 to 1."""
        regions = self.scene.recipe.regions
        return {region.name: share for region, share in zip(regions, self.scene.shares, strict=False)}


def check_reading(reading: Reading, masks: MaskStore | None = None) -> Check:
    """Check a recipe with its images and masks; raises GuidedStyleError with all problems.

    `masks` keeps what is decoded of mask files for the scene that is opened next.
    """
    return Check(open_scene(reading, CHECK_SIZE, masks=masks))


def describe_style(region: Region) -> str:
    """Name what a region is painted in."""
    if region.keep:
        return "kept as it is"
    mix = [f"{use.weight:g} {name}{' (varies)' if use.where else ''}" for name, use in region.style.items()]
    return " + ".join(mix) if len(mix) > 1 else next(iter(region.style), "none")


def describe_controls(region: Region) -> str:
    """Name the controls that a region asks for itself, besides its strengths."""
    given = region.model_dump(mode="json", include={*region.given} - {"strength", "content_strength"})
    return write_yaml(given, in_line=True).strip()[1:-1] if given else ""
