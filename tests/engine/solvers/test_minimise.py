"""Every solver minimises any function, and says why it ended."""

from __future__ import annotations

import io
from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import count
from typing import get_args

import pytest
import torch

from guidedstyle.engine.solvers.lbfgs import FULL
from guidedstyle.engine.solvers.minimise import EndReason, minimise
from guidedstyle.types import SolverMethod

METHODS = get_args(SolverMethod)


@dataclass
class Loss:
    total: torch.Tensor

    def detach(self) -> Loss:
        return Loss(self.total.detach())


def distance_to(target: torch.Tensor):
    return lambda image: Loss((image - target).square().mean())


def fail_at(calls: Container[int]) -> Callable[[torch.Tensor], Loss]:
    """Make a distance to 0.3 that is NaN in some calls."""
    counted = count(1)
    return lambda image: Loss((image - 0.3).square().mean() * (float("nan") if next(counted) in calls else 1.0))


@pytest.mark.parametrize("method", METHODS)
def test_finds_a_target_inside_the_range(method: str) -> None:
    target = 0.1 + 0.8 * torch.rand(1, 3, 16, 16)
    image, ending = minimise(distance_to(target), torch.full_like(target, 0.5), method=method, steps=200)
    torch.testing.assert_close(image, target, rtol=0, atol=0.02)
    assert ending.reason == EndReason.DONE
    assert ending.finished


