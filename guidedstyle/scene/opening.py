"""Open all that a recipe names, with every error found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images import (
    LONGEST_SIDES,
    MOST_PIXELS,
    SMALLEST_SIDE,
    Frame,
    fit_size,
    read_framed,
    read_image,
    to_array,
)
from guidedstyle.masks.compositing import add_borders, measure_overlaps, settle_neighbours, stack_weights
from guidedstyle.masks.files import MaskStore
from guidedstyle.masks.geometry import resize_mask
from guidedstyle.masks.labels import find_palettes
from guidedstyle.masks.reader import MaskReader
from guidedstyle.recipe.files import list_starts
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.values import measure_length
from guidedstyle.scene.scene import CHECK_SIZE, FAINT, NOTHING, Scene
from guidedstyle.scene.styles import StyleImage, turn_style_image
from guidedstyle.types import Array, KeyPath, Size

T = TypeVar("T")


class Opener:
    """Opens what a recipe names; `problems` are those of the recipe and of all that was opened so far."""

    def __init__(self, reading: Reading, store: MaskStore | None) -> None:
        self.reading = reading
        self.problems = list(reading.document.problems)
        self.masks = MaskReader(find_palettes(reading.recipe), store)

    def attempt(self, path: KeyPath, action: Callable[[], T]) -> T | None:
        """Do `action` for the key at `path`; None where it fails, or an error was reported there before."""
        if self.reading.is_mistaken(path):
            return None
        try:
            return action()
        except GuidedStyleError as error:
            place = self.reading.document.locate(path)
            self.problems += [Problem(f"{place}: {p.place}", p.rule, p.remedy) for p in error.problems]
            return None

    def complain(self, path: KeyPath, rule: str, remedy: str) -> None:
        """Note a problem of the key at `path`."""
        self.problems.append(Problem(self.reading.document.locate(path), rule, remedy))


STACKING_SIZE = 2048  # masks meet at this size at least: shrunk before, hard edges would seem to overlap


class Layout(NamedTuple):
    """Where the regions are: weights (R + 1, H, W), mixes, shares and overlaps, as in `Scene`."""

    weights: Array
    mixes: tuple[Array, ...]
    shares: tuple[float, ...]
    overlaps: tuple[float, ...]


def open_scene(reading: Reading, largest: int | None = None, *, masks: MaskStore | None = None) -> Scene:
    """Open all that a recipe names; raises GuidedStyleError with every problem of recipe, images and masks.

    `largest` bounds the working size: a check needs only the shapes and shares, not the pixels. `masks` keeps what
    is decoded of mask files, so that opening a scene again, at any size, decodes none of them.
    """
    opener, recipe = Opener(reading, masks), reading.recipe
    content = _open_content(opener, largest)
    longest = max(content[0].size) if content else CHECK_SIZE
    if content:
        _check_size(opener, fit_size(content[1].size, recipe.size))
    style_images = _open_style_images(opener, longest)
    layout = _open_regions(opener, content[1] if content else None, content[0].size if content else (longest, longest))
    for path, start in list_starts(recipe):
        if start.file:
            opener.attempt((*path, "file"), partial(read_image, start.file, CHECK_SIZE))
    if opener.problems or content is None or layout is None:
        raise GuidedStyleError(opener.problems)
    parts = (layout.weights, layout.mixes, content[1].size, layout.shares, layout.overlaps)
    scene = Scene(recipe, to_array(content[0]), style_images, *parts, opener.masks.unmatched, opener.masks.warnings)
    _check_octaves(opener, scene)
    return scene


def _check_octaves(opener: Opener, scene: Scene) -> None:
    """Refuse octave weights of which none is left in so small an image."""
    count = scene.stages[-1].octaves
    for index, (region, controls) in enumerate(zip(scene.recipe.regions, scene.recipe.controls, strict=True)):
        if region.style and controls.strength and not any(controls.octaves[:count]):
            rule = f"an image of {scene.size[0]} x {scene.size[1]} px has {count}, and none of them has weight"
            path: KeyPath = ("regions", index, "octaves") if region.octaves else ("octaves",)
            opener.complain(path, rule, "give a finer one weight, or choose a larger size")
    if opener.problems:
        raise GuidedStyleError(opener.problems)


def _open_content(opener: Opener, largest: int | None) -> tuple[Image.Image, Frame] | None:
    """Open the content image, or make a grey sheet where there is only a canvas."""
    recipe = opener.reading.recipe
    if photo := recipe.content:
        return opener.attempt(("content",), lambda: read_framed(photo, recipe.size, largest=largest))
    if not recipe.canvas:
        return None
    frame = Frame(recipe.canvas)
    longest = min(recipe.size or max(frame.size), largest or MOST_PIXELS)
    return Image.new("RGB", fit_size(frame.size, longest), (128, 128, 128)), frame


def _check_size(opener: Opener, size: Size) -> None:
    if min(size) < SMALLEST_SIDE:
        rule = f"the image would be {size[0]} x {size[1]} px"
        opener.complain(("size",), rule, f"let its shorter side have at least {SMALLEST_SIDE} px")
    suffix = opener.reading.recipe.output.suffix.lower()
    most = LONGEST_SIDES.get(suffix, max(size))
    if max(size) > most:
        rule = f"the image would be {size[0]} x {size[1]} px, and {suffix} holds at most {most} px a side"
        opener.complain(("output",), rule, "let its name end in .png, or choose a smaller size")


def stacking_size(frame: Frame, working: Size) -> Size:
    """Choose the size at which masks are read and stacked: the image's own, or as much of it as it takes."""
    return fit_size(frame.size, min(max(frame.size), max(*working, STACKING_SIZE)))


