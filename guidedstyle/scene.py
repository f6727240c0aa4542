"""What a recipe names, opened: pictures and region weights, or every problem they have. Starts without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError, KeyPath, Problem
from guidedstyle.images import (
    MOST_PIXELS,
    SMALLEST_SIDE,
    Array,
    Frame,
    Size,
    fit_size,
    read_frame,
    read_picture,
    to_array,
)
from guidedstyle.keys import measure_length
from guidedstyle.masks import MaskReader, find_palettes, resize_mask
from guidedstyle.reading import Reading
from guidedstyle.recipe import Recipe, StyleImage
from guidedstyle.stacking import add_borders, measure_overlaps, settle_neighbours, stack_weights

CHECK_SIZE = 1024
STACKING_SIZE = 2048  # masks meet at this size at least: shrunk before, hard edges would seem to overlap
FAINT = 5e-4  # of the picture
NOTHING = 1e-3  # of a pixel; less is what rounding leaves
T = TypeVar("T")


@dataclass(frozen=True)
class Painting:
    """A style's picture (1, 3, h, w) in [0, 1] and the opacities (h, w) of the part that is used."""

    image: Array
    mask: Array
    size: Size  # of the file, (width, height)


@dataclass(frozen=True)
class Scene:
    """The inputs of a render at its final size.

    `weights` (R + 1, H, W) sum to 1 at every pixel; the last is what belongs to no region and stays as it is.
    `shares` are those that the masks give to the regions and last to none, `overlaps` how much of the picture
    each covers over or under another, `unmatched` the pixels of colours that no mask names, `remarks` what else was
    met when the masks were read.
    """

    recipe: Recipe
    content: Array
    paintings: dict[str, Painting]
    weights: Array
    full_size: Size
    shares: tuple[float, ...]
    overlaps: tuple[float, ...] = ()
    unmatched: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """The (width, height) of the picture to paint, whatever size the scene was opened at."""
        return fit_size(self.full_size, self.recipe.size)

    @property
    def notes(self) -> Iterator[str]:
        """What a person should know before the render, in words."""
        yield from self.remarks
        if self.shares[-1] > FAINT:
            yield f"{self.shares[-1]:.1%} of the picture belongs to no region and stays as it is (mask: rest takes it)"
        for name, painting in self.paintings.items():
            wanted = self.recipe.styles[name].scale * (self.recipe.size or max(self.full_size))
            if wanted > 2 * max(painting.size):
                yield f"style {name} is enlarged {wanted / max(painting.size):.1f} times and will look soft"


class Layout(NamedTuple):
    """Where the regions are: weights (R + 1, H, W), shares and overlaps, as in `Scene`."""

    weights: Array
    shares: tuple[float, ...]
    overlaps: tuple[float, ...]


class _Opener:
    """Opens one thing after another and collects the problems instead of stopping at the first."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.problems = list(reading.document.problems)
        self.masks = MaskReader(find_palettes(reading.recipe))

    def attempt(self, path: KeyPath, action: Callable[[], T]) -> T | None:
        if self.reading.is_mistaken(path):
            return None
        try:
            return action()
        except GuidedStyleError as error:
            place = self.reading.document.locate(path)
            self.problems += [Problem(f"{place}: {p.place}", p.rule, p.remedy) for p in error.problems]
            return None

    def complain(self, path: KeyPath, rule: str, remedy: str) -> None:
        self.problems.append(Problem(self.reading.document.locate(path), rule, remedy))


def open_scene(reading: Reading, largest: int | None = None) -> Scene:
    """Open all that a recipe names; raises GuidedStyleError with every problem of recipe, pictures and masks.

    `largest` bounds the working size: a check needs only the shapes and shares, not the pixels.
    """
    opener, recipe = _Opener(reading), reading.recipe
    content = opener.attempt(("content",), lambda: _read_framed(recipe.content, recipe.size, largest))
    longest = max(content[0].size) if content else CHECK_SIZE
    if content:
        _check_size(opener, fit_size(content[1].size, recipe.size))
    paintings = {name: _open_painting(opener, name, style, longest) for name, style in recipe.styles.items()}
    layout = _open_regions(opener, content[1] if content else None, content[0].size if content else (longest, longest))
    if isinstance(init := recipe.solver.init, Path):
        opener.attempt(("solver", "init"), lambda: read_picture(init, CHECK_SIZE))
    if opener.problems or content is None or layout is None:
        raise GuidedStyleError(opener.problems)
    opened = {name: painting for name, painting in paintings.items() if painting}
    parts = (layout.weights, content[1].size, layout.shares, layout.overlaps)
    return Scene(recipe, to_array(content[0]), opened, *parts, opener.masks.unmatched, opener.masks.notes)


def _check_size(opener: _Opener, size: Size) -> None:
    if min(size) < SMALLEST_SIDE:
        rule = f"the picture would be {size[0]} x {size[1]} px"
        opener.complain(("size",), rule, f"let its shorter side have at least {SMALLEST_SIDE} px")


def _read_framed(file: Path, longest: int | None, largest: int | None = None) -> tuple[Image.Image, Frame]:
    """Read a picture at the size that is worked at, and the frame of the file."""
    frame = read_frame(file)
    return read_picture(file, min(longest or max(frame.size), largest or MOST_PIXELS)), frame


def stacking_size(frame: Frame, working: Size) -> Size:
    """Choose the size at which masks are read and stacked: the picture's own, or as much of it as it takes."""
    return fit_size(frame.size, min(max(frame.size), max(*working, STACKING_SIZE)))


def _open_painting(opener: _Opener, name: str, style: StyleImage, longest: int) -> Painting | None:
    path: KeyPath = ("styles", name)
    wanted = max(SMALLEST_SIDE, round(style.scale * longest))
    read = opener.attempt((*path, "image"), lambda: _read_framed(style.image, wanted))
    if read is None:
        return None
    picture, frame = read
    mask: Array | None = np.ones(picture.size[::-1], np.float32)
    if chosen := style.mask:
        read_mask = partial(opener.masks.read, chosen, frame, stacking_size(frame, picture.size))
        large = opener.attempt((*path, "mask"), read_mask)
        mask = None if large is None else resize_mask(large, picture.size)
        if mask is not None and mask.max() < NOTHING:
            rule = "the mask is all black: no part of the painting is used"
            opener.complain((*path, "mask"), f"{chosen.file}: {rule}" if chosen.file else rule, "paint it white")
    return Painting(to_array(picture), mask, frame.size) if mask is not None else None


def _open_regions(opener: _Opener, frame: Frame | None, working: Size) -> Layout | None:
    """Open the regions' masks; without the `frame` of a photograph that was not read, only open them."""
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
    return Layout(weights, tuple(shares), tuple(overlaps))


def _keep_and_resize(opener: _Opener, weights: Array, frame: Frame, working: Size) -> Array:
    longest = max(frame.size)
    scale = max(weights.shape[1:]) / longest
    kept = {i: region for i, region in enumerate(opener.reading.recipe.regions) if region.keep}
    widths = {index: measure_length(region.border, longest) * scale for index, region in kept.items()}
    return np.stack([resize_mask(weight, working) for weight in add_borders(weights, widths)])


def _complain_of_nothing(opener: _Opener, weights: Array) -> None:
    for index, region in enumerate(opener.reading.recipe.regions):
        if weights[index].max() < NOTHING:
            why = "its mask is black or empty, or regions in front of it hide it"
            why = "the other regions cover the whole picture" if region.mask.rest else why
            rule = f"region {region.name!r} covers nothing: {why}"
            opener.complain(("regions", index, "mask"), rule, "repaint the mask or remove the region")
