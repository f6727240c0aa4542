"""Several processes that share the tiles of one render (torchrun)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def count_processes() -> int:
    """Count the processes that render one image together, as torchrun started them."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this is the process that prints and writes."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def join_processes() -> Iterator[None]:
    """Join the processes that torchrun started; without it there is only this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def take_slice(items: Sequence[T]) -> Sequence[T]:
    """Take this process's share: neighbours, as many as the others have or one more."""
    if not distributed.is_initialized():
        return items
    rank, count = distributed.get_rank(), count_processes()
    return items[len(items) * rank // count : len(items) * (rank + 1) // count]


def sum_over_processes(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Add up what all processes found, so that each has the sums."""
    if not distributed.is_initialized():
        return tensors
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def divide_memory(memory: int) -> int:
    """Share out the memory that the process with the least has, between all of its machine: they must plan alike."""
    if not distributed.is_initialized():
        return memory
    least = torch.tensor(memory, device=_find_device())
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def all_agree(goes_on: bool) -> bool:
    """Tell whether all processes want to go on; one that stops alone would leave the others waiting."""
    if not distributed.is_initialized():
        return goes_on
    (votes,) = sum_over_processes([torch.tensor([float(goes_on)], device=_find_device())])
    return bool(votes == count_processes())


def _find_device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"
