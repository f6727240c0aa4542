"""The start in the colours and contrasts of the styles, and what larger sizes add to it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.matched_image import PartWeights, join, make_matched_image, measure_moments, split
from guidedstyle.engine.objective.canvas import Canvas, resize
from guidedstyle.engine.start_image import enlarge, make_start
from guidedstyle.masks.compositing import Part
from guidedstyle.recipe.loading.loader import read_source
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

DATA = Path(os.environ.get("GUIDEDSTYLE_TEST_DATA", "."))
PHOTO, PAINTING = (DATA / "images" / f"nspt_{name}.jpg" for name in ("tubingen", "starry_night"))
SIZE = (192, 144)  # of the photo
needs_data = pytest.mark.skipif(not PHOTO.exists(), reason="GUIDEDSTYLE_TEST_DATA is not set")


def open_(folder: Path, **keys: object) -> tuple[Scene, Canvas]:
    """Open a recipe, relative to a folder, at the size of the photo."""
    scene = open_scene(read_source({"size": max(SIZE)} | keys))
    return scene, Canvas.at_size(scene, scene.stages[-1].size, torch.device("cpu"))


def paint_plain(file: Path, colour: tuple[int, int, int], size: tuple[int, int] = (96, 72)) -> str:
    Image.new("RGB", size, colour).save(file)
    return str(file)


def measure(image: Array) -> tuple[Array, Array]:
    """Return the mean and the covariance of the colours of an image (1, 3, h, w)."""
    colours = image[0].reshape(3, -1).astype(np.float64)
    return colours.mean(1), np.cov(colours)


def measure_bands(image: Array) -> list[float]:
    """Measure the standard deviation of differences between averages over squares of 1, 2, 4 and 8 px, per size."""
    found, here = [], image[0]
    for _ in range(4):
        height, width = (side // 2 * 2 for side in here.shape[1:])
        cut = here[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2)
        means = cut.mean((2, 4), keepdims=True)
        found.append(float((cut - means).std()))
        here = means[:, :, 0, :, 0]
    return found


@needs_data
def test_colours_and_contrasts_of_a_photo_become_those_of_the_painting(tmp_path: Path) -> None:
    scene, canvas = open_(tmp_path, content=str(PHOTO), style=str(PAINTING))
    content, found = canvas.content.numpy(), make_matched_image(scene, canvas).numpy()
    style = resize(torch.from_numpy(scene.style_images["style"].image), scene.style_images["style"].fit(192)).numpy()
    (mean, covariance), (target, spread), (before, unlike) = (measure(one) for one in (found, style, content))
    assert np.abs(mean - target).max() < 0.02 < np.abs(before - target).max()
    assert np.linalg.norm(covariance - spread) < 0.25 * np.linalg.norm(unlike - spread)
    for got, wanted, had in zip(*(measure_bands(one) for one in (found, style, content)), strict=True):
        assert abs(np.log(got / wanted)) < max(0.15, 0.7 * abs(np.log(had / wanted)))


@needs_data
def test_the_drawing_stays_where_it_was(tmp_path: Path) -> None:
    scene, canvas = open_(tmp_path, content=str(PHOTO), style=str(PAINTING))
    pair = [one[0].mean(0).ravel() for one in (canvas.content.numpy(), make_matched_image(scene, canvas).numpy())]
    assert np.corrcoef(pair)[0, 1] > 0.85


def test_a_mix_has_the_weighted_mean_colour(project: Path) -> None:
    styles = {
        "red": paint_plain(project / "red.png", (150, 100, 100)),
        "blue": paint_plain(project / "blue.png", (100, 100, 150)),
    }
    regions = [{"name": "all", "mask": "all", "style": {"red": 0.75, "blue": 0.25}}]
    scene, canvas = open_(project, content=str(project / "photo.png"), styles=styles, regions=regions)
    mean = make_matched_image(scene, canvas).mean((0, 2, 3)).numpy()
    np.testing.assert_allclose(mean, np.array([137.5, 100, 112.5]) / 255, atol=0.01)


def test_regions_have_their_own_colours_and_fade_into_each_other(project: Path) -> None:
    """A grey photo under a white and a black style, side by side: across the seam brightness falls without a step."""
    photo = paint_plain(project / "grey.png", (128, 128, 128), SIZE)
    styles = {
        name: paint_plain(project / f"{name}.png", (level,) * 3) for name, level in (("light", 230), ("dark", 25))
    }
    regions = [
        {"name": "left", "mask": "rest", "style": "light"},
        {"name": "right", "mask": {"rectangle": [0.5, 0, 1, 1]}, "style": "dark"},
    ]
    scene, canvas = open_(project, content=photo, styles=styles, regions=regions)
    row = make_matched_image(scene, canvas)[0, :, 72].mean(0).numpy()
    np.testing.assert_allclose([row[8], row[-8]], [230 / 255, 25 / 255], atol=0.01)
    steps = -np.diff(row)
    assert steps.min() > -0.01
    assert steps.max() < 0.15 * (row[0] - row[-1])


@pytest.mark.parametrize("keys", [{"keep": True}, {"colour": "content"}, {"strength": 0}])
def test_the_content_is_unchanged_where_no_colours_are_painted(project: Path, keys: dict[str, object]) -> None:
    regions = [
        {"name": "left", "mask": "rest", "style": "ink"},
        {"name": "right", "mask": {"rectangle": [0.5, 0, 1, 1]}, "style": "ink", **keys},
    ]
    styles = {"ink": paint_plain(project / "plain.png", (200, 30, 30))}
    scene, canvas = open_(project, content=str(project / "photo.png"), styles=styles, regions=regions)
    found, content = make_matched_image(scene, canvas), canvas.content
    far = content.shape[3] * 3 // 4
    np.testing.assert_allclose(found[..., far:].numpy(), content[..., far:].numpy(), atol=1e-5)
    assert float((found[..., : content.shape[3] // 4] - content[..., : content.shape[3] // 4]).abs().mean()) > 0.1


def test_a_colour_strength_of_half_gives_half_of_the_change(project: Path) -> None:
    found = {}
    for strength in (0.0, 0.5, 1.0):
        keys = {"content": str(project / "photo.png"), "style": paint_plain(project / "red.png", (200, 40, 40))}
        scene, canvas = open_(project, **keys, colour="content", colour_strength=strength)
        found[strength] = make_matched_image(scene, canvas).mean((0, 2, 3)).numpy()
    change = np.abs(found[0.0] - found[1.0])
    assert change.max() > 0.2
    np.testing.assert_allclose(found[0.5], (found[0.0] + found[1.0]) / 2, atol=0.05 * change.max())


@pytest.mark.parametrize("side", [64, 1024])
def test_moments_of_a_flat_image_are_exact_at_any_size(side: int) -> None:
    flat, weights = torch.full((1, 3, side, side), 0.9), torch.rand(1, 1, side, side)
    moments = measure_moments(flat, weights)
    np.testing.assert_allclose(moments.mean, 0.9, atol=1e-6)
    assert np.abs(moments.covariance).max() < 1e-9


@pytest.mark.parametrize("size", [(96, 64), (97, 61), (16, 16)])
@pytest.mark.parametrize("bands", [0, 1, 3])
def test_what_is_split_is_joined_again(size: tuple[int, int], bands: int) -> None:
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, *size), np.float32)) * 0.6 + 0.2
    levels = split(image, bands)
    assert len(levels) == bands + 1
    torch.testing.assert_close(join(levels), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_and_tiny_images_stay_finite(project: Path, level: int) -> None:
    photo = paint_plain(project / "flat.png", (level,) * 3, (40, 24))
    style = paint_plain(project / "one.png", (255 - level, level, 7), (16, 16))
    scene, canvas = open_(project, content=photo, style=style, size=40)
    found = make_matched_image(scene, canvas)
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found.mean((0, 2, 3)).numpy(), [(255 - level) / 255, level / 255, 7 / 255], atol=0.02)


def grow(project: Path, **keys: object) -> tuple[Scene, Canvas, torch.Tensor, torch.Tensor]:
    """Enlarge a half-size grey image in a recipe; returns it, and what `resize` alone makes of it."""
    grain = np.random.default_rng(0).integers(60, 190, (64, 96, 3), np.uint8)
    Image.fromarray(grain).save(project / "grain.png")
    given = {"content": str(project / "grain.png"), "style": str(project / "ink.png"), "size": 96} | keys
    scene, canvas = open_(project, **{key: value for key, value in given.items() if value is not None})
    height, width = (side // 2 for side in canvas.content.shape[2:])
    coarse = torch.full((1, 3, height, width), 0.5)
    return (
        scene,
        canvas,
        enlarge(coarse, scene, canvas),
        resize(coarse, (canvas.content.shape[3], canvas.content.shape[2])),
    )


def test_a_larger_size_adds_what_the_smaller_one_cannot_have_of_the_matched_start(project: Path) -> None:
    scene, canvas, found, plain = grow(project)
    start = make_start(scene, canvas)
    height, width = start.shape[2:]
    lost = start - resize(resize(start, (width // 2, height // 2)), (width, height))
    torch.testing.assert_close(found - plain, lost, atol=1e-5, rtol=0)
    assert float(lost.std()) > 0.005


@pytest.mark.parametrize(
    "keys",
    [
        {"init": "content"},
        {"init": "noise"},
        {"init": "style"},
        {"init": "ink.png"},
        {"init": {"content": 1, "noise": 1}},
        {"content_strength": 0},
        {"method": "classic", "encoder": "vgg19"},
    ],
    ids=str,
)
def test_from_any_other_start_a_larger_size_adds_nothing(project: Path, keys: dict[str, object]) -> None:
    if keys.get("init") == "ink.png":
        keys = {"init": str(project / "ink.png")}
    *_, found, plain = grow(project, **keys)
    assert torch.equal(found, plain)


def test_a_blend_adds_its_share_of_the_band(project: Path) -> None:
    *_, whole, plain = grow(project)
    *_, found, _ = grow(project, init={"matched": 1, "noise": 3})
    torch.testing.assert_close(found - plain, (whole - plain) / 4, atol=1e-6, rtol=0)


def test_the_band_is_added_only_in_regions_that_start_matched(project: Path) -> None:
    regions = [
        {"name": "left", "mask": "rest", "style": "style"},
        {"name": "right", "mask": {"rectangle": [0.5, 0, 1, 1]}, "style": "style", "init": "noise"},
    ]
    *_, found, plain = grow(project, style=None, styles={"style": str(project / "ink.png")}, regions=regions)
    middle = found.shape[3] // 2
    assert torch.equal(found[..., middle + 1 :], plain[..., middle + 1 :])
    assert float((found[..., : middle - 1] - plain[..., : middle - 1]).std()) > 0.01


def test_a_canvas_starts_from_noise_in_the_colours_and_contrasts_of_the_style(project: Path) -> None:
    recipe = {"canvas": [96, 96], "style": str(project / "ink.png")}
    found = {}
    for seed in (0, 1):
        scene = open_scene(read_source({**recipe, "size": 96, "solver": {"seed": seed}}))
        found[seed] = make_start(scene, Canvas.at_size(scene, (96, 96), torch.device("cpu"))).numpy()
    style = scene.style_images["style"].image
    np.testing.assert_allclose(found[0].mean((0, 2, 3)), style.mean((0, 2, 3)), atol=0.03)
    assert found[0].std() == pytest.approx(style.std(), rel=0.3)
    assert np.abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.7


def test_a_style_made_of_two_starts_from_its_coarse_image(project: Path) -> None:
    from guidedstyle.engine.combined_styles import make_style_images

    styles = {name: str(project / f"{name}.png") for name in ("ink", "oil")}
    regions = [{"name": "all", "mask": "all", "style": {"fine": "ink", "coarse": "oil"}}]
    scene, _ = open_(project, content=str(project / "photo.png"), styles=styles, regions=regions, size=96)
    seen: list[Scene] = []

    def paint(synthesis: Scene) -> tuple[Array, bool]:
        seen.append(synthesis)
        return synthesis.content, False

    make_style_images(scene, load_by_name("lite", None, None), paint)
    (synthesis,) = seen
    canvas = Canvas.at_size(synthesis, synthesis.size, torch.device("cpu"))
    assert torch.equal(make_start(synthesis, canvas), canvas.content)


@pytest.mark.parametrize("shape", [(97, 131), (160, 96), (31, 400)])
def test_the_box_of_a_part_holds_all_its_weights_at_every_level(shape: tuple[int, int]) -> None:
    """Halving spreads weights; one pixel anywhere, and areas up to the border."""
    noise, like = np.random.default_rng(0), torch.zeros(1, 3, *shape)
    for _ in range(40):
        weights = np.zeros(shape, np.float32)
        top, left = (int(noise.integers(0, side)) for side in shape)
        weights[top : top + int(noise.integers(1, 60)), left : left + int(noise.integers(1, 60))] = 1
        own = PartWeights.of(Part(0, weights, (1.0,)), like, 5)
        for number, level in enumerate(own.levels):
            box, _ = own.at(number)
            outside = level.clone()
            outside[box] = 0
            assert level.any()
            assert not outside.any()
