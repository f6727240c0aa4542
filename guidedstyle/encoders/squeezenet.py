"""SqueezeNet 1.0 (Iandola et al. 2016, arXiv:1602.07360) and 1.1: forks, and pooling with incomplete windows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from guidedstyle.encoders.architecture import (
    Architecture,
    Block,
    Convolution,
    Download,
    Fork,
    Normalisation,
    Pooling,
    Window,
)
from guidedstyle.encoders.vgg import IMAGENET
from guidedstyle.types import Convention

ORIGINAL = Normalisation((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)  # 0..255 minus the mean
INPUTS: Mapping[Convention, Normalisation] = {"torchvision": IMAGENET, "original": ORIGINAL}
# The channels of the squeeze of fire2 to fire9, and of each of its two expansions.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _list_blocks(first: Convolution, poolings: Collection[int]) -> Iterator[Block]:
    """List the blocks; `poolings` are those numbers in torchvision's `features` where the others are fires.

    Keys are torchvision's. Layers have the names of the paper, fire2 to fire9; relu1 is its conv1 after ReLU.
    """
    yield first
    fires = iter(enumerate(FIRES, 2))
    for number in range(2, 2 + len(FIRES) + len(poolings)):
        if number in poolings:
            yield Pooling("max", Window(3, 2, ceil=True))
        else:
            fire, (squeeze, expand) = next(fires)
            yield Convolution(squeeze, f"features.{number}.squeeze", Window(1))
            narrow = Convolution(expand, f"features.{number}.expand1x1", Window(1))
            wide = Convolution(expand, f"features.{number}.expand3x3", Window(3, padding=1))
            yield Fork(((narrow,), (wide,)), layer=f"fire{fire}")


SQUEEZENET = Architecture(
    name="squeezenet",
    blocks=tuple(_list_blocks(Convolution(96, "features.0", Window(7, 2), layer="relu1"), (2, 6, 11))),
    inputs=INPUTS,
    style_layers=("relu1", "fire2", "fire3", "fire4"),
    content_layer="fire3",
    fine_layers=("relu1", "fire2"),
    source=Download("https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth", "torchvision", "5 MB"),
)
SQUEEZENET_1_1 = Architecture(
    name="squeezenet1_1",
    blocks=tuple(_list_blocks(Convolution(64, "features.0", Window(3, 2), layer="relu1"), (2, 5, 8))),
    inputs=INPUTS,
    style_layers=("relu1", "fire3", "fire4", "fire5"),
    content_layer="fire2",
    fine_layers=("relu1", "fire3"),
    source=Download("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "torchvision", "5 MB"),
)
