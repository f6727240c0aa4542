"""Encoders compute the same as the networks of the literature, and stop at the deepest layer requested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.cases import WEIGHTS, needs_data

from guidedstyle.encoders.architecture import Pooling
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.vgg import IMAGENET, LITE, VGG19
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.errors import GuidedStyleError

IMAGE = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("layer", "field", "stride"),
    [
        ("relu1_1", 3, 1),
        ("relu2_1", 10, 2),
        ("relu3_1", 24, 4),
        ("relu3_4", 48, 4),
        ("relu4_1", 68, 8),
        ("relu5_1", 156, 16),
    ],
)
def test_receptive_fields_and_strides_are_those_of_the_literature(layer: str, field: int, stride: int) -> None:
    found = VGG19.layers[layer]
    assert (found.receptive_field, found.stride) == (field, stride)


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_2", "relu3_1", "relu3_3"])
def test_receptive_field_is_where_the_gradient_is_not_zero(layer: str) -> None:
    """Measured on the network itself, with positive weights and average pooling so that no pixel is hidden."""
    blocks = [replace(block, kind="average") if isinstance(block, Pooling) else block for block in LITE.blocks]
    encoder = ConvEncoder(replace(LITE, blocks=tuple(blocks)), IMAGENET)
    for parameter in encoder.parameters():
        parameter.data.abs_().clamp_(min=1e-3)
    image = torch.full((1, 3, 96, 96), 0.9).requires_grad_()
    features = encoder.encode(image, [layer])[layer]
    known = LITE.layers[layer]
    assert features.shape == (1, known.channels, 96 // known.stride, 96 // known.stride)
    features[0, 0, features.shape[2] // 2, features.shape[3] // 2].backward()
    reached = image.grad[0].abs().sum(0).nonzero()
    assert (reached.max(0).values - reached.min(0).values + 1).tolist() == [known.receptive_field] * 2


def test_equals_torchvisions_vgg19(tmp_path: Path) -> None:
    from torchvision.models import vgg19

    theirs = vgg19(weights=None).eval()
    file = tmp_path / "vgg19.pth"
    torch.save(theirs.state_dict(), file)
    mine = load_by_name("vgg19", file, "torchvision")
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    for name, last in {"relu1_1": 1, "relu3_4": 17, "relu4_2": 22, "relu5_4": 35}.items():
        with torch.no_grad():
            expected = theirs.features[: last + 1]((IMAGE - mean) / std)
        torch.testing.assert_close(mine.encode(IMAGE, [name])[name], expected)


def test_original_and_torchvision_conventions_agree(tmp_path: Path) -> None:
    """The same network written for the other input gives the same features."""
    state = {k: v for k, v in ConvEncoder(VGG19, IMAGENET).state_dict().items() if k < "features.2"}
    state = {key: state[key].contiguous() for key in ("features.0.weight", "features.0.bias")}
    save_file(state, tmp_path / "torchvision.safetensors")
    original_mean = torch.tensor([123.68, 116.779, 103.939]) / 255
    scale = 1 / (255 * torch.tensor(IMAGENET.std)).view(1, 3, 1, 1)
    shift = ((original_mean - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)).view(1, 3, 1, 1)
    bias = state["features.0.bias"] + (state["features.0.weight"] * shift).sum((1, 2, 3))
    save_file(
        {"features.0.weight": state["features.0.weight"] * scale, "features.0.bias": bias},
        tmp_path / "original.safetensors",
        {"input": "RGB 0..255 minus (123.68,116.779,103.939)"},
    )
    one = load_by_name("vgg19", tmp_path / "torchvision.safetensors", "torchvision").encode(IMAGE, ["relu1_1"])[
        "relu1_1"
    ]
    two = load_by_name("vgg19", tmp_path / "original.safetensors").encode(IMAGE, ["relu1_1"])["relu1_1"]
    torch.testing.assert_close(one[:, :, 1:-1, 1:-1], two[:, :, 1:-1, 1:-1], rtol=1e-4, atol=1e-4)


def test_stops_at_the_deepest_layer_requested() -> None:
    encoder = load_by_name("lite")
    for parameter in encoder.convolution("relu3_1").parameters():
        parameter.data.fill_(float("nan"))
    assert torch.isfinite(encoder.encode(IMAGE, ["relu2_1", "relu1_1"])["relu2_1"]).all()
    assert torch.isnan(encoder.encode(IMAGE, ["relu3_1"])["relu3_1"]).any()


def test_lite_is_frozen_and_small() -> None:
    encoder = load_by_name("lite")
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert all(torch.isfinite(features).all() for features in encoder.encode(IMAGE, LITE.style_layers).values())


def test_unknown_layer_is_named() -> None:
    with pytest.raises(KeyError, match="lite has no layer"):
        load_by_name("lite").encode(IMAGE, ["relu9_9"])


@needs_data
def test_real_weights_go_as_far_as_the_file() -> None:
    encoder = load_by_name("vgg19", WEIGHTS)
    assert list(encoder.layers)[-1] == "relu3_4"
    features = encoder.encode(IMAGE, ["relu1_1", "relu3_4"])
    assert features["relu3_4"].shape == (1, 256, 12, 10)
    assert features["relu1_1"].mean() > 1  # the original network's features are of the size of its input, 0..255


@needs_data
def test_real_weights_without_their_convention_are_refused(tmp_path: Path) -> None:
    save_file(load_file(WEIGHTS), tmp_path / "bare.safetensors")
    with pytest.raises(GuidedStyleError, match="does not say which input"):
        load_by_name("vgg19", tmp_path / "bare.safetensors")


@pytest.mark.parametrize("name", ["bad.safetensors", "bad.pth"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x00" * 4096])
def test_files_without_weights_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GuidedStyleError, match=r"no network weights can be read[^\0]*name a"):
        load_by_name("vgg19", tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(GuidedStyleError, match="do not fit vgg19"):
        load_by_name("vgg19", tmp_path / "other.safetensors", "torchvision")
    save_file({"layer.weight": torch.zeros(8)}, tmp_path / "none.safetensors")
    with pytest.raises(GuidedStyleError, match=r"no key features\.0\.weight"):
        load_by_name("vgg19", tmp_path / "none.safetensors", "torchvision")


def test_a_failed_download_is_an_error_that_names_alternatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(GuidedStyleError, match=r"could not be downloaded[^\0]*use encoder: lite"):
        load_by_name("vgg19")