@pytest.mark.parametrize("method", METHODS)
def test_stays_within_0_and_1(method: str) -> None:
    target = torch.tensor([-3.0, 4.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    image = minimise(distance_to(target), torch.full((1, 3, 8, 8), 0.5), method=method, steps=100)[0]
    torch.testing.assert_close(image, target.clamp(0, 1), rtol=0, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_solve_says_so(method: str) -> None:
    seen = []

    def on_step(step) -> bool:
        seen.append(step.number)
        return step.number < 3

    _, ending = minimise(
        distance_to(torch.zeros(1, 3, 4, 4)), torch.ones(1, 3, 4, 4), method=method, steps=50, on_step=on_step
    )
    assert (seen, ending.steps, ending.finished) == ([1, 2, 3], 3, False)
    assert ending.reason == EndReason.INTERRUPTED


@pytest.mark.parametrize("method", METHODS)
def test_after_nan_losses_the_best_image_is_returned(method: str) -> None:
    image, ending = minimise(fail_at(range(13, 99)), torch.full((1, 3, 4, 4), 0.9), method=method, steps=50)
    assert not ending.finished
    assert ending.reason == EndReason.NOT_FINITE
    assert torch.isfinite(image).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_solve_continues_after_a_single_nan_loss(method: str) -> None:
    image, ending = minimise(fail_at([7]), torch.full((1, 3, 4, 4), 0.9), method=method, steps=200)
    assert ending.finished
    assert torch.allclose(image, torch.full_like(image, 0.3), atol=0.02)


@pytest.mark.parametrize("rate", [0.5, 10.0])
@pytest.mark.parametrize("method", METHODS)
def test_steps_that_are_too_large_shrink_until_the_loss_falls(method: str, rate: float) -> None:
    """Without safeguards such steps oscillate between the limits of the range."""
    target = 0.3 + 0.4 * torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    totals = []

    def steep(image: torch.Tensor) -> Loss:
        return Loss(1e3 * (image - target).square().mean() + 1e-3)

    start = target + 0.02
    image, ending = minimise(
        steep,
        start,
        method=method,
        steps=100,
        on_step=lambda step: not totals.append(step.losses.total.item()),
        learning_rate=rate,
    )
    assert max(totals) > 2 * totals[0]  # the loss jumped
    assert ending.finished
    assert steep(image).total < totals[0] / 2


@pytest.mark.parametrize("steps", range(2, 12))
@pytest.mark.parametrize("method", METHODS)
def test_the_returned_image_is_never_one_of_a_jump(method: str, steps: int) -> None:
    start, totals = torch.full((1, 3, 4, 4), 0.5), []

    def steep(image: torch.Tensor) -> Loss:
        return Loss(1e4 * (image - start - 1e-4).square().mean() + 1e-3)

    image, ending = minimise(
        steep,
        start,
        method=method,
        steps=steps,
        on_step=lambda step: not totals.append(step.losses.total.item()),
        learning_rate=2.0,
    )
    assert max(totals) > 100 * totals[0]
    assert steep(image).total <= 1.1 * min(totals)
    assert ending.reason == EndReason.DIVERGED or min(totals) < 0.99 * totals[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_only_rises_has_diverged_and_returns_the_start(method: str) -> None:
    start, calls = torch.full((1, 3, 4, 4), 0.5), 0

    def rise(image: torch.Tensor) -> Loss:
        nonlocal calls
        calls += 1
        return Loss(image.mean() + 10.0**calls)

    image, ending = minimise(rise, start, method=method, steps=20, tolerance=0.001)
    assert ending.reason == EndReason.DIVERGED
    assert torch.allclose(image, start, atol=1e-3)


KEYS = {"image", "least_loss"}
STATE_KEYS = {
    "lbfgs": KEYS | {"stored", "trust_radius", "first_step", "returned", "history"},
    "adam": KEYS | {"stored", "learning_rate", "recovering", "count", "mean", "square"},
    "sgd": KEYS | {"stored", "learning_rate", "recovering", "momentum"},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_solve_resumed_from_any_saved_state_gives_the_same_bits(method: SolverMethod) -> None:
    """The keys are those of checkpoints: changing them needs a new format."""
    target = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    start, states, curvature = torch.full_like(target, 0.5), dict[int, bytes](), torch.linspace(0.2, 3, 90)

    def uneven(image: torch.Tensor) -> Loss:
        return Loss((curvature.view_as(image) * (image - target).square()).mean() + 0.1 * (image**3).mean())

    def on_step(step) -> bool:
        stream = io.BytesIO()
        torch.save(step.state_dict(), stream)
        states[step.number] = stream.getvalue()
        return True

    whole, ending = minimise(uneven, start, method=method, steps=FULL.pairs + 4, on_step=on_step)
    for saved in states.values():
        state = torch.load(io.BytesIO(saved), weights_only=True)
        assert set(state["optimiser"]) == STATE_KEYS[method]
        image, end = minimise(uneven, start, method=method, steps=FULL.pairs + 4, state=state)
        assert torch.equal(image, whole)
        assert end == ending


@pytest.mark.parametrize("method", METHODS)
def test_the_start_is_not_changed(method: str) -> None:
    start = torch.full((1, 3, 4, 4), 0.5)
    minimise(distance_to(torch.zeros(1, 3, 4, 4)), start, method=method, steps=3)
    assert (start == 0.5).all()
    assert not start.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_convention_a_step_does_not_depend_on_the_size(method: str) -> None:
    small, large = (torch.linspace(0, 1, 4).view(1, 1, 1, 4).expand(1, 3, side, 4).clone() for side in (4, 64))
    ended = [
        minimise(distance_to(torch.zeros_like(start)), start, method=method, steps=5)[0][0, 0, 0]
        for start in (small, large)
    ]
    torch.testing.assert_close(ended[0], ended[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_solve_whose_loss_no_longer_falls_has_converged(method: str) -> None:
    """The bowl's loss has a floor of 1: near it, ten steps lower it by less than a thousandth."""
    target = torch.full((1, 3, 8, 8), 0.6)
    start = torch.full_like(target, 0.4)

    def bowl(image: torch.Tensor) -> Loss:
        return Loss(1 + (image - target).square().mean())

    image, ending = minimise(bowl, start, method=method, steps=3000, tolerance=1e-3)
    assert (ending.reason, ending.finished) == (EndReason.CONVERGED, True)
    assert 10 < ending.steps < 3000
    assert float(bowl(image).total) < 1.005
    assert minimise(bowl, start, method=method, steps=40)[1].reason == EndReason.DONE


@pytest.mark.parametrize("method", METHODS)
def test_the_learning_rate_is_the_size_of_the_first_step(method: str) -> None:
    target = torch.ones(1, 3, 8, 8)
    start = torch.full_like(target, 0.1)
    moved = [
        float((minimise(distance_to(target), start, method=method, steps=1, learning_rate=rate)[0] - start).mean())
        for rate in (0.004, 0.008)
    ]
    assert moved[1] == pytest.approx(2 * moved[0], rel=0.02)
    assert moved[0] > 0


def test_lbfgs_returns_to_the_best_image_after_a_jump() -> None:
    seen = []

    def jump_once(image: torch.Tensor) -> Loss:
        seen.append(image.detach().clone())
        return Loss((image - 0.25).square().mean() * (100 if len(seen) == 2 else 1))

    start = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    minimise(jump_once, start, method="lbfgs", steps=6)
    assert (seen[1] - start).abs().max() > 0.01
    torch.testing.assert_close(seen[2], start, rtol=0, atol=1e-5)
    assert 0 < (seen[3] - start).abs().mean() < 0.6 * (seen[1] - start).abs().mean()


@pytest.mark.parametrize(
    ("method", "factor"),
    [("lbfgs", 100.0), ("adam", 100.0), ("sgd", 100.0), ("lbfgs", float("nan")), ("adam", float("nan"))],
)
def test_a_last_step_whose_loss_jumps_does_not_count(method: SolverMethod, factor: float) -> None:
    """No step follows it, so its loss is measured for itself; the best image is stored in half precision."""
    seen: list[torch.Tensor] = []

    def objective(image: torch.Tensor) -> Loss:
        seen.append(image.detach().clone())
        return Loss((image - 0.3).square().mean() * (factor if len(seen) > 6 else 1.0))

    found, _ = minimise(objective, torch.full((1, 3, 4, 4), 0.9), method=method, steps=6)
    torch.testing.assert_close(found, seen[5], rtol=0, atol=1e-3)
    assert float((seen[6] - seen[5]).abs().max()) > 2e-3


@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("method", METHODS)
def test_the_last_step_counts(method: SolverMethod, steps: int) -> None:
    """Its loss is seen by no further step: after one step the image has moved, and it is the best of all."""
    losses = list[float]()

    def objective(image: torch.Tensor) -> Loss:
        loss = distance_to(torch.full_like(image, 0.3))(image)
        losses.append(float(loss.total.detach()))
        return loss

    found, _ = minimise(objective, torch.full((1, 3, 4, 4), 0.9), method=method, steps=steps)
    assert len(losses) == steps + 1
    assert float((found - 0.3).square().mean()) < 0.999 * min(losses[:-1])
