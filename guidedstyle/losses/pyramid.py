"""Octaves of an image: each is half as large as the one before (Snelgrove 2017)."""

from __future__ import annotations

from guidedstyle.types import Shape, Size

OctaveLayer = tuple[int, str]  # an octave, from 0, and a layer's name

SMALLEST_OCTAVE = 16  # px of the shortest side


def halve_shape(shape: Shape, times: int = 1) -> Shape:
    """Return the (height, width) of an image after so many halvings: halves are rounded down, to at least 1."""
    return max(1, shape[0] >> times), max(1, shape[1] >> times)


def count_octaves(size: Size, most: int) -> int:
    """Count the octaves, up to `most`, whose shortest side is at least SMALLEST_OCTAVE; always at least one."""
    return max(1, min(most, (min(size) // SMALLEST_OCTAVE).bit_length()))
