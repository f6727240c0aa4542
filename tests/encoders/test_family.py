"""Encoders of any architecture, SqueezeNet before all; a new family takes one module and one registration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from support.alexnet import ALEXNET
from support.cases import DATA, SQUEEZENET_WEIGHTS, needs_data

from guidedstyle.app.api import check, load_recipe
from guidedstyle.encoders.architecture import Architecture, Block, Download, Fork, Layer, Pooling, Window
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.registry import find_architecture, list_encoders, register, unregister
from guidedstyle.encoders.squeezenet import SQUEEZENET, SQUEEZENET_1_1
from guidedstyle.encoders.vgg import IMAGENET, LITE, VGG16, VGG19
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import Plan, make_plan
from guidedstyle.engine.render import render
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_image, to_array
from guidedstyle.losses.propagation import erode_to_grid
from guidedstyle.losses.statistics import tile_octave
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.schema import make_schema
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

SIZES = [(64, 64), (65, 67), (97, 83), (40, 133), (110, 111)]
WHOLE = LITE, VGG19, VGG16, SQUEEZENET, SQUEEZENET_1_1, ALEXNET


@pytest.fixture
def added() -> Iterator[None]:
    """Add a family of encoders."""
    register(ALEXNET)
    yield
    unregister("alexnet")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(SQUEEZENET, tmp_path)


def write_weights(architecture: Architecture, folder: Path) -> Path:
    """Write random weights, in the scale in which features neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    state = ConvEncoder(architecture, IMAGENET).state_dict()
    for key, value in state.items():
        scale = (2 / value[0].numel()) ** 0.5 if value.ndim == 4 else 0.0
        state[key] = scale * torch.randn(value.shape, generator=generator)
    save_file(state, file := folder / f"{architecture.name}.safetensors", {"input": "RGB 0..1"})
    return file


def average(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(replace(one, kind="average") if isinstance(one, Pooling) else one for one in blocks)


def make_transparent(architecture: Architecture) -> ConvEncoder:
    """Make a network whose every feature depends on every pixel that it sees: no weight is zero, and no maximum."""
    encoder = ConvEncoder(replace(architecture, blocks=average(architecture.blocks)), IMAGENET).double()
    for parameter in encoder.parameters():
        parameter.data.fill_(1 / parameter[0].numel()) if parameter.ndim > 1 else parameter.data.fill_(0.1)
    return encoder.requires_grad_(False)


def list_lines(architecture: Architecture) -> list[str]:
    """List the layers whose receptive field fits well into an image of 300 px."""
    return [name for name, layer in architecture.layers.items() if layer.receptive_field < 160]


@pytest.mark.parametrize("architecture", WHOLE, ids=lambda one: one.name)
def test_a_receptive_field_is_where_the_gradient_of_a_position_is_not_zero(architecture: Architecture) -> None:
    encoder, layers = make_transparent(architecture), list_lines(architecture)
    image = torch.full((1, 3, 299, 48), 0.9, dtype=torch.float64).requires_grad_()
    for name in layers:
        layer, found = architecture.layers[name], encoder.encode(image, [name])[name]
        position = (150 - layer.field_start) // layer.stride - layer.receptive_field // (2 * layer.stride)
        (gradient,) = torch.autograd.grad(found[0, :, position, 0].sum(), image)
        rows = gradient[0].abs().sum((0, 2)).nonzero().flatten()
        start = layer.field_start + position * layer.stride
        assert (int(rows.min()), int(rows.max()) + 1) == (start, start + layer.receptive_field), name


@pytest.mark.parametrize("architecture", WHOLE, ids=lambda one: one.name)
def test_a_grid_is_the_shape_of_the_features(architecture: Architecture) -> None:
    encoder = ConvEncoder(architecture, IMAGENET).requires_grad_(False)
    for height, width in SIZES:
        features = encoder.encode(torch.zeros(1, 3, height, width), encoder.layers)
        for name, layer in encoder.layers.items():
            assert features[name].shape == (1, layer.channels, *layer.grid((height, width))), (name, height, width)


@pytest.mark.parametrize("length", range(1, 40))
def test_a_window_counts_its_positions_as_torch_does(length: int) -> None:
    """An image that is too small for a layer has a grid of 0, where torch raises an error."""
    encoder = ConvEncoder(SQUEEZENET, IMAGENET).requires_grad_(False)
    for name, layer in encoder.layers.items():
        try:
            counted = encoder.encode(torch.zeros(1, 3, length, 60), [name])[name].shape[2]
        except RuntimeError:
            counted = 0
        assert layer.count(length) == counted, name


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 2, 0), (2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (5, 3, 2)]
)
@pytest.mark.parametrize("ceil", [False, True])
def test_a_pooling_counts_its_windows_as_torch_does(kernel: int, stride: int, padding: int, ceil: bool) -> None:
    for length in range(kernel, 20):
        pooled = torch.nn.functional.max_pool2d(torch.zeros(1, 1, length, 9), kernel, stride, padding, ceil_mode=ceil)
        assert Window(kernel, stride, padding, ceil).count(length) == pooled.shape[2], length


