"""Colour-coded images: every pixel goes to the nearest colour that the recipe names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.masks.files import read_colours, to_rgb
from guidedstyle.recipe.values import name_colour
from guidedstyle.types import RGB, Array, Pixels

FLAT = 20  # levels between neighbours; more is an edge
NARROW, WIDE = 3, 9  # px; mixtures of two named colours must be flat over more, for edges can be soft
LEAST_PIXELS = 9  # flat ones that make a colour
MOST_STRANGERS, MOST_TOLD = 128, 6
NOBODY = 65535
HIDDEN = 1 << 24  # beyond the code of any colour

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Palette:
    """What a recipe says of a colour-coded file: all the colours that it names, and how far a pixel may be from one.

    With `leave`, a colour that nobody named belongs to nobody; else its pixels go to the nearest named colour.
    """

    named: tuple[RGB, ...]
    tolerance: float = 60.0
    leave: bool = False


@dataclass(frozen=True)
class UnnamedColour:
    """A colour that nobody named: how many pixels it has and what share, and the named colour that took them."""

    colour: RGB
    pixels: int
    share: float
    taker: RGB | None


@dataclass(frozen=True)
class Labels:
    """A colour-coded image (H, W) as indices into its palette's named colours, `NOBODY` where it is nobody's."""

    file: Path
    palette: Palette
    indices: NDArray[np.uint16]
    strangers: tuple[UnnamedColour, ...]

    def select(self, colour: RGB) -> Pixels:
        """Select the pixels (H, W) of a named colour as 255, others as 0; raises GuidedStyleError where none is."""
        chosen = self.indices == self.palette.named.index(colour)
        if not chosen.any():
            found = ", ".join(f"{name} {share:.1%}" for name, share in self._shares())
            rule = f"none of its pixels is {name_colour(colour)}"
            raise GuidedStyleError.of(self.file, rule, f"name a colour that it has: {found}")
        selected: Pixels = chosen.view(np.uint8) * np.uint8(255)
        return selected

    def _shares(self) -> Iterator[tuple[str, float]]:
        """List its colours with their shares, the strangers by themselves."""
        for index, colour in enumerate(self.palette.named):
            taken = sum(stranger.share for stranger in self.strangers if stranger.taker == colour)
            share = float((self.indices == index).mean()) - taken
            if share > 1e-3:
                yield name_colour(colour), share
        yield from ((name_colour(stranger.colour), stranger.share) for stranger in self.strangers[:MOST_TOLD])

    @property
    def notes(self) -> Iterator[str]:
        """Tell of the colours that nobody named."""
        for stranger in self.strangers[:MOST_TOLD]:
            whither = f"went to {name_colour(stranger.taker)}, the nearest" if stranger.taker else "belong to no region"
            what = f"{stranger.pixels:,} pixels ({stranger.share:.1%}) are {name_colour(stranger.colour)}"
            remedy = "name it in a mask, or under ignore"
            yield f"{self.file.name}: {what}, which no mask names; they {whither} ({remedy})"
        if more := sum(stranger.pixels for stranger in self.strangers[MOST_TOLD:]):
            yield f"{self.file.name}: {more:,} more pixels are of other colours that no mask names"


def read_labels(file: Path, palette: Palette) -> Labels:
    """Read a colour-coded image by a palette; transparent pixels are nobody's."""
    pixels = read_colours(file)
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
    takers, _ = find_nearest(centres, named)
    strangers = tuple(
        UnnamedColour(to_rgb(centre), found, found / counts.sum(), None if palette.leave else palette.named[taker])
        for index, (centre, taker) in enumerate(zip(centres, takers, strict=True), len(named))
        if (found := int(counts[codes][either == index].sum()))
    )
    if palette.leave:
        nearest = np.where(either < len(named), nearest, NOBODY)
    indices = _make_table(codes, nearest)[keys]
    indices[hidden] = NOBODY
    return Labels(file, palette, indices, tuple(sorted(strangers, key=lambda stranger: -stranger.pixels)))


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
    """Count the pixels of each of the codes (N,), `among` those asked for, that are flat over `width` px."""
    if not among.any():
        return np.zeros(len(codes), np.int64)
    paint = _find_flat(pixels, width) & (_make_table(codes, among)[keys] > 0)
    return np.bincount(keys[paint], minlength=HIDDEN)[codes]


def _find_flat(pixels: Pixels, width: int) -> NDArray[np.bool_]:
    """Find pixels (H, W) with none unlike them within `width` px: they are paint, not the edge between two colours."""
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
    """Gather colours (N, 3) of flat paint to those (M, 3) that it was painted in, the commonest first."""
    bins = (colours.astype(np.int64) // 8) @ (1024, 32, 1)
    left = np.bincount(bins, counts, 1 << 15)
    corners = np.stack([np.arange(1 << 15) >> 10, (np.arange(1 << 15) >> 5) & 31, np.arange(1 << 15) & 31], 1) * 8
    found: list[Array] = []
    while left.any() and len(found) < MOST_STRANGERS:
        commonest = left.argmax()
        members = np.square(corners - corners[commonest]).sum(1) <= max(tolerance, FLAT) ** 2
        if left[members].sum() >= LEAST_PIXELS:
            within = np.flatnonzero(bins == commonest)
            found.append(colours[within[counts[within].argmax()]])
        left[members] = 0
    return np.array(found, np.float32).reshape(-1, 3)
