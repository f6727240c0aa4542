"""The second judge against torchvision's network and Gram matrices in numpy, with the real weights of SqueezeNet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageOps
from safetensors.torch import load_file
from support.cases import DATA, SQUEEZENET_WEIGHTS, needs_data
from torch import Tensor

from guidedstyle.encoders.encoder import Unloaded
from guidedstyle.encoders.registry import find_architecture
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.errors import GuidedStyleError
from guidedstyle.evaluation.second_judge import LAYERS, LayerDistances, SecondJudge, check_scene
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array

SIZE = (192, 128)
NUMBERS = {"fire3": 4, "fire5": 7, "fire7": 9, "fire8": 10}  # in torchvision's `features`
MEAN = torch.tensor([123.0, 117.0, 104.0]).view(1, 3, 1, 1)  # of inputs of 0..255
IMAGES = {"photo": "nspt_tubingen.jpg", "starry": "nspt_starry_night.jpg", "candy": "jfns_candy.jpg"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a photo and two paintings, all of one size, so that nothing is resized later."""
    for name, file in IMAGES.items():
        ImageOps.fit(Image.open(DATA / "images" / file).convert("RGB"), SIZE).save(tmp_path / f"{name}.png")
    left = np.zeros(SIZE[::-1], np.uint8)
    left[:, : SIZE[0] // 2] = 255
    Image.fromarray(left).save(tmp_path / "left.png")
    return tmp_path


@pytest.fixture(scope="module")
def judge() -> SecondJudge:
    return SecondJudge(load_by_name("squeezenet", SQUEEZENET_WEIGHTS))


def open_keys(folder: Path, **keys: object) -> Scene:
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"content": "photo.png", **keys}))
    return open_scene(read_recipe(folder / "recipe.yaml"))


def read(file: Path) -> Array:
    return (np.asarray(Image.open(file), np.float32) / 255).transpose(2, 0, 1)[None]


def compute_grams(image: Array) -> dict[str, np.ndarray]:
    """Compute Gram matrices per position, by torchvision's network."""
    from torchvision.models import squeezenet1_0

    network = squeezenet1_0(weights=None).eval()
    network.load_state_dict({key: value.float() for key, value in load_file(SQUEEZENET_WEIGHTS).items()})
    found = {}
    for name, number in NUMBERS.items():
        x: Tensor = 255 * torch.from_numpy(image) - MEAN
        with torch.no_grad():
            features = network.features[: number + 1](x)[0].double().numpy()
        flat = features.reshape(len(features), -1)
        found[name] = flat @ flat.T / flat.shape[1]
    return found


def compare_grams(image: Array, *targets: tuple[float, Array]) -> dict[str, float]:
    """Compare the Gram matrices of an image with the weighted mean of those of targets."""
    grams, own = [(share, compute_grams(target)) for share, target in targets], compute_grams(image)
    mixed = {name: sum(share * gram[name] for share, gram in grams) for name in NUMBERS}
    return {name: np.square(own[name] - mixed[name]).sum() / np.square(mixed[name]).sum() for name in NUMBERS}


def check_equal(found: LayerDistances, expected: dict[str, float]) -> None:
    assert tuple(found.layers) == LAYERS == tuple(expected)
    assert found.layers == pytest.approx(expected, rel=1e-3)
    assert found.mean == pytest.approx(sum(expected.values()) / 4, rel=1e-3)


@needs_data
def test_distances_are_those_of_torchvisions_network(folder: Path, judge: SecondJudge) -> None:
    scene = open_keys(folder, style="starry.png")
    found = judge.measure(scene, scene.content)
    check_equal(found, compare_grams(read(folder / "photo.png"), (1, read(folder / "starry.png"))))


@needs_data
def test_a_mixture_is_the_weighted_mean_of_gram_matrices(folder: Path, judge: SecondJudge) -> None:
    scene = open_keys(
        folder, styles={"starry": "starry.png", "candy": "candy.png"}, style={"starry": 0.75, "candy": 0.25}
    )
    paintings = [read(folder / f"{name}.png") for name in ("starry", "candy")]
    found = judge.measure(scene, scene.content)
    check_equal(found, compare_grams(read(folder / "photo.png"), (0.75, paintings[0]), (0.25, paintings[1])))


@needs_data
def test_the_style_image_is_at_zero_and_noise_is_far(folder: Path, judge: SecondJudge) -> None:
    scene = open_keys(folder, style="starry.png")
    assert max(judge.measure(scene, read(folder / "starry.png")).layers.values()) < 1e-6
    noise = np.random.default_rng(0).random((1, 3, *SIZE[::-1]), np.float32)
    far, content = judge.measure(scene, noise), judge.measure(scene, scene.content)
    assert far.mean > 2 * content.mean
    assert min(far.layers.values()) > 0.5


@needs_data
@pytest.mark.parametrize("style", ["starry", "candy"])
def test_distances_fall_as_the_content_is_blended_into_the_style_image(
    style: str, folder: Path, judge: SecondJudge
) -> None:
    scene, painting = open_keys(folder, style=f"{style}.png"), read(folder / f"{style}.png")
    shares = np.linspace(0, 1, 6, dtype=np.float32)
    means = [judge.measure(scene, (1 - share) * scene.content + share * painting).mean for share in shares]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.01 * means[0]


@needs_data
def test_every_region_is_compared_with_its_own_style(folder: Path, judge: SecondJudge) -> None:
    """An image of two halves of paintings, and regions that ask for these, for each other's, or for one of both."""
    image, half = read(folder / "starry.png"), SIZE[0] // 2
    image[..., half:] = read(folder / "candy.png")[..., half:]
    styles = {"starry": "starry.png", "candy": "candy.png"}

    def measure(left: str, right: str) -> LayerDistances:
        regions = [
            {"name": "right", "mask": "rest", "style": right},
            {"name": "left", "mask": "left.png", "style": left},
        ]
        return judge.measure(open_keys(folder, styles=styles, regions=regions), image)

    own, *others = (
        measure(*pair) for pair in (("starry", "candy"), ("candy", "starry"), ("candy",) * 2, ("starry",) * 2)
    )
    assert all(own.layers[layer] < 0.7 * other.layers[layer] for layer in LAYERS for other in others)


@needs_data
def test_layers_and_octaves_of_a_recipe_do_not_change_its_judgement(folder: Path, judge: SecondJudge) -> None:
    region = {"name": "all", "mask": {"all": True}, "style": "s"}
    layers = {"style_layers": {"relu1_1": 2}, "content_layers": "relu2_1", "octaves": "coarse"}
    plain, *others = (
        judge.measure(scene := open_keys(folder, styles={"s": "starry.png"}, **keys), scene.content).layers
        for keys in (
            {"regions": [region]},
            {"regions": [region], "method": "classic"},
            {"regions": [region], "balance": "equal", "size": 192, **layers},
            {"regions": [region | layers | {"content_strength": 4, "strength": 3}]},
        )
    )
    assert all(other == pytest.approx(plain, rel=1e-6) for other in others)


def test_weights_that_end_too_early_are_refused_before_anything_is_rendered(project: Path) -> None:
    scene, whole = open_scene(read_recipe(project / "recipe.yaml")), find_architecture("squeezenet")
    check_scene(scene, Unloaded(whole))
    with pytest.raises(GuidedStyleError, match="the weights end before fire8"):
        check_scene(scene, Unloaded(replace(whole, blocks=whole.blocks[:-5])))
