"""Describe encoders without torch: blocks, layers, strides, receptive fields, grids, where weights come from."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from guidedstyle.types import Convention, Padding, Shape


@dataclass(frozen=True)
class Window:
    """How a convolution or a pooling slides over the grid before it; `ceil` also counts a last, incomplete window."""

    kernel: int
    stride: int = 1
    padding: int = 0
    ceil: bool = False

    def count(self, length: int) -> int:
        """Count its positions along `length` positions of the grid before, as torch does; 0: it does not fit."""
        free = length + 2 * self.padding - self.kernel
        count = 1 + (-(-free // self.stride) if self.ceil else free // self.stride)
        beyond = self.ceil and (count - 1) * self.stride >= length + self.padding  # it would start in the padding
        return max(0, count - beyond)


@dataclass(frozen=True)
class Convolution:
    """A convolution with ReLU, whose weights are stored under `key`.

    With a `rank` it has that many filters without bias, mixed by a 1x1 convolution: keys `key`.0 and `key`.1.
    `layer` names it if its features can be asked for.
    """

    channels: int
    key: str
    window: Window
    rank: int | None = None
    layer: str = ""


@dataclass(frozen=True)
class Pooling:
    """Max or average pooling."""

    kind: Literal["max", "average"]
    window: Window
    layer: str = ""


@dataclass(frozen=True)
class Fork:
    """Branches that read the same features and whose outputs are concatenated; all have one grid, and no layers."""

    branches: tuple[tuple[Block, ...], ...]
    layer: str = ""


Block = Convolution | Pooling | Fork


def is_max_pooling(block: Block | None) -> bool:
    """Whether a block, if any, takes the largest of each window."""
    return isinstance(block, Pooling) and block.kind == "max"


@dataclass(frozen=True)
class Layer:
    """Features of a network: what can be known of them before anything is computed.

    Position i of the grid sees `receptive_field` px from `field_start` + i * `stride` on; those outside the image are
    padding. The defaults describe the image itself.
    """

    name: str = "pixels"
    channels: int = 3
    stride: int = 1  # px
    receptive_field: int = 1  # px
    field_start: int = 0  # px
    windows: tuple[Window, ...] = ()  # between the image and here

    def slide(self, window: Window, channels: int) -> Layer:
        """Return the layer that a convolution or a pooling of this one makes."""
        return Layer(
            name="",
            channels=channels,
            stride=self.stride * window.stride,
            receptive_field=self.receptive_field + (window.kernel - 1) * self.stride,
            field_start=self.field_start - window.padding * self.stride,
            windows=(*self.windows, window),
        )

    def count(self, length: int) -> int:
        """Count the positions along `length` px."""
        for window in self.windows:
            length = window.count(length)
        return length

    def grid(self, shape: Shape) -> Shape:
        """Return the (height, width) of the features of an image of (height, width) px; 0: it is too small."""
        return self.count(shape[0]), self.count(shape[1])

    def count_before(self, pixel: int, length: int) -> int:
        """Count the positions, along `length` px, whose receptive field has its centre before a pixel."""
        count = self.count(length)
        return count if pixel >= length else min(count, max(0, math.ceil((pixel - self.centre) / self.stride)))

    @property
    def centre(self) -> float:
        """The centre of the first position's receptive field, in px."""
        return self.field_start + self.receptive_field / 2

    @property
    def halo(self) -> int:
        """How many px outside a tile its own positions see, for tiles that start at multiples of the stride.

        A position belongs to the tile that holds the centre of its receptive field.
        """
        first = math.ceil(-self.centre / self.stride)
        before = -(self.field_start + self.stride * first)
        after = self.field_start + self.receptive_field + self.stride * (first - 1)
        return max(0, before, after)


def _join(branches: Sequence[Layer]) -> Layer:
    """Return the layer that concatenated branches make: it sees what any of them sees."""
    first = branches[0]
    start = min(one.field_start for one in branches)
    end = max(one.field_start + one.receptive_field for one in branches)
    channels = sum(one.channels for one in branches)
    return replace(first, channels=channels, receptive_field=end - start, field_start=start)


class Step(NamedTuple):
    """A block with the features it reads and those it makes."""

    block: Block
    before: Layer
    after: Layer


def _trace(blocks: Sequence[Block], before: Layer) -> Iterator[Step]:
    for block in blocks:
        match block:
            case Convolution():
                after = before.slide(block.window, block.channels)
            case Pooling():
                after = before.slide(block.window, before.channels)
            case Fork():
                branches = [list(_trace(branch, before)) for branch in block.branches]
                for steps in branches:
                    yield from steps
                after = _join([steps[-1].after for steps in branches])
        after = replace(after, name=block.layer)
        yield Step(block, before, after)
        before = after


@dataclass(frozen=True)
class Normalisation:
    """The input of a network: (image - mean) / std, of an RGB image in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Embedded:
    """Weights in this package."""

    file: str


@dataclass(frozen=True)
class Download:
    """Weights that are downloaded on first use; the file's name holds the beginning of its SHA-256, as torch's do."""

    url: str
    convention: Convention
    size: str  # for people

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str:
        """The beginning of its SHA-256."""
        return self.name.rpartition("-")[2].partition(".")[0]


@dataclass(frozen=True)
class Architecture:
    """A network: its blocks in the order of computation, the input of its weights, and the layers a render uses.

    `style_layers` and `content_layer` are those that octaves match by default, `fine_layers` those that hold the
    fine texture of a style. `inputs` holds what its weights may expect of an image, by convention. `padding` is what
    its convolutions see beyond the border: zeros, or the nearest features, replicated.
    """

    name: str
    blocks: tuple[Block, ...]
    inputs: Mapping[Convention, Normalisation]
    style_layers: tuple[str, ...]
    content_layer: str
    fine_layers: tuple[str, ...]
    source: Embedded | Download | None = field(default=None, kw_only=True)
    padding: Padding = field(default="zeros", kw_only=True)

    def trace(self) -> Iterator[Step]:
        """Yield every block with its features, in the order of computation; a fork after its branches."""
        return _trace(self.blocks, Layer())

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers that can be asked for, by name, in the order of computation."""
        return {step.after.name: step.after for step in self.trace() if step.after.name}

    def weigh_style(self, given: Mapping[str, float] | None) -> dict[str, float]:
        """Weigh the layers at which style is matched, in their order: those given, or its own, equally."""
        return self._weigh(given or dict.fromkeys(self.style_layers, 1.0))

    def weigh_content(self, given: Mapping[str, float] | None) -> dict[str, float]:
        """Weigh the layers at which content is matched, in the same way."""
        return self._weigh(given or {self.content_layer: 1.0})

    def _weigh(self, layers: Mapping[str, float]) -> dict[str, float]:
        order = {layer: index for index, layer in enumerate(self.layers)}
        chosen = sorted(layers, key=lambda layer: order.get(layer, len(order)))
        return {layer: layers[layer] for layer in chosen if layers[layer]}

    def cut(self, keys: Container[str]) -> Architecture:
        """Return the network up to the first convolution that has no weights among the keys of a state dict."""
        for index, block in enumerate(self.blocks):
            if any(f"{key}.weight" not in keys for key in _list_keys(block)):
                return replace(self, blocks=self.blocks[:index])
        return self


def _list_keys(block: Block) -> Iterator[str]:
    """List the keys of a block's convolutions in a state dict, without `.weight`."""
    for step in _trace([block], Layer()):
        if isinstance(part := step.block, Convolution):
            yield from (part.key,) if part.rank is None else (f"{part.key}.0", f"{part.key}.1")
