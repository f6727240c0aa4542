"""Open everything a recipe names, and report all errors at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images.reading import SMALLEST_SIDE, fit_size, read_framed, to_array
from guidedstyle.io.images.samples import Frame
from guidedstyle.io.images.writing import LONGEST_SIDES
from guidedstyle.masks.compositing import add_borders, measure_overlaps, settle_neighbours, stack_weights
from guidedstyle.masks.files import MaskStore
from guidedstyle.masks.geometry import resize_mask
from guidedstyle.masks.labels import find_palettes
from guidedstyle.masks.reader import MaskReader
from guidedstyle.networks.card import Card, read_card
from guidedstyle.recipe.inputs import list_starts
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import measure_length
from guidedstyle.scene.network import find_unknown_styles
from guidedstyle.scene.original import Original, read_original
from guidedstyle.scene.scene import CHECK_SIZE, NEGLIGIBLE, NEGLIGIBLE_SHARE, Scene, StyleImage, turn_style_image
from guidedstyle.types import Array, KeyPath, Size

T = TypeVar("T")
Framed = tuple[Image.Image, Frame]

STACKING_SIZE = 2048  # px; masks are stacked at this size at least: shrunk before, hard edges would seem to overlap


class Opener:
    """Opens what a recipe names; `problems` are those of the recipe and of everything opened so far."""

    def __init__(self, reading: Reading, store: MaskStore | None) -> None:
        self.reading = reading
        self.problems = list(reading.document.problems)
        self.masks = MaskReader(find_palettes(reading.recipe), store)
        self.doubts = dict[str, None]()  # warnings about images, in order, once each

    def attempt(self, path: KeyPath, action: Callable[[], T]) -> T | None:
        """Return the result of `action` for the key at `path`; None if it fails, or if the key is invalid already."""
        if self.reading.has_errors(path):
            return None
        try:
            return action()
        except GuidedStyleError as error:
            place = self.reading.document.locate(path)
            self.problems += [Problem(f"{place}: {p.place}", p.rule, p.remedy) for p in error.problems]
            return None

    def read_framed(self, path: KeyPath, file: Path, longest: int | None, **bounds: Any) -> Framed | None:
        """Read an image and its frame, as `read_framed` does; None if that fails."""
        read = self.attempt(path, lambda: read_framed(file, longest, **bounds))
        if read:
            self.doubts |= dict.fromkeys(read[1].warnings)
        return read

    def read_mask(self, path: KeyPath, mask: Mask, frame: Frame | None, size: Size) -> Array | None:
        """Read a mask at `size`; None if that fails."""
        return self.attempt(path, lambda: self.masks.read(mask, frame, size))

    def report(self, path: KeyPath, rule: str, remedy: str) -> None:
        """Report a problem of the key at `path`."""
        self.problems.append(Problem(self.reading.document.locate(path), rule, remedy))


class Layout(NamedTuple):
    """Where the regions are: weights (R + 1, H, W), mixes, shares and overlaps, as in `Scene`."""

    weights: Array
    mixes: tuple[Array, ...]
    shares: tuple[float, ...]
    overlaps: tuple[float, ...]


def open_scene(reading: Reading, largest: int | None = None, *, masks: MaskStore | None = None) -> Scene:
    """Open everything a recipe names; raises GuidedStyleError with all problems of recipe, images and masks.

    `largest` bounds the working size in px: a check needs shapes and shares, not all pixels. `masks` keeps what is
    decoded of mask files, so that opening a scene again, at any size, decodes none of them.
    """
    opener, recipe = Opener(reading, masks), reading.recipe
    original = _open_content(opener, largest)
    working = original.size if original else (CHECK_SIZE, CHECK_SIZE)
    if original:
        _check_size(opener, fit_size(original.frame.size, recipe.size))
    style_images = _open_style_images(opener, max(working))
    layout = _open_regions(opener, original.frame if original else None, working)
    _check_starts(opener)
    card = _open_card(opener)
    if opener.problems or original is None or layout is None:
        raise GuidedStyleError(opener.problems)
    scene = Scene(
        recipe,
        original.to_srgb(),
        style_images,
        *(layout.weights, layout.mixes, original.frame.size, layout.shares, layout.overlaps),
        original=original,
        unnamed_pixels=opener.masks.unnamed_pixels,
        card=card,
        opening_warnings=(*reading.document.warnings, *opener.doubts, *opener.masks.warnings),
    )
    _check_octaves(opener, scene)
    return scene


def _open_content(opener: Opener, largest: int | None) -> Original | None:
    """Open the content image, or make a grey one of the size of the `canvas`."""
    recipe = opener.reading.recipe
    if photo := recipe.content:
        original = opener.attempt(("content",), lambda: read_original(photo, recipe.size, largest=largest))
        opener.doubts |= dict.fromkeys(original.frame.warnings if original else ())
        return original
    return Original.of_canvas(recipe.canvas, recipe.size, largest) if recipe.canvas else None


def _check_size(opener: Opener, size: Size) -> None:
    if min(size) < SMALLEST_SIDE:
        rule = f"the image would be {size[0]} x {size[1]} px"
        opener.report(("size",), rule, f"make its shorter side at least {SMALLEST_SIDE} px")
    suffix = opener.reading.recipe.output.suffix.lower()
    most = LONGEST_SIDES.get(suffix, max(size))
    if max(size) > most:
        rule = f"the image would be {size[0]} x {size[1]} px, and {suffix} holds at most {most} px a side"
        opener.report(("output",), rule, "choose a name ending in .png, or a smaller size")


def _check_starts(opener: Opener) -> None:
    """Read the images that the render starts from."""
    for path, start in list_starts(opener.reading.recipe):
        if file := start.file:
            opener.read_framed((*path, "file"), file, CHECK_SIZE)


def _open_card(opener: Opener) -> Card | None:
    """Read the card of the recipe's network, if there is one, and check that it knows the styles."""
    recipe = opener.reading.recipe
    if not (file := recipe.network):
        return None
    card = opener.attempt(("network",), lambda: read_card(file))
    for path, rule, remedy in find_unknown_styles(recipe, card) if card else ():
        opener.report(path, rule, remedy)
    return card


