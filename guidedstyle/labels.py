"""Colour-coded pictures: every pixel goes to the nearest colour that the recipe names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.images import Array
from guidedstyle.keys import RGB, name_colour
from guidedstyle.mask_files import Pixels, read_colours

LEAST_SHARE = 0.001  # of the picture; a smaller unnamed colour is an edge or a speck
MOST_STRANGERS = 6
NOBODY = 255

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Palette:
    """What a recipe says of a colour-coded file: the colours of regions, those to ignore, how far a pixel may be.

    With `leave`, a colour that nobody named belongs to nobody; else its pixels go to the nearest named colour.
    """

    colours: tuple[RGB, ...]
    ignored: tuple[RGB, ...] = ()
    tolerance: float = 60.0
    leave: bool = False

    @property
    def named(self) -> tuple[RGB, ...]:
        """All the colours that the recipe names."""
        return (*self.colours, *self.ignored)


@dataclass(frozen=True)
class Stranger:
    """A colour that nobody named: how many pixels it has and what share, and the named colour that took them."""

    colour: RGB
    pixels: int
    share: float
    taker: RGB | None


@dataclass(frozen=True)
class Labels:
    """A colour-coded picture (H, W) as indices into its palette's named colours, `NOBODY` where it is nobody's."""

    file: Path
    palette: Palette
    indices: NDArray[np.uint8]
    strangers: tuple[Stranger, ...]

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
        taken = {stranger.taker: stranger.share for stranger in self.strangers}
        for index, colour in enumerate(self.palette.named):
            share = float((self.indices == index).mean()) - taken.get(colour, 0)
            if share > LEAST_SHARE:
                yield name_colour(colour), share
        yield from ((name_colour(stranger.colour), stranger.share) for stranger in self.strangers)

    @property
    def notes(self) -> Iterator[str]:
        """Tell of the colours that nobody named."""
        for stranger in self.strangers:
            whither = f"went to {name_colour(stranger.taker)}, the nearest" if stranger.taker else "belong to no region"
            what = f"{stranger.pixels:,} pixels ({stranger.share:.1%}) are {name_colour(stranger.colour)}"
            remedy = "name it in a mask, or under ignore"
            yield f"{self.file.name}: {what}, which no mask names; they {whither} ({remedy})"


def read_labels(file: Path, palette: Palette) -> Labels:
    """Read a colour-coded picture by a palette; transparent pixels are nobody's."""
    pixels, alpha = read_colours(file)
    keys = (pixels[..., 0].astype(np.int32) << 16) | (pixels[..., 1].astype(np.int32) << 8) | pixels[..., 2]
    counts = np.bincount(keys.ravel(), minlength=1 << 24)
    codes = np.flatnonzero(counts)
    colours = np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], 1)
    strangers = _find_strangers(colours, counts[codes], palette)
    centres = np.array(palette.named + tuple(s.colour for s in strangers if palette.leave), np.int64)
    nearest = measure_distances(colours, centres).argmin(1)
    nearest[nearest >= len(palette.named)] = NOBODY
    table = np.zeros(1 << 24, np.uint8)
    table[codes] = nearest
    indices = table[keys]
    if alpha is not None:
        indices[alpha < 128] = NOBODY
    return Labels(file, palette, indices, strangers)


def measure_distances(colours: Ints, centres: Ints) -> Ints:
    """Measure squared Euclidean distances in RGB between (N, 3) and (M, 3): (N, M)."""
    return np.stack([np.square(colours - centre).sum(1) for centre in centres], 1)


def _find_strangers(colours: Ints, counts: Ints, palette: Palette) -> tuple[Stranger, ...]:
    """Find the colours beyond the tolerance of all named ones and of their mixtures, which edges are made of."""
    named, total = np.array(palette.named, np.int64), counts.sum()
    left = np.where(_measure_to_mixtures(colours, named) > palette.tolerance, counts, 0)
    found: list[Stranger] = []
    while left.any() and len(found) < MOST_STRANGERS:
        colour = colours[left.argmax()]
        near = measure_distances(colours, colour[None])[:, 0] <= palette.tolerance**2
        pixels = int(left[near].sum())
        left[near] = 0
        if pixels >= LEAST_SHARE * total:
            taker = None if palette.leave else palette.named[measure_distances(colour[None], named).argmin()]
            found.append(Stranger(_rgb(colour), pixels, pixels / total, taker))
        elif left.sum() < LEAST_SHARE * total:
            break
    return tuple(found)


def _measure_to_mixtures(colours: Ints, named: Ints) -> Array:
    """Measure the distance (N,) of colours (N, 3) to the nearest line between two of the named ones (M, 3)."""
    points = colours.astype(np.float32)
    distances = [np.linalg.norm(points - colour, axis=1) for colour in named.astype(np.float32)]
    for index, start in enumerate(named.astype(np.float32)):
        for end in named[index + 1 :].astype(np.float32):
            line = end - start
            along = np.clip((points - start) @ line / max(float(line @ line), 1.0), 0, 1)
            distances.append(np.linalg.norm(points - start - along[:, None] * line, axis=1))
    nearest: Array = np.min(distances, axis=0)
    return nearest


def _rgb(colour: Ints) -> RGB:
    red, green, blue = map(int, colour)
    return red, green, blue
