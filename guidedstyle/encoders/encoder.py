"""Frozen convolutional encoders: an image in, features by layer name out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoders.architecture import Architecture, Layer

Features = dict[str, Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """Compute the features of an architecture.

    Convolutions carry torchvision's key names (`features.0.weight` ...). A layer may have a *metric*, a
    (C, C) matrix M: the distance of two of its Gram matrices is then |M (G - G') M^T|.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.architecture = architecture
        self.features = nn.ModuleDict(dict(_convolutions(architecture)))
        self.metrics: dict[str, Tensor] = {}
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that `encode` can be asked for."""
        return self.architecture.layers

    def encode(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Encode `image` (B, 3, H, W) in [0, 1] into {layer: (B, C, h, w)}, stopping at the deepest of `layers`."""
        wanted = set(layers)
        found: Features = {}
        for name, _, x in self.walk(image, wanted):
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                return found
        raise KeyError(f"{self.architecture.name} has no layer {sorted(wanted - set(found))}")

    def walk(self, image: Tensor, wanted: Collection[str] = ()) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Walk from the `image` down the layers: the name of each, what its convolution reads, what it sees.

        Before max pooling a layer that is not `wanted` is left without its ReLU, which follows the pooling: the
        maximum is the same, for a quarter of the work.
        """
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        stride = 1
        for layer, convolution in zip(self.layers.values(), self.features.values(), strict=True):
            before = x if layer.stride == stride else self._pool(x)
            x, stride = convolution(before), layer.stride
            if layer.name in wanted or layer.name not in self.architecture.max_pooled:
                x = functional.relu(x, inplace=True)
            yield layer.name, before, x

    def convolution(self, layer: str) -> nn.Module:
        """Return the convolution of a layer: what is before its ReLU."""
        return dict(zip(self.layers, self.features.values(), strict=True))[layer]

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which features are computed."""
        return next(self.parameters()).dtype

    @property
    def unit(self) -> float:
        """What makes its features those of inputs of 0 to 255, up to the biases: 1 for the original VGG."""
        return 255 * float(self.std.mean())

    def fingerprint(self) -> str:
        """Name what its features depend on: weights, precision, device, versions."""
        device = next(self.parameters()).device.type
        key = hashlib.sha256(
            repr((self.architecture, self.dtype, device, torch.__version__, version("guidedstyle"))).encode()
        )
        for tensor in (*self.parameters(), self.mean, self.std):
            key.update(tensor.float().cpu().contiguous().numpy().data)
        return key.hexdigest()

    def _pool(self, x: Tensor) -> Tensor:
        if self.architecture.pooling == "average":
            return functional.avg_pool2d(x, 2)
        return functional.relu(functional.max_pool2d(x, 2), inplace=True)


def _convolutions(architecture: Architecture) -> Iterator[tuple[str, nn.Module]]:
    before = 3
    for stage, widths in enumerate(architecture.stages, 1):
        for index, channels in enumerate(widths, 1):
            rank = architecture.ranks.get(f"relu{stage}_{index}")
            yield _key(architecture, stage, index), _convolution(before, channels, rank)
            before = channels


def _convolution(before: int, channels: int, rank: int | None) -> nn.Module:
    if rank is None:
        return nn.Conv2d(before, channels, 3, padding=1)
    return nn.Sequential(nn.Conv2d(before, rank, 3, padding=1, bias=False), nn.Conv2d(rank, channels, 1))


def _key(architecture: Architecture, stage: int, index: int) -> str:
    """Return a convolution's number in torchvision's `features`: each takes two places, each pooling one."""
    return str(sum(2 * len(widths) + 1 for widths in architecture.stages[: stage - 1]) + 2 * (index - 1))
