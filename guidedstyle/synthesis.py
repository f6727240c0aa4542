"""Paintings made of two: the fine texture of one on the coarse forms of another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from guidedstyle.cache import recall_picture
from guidedstyle.canvas import resize, resize_layers
from guidedstyle.encoder import Encoder
from guidedstyle.images import Array, to_array
from guidedstyle.mask_keys import Mask
from guidedstyle.paintings import Painting
from guidedstyle.recipe import Recipe, Region, SolverChoice, StyleImage, StyleUse
from guidedstyle.scene import Scene

Paint = Callable[[Scene], Array]

FINE_OCTAVES = (1.0,)
FINE_STEPS = 100
FINE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}


def make_paintings(scene: Scene, encoder: Encoder, paint: Paint) -> dict[str, Painting]:
    """Make the paintings of a scene that are made of two, in two steps (Gatys et al. 2017, sec. 6.1).

    The fine painting's style is matched from the coarse one on, at the finest octave and in shallow layers only, with
    no drawing to keep; what comes of it is a painting as any other. `paint` renders; what was made of the same two
    before is taken from the cache.
    """
    return {
        name: _make_painting(_set_scene(name, painting, scene), encoder, painting, paint) if painting.fine else painting
        for name, painting in scene.paintings.items()
    }


def _set_scene(name: str, painting: Painting, scene: Scene) -> Scene:
    """Set the scene of a synthesis: the coarse painting as the photograph, the fine one as its only style."""
    assert painting.fine
    outer, fine = scene.recipe, scene.recipe.styles[name].fine
    width, height = size = painting.fit(outer.largest_scale(name) * max(scene.size))
    assert fine
    scale = outer.scale(fine) * max(scene.size) / max(size)
    recipe = Recipe(
        content=outer.styles[outer.styles[name].coarse or ""].image,
        styles={"fine": StyleImage.model_construct(**dict(outer.styles[fine]) | {"scale": scale})},
        regions=(Region(name="picture", mask=Mask(rest=True), style={"fine": StyleUse()}),),
        encoder=outer.encoder,
        content_strength=0.0,
        smoothness=0.0,
        octaves=FINE_OCTAVES,
        style_layers=FINE_LAYERS,
        solver=SolverChoice(steps=FINE_STEPS, sizes=1),
    )
    content = resize(torch.from_numpy(painting.image), size).numpy()
    weights = np.stack([np.ones((height, width), np.float32), np.zeros((height, width), np.float32)])
    return Scene(recipe, content, {"fine": painting.fine}, weights, (np.ones(1, np.float32),), size, (1.0, 0.0))


def _make_painting(scene: Scene, encoder: Encoder, painting: Painting, paint: Paint) -> Painting:
    """Paint a synthesis, or take it from the cache."""
    fine, key = scene.paintings["fine"], hashlib.sha256()
    key.update(repr((scene.recipe.model_dump(mode="json"), scene.size, encoder.dtype, fine.extent)).encode())
    for array in (scene.content, fine.image, fine.mask, *(p.float().cpu().numpy() for p in encoder.parameters())):
        key.update(np.ascontiguousarray(array).tobytes())
    picture = recall_picture(key.hexdigest(), lambda: paint(scene))
    mask = resize_layers(painting.mask[None], scene.size)[0].numpy()
    return replace(painting, image=to_array(picture), mask=mask, fine=None)
