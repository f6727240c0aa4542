"""The baselines against the classic formulas, written out by hand, and against our own losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.baselines import NeuralStyle, PlainAdam, build_network, see
from support.cases import WEIGHTS, needs_data
from torch import Tensor

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.canvas import resize
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene

MEAN = np.array([123.68, 116.779, 103.939]).reshape(3, 1, 1)
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu3_4")
Wide = NDArray[np.float64]


def draw(seed: int, height: int = 16, width: int = 20) -> Tensor:
    """Draw noise in float64."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def vgg19() -> Encoder:
    return load_by_name("vgg19", WEIGHTS).double()


def encode(encoder: Encoder, image: Tensor) -> dict[str, Wide]:
    """Encode an image with our encoder in float64: (C, N) by layer."""
    with torch.no_grad():
        return {layer: found[0].flatten(1).numpy() for layer, found in encoder.encode(image, LAYERS).items()}


def gram_by_loops(features: Wide) -> Wide:
    """Sum the products of each pair of channels over all positions, divided by the number of elements."""
    channels = len(features)
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            gram[i, j] = np.sum(features[i] * features[j]) / features.size
    return gram


def variation_by_loops(image: Wide) -> float:
    """Sum the absolute differences of neighbouring pixels of (3, H, W)."""
    _, height, width = image.shape
    below = [abs(image[:, y + 1, x] - image[:, y, x]).sum() for y in range(height - 1) for x in range(width)]
    across = [abs(image[:, y, x + 1] - image[:, y, x]).sum() for y in range(height) for x in range(width - 1)]
    return float(sum(below) + sum(across))


@needs_data
def test_neural_style_equals_its_formulas(vgg19: Encoder) -> None:
    """100 times the error of every Gram matrix, 5 times that of the features, 1e-3 times the variation."""
    image, content, style_image = draw(0), draw(1), draw(2, 24, 16)
    classic = NeuralStyle(vgg19, content, style_image)
    own, content_features, targets = (encode(vgg19, one * 256 / 255) for one in (image, content, style_image))
    expected = 5 * np.mean((own["relu3_1"] - content_features["relu3_1"]) ** 2)
    expected += 1e-3 * variation_by_loops(image[0].numpy() * 256 - MEAN)
    for layer in LAYERS:
        expected += 100 * np.mean((gram_by_loops(own[layer]) - gram_by_loops(targets[layer])) ** 2)
    assert float(classic.loss(classic.enter(image))) == pytest.approx(expected, rel=1e-6)


@needs_data
def test_neural_style_descends_its_own_loss(vgg19: Encoder) -> None:
    classic = NeuralStyle(vgg19, draw(1), draw(2, 24, 16))
    assert_slope(classic.loss, classic.enter(draw(0)), 1e-4)


def test_plain_adam_descends_its_own_loss() -> None:
    assert_slope(PlainAdam(load_by_name("lite"), draw(1, 32, 40), draw(2, 40, 32)).loss, draw(0, 32, 40), 1e-7)


def assert_slope(loss: Callable[[Tensor], Tensor], image: Tensor, reach: float) -> None:
    """Check the gradient against central differences along random directions."""
    (gradient,) = torch.autograd.grad(loss(image.requires_grad_()), image)
    for seed in range(3):
        way = draw(10 + seed, *image.shape[2:]) - 0.5
        with torch.no_grad():
            slope = (loss(image + reach * way) - loss(image - reach * way)) / (2 * reach)
        assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-4)


@needs_data
def test_plain_networks_equal_our_encoders() -> None:
    image = draw(0, 32, 40).float()
    for encoder in (load_by_name("vgg19", WEIGHTS), load_by_name("lite")):
        with torch.no_grad():
            plain = see(build_network(encoder), (image - encoder.mean) / encoder.std)
            ours = encoder.encode(image, encoder.layers)
        for layer, found in ours.items():
            assert (plain[layer] - found).norm() < 1e-5 * found.norm(), layer
            assert plain[layer].is_contiguous()
            assert plain[layer].dtype == torch.float32


def test_plain_network_of_a_used_encoder_is_plain() -> None:
    """A render leaves its encoder in another layout and precision."""
    used = load_by_name("lite").to(torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.no_grad():
        seen = see(build_network(used), draw(0, 32, 40).float())
    assert all(found.is_contiguous() and found.dtype == torch.float32 for found in seen.values())


def test_plain_adam_minimises_the_loss_of_a_render(project: Path) -> None:
    (project / "a.yaml").write_text("content: photo.png\nstyle: ink.png\n")
    scene = open_scene(read_recipe(project / "a.yaml"))
    encoder = load_by_name("lite")
    plan = make_plan(scene, encoder, "cpu")
    objective = Objective(scene, encoder, plan, plan.stages[-1])
    style_image = scene.style_images["style"]
    content, image = torch.from_numpy(scene.content), draw(0, 64, 96).float()
    plain = PlainAdam(encoder, content, resize(torch.from_numpy(style_image.image), style_image.fit(96)))
    for sample in (content, image, (content + image) / 2):
        with torch.no_grad():
            assert float(plain.loss(sample)) == pytest.approx(float(objective(sample).total), rel=1e-4)


def collect(paint: Callable[..., None], iterations: int, **options: str) -> list[Tensor]:
    """Collect the images of all iterations."""
    numbers, images = [], []

    def watch(number: int, show: Callable[[], Tensor]) -> None:
        numbers.append(number)
        images.append(show())

    paint(iterations, watch, **options)
    assert numbers == list(range(1, iterations + 1))
    assert all(0 <= image.min() <= image.max() <= 1 for image in images)
    return images


@needs_data
def test_neural_style_starts_from_noise_or_the_content(vgg19: Encoder) -> None:
    classic = NeuralStyle(vgg19, draw(1), draw(2))
    mean = torch.from_numpy(MEAN / 256)
    assert (collect(classic.paint, 1)[0] - mean).abs().max() < 1e-4
    images = collect(classic.paint, 6, start="image")
    assert torch.allclose(images[0], draw(1))
    assert classic.loss(classic.enter(images[-1])) < classic.loss(classic.enter(images[0]))


def test_plain_adam_starts_from_the_content() -> None:
    plain = PlainAdam(load_by_name("lite"), draw(1, 32, 40).float(), draw(2, 32, 40).float())
    images = collect(plain.paint, 6)
    assert float((images[0] - plain.content).abs().max()) == pytest.approx(plain.rate, rel=1e-3)
    assert plain.loss(images[-1]) < plain.loss(plain.content) / 2
