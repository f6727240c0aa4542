"""A GPU made of the CPU, for tests: it computes real numbers, refuses to mix devices, and counts waits of the host.

Tensors of `cuda:0` are ordinary ones whose storage is marked. What it cannot show: speed, rounding, and kernels that a
GPU lacks.
"""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import guidedstyle
from guidedstyle.device.modes import UsualModes

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
PACKAGE, LIBRARY = Path(guidedstyle.__file__).parent, Path(torch.__file__).parent
FREE = 8 * 2**30  # bytes
ANSWERS = {
    "is_available": True,
    "device_count": 1,
    "get_device_name": "Pretend GPU",
    "get_device_capability": (9, 0),
    "mem_get_info": (FREE, FREE),
    "max_memory_reserved": 0,
    "synchronize": None,
    "empty_cache": None,
}
aten = torch.ops.aten
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
FILLED = {aten.fill_.Tensor, aten.fill.Tensor, aten.masked_fill_.Tensor, aten.masked_fill.Tensor}
BY_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class MixedDevicesError(RuntimeError):
    """An operation got tensors of the CPU and of the GPU."""


def on_gpu(found: object) -> bool:
    """Whether something is a tensor of the GPU."""
    return isinstance(found, Tensor) and getattr(found.untyped_storage(), "on_gpu", False)


def mark(found: Any, gpu: bool = True) -> Any:
    """Mark the storages of all tensors in a result as lying on the GPU, or on the CPU; returns the result."""
    for one in tree_leaves(found):
        if isinstance(one, Tensor):
            one.untyped_storage().on_gpu = gpu  # type: ignore[attr-defined]
    return found


def _find_line() -> str:
    """Return the innermost line of the package that runs; where there is none, that of the test."""
    frames = list(_walk(sys._getframe(1)))
    inside = (frame for frame in frames if PACKAGE in Path(frame.f_code.co_filename).parents)
    outside = (frame for frame in frames if not _is_library(Path(frame.f_code.co_filename)))
    frame = next(inside, None) or next(outside)
    file = Path(frame.f_code.co_filename)
    name = file.relative_to(PACKAGE) if PACKAGE in file.parents else file.name
    return f"{name}:{frame.f_lineno} {linecache.getline(str(file), frame.f_lineno).strip()}"


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    while frame:
        yield frame
        frame = frame.f_back


def _is_library(file: Path) -> bool:
    return file == Path(__file__) or LIBRARY in file.parents


class PretendGpu:
    """While it is entered, `cuda:0` exists. `largest` is the size of the largest tensor that it takes, in bytes.

    `waits` counts, by line, where the host waited for a value: `.item()`, `.tolist()`, `nonzero`, boolean indexing,
    `.cpu()`. `uploads` counts where it waited for a copy to the GPU, which torch does unless `non_blocking` is given.
    """

    def __init__(self, largest: int | None = None) -> None:
        self.waits, self.uploads, self.largest = Counter[str](), Counter[str](), largest
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        """Answer what the package asks of a GPU, also inside its usual modes and on the way back."""
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        for name, answer in ANSWERS.items():
            patch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        patch.setattr(torch.autograd, "_engine_run_backward", self._inside(torch.autograd._engine_run_backward))
        patch.setattr(UsualModes, "__enter__", self._enter_usual(UsualModes.__enter__))
        self._enter_modes(self.stack)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore what was there."""
        self.stack.close()

    def _enter_modes(self, stack: ExitStack) -> None:
        stack.enter_context(_Functions(self))
        stack.enter_context(_Operators(self))

    def _inside(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Run the engine of autograd with our functions: it is called where they are switched off."""

        def run_inside(*arguments: Any, **named: Any) -> Any:
            with _Functions(self):
                return run(*arguments, **named)

        return run_inside

    def _enter_usual(self, enter: Callable[[UsualModes], UsualModes]) -> Callable[[UsualModes], UsualModes]:
        """Enter our modes again inside the usual ones, which switch all others off."""

        def enter_usual(usual: UsualModes) -> UsualModes:
            enter(usual)
            usual.stack.enter_context(torch._C._EnableTorchFunction())
            self._enter_modes(usual.stack)
            return usual

        return enter_usual

    def wait(self) -> None:
        """Count a wait for a value."""
        self.waits[_find_line()] += 1

    def upload(self) -> None:
        """Count a wait for a copy to the GPU."""
        self.uploads[_find_line()] += 1

    def allocate(self, found: Any) -> Any:
        """Mark a result; raises torch.OutOfMemoryError if there is no room for it."""
        sizes = [one.untyped_storage().nbytes() for one in tree_leaves(found) if isinstance(one, Tensor)]
        if self.largest is not None and max(sizes, default=0) > self.largest:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {max(sizes)} bytes.")
        return mark(found)


