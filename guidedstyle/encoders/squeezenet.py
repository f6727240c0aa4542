"""SqueezeNet 1.0 (Iandola et al. 2016, arXiv:1602.07360): forks, odd kernels, and pooling with incomplete windows."""

from __future__ import annotations

from collections.abc import Iterator

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

ORIGINAL = Normalisation((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)  # 0..255 minus the mean
# By torchvision's numbers in `features`: the channels of each fire's squeeze, and of each of its two expansions.
FIRES = {3: (16, 64), 4: (16, 64), 5: (32, 128), 7: (32, 128), 8: (48, 192), 9: (48, 192), 10: (64, 256), 12: (64, 256)}
POOLINGS = (2, 6, 11)


def _list_blocks() -> Iterator[Block]:
    """List the blocks under torchvision's keys; layers have the names of the paper, fire2 to fire9."""
    yield Convolution(96, "features.0", Window(7, 2), layer="relu1")
    fires = iter(range(2, 10))
    for number in range(2, 13):
        if number in POOLINGS:
            yield Pooling("max", Window(3, 2, ceil=True))
        else:
            squeeze, expand = FIRES[number]
            yield Convolution(squeeze, f"features.{number}.squeeze", Window(1))
            narrow = Convolution(expand, f"features.{number}.expand1x1", Window(1))
            wide = Convolution(expand, f"features.{number}.expand3x3", Window(3, padding=1))
            yield Fork(((narrow,), (wide,)), layer=f"fire{next(fires)}")


SQUEEZENET = Architecture(
    name="squeezenet",
    blocks=tuple(_list_blocks()),
    inputs={"torchvision": IMAGENET, "original": ORIGINAL},
    style_layers=("relu1", "fire2", "fire3", "fire4"),
    content_layer="fire3",
    fine_layers=("relu1", "fire2"),
    source=Download("https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth", "torchvision", "5 MB"),
)
