"""Tiles give the same sums, gradients and images as the whole image, in less memory."""

from __future__ import annotations

import gc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.cases import DATA, WEIGHTS, needs_data, vgg19, write_recipe
from support.images import draw_image
from torch.profiler import ProfilerActivity, profile

from guidedstyle.encoders.architecture import Layer, Window
from guidedstyle.encoders.vgg import LITE, VGG19
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import Plan, make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.engine.render import render
from guidedstyle.losses.statistics import tile_octave
from guidedstyle.losses.tiles import Tiling, make_tiles, sum_tiles
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

pytestmark = pytest.mark.slow

THREE = """content: photo.png
styles: {ink: ink.png, oil: oil.png}
regions:
  - {name: a, mask: rest, style: ink}
  - {name: b, mask: {ellipse: [0.1, 0.2, 0.6, 0.9], feather: 5}, style: oil}
  - {name: c, mask: {rectangle: [0.55, 0, 1, 0.5]}, style: {ink: 1, oil: 1}}
"""
TILINGS = [Tiling(64), Tiling(64, 0.5), Tiling(64, 1.0), Tiling(64, content=False), Tiling(100, 0.3, content=False)]


def tile(plan: Plan, tiling: Tiling) -> Plan:
    return replace(plan, tilings=(tiling,) * len(plan.stages), precision=torch.float32)


@pytest.fixture
def scene(project: Path) -> Scene:
    return open_three(project)


def open_three(project: Path, *settings: str) -> Scene:
    """Open three regions over an image with odd side lengths."""
    draw_image(277, 203, 1).save(project / "photo.png")
    (project / "three.yaml").write_text(THREE)
    return open_scene(read_recipe(project / "three.yaml", [parse_setting(setting) for setting in settings]))


