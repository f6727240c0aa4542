"""What a recipe names, opened: pictures and region weights, or every problem they have. Starts without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError, KeyPath, Problem
from guidedstyle.images import (
    MOST_PIXELS,
    SMALLEST_SIDE,
    Array,
    Size,
    fit_size,
    read_grey,
    read_picture,
    read_size,
    to_array,
)
from guidedstyle.masks import read_mask, stack_weights
from guidedstyle.reading import Reading
from guidedstyle.recipe import Recipe, Region, StyleImage

CHECK_SIZE = 512
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
    """

    recipe: Recipe
    content: Array
    paintings: dict[str, Painting]
    weights: Array
    full_size: Size

    @property
    def size(self) -> Size:
        """The (width, height) of the picture to paint, whatever size the scene was opened at."""
        return fit_size(self.full_size, self.recipe.size)

    @property
    def shares(self) -> list[float]:
        """The share of the picture that each region has, and last that of none."""
        return [float(share) for share in self.weights.mean((1, 2), dtype=np.float64)]

    @property
    def notes(self) -> Iterator[str]:
        """What a person should know before the render, in words."""
        if self.shares[-1] > 1e-4:
            yield f"{self.shares[-1]:.1%} of the picture belongs to no region and stays as it is (mask: rest takes it)"
        for name, painting in self.paintings.items():
            wanted = self.recipe.styles[name].scale * (self.recipe.size or max(self.full_size))
            if wanted > 2 * max(painting.size):
                yield f"style {name} is enlarged {wanted / max(painting.size):.1f} times and will look soft"


class _Opener:
    """Opens one thing after another and collects the problems instead of stopping at the first."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.problems = list(reading.document.problems)
        self.known = {problem.place for problem in self.problems}

    def attempt(self, path: KeyPath, action: Callable[[], T]) -> T | None:
        place = self.reading.document.locate(path)
        if place in self.known or self.reading.is_broken(path):
            return None
        try:
            return action()
        except GuidedStyleError as error:
            self.problems += [Problem(f"{place}: {p.place}", p.rule, p.remedy) for p in error.problems]
            return None

    def complain(self, path: KeyPath, rule: str, remedy: str) -> None:
        self.problems.append(Problem(self.reading.document.locate(path), rule, remedy))


def open_scene(reading: Reading, largest: int | None = None) -> Scene:
    """Open all that a recipe names; raises GuidedStyleError with every problem of recipe, pictures and masks.

    `largest` bounds the working size: a check needs only the shapes and shares, not the pixels.
    """
    opener, recipe = _Opener(reading), reading.recipe
    content = opener.attempt(("content",), lambda: _read_sized(recipe.content, recipe.size, largest))
    longest = max(content[0].size) if content else CHECK_SIZE
    if content:
        _check_size(opener, fit_size(content[1], recipe.size))
    paintings = {name: _open_painting(opener, name, style, longest) for name, style in recipe.styles.items()}
    weights = _open_regions(opener, recipe.regions, (content[1], content[0].size) if content else None)
    if isinstance(init := recipe.solver.init, Path):
        opener.attempt(("solver", "init"), lambda: read_picture(init, CHECK_SIZE))
    if opener.problems or content is None or weights is None:
        raise GuidedStyleError(opener.problems)
    opened = {name: painting for name, painting in paintings.items() if painting}
    return Scene(recipe, to_array(content[0]), opened, weights, content[1])


def _check_size(opener: _Opener, size: Size) -> None:
    if min(size) < SMALLEST_SIDE:
        rule = f"the picture would be {size[0]} x {size[1]} px"
        opener.complain(("size",), rule, f"let its shorter side have at least {SMALLEST_SIDE} px")


def _read_sized(file: Path, longest: int | None, largest: int | None = None) -> tuple[Image.Image, Size]:
    """Read a picture at the size that is worked at, and the full size of the file."""
    size = read_size(file)
    return read_picture(file, min(longest or max(size), largest or MOST_PIXELS)), size


def _open_painting(opener: _Opener, name: str, style: StyleImage, longest: int) -> Painting | None:
    path: KeyPath = ("styles", name)
    wanted = max(SMALLEST_SIDE, round(style.scale * longest))
    read = opener.attempt((*path, "image"), lambda: _read_sized(style.image, wanted))
    if read is None:
        return None
    picture, size = read
    mask: Array | None = np.ones(picture.size[::-1], np.float32)
    if file := style.mask:
        mask = opener.attempt((*path, "mask"), lambda: read_mask(file, size, picture.size))
        if mask is not None and not mask.any():
            opener.complain((*path, "mask"), f"{file} is all black: no part of the painting is used", "paint it white")
    return Painting(to_array(picture), mask, size) if mask is not None else None


def _open_regions(opener: _Opener, regions: tuple[Region, ...], sizes: tuple[Size, Size] | None) -> Array | None:
    """Open the regions' masks and stack them; without `sizes`, of a photograph that was not read, only open them."""
    masks: dict[int, Array | None] = {}
    for index, region in enumerate(regions):
        if isinstance(file := region.mask, Path):
            read = partial(read_mask, file, *sizes) if sizes else partial(read_grey, file)
            masks[index] = opener.attempt(("regions", index, "mask"), read)
    if sizes is None or any(mask is None for mask in masks.values()):
        return None
    size = sizes[1]
    weights = stack_weights([masks.get(index) for index in range(len(regions))], size)
    for index, region in enumerate(regions):
        if not weights[index].any():
            _complain_of_nothing(opener, index, region)
    return weights


def _complain_of_nothing(opener: _Opener, index: int, region: Region) -> None:
    why = "its mask is black, or regions in front of it hide it"
    why = "the other regions cover the whole picture" if region.mask == "rest" else why
    rule = f"region {region.name!r} covers nothing: {why}"
    opener.complain(("regions", index, "mask"), rule, "repaint the mask or remove the region")
