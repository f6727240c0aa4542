"""Two plain implementations of style transfer to compare with.

Both run in float32 and torch's default memory format, at a single size, with networks of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoders.architecture import Pooling
from guidedstyle.encoders.encoder import ConvEncoder

Watch = Callable[[int, Callable[[], Tensor]], None]
"""Called with the number of each iteration, from 1, and a function that returns its image (1, 3, H, W) in [0, 1]."""


def ignore(number: int, show: Callable[[], Tensor]) -> None:
    """Do nothing."""


def build_network(encoder: ConvEncoder) -> nn.Sequential:
    """Build a plain network of an encoder's convolutions, with ReLUs named like its layers."""
    modules, stride = OrderedDict[str, nn.Module](), 1
    kinds = {block.kind for block in encoder.architecture.blocks if isinstance(block, Pooling)}
    for layer in encoder.layers.values():
        if layer.stride > stride:
            modules[f"pool before {layer.name}"] = nn.AvgPool2d(2) if kinds == {"average"} else nn.MaxPool2d(2)
        modules[f"convolution of {layer.name}"] = deepcopy(encoder.convolution(layer.name))
        modules[layer.name], stride = nn.ReLU(inplace=True), layer.stride
    return nn.Sequential(modules).to(torch.float32).to(memory_format=torch.contiguous_format)


def see(network: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """Return the outputs of all layers of a network for an image (1, 3, H, W), by name."""
    seen = {}
    for name, module in network.named_children():
        image = seen[name] = module(image)
    return seen


def multiply(features: Tensor) -> Tensor:
    """Multiply features (1, C, h, w) with themselves: F F^T (C, C)."""
    flat = features.flatten(2)[0]
    return flat @ flat.T


class NeuralStyle:
    """The defaults of ProGamerGov's neural-style-pt, with weights that end at relu3_4.

    Its style layers are relu1_1 to relu5_1, its content layer relu4_2; the original weights in the test data end at
    relu3_4, so these layers are used instead. The rest follows its `neural_style.py`: images of
    0..256 less the mean pixel, max pooling, F F^T over the number of elements C H W, mean squared errors with weights
    of 100 for every style layer and 5 for content, the total variation (sum of absolute differences) with 1e-3, and
    one call of L-BFGS without a line search. Values are clamped only in the result.
    """

    style_layers, content_layer = ("relu1_1", "relu2_1", "relu3_1", "relu3_4"), "relu3_1"
    style_weight, content_weight, variation_weight = 100.0, 5.0, 1e-3
    history, whole_range, noise = 100, 256, 0.001

    def __init__(self, encoder: ConvEncoder, content: Tensor, style_image: Tensor) -> None:
        """Measure the targets in the precision of the images (1, 3, H, W) in [0, 1]; `encoder` has the weights."""
        self.network = build_network(encoder).to(content.dtype)
        self.mean = torch.tensor((123.68, 116.779, 103.939), dtype=content.dtype).view(1, 3, 1, 1)
        self.content = self.enter(content)
        with torch.no_grad():
            self.content_features = see(self.network, self.content)[self.content_layer]
            painted = see(self.network, self.enter(style_image))
            self.targets = {layer: self.gram(painted[layer]) for layer in self.style_layers}

    def enter(self, image: Tensor) -> Tensor:
        """Convert an image in [0, 1] to the input of the network."""
        return image * self.whole_range - self.mean

    def show(self, image: Tensor) -> Tensor:
        """Convert an input of the network to an image in [0, 1]."""
        return ((image.detach() + self.mean) / self.whole_range).clamp(0, 1)

    def gram(self, features: Tensor) -> Tensor:
        """Compute the Gram matrix of a layer, over the number of its elements."""
        return multiply(features) / features.numel()

    def loss(self, image: Tensor) -> Tensor:
        """Compute the loss of an input of the network."""
        seen = see(self.network, image)
        style = sum(functional.mse_loss(self.gram(seen[layer]), expected) for layer, expected in self.targets.items())
        content = functional.mse_loss(seen[self.content_layer], self.content_features)
        down, right = image[:, :, 1:] - image[:, :, :-1], image[:, :, :, 1:] - image[:, :, :, :-1]
        variation = down.abs().sum() + right.abs().sum()
        return self.style_weight * style + self.content_weight * content + self.variation_weight * variation

    def paint(
        self, iterations: int, watch: Watch = ignore, start: Literal["noise", "image"] = "noise", seed: int = 0
    ) -> None:
        """Optimise from noise (its default) or the content; `watch` gets the image that was evaluated last."""
        noise = torch.randn(self.content.shape, generator=torch.Generator().manual_seed(seed), dtype=self.content.dtype)
        image = (self.content.clone() if start == "image" else self.noise * noise).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [image], lr=1, max_iter=iterations, tolerance_grad=-1, tolerance_change=-1, history_size=self.history
        )
        numbers = count(1)

        def evaluate() -> Tensor:
            optimiser.zero_grad()
            loss = self.loss(image)
            loss.backward()
            watch(next(numbers), lambda: self.show(image))
            return loss

        optimiser.step(evaluate)