@pytest.mark.parametrize("size", [(64, 64), (277, 203), (130, 65), (1000, 17), (33, 8)])
@pytest.mark.parametrize("stride", [1, 4, 16])
def test_every_pixel_and_every_position_belongs_to_one_tile(size: tuple[int, int], stride: int) -> None:
    tiles = make_tiles(size, 64, halo=2 * stride, stride=stride)
    owners = np.zeros(size[::-1], int)
    for one in tiles:
        owners[one.own] += 1
    assert (owners == 1).all()
    for shift in (1, 2, 4):
        if stride % shift == 0:
            cells = np.zeros((size[1] // shift, size[0] // shift), int)
            layer = Layer().slide(Window(shift, shift), 3)
            for one in tiles:
                cells[one.positions(layer)] += 1
            assert (cells == 1).all()


def test_a_tile_is_no_larger_than_its_side_plus_the_stride() -> None:
    sides = [side.stop - side.start for one in make_tiles((1000, 700), 128, halo=24, stride=4) for side in one.own]
    assert max(sides) < 128 + 4
    assert min(sides) > 64


@pytest.mark.parametrize("name", ["lite", pytest.param("vgg19", marks=needs_data)])
def test_features_of_a_tile_are_those_of_the_whole_image(name: str, scene: Scene) -> None:
    choice = scene.recipe.encoder.model_validate(vgg19()) if name == "vgg19" else scene.recipe.encoder
    encoder, image = load_encoder(choice), torch.from_numpy(scene.content)
    layers = ("relu1_1", "relu2_1", "relu3_4")
    whole = encoder.encode(image, layers)
    tiles = tile_octave(encoder.architecture, scene.size, layers, 80)
    assert len(tiles) == 12
    for one in tiles:
        for layer, found in encoder.encode(one.cut(image), layers).items():
            known = encoder.layers[layer]
            expected = whole[layer][(..., *one.positions(known))]
            torch.testing.assert_close(
                one.take_own(found, known), expected, rtol=1e-4, atol=1e-4 * float(expected.max())
            )


@pytest.mark.parametrize("architecture", [LITE, VGG19])
def test_a_halo_is_the_reach_of_the_deepest_layer(architecture) -> None:
    layer = architecture.layers["relu3_4"]
    one, other = tile_octave(architecture, (400, 100), ["relu1_1", "relu3_4"], 200)
    assert one.window[1].stop - one.own[1].stop >= (layer.receptive_field - layer.stride) // 2
    assert other.window[1].start % layer.stride == 0


def test_sums_and_their_gradient_are_those_of_the_whole_image() -> None:
    """For products of neighbours, whose windows need one more pixel."""
    image = torch.rand(1, 3, 37, 50, dtype=torch.float64)
    tiles = make_tiles((50, 37), 16, halo=1, stride=1)

    def measure(window: torch.Tensor, number: int) -> list[torch.Tensor]:
        products = torch.nn.functional.pad(window[..., 1:] * window[..., :-1], (0, 1))
        own = [tiles[number].take_own(one, Layer()) for one in (products, window)]
        return [own[0].sum((0, 2, 3)), own[1].square().sum()]

    def whole(image: torch.Tensor) -> list[torch.Tensor]:
        return [(image[..., 1:] * image[..., :-1]).sum((0, 2, 3)), image.square().sum()]

    for kept in (0, 5, len(tiles)):
        one, other = (image.clone().requires_grad_() for _ in range(2))
        found = sum_tiles(one, tiles, measure, kept=kept, measure_coarser=lambda seen: [seen.sum().exp()])
        expected = [*whole(other), other.sum().exp()]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
        weights = [torch.rand_like(term) for term in expected]
        gradients = [torch.autograd.grad(terms, at, weights)[0] for terms, at in ((found, one), (expected, other))]
        torch.testing.assert_close(*gradients)


def test_a_step_in_tiles_is_freed_without_a_garbage_collector(project: Path) -> None:
    """A node that keeps its own output keeps a whole image, until Python happens to look for cycles."""
    scene = open_three(project)
    encoder = load_encoder(scene.recipe.encoder)
    plan = tile(make_plan(scene, encoder, "cpu"), Tiling(64, 0.5))
    objective = Objective(scene, encoder.move(plan.device, plan.precision, plan.padding), plan, plan.stages[-1])
    differentiate_once(objective, torch.rand(1, 3, *scene.size[::-1]))  # fills what is computed once
    gc.collect()
    gc.disable()
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
            differentiate_once(objective, torch.rand(1, 3, *scene.size[::-1]))
    finally:
        gc.enable()
    left = sum(event.self_cpu_memory_usage for event in measured.key_averages())
    assert left < 3 * scene.size[0] * scene.size[1]


def differentiate_once(objective: Objective, image: torch.Tensor) -> None:
    torch.autograd.grad(objective(image.requires_grad_()).total, image)


SETTINGS = [
    (),
    ("statistics=covariance", "content_layers=[relu1_2, relu3_1]"),
    ("statistics=mean", "guides=inside"),
    ("regions.b.colour=content", "regions.a.smoothness=9"),
    ("octaves=[0, 1, 0.5]", "content_strength=0"),
    ("regions.c.keep=true", "regions.c.style={}"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_the_gradient_of_every_term_is_that_of_the_whole_image(settings: tuple[str, ...], project: Path) -> None:
    scene = open_three(project, *settings)
    encoder, plan = load_encoder(scene.recipe.encoder), make_plan(scene, load_encoder(scene.recipe.encoder), "cpu")
    image = torch.from_numpy(scene.content).flip(3).contiguous()
    expected, total = differentiate(scene, encoder, tile(plan, Tiling()), image)
    for tiling in TILINGS:
        found, loss = differentiate(scene, encoder, tile(plan, tiling), image)
        assert loss == pytest.approx(total, rel=1e-5)
        assert float((found - expected).norm() / expected.norm()) < 1e-5


def differentiate(scene: Scene, encoder, plan: Plan, image: torch.Tensor) -> tuple[torch.Tensor, float]:
    objective = Objective(scene, encoder, plan, plan.stages[-1])
    image = image.clone().requires_grad_()
    loss = objective(image).total
    (gradient,) = torch.autograd.grad(loss, image)
    return gradient, float(loss.detach())


@pytest.mark.parametrize(("method", "rate", "steps"), [("lbfgs", 0.002, 4), ("adam", 0.003, 20), ("sgd", 0.001, 20)])
def test_small_steps_in_tiles_give_the_same_image(method: str, rate: float, steps: int, project: Path) -> None:
    """On a real content image if there is one. At full learning rates every solver amplifies rounding errors."""
    scene = open_real(project) if WEIGHTS.is_file() else open_three(project)
    solver = scene.recipe.solver.model_copy(
        update={"method": method, "steps": steps, "sizes": 1, "learning_rate": rate}
    )
    scene = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    whole, tiled = (render(scene, encoder, tile(plan, tiling)).image for tiling in (Tiling(), Tiling(96)))
    apart, moved = np.abs(whole - tiled), np.abs(whole - scene.content).mean()
    assert np.quantile(apart, 0.999) < 1e-3
    assert apart.mean() < 1e-4 < 0.1 * moved


def open_real(project: Path) -> Scene:
    """Open a content image of two regions."""
    images = DATA / "images"
    left = {"name": "left", "mask": {"rectangle": [0, 0, 0.5, 1]}, "style": "candy"}
    return open_scene(
        read_recipe(
            write_recipe(
                project / "a.yaml",
                content=images / "nspt_tubingen.jpg",
                styles={"starry": str(images / "nspt_starry_night.jpg"), "candy": str(images / "jfns_candy.jpg")},
                regions=[{"name": "right", "mask": "rest", "style": "starry"}, left],
                size=320,
            )
        )
    )


def test_tiles_without_any_region_change_nothing(project: Path) -> None:
    """Tiles without a painted region add nothing to the sums."""
    half = np.zeros((203, 277), np.uint8)
    half[:, :100] = 255
    Image.fromarray(half).save(project / "left.png")
    draw_image(277, 203, 1).save(project / "photo.png")
    text = "content: photo.png\nstyles: {ink: ink.png}\nregions:\n  - {name: a, mask: left.png, style: ink}\n"
    text += "solver: {steps: 3, sizes: 1, rate: 0.002}\nprecision: float32\ninit: content\n"
    (project / "a.yaml").write_text(text)
    scene = open_scene(read_recipe(project / "a.yaml"))
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    whole, tiled = (render(scene, encoder, tile(plan, tiling)).image for tiling in (Tiling(), Tiling(64)))
    np.testing.assert_allclose(whole, tiled, rtol=0, atol=1e-5)
    assert (tiled[..., 104:] == scene.content[..., 104:]).all()


def test_tiles_have_no_gaps() -> None:
    for one, other in pairwise(make_tiles((997, 10), 100, halo=8, stride=4)):
        assert one.own[1].stop == other.own[1].start