class _Operators(TorchDispatchMode):
    """Sees every operator, in the backward pass too: refuses mixed devices, counts waits, marks results."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if not any(map(on_gpu, tensors)):
            return func(*args, **kwargs or {})
        if func is aten.copy_.default:
            self._copy(*args[:2])
            return func(*args, **kwargs or {})
        if func in INDEXED:
            self._index(args[0], [one for one in args[1] if one is not None], args[2:])
        else:
            self._check(func, tensors)
            if _waits(func, kwargs or {}):
                self.gpu.wait()
        return self.gpu.allocate(func(*args, **kwargs or {}))

    def _copy(self, to: Tensor, source: Tensor) -> None:
        if not on_gpu(to):
            self.gpu.wait()
        elif not on_gpu(source) and source.dim():
            self.gpu.upload()

    def _index(self, found: Tensor, indices: Sequence[Tensor], values: Sequence[Any]) -> None:
        """Check an index: those of the CPU are copied to the GPU, and those of truth values are counted."""
        if not on_gpu(found) or any(isinstance(one, Tensor) and one.dim() and not on_gpu(one) for one in values):
            raise MixedDevicesError(f"an index or value on another device at {_find_line()}")
        for index in indices:
            if not on_gpu(index):
                self.gpu.upload()
            if index.dtype in (torch.bool, torch.uint8):
                self.gpu.wait()

    def _check(self, func: Any, tensors: Sequence[Tensor]) -> None:
        """Refuse a tensor of the CPU, unless it is a single number that an operator takes as such."""
        takes_numbers = torch.Tag.pointwise in func.tags or func in FILLED
        strays = [one for one in tensors if not on_gpu(one) and not (takes_numbers and one.dim() == 0)]
        if strays or (func._schema.is_mutable and not on_gpu(tensors[0])):
            raise MixedDevicesError(f"tensors of two devices in {func} at {_find_line()}")


def _waits(func: Any, named: dict[str, Any]) -> bool:
    """Whether an operator needs values on the host: its result, or the result's shape, depends on them."""
    sized = func is aten.repeat_interleave.Tensor and named.get("output_size") is not None
    return not sized and not BY_VALUE.isdisjoint(func.tags)


class _Functions(TorchFunctionMode):
    """Sees what Python calls: answers which device a tensor is on, and carries tensors to another one."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self.gpu = gpu
        self.answers: dict[object, Callable[..., Any]] = {
            Tensor.device.__get__: lambda found: GPU if on_gpu(found) else CPU,
            Tensor.is_cuda.__get__: on_gpu,
            Tensor.is_cpu.__get__: lambda found: not on_gpu(found),
            Tensor.get_device: lambda found: 0 if on_gpu(found) else -1,
            Tensor.to: self._to,
            Tensor.cpu: lambda found: self._to(found, CPU),
            Tensor.cuda: lambda found: self._to(found, GPU),
            Tensor.tolist: self._list,
            Tensor.numpy: self._refuse,
            Tensor.__array__: self._refuse,
            Tensor.new_tensor: self._make_new,
            Tensor.__deepcopy__: lambda found, memo: mark(Tensor.__deepcopy__(found, memo), on_gpu(found)),
        }

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func in self.answers:
            return self.answers[func](*args, **named)
        device = named.get("device")
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **named)
        if func in (torch.tensor, torch.as_tensor, torch.asarray):
            self.gpu.upload()
        return self.gpu.allocate(func(*args, **named | {"device": CPU}))

    def _to(self, found: Tensor, *args: Any, copy: bool = False, **named: Any) -> Tensor:
        """Carry a tensor to a device, a data type and a memory format."""
        source, other = on_gpu(found), args[0] if args and isinstance(args[0], Tensor) else named.pop("other", None)
        if other is not None:
            target, args = on_gpu(other), (other.dtype, *args[1:])
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **named)
        if other is None:
            target = source if device is None else device.type == "cuda"
        if source and not target and non_blocking:
            raise RuntimeError(f"a copy to the CPU may be read before it is complete at {_find_line()}")
        if target != source and not non_blocking:
            self.gpu.upload() if target else self.gpu.wait()
        moved = found.to(
            dtype or found.dtype, copy=copy or target != source, memory_format=layout or torch.preserve_format
        )
        return self.gpu.allocate(moved) if target else mark(moved, False)

    def _list(self, found: Tensor) -> Any:
        if on_gpu(found):
            self.gpu.wait()
        return found.tolist()

    def _refuse(self, found: Tensor, *args: Any, **named: Any) -> Any:
        if on_gpu(found):
            raise TypeError(f"can't convert cuda:0 device type tensor to numpy at {_find_line()}")
        return found.__array__(*args, **named) if args else found.numpy(**named)

    def _make_new(self, found: Tensor, data: Any, **named: Any) -> Tensor:
        """Make a tensor from data, where this one is unless another device is named."""
        gpu = on_gpu(found) if (device := named.pop("device", None)) is None else torch.device(device).type == "cuda"
        if gpu:
            self.gpu.upload()
        return mark(found.new_tensor(data, **named), gpu)
