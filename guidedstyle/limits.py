"""What a machine may be asked for. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from guidedstyle.errors import GuidedStyleError

Words = Literal["auto", "off"]
WORDS: dict[str, Words] = {"auto": "auto", "off": "off"}
LEAST_TILE, MOST_TILE = 64, 8192  # px


@dataclass(frozen=True)
class Limits:
    """Tiles of so many px, `off`, or `auto` where memory does not suffice; bytes of memory, or all that are free."""

    tile: int | Words = "auto"
    memory: int | None = None


def read_limits(tile: str, memory: float | None) -> Limits:
    """Read --tile and --max-memory (GiB); raises GuidedStyleError where they are no limits."""
    if memory is not None and not (isfinite(memory) and memory > 0):
        raise GuidedStyleError.of("--max-memory", f"{memory:g} is no size of memory", "name GiB: --max-memory 4")
    return Limits(_read_tile(tile), None if memory is None else round(memory * 2**30))


def _read_tile(tile: str) -> int | Words:
    if tile in WORDS:
        return WORDS[tile]
    if tile.isascii() and tile.isdigit() and LEAST_TILE <= int(tile) <= MOST_TILE:
        return int(tile)
    rule = f"{tile!r} is neither auto, off, nor a number from {LEAST_TILE} to {MOST_TILE}"
    raise GuidedStyleError.of("--tile", rule, "leave it out, or choose a number of px: --tile 512")
