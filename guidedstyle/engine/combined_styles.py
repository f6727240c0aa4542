"""Synthesise style images from two: the fine texture of one and the coarse forms of another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import load_or_make_image
from guidedstyle.engine.objective.canvas import resize, resize_layers
from guidedstyle.io.images.reading import to_array
from guidedstyle.recipe.controls import Start
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import Recipe, Region, SolverChoice, StyleChoice, StyleUse
from guidedstyle.scene.scene import Scene, StyleImage
from guidedstyle.types import Array

Paint = Callable[[Scene], tuple[Array, bool]]  # the image, and whether it was finished

FINE_OCTAVES, COARSE_OCTAVES = (1.0,), (0.0, 1.0, 1.0)
STEPS = 100
SHORTEST = 64  # px, for three octaves


def make_style_images(scene: Scene, encoder: Encoder, paint: Paint) -> dict[str, StyleImage]:
    """Return the style images of a scene, those that are made of two synthesised with `paint` or taken from the cache.

    Departs from Gatys et al. 2017, sec. 6.1, who start from the coarse style image and match shallow layers of the fine
    one alone, so that its colours spread into the large forms. Here the coarse octaves match the statistics of the
    coarse style image.
    """
    return {
        name: _make_style_image(_make_scene(name, style_image, scene, encoder), encoder, style_image, paint)
        if style_image.fine
        else style_image
        for name, style_image in scene.style_images.items()
    }


def _make_scene(name: str, style_image: StyleImage, scene: Scene, encoder: Encoder) -> Scene:
    """Make the scene of a synthesis: the coarse style image is the content, and each of two regions covers half."""
    style, recipe = scene.recipe.styles[name], scene.recipe
    assert style_image.fine and style.fine and style.coarse  # narrows the types: validation requires them
    long, short = max(style_image.mask.shape), min(style_image.mask.shape)
    smallest = SHORTEST * long / short / style_image.extent
    width, height = size = style_image.fit(max(smallest, recipe.largest_scale(name) * max(scene.size)))
    scale = recipe.scale(style.fine) / recipe.scale(style.coarse) / style_image.extent
    fine_layers = dict.fromkeys(encoder.architecture.fine_layers, 1.0)
    styles = {
        "fine": StyleChoice.model_construct(**dict(recipe.styles[style.fine]) | {"scale": scale}),
        "coarse": StyleChoice(image=recipe.styles[style.coarse].image),
    }
    synthesis = Recipe(
        content=recipe.styles[style.coarse].image,
        styles=styles,
        regions=(_make_region("fine", FINE_OCTAVES, fine_layers), _make_region("coarse", COARSE_OCTAVES, None)),
        encoder=recipe.encoder,
        precision=recipe.precision,
        content_strength=0.0,
        smoothness=0.0,
        init=Start(content=1.0),
        format=recipe.format,
        solver=SolverChoice(steps=STEPS, sizes=1),
    )
    content = resize(torch.from_numpy(style_image.image), size).numpy()
    style_images = {"fine": style_image.fine, "coarse": replace(style_image, fine=None, extent=1.0)}
    weights = np.stack([np.full((height, width), weight, np.float32) for weight in (0.5, 0.5, 0)])
    return Scene(synthesis, content, style_images, weights, (np.ones(1, np.float32),) * 2, size, (0.5, 0.5, 0.0))


def _make_region(name: str, octaves: tuple[float, ...], layers: dict[str, float] | None) -> Region:
    return Region(name=name, mask=Mask(all=True), style={name: StyleUse()}, octaves=octaves, style_layers=layers)


def _make_style_image(scene: Scene, encoder: Encoder, style_image: StyleImage, paint: Paint) -> StyleImage:
    """Render the scene of a synthesis, or take the image from the cache."""
    fine, key = scene.style_images["fine"], hashlib.sha256()
    made_of = (scene.recipe.model_dump(mode="json"), scene.size, fine.extent, encoder.fingerprint())
    key.update(repr(made_of).encode())
    for array in (scene.content, style_image.mask, fine.image, fine.mask):
        key.update(np.ascontiguousarray(array).tobytes())
    picture = load_or_make_image(key.hexdigest(), lambda: paint(scene))
    mask = resize_layers(style_image.mask[None], scene.size)[0].numpy()
    return replace(style_image, image=to_array(picture), mask=mask, fine=None)
