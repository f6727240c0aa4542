"""Rates of a device: operations counted as written out by hand and tasks in turn."""

from __future__ import annotations

import torch
from torch.nn import functional

from guidedstyle.evaluation.rates import count_operations, measure_matrix_rate, time_in_turns

CPU = torch.device("cpu")


def test_operations_of_a_convolution_and_its_gradient_are_counted() -> None:
    """Each output takes a product and a sum for every input that it sees; the gradient takes as many again."""
    image, weights = torch.rand(1, 3, 16, 20, requires_grad=True), torch.rand(8, 3, 3, 3)
    forward = 2 * (16 * 20 * 8) * (3 * 3 * 3)

    def convolve() -> torch.Tensor:
        return functional.conv2d(image, weights, padding=1)

    assert count_operations(convolve) == forward
    assert count_operations(lambda: torch.autograd.grad(convolve().sum(), image)) == 2 * forward


def test_operations_of_a_matrix_product_are_counted() -> None:
    assert count_operations(lambda: torch.rand(5, 7) @ torch.rand(7, 11)) == 2 * 5 * 7 * 11


def test_tasks_take_turns_and_the_first_turn_does_not_count() -> None:
    turns: list[str] = []
    times = time_in_turns({name: lambda name=name: turns.append(name) for name in "ab"}, CPU, 3)  # type: ignore[misc]
    assert turns == ["a", "b"] * 4
    assert set(times) == {"a", "b"}


def test_the_matrix_rate_is_one_that_a_machine_can_have() -> None:
    assert 1e7 < measure_matrix_rate(CPU, torch.float32, side=384) < 1e15
