"""Recipes of format 1, as older images carry them, and the classic method keep the objective that they had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.losses.terms import measure_frame
from guidedstyle.recipe.loading.loader import load_recipe, read_source
from guidedstyle.scene.opening import open_scene


def open_(project: Path, **keys: object):
    return open_scene(read_source({"content": str(project / "photo.png"), "style": str(project / "ink.png"), **keys}))


@pytest.mark.parametrize(
    ("keys", "padding"),
    [({}, "replicate"), ({"encoder": "vgg19"}, "replicate"), ({"format": 1}, "zeros"), ({"method": "classic"}, None)],
)
def test_published_networks_see_a_replicated_border_except_where_they_saw_zeros(
    project: Path, keys: dict[str, object], padding: str | None
) -> None:
    encoder = load_by_name("lite", None, None)
    scene = open_(
        project, size=320, **keys | ({"style_layers": "relu1_1", "content_layers": "relu1_1"} if keys else {})
    )
    assert make_plan(scene, encoder).padding == padding


@pytest.mark.parametrize(("keys", "more"), [({}, True), ({"format": 1}, False), ({"method": "classic"}, False)])
def test_a_frame_counts_except_where_it_did_not(project: Path, keys: dict[str, object], more: bool) -> None:
    """The total of a framed image is that of its terms; where frames count, it is larger."""
    layers = {"style_layers": "relu1_1", "content_layers": "relu1_1"} if keys.get("method") else {}
    scene, encoder = open_(project, precision="float32", **keys, **layers), load_by_name("lite", None, None)
    plan = make_plan(scene, encoder)
    objective = Objective(scene, plan.place(encoder), plan, plan.stages[-1])
    framed = objective.canvas.content.clone()
    framed[:, :, :2] = 1
    losses, weights = objective(framed), objective.weights
    parts = weights.style * losses.style + weights.content * losses.content
    rest = float(losses.total - weights.balance @ parts - 0.1 * scene.recipe.smoothness * losses.smoothness)
    assert (rest > 1e-3 * float(losses.total)) == more


def test_content_counts_as_it_did(project: Path) -> None:
    """The objective of format 1 is style + 0.03 content + 0.1 total variation; later ones keep less content."""
    encoder, weights = load_by_name("lite", None, None), {}
    for number in (1, 2):
        scene = open_(project, format=number, precision="float32", smoothness=0, content_strength=2)
        plan = make_plan(scene, encoder)
        objective = Objective(scene, plan.place(encoder), plan, plan.stages[-1])
        image = objective.canvas.content.flip(3)
        losses, frame = objective(image), 3 * measure_frame(image, torch.ones(image.shape[2:])) * (number - 1)
        weights[number] = float((losses.total - losses.style[0] - frame) / (2 * losses.content[0]))
    assert weights == {1: pytest.approx(0.03, rel=1e-3), 2: pytest.approx(0.0225, rel=1e-3)}


def test_a_recipe_of_format_1_stays_one_when_it_is_written_again(project: Path) -> None:
    old = {"format": 1, "content": str(project / "photo.png"), "style": str(project / "ink.png"), "init": "content"}
    recipe = load_recipe(load_recipe(old).model_dump(mode="json", exclude_none=True, by_alias=True))
    assert (recipe.format, recipe.init.content, recipe.init.matched) == (1, 1, 0)


def test_the_classic_method_keeps_its_published_start_and_steps(project: Path) -> None:
    recipe = open_(project, method="classic").recipe
    assert (recipe.init.content, recipe.init.matched, recipe.solver.most_steps, recipe.solver.sizes) == (1, 0, 500, 1)
