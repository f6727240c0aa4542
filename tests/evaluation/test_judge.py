"""The judge against formulas written out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.cases import DATA, WEIGHTS, needs_data
from torch import Tensor
from torch.nn import functional

from guidedstyle.encoders.weights import load_by_name
from guidedstyle.evaluation.judge import EncoderComparison, Judge
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

pytestmark = pytest.mark.slow

CONTENT, STYLE = "nspt_tubingen.jpg", "nspt_starry_night.jpg"
MEAN = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)  # of the original network, for inputs of 0..255


def open_pair(folder: Path, size: int) -> Scene:
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"content: {DATA}/images/{CONTENT}\nstyle: {DATA}/images/{STYLE}\nsize: {size}\n")
    return open_scene(read_recipe(recipe, []))


def encode_by_hand(image: Tensor) -> dict[str, Tensor]:
    """Run VGG-19 to relu3_4 layer by layer on (1, 3, h, w), in float32."""
    weights, features = load_file(WEIGHTS), {}
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
        features[name] = x
    return features


def halve(image: Tensor) -> Tensor:
    size = (image.shape[2] // 2, image.shape[3] // 2)
    return functional.interpolate(image, size, mode="bilinear", antialias=True)


def style_by_hand(image: Tensor, style_image: Tensor) -> float:
    """Average |G - G'|^2 / |G'|^2 over four layers and three octaves, as formulas on whole images."""
    distances = []
    for _ in range(3):
        own, target = encode_by_hand(image), encode_by_hand(style_image)
        for layer in ("1_1", "2_1", "3_1", "3_4"):
            one, two = (x[layer][0].flatten(1) for x in (own, target))
            gram = two @ two.T / two.shape[1]
            distances.append(((one @ one.T / one.shape[1] - gram).square().sum() / gram.square().sum()).item())
        image, style_image = halve(image), halve(style_image)
    return sum(distances) / len(distances)


@needs_data
def test_judge_measures_the_formula(tmp_path: Path) -> None:
    """For the unchanged content: its distance from the style image, resized to the same longest side."""
    scene = open_pair(tmp_path, 256)
    style_image = torch.from_numpy(scene.style_images["style"].image)
    height, width = (round(side * 256 / max(style_image.shape[2:])) for side in style_image.shape[2:])
    small = functional.interpolate(style_image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    expected = style_by_hand(torch.from_numpy(scene.content), small)
    unchanged = Judge(load_by_name("lite"), 1).render(scene, load_by_name("lite"), 1)
    unchanged.image[:] = scene.content
    verdict = Judge(load_by_name("vgg19", WEIGHTS), 1).judge(scene, unchanged)
    assert verdict.style == pytest.approx(expected, rel=0.03)
    assert verdict.content == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> EncoderComparison:
    scene = open_pair(tmp_path_factory.mktemp("pair"), 160)
    return Judge(load_by_name("vgg19", WEIGHTS), 40).compare("pair", scene, load_by_name("lite"))


@needs_data
def test_lite_is_close_to_its_teacher(comparison: EncoderComparison) -> None:
    """On a pair it was not trained on: style distance within 1.5 times, content distance within 1.15 times."""
    assert comparison.student.style <= 1.5 * comparison.teacher.style
    assert comparison.student.content <= 1.15 * comparison.teacher.content


def test_half_covered_image_is_judged_as_rendered(project: Path) -> None:
    """The result is blended with the content once, by the render."""
    recipe = project / "half.yaml"
    Image.new("L", (96, 64), 128).save(project / "grey.png")
    recipe.write_text(
        "content: photo.png\nstyles: {ink: ink.png}\nregions: [{name: half, mask: grey.png, style: ink}]\n"
    )
    judge = Judge(load_by_name("lite"), 4)
    scene = open_scene(read_recipe(recipe, []))
    rendering = judge.render(scene, load_by_name("lite"), 4)
    assert judge.judge(scene, rendering).style == pytest.approx(float(rendering.losses.style), rel=1e-2)


@needs_data
def test_teacher_equals_itself(tmp_path: Path) -> None:
    same = Judge(load_by_name("vgg19", WEIGHTS), 8).compare(
        "same", open_pair(tmp_path, 96), load_by_name("vgg19", WEIGHTS)
    )
    assert same.student.style == pytest.approx(same.teacher.style, rel=1e-3)
    assert same.student.grid == pytest.approx(same.teacher.grid, rel=1e-3)
