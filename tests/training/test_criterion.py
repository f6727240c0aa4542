"""The losses of batches: against those of a render, image by image, and their gradient against differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.images import draw_image, draw_tensor
from torch import Tensor

from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.losses.terms import TOTAL_VARIATION_WEIGHT
from guidedstyle.recipe.loading.loader import read_mapping
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.training.criterion import CONTENT_WEIGHT, LEAST, Batch, Criterion, measure_variation

SIDE = 96


@pytest.fixture
def encoder() -> ConvEncoder:
    return load_by_name("lite").move(torch.device("cpu"), torch.float32, "replicate")


def to_tensor(width: int, height: int, seed: int) -> Tensor:
    return torch.from_numpy(np.array(draw_image(width, height, seed)))[None].permute(0, 3, 1, 2) / 255


def make_criterion(encoder: ConvEncoder, recipe: Recipe) -> Criterion:
    images = [to_tensor(SIDE, 80, seed) for seed in (7, 8)]
    return Criterion(encoder, recipe, [(image, torch.ones(1, 80, SIDE)) for image in images], side=SIDE)


@pytest.mark.parametrize(
    "controls",
    [
        {},
        {"statistics": "covariance", "octaves": [0, 1, 0.5]},
        {"style_layers": {"relu2_1": 2, "relu3_1": 1}, "content_layers": ["relu1_1", "relu3_4"]},
    ],
)
def test_losses_of_a_batch_are_those_of_renders(
    controls: dict[str, object], encoder: ConvEncoder, tmp_path: Path
) -> None:
    draw_image(SIDE, 80, 7).save(tmp_path / "a.png")
    draw_image(SIDE, 80, 8).save(tmp_path / "b.png")
    recipe = {
        "size": SIDE,
        "styles": {"a": str(tmp_path / "a.png"), "b": str(tmp_path / "b.png")},
        "regions": [
            {"name": "right", "mask": "rest", "style": {"a": 0.25, "b": 0.75}},
            {"name": "left", "mask": {"rectangle": [0, 0, 40 / SIDE, 1]}, "style": "a"},
        ],
        **controls,
    }
    losses, painted = [], [to_tensor(SIDE, SIDE, seed) for seed in (3, 4)]
    for seed in (1, 2):
        draw_image(SIDE, SIDE, seed).save(tmp_path / f"{seed}.png")
        scene = open_scene(read_mapping(recipe | {"content": str(tmp_path / f"{seed}.png")}))
        plan = make_plan(scene, encoder, "cpu")
        losses.append(Objective(scene, encoder, plan, scene.stages[-1])(painted[seed - 1]))
    weights = torch.from_numpy(scene.weights[:2])[None]
    mixes = torch.tensor([[[0.25, 0.75], [1.0, 0.0]]]).expand(2, 2, 2)
    content = torch.cat([to_tensor(SIDE, SIDE, seed) for seed in (1, 2)])
    criterion = make_criterion(encoder, scene.recipe)
    found = criterion(torch.cat(painted), Batch(content, weights.expand(2, -1, -1, -1), mixes))
    for number, one in enumerate(losses):
        torch.testing.assert_close(found.style[number], one.style, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found.content[number], one.content, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found.variation[number], one.smoothness, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strengths", [(0, 0), (1000, 0), (0, 1000)])
def test_gradient_is_that_of_central_differences(strengths: tuple[float, float], encoder: ConvEncoder) -> None:
    content, smoothness = strengths
    criterion = make_criterion(encoder, Recipe(content_strength=content, smoothness=smoothness))
    regions, mixes = draw_tensor(2, 2, SIDE, SIDE).softmax(1), draw_tensor(2, 2, 2).softmax(2)
    batch = Batch(torch.cat([to_tensor(SIDE, SIDE, seed) for seed in (1, 2)]), regions, mixes)
    images = torch.cat([to_tensor(SIDE, SIDE, seed) for seed in (3, 4)]).requires_grad_()

    def measure(images: Tensor) -> Tensor:
        return criterion.weigh(criterion(images, batch), regions)

    (gradient,) = torch.autograd.grad(measure(images), images)
    direction = gradient / gradient.abs().mean()
    with torch.no_grad():
        ahead, behind = (float(measure(images + step * direction)) for step in (2e-3, -2e-3))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / 4e-3, rel=0.03)


def test_the_loss_is_the_mean_of_logarithms_by_area(encoder: ConvEncoder) -> None:
    criterion = make_criterion(encoder, Recipe(strength=2, content_strength=3, smoothness=4))
    regions = torch.zeros(1, 2, SIDE, SIDE)
    regions[0, 0, :24], regions[0, 1, 24:] = 1, 1
    batch = Batch(to_tensor(SIDE, SIDE, 1), regions, torch.eye(2)[None])
    losses = criterion(to_tensor(SIDE, SIDE, 2), batch)
    each = losses.style + 3 * CONTENT_WEIGHT * losses.content
    each = torch.log(each + 4 * TOTAL_VARIATION_WEIGHT * losses.variation + LEAST)[0]
    assert float(criterion.weigh(losses, regions)) == pytest.approx(float(0.25 * each[0] + 0.75 * each[1]), rel=1e-5)


def test_variation_of_stripes_is_known() -> None:
    stripes = torch.zeros(1, 3, 4, 8)
    stripes[..., ::2] = 1
    assert float(measure_variation(stripes)) == pytest.approx(7 / 8)
