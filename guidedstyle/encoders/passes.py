"""The passes of an encoder's blocks: forwards, and backwards without autograd where weights are frozen.

A forward pass returns the features and the backward pass, which computes the gradient of what came in from that of what
came out. Autograd would keep more than that needs, and take longer for small images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain as chain_iterables
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from guidedstyle.encoders.architecture import Layer, Window

Backward = Callable[[Tensor], Tensor]  # from the gradient of what came out to that of what came in
Step = Callable[[Tensor], tuple[Tensor, Backward]]
Steps = Sequence[tuple[str, Step]]  # with the names of the layers that they end at, "" where there is none
AddGradient = Callable[[Tensor, Tensor], None]  # the gradient of what was read, in place, to that of the features
Reader = Callable[[Tensor], tuple[Tensor, AddGradient]]  # of features
Readers = Sequence[tuple[str, Reader]]  # each with the layer that it reads
IMAGE = Layer().name  # of the image itself


class PaddedConvolution(nn.Conv2d):
    """A convolution that sees zeros beyond the border, or the border replicated."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features (B, C, h, w)."""
        if width := self.replicated:
            x = functional.pad(x, (width,) * 4, mode="replicate")
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0 if width else self.padding)

    @property
    def replicated(self) -> int:
        """The width of the replicated border."""
        return int(self.padding[0]) if self.padding_mode == "replicate" else 0

    def differentiate(self, shape: Sequence[int], gradient: Tensor) -> Tensor:
        """Compute the gradient of the features, which had a `shape`."""
        height, across = (side + 2 * self.replicated for side in shape[2:])
        padding = (0, 0) if self.replicated else self.padding
        back: Tensor = torch.ops.aten.convolution_backward(
            *(gradient, _make_like((*shape[:2], height, across), gradient), self.weight, None),
            *(self.stride, padding, (1, 1), False, (0, 0), 1, (True, False, False)),
        )[0]
        return _fold(back, self.replicated) if self.replicated else back


def _make_like(shape: Sequence[int], like: Tensor) -> Tensor:
    """Make features without values: some gradients depend only on the shape of what came in."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _fold(gradient: Tensor, width: int) -> Tensor:
    """Add the gradient of a replicated border, in place, to that of the features it replicates; returns the latter."""
    for sides in (gradient.movedim(2, 0), gradient.movedim(3, 0)):
        for index in range(width):
            sides[width].add_(sides[index])
            sides[-1 - width].add_(sides[-1 - index])
    return gradient[:, :, width:-width, width:-width]


def chain(*steps: Step) -> Step:
    """Return the steps, one after the other, as one."""
    return partial(_run_chain, steps)


def _run_chain(steps: Sequence[Step], x: Tensor) -> tuple[Tensor, Backward]:
    backs = list[Backward]()
    for step in steps:
        x, back = step(x)
        backs.append(back)
    return x, partial(_go_back, backs)


def _go_back(backs: list[Backward], gradient: Tensor) -> Tensor:
    while backs:
        gradient = backs.pop()(gradient)
    return gradient


def convolve(x: Tensor, *, convolution: PaddedConvolution) -> tuple[Tensor, Backward]:
    """Convolve features."""
    return convolution(x), partial(convolution.differentiate, x.shape)


def rectify(x: Tensor) -> tuple[Tensor, Backward]:
    """Apply ReLU, in place."""
    x = functional.relu(x, inplace=True)
    return x, partial(_rectify_back, x)


def _rectify_back(features: Tensor, gradient: Tensor) -> Tensor:
    """In place, unless the gradient has gaps: what comes before would have to copy it."""
    how = {"grad_input": gradient} if gradient.is_contiguous(memory_format=torch.channels_last) else {}
    found: Tensor = torch.ops.aten.threshold_backward(gradient, features, 0, **how)
    return found


def pool(x: Tensor, *, kind: str, window: Window) -> tuple[Tensor, Backward]:
    """Pool features: by their `max` or `average`."""
    how, ceil = ((side, side) for side in (window.kernel, window.stride, window.padding)), window.ceil
    kernel, stride, padding = how
    if kind == "average":
        back = partial(_pool_back, torch.ops.aten.avg_pool2d_backward, x.shape)
        averaged = functional.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
        return averaged, partial(back, (kernel, stride, padding, ceil, True, None))
    back = partial(_pool_back, torch.ops.aten.max_pool2d_with_indices_backward, x.shape)
    pooled, indices = functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil, return_indices=True)
    return pooled, partial(back, (kernel, stride, padding, (1, 1), ceil, indices))


def _pool_back(operator: Callable[..., Tensor], shape: Sequence[int], how: Sequence[Any], gradient: Tensor) -> Tensor:
    return operator(gradient, _make_like(shape, gradient), *how)


def join(x: Tensor, *, branches: Sequence[Step]) -> tuple[Tensor, Backward]:
    """Concatenate the channels of branches that read the same features."""
    outs, backs = zip(*(branch(x) for branch in branches), strict=True)
    return torch.cat(outs, 1), partial(_join_back, backs, [out.shape[1] for out in outs])


def _join_back(backs: Sequence[Backward], channels: Sequence[int], gradient: Tensor) -> Tensor:
    parts = gradient.split(channels, 1)
    return reduce(torch.add, (back(part) for back, part in zip(backs, parts, strict=True)))


def run(image: Tensor, steps: Steps) -> Iterator[tuple[str, Tensor, Backward]]:
    """Run the steps of an image (B, 3, H, W); yields the layer, the features and the backward pass of each."""
    x = image
    for layer, step in steps:
        x, back = step(x)
        yield layer, x, back


def encode(image: Tensor, steps: Steps) -> dict[str, Tensor]:
    """Run the steps of an image; returns the features by layer."""
    return {layer: features for layer, features, _ in run(image, steps) if layer}


def read_frozen(image: Tensor, steps: Steps, readers: Readers) -> Sequence[Tensor]:
    """Run the steps of an image, and return what readers compute; the gradient of the image can be computed once."""
    found: Sequence[Tensor] = _Read.apply(image, steps, readers) if readers else []
    return found


class _Read(Function):
    """Keeps what the backward passes read, until each has run."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, steps: Steps, readers: Readers) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.backs = []
        found, differentiable = dict[int, Tensor](), ctx.needs_input_grad[0]
        for layer, features, back in chain_iterables([(IMAGE, image, _identity)], run(image, steps)):
            adders = list[tuple[int, AddGradient]]()
            for number, (name, reader) in enumerate(readers):
                if name == layer:
                    found[number], add = reader(features)
                    adders.append((number, add))
            if differentiable:
                ctx.backs.append((features if adders else None, adders, back))
        return tuple(found[number] for number in range(len(readers)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor | None) -> tuple[Tensor | None, None, None]:
        if not ctx.backs:
            raise RuntimeError("the gradient of frozen features was computed before: encode the image again")
        gradient: Tensor | None = None
        while ctx.backs:
            features, adders, back = ctx.backs.pop()
            for number, add in adders:
                given = outer[number]
                if given is not None:
                    gradient = torch.zeros_like(features) if gradient is None else gradient
                    add(given, gradient)
            del features, adders
            gradient = gradient if gradient is None else back(gradient)
        return gradient, None, None


def _identity(gradient: Tensor) -> Tensor:
    return gradient
