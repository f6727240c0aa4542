"""Colour-coded images: every pixel gets the label of the nearest colour that the recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.inputs import list_masks
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.values import name_colour, parse_colour
from guidedstyle.types import RGB, Array, Pixels

FLAT = 20  # levels between neighbours; more is an edge
NARROW, WIDE = 3, 9  # px; mixtures of two named colours must be flat over more, since edges can be soft
LEAST_PIXELS = 9  # flat ones that count as a colour
MOST_UNNAMED, MOST_LISTED = 128, 6  # colours that are found, and that messages list
UNNAMED = 65535  # the label of pixels without a named colour
HIDDEN = 1 << 24  # the code of transparent pixels, beyond that of any colour

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Palette:
    """The colours of a colour-coded file that a recipe names, and how far in RGB a pixel may be from one.

    Pixels of other colours get the nearest named colour, or no label if `leave` is set.
    """

    named: tuple[RGB, ...]
    tolerance: float = 60.0
    leave: bool = False


def find_palettes(recipe: Recipe) -> dict[Path, Palette]:
    """Collect the palette of each colour-coded file from the masks that use it.

    Unnamed colours are left without a label if a region has `mask: rest`, or if only one colour is named.
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


@dataclass(frozen=True)
class UnnamedColour:
    """A colour that the recipe does not name: its pixels, their share of the image, and the nearest named colour.

    `nearest` is None if the pixels were left without a label.
    """

    colour: RGB
    pixels: int
    share: float
    nearest: RGB | None


@dataclass(frozen=True)
class Labels:
    """A colour-coded image (H, W) as indices into its palette's named colours, or `UNNAMED`."""

    file: Path
    palette: Palette
    indices: NDArray[np.uint16]
    unnamed: tuple[UnnamedColour, ...]  # the commonest first
    notes: tuple[str, ...] = ()  # warnings about the file

    @property
    def shape(self) -> tuple[int, ...]:
        """The (height, width) of the image."""
        return self.indices.shape

    def select(self, colour: str) -> Pixels:
        """Return the mask (H, W) of a colour, named as in the recipe: 255 inside, 0 outside.

        Raises GuidedStyleError if no pixel has it.
        """
        chosen = self.indices == self.palette.named.index(parse_colour(colour))
        if not chosen.any():
            found = ", ".join(f"{name} {share:.1%}" for name, share in self._list_shares())
            rule = f"none of its pixels is {name_colour(parse_colour(colour))}"
            raise GuidedStyleError.of(self.file, rule, f"name a colour that it has: {found}")
        selected: Pixels = chosen.view(np.uint8) * np.uint8(255)
        return selected

    def _list_shares(self) -> Iterator[tuple[str, float]]:
        """List the colours of the image with their shares, named ones first."""
        for index, colour in enumerate(self.palette.named):
            added = sum(unnamed.share for unnamed in self.unnamed if unnamed.nearest == colour)
            share = float((self.indices == index).mean()) - added
            if share > 1e-3:
                yield name_colour(colour), share
        yield from ((name_colour(unnamed.colour), unnamed.share) for unnamed in self.unnamed[:MOST_LISTED])

    @property
    def warnings(self) -> Iterator[str]:
        """Describe what of the file is uncertain, and the unnamed colours, one warning each; the rarest in one."""
        yield from self.notes
        for unnamed in self.unnamed[:MOST_LISTED]:
            pixels = f"{unnamed.pixels:,} pixels ({unnamed.share:.1%}) are {name_colour(unnamed.colour)}"
            destination = f"added to {name_colour(unnamed.nearest)}, the nearest" if unnamed.nearest else "in no region"
            remedy = "name it in a mask, or under ignore"
            yield f"{self.file.name}: {pixels}, which no mask names; they are {destination} ({remedy})"
        if more := sum(unnamed.pixels for unnamed in self.unnamed[MOST_LISTED:]):
            yield f"{self.file.name}: {more:,} more pixels are of other colours that no mask names"


def label_pixels(pixels: Pixels, palette: Palette, file: Path) -> Labels:
    """Label pixels (H, W, 4), RGBA, by the nearest colour of a palette; transparent ones have no label.

    A colour farther than the tolerance from every named one counts as unnamed where it is painted flat; elsewhere
    it is an edge between two colours. `file` is named in messages.
    """
    keys = (pixels.view("<u4")[..., 0] & (HIDDEN - 1)).astype(np.int64)
    hidden = pixels[..., 3] < 128
    keys[hidden] = HIDDEN
    counts = np.bincount(keys.ravel(), minlength=HIDDEN + 1)[:HIDDEN]
    codes = np.flatnonzero(counts)
    colours = np.stack([codes & 255, (codes >> 8) & 255, codes >> 16], 1).astype(np.float32)
    named = np.array(palette.named, np.float32)
    nearest, distances = find_nearest(colours, named)
    painted = _count_paint(pixels, keys, codes, distances > palette.tolerance, NARROW)
    mixed = painted > 0
    mixed[mixed] = _measure_to_mixtures(colours[mixed], named) <= palette.tolerance
    painted[mixed] = _count_paint(pixels, keys, codes, mixed, WIDE)[mixed]
    centres = _cluster(colours, painted, palette.tolerance)
    either, _ = find_nearest(colours, np.concatenate([named, centres]))
    unnamed = _list_unnamed(centres, counts[codes], either - len(named), palette)
    if palette.leave:
        nearest = np.where(either < len(named), nearest, UNNAMED)
    indices = _make_table(codes, nearest)[keys]
    indices[hidden] = UNNAMED
    return Labels(file, palette, indices, unnamed)


