"""In how many bits features are computed: measured, not guessed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional

WORTH = 0.9  # of the time in float32; less gain than this is not worth the bits
CHANNELS, SIDE, REPEATS = 64, 64, 40


@cache
def choose_precision(device: torch.device) -> torch.dtype:
    """Choose bfloat16 for features where this device is faster with it; Grams and losses stay float32."""
    return decide_precision(compare_precisions(device))


def decide_precision(share: float) -> torch.dtype:
    """Decide for bfloat16 where it takes a small enough share of the time that float32 takes."""
    return torch.bfloat16 if share < WORTH else torch.float32


def name_precision(precision: torch.dtype) -> str:
    """Name a precision: `float32`."""
    return str(precision).removeprefix("torch.")


def compare_precisions(device: torch.device) -> float:
    """Measure the time that bfloat16 takes as a share of float32's; infinity on MPS, where it is not used."""
    if device.type == "mps":
        return math.inf
    rough, fine = _time_convolutions(device, (torch.bfloat16, torch.float32))
    return rough / fine


def _time_convolutions(device: torch.device, dtypes: Sequence[torch.dtype]) -> list[float]:
    """Time a layer like those of the encoders, by turns, and take the least of many times: others only slow it.

    The choice must not depend on what else the machine does, or the same recipe would give two images.
    """
    works = [partial(_convolve, *_make_layer(device, dtype)) for dtype in dtypes]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other
    try:
        times = [[time_work(work, device) for work in works] for _ in range(REPEATS)]
    finally:
        torch.set_num_threads(threads)
    return [min(taken) for taken in zip(*times, strict=True)]


def _make_layer(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    features = torch.ones(1, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)
    weights = torch.ones(CHANNELS, CHANNELS, 3, 3, device=device, dtype=dtype)
    return features.contiguous(memory_format=torch.channels_last), weights


def _convolve(features: Tensor, weights: Tensor) -> Tensor:
    return functional.conv2d(features, weights, padding=1)


def time_work(work: Callable[[], object], device: torch.device) -> float:
    """Time some work on a device in seconds."""
    began = _read_clock(device)
    work()
    return _read_clock(device) - began


def _read_clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
