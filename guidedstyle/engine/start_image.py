"""The image that the optimisation starts from, and what it gains at each larger size.

With a network it is what the network paints, which need not be optimised any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from guidedstyle.device.transfer import send
from guidedstyle.engine.matched_image import draw_noise, make_matched_image
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.engine.objective.colour import take_swatch
from guidedstyle.engine.objective.targets import recolour, recolours
from guidedstyle.engine.plan import RUNTIME, Plan
from guidedstyle.networks.files import load_network
from guidedstyle.networks.painting import paint
from guidedstyle.recipe.controls import Start
from guidedstyle.scene.original import read_original
from guidedstyle.scene.scene import NEGLIGIBLE, Scene

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


def paint_start(scene: Scene, canvas: Canvas, plan: Plan) -> tuple[Tensor, list[str]]:
    """Paint the content image (1, 3, h, w) of a canvas with the network of a scene, in one pass; with warnings.

    Of a region's controls, those of colour count, and `strength`, up to 1, which blends the paint with the content.
    """
    assert scene.recipe.network  # narrows the type
    if not (parts := canvas.parts):
        return canvas.content, []
    network, _ = load_network(scene.recipe.network)
    network = network.to(plan.device).compute_in(plan.precision)
    weights = send(torch.from_numpy(np.stack([part.weights for part in parts])), plan.device)
    mixes = torch.tensor([_order_mix(network.styles, canvas.regions[part.region].style, part.mix) for part in parts])
    content = canvas.content.contiguous(memory_format=torch.channels_last)
    painted = paint(network, content, weights, mixes.to(plan.device), limit=plan.limit - RUNTIME)
    coloured = _recolour(painted.image, canvas)
    strengths = torch.tensor([min(1.0, canvas.controls[part.region].strength) for part in parts])
    share = torch.tensordot(strengths.to(weights), weights, 1)
    opacity = torch.where(canvas.paint[0, 0] > NEGLIGIBLE, share / canvas.paint[0, 0].clamp(min=NEGLIGIBLE), 1.0)
    return torch.lerp(canvas.content, coloured, opacity.clamp(max=1)), painted.warnings


def _order_mix(styles: Sequence[str], names: Iterable[str], shares: Iterable[float]) -> list[float]:
    """Order the shares of a region's styles as a network orders its own."""
    mix = dict(zip(names, shares, strict=True))
    return [mix.get(style, 0.0) for style in styles]


def _recolour(painted: Tensor, canvas: Canvas) -> Tensor:
    """Recolour what a network has painted in each region as the region's style images would be recoloured."""
    found, pixels = painted.clone(), painted.cpu().numpy()
    for region in canvas.regions:
        if recolours(region.controls):
            weights = canvas.region_weights[region.index]
            changed = recolour(pixels, weights, region.controls, take_swatch(canvas.pixels, weights))
            found += canvas.weights[region.index] * (send(torch.from_numpy(changed), painted.device) - painted)
    return found.clamp_(0, 1)
