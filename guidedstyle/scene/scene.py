"""The inputs of a render: images, region weights, mixes and scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guidedstyle.io.images import fit_size
from guidedstyle.losses.pyramid import SMALLEST_OCTAVE, count_octaves
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.styles import StyleImage
from guidedstyle.types import Array, Size

SMALLEST_START = 128  # longest side of the coarsest size, px
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


CHECK_SIZE = 1024

FAINT = 5e-4  # of the image
NOTHING = 1e-3  # of a pixel; less is what rounding leaves


@dataclass(frozen=True)
class Scene:
    """The inputs of a render at its final size.

    `content` is grey where there is only a canvas. `weights` (R + 1, H, W) sum to 1 at every pixel; the last is what
    belongs to no region and stays as it is. `mixes` are each region's shares of its styles, (S,) or (S, H, W).
    `shares` are those that the masks give to the regions and last to none, `overlaps` how much of the image
    each covers over or under another, `unmatched` the pixels of colours that no mask names, `remarks` what else was
    met when the masks were read.
    """

    recipe: Recipe
    content: Array
    style_images: dict[str, StyleImage]
    weights: Array
    mixes: tuple[Array, ...]
    full_size: Size
    shares: tuple[float, ...]
    overlaps: tuple[float, ...] = ()
    unmatched: int = 0
    mask_warnings: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """The (width, height) of the image to paint, whatever size the scene was opened at."""
        return fit_size(self.full_size, self.recipe.size)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The sizes of the render, from coarse to fine."""
        solver, most = self.recipe.solver, max(len(controls.octaves) for controls in self.recipe.controls)
        return plan_stages(self.size, solver.most_steps, most, solver.sizes)

    @property
    def warnings(self) -> Iterator[str]:
        """Warnings about masks, uncovered pixels and style images that are enlarged."""
        yield from self.mask_warnings
        if self.shares[-1] > FAINT:
            yield f"{self.shares[-1]:.1%} of the image belongs to no region and stays as it is (mask: rest takes it)"
        for name, style_image in self.style_images.items():
            wanted = self.recipe.largest_scale(name) * style_image.extent * max(self.size)
            if wanted > 2 * max(style_image.size):
                yield f"style {name} is enlarged {wanted / max(style_image.size):.1f} times and will look soft"
