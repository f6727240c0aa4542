"""Check a recipe with its images and masks: coverage, and the layers at which a region is lost."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape

import numpy as np

from guidedstyle.encoders.architecture import Architecture, Layer
from guidedstyle.encoders.registry import find_architecture
from guidedstyle.errors import GuidedStyleError, Problem, Warned
from guidedstyle.io.images.profiles import is_srgb
from guidedstyle.io.images.writing import OPAQUE_SUFFIXES, QUALITY_SUFFIXES, SUBSAMPLING_SUFFIXES
from guidedstyle.losses.propagation import MOSTLY, cover_grid, halve_shape
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.model import DEEP_SUFFIXES, LAYERED, Region, write_html
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE, Scene
from guidedstyle.types import Array, Propagation, Size

REMEDY = re.compile(r"(.*\S) \(([^()]+)\)", re.DOTALL)  # a warning that ends with its remedy
STRICTNESS: tuple[Propagation, ...] = ("inside", "simple", "all")  # the guides that cover least first
LENIENT = "change the recipe or the file, or leave --strict out if it is meant so"


@dataclass(frozen=True)
class LayerCoverage:
    """The style layers used for a region at one size of the image, and those of them at which the region is covered.

    A region is covered at a layer if at least one position belongs mostly to it: by area, for `inside` guides with its
    whole receptive field, for `all` with any part of it. Where it is not, `inside` guides fall back to `simple` ones.
    """

    longest: int  # px, of the image at this size
    used: tuple[str, ...]
    covered: tuple[str, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """The used layers at which the region is not covered."""
        return tuple(layer for layer in self.used if layer not in self.covered)

    def __str__(self) -> str:
        if not self.used:
            return "-"
        if not self.lost or not self.covered:
            return "none" if self.lost else "all"
        return f"to {self.covered[-1]}" if self.used[: len(self.covered)] == self.covered else ", ".join(self.covered)


@dataclass(frozen=True)
class Coverage:
    """The coverage of every region, and of every masked style image by name, at each size from fine to coarse."""

    regions: list[list[LayerCoverage]]
    style_images: dict[str, list[LayerCoverage]]


def measure_coverage(scene: Scene) -> Coverage:
    """Measure coverage at every size that the render looks at: the final size halved again and again."""
    recipe = scene.recipe
    sizes = max(stage.halvings + stage.octaves for stage in scene.stages)
    architecture = find_architecture(recipe.encoder.name)
    regions = [
        _measure_coverage(weights, scene.size, sizes, architecture=architecture, controls=controls)
        for weights, controls in zip(scene.weights, recipe.controls, strict=False)
    ]
    style_images = {}
    for name, style_image in scene.style_images.items():
        users = recipe.users(name)
        if recipe.styles[name].mask and users:
            strictest = min(users, key=lambda controls: STRICTNESS.index(controls.guides))
            size = style_image.fit(recipe.largest_scale(name) * max(scene.size))
            style_images[name] = _measure_coverage(
                style_image.mask, size, sizes, architecture=architecture, controls=strictest
            )
    return Coverage(regions, style_images)


def _measure_coverage(
    weights: Array, size: Size, sizes: int, *, architecture: Architecture, controls: Controls
) -> list[LayerCoverage]:
    """Measure the coverage of weights (h, w), which may be coarser than their image of (width, height)."""
    names, found = tuple(architecture.weigh_style(controls.style_layers)), []
    for octave in range(sizes):
        shape = halve_shape(size[::-1], octave)
        used = names if controls.octaves[min(octave, len(controls.octaves) - 1)] else ()
        layers = architecture.layers
        covered = tuple(name for name in used if _is_covered(weights, shape, layers[name], controls.guides))
        found.append(LayerCoverage(max(shape), used, covered))
    return found


def _is_covered(weights: Array, shape: Sequence[int], layer: Layer, guides: Propagation) -> bool:
    """Return whether weights (h, w) cover a position of a layer of an image of (height, width), at their own scale."""
    scale = min(1.0, max(weights.shape) / max(shape))
    image = (round(shape[0] * scale), round(shape[1] * scale))
    if scale < 1:
        layer = _scale_layer(layer, scale)
        grid = (max(1, image[0] // layer.stride), max(1, image[1] // layer.stride))
    else:
        grid = layer.grid(image)
    cells = cover_grid(weights[None], grid, layer, image=image, mode=guides)
    return bool(np.max(cells, initial=0) >= MOSTLY)


def _scale_layer(layer: Layer, scale: float) -> Layer:
    """Return a layer with about the same positions and receptive fields in an image scaled by `scale`."""
    stride, extent = max(1, round(layer.stride * scale)), max(1, round(layer.receptive_field * scale))
    offset = (layer.centre - layer.stride / 2) * scale  # of receptive fields from the cells of the grid
    start = min(0, math.ceil(offset + (stride - extent) / 2))
    return replace(layer, stride=stride, receptive_field=extent, field_start=start)


def collect_warnings(scene: Scene, coverage: Coverage) -> tuple[str, ...]:
    """Collect the warnings about a scene that the user should read before the render."""
    return (*scene.warnings, *_describe_coverage(scene, coverage), *_describe_output(scene))


def _describe_output(scene: Scene) -> Iterator[str]:
    """Warn of what the format of the output cannot hold, and of choices that have no effect in it."""
    original, choice, suffix = scene.original, scene.recipe.save, scene.recipe.output.suffix.lower()
    if original and original.alpha is not None and suffix in OPAQUE_SUFFIXES:
        yield f"{suffix} holds no transparency: it will be shown on white (choose .png, .tif or .webp to keep it)"
    if original and original.depth > 8 and choice.depth != 8 and suffix not in DEEP_SUFFIXES:
        yield f"{suffix} holds 8 bits, and the content image has 16 (choose .png or .tif, or set save.depth: 8)"
    if suffix == LAYERED and (choice.profile == "Display P3" or (original and not is_srgb(original.profile))):
        yield f"the layers of {suffix} are in sRGB: colours outside it are lost (choose .png or .tif to keep them)"
    for key, suffixes in (("quality", QUALITY_SUFFIXES), ("subsampling", SUBSAMPLING_SUFFIXES)):
        if getattr(choice, key) and suffix not in suffixes:
            yield f"save.{key} has no effect on {suffix} (it is for {', '.join(suffixes)})"


def _describe_coverage(scene: Scene, coverage: Coverage) -> Iterator[str]:
    """Warn of regions that are too faint or too thin, or whose guides fall back from `inside` to `simple`."""
    for weights, region, controls, found in zip(
        scene.weights, scene.recipe.regions, scene.recipe.controls, coverage.regions, strict=False
    ):
        if not region.mix or not controls.strength or not weights.any():  # none is an empty layer
            continue
        if (most := weights.max()) < MOSTLY:
            yield f"{region.name} is at most {most:.0%} opaque: it takes most of its style from the regions around it"
        elif controls.guides == "inside":
            yield from _describe_fall_back(region.name, found)
        else:
            yield from _describe_thinness(region.name, found[: scene.stages[-1].octaves])
    for name, found in coverage.style_images.items():
        if any(controls.guides == "inside" for controls in scene.recipe.users(name)):
            yield from _describe_fall_back(f"the mask of style {name}", found)


def _describe_thinness(name: str, found: Sequence[LayerCoverage]) -> Iterator[str]:
    lost = [f"{coverage.longest} px" for coverage in found if coverage.used and not coverage.covered]
    if lost:
        yield (
            f"{name} is too thin at {' and '.join(lost)}: its larger strokes will resemble its surroundings "
            f"(widen it with grow, or render it larger)"
        )


def _describe_fall_back(name: str, found: Sequence[LayerCoverage]) -> Iterator[str]:
    lost = [f"{', '.join(coverage.lost)} at {coverage.longest} px" for coverage in found if coverage.lost]
    if lost:
        yield f"{name} is too narrow for inside guides at {'; '.join(lost)}: simple guides are used there"


@dataclass(frozen=True)
class Check:
    """A recipe whose images and masks can be opened: its scene, opened small, and warnings."""

    scene: Scene

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about uncovered pixels, unnamed colours, and regions too small to have a style of their own."""
        return collect_warnings(self.scene, measure_coverage(self.scene))

    @property
    def size(self) -> Size:
        """The (width, height) of the output."""
        return self.scene.size

    @property
    def shares(self) -> dict[str, float]:
        """The share of the image that each region covers, 0 to 1, by its name."""
        regions = self.scene.recipe.regions
        return {region.name: share for region, share in zip(regions, self.scene.shares, strict=False)}

    def __repr__(self) -> str:
        width, height = self.size
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"<{width} x {height} px: {shares}; warnings: {len(self.warnings) or 'none'}>"

    def _repr_html_(self) -> str:
        """Write the regions with their shares, and the warnings, for a notebook."""
        rows = [
            (region.name, f"{share:.1%}", region.describe_style())
            for region, share in zip(self.scene.recipe.regions, self.shares.values(), strict=True)
        ]
        warnings = "".join(f"<li>warning: {escape(str(warning))}</li>" for warning in self.warnings)
        table = write_html(("region", "share", "style"), rows)
        return f"<p>{self.size[0]} x {self.size[1]} px</p>{table}<ul>{warnings}</ul>"


