"""The sizes of a coarse-to-fine render and their octaves. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from guidedstyle.images import Size, fit_size

OCTAVES = 3
SMALLEST_START = 128  # longest side of the coarsest size, px
SMALLEST_OCTAVE = 16  # shortest side, px
STEP_RATIO = 2  # a size gets this many times the steps of the next larger


@dataclass(frozen=True)
class Stage:
    """One size of a coarse-to-fine render."""

    size: Size
    steps: int
    octaves: int


def plan_stages(size: Size, steps: int) -> tuple[Stage, ...]:
    """Halve the size as long as it pays; give every size half the steps of the one before it."""
    sizes = [size]
    while max(sizes[0]) >= 2 * SMALLEST_START and min(sizes[0]) >= 2 * SMALLEST_OCTAVE and steps > len(sizes):
        sizes.insert(0, fit_size(size, round(max(sizes[0]) / 2)))
    parts = [STEP_RATIO**-index for index in range(len(sizes))]
    counts = [max(1, round(steps * part / sum(parts))) for part in parts]
    counts[0] += steps - sum(counts)
    return tuple(Stage(size, count, count_octaves(size)) for size, count in zip(sizes, counts, strict=True))


def count_octaves(size: Size) -> int:
    """Count the octaves of a picture whose shortest side stays long enough to have features."""
    return max(1, min(OCTAVES, (min(size) // SMALLEST_OCTAVE).bit_length()))
