"""AlexNet (Krizhevsky 2014, arXiv:1404.5997, as in torchvision): a family of encoders that the package lacks."""

from __future__ import annotations

from guidedstyle.encoders.architecture import Architecture, Convolution, Pooling, Window
from guidedstyle.encoders.vgg import IMAGENET

ALEXNET = Architecture(
    name="alexnet",
    blocks=(
        Convolution(64, "features.0", Window(11, 4, padding=2), layer="relu1"),
        Pooling("max", Window(3, 2)),
        Convolution(192, "features.3", Window(5, padding=2), layer="relu2"),
        Pooling("max", Window(3, 2)),
        Convolution(384, "features.6", Window(3, padding=1), layer="relu3"),
        Convolution(256, "features.8", Window(3, padding=1), layer="relu4"),
        Convolution(256, "features.10", Window(3, padding=1), layer="relu5"),
    ),
    inputs={"torchvision": IMAGENET},
    style_layers=("relu1", "relu2"),
    content_layer="relu2",
    fine_layers=("relu1",),
)
