"""What encoders see beyond the border: zeros as published, or the border replicated, without more memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from guidedstyle.encoders.architecture import Architecture
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.passes import IMAGE, AddGradient
from guidedstyle.encoders.registry import FAMILIES
from guidedstyle.encoders.vgg import IMAGENET, LITE, VGG19
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.losses.statistics import tile_octave
from guidedstyle.types import Padding

CPU = torch.device("cpu")
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu3_4")


def make_image(height: int = 48, width: int = 40) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def put_plain(encoder: nn.Module, padding: Padding) -> nn.Module:
    """Put torch's own convolutions with the same weights in place of ours."""
    for name, child in list(encoder.named_children()):
        if isinstance(child, nn.Conv2d):
            how = (child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding)
            plain = nn.Conv2d(*how, bias=child.bias is not None, padding_mode=padding).to(child.weight.dtype)
            plain.load_state_dict(child.state_dict())
            plain.differentiate = plain.forward  # type: ignore[assignment]  # never called: autograd does it
            encoder.add_module(name, plain)
        else:
            put_plain(child, padding)
    return encoder


def read_square(features: Tensor) -> tuple[Tensor, AddGradient]:
    """Read the sum of the squares."""

    def add(outer: Tensor, gradient: Tensor) -> None:
        gradient.add_(2 * outer * features)

    return features.square().sum(), add


def make_pair(architecture: Architecture, padding: Padding) -> tuple[ConvEncoder, ConvEncoder]:
    """Make an encoder, and one with the same weights in torch's own convolutions, both in float64."""
    torch.manual_seed(0)
    ours = ConvEncoder(replace(architecture, padding=padding), IMAGENET).double()
    theirs = ConvEncoder(replace(architecture, padding=padding), IMAGENET).double()
    theirs.load_state_dict(ours.state_dict())
    put_plain(theirs, padding)
    return ours, theirs


@pytest.mark.parametrize("architecture", FAMILIES, ids=lambda one: one.name)
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_features_and_gradients_equal_those_of_torch(architecture: Architecture, padding: Padding) -> None:
    """With gradients of the weights too, which training needs."""
    layers, found = architecture.style_layers, []
    for encoder in make_pair(architecture, padding):
        image = make_image().double().requires_grad_()
        features = encoder.encode(image, layers)
        loss = sum((value**2).sum() for value in features.values())
        gradients = torch.autograd.grad(loss, [image, *encoder.parameters()], allow_unused=True)
        found.append([*features.values(), *(one for one in gradients if one is not None)])
    assert len(found[0]) == len(found[1]) > 1 + len(layers)
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("architecture", FAMILIES, ids=lambda one: one.name)
@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_readers_and_their_gradient_equal_those_of_autograd(architecture: Architecture, padding: Padding) -> None:
    """Two readers of one layer, and one of the image itself, each with a weight of its own."""
    names = [*architecture.style_layers, architecture.style_layers[0], IMAGE]
    weights = 1 + torch.arange(len(names)).double()
    ours, theirs = make_pair(architecture, padding)
    images = [make_image().double().requires_grad_() for _ in range(2)]
    found = torch.stack([*ours.measure(images[0], [(name, read_square) for name in names])])
    features = theirs.encode(images[1], architecture.style_layers) | {IMAGE: images[1]}
    expected = torch.stack([features[name].square().sum() for name in names])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    mine, plain = (
        torch.autograd.grad(weights @ one, image)[0] for one, image in zip((found, expected), images, strict=True)
    )
    torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)


