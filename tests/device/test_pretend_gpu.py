"""The pretend GPU refuses what a GPU refuses, and counts what it waits for: it could show a fault."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from device.pretend_gpu import CPU, GPU, MixedDevicesError, PretendGpu, on_gpu
from torch import Tensor, nn
from torch.autograd import Function

MIXTURES: dict[str, Callable[[Tensor, Tensor], object]] = {
    "add": lambda gpu, cpu: gpu + cpu,
    "in place": lambda gpu, cpu: cpu.add_(gpu),
    "to a number": lambda gpu, cpu: cpu[0].add_(gpu[0]),
    "product": lambda gpu, cpu: cpu @ gpu,
    "cat": lambda gpu, cpu: torch.cat([gpu, cpu]),
    "stack of numbers": lambda gpu, cpu: torch.stack([gpu[0], cpu[0]]),
    "index": lambda gpu, cpu: cpu[gpu.long()],
    "value": lambda gpu, cpu: gpu.index_put((torch.zeros(4, dtype=torch.long, device=GPU),), cpu),
    "numpy": lambda gpu, cpu: gpu.numpy(),
    "array": lambda gpu, cpu: np.asarray(gpu),
}
WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda gpu: gpu[0].item(),
    "tolist": lambda gpu: gpu.tolist(),
    "cpu": lambda gpu: gpu.cpu(),
    "to": lambda gpu: gpu.to("cpu"),
    "to like": lambda gpu: gpu.to(torch.ones(1, dtype=torch.float64)),
    "bool": lambda gpu: bool(gpu[0] > 0),
    "float": lambda gpu: float(gpu.sum()),
    "if": lambda gpu: 1 if gpu.any() else 0,
    "nonzero": lambda gpu: torch.nonzero(gpu),
    "boolean index": lambda gpu: gpu[gpu > 0],
    "boolean target": lambda gpu: gpu.index_put_((gpu > 0,), gpu[0]),
    "masked_select": lambda gpu: gpu.masked_select(gpu > 0),
    "unique": lambda gpu: gpu.unique(),
    "repeats": lambda gpu: gpu.repeat_interleave(gpu.long()),
    "equal": lambda gpu: torch.equal(gpu, gpu),
    "copy": lambda gpu: torch.zeros(4).copy_(gpu),
    "assign": lambda gpu: torch.zeros(2, 4).__setitem__(0, gpu),
}
UPLOADS: dict[str, Callable[[Tensor], object]] = {
    "to": lambda gpu: torch.ones(4).to(GPU),
    "cuda": lambda gpu: torch.ones(4).cuda(),
    "tensor": lambda gpu: torch.tensor([1.0, 2.0], device=GPU),
    "new_tensor": lambda gpu: gpu.new_tensor(0.5),
    "list as index": lambda gpu: gpu[[0, 2]],
    "index of the CPU": lambda gpu: gpu[torch.tensor([0, 2])],
    "copy": lambda gpu: gpu.copy_(torch.zeros(4)),
}
FREE: dict[str, Callable[[Tensor], object]] = {
    "factories": lambda gpu: torch.arange(4, device=gpu.device) + gpu.new_zeros(4) + torch.full_like(gpu, 2),
    "numbers": lambda gpu: torch.where(gpu > 0, 1.0, gpu * torch.tensor(2.0)).masked_fill_(gpu > 1, 0),
    "index of the GPU": lambda gpu: gpu[torch.arange(2, device=GPU)],
    "slices": lambda gpu: gpu[1:].__setitem__(0, 3.0),
    "data types": lambda gpu: gpu.half().to(torch.float64).to(gpu),
    "upload that does not block": lambda gpu: gpu + torch.ones(4).to(GPU, non_blocking=True),
    "known repeats": lambda gpu: gpu.repeat_interleave(torch.arange(4, device=GPU), output_size=6),
}


@pytest.mark.parametrize("mix", MIXTURES.values(), ids=MIXTURES)
def test_devices_are_not_mixed(mix: Callable[[Tensor, Tensor], object]) -> None:
    with PretendGpu(), pytest.raises((MixedDevicesError, TypeError), match=r"at test_pretend_gpu.py:\d+ .*lambda gpu"):
        mix(torch.ones(4, device=GPU), torch.ones(4))


@pytest.mark.parametrize("work", WAITS.values(), ids=WAITS)
def test_waits_for_values_are_counted_with_their_line(work: Callable[[Tensor], object]) -> None:
    with PretendGpu() as gpu:
        work(torch.ones(4, device=GPU))
    ((line, count),) = gpu.waits.items()
    assert count == 1 and not gpu.uploads
    assert line.startswith("test_pretend_gpu.py:") and "lambda gpu" in line


@pytest.mark.parametrize("work", UPLOADS.values(), ids=UPLOADS)
def test_waits_for_uploads_are_counted(work: Callable[[Tensor], object]) -> None:
    with PretendGpu() as gpu:
        work(torch.ones(4, device=GPU))
    assert gpu.uploads.total() == 1 and not gpu.waits


@pytest.mark.parametrize("work", FREE.values(), ids=FREE)
def test_what_a_gpu_does_alone_is_no_wait(work: Callable[[Tensor], object]) -> None:
    with PretendGpu() as gpu:
        work(torch.ones(4, device=GPU))
    assert not gpu.waits and not gpu.uploads


def test_the_cpu_does_not_read_a_copy_before_it_is_complete() -> None:
    with PretendGpu(), pytest.raises(RuntimeError, match=r"before it is complete at test_pretend_gpu.py:\d+ "):
        torch.ones(4, device=GPU).to(CPU, non_blocking=True)


def test_the_cpu_waits_for_nothing() -> None:
    with PretendGpu() as gpu:
        found = torch.ones(4)
        assert found.cpu().tolist() == [1, 1, 1, 1] and found[found > 0].numpy().sum() == float(found.sum())
        assert found.device == CPU and not found.is_cuda
    assert not gpu.waits and not gpu.uploads


def test_what_comes_of_the_gpu_is_on_it() -> None:
    with PretendGpu():
        found = torch.ones(4, 3, device="cuda")
        assert all(map(on_gpu, (found.T, found.detach(), found.sum(), found @ found.T, deepcopy(found), found.data)))
        assert found.device == (found * 2).device == GPU and found.is_cuda and not found.is_cpu
        assert not on_gpu(found.cpu()) and on_gpu(found)
        layer = nn.Linear(3, 2).to(GPU, torch.float64)
        assert layer.weight.dtype == torch.float64 and layer(found.double()).device == GPU
    assert found.device == CPU  # when it is over, it is a tensor like any other


class _Twice(Function):
    """Doubles; its backward asks for the device, and makes a tensor there."""

    @staticmethod
    def forward(ctx: object, image: Tensor) -> Tensor:
        return 2 * image

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0] + torch.ones(4, device=gradients[0].device)


def test_the_way_back_is_on_the_gpu_too() -> None:
    with PretendGpu() as gpu:
        image = torch.ones(4, device=GPU).requires_grad_()
        (gradient,) = torch.autograd.grad(_Twice.apply(image).square().sum(), image)
        assert on_gpu(gradient)
        assert gradient.tolist() == [5, 5, 5, 5]
        assert gpu.waits.total() == 1
        image.register_hook(lambda gradient: gradient + gradient.sum().item())
        image.square().sum().backward()
        assert on_gpu(image.grad)
    assert gpu.waits.total() == 2


def test_memory_runs_out_where_a_tensor_is_too_large() -> None:
    with PretendGpu(largest=1000) as gpu:
        torch.ones(2000)
        small = torch.ones(250, device=GPU)
        with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
            torch.cat([small, small])
    assert not gpu.waits


def test_afterwards_there_is_no_gpu() -> None:
    asked = torch.cuda.is_available(), torch.autograd._engine_run_backward
    with PretendGpu():
        assert torch.cuda.is_available() and torch.cuda.get_device_capability(GPU) >= (8, 0)
    assert (torch.cuda.is_available(), torch.autograd._engine_run_backward) == asked