@pytest.mark.parametrize(
    ("name", "model", "lasts"),
    [
        ("squeezenet", "squeezenet1_0", {"relu1": 1, "fire2": 3, "fire5": 7, "fire9": 12}),
        ("squeezenet1_1", "squeezenet1_1", {"relu1": 1, "fire2": 3, "fire3": 4, "fire5": 7, "fire9": 12}),
        ("vgg16", "vgg16", {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}),
    ],
)
def test_a_described_network_is_torchvisions(name: str, model: str, lasts: dict[str, int], tmp_path: Path) -> None:
    from torchvision import models

    mine = load_by_name(name, write_weights(find_architecture(name), tmp_path), "torchvision").double()
    theirs = getattr(models, model)(weights=None).eval().double()
    theirs.load_state_dict(mine.state_dict(), strict=False)
    image = torch.rand(1, 3, 97, 83, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    for name, last in lasts.items():
        with torch.no_grad():
            expected = theirs.features[: last + 1]((image - mean) / std)
        torch.testing.assert_close(mine.encode(image, [name])[name], expected, rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("size", [(277, 203), (200, 130)])
def test_features_of_tiles_are_those_of_the_whole_image_each_once(size: tuple[int, int], weights: Path) -> None:
    encoder = load_by_name("squeezenet", weights, "torchvision")
    image = torch.rand(1, 3, *size[::-1], generator=torch.Generator().manual_seed(0))
    for layers in (["relu1"], ["relu1", "fire3"], list(encoder.layers)):
        whole, tiles = encoder.encode(image, layers), tile_octave(SQUEEZENET, size, layers, 64)
        assert len(tiles) > 1
        counts = {name: torch.zeros(features.shape[2:]) for name, features in whole.items()}
        for tile in tiles:
            for name, found in encoder.encode(tile.cut(image), layers).items():
                layer = encoder.layers[name]
                torch.testing.assert_close(tile.take_own(found, layer), whole[name][(..., *tile.positions(layer))])
                counts[name][tile.positions(layer)] += 1
        assert all(bool((count == 1).all()) for count in counts.values())


def test_tiles_are_enlarged_until_each_has_positions_of_every_layer() -> None:
    """Without padding a deep layer has none near the edges."""
    unpadded = replace(SQUEEZENET, blocks=tuple(map(remove_padding, SQUEEZENET.blocks)))
    layers = list(unpadded.layers)
    for tile in tile_octave(unpadded, (320, 320), layers, 32):
        for layer in unpadded.layers.values():
            assert all(cells.stop > cells.start for cells in tile.positions(layer))


def remove_padding(block: Block) -> Block:
    """Let the wide branch alone decide, since without padding the grids of both differ."""
    if not isinstance(block, Fork):
        return block
    (wide,) = block.branches[1]
    return replace(wide, window=replace(wide.window, padding=0), layer=block.layer)


def find_least(weights: np.ndarray, layer: Layer) -> np.ndarray:
    """Find the least weight (R, H, W) in the receptive field of every position, one after the other: (R, h, w)."""
    found = np.empty((len(weights), *layer.grid(weights.shape[1:])))
    for row, column in np.ndindex(*found.shape[1:]):
        top, left = (layer.field_start + index * layer.stride for index in (row, column))
        bottom, right = top + layer.receptive_field, left + layer.receptive_field
        found[:, row, column] = weights[:, max(top, 0) : bottom, max(left, 0) : right].min((1, 2))
    return found


@pytest.mark.parametrize("shape", [(64, 96), (67, 83)])
def test_inside_guides_ask_for_the_whole_receptive_field(shape: tuple[int, int]) -> None:
    """Position by position, for receptive fields that are not centred in their cells."""
    noise, weights = np.random.default_rng(0), np.ones((1, *shape), np.float32)
    weights[0, noise.integers(0, shape[0], 3), noise.integers(0, shape[1], 3)] = 0
    for name in ("relu1", "fire2", "fire4", "fire5"):
        layer = SQUEEZENET.layers[name]
        found = erode_to_grid(weights, layer.grid(shape), layer)
        assert found.shape[1:] == layer.grid(shape)
        assert (found == find_least(weights, layer)).all(), name


def open_small(project: Path, weights: Path, name: str = "squeezenet", **keys: object) -> Scene:
    encoder = {"name": name, "weights": str(weights)}
    encoder |= {"convention": "torchvision"} if name == "squeezenet" else {}
    text = (project / "recipe.yaml").read_text()
    (project / f"{name}.yaml").write_text(
        f"{text}encoder: {json.dumps(encoder)}\n{yaml.safe_dump(keys) if keys else ''}\n"
    )
    return open_scene(read_recipe(project / f"{name}.yaml"))


def tile_plan(plan: Plan, tiling: Tiling) -> Plan:
    return replace(plan, tilings=(tiling,) * len(plan.stages), precision=torch.float32)


@pytest.mark.parametrize("key", ["guides", None])
def test_a_render_lowers_the_loss_and_its_gradient_is_the_same_in_tiles(
    key: str | None, project: Path, weights: Path
) -> None:
    scene = open_small(project, weights, **({"guides": "inside"} if key else {}), size=203)
    encoder = load_by_name("squeezenet", weights, "torchvision")
    plan = tile_plan(make_plan(scene, encoder, "cpu"), Tiling())
    image = torch.from_numpy(scene.content).flip(3).contiguous()
    gradients, losses = [], list[float]()
    for tiling in (Tiling(), Tiling(64), Tiling(64, 0.5, content=False)):
        objective = Objective(scene, encoder, tile_plan(plan, tiling), plan.stages[-1])
        assert (len(objective.octaves[0].tiles) > 1) == bool(tiling.side)
        loss = objective(leaf := image.clone().requires_grad_()).total
        gradients.append(torch.autograd.grad(loss, leaf)[0])
        losses.append(float(loss.detach()))
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        assert loss == pytest.approx(losses[0], rel=1e-5)
        assert float((gradient - gradients[0]).norm() / gradients[0].norm()) < 1e-4
    for tiling in (Tiling(), Tiling(64)):
        rendering = render(scene, encoder, tile_plan(plan, tiling))
        last = rendering.history.total[rendering.history.stages == len(plan.stages) - 1]
        assert rendering.finished
        assert float(rendering.losses.total) < 0.9 * float(last[0])


def test_an_image_too_small_for_a_layer_is_refused_with_the_layer(project: Path, weights: Path) -> None:
    encoder = load_by_name("squeezenet", weights, "torchvision")
    assert make_plan(open_small(project, weights, style_layers=["fire8"], size=24), encoder, "cpu")
    scene = open_small(project, weights, style_layers=["fire9"], size=24)
    with pytest.raises(GuidedStyleError, match=r"size: 24 x 16 px, .* too small for layer fire9"):
        make_plan(scene, encoder, "cpu")


def test_recipes_know_encoders_by_their_names(project: Path, weights: Path) -> None:
    assert list_encoders() == ["lite", "vgg19", "vgg16", "squeezenet", "squeezenet1_1"]
    assert make_schema()["$defs"]["EncoderChoice"]["properties"]["name"]["enum"] == list_encoders()
    open_small(project, weights)
    recipe = load_recipe(project / "squeezenet.yaml")
    assert recipe.encoder.name == "squeezenet"
    assert check(recipe).size == (96, 64)
    with pytest.raises(GuidedStyleError, match=r"squeezenet has no layer 'relu1_1'[^\0]*use relu1 to fire9"):
        load_recipe(project / "squeezenet.yaml", {"style_layers": "relu1_1"})
    with pytest.raises(
        GuidedStyleError, match="name must be 'lite', 'vgg19', 'vgg16', 'squeezenet' or 'squeezenet1_1'"
    ):
        load_recipe(project / "squeezenet.yaml", {"encoder.name": "alexnet"})


@pytest.mark.usefixtures("added")
def test_an_added_family_is_known_by_its_name_and_renders(project: Path) -> None:
    assert list_encoders()[-1] == "alexnet"
    scene = open_small(project, weights := write_weights(ALEXNET, project), "alexnet", octaves=[1])
    recipe = load_recipe(project / "alexnet.yaml")
    assert recipe.encoder.name == "alexnet"
    with pytest.raises(GuidedStyleError, match=r"alexnet has no layer 'fire2'[^\0]*use relu1 to relu5"):
        load_recipe(project / "alexnet.yaml", {"style_layers": "fire2"})
    encoder = load_by_name("alexnet", weights)
    rendering = render(scene, encoder, tile_plan(make_plan(scene, encoder, "cpu"), Tiling()))
    assert rendering.finished
    assert float(rendering.losses.total) < 0.9 * float(rendering.history.total[0])


@pytest.mark.usefixtures("added")
def test_an_encoder_without_weights_of_its_own_asks_for_a_file() -> None:
    with pytest.raises(GuidedStyleError, match=r"not part of the package[^\0]*weights: FILE"):
        load_by_name("alexnet")


def test_the_download_is_named_by_its_hash_as_torchvisions() -> None:
    """A file of that hash says by itself which input it expects."""
    from torchvision.models import SqueezeNet1_0_Weights, SqueezeNet1_1_Weights, VGG16_Weights, VGG19_Weights

    published = (
        (SQUEEZENET, SqueezeNet1_0_Weights),
        (SQUEEZENET_1_1, SqueezeNet1_1_Weights),
        (VGG16, VGG16_Weights),
        (VGG19, VGG19_Weights),
    )
    for architecture, weights in published:
        assert isinstance(architecture.source, Download)
        assert architecture.source.url == weights.DEFAULT.url
    assert SQUEEZENET.source.digest == "b66bff10"


def test_weights_are_cut_at_the_first_block_that_they_lack(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = {key: value for key, value in load_file(weights).items() if not key.startswith("features.5.expand3x3")}
    save_file(state, tmp_path / "short.safetensors")
    encoder = load_by_name("squeezenet", tmp_path / "short.safetensors", "torchvision")
    assert list(encoder.layers) == ["relu1", "fire2", "fire3"]


@needs_data
def test_the_real_network_renders(project: Path) -> None:
    encoder = load_by_name("squeezenet", SQUEEZENET_WEIGHTS, "original")
    assert list(encoder.layers)[-1] == "fire9"
    scene = open_small(project, SQUEEZENET_WEIGHTS)
    rendering = render(scene, encoder, tile_plan(make_plan(scene, encoder, "cpu"), Tiling()))
    assert rendering.finished
    assert float(rendering.losses.total) < 0.9 * float(rendering.history.total[0])


@needs_data
@pytest.mark.parametrize(
    ("photo", "names"),
    [
        ("images/adain_sailboat.jpg", {"schooner", "yawl"}),
        ("images/gor_lion.jpg", {"lion"}),
        ("images/gor_taj_mahal.jpg", {"mosque"}),
        ("images/nspt_golden_gate.jpg", {"suspension bridge"}),
        ("cases/pair10_content.png", {"cab"}),
        ("cases/pair29_content.png", {"sports car"}),
    ],
)
def test_the_real_network_names_photographs_in_its_first_three(photo: str, names: set[str]) -> None:
    """Through the classifier of its weights, which reads the deepest layer."""
    from safetensors.torch import load_file
    from torchvision.models import SqueezeNet1_0_Weights

    encoder, state = load_by_name("squeezenet", SQUEEZENET_WEIGHTS, "original"), load_file(SQUEEZENET_WEIGHTS)
    image = read_image(DATA / photo, 341)
    features = encoder.encode(torch.from_numpy(to_array(image)), ["fire9"])["fire9"]
    classifier = (state[f"classifier.1.{key}"].float() for key in ("weight", "bias"))
    scores = torch.relu(torch.nn.functional.conv2d(features, *classifier)).mean((0, 2, 3))
    found = [SqueezeNet1_0_Weights.DEFAULT.meta["categories"][index] for index in scores.topk(3).indices]
    assert names & set(found), found
