"""The comparison of encoders: grids that are known, a judge that can be checked by hand, and the command."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.cases import DATA, WEIGHTS, needs_data
from torch import Tensor
from torch.nn import functional

from guidedstyle.cli.evaluate import open_scenes
from guidedstyle.encoders.weights import load_lite, load_vgg19
from guidedstyle.engine.rendering import Rendering
from guidedstyle.evaluation.judge import Comparison, Judge
from guidedstyle.evaluation.spectrum import TILE, measure_grid
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.results.sheets import make_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

pytestmark = pytest.mark.slow

CONTENT, STYLE = "nspt_tubingen.jpg", "nspt_starry_night.jpg"
MEAN = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)  # of the original network, fed with 0..255
FLAT = np.full((1, 3, 128, 128), 0.5, np.float32)


def wave(period: float) -> Array:
    """Draw a wave of this period along x."""
    line = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(128) / period)
    return np.broadcast_to(line, FLAT.shape).astype(np.float32)


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_of_a_pooling_period_is_all_grid(period: int) -> None:
    """All but what the window smears over the neighbouring frequencies: a third of a Hann window's energy."""
    assert measure_grid(wave(period), FLAT) > 0.6
    assert measure_grid(wave(period).transpose(0, 1, 3, 2), FLAT) > 0.6


@pytest.mark.parametrize("period", [3, 5.3])
def test_other_waves_are_no_grid(period: float) -> None:
    assert measure_grid(wave(period), FLAT) < 0.01


def test_noise_has_its_even_share_of_grid() -> None:
    """Of 32 x 32 frequencies less 5 x 5 slow ones, 5 x 5 pairs of a pooling and a slow one lie on either axis."""
    noise = np.random.default_rng(0).random((1, 1, 1024, 1024), np.float32).repeat(3, 1)
    assert measure_grid(noise, np.full_like(noise, 0.5)) == pytest.approx(2 * 5 * 5 / (TILE**2 - 5**2), rel=0.05)


def test_only_flat_regions_of_the_content_count() -> None:
    """A grid over the busy three quarters of the content does not show."""
    busy = np.random.default_rng(0).random(FLAT.shape).astype(np.float32)
    content, picture = busy.copy(), wave(4)
    content[..., :64, :64], picture[..., :64, :64] = 0.5, wave(5.3)[..., :64, :64]
    assert measure_grid(picture, content) < 0.01
    assert measure_grid(picture, busy[..., ::-1, ::-1].copy() * (content == 0.5) + (content != 0.5)) > 0.3


def test_the_sheet_shows_every_picture_beside_its_label() -> None:
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "blue")
    sheet = np.asarray(make_sheet([[("first", red), ("second", blue)], [("third", blue)]]))
    reds, blues = (np.all(sheet == colour, axis=2).sum() for colour in ((255, 0, 0), (0, 0, 255)))
    assert reds == 320 * 160
    assert blues == 2 * 320 * 160


def open_pair(folder: Path, size: int) -> Scene:
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"content: {DATA}/images/{CONTENT}\nstyle: {DATA}/images/{STYLE}\nsize: {size}\n")
    return open_scene(read_recipe(recipe, []))


def see_as_vgg19(image: Tensor) -> dict[str, Tensor]:
    """Run VGG-19 to relu3_4 layer by layer on (1, 3, h, w), in float32."""
    weights, seen = load_file(WEIGHTS), {}
    x = image * 255 - MEAN
    for name, key in (
        ("1_1", 0),
        ("1_2", 2),
        ("2_1", 5),
        ("2_2", 7),
        ("3_1", 10),
        ("3_2", 12),
        ("3_3", 14),
        ("3_4", 16),
    ):
        x = functional.max_pool2d(x, 2) if name in ("2_1", "3_1") else x
        x = torch.relu(
            functional.conv2d(x, weights[f"features.{key}.weight"], weights[f"features.{key}.bias"], padding=1)
        )
        seen[name] = x
    return seen


