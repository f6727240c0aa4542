"""Read a mask: its source, fitted to its image, then invert, threshold, grow, shrink and feather, in this order."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from guidedstyle.io.images.samples import Frame
from guidedstyle.io.layered.coverage import LayerReading
from guidedstyle.masks.files import MaskReading, MaskStore, read_source
from guidedstyle.masks.geometry import (
    COMBINATIONS,
    check_shape,
    check_stored_shape,
    feather,
    fill_ellipse,
    fill_gradient,
    fill_polygon,
    fill_rectangle,
    grow,
    resize_mask,
    same_shape,
    shrink,
    soften_edge,
    to_unit,
    turn_upright,
)
from guidedstyle.masks.labels import Labels, Palette
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.values import measure_length
from guidedstyle.types import Array, Size

SKIPPED = "it counts as nothing, and a region of it alone is skipped (paint it in any colour, and save)"


class MaskReader:
    """Reads the masks of one recipe; `store` keeps decoded files for other recipes and sizes."""

    def __init__(self, palettes: dict[Path, Palette], store: MaskStore | None = None) -> None:
        self.palettes, self.store = palettes, store or MaskStore()
        self.labels: dict[Path, Labels] = {}
        self.notes = dict[str, None]()  # warnings about files, in order, once each
        self.rotations: dict[Path, str] = {}  # warnings
        self.layers: dict[tuple[Path, str], LayerReading] = {}  # by file and name

    def read(self, mask: Mask, frame: Frame | None, size: Size) -> Array:
        """Read the opacities (H, W) in [0, 1], at `size`, of a mask painted over the image of `frame`, if it is known.

        Raises GuidedStyleError if its file cannot be read, or does not have the shape of the image up to rounding.
        """
        longest = max(frame.size if frame else size)
        lengths = (mask.grow, mask.shrink, mask.feather)
        widening, narrowing, softening = (measure_length(one, longest) * max(size) / longest for one in lengths)
        opacity = self._read_source(mask, frame, size)
        if mask.invert:
            opacity = 1 - opacity
        if mask.threshold is not None:
            opacity = (opacity >= mask.threshold).astype(np.float32)
        return feather(shrink(grow(opacity, widening), narrowing), softening)

    def _read_source(self, mask: Mask, frame: Frame | None, size: Size) -> Array:
        if mask.file:
            return self._read_file(mask.file, mask, frame, size)
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

    def _read_file(self, file: Path, mask: Mask, frame: Frame | None, size: Size) -> Array:
        check = partial(check_stored_shape, frame=frame, file=file)
        reading = read_source(file, mask, palette=self.palettes.get(file), store=self.store, check=check)
        if isinstance(reading, LayerReading):
            self.layers[file, mask.layer or ""] = reading
        if isinstance(reading, MaskReading):
            self.notes |= dict.fromkeys(reading.warnings)
        pixels = reading if isinstance(reading, Labels) else reading.alpha
        shape = (pixels.shape[1], pixels.shape[0])
        check_shape(shape, frame, file)
        if frame and frame.orientation > 1 and same_shape(shape, frame.stored):
            used = "used as it is" if same_shape(shape, frame.size) else "rotated with it"
            self.rotations[file] = f"the image of {file.name} has an EXIF rotation; the mask was {used}"
        if not isinstance(pixels, Labels):
            return resize_mask(turn_upright(pixels, frame), size)
        self.labels[file] = pixels
        chosen = to_unit(turn_upright(pixels.select(mask.colour or ""), frame))
        return soften_edge(resize_mask(chosen, size))  # the file's own soft edge went to one side or the other

    @property
    def unnamed_pixels(self) -> int:
        """The number of pixels of unnamed colours in the files read so far."""
        return sum(unnamed.pixels for labels in self.labels.values() for unnamed in labels.unnamed)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the masks read so far: files, unnamed colours, EXIF rotations, hidden or empty layers."""
        colours = (warning for labels in self.labels.values() for warning in labels.warnings)
        layers = (warning for layer in self.layers.values() for warning in layer.warnings)
        empty = (f"{file.name}: layer {name!r} is empty: {SKIPPED}" for file, name in self.empty_layers)
        return (*self.notes, *colours, *self.rotations.values(), *dict.fromkeys(layers), *empty)

    @property
    def empty_layers(self) -> list[tuple[Path, str]]:
        """The file and name of each layer read so far that is empty."""
        return [key for key, layer in self.layers.items() if layer.empty]
