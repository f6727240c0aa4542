"""Read a mask from any source and apply its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images import Frame, read_frame
from guidedstyle.io.layered.base import LayeredDocument
from guidedstyle.io.layered.formats import open_layered, read_layer
from guidedstyle.masks.files import read_alpha, read_grey
from guidedstyle.masks.geometry import feather, fill_ellipse, fill_gradient, fill_polygon, fill_rectangle, grow, shrink
from guidedstyle.masks.labels import Labels, Palette, read_labels
from guidedstyle.recipe.files import list_masks
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.values import Length, measure_length, parse_colour
from guidedstyle.types import Array, Opacities, Size


def find_palettes(recipe: Recipe) -> dict[Path, Palette]:
    """Gather what a recipe's masks say of each colour-coded file.

    A colour that none of them names belongs to nobody where there is a `rest` to take it, or where only one is named.
    """
    coded: dict[Path, list[tuple[bool, Mask]]] = {}
    for path, mask in list_masks(recipe):
        if mask.file and mask.colour:
            coded.setdefault(mask.file, []).append((path[0] == "regions", mask))
    rest = any(region.mask.rest for region in recipe.regions)
    return {file: _make_palette(uses, rest) for file, uses in coded.items()}


def _make_palette(uses: list[tuple[bool, Mask]], rest: bool) -> Palette:
    colours = [mask.colour for _, mask in uses if mask.colour] + [colour for _, mask in uses for colour in mask.ignore]
    named = tuple(dict.fromkeys(map(parse_colour, colours)))
    leave = len(named) == 1 or (rest and any(of_region for of_region, _ in uses))
    return Palette(named, min(mask.tolerance for _, mask in uses), leave)


class MaskReader:
    """Reads the masks of one recipe; a file that serves several of them is opened once."""

    def __init__(self, palettes: dict[Path, Palette]) -> None:
        self.palettes = palettes
        self.labels: dict[Path, Labels] = {}
        self.documents: dict[Path, LayeredDocument | None] = {}
        self.turned: dict[Path, str] = {}

    def read(self, mask: Mask, frame: Frame | None, size: Size) -> Array:
        """Read opacities (H, W) in [0, 1] at `size` of a mask painted over the image of `frame`, if that is known.

        Raises GuidedStyleError where its file cannot be read or has not the image's shape up to rounding.
        """
        opacity, longest = self._read_source(mask, frame, size), max(frame.size if frame else size)

        def pixels(length: Length) -> float:
            return measure_length(length, longest) * max(size) / longest

        if mask.invert:
            opacity = 1 - opacity
        if mask.threshold is not None:
            opacity = (opacity >= mask.threshold).astype(np.float32)
        return feather(shrink(grow(opacity, pixels(mask.grow)), pixels(mask.shrink)), pixels(mask.feather))

    def _read_source(self, mask: Mask, frame: Frame | None, size: Size) -> Array:
        if mask.file:
            return self._read_file(mask, mask.file, frame, size)
        if mask.rectangle:
            return fill_rectangle(mask.rectangle, size)
        if mask.ellipse:
            return fill_ellipse(mask.ellipse, size)
        if mask.polygon:
            return fill_polygon(mask.polygon, size)
        if mask.gradient:
            return fill_gradient(mask.gradient.start, mask.gradient.end, size)
        if mask.all:
            return np.ones(size[::-1], np.float32)
        ((combine, parts),) = mask.parts.items()
        return COMBINATIONS[combine]([self.read(part, frame, size) for part in parts])

    def _read_file(self, mask: Mask, file: Path, frame: Frame | None, size: Size) -> Array:
        document = self._open(file)
        if document and not mask.layer:
            names = ", ".join(layer.path for layer in document.layers if not layer.problem)
            remedy = f"name one of its layers: layer: {names}" if names else "paint a layer in it, and name that"
            raise GuidedStyleError.of(file, "it is a layered document", remedy)
        if mask.layer:
            if not document:
                raise GuidedStyleError.of(file, "it has no layers", "remove layer:, or name a .psd, .ora or .kra")
            check_shape(document.size, frame, file)
            return resize_mask(self._fit(read_layer(document, mask.layer), frame, file), size)
        if mask.colour:
            return self._read_colour(file, mask.colour, frame, size)
        check_shape(read_frame(file).size, frame, file)  # before it is decoded
        read = read_alpha if mask.channel == "alpha" else read_grey
        return resize_mask(self._fit(read(file), frame, file), size)

    def _read_colour(self, file: Path, colour: str, frame: Frame | None, size: Size) -> Array:
        """Read one colour, its edge a pixel soft: the file's own soft edge went to one side or the other."""
        if file not in self.labels:
            check_shape(read_frame(file).size, frame, file)
            self.labels[file] = read_labels(file, self.palettes[file])
        chosen = self._fit(self.labels[file].select(parse_colour(colour)), frame, file)
        return np.asarray(cv2.GaussianBlur(resize_mask(to_unit(chosen), size), (3, 3), 0.6), np.float32)

    def _fit(self, mask: Opacities, frame: Frame | None, file: Path) -> Opacities:
        fitted = fit_mask(mask, frame, file)
        if frame and frame.orientation > 1 and same_shape((mask.shape[1], mask.shape[0]), frame.stored):
            upright = same_shape((mask.shape[1], mask.shape[0]), frame.size)
            how = "over it upright" if upright else "as the image lies in its file, and was turned with it"
            self.turned[file] = f"the image of {file.name} is turned (EXIF); the mask was taken as painted {how}"
        return fitted

    @property
    def unmatched(self) -> int:
        """The pixels of colours that no mask names, in the files read so far."""
        return sum(stranger.pixels for labels in self.labels.values() for stranger in labels.strangers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the masks read so far."""
        told = (note for labels in self.labels.values() for note in labels.notes)
        return (*told, *self.turned.values())

    def _open(self, file: Path) -> LayeredDocument | None:
        if file not in self.documents:
            self.documents[file] = open_layered(file)
        return self.documents[file]


def _unite(masks: Sequence[Array]) -> Array:
    """Add masks up to 1, so that those which meet at a soft edge leave no gap."""
    return np.minimum(np.sum(masks, axis=0), 1)  # type: ignore[no-any-return]


COMBINATIONS: dict[str, Callable[[Sequence[Array]], Array]] = {
    "any": _unite,
    "both": lambda masks: np.prod(masks, axis=0),
    "except": lambda masks: masks[0] * (1 - masks[1]),
}


def fit_mask(mask: Opacities, frame: Frame | None, file: Path) -> Opacities:
    """Return a mask as it lies over the upright image; raises GuidedStyleError where it has not its shape.

    One that was painted over the image as it lies in its file is turned as the image is (EXIF).
    """
    size = (mask.shape[1], mask.shape[0])
    check_shape(size, frame, file)
    return _turn(mask, frame.orientation) if frame and not same_shape(size, frame.size) else mask


def check_shape(size: Size, frame: Frame | None, file: Path) -> None:
    """Raise GuidedStyleError where a mask of (width, height) has not the shape of its image, however that lies."""
    if frame and not same_shape(size, frame.size) and not same_shape(size, frame.stored):
        rule = f"the mask is {size[0]} x {size[1]} px, its image {frame.size[0]} x {frame.size[1]}"
        raise GuidedStyleError.of(file, rule, "paint it over the image itself, or crop it to the same shape")


def _turn(mask: Opacities, orientation: int) -> Opacities:
    """Turn upright what EXIF says lies on its side."""
    turned = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}[orientation]
    return np.ascontiguousarray(turned)  # type: ignore[return-value]


def same_shape(mask: Size, picture: Size) -> bool:
    """Tell whether one is the other scaled, give or take a pixel of the smaller one."""
    slack = 1.01 * max(1.0, mask[0] / picture[0])
    return abs(mask[0] * picture[1] / picture[0] - mask[1]) <= slack or (
        abs(mask[1] * picture[0] / picture[1] - mask[0]) <= slack
    )


def to_unit(mask: Opacities) -> Array:
    """Turn opacities of 8 bits, or in [0, 1] already, into float32 in [0, 1]."""
    return np.asarray(mask, np.float32) / np.float32(255 if mask.dtype == np.uint8 else 1)


def resize_mask(mask: Opacities, size: Size) -> Array:
    """Resize opacities to (width, height): the average of what each new pixel covers, or bilinear between old ones."""
    if (mask.shape[1], mask.shape[0]) == size:
        return to_unit(mask)
    shrinks = size[0] < mask.shape[1] or size[1] < mask.shape[0]
    resized: Any = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(to_unit(resized), 0, 1).round(5).astype(np.float32)  # averages of 1 fall short of 1