def halve(image: Tensor) -> Tensor:
    size = (image.shape[2] // 2, image.shape[3] // 2)
    return functional.interpolate(image, size, mode="bilinear", antialias=True)


def style_by_hand(image: Tensor, style_image: Tensor) -> float:
    """Average |G - G'|^2 / |G'|^2 over four layers and three octaves, as formulas on whole images."""
    distances = []
    for _ in range(3):
        mine, theirs = see_as_vgg19(image), see_as_vgg19(style_image)
        for layer in ("1_1", "2_1", "3_1", "3_4"):
            one, two = (x[layer][0].flatten(1) for x in (mine, theirs))
            target = two @ two.T / two.shape[1]
            distances.append(((one @ one.T / one.shape[1] - target).square().sum() / target.square().sum()).item())
        image, style_image = halve(image), halve(style_image)
    return sum(distances) / len(distances)


@needs_data
def test_the_judge_measures_what_the_formula_says(tmp_path: Path) -> None:
    """On the untouched content, the distance from the style image brought to the same longest side."""
    scene = open_pair(tmp_path, 256)
    style_image = torch.from_numpy(scene.style_images["style"].image)
    height, width = (round(side * 256 / max(style_image.shape[2:])) for side in style_image.shape[2:])
    small = functional.interpolate(style_image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    expected = style_by_hand(torch.from_numpy(scene.content), small)
    verdict = Judge(load_vgg19(WEIGHTS), 1).judge(scene, untouched(scene))
    assert verdict.style == pytest.approx(expected, rel=0.03)
    assert verdict.content == pytest.approx(0, abs=1e-6)


def untouched(scene: Scene) -> Rendering:
    """Make a rendering that is the content itself."""
    rendering = Judge(load_lite(), 1).paint(scene, load_lite(), 1)
    rendering.image[:] = scene.content
    return rendering


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    scene = open_pair(tmp_path_factory.mktemp("pair"), 160)
    return Judge(load_vgg19(WEIGHTS), 40).compare("pair", scene, load_lite())


@needs_data
def test_the_embedded_encoder_paints_nearly_as_its_teacher(comparison: Comparison) -> None:
    """On a pair that it was not trained on: style within 1.5 times, content within 1.15 times."""
    assert comparison.student.style <= 1.5 * comparison.teacher.style
    assert comparison.student.content <= 1.15 * comparison.teacher.content


def test_a_half_covered_picture_is_judged_as_it_was_painted(studio: Path) -> None:
    """The paint is laid over the content once, by the render."""
    recipe = studio / "half.yaml"
    Image.new("L", (96, 64), 128).save(studio / "grey.png")
    recipe.write_text(
        "content: photo.png\nstyles: {ink: ink.png}\nregions: [{name: half, mask: grey.png, style: ink}]\n"
    )
    judge = Judge(load_lite(), 4)
    scene = open_scene(read_recipe(recipe, []))
    rendering = judge.paint(scene, load_lite(), 4)
    assert judge.judge(scene, rendering).style == pytest.approx(float(rendering.losses.style), rel=1e-2)


def test_equal_names_stay_apart(studio: Path) -> None:
    (studio / "other").mkdir()
    (studio / "other" / "photo.png").write_bytes((studio / "oil.png").read_bytes())
    pairs = [[studio / "photo.png", studio / "ink.png"], [studio / "other" / "photo.png", studio / "ink.png"]]
    scenes = open_scenes(Namespace(recipe=[], pair=pairs, size=64))
    assert list(scenes) == ["photo-ink", "photo-ink-2"]
    assert not np.array_equal(*(scene.content for scene in scenes.values()))


@needs_data
def test_the_teacher_is_as_good_as_itself(tmp_path: Path) -> None:
    same = Judge(load_vgg19(WEIGHTS), 8).compare("same", open_pair(tmp_path, 96), load_vgg19(WEIGHTS))
    assert same.student.style == pytest.approx(same.teacher.style, rel=1e-3)
    assert same.student.grid == pytest.approx(same.teacher.grid, rel=1e-3)


def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle.cli.evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@needs_data
def test_the_command_prints_a_table_and_saves_what_it_compared(tmp_path: Path) -> None:
    images, out = DATA / "images", tmp_path / "compared"
    done = run_command(
        *("--teacher", WEIGHTS, "--size", 64, "--steps", 2, "--out", out),
        *("--pair", images / CONTENT, images / STYLE, "--pair", images / "nspt_golden_gate.jpg", images / STYLE),
    )
    assert done.returncode == 0, done.stderr
    lines = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[2:]] == [
        "nspt_tubingen-nspt_starry_night",
        "nspt_golden_gate-nspt_starry_night",
        "geometric mean",
    ]
    ratios = [float(line[3]) for line in lines[2:]]
    assert ratios[2] == pytest.approx((ratios[0] * ratios[1]) ** 0.5, abs=0.02)
    assert ratios[0] == pytest.approx(float(lines[2][2]) / float(lines[2][1]), abs=0.02)
    assert len(list(out.glob("*.png"))) == 7


def test_mistakes_are_told_without_a_traceback(tmp_path: Path) -> None:
    done = run_command("--teacher", "none.pth", "--pair", "no.jpg", "nor.jpg", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no.jpg" in done.stderr
    assert "nor.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
