"""The sizes of a coarse-to-fine render and their octaves. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from guidedstyle.io.images import fit_size
from guidedstyle.types import Size

SMALLEST_START = 128  # longest side of the coarsest size, px
SMALLEST_OCTAVE = 16  # shortest side, px
STEP_RATIO = 2  # a size gets this many times the steps of the next larger


@dataclass(frozen=True)
class Stage:
    """One size of a coarse-to-fine render, `halvings` below the finished one."""

    size: Size
    steps: int
    octaves: int
    halvings: int


def plan_stages(size: Size, steps: int, octaves: int, most: int | None = None) -> tuple[Stage, ...]:
    """Halve the size as long as it pays, or to `most` sizes; give every size half the steps of the one before it."""
    sizes = [size]
    while _pays(sizes[0]) and steps > len(sizes) and (most is None or len(sizes) < most):
        sizes.insert(0, fit_size(size, round(max(sizes[0]) / 2)))
    parts = [STEP_RATIO**-index for index in range(len(sizes))]
    counts = [max(1, round(steps * part / sum(parts))) for part in parts]
    counts[0] += steps - sum(counts)
    return tuple(
        Stage(size, count, count_octaves(size, octaves), len(sizes) - index)
        for index, (size, count) in enumerate(zip(sizes, counts, strict=True), 1)
    )


def _pays(size: Size) -> bool:
    return max(size) >= 2 * SMALLEST_START and min(size) >= 2 * SMALLEST_OCTAVE


def count_octaves(size: Size, most: int) -> int:
    """Count the octaves, up to `most`, of a picture whose shortest side stays long enough to have features."""
    return max(1, min(most, (min(size) // SMALLEST_OCTAVE).bit_length()))
