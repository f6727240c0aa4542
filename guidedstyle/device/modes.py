"""The modes in which torch renders: the calling program may have set others, which hold again afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import _disable_current_modes

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.flags import Flag, SharedFlags, enter_all, usual_numbers

P = ParamSpec("P")
T = TypeVar("T")
LIBRARIES = (("generic", "all"), ("mkldnn", "all"), ("mkldnn", "matmul"), ("mkldnn", "conv"))


def _read_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set for single libraries: see below
        return "highest"


def _list_precisions() -> Iterator[Flag]:
    """List the precisions of float32 that later versions of torch keep for each library, the general ones first."""
    if hasattr(torch._C, "_get_fp32_precision_getter"):
        read, write = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
        yield from (Flag(partial(read, *names), partial(write, *names), "none") for names in LIBRARIES)


def _read_anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _flushes_denormals() -> bool:
    return not sys.float_info.min / 2


SHARED = SharedFlags(
    [
        Flag(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        Flag(_read_precision, torch.set_float32_matmul_precision, "highest"),
        *_list_precisions(),
        Flag(torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, True),
        Flag(_read_anomaly, lambda found: torch.set_anomaly_enabled(*found), (False, True)),
    ]
)
OWN = [  # of one thread
    Flag(torch.is_grad_enabled, torch._C._set_grad_enabled, True),
    Flag(_flushes_denormals, torch.set_flush_denormal, False),
    *(
        Flag(partial(torch.is_autocast_enabled, kind), partial(torch.set_autocast_enabled, kind), False)
        for kind in ("cpu", "cuda", "mps")
    ),
]


class UsualModes:
    """Renders as a new process does, whatever modes of torch, NumPy, OpenCV and Pillow the calling program has set.

    That concerns gradients, inference mode, default data type and device, autocast, precision of float32, oneDNN,
    denormal numbers, anomaly detection, functions and operators that are overridden, function transforms. What it
    leaves are choices about speed, and about GPUs, whose images may differ anyway: threads, deterministic algorithms,
    flags of cuDNN.
    """

    def __enter__(self) -> Self:
        """Set the usual modes; raises GuidedStyleError in a process that was forked from one that has rendered."""
        _check_process()
        with ExitStack() as stack:
            stack.enter_context(usual_numbers())
            stack.enter_context(torch._C.DisableTorchFunction())
            stack.enter_context(_disable_current_modes())
            stack.enter_context(temporarily_clear_interpreter_stack())
            stack.enter_context(torch.inference_mode(False))
            enter_all(stack, OWN)
            stack.enter_context(SHARED)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Set the modes that were found."""
        self.stack.close()

    def outside(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function that is called in the modes that were found."""

        def call(*arguments: P.args, **more: P.kwargs) -> T:
            self.stack.close()
            try:
                return function(*arguments, **more)
            finally:
                self.__enter__()

        return call


def uncompiled(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that torch.compile leaves alone, where it is in use."""
    return torch.compiler.disable(function) if "torch._dynamo" in sys.modules else function


class _Process:
    """The process that has rendered, by its number; a fork copies it."""

    number: int | None = None


def _check_process() -> None:
    """Raise GuidedStyleError in a process that was forked from one that has rendered: OpenMP would wait for ever."""
    if _Process.number not in (None, os.getpid()):
        rule = "this process was forked from one that had rendered, and torch's threads do not outlive a fork"
        raise GuidedStyleError.of("render", rule, 'start processes with multiprocessing.get_context("spawn")')
    _Process.number = os.getpid()