def test_a_gradient_that_is_not_asked_for_is_not_computed() -> None:
    """Deeper layers than those of the losses that count are left out on the way back."""
    encoder, image = load_by_name("lite", None, None), make_image().requires_grad_()
    shallow, deep = encoder.measure(image, [("relu1_1", read_square), ("relu3_4", read_square)])
    (found,) = torch.autograd.grad(shallow, image)
    (expected,) = torch.autograd.grad(encoder.measure(image, [("relu1_1", read_square)])[0], image)
    assert float(deep.detach()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_published_networks_see_zeros_and_lite_a_replicated_border() -> None:
    assert [one.name for one in FAMILIES if one.padding == "zeros"] == [one.name for one in FAMILIES[1:]]
    assert (LITE.padding, VGG19.padding) == ("replicate", "zeros")


def test_moving_an_encoder_sets_its_padding_and_leaves_the_original() -> None:
    encoder, image = load_by_name("lite", None, None), make_image()
    features = {padding: encode(encoder.move(CPU, torch.float32, padding), image) for padding in ("zeros", "replicate")}
    for layer in LAYERS:
        apart = (features["zeros"][layer] - features["replicate"][layer]).abs().sum(1)[0]
        assert float(apart[0].mean()) > 0
        inside = slice(16 // LITE.layers[layer].stride, -16 // LITE.layers[layer].stride)
        reach = LITE.layers[layer].receptive_field // 2
        if reach <= 16:
            assert float(apart[inside, inside].max()) == 0
    torch.testing.assert_close(encode(encoder, image), features["replicate"])
    assert encoder.architecture.padding == "replicate"
    assert encoder.move(CPU, torch.float32, "zeros").fingerprint() != encoder.fingerprint()


def encode(encoder: ConvEncoder, image: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return encoder.encode(image, LAYERS)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_flat_image_has_flat_features_up_to_the_border(level: float) -> None:
    """Of zeros beyond the border the same cannot be said: they are what paints a frame around an image."""
    encoder, flat = load_by_name("lite", None, None), torch.full((1, 3, 48, 40), level)
    for layer, value in encode(encoder, flat).items():
        assert float((value.amax((2, 3)) - value.amin((2, 3))).abs().max()) < 1e-4, layer
    framed = encode(encoder.move(CPU, torch.float32, "zeros"), flat)["relu3_4"]
    assert float((framed.amax((2, 3)) - framed.amin((2, 3))).abs().max()) > 0.1


def count_kept(architecture: Architecture, padding: Padding, *, readers: bool = True) -> int:
    """Count the bytes that torch has allocated and not yet freed after a forward pass."""
    encoder = ConvEncoder(replace(architecture, padding=padding), IMAGENET).requires_grad_(False)
    image, layers = make_image(128, 96).requires_grad_(), architecture.style_layers
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        found = encoder.measure(image, [(name, read_square) for name in layers]) if readers else ()
        features = {} if readers else encoder.encode(image, layers)
    assert found or features
    return sum(event.self_cpu_memory_usage for event in measured.key_averages())


@pytest.mark.parametrize("architecture", FAMILIES, ids=lambda one: one.name)
def test_a_replicated_border_keeps_no_second_copy_of_the_features(architecture: Architecture) -> None:
    assert count_kept(architecture, "replicate") <= 1.01 * count_kept(architecture, "zeros")


@pytest.mark.parametrize("architecture", FAMILIES, ids=lambda one: one.name)
def test_readers_keep_less_than_autograd_does(architecture: Architecture) -> None:
    """At least the features before pooling, of which only the indices of the largest are needed."""
    assert count_kept(architecture, "zeros") < 0.95 * count_kept(architecture, "zeros", readers=False)


def test_features_are_freed_as_their_gradient_passes() -> None:
    """And nothing is left once they are gone: what autograd returns must not keep itself alive."""
    encoder = load_by_name("lite", None, None)
    image = make_image(128, 96).requires_grad_()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        found = encoder.measure(image, [(name, read_square) for name in LAYERS])
        torch.autograd.grad(sum(found), image)
        del found
    left = sum(event.self_cpu_memory_usage for event in measured.key_averages())
    assert left < image.nbytes


def test_the_gradient_of_what_readers_read_is_computed_once() -> None:
    encoder, image = load_by_name("lite", None, None), make_image().requires_grad_()
    (loss,) = encoder.measure(image, [("relu2_1", read_square)])
    torch.autograd.grad(loss, image, retain_graph=True)
    with pytest.raises(RuntimeError, match="encode the image again"):
        torch.autograd.grad(loss, image)


def test_tiles_have_the_features_of_the_whole_image_with_a_replicated_border() -> None:
    encoder, image = load_by_name("lite", None, None), make_image(160, 192)
    whole, tiles = encode(encoder, image), tile_octave(LITE, (192, 160), LAYERS, 64)
    assert len(tiles) > 4
    for layer in LAYERS:
        for tile in tiles:
            own = tile.take_own(encode(encoder, tile.cut(image))[layer], LITE.layers[layer])
            expected = whole[layer][(..., *tile.positions(LITE.layers[layer]))]
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)
