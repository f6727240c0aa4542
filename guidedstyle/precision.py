"""In how many bits features are computed: measured, not guessed."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch.nn import functional

WORTH = 0.9  # of the time in float32; less gain than this is not worth the bits
CHANNELS, SIDE, REPEATS = 64, 64, 5


@cache
def choose_precision(device: torch.device) -> torch.dtype:
    """Choose bfloat16 for features where this device is faster with it; Grams and losses stay float32."""
    if device.type == "mps":
        return torch.float32
    times = {dtype: _time_convolution(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return torch.bfloat16 if times[torch.bfloat16] < WORTH * times[torch.float32] else torch.float32


def _time_convolution(device: torch.device, dtype: torch.dtype) -> float:
    """Time a layer like those of the encoders: the least of some times, since others only slow it."""
    features = torch.ones(1, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)
    features = features.contiguous(memory_format=torch.channels_last)
    weights = torch.ones(CHANNELS, CHANNELS, 3, 3, device=device, dtype=dtype)
    taken = []
    for _ in range(REPEATS):
        began = _read_clock(device)
        functional.conv2d(features, weights, padding=1)
        taken.append(_read_clock(device) - began)
    return min(taken)


def _read_clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
