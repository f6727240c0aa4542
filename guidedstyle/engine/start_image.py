"""The image that the optimisation starts from, and what it gains at each larger size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from guidedstyle.engine.matched_image import draw_noise, make_matched_image
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.recipe.controls import Start
from guidedstyle.scene.original import read_original
from guidedstyle.scene.scene import Scene

CONTENT = Start(content=1.0)


def make_start(scene: Scene, canvas: Canvas) -> Tensor:
    """Make the image (1, 3, h, w) in [0, 1] that the optimisation starts from, at the size of a canvas."""
    pairs = zip(scene.recipe.regions, scene.recipe.controls, strict=True)
    starts = [CONTENT if region.keep else controls.init for region, controls in pairs]
    if all(start == CONTENT for start in starts):
        return canvas.content
    image = canvas.content * canvas.weights[-1]
    make_matched = cache(partial(make_matched_image, scene, canvas))
    for index, start in enumerate(starts):
        image.addcmul_(canvas.weights[index], _blend(start, scene, canvas, index, make_matched=make_matched))
    return image.clamp_(0, 1)


def enlarge(image: Tensor, scene: Scene, canvas: Canvas) -> Tensor:
    """Enlarge an image (1, 3, h, w) to the size of a canvas, if it is smaller, by what `make_start` would hold there.

    The finest band of the matched image, which the smaller image cannot have, is added by the share of `matched` in
    each region's start: not where a region starts from anything else, as noise has no drawing and the band would add
    one, nor where `content_strength` is 0.
    """
    height, width = canvas.content.shape[2:]
    larger, coarse = resize(image, (width, height)), (image.shape[3], image.shape[2])
    shares = _share_matched(canvas)
    if coarse == (width, height) or not any(shares):
        return larger
    matched = make_matched_image(scene, canvas)
    band = matched.sub_(resize(resize(matched, coarse), (width, height)))
    weights = torch.zeros_like(canvas.weights[0])
    for index, share in zip(canvas.painted, shares, strict=True):
        weights.add_(canvas.weights[index], alpha=share)
    return larger.addcmul_(weights, band).clamp_(0, 1)


def _share_matched(canvas: Canvas) -> list[float]:
    """Return the share of `matched` in the start of each painted region that keeps its content."""
    return [one.init.matched / one.init.total if one.content_strength else 0.0 for one in canvas.controls]


def _blend(start: Start, scene: Scene, canvas: Canvas, index: int, *, make_matched: Callable[[], Tensor]) -> Tensor:
    """Blend the images that a region starts from, by their shares."""
    images: dict[str, Callable[[], Tensor]] = {
        "matched": make_matched,
        "content": lambda: canvas.content,
        "noise": lambda: draw_noise(scene.recipe.solver.seed, canvas.content),
        "style": lambda: _tile_style_image(scene, canvas, index),
        "image": lambda: _read_start(start, canvas),
    }
    parts: Iterator[Tensor] = (getattr(start, key) * make() for key, make in images.items() if getattr(start, key))
    return sum(parts, torch.zeros_like(canvas.content)) / start.total


def _read_start(start: Start, canvas: Canvas) -> Tensor:
    assert start.file  # narrows the type: validation requires it
    height, width = canvas.content.shape[2:]
    image = torch.from_numpy(read_original(start.file).show_on_white())
    return resize(image, (width, height)).to(canvas.content.device)


def _tile_style_image(scene: Scene, canvas: Canvas, index: int) -> Tensor:
    """Tile the image with the style of the largest weight in a region, at its scale, mirrored at each border."""
    region = scene.recipe.regions[index]
    name = max(region.style, key=lambda style: region.style[style].weight)
    style_image, (height, width) = scene.style_images[name], canvas.content.shape[2:]
    size = style_image.fit(scene.recipe.scale(name, region.style[name]) * max(height, width))
    image = resize(torch.from_numpy(style_image.image), size).numpy()[0]
    missing = [(0, max(0, needed - there)) for needed, there in zip((height, width), image.shape[1:], strict=True)]
    laid = np.pad(image, [(0, 0), *missing], mode="symmetric")[:, :height, :width]
    return torch.from_numpy(np.ascontiguousarray(laid))[None].to(canvas.content.device)
