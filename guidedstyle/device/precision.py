"""The precision of features: as the recipe says, or by what a device can do and one stored measurement."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.device.distributed import all_agree
from guidedstyle.device.environment import name_processor
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import read_small_file, write_file
from guidedstyle.io.paths import find_cache
from guidedstyle.types import ComputedPrecision, Precision

PRECISIONS: dict[ComputedPrecision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LEAST_CAPABILITY = (8, 0)  # of NVIDIA's GPUs with tensor cores for bfloat16
LARGEST_RATIO = 0.9  # time of bfloat16 over float32; a smaller gain is not worth the lost bits
CHANNELS, SIDE, REPEATS = 64, 64, 40
MOST_BYTES = 10_000  # of a stored measurement


@dataclass(frozen=True)
class Choice:
    """What `auto` chooses on a device, why, and the file that stores the measurement, if one decides."""

    precision: torch.dtype
    reason: str
    file: Path | None = None


def choose_precision(device: torch.device, given: Precision = "auto", *, store: bool = True) -> torch.dtype:
    """Choose the precision of features on a device; Gram matrices and losses stay float32.

    Where `auto` depends on a measurement, the stored one decides. It is made, and with `store` stored, if there is
    none. Processes that render together use bfloat16 only if all of them choose it.
    """
    if given != "auto":
        return PRECISIONS[given]
    choice = find_choice(device) or _decide(_measure_once(device, find_file(), store), find_file())
    return torch.bfloat16 if all_agree(choice.precision == torch.bfloat16) else torch.float32


def name_precision(precision: torch.dtype) -> ComputedPrecision:
    """Name a precision: `float32`."""
    return next(name for name, dtype in PRECISIONS.items() if dtype == precision)


def find_choice(device: torch.device) -> Choice | None:
    """Find what `auto` chooses on a device; None: it depends on a measurement that has not been made yet."""
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY
        reason = "the GPU computes fast in bfloat16" if able else "the GPU does not compute fast in bfloat16"
        return Choice(torch.bfloat16 if able else torch.float32, reason)
    if device.type != "cpu":
        return Choice(torch.float32, f"bfloat16 is not used on {device.type}")
    if not has_bfloat16_instructions():
        return Choice(torch.float32, "the processor has no instructions for bfloat16")
    file = find_file()
    ratio = _read_measurement(file)
    return None if ratio is None else _decide(ratio, file)


def has_bfloat16_instructions() -> bool:
    """Whether the processor multiplies in bfloat16 (AVX512-BF16 or AMX), as far as torch can tell."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check)


def _decide(ratio: float, file: Path) -> Choice:
    precision = torch.bfloat16 if ratio <= LARGEST_RATIO else torch.float32
    return Choice(precision, f"bfloat16 takes {ratio:.2f} of the time of float32", file)


def find_file() -> Path:
    """Return the file for the measurement on this processor with this version of torch, whether it exists or not."""
    key = hashlib.sha256(f"{name_processor()} {torch.__version__}".encode()).hexdigest()
    return find_cache() / f"precision-{key[:16]}.json"


def _read_measurement(file: Path) -> float | None:
    """Read a stored ratio; None: there is none, or the file is damaged."""
    try:
        ratio = json.loads(read_small_file(file, MOST_BYTES))["ratio"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return ratio if isinstance(ratio, float) and math.isfinite(ratio) and ratio > 0 else None


@cache
def _measure_once(device: torch.device, file: Path, store: bool) -> float:
    """Measure the ratio, and store it unless another process has stored one meanwhile, which then counts."""
    measured = measure_ratio(device)
    if (stored := _read_measurement(file)) is not None:
        return stored
    if not store:
        return measured
    found = {
        "ratio": measured,
        "meaning": "time of a convolution in bfloat16 over float32; a render with precision: auto goes by it",
        "processor": name_processor(),
        "torch": torch.__version__,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, (json.dumps(found, indent=2) + "\n").encode())
    except (OSError, GuidedStyleError):  # without a cache it is measured in every process
        pass
    return measured


def measure_ratio(device: torch.device) -> float:
    """Measure the time of a convolution in bfloat16 over float32."""
    bfloat16, float32 = _time_convolutions(device, (torch.bfloat16, torch.float32))
    return bfloat16 / float32


def _time_convolutions(device: torch.device, dtypes: Sequence[torch.dtype]) -> list[float]:
    """Time a layer like those of the encoders in each data type: the least of many times, taken in turn.

    Other processes only make times longer, so that the least depends least on what else the machine does.
    """
    works = [partial(_convolve, *_make_layer(device, dtype)) for dtype in dtypes]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other
    try:
        times = [[time_work(work, device) for work in works] for _ in range(REPEATS)]
    finally:
        torch.set_num_threads(threads)
    return [min(taken) for taken in zip(*times, strict=True)]


def check_computes(device: torch.device) -> None:
    """Compute a convolution on a device; raises RuntimeError or AssertionError if it cannot."""
    time_work(partial(_convolve, *_make_layer(device, torch.float32)), device)


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
