"""Each region gets its own style, on real content images with painted masks, measured with VGG-19."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.cases import needs_data, vgg19, write_city, write_pair
from support.grams import encode_octaves

from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.engine.render import render
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.losses.gram import guided_grams
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene

pytestmark = pytest.mark.slow


def measure_distances(objective: Objective, image: torch.Tensor) -> torch.Tensor:
    """Measure the guided style distance of every region (rows) to the style of every region (columns)."""
    terms = objective.style_terms
    with torch.no_grad():
        features = encode_octaves(objective.encoder, image, [term.key for term in terms])
        per_term = []
        for term in terms:
            found = guided_grams(features[term.key], term.statistic.guides[0])
            errors = (found[:, None] - term.targets[None]).square().sum((2, 3))
            per_term.append(errors / term.targets.square().sum((1, 2)))
    return torch.stack(per_term).mean(0)


@needs_data
@pytest.mark.parametrize(
    "write",
    [partial(write_pair, "pair03"), partial(write_pair, "pair29"), write_city],
    ids=["pair03", "pair29", "city"],
)
def test_every_region_gets_its_own_style(write: Callable[..., Path], tmp_path: Path) -> None:
    """Its distance falls to at most a fifth, and it is nearer to its own style than to any other's."""
    scene = open_scene(read_recipe(write(tmp_path, size=384, encoder=vgg19())))
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    rendering = render(scene, encoder, plan)
    save_image(to_pillow(rendering.image), tmp_path / "image.png")
    judge = Objective(scene, encoder.float(), plan, plan.stages[-1])
    before = measure_distances(judge, torch.from_numpy(scene.content))
    after = measure_distances(judge, torch.from_numpy(rendering.image))
    print(f"before {before.diagonal().tolist()} after {after.tolist()}")
    assert (after.diagonal() <= before.diagonal() / 5).all()
    for region, distances in enumerate(after):
        assert distances.argmin() == region


@needs_data
def test_a_style_image_has_its_own_style(tmp_path: Path) -> None:
    """A content image that is its own style image has distance 0: a check of the measure."""
    recipe = read_recipe(write_pair("pair03", tmp_path, size=256, encoder=vgg19()))
    parts = recipe.recipe.styles
    content = next(iter(parts.values())).image
    regions = [region.model_copy(update={"mask": parts[region.name].mask}) for region in recipe.recipe.regions]
    own = recipe.recipe.model_copy(update={"content": content, "regions": tuple(regions)})
    scene = open_scene(replace(recipe, recipe=own))
    encoder = load_encoder(own.encoder)
    judge = Objective(scene, encoder, plan := make_plan(scene, encoder, "cpu"), plan.stages[-1])
    distances = measure_distances(judge, torch.from_numpy(scene.content))
    assert distances.diagonal().max() < 1e-3
    assert distances.fill_diagonal_(1).min() > 0.05
