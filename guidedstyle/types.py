"""Types that rooms share: arrays, option words, key paths."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:  # the command line needs the words below and must start without numpy
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float32]"
Pixels: TypeAlias = "NDArray[np.uint8]"  # (H, W) of one channel, or (H, W, 3 or 4)
DeepPixels: TypeAlias = "NDArray[np.uint8 | np.uint16]"  # (H, W) or (H, W, 3 or 4) of 8 or 16 bits
Opacities: TypeAlias = "Pixels | Array"  # (H, W): 0 to 255 in 8 bits, or 0 to 1 in float32
Size = tuple[int, int]  # (width, height), as in Pillow
Shape = tuple[int, int]  # (height, width), as in arrays
RGB = tuple[int, int, int]  # 0 to 255

KeyPath = tuple[str | int, ...]  # the path to a value of a recipe: ("regions", 1, "mask")
Violation = tuple[KeyPath, str, str]  # which key, which rule it breaks, how to fix it


class Setting(NamedTuple):
    """A value for a key of a recipe, given outside it, as by `--set KEY=VALUE`."""

    key: str  # `regions.sky.strength`: entries of lists by name or number
    value: object  # None: the key is removed
    place: str  # where it was given, for errors: `--set regions.sky.strength=2`


# Option words, each list once; `typing.get_args` gives the words.
Convention = Literal["torchvision", "original"]  # input of an encoder: 0..1 normalised, or 0..255 minus the mean
Padding = Literal["zeros", "replicate"]  # what convolutions see beyond the border of an image
ComputedPrecision = Literal["float32", "bfloat16"]
Precision = Literal["auto", ComputedPrecision]  # of features
Method = Literal["octaves", "draft", "classic"]
SolverMethod = Literal["lbfgs", "adam", "sgd"]
Propagation = Literal["simple", "inside", "all"]  # of masks to the layers' grids: the recipe's key `guides`
Statistic = Literal["gram", "mean", "covariance"]
ColourMethod = Literal["symmetric", "pca", "cholesky", "histogram"]
Balance = Literal["area", "equal"]
LayerOpacity = Literal["count", "ignore"]  # of a layered document: whether it counts in a mask
DRAFT: Mapping[str, str | float | None] = MappingProxyType(  # keys of `solver`; None: the default
    {"method": "lbfgs", "steps": 7, "sizes": 2, "learning_rate": None, "tolerance": 0.0}
)
Flip = Literal["horizontal", "vertical", "both"]
ProfileName = Literal["sRGB", "Display P3"]  # colour spaces that images are converted to
ProfileChoice = Literal["keep", ProfileName]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]  # of the chroma in JPEG and AVIF
Depth = Literal[8, 16]  # bits of a channel
