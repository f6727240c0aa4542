"""Rates of a device: tasks timed in turn, its matrix rate, and the operations of a task."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from guidedstyle.device.precision import time_work

Task = Callable[[], object]
IN_A_ROW = 5  # times that a GPU does a task before the host waits for it: as in a render, where it rarely waits
GPU_SIDE, CPU_SIDE = 8192, 1024  # of the matrices whose product is timed
PRODUCTS = 7  # of them that are timed


def time_in_turns(tasks: Mapping[str, Task], device: torch.device, repeats: int) -> dict[str, float]:
    """Return the median seconds of each task over `repeats`, after one that does not count.

    The tasks take turns, so that a busy machine slows all of them equally.
    """
    count = IN_A_ROW if device.type == "cuda" else 1
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats + 1):
        for name, task in tasks.items():
            times[name].append(time_work(partial(_repeat, task, count), device) / count)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def _repeat(task: Task, count: int) -> None:
    for _ in range(count):
        task()


def measure_matrix_rate(device: torch.device, precision: torch.dtype, *, side: int | None = None) -> float:
    """Measure the operations a second of a large product of square matrices of normal noise in a precision.

    A multiplication and an addition are two operations. `side` is that of the matrices; by default 8192 on a GPU.
    """
    side = side or (GPU_SIDE if device.type == "cuda" else CPU_SIDE)
    first, second = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    seconds = time_in_turns({"product": lambda: first @ second}, device, PRODUCTS)["product"]
    return float(2 * side**3 / seconds)


def count_operations(task: Task) -> int:
    """Count the operations of the convolutions and matrix products of a task, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        task()
    return int(counter.get_total_flops())
