"""Make style images of two: fine texture of one, coarse forms of another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import recall_picture
from guidedstyle.engine.objective.canvas import resize, resize_layers
from guidedstyle.io.images import to_array
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import Recipe, Region, SolverChoice, StyleImage, StyleUse
from guidedstyle.scene.scene import Scene
from guidedstyle.scene.styles import Painting
from guidedstyle.types import Array

Paint = Callable[[Scene], tuple[Array, bool]]  # the picture, and whether it was finished

FINE_OCTAVES, COARSE_OCTAVES = (1.0,), (0.0, 1.0, 1.0)
FINE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}
STEPS = 100
SHORTEST = 64  # px: as much as all of these octaves take


def make_paintings(scene: Scene, encoder: Encoder, paint: Paint) -> dict[str, Painting]:
    """Make the paintings of a scene that are made of two, before anything is painted with them.

    Departs from the two steps of Gatys et al. 2017, sec. 6.1, who match shallow layers of the fine painting from the
    coarse one on and nothing else: then its colours seep into the large forms. Here the coarse painting's own
    statistics hold the coarse octaves. `paint` renders; what was made of the same two is taken from the cache.
    """
    return {
        name: _make_painting(_set_scene(name, painting, scene), encoder, painting, paint) if painting.fine else painting
        for name, painting in scene.paintings.items()
    }


def _set_scene(name: str, painting: Painting, scene: Scene) -> Scene:
    """Set the scene of a synthesis: the coarse painting as the photograph, half given to each of the two styles."""
    style, recipe = scene.recipe.styles[name], scene.recipe
    assert painting.fine and style.fine and style.coarse
    long, short = max(painting.mask.shape), min(painting.mask.shape)
    smallest = SHORTEST * long / short / painting.extent
    width, height = size = painting.fit(max(smallest, recipe.largest_scale(name) * max(scene.size)))
    scale = recipe.scale(style.fine) / recipe.scale(style.coarse) / painting.extent
    styles = {
        "fine": StyleImage.model_construct(**dict(recipe.styles[style.fine]) | {"scale": scale}),
        "coarse": StyleImage(image=recipe.styles[style.coarse].image),
    }
    synthesis = Recipe(
        content=recipe.styles[style.coarse].image,
        styles=styles,
        regions=(_make_region("fine", FINE_OCTAVES, FINE_LAYERS), _make_region("coarse", COARSE_OCTAVES, None)),
        encoder=recipe.encoder,
        content_strength=0.0,
        smoothness=0.0,
        solver=SolverChoice(steps=STEPS, sizes=1),
    )
    content = resize(torch.from_numpy(painting.image), size).numpy()
    paintings = {"fine": painting.fine, "coarse": replace(painting, fine=None, extent=1.0)}
    weights = np.stack([np.full((height, width), weight, np.float32) for weight in (0.5, 0.5, 0)])
    return Scene(synthesis, content, paintings, weights, (np.ones(1, np.float32),) * 2, size, (0.5, 0.5, 0.0))


def _make_region(name: str, octaves: tuple[float, ...], layers: dict[str, float] | None) -> Region:
    return Region(name=name, mask=Mask(all=True), style={name: StyleUse()}, octaves=octaves, style_layers=layers)


def _make_painting(scene: Scene, encoder: Encoder, painting: Painting, paint: Paint) -> Painting:
    """Paint a synthesis, or take it from the cache."""
    fine, key = scene.paintings["fine"], hashlib.sha256()
    made_of = (scene.recipe.model_dump(mode="json"), scene.size, fine.extent, encoder.fingerprint())
    key.update(repr(made_of).encode())
    for array in (scene.content, painting.mask, fine.image, fine.mask):
        key.update(np.ascontiguousarray(array).tobytes())
    picture = recall_picture(key.hexdigest(), lambda: paint(scene))
    mask = resize_layers(painting.mask[None], scene.size)[0].numpy()
    return replace(painting, image=to_array(picture), mask=mask, fine=None)