def check_reading(reading: Reading, masks: MaskStore | None = None, *, strict: bool = False) -> Check:
    """Check a recipe with its images and masks; raises GuidedStyleError with all problems, if `strict` with warnings.

    `masks` keeps what is decoded of mask files for the scene that is opened next.
    """
    source, early = reading.document.source, reading.document.warnings if strict else ()
    try:
        check = Check(open_scene(reading, CHECK_SIZE, masks=masks))
    except GuidedStyleError as error:
        raise GuidedStyleError([*error.problems, *(_to_problem(warning, source) for warning in early)]) from error
    if strict and check.warnings:
        raise GuidedStyleError([_to_problem(warning, source) for warning in check.warnings])
    return check


def _to_problem(warning: str, source: str) -> Problem:
    """Turn a warning into an error; one that is plain text is about the recipe `source`, its remedy in brackets."""
    if isinstance(warning, Warned):
        return warning.problem
    found = REMEDY.fullmatch(warning)
    return Problem(source, *found.groups()) if found else Problem(source, warning, LENIENT)


def describe_controls(region: Region) -> str:
    """Write the controls that a region sets itself, except its strengths, as YAML."""
    given = region.model_dump(mode="json", include={*region.given} - {"strength", "content_strength"})
    return write_yaml(given, in_line=True).strip()[1:-1] if given else ""
