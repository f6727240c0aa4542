"""The optimisers take the same steps as PyTorch's, which synchronise with the host."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from guidedstyle.engine.solvers.first_order import ADAM_BETAS, SGD_MOMENTUM, Adam, Sgd
from guidedstyle.engine.solvers.lbfgs import FIRST_STEP, FULL, TRUST_RADIUS, History, Lbfgs
from guidedstyle.engine.solvers.minimise import PATIENCE, minimise
from guidedstyle.types import SolverMethod

SHAPE = (1, 3, 6, 7)


def draw(seed: int) -> Tensor:
    return torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def bowl(image: Tensor) -> Tensor:
    """Compute a function of varying curvature, with its minimum within the range."""
    scales = torch.linspace(0.2, 3, image.numel(), dtype=image.dtype).view_as(image)
    off = image - 0.2 - 0.6 * draw(5)
    return (scales * off.square()).mean() + 0.1 * (off[..., 1:] * off[..., :-1]).square().mean()


def follow(optimiser, steps: int, function: Callable[[Tensor], Tensor] = bowl) -> list[Tensor]:
    """Return the image after each step of an optimiser."""
    path = []
    for _ in range(steps):
        image = optimiser.image.clone().requires_grad_()
        loss = function(image)
        (gradient,) = torch.autograd.grad(loss * image.numel(), image)
        optimiser.step(loss.detach(), gradient)
        path.append(optimiser.image.clone())
    return path


def follow_torch(make: Callable[[list[Tensor]], torch.optim.Optimizer], steps: int) -> list[Tensor]:
    image = (0.4 + 0.2 * draw(1)).requires_grad_()
    optimiser, path = make([image]), []
    for _ in range(steps):
        optimiser.zero_grad()
        (bowl(image) * image.numel()).backward()
        optimiser.step(lambda: bowl(image) * image.numel())
        path.append(image.detach().clone())
    return path


def test_lbfgs_limits_its_steps_to_the_trust_radius() -> None:
    """Along a direction without curvature its quadratic model has no minimum."""
    start = torch.full(SHAPE, 0.1, dtype=torch.float64)

    def slope(image: Tensor) -> Tensor:
        return (1 - image).mean() + 1e-3 * (1 - image).square().mean()

    path = [start, *follow(Lbfgs(start, learning_rate=None, steps=8), 8, slope)]
    moved = [float((later - earlier).abs().mean()) for earlier, later in pairwise(path)]
    assert moved[0] == pytest.approx(FIRST_STEP)
    assert max(moved) == pytest.approx(TRUST_RADIUS * FIRST_STEP)


def test_lbfgs_takes_the_steps_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """For more steps than pairs are stored; in units in which PyTorch's first step is the same."""
    monkeypatch.setattr("guidedstyle.engine.solvers.lbfgs.TRUST_RADIUS", 1e9)  # PyTorch's has no limit
    start, steps = 0.4 + 0.2 * draw(1), FULL.pairs + 8
    image = start.clone().requires_grad_()
    first = 0.001
    unit = first * image.numel()
    scaled = (start / unit).requires_grad_()
    optimiser = torch.optim.LBFGS([scaled], max_iter=1, history_size=FULL.pairs, tolerance_grad=0, tolerance_change=0)
    expected = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = bowl(scaled * unit) * image.numel()
        loss.backward()
        optimiser.step(lambda: 0.0)
        expected.append((scaled.detach() * unit).clone())
    found = follow(Lbfgs(start, learning_rate=first, steps=steps), steps)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=f"step {number + 1}")
    assert float(bowl(found[-1])) < 0.1 * float(bowl(start))


@pytest.mark.parametrize("pairs", [3, 10])
def test_lbfgs_in_16_bits_reaches_the_loss_of_32(pairs: int) -> None:
    """On a function whose curvature varies by 15, in float32 as images are."""
    start, losses = (0.4 + 0.2 * draw(1)).float(), {}
    for bits in (32, 16):
        path = follow(Lbfgs(start.clone(), learning_rate=None, steps=40, history=History(pairs, bits)), 40)
        losses[bits] = min(float(bowl(image)) for image in path)
    least = float(bowl(follow(Lbfgs(start.clone(), learning_rate=None, steps=300), 300)[-1]))
    assert losses[16] - least < 0.01 * (float(bowl(start)) - least)
    assert losses[16] < 1.05 * losses[32]


@pytest.mark.parametrize("bits", [32, 16])
def test_the_first_step_of_a_large_image_is_as_long_as_that_of_a_small_one(bits: int) -> None:
    """The sum of 30 million values in float32, one after the other, would be 8 % too small."""
    image = torch.full((1, 3, 3200, 3200), 0.5)
    gradient = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    optimiser = Lbfgs(image, learning_rate=None, steps=1, history=History(1, bits))
    optimiser.step(torch.tensor(1.0), gradient)
    moved = (optimiser.image - image).double()  # a little of it ends at 0 or 1
    assert float(moved.abs().mean()) == pytest.approx(FIRST_STEP, rel=1e-3)


def test_a_short_history_takes_the_memory_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is converted in chunks: chunks of three values give the same steps as a single one."""
    start = 0.4 + 0.2 * draw(1)
    optimiser = Lbfgs(start.clone(), learning_rate=None, steps=9, history=History(3, 16))
    expected = follow(optimiser, 9)
    assert optimiser.history.vectors.nbytes == 3 * 2 * 2 * start.numel()
    assert optimiser.stored.dtype == torch.float16
    assert optimiser.best.dtype == optimiser.image.dtype == start.dtype
    monkeypatch.setattr("guidedstyle.engine.solvers.lbfgs.CHUNK", 3)
    found = follow(Lbfgs(start.clone(), learning_rate=None, steps=9, history=History(3, 16)), 9)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_adam_takes_the_steps_of_pytorch_with_a_cosine_schedule() -> None:
    def make(images: list[Tensor]) -> torch.optim.Optimizer:
        optimiser = torch.optim.Adam(images, lr=0.01, betas=ADAM_BETAS)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 12, eta_min=0.001)
        optimiser.register_step_post_hook(lambda *_: schedule.step())
        return optimiser

    expected = follow_torch(make, 10)
    for one, other in zip(follow(Adam(0.4 + 0.2 * draw(1), learning_rate=0.01, steps=12), 10), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_sgd_takes_the_steps_of_pytorch_for_small_gradients() -> None:
    def make(images: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(images, lr=0.004, momentum=SGD_MOMENTUM, nesterov=True)

    def gentle(image: Tensor) -> Tensor:
        return 0.2 * bowl(image)

    found = follow(
        Sgd(0.4 + 0.2 * draw(1), learning_rate=0.02, steps=10), 10, gentle
    )  # a fifth of the gradient at five times the rate
    for one, other in zip(found, follow_torch(make, 10), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


class HostCopies(TorchDispatchMode):
    """Counts the copies of numbers to the host."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("method", get_args(SolverMethod))
def test_between_two_checks_of_the_losses_nothing_waits_for_the_host(method: str) -> None:
    class Loss:
        def __init__(self, image: Tensor) -> None:
            self.total = bowl(image)

        def detach(self) -> Loss:
            self.total = self.total.detach()
            return self

    counts = []

    def on_step(step) -> bool:
        counts.append(copies.count)
        return True

    with HostCopies() as copies:
        minimise(Loss, 0.4 + 0.2 * draw(1), method=method, steps=2 * PATIENCE, on_step=on_step)
    assert counts[PATIENCE - 1] == counts[0] == 0
    assert counts[-1] == counts[PATIENCE]
