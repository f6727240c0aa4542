"""Words that rooms share: array types, option literals, key paths."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

KeyPath = tuple[str | int, ...]  # where something stands in a recipe: ("regions", 1, "mask")


Array = NDArray[np.float32]
Size = tuple[int, int]  # (width, height), as Pillow has it


Statistic = Literal["gram", "mean", "covariance"]


Propagation = Literal["simple", "inside"]


RGB = tuple[int, int, int]


Guides = Literal["simple", "inside"]
Statistics = Literal["gram", "mean", "covariance"]
Method = Literal["symmetric", "pca", "cholesky", "histogram"]


Violation = tuple[KeyPath, str, str]  # where, which rule, which remedy


Opacities = NDArray[np.uint8] | Array  # (H, W): 0 to 255 in 8 bits, or 0 to 1 in float32
Pixels = NDArray[np.uint8]  # (H, W) of one channel, or (H, W, 3 or 4)
