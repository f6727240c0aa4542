"""What is known of the encoders before anything is computed: layers, strides, receptive fields. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal


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

    A layer in `ranks` has so many 3x3 filters only, mixed by a 1x1 convolution. `style_layers` and
    `content_layer` are those a render matches over octaves unless told otherwise.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    ranks: dict[str, int] = field(default_factory=dict)
    pooling: Literal["max", "average"] = "max"
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu3_4")
    content_layer: str = "relu3_1"

    @property
    def layers(self) -> dict[str, Layer]:
        """Every ReLU by the literature's name `relu{stage}_{index}`, in the order of computation."""
        found, stride, extent = {}, 1, 1
        for stage, widths in enumerate(self.stages, 1):
            for index, channels in enumerate(widths, 1):
                extent += 2 * stride
                name = f"relu{stage}_{index}"
                found[name] = Layer(name, channels, stride, extent)
            extent, stride = extent + stride, stride * 2
        return found

    def weigh_style(self, asked: Mapping[str, float] | None) -> dict[str, float]:
        """Weigh the layers at which style is matched, in their order: those asked for, or its own, alike."""
        return self._weigh(asked or dict.fromkeys(self.style_layers, 1.0))

    def weigh_content(self, asked: Mapping[str, float] | None) -> dict[str, float]:
        """Weigh the layers that keep a drawing, likewise."""
        return self._weigh(asked or {self.content_layer: 1.0})

    def _weigh(self, layers: Mapping[str, float]) -> dict[str, float]:
        order = list(VGG19.layers)
        return {layer: layers[layer] for layer in sorted(layers, key=order.index) if layers[layer]}

    @cached_property
    def max_pooled(self) -> set[str]:
        """The layers that max pooling follows."""
        ends = {f"relu{stage}_{len(widths)}" for stage, widths in enumerate(self.stages[:-1], 1)}
        return ends if self.pooling == "max" else set()


VGG19 = Architecture(name="vgg19", stages=((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4))
LITE = Architecture(
    name="lite",
    stages=((32, 32), (96, 96), (192, 160, 160, 192)),
    ranks={"relu2_2": 32, "relu3_1": 64, "relu3_2": 48, "relu3_3": 48, "relu3_4": 48},
)
ARCHITECTURES = {architecture.name: architecture for architecture in (LITE, VGG19)}
