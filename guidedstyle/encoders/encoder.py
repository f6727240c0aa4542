"""Frozen convolutional encoders: an image in, features by layer name out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from guidedstyle.device.transfer import fetch
from guidedstyle.encoders.architecture import (
    Architecture,
    Block,
    Convolution,
    Fork,
    Layer,
    Normalisation,
    Pooling,
    is_max_pooling,
)
from guidedstyle.encoders.passes import (
    IMAGE,
    Backward,
    PaddedConvolution,
    Readers,
    Step,
    Steps,
    chain,
    convolve,
    encode,
    join,
    pool,
    read_frozen,
    rectify,
    run,
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

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which features are computed."""

    def encode(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Encode `image` (B, 3, H, W) in [0, 1] into {layer: (B, C, h, w)}, (h, w) being the layer's grid."""

    def measure(self, image: Tensor, readers: Readers) -> Sequence[Tensor]:
        """Return what readers compute from the features of `image`; its gradient is all that can be computed."""

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
        return encode(image, self._list_steps(set(layers)))

    def measure(self, image: Tensor, readers: Readers) -> Sequence[Tensor]:
        """Return what readers compute from the features of `image` (B, 3, H, W), up to the deepest layer they read.

        The gradient of the image can be computed once; the weights have none. In less memory and time than from
        `encode`, as each reader adds to the features' gradient in place.
        """
        layers = {layer for layer, _ in readers} - {IMAGE}
        return read_frozen(image, self._list_steps(layers) if layers else [], readers)

    def walk(self, image: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Compute the layers of `image` one by one; yields each name, the input of the block, and its features."""
        before = image
        for layer, x, _ in run(image, self._list_steps(set(self.layers))):
            if layer:
                yield layer, before, x
            before = x

    def _list_steps(self, requested: Set[str]) -> Steps:
        """List the steps up to the deepest of the requested layers; only these have names."""
        if missing := requested - set(self.layers):
            raise KeyError(f"{self.architecture.name} has no layer {sorted(missing)}")
        steps: list[tuple[str, Step]] = [("", self._normalise)]
        for block, step in self._make_steps(self.architecture.blocks, requested):
            if not requested - {layer for layer, _ in steps}:
                break
            steps.append((block.layer if block.layer in requested else "", step))
        return steps

    def _make_steps(self, blocks: Sequence[Block], requested: Set[str] = frozenset()) -> Iterator[tuple[Block, Step]]:
        """Make the step of each block.

        Where a convolution before max pooling is not `requested`, its ReLU follows the pooling instead: the
        maximum is the same, for a quarter of the work.
        """
        late = False
        for block, following in zip(blocks, (*blocks[1:], None), strict=True):
            match block:
                case Convolution():
                    late = block.layer not in requested and is_max_pooling(following)
                    step = chain(*self._convolve(block), *([] if late else [rectify]))
                case Pooling():
                    step = chain(partial(pool, kind=block.kind, window=block.window), *([rectify] if late else []))
                    late = False
                case Fork():
                    step = partial(join, branches=[self._make_branch(branch) for branch in block.branches])
            yield block, step

    def _convolve(self, block: Convolution) -> list[Step]:
        found: Any = self.get_submodule(block.key)
        return [partial(convolve, convolution=one) for one in (found if block.rank else [found])]

    def _make_branch(self, blocks: Sequence[Block]) -> Step:
        return chain(*(step for _, step in self._make_steps(blocks)))

    def _normalise(self, image: Tensor) -> tuple[Tensor, Backward]:
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        return x, partial(self._normalise_back, image.dtype)

    def _normalise_back(self, precision: torch.dtype, gradient: Tensor) -> Tensor:
        return gradient.to(precision, memory_format=torch.contiguous_format) / self.std

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
        found = self if same else deepcopy(self)
        found = found.to(device, precision, non_blocking=device.type == "cuda").to(memory_format=torch.channels_last)
        found.architecture = replace(found.architecture, padding=padding)
        for module in found.modules():
            if isinstance(module, PaddedConvolution):
                module.padding_mode = padding
        return found

    def fingerprint(self) -> str:
        """Return a hash of all that its features depend on: weights, precision, kind of device, threads, versions."""
        device = next(self.parameters()).device.type
        threads = torch.get_num_threads() if device == "cpu" else None  # sums are rounded by it
        versions = torch.__version__, version("guidedstyle")
        key = hashlib.sha256(repr((self.architecture, self.dtype, device, threads, *versions)).encode())
        for tensor in fetch([one.detach().float() for one in (*self.parameters(), self.mean, self.std)]):
            key.update(tensor.contiguous().numpy().data)
        return key.hexdigest()


def _make_convolution(block: Convolution, before: int, padding: Padding) -> nn.Module:
    window = block.window
    how = (window.kernel, window.stride, window.padding)
    if block.rank is None:
        return PaddedConvolution(before, block.channels, *how, padding_mode=padding)
    first = PaddedConvolution(before, block.rank, *how, bias=False, padding_mode=padding)
    return nn.Sequential(first, PaddedConvolution(block.rank, block.channels, 1))


def _insert(root: nn.Module, key: str, module: nn.Module) -> None:
    """Insert a module under a dotted key, and the empty modules above it."""
    *parents, name = key.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
