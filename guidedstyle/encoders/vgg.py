"""VGG-19 and VGG-16 (Simonyan & Zisserman 2014, arXiv:1409.1556), and `lite`, a small network of their shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from guidedstyle.encoders.architecture import (
    Architecture,
    Block,
    Convolution,
    Download,
    Embedded,
    Normalisation,
    Pooling,
    Window,
)
from guidedstyle.types import Convention

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ORIGINAL = Normalisation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)  # 0..255 minus the mean
INPUTS: Mapping[Convention, Normalisation] = {"torchvision": IMAGENET, "original": ORIGINAL}


def make_vgg(
    name: str,
    stages: Sequence[Sequence[int]],
    *,
    ranks: Mapping[str, int] | None = None,
    pooling: Literal["max", "average"] = "max",
    **options: Any,
) -> Architecture:
    """Describe a stack of 3x3 convolutions in `stages`, lists of their channels, with 2x2 pooling between stages.

    Every ReLU is a layer, by the literature's name `relu{stage}_{index}`; those in `ranks` have limited rank. Keys are
    torchvision's: `features.0.weight`. `options` go to the architecture.
    """
    layers = {
        "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu3_4"),
        "content_layer": "relu3_1",
        "fine_layers": ("relu1_1", "relu2_1", "relu3_1"),
        "inputs": INPUTS,
    }
    return Architecture(name, tuple(_stack(stages, ranks or {}, pooling)), **(layers | options))


def _stack(
    stages: Sequence[Sequence[int]], ranks: Mapping[str, int], pooling: Literal["max", "average"]
) -> Iterator[Block]:
    number = 0  # in torchvision's `features`, where ReLU and pooling count too
    for stage, widths in enumerate(stages, 1):
        if stage > 1:
            yield Pooling(pooling, Window(2, 2))
            number += 1
        for index, channels in enumerate(widths, 1):
            layer = f"relu{stage}_{index}"
            yield Convolution(channels, f"features.{number}", Window(3, padding=1), ranks.get(layer), layer)
            number += 2


VGG19 = make_vgg(
    "vgg19",
    ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
    source=Download("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "torchvision", "550 MB"),
)
VGG16 = make_vgg(  # with the layers of Johnson et al. 2016, arXiv:1603.08155
    "vgg16",
    ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    style_layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    content_layer="relu2_2",
    fine_layers=("relu1_2", "relu2_2", "relu3_3"),
    source=Download("https://download.pytorch.org/models/vgg16-397923af.pth", "torchvision", "530 MB"),
)
LITE = make_vgg(
    "lite",
    ((32, 32), (96, 96), (192, 160, 160, 192)),
    ranks={"relu2_2": 32, "relu3_1": 64, "relu3_2": 48, "relu3_3": 48, "relu3_4": 48},
    inputs={"torchvision": IMAGENET},
    source=Embedded("lite.safetensors"),
    padding="replicate",
)
