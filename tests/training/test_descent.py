"""Gradient descent of a network: each step against plain formulas."""

from __future__ import annotations

import pytest
import torch
from support.images import draw_tensor
from torch import Tensor, nn

from guidedstyle.training.descent import DECAY, Descent, average_weights, schedule

RATE = 0.01


class Model(nn.Module):
    """A matrix, which Muon trains, and a vector, which Adam trains."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.vector = nn.Parameter(draw_tensor(6, 10)), nn.Parameter(draw_tensor(5))

    def measure(self) -> Tensor:
        """Measure a loss, whose gradient is the same everywhere."""
        return (self.matrix * draw_tensor(7, 6, 10)[0]).sum() + (self.vector * draw_tensor(4, 5)[0]).sum()


def start(steps: int, most_norm: float = 1e6) -> tuple[Model, Descent]:
    model = Model()
    descent = Descent(model, steps=steps, learning_rate=RATE, most_norm=most_norm, matrices=[model.matrix])
    return model, descent


def test_a_step_of_adam_moves_every_weight_by_the_learning_rate_against_its_gradient() -> None:
    model, descent = start(100)
    before = model.vector.detach().clone()
    descent.descend(model.measure())
    expected = -RATE * schedule(0, 100) * draw_tensor(4, 5)[0].sign()  # at first both moments are the gradient's own
    torch.testing.assert_close(model.vector.detach() - before, expected, rtol=2e-3, atol=0)


def test_a_step_of_muon_is_nearly_orthogonal_and_as_long_as_one_of_adam() -> None:
    model, descent = start(100)
    before = model.matrix.detach().clone()
    descent.descend(model.measure())
    change = (before - model.matrix.detach()).double()
    u, _, v = torch.linalg.svd(draw_tensor(7, 6, 10)[0].double(), full_matrices=False)
    length = RATE * schedule(0, 100) * 0.2 * 10**0.5  # Liu et al. 2025, arXiv:2502.16982: as the changes of Adam are
    torch.testing.assert_close(u.T @ change @ v.T, length * torch.eye(6).double(), rtol=0, atol=0.35 * length)


def test_large_gradients_are_limited() -> None:
    model, descent = start(100, most_norm=1e-3)
    descent.descend(model.measure())
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    assert float(torch.cat([gradient.flatten() for gradient in gradients]).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_the_average_follows_every_step() -> None:
    model, descent = start(100)
    expected = model.vector.detach().clone()
    for number in range(4):
        descent.descend(model.measure())
        decay = min(DECAY, (1 + number) / (10 + number)) if number else 0.0  # the first average is the first value
        expected = decay * expected + (1 - decay) * model.vector.detach()
    torch.testing.assert_close(descent.average.module.vector, expected)


def test_average_slows_down_to_its_decay() -> None:
    one, zero = torch.ones(()), torch.zeros(())
    assert [float(average_weights(one, zero, count)) for count in (1, 10, 10**6)] == pytest.approx(
        [2 / 11, 0.55, DECAY]
    )


def test_learning_rate_rises_and_falls() -> None:
    factors = [schedule(step, 1000) for step in range(1000)]
    assert factors.index(max(factors)) == 199
    assert factors[0] < 0.01
    assert factors[-1] < 0.01


def test_a_state_continues_to_the_same_bits() -> None:
    (model, whole), (other, half) = start(10), start(10)
    for _ in range(4):
        whole.descend(model.measure())
    for _ in range(2):
        half.descend(other.measure())
    last, resumed = start(10)
    resumed.load_state_dict(half.state_dict())
    for _ in range(2):
        resumed.descend(last.measure())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), last.parameters(), strict=True))
