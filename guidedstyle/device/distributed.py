"""Several processes that render one image together, each with its own tiles (torchrun)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def count_processes() -> int:
    """Return the number of processes that render one image together: 1 without torchrun."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process of rank 0, the only one that prints and writes files."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def join_processes() -> Iterator[None]:
    """Connect the processes that torchrun started; does nothing for a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
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
    """Return this process's items: a contiguous slice; the slices' lengths differ by at most one."""
    if not distributed.is_initialized():
        return items
    rank, count = distributed.get_rank(), count_processes()
    return items[len(items) * rank // count : len(items) * (rank + 1) // count]


def sum_over_processes(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the sums of these tensors over all processes, in one all-reduce; they must have one data type."""
    if not distributed.is_initialized():
        return tensors
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    sums = flat.split([tensor.numel() for tensor in tensors])
    return [one.view_as(tensor) for one, tensor in zip(sums, tensors, strict=True)]


def divide_memory(memory: int) -> int:
    """Return the bytes that each process may use: the least that any has, divided by the processes of its machine.

    All processes get the same number, since they must make the same plan.
    """
    if not distributed.is_initialized():
        return memory
    least = torch.tensor(memory, device=_find_device())
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def all_agree(vote: bool) -> bool:
    """Whether all processes vote True; a process that stopped on its own would leave the others waiting."""
    if not distributed.is_initialized():
        return vote
    (votes,) = sum_over_processes([torch.tensor([float(vote)], device=_find_device())])
    return bool(votes == count_processes())


def _find_device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"
