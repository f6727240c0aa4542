"""The inputs of a render: content, style images, region weights, mixes and stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from guidedstyle.io.images.reading import SMALLEST_SIDE, fit_size
from guidedstyle.losses.propagation import SMALLEST_OCTAVE, count_octaves
from guidedstyle.networks.card import Card
from guidedstyle.recipe.model import Recipe, StyleChoice
from guidedstyle.scene.network import describe_departures
from guidedstyle.scene.original import Original
from guidedstyle.types import Array, Size

CHECK_SIZE = 1024  # px, longest side of a scene that is opened to check it
SMALLEST_START = 128  # px, longest side of the coarsest stage
STEP_RATIO = 2  # of the steps of a stage to those of the next larger one
NEGLIGIBLE_SHARE = 5e-4  # of the image
NEGLIGIBLE = 1e-3  # weight of a pixel; less is rounding


@dataclass(frozen=True)
class Stage:
    """One size of a coarse-to-fine render, `halvings` below the final one."""

    size: Size
    steps: int
    octaves: int
    halvings: int


def plan_stages(size: Size, steps: int, octaves: int, most: int | None = None) -> tuple[Stage, ...]:
    """Plan the stages, from coarse to fine: each has half the size and twice the steps of the next.

    There are as many as have a useful size and a step, at most `most`; each has up to `octaves` octaves.
    """
    sizes = [size]
    while _can_halve(sizes[0]) and steps > len(sizes) and (most is None or len(sizes) < most):
        sizes.insert(0, fit_size(size, round(max(sizes[0]) / 2)))
    parts = [STEP_RATIO**-index for index in range(len(sizes))]
    counts = [max(1, round(steps * part / sum(parts))) for part in parts]
    counts[0] += steps - sum(counts)
    return tuple(
        Stage(size, count, count_octaves(size, octaves), len(sizes) - index)
        for index, (size, count) in enumerate(zip(sizes, counts, strict=True), 1)
    )


def _can_halve(size: Size) -> bool:
    return max(size) >= 2 * SMALLEST_START and min(size) >= 2 * SMALLEST_OCTAVE


@dataclass(frozen=True)
class Scene:
    """The inputs of a render, opened at the final size or smaller.

    `content` (1, 3, H, W) is grey if the recipe has only a canvas. `weights` (R + 1, H, W) sum to 1 at every pixel;
    the last is uncovered: it stays unchanged. `mixes` are each region's shares of its styles, (S,) or (S, H, W).
    `full_size` is the (width, height) of the content image's file. `shares` (R + 1) of the image are those of
    `weights` at the resolution of the masks; `overlaps` (R) are the shares where a region is over or under another.
    `original` has the content image's own pixels, from which `content` was made; None: `content` was made otherwise.
    """

    recipe: Recipe
    content: Array
    style_images: dict[str, StyleImage]
    weights: Array
    mixes: tuple[Array, ...]
    full_size: Size
    shares: tuple[float, ...]
    overlaps: tuple[float, ...] = ()
    unnamed_pixels: int = 0  # of colours that no mask names
    original: Original | None = None
    card: Card | None = None  # of the recipe's network
    opening_warnings: tuple[str, ...] = ()  # about the recipe and its masks

    @property
    def size(self) -> Size:
        """The (width, height) of the output, which does not depend on the size at which the scene was opened."""
        return fit_size(self.full_size, self.recipe.size)

    @cached_property
    def painted(self) -> tuple[int, ...]:
        """The indices of the regions that are painted: not kept, and not skipped because their layers are empty."""
        regions = enumerate(self.recipe.regions)
        return tuple(index for index, region in regions if not region.keep and self.weights[index].any())

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the render, from coarse to fine."""
        recipe, most = self.recipe, max(len(controls.octaves) for controls in self.recipe.controls)
        return plan_stages(self.size, recipe.most_steps, most, recipe.most_sizes)

    @property
    def warnings(self) -> Iterator[str]:
        """Warnings about the recipe, masks, uncovered pixels and style images that are enlarged."""
        yield from self.opening_warnings
        if self.shares[-1] > NEGLIGIBLE_SHARE:
            yield f"{self.shares[-1]:.1%} of the image is in no region and stays unchanged (mask: rest covers it)"
        pairs = zip(self.recipe.regions, self.recipe.controls, strict=True)
        if not any(controls.opacity for region, controls in pairs if not region.keep):
            yield "opacity is 0 in every region: the result will be the content image"
        if self.card:
            yield from describe_departures(self.recipe, self.card, self.size)
        for name, style_image in self.style_images.items():
            longest = self.recipe.largest_scale(name) * style_image.extent * max(self.size)
            if longest > 2 * max(style_image.size):
                yield f"style {name} is enlarged {longest / max(style_image.size):.1f} times and will look blurred"


@dataclass(frozen=True)
class StyleImage:
    """A style image (1, 3, h, w) in [0, 1], and the opacities (h, w) of the part that is used.

    `size` (width, height) is that of the file after rotation; `extent` is the factor by which rotation made its longest
    side longer. A style made of two holds the coarse image here, and the other, whose texture it gets, in `fine`.
    """

    image: Array
    mask: Array
    size: Size
    extent: float = 1.0
    fine: StyleImage | None = None

    def fit(self, longest: float) -> Size:
        """Return the (width, height) at which the longest side is `longest` px, measured before the rotation."""
        height, width = self.mask.shape
        scale = longest * self.extent / max(height, width)
        return max(SMALLEST_SIDE, round(width * scale)), max(SMALLEST_SIDE, round(height * scale))


def turn_style_image(style_image: StyleImage, style: StyleChoice) -> StyleImage:
    """Mirror a style image, then rotate it anticlockwise; corners that the rotation leaves empty are not used."""
    image, mask = style_image.image[0].transpose(1, 2, 0), style_image.mask
    for direction, axis in (("horizontal", 1), ("vertical", 0)):
        if style.flip in (direction, "both"):
            image, mask = np.flip(image, axis), np.flip(mask, axis)
    if style.rotate % 90 == 0:
        turns = round(style.rotate / 90)
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    else:
        image, mask = _rotate(image, mask, style.rotate)
    scale = max(style_image.size) / max(style_image.mask.shape)
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    extent = max(mask.shape) / max(style_image.mask.shape)
    return StyleImage(np.ascontiguousarray(image.transpose(2, 0, 1)[None]), np.ascontiguousarray(mask), size, extent)


def _rotate(image: Array, mask: Array, degrees: float) -> tuple[Array, Array]:
    """Rotate onto a larger canvas, the image reflected beyond its edges so that no frame appears in its features."""
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    canvas = (round(width * cosine + height * sine), round(width * sine + height * cosine))
    matrix[:, 2] += (canvas[0] - width) / 2, (canvas[1] - height) / 2
    image = np.ascontiguousarray(image)
    rotated = cv2.warpAffine(image, matrix, canvas, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    used = cv2.warpAffine(np.ascontiguousarray(mask), matrix, canvas, flags=cv2.INTER_LINEAR, borderValue=0)
    return np.clip(rotated, 0, 1).astype(np.float32), used.astype(np.float32)