def measure_lines(image: Tensor) -> Tensor:
    """Sum the squares of differences of the outermost five rows, averaged over 15 px along them."""
    jumps = (image[:, :, 1:5] - image[:, :, :4]).unfold(3, 15, 1).mean(-1)
    return jumps.square().sum()


class PlainAdam:
    """The default losses of a recipe with one content and one style image, minimised by plain Adam."""

    octaves, rate = 3, 0.02
    content_weight, smoothness_weight, frame_weight = 0.0225, 0.1, 3.0

    def __init__(self, encoder: ConvEncoder, content: Tensor, style_image: Tensor) -> None:
        """Measure the targets in the precision of the images (1, 3, H, W) in [0, 1]."""
        self.encoder, self.content, self.network = encoder, content, build_network(encoder).to(content.dtype)
        self.style_layers, self.content_layer = encoder.architecture.style_layers, encoder.architecture.content_layer
        with torch.no_grad():
            self.content_features = self.see(content)[self.content_layer]
            self.targets = self.measure([self.see(octave) for octave in self.halve(style_image)])

    def see(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features of an image by layer."""
        return see(self.network, (image - self.encoder.mean) / self.encoder.std)

    def halve(self, image: Tensor) -> list[Tensor]:
        """Return an image and its halvings, the finest first."""
        images = [image]
        while len(images) < self.octaves:
            size = [side // 2 for side in images[-1].shape[2:]]
            images.append(functional.interpolate(images[-1], size, mode="bilinear", antialias=True))
        return images

    def measure(self, seen: list[dict[str, Tensor]]) -> list[Tensor]:
        """Measure the Gram matrices of all octaves and layers, M G M^T where a layer has a metric M."""
        grams = []
        for features in seen:
            for layer in self.style_layers:
                gram = multiply(features[layer]) / features[layer][0, 0].numel()
                metric = self.encoder.metrics.get(layer)
                grams.append(gram if metric is None else metric.to(gram) @ gram @ metric.to(gram).T)
        return grams

    def loss(self, image: Tensor) -> Tensor:
        """Compute the loss of an image: style and content relative to their targets, and the mean variation."""
        seen = [self.see(octave) for octave in self.halve(image)]
        pairs = list(zip(self.measure(seen), self.targets, strict=True))
        style = sum((gram - expected).square().sum() / expected.square().sum() for gram, expected in pairs) / len(pairs)
        content = (
            seen[0][self.content_layer] - self.content_features
        ).square().sum() / self.content_features.square().sum()
        down, right = image[:, :, 1:] - image[:, :, :-1], image[:, :, :, 1:] - image[:, :, :, :-1]
        variation = (down.square().sum() + right.square().sum()) / image.numel()
        frame = sum(measure_lines(side) for side in (image, image.flip(2), image.mT, image.flip(3).mT)) / image.numel()
        return style + self.content_weight * content + self.smoothness_weight * variation + self.frame_weight * frame

    def paint(self, iterations: int, watch: Watch = ignore) -> None:
        """Optimise from the content, clamping after each step."""
        image = self.content.clone().requires_grad_()
        optimiser = torch.optim.Adam([image], lr=self.rate)
        for number in range(1, iterations + 1):
            optimiser.zero_grad()
            self.loss(image).backward()
            optimiser.step()
            with torch.no_grad():
                image.clamp_(0, 1)
            watch(number, lambda: image.detach().clone())