def _check_octaves(opener: Opener, scene: Scene) -> None:
    """Raise GuidedStyleError if the image is so small that all its octaves have weight 0."""
    count = scene.stages[-1].octaves
    for index, (region, controls) in enumerate(zip(scene.recipe.regions, scene.recipe.controls, strict=True)):
        if region.mix and controls.strength and not any(controls.octaves[:count]):
            rule = f"an image of {scene.size[0]} x {scene.size[1]} px has {count}, and none of them has weight"
            path: KeyPath = ("regions", index, "octaves") if region.octaves else ("octaves",)
            opener.report(path, rule, "give a finer one weight, or choose a larger size")
    if opener.problems:
        raise GuidedStyleError(opener.problems)


def choose_stacking_size(frame: Frame, working: Size) -> Size:
    """Choose the size at which masks are read and stacked: that of the image's file, or less if it is far larger."""
    return fit_size(frame.size, min(max(frame.size), max(*working, STACKING_SIZE)))


def _open_style_images(opener: Opener, longest: int) -> dict[str, StyleImage]:
    """Open every style image for an output of `longest` px, then combine those made of two."""
    recipe, opened = opener.reading.recipe, dict[str, StyleImage]()
    for name, style in recipe.styles.items():
        if image := style.image:
            style_image = _open_style_image(opener, name, image, round(recipe.largest_scale(name) * longest))
            opened |= {name: turn_style_image(style_image, style)} if style_image else {}
    for name, style in recipe.styles.items():
        if style.fine in opened and style.coarse in opened:
            opened[name] = replace(opened[style.coarse], fine=opened[style.fine])
    return opened


def _open_style_image(opener: Opener, name: str, file: Path, longest: int) -> StyleImage | None:
    path: KeyPath = ("styles", name, "image")
    read = opener.read_framed(path, file, max(SMALLEST_SIDE, longest), enlarge=False)
    if read is None:
        return None
    image, frame = read
    mask = _open_style_mask(opener, name, frame, image.size)
    return None if mask is None else StyleImage(to_array(image), mask, frame.size)


def _open_style_mask(opener: Opener, name: str, frame: Frame, size: Size) -> Array | None:
    """Open the opacities (h, w) of the part of a style image that is used: all of it without a mask."""
    path: KeyPath = ("styles", name, "mask")
    chosen = opener.reading.recipe.styles[name].mask
    if chosen is None:
        return np.ones(size[::-1], np.float32)
    large = opener.read_mask(path, chosen, frame, choose_stacking_size(frame, size))
    if large is None:
        return None
    mask = resize_mask(large, size)
    if mask.max() < NEGLIGIBLE:
        rule = "the mask is all black: no part of the style image is used"
        opener.report(path, f"{chosen.file}: {rule}" if chosen.file else rule, "paint it white")
    return mask