def _list_unnamed(centres: Array, counts: Ints, members: Ints, palette: Palette) -> tuple[UnnamedColour, ...]:
    """List the unnamed colours (M, 3), the commonest first, by the pixels (N,) of each colour that `members` gives one.

    `members` (N,) are indices of `centres`, negative for named colours.
    """
    nearest, _ = find_nearest(centres, np.array(palette.named, np.float32))
    found = (
        UnnamedColour(to_rgb(centre), pixels, pixels / counts.sum(), None if palette.leave else palette.named[named])
        for index, (centre, named) in enumerate(zip(centres, nearest, strict=True))
        if (pixels := int(counts[members == index].sum()))
    )
    return tuple(sorted(found, key=lambda unnamed: -unnamed.pixels))


def find_nearest(colours: Array, centres: Array) -> tuple[Ints, Array]:
    """Find the nearest of (M, 3) centres for each of (N, 3) colours, in RGB: its index (N,) and distance (N,)."""
    nearest, least = np.zeros(len(colours), np.int64), np.full(len(colours), np.inf, np.float32)
    for index, centre in enumerate(centres):
        squares = np.square(colours - centre).sum(1)
        closer = squares < least
        nearest[closer], least[closer] = index, squares[closer]
    return nearest, np.sqrt(least)


def _make_table(codes: Ints, values: Any) -> NDArray[np.uint16]:
    table = np.zeros(HIDDEN + 1, np.uint16)
    table[codes] = values
    return table


def _count_paint(pixels: Pixels, keys: Any, codes: Ints, among: Any, width: int) -> Ints:
    """Count the pixels of each code (N,) that are flat over `width` px; 0 for codes not `among` those asked for."""
    if not among.any():
        return np.zeros(len(codes), np.int64)
    paint = _find_flat(pixels, width) & (_make_table(codes, among)[keys] > 0)
    return np.bincount(keys[paint], minlength=HIDDEN)[codes]


def _find_flat(pixels: Pixels, width: int) -> NDArray[np.bool_]:
    """Find pixels (H, W) whose neighbours within `width` px look alike: paint, not the edge between two colours."""
    around = np.ones((width, width), np.uint8)
    spread = cv2.morphologyEx(pixels, cv2.MORPH_GRADIENT, around)
    flat: NDArray[np.bool_] = cv2.inRange(spread, (0, 0, 0, 0), (FLAT, FLAT, FLAT, 255)) > 0
    return flat


def _measure_to_mixtures(colours: Array, named: Array) -> Array:
    """Measure the distance (N,) of colours (N, 3) to the nearest line between two of the named ones (M, 3)."""
    least = np.full(len(colours), np.inf, np.float32)
    for index, start in enumerate(named):
        for end in named[index + 1 :]:
            line = end - start
            along = np.clip((colours - start) @ line / max(float(line @ line), 1.0), 0, 1)
            np.minimum(least, np.square(colours - start - along[:, None] * line).sum(1), out=least)
    return np.sqrt(least)


def _cluster(colours: Array, counts: Ints, tolerance: float) -> Array:
    """Cluster colours (N, 3) of flat paint into the colours (M, 3) it was painted in, the commonest first."""
    bins = (colours.astype(np.int64) // 8) @ (1024, 32, 1)
    left = np.bincount(bins, counts, 1 << 15)
    corners = np.stack([np.arange(1 << 15) >> 10, (np.arange(1 << 15) >> 5) & 31, np.arange(1 << 15) & 31], 1) * 8
    found: list[Array] = []
    while left.any() and len(found) < MOST_UNNAMED:
        commonest = left.argmax()
        members = np.square(corners - corners[commonest]).sum(1) <= max(tolerance, FLAT) ** 2
        if left[members].sum() >= LEAST_PIXELS:
            within = np.flatnonzero(bins == commonest)
            found.append(colours[within[counts[within].argmax()]])
        left[members] = 0
    return np.array(found, np.float32).reshape(-1, 3)


def to_rgb(colour: Sequence[Any] | NDArray[Any]) -> RGB:
    """Turn three numbers into a colour."""
    red, green, blue = map(int, colour)
    return red, green, blue
