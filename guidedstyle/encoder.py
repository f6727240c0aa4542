"""Frozen convolutional encoders: a picture in, features by layer name out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Features = dict[str, Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Layer:
    """What is known of a layer before anything is computed (stride and receptive field in pixels)."""

    name: str
    channels: int
    stride: int
    receptive_field: int


@dataclass(frozen=True)
class Architecture:
    """A plain stack of 3x3 convolutions with ReLU: `stages` holds the channels of each, pooling between stages.

    `style_layers` and `content_layer` are those a render matches over octaves unless told otherwise.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    pooling: Literal["max", "average"]
    padding: Literal["zeros", "replicate"]
    style_layers: tuple[str, ...]
    content_layer: str = "relu3_1"

    @property
    def layers(self) -> dict[str, Layer]:
        """Every ReLU by the literature's name `relu{stage}_{index}`, in the order of computation."""
        found, stride, field = {}, 1, 1
        for stage, widths in enumerate(self.stages, 1):
            for index, channels in enumerate(widths, 1):
                field += 2 * stride
                name = f"relu{stage}_{index}"
                found[name] = Layer(name, channels, stride, field)
            field, stride = field + stride, stride * 2
        return found


VGG19 = Architecture(
    name="vgg19",
    stages=((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
    pooling="max",
    padding="zeros",
    style_layers=("relu1_1", "relu2_1", "relu3_1", "relu3_4"),
)
LITE = Architecture(
    name="lite",
    stages=((32,) * 2, (64,) * 2, (128,) * 4),
    pooling="max",
    padding="replicate",
    style_layers=("relu1_1", "relu2_1", "relu3_1", "relu3_4"),
)


class Encoder(nn.Module):
    """Compute the features of an architecture.

    Convolutions carry torchvision's key names (`features.0.weight` ...). A layer may have a *metric*, a
    (C, C) matrix applied to its features, in which Gram distances resemble those of another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.architecture = architecture
        self.features = nn.ModuleDict(dict(_convolutions(architecture)))
        self.metric = nn.ParameterDict()
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that `encode` can be asked for."""
        return self.architecture.layers

    def encode(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Encode `image` (B, 3, H, W) in [0, 1] into {layer: (B, C, h, w)}, stopping at the deepest of `layers`."""
        wanted = set(layers)
        x = ((image - self.mean) / self.std).to(self.dtype)
        found: Features = {}
        for stage, widths in enumerate(self.architecture.stages, 1):
            x = self._pool(x) if stage > 1 else x
            for index in range(1, len(widths) + 1):
                name = f"relu{stage}_{index}"
                x = functional.relu(self.features[_key(self.architecture, stage, index)](x))
                if name in wanted:
                    found[name] = self._measure(name, x)
                if len(found) == len(wanted):
                    return found
        raise KeyError(f"{self.architecture.name} has no layer {sorted(wanted - set(found))}")

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which features are computed."""
        return next(self.parameters()).dtype

    def _pool(self, x: Tensor) -> Tensor:
        pool = functional.max_pool2d if self.architecture.pooling == "max" else functional.avg_pool2d
        return pool(x, 2)

    def _measure(self, name: str, x: Tensor) -> Tensor:
        if name not in self.metric:
            return x
        return functional.conv2d(x, self.metric[name][:, :, None, None])


def _convolutions(architecture: Architecture) -> Iterator[tuple[str, nn.Conv2d]]:
    before = 3
    for stage, widths in enumerate(architecture.stages, 1):
        for index, channels in enumerate(widths, 1):
            conv = nn.Conv2d(before, channels, 3, padding=1, padding_mode=architecture.padding)
            yield _key(architecture, stage, index), conv
            before = channels


def _key(architecture: Architecture, stage: int, index: int) -> str:
    """Return a convolution's number in torchvision's `features`: each takes two places, each pooling one."""
    return str(sum(2 * len(widths) + 1 for widths in architecture.stages[: stage - 1]) + 2 * (index - 1))