def _open_regions(opener: Opener, frame: Frame | None, working: Size) -> Layout | None:
    """Open the masks of the regions; without a `frame`, when the content image failed, only to report their errors."""
    regions, size = opener.reading.recipe.regions, choose_stacking_size(frame or Frame(working), working)
    opacities = [
        None if region.mask.rest else opener.read_mask(("regions", index, "mask"), region.mask, frame, size)
        for index, region in enumerate(regions)
    ]
    missing = any(opacity is None and not r.mask.rest for opacity, r in zip(opacities, regions, strict=True))
    if frame is None or missing:
        return None
    overlaps = measure_overlaps(opacities)
    files = [region.mask.label_file for region in regions]
    weights = stack_weights(settle_neighbours(opacities, files), size)
    shares = [float(share) for share in weights.mean((1, 2), dtype=np.float64)]
    weights = _resize_weights(opener, weights, frame, working)
    if not opener.reading.has_errors(("regions",)):
        _check_coverage(opener, weights)
    mixes = tuple(_open_mix(opener, index, frame, weights[index]) for index in range(len(regions)))
    return Layout(weights, mixes, tuple(shares), tuple(overlaps))


def _resize_weights(opener: Opener, weights: Array, frame: Frame, working: Size) -> Array:
    """Add the borders of kept regions to the weights (R + 1, H, W), and resize them to the working size."""
    longest = max(frame.size)
    scale = max(weights.shape[1:]) / longest
    kept = {i: region for i, region in enumerate(opener.reading.recipe.regions) if region.keep}
    widths = {index: measure_length(region.border, longest) * scale for index, region in kept.items()}
    return np.stack([resize_mask(weight, working) for weight in add_borders(weights, widths)])


def _check_coverage(opener: Opener, weights: Array) -> None:
    """Report regions that cover nothing; those whose layers are empty are skipped, if another is painted."""
    regions = opener.reading.recipe.regions
    nothing = [index for index in range(len(regions)) if weights[index].max() < NEGLIGIBLE]
    empty = {index: layer for index in nothing if (layer := _find_empty_layer(opener, regions[index].mask))}
    if empty and all(region.keep or index in empty for index, region in enumerate(regions)):
        for index, (file, name) in empty.items():
            rule = f"{file.name}: layer {name!r} is empty"
            opener.report(("regions", index, "mask"), rule, "paint where the region is, in any colour, and save again")
    for index in nothing:
        if index not in empty:
            region = regions[index]
            why = "its mask is black or empty, or regions in front of it hide it"
            why = "the other regions cover the whole image" if region.mask.rest else why
            rule = f"region {region.name!r} covers nothing: {why}"
            opener.report(("regions", index, "mask"), rule, "repaint the mask or remove the region")


def _find_empty_layer(opener: Opener, mask: Mask) -> tuple[Path, str] | None:
    """Find an empty layer that a mask, or one within it, names."""
    named = [(one.file, one.layer) for _, one in mask.walk()]
    return next((layer for layer in opener.masks.empty_layers if layer in named), None)


def _open_mix(opener: Opener, index: int, frame: Frame, weights: Array) -> Array:
    """Open a region's mix: the shares of its styles, which sum to 1, (S,), or (S, H, W) if a weight is a mask."""
    uses, size = opener.reading.recipe.regions[index].mix, (weights.shape[1], weights.shape[0])
    painted: list[Array | float] = []
    for name, use in uses.items():
        path: KeyPath = ("regions", index, "style", name, "where")
        large = opener.read_mask(path, use.where, frame, choose_stacking_size(frame, size)) if use.where else None
        painted.append(use.weight if large is None else use.weight * resize_mask(large, size))
    if not any(isinstance(weight, np.ndarray) for weight in painted):
        constant = np.array([use.weight for use in uses.values()], np.float32)
        return np.asarray(constant / (constant.sum() or 1), np.float32)
    layers = np.stack(np.broadcast_arrays(*painted)).astype(np.float32)
    bare = layers.sum(0) < NEGLIGIBLE_SHARE * max(use.weight for use in uses.values())
    _check_mix(opener, index, float((bare * weights).sum() / max(weights.sum(), NEGLIGIBLE)))
    layers[:, bare] = 1
    shares: Array = layers / layers.sum(0)
    return shares


def _check_mix(opener: Opener, index: int, bare: float) -> None:
    """Report a region of which the share `bare` has no style."""
    if bare > NEGLIGIBLE_SHARE:
        rule = f"the weights of its styles sum to 0 over {bare:.1%} of the region"
        opener.report(("regions", index, "style"), rule, "give one of them a weight there, or cut the region's mask")