def _open_style_images(opener: Opener, longest: int) -> dict[str, StyleImage]:
    """Open every style image, then put together those that are made of two."""
    recipe, opened = opener.reading.recipe, dict[str, StyleImage]()
    for name, style in recipe.styles.items():
        if image := style.image:
            style_image = _open_style_image(opener, name, image, round(recipe.largest_scale(name) * longest))
            opened |= {name: turn_style_image(style_image, style)} if style_image else {}
    for name, style in recipe.styles.items():
        if style.fine in opened and style.coarse in opened:
            opened[name] = replace(opened[style.coarse], fine=opened[style.fine])
    return opened


def _open_style_image(opener: Opener, name: str, image: Path, longest: int) -> StyleImage | None:
    path: KeyPath = ("styles", name)
    read = opener.attempt((*path, "image"), lambda: read_framed(image, max(SMALLEST_SIDE, longest), enlarge=False))
    if read is None:
        return None
    picture, frame = read
    mask: Array | None = np.ones(picture.size[::-1], np.float32)
    if chosen := opener.reading.recipe.styles[name].mask:
        read_mask = partial(opener.masks.read, chosen, frame, stacking_size(frame, picture.size))
        large = opener.attempt((*path, "mask"), read_mask)
        mask = None if large is None else resize_mask(large, picture.size)
        if mask is not None and mask.max() < NOTHING:
            rule = "the mask is all black: no part of the style image is used"
            opener.complain((*path, "mask"), f"{chosen.file}: {rule}" if chosen.file else rule, "paint it white")
    return StyleImage(to_array(picture), mask, frame.size) if mask is not None else None


def _open_regions(opener: Opener, frame: Frame | None, working: Size) -> Layout | None:
    """Open the regions' masks; without the `frame` of a content image that was not read, only open them."""
    regions, size = opener.reading.recipe.regions, stacking_size(frame or Frame(working), working)
    opacities: list[Array | None] = []
    for index, region in enumerate(regions):
        read = partial(opener.masks.read, region.mask, frame, size)
        opacities.append(None if region.mask.rest else opener.attempt(("regions", index, "mask"), read))
    missing = any(opacity is None and not r.mask.rest for opacity, r in zip(opacities, regions, strict=True))
    if frame is None or missing:
        return None
    overlaps = measure_overlaps(opacities)
    files = [region.mask.label_file for region in regions]
    weights = stack_weights(settle_neighbours(opacities, files), size)
    shares = [float(share) for share in weights.mean((1, 2), dtype=np.float64)]
    weights = _keep_and_resize(opener, weights, frame, working)
    if not opener.reading.is_mistaken(("regions",)):
        _complain_of_nothing(opener, weights)
    mixes = tuple(_open_mix(opener, index, frame, weights[index]) for index in range(len(regions)))
    return Layout(weights, mixes, tuple(shares), tuple(overlaps))


def _open_mix(opener: Opener, index: int, frame: Frame, weights: Array) -> Array:
    """Open a region's shares of its styles: (S,), or (S, H, W) where a weight is a mask. They sum to 1."""
    uses = opener.reading.recipe.regions[index].style
    size = (weights.shape[1], weights.shape[0])
    painted: list[Array | float] = []
    for name, use in uses.items():
        path: KeyPath = ("regions", index, "style", name, "where")
        read = partial(opener.masks.read, use.where, frame, stacking_size(frame, size)) if use.where else None
        large = opener.attempt(path, read) if read else None
        painted.append(use.weight if large is None else use.weight * resize_mask(large, size))
    if not any(isinstance(weight, np.ndarray) for weight in painted):
        weights_alone = np.array([use.weight for use in uses.values()], np.float32)
        return np.asarray(weights_alone / (weights_alone.sum() or 1), np.float32)
    layers = np.stack(np.broadcast_arrays(*painted)).astype(np.float32)
    total, faint = layers.sum(0), FAINT * max(use.weight for use in uses.values())
    if (bare := float(((total < faint) * weights).sum() / max(weights.sum(), NOTHING))) > FAINT:
        rule = f"the weights of its styles sum to 0 over {bare:.1%} of the region"
        opener.complain(("regions", index, "style"), rule, "give one of them a weight there, or cut the region's mask")
    layers[:, total < faint] = 1
    shares: Array = layers / layers.sum(0)
    return shares


def _keep_and_resize(opener: Opener, weights: Array, frame: Frame, working: Size) -> Array:
    longest = max(frame.size)
    scale = max(weights.shape[1:]) / longest
    kept = {i: region for i, region in enumerate(opener.reading.recipe.regions) if region.keep}
    widths = {index: measure_length(region.border, longest) * scale for index, region in kept.items()}
    return np.stack([resize_mask(weight, working) for weight in add_borders(weights, widths)])


def _complain_of_nothing(opener: Opener, weights: Array) -> None:
    for index, region in enumerate(opener.reading.recipe.regions):
        if weights[index].max() < NOTHING:
            why = "its mask is black or empty, or regions in front of it hide it"
            why = "the other regions cover the whole image" if region.mask.rest else why
            rule = f"region {region.name!r} covers nothing: {why}"
            opener.complain(("regions", index, "mask"), rule, "repaint the mask or remove the region")
