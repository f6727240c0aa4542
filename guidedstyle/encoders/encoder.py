"""Frozen convolutional encoders: an image in, features by layer name out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from guidedstyle.encoders.architecture import (
    Architecture,
    Block,
    Convolution,
    Fork,
    Layer,
    Normalisation,
    Pooling,
    Window,
)
from guidedstyle.types import Padding

Features = dict[str, Tensor]


class Described(Protocol):
    """What a plan needs of a network, whose weights need not be there."""

    @property
    def architecture(self) -> Architecture:
        """The description of the network, as deep as its weights go."""

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers that `encode` can be asked for."""


@dataclass(frozen=True)
class Unloaded:
    """An encoder before its weights are downloaded."""

    architecture: Architecture

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers that it will have."""
        return self.architecture.layers


class Encoder(Described, Protocol):
    """What the engine needs of a network.

    A layer may have a *metric*, a (C, C) matrix M: the distance of two of its Gram matrices is then |M (G - G') M^T|.
    """

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """The metrics of layers that have one."""

    @property
    def unit(self) -> float:
        """The factor that makes its features those of inputs in 0..255, up to the biases: 1 for the original VGG."""

    def encode(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Encode `image` (B, 3, H, W) in [0, 1] into {layer: (B, C, h, w)}, (h, w) being the layer's grid."""

    def fingerprint(self) -> str:
        """Return a hash of all that its features depend on: weights, precision, kind of device, versions."""

    def move(self, device: torch.device, precision: torch.dtype, padding: Padding | None = None) -> Self:
        """Return it on a device and in a precision; it keeps its own, so that no precision of weights is lost.

        With a `padding`, its convolutions see that beyond the border, instead of what its architecture says.
        """


class ConvEncoder(nn.Module):
    """Compute the features that an architecture describes, from weights under the architecture's keys."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, normalisation: Normalisation) -> None:
        super().__init__()
        self.architecture = architecture
        for block, before, _ in architecture.trace():
            if isinstance(block, Convolution):
                _insert(self, block.key, _make_convolution(block, before.channels, architecture.padding))
        self.metrics: dict[str, Tensor] = {}
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1), persistent=False)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers that `encode` can be asked for."""
        return self.architecture.layers

    def encode(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Encode `image` (B, 3, H, W) in [0, 1] into {layer: (B, C, h, w)}, stopping at the deepest of `layers`.

        Raises KeyError where there is no such layer.
        """
        requested = set(layers)
        found: Features = {}
        for name, _, x in self.walk(image, requested):
            if name in requested:
                found[name] = x
            if len(found) == len(requested):
                return found
        raise KeyError(f"{self.architecture.name} has no layer {sorted(requested - set(found))}")

    def walk(self, image: Tensor, requested: Collection[str] = ()) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Compute the layers of `image` one by one; yields the name of each, the input of its block, and its features.

        Where a convolution before max pooling is not `requested`, its ReLU follows the pooling instead: the
        maximum is the same, for a quarter of the work.
        """
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        for before, block, after in self._run(self.architecture.blocks, x, requested):
            if block.layer:
                yield block.layer, before, after

    def _run(
        self, blocks: Sequence[Block], x: Tensor, requested: Collection[str] = ()
    ) -> Iterator[tuple[Tensor, Block, Tensor]]:
        for block, following in zip(blocks, (*blocks[1:], None), strict=True):
            before = x
            match block:
                case Convolution():
                    x = self.get_submodule(block.key)(x)
                    if block.layer in requested or not _is_max_pooling(following):
                        x = functional.relu(x, inplace=True)
                case Pooling():
                    x = _pool(x, block.kind, block.window)
                case Fork():
                    x = torch.cat([self._run_branch(branch, x) for branch in block.branches], 1)
            yield before, block, x

    def _run_branch(self, blocks: Sequence[Block], x: Tensor) -> Tensor:
        for _, _, after in self._run(blocks, x):
            x = after
        return x

    def convolution(self, layer: str) -> nn.Module:
        """Return the convolution of a layer, which comes before its ReLU; raises KeyError where it has none."""
        for block in self.architecture.blocks:
            if isinstance(block, Convolution) and block.layer == layer:
                return self.get_submodule(block.key)
        raise KeyError(layer)

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which features are computed."""
        return next(self.parameters()).dtype

    @property
    def unit(self) -> float:
        """The factor that makes its features those of inputs in 0..255, up to the biases: 1 for the original VGG."""
        return 255 * float(self.std.mean())

    def move(self, device: torch.device, precision: torch.dtype, padding: Padding | None = None) -> Self:
        """Return it on a device and in a precision, with weights laid out as features are; a copy if these differ.

        With a `padding`, its convolutions see that beyond the border, instead of what its architecture says.
        """
        padding = padding or self.architecture.padding
        same = (self.mean.device, self.dtype, self.architecture.padding) == (device, precision, padding)
        found = (self if same else deepcopy(self)).to(device, precision).to(memory_format=torch.channels_last)
        found.architecture = replace(found.architecture, padding=padding)
        for module in found.modules():
            if isinstance(module, _Convolution):
                module.padding_mode = padding
        return found

    def fingerprint(self) -> str:
        """Return a hash of all that its features depend on: weights, precision, kind of device, threads, versions."""
        device = next(self.parameters()).device.type
        threads = torch.get_num_threads() if device == "cpu" else None  # sums are rounded by it
        versions = torch.__version__, version("guidedstyle")
        key = hashlib.sha256(repr((self.architecture, self.dtype, device, threads, *versions)).encode())
        for tensor in (*self.parameters(), self.mean, self.std):
            key.update(tensor.float().cpu().contiguous().numpy().data)
        return key.hexdigest()


def _is_max_pooling(block: Block | None) -> bool:
    return isinstance(block, Pooling) and block.kind == "max"


def _pool(x: Tensor, kind: str, window: Window) -> Tensor:
    how = (window.kernel, window.stride, window.padding)
    if kind == "average":
        return functional.avg_pool2d(x, *how, ceil_mode=window.ceil)
    return functional.relu(functional.max_pool2d(x, *how, ceil_mode=window.ceil), inplace=True)


def _make_convolution(block: Convolution, before: int, padding: Padding) -> nn.Module:
    window = block.window
    how = (window.kernel, window.stride, window.padding)
    if block.rank is None:
        return _Convolution(before, block.channels, *how, padding_mode=padding)
    first = _Convolution(before, block.rank, *how, bias=False, padding_mode=padding)
    return nn.Sequential(first, nn.Conv2d(block.rank, block.channels, 1))


class _Convolution(nn.Conv2d):
    """A convolution that can replicate the border; frozen, it keeps no padded copy of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features (B, C, h, w)."""
        if self.padding_mode == "zeros" or self.padding == (0, 0):
            return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        width = int(self.padding[0])
        if self.weight.requires_grad:
            return functional.conv2d(_replicate(x, width), self.weight, self.bias, self.stride)
        found: Tensor = _ReplicatingConvolution.apply(x, self.weight, self.bias, self.stride, width)
        return found


def _replicate(x: Tensor, width: int) -> Tensor:
    return functional.pad(x, (width,) * 4, mode="replicate")


class _ReplicatingConvolution(Function):
    """Convolves features whose border is replicated. Autograd itself would keep them a second time, with padding."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], width: int
    ) -> Tensor:
        ctx.shape, ctx.stride, ctx.width = x.shape, stride, width
        ctx.save_for_backward(weight)
        return functional.conv2d(_replicate(x, width), weight, bias, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient, (weight,) = gradients[0], ctx.saved_tensors
        none, one = (0, 0), (1, 1)
        back, _, _ = torch.ops.aten.convolution_backward(
            *(gradient, _make_padded(ctx.shape, gradient, ctx.width), weight, None),
            *(ctx.stride, none, one, False, none, 1, (True, False, False)),
        )
        return _fold(back, ctx.width), None, None, None, None


def _make_padded(shape: Sequence[int], like: Tensor, width: int) -> Tensor:
    """Make padded features without values: the gradient of a convolution's input depends only on their shape."""
    height, across = (side + 2 * width for side in shape[2:])
    return torch.empty(
        (*shape[:2], height, across), dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _fold(gradient: Tensor, width: int) -> Tensor:
    """Add the gradient of a replicated border, in place, to that of the features it replicates; returns the latter."""
    for sides in (gradient.movedim(2, 0), gradient.movedim(3, 0)):
        for index in range(width):
            sides[width].add_(sides[index])
            sides[-1 - width].add_(sides[-1 - index])
    return gradient[:, :, width:-width, width:-width]


def _insert(root: nn.Module, key: str, module: nn.Module) -> None:
    """Insert a module under a dotted key, and the empty modules above it."""
    *parents, name = key.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
