"""Times and ratios read from curves of style distance, and their tables."""

from __future__ import annotations

from math import inf

import pytest
from programs.quality_tables import OURS, Interval, describe, find_time, take_medians

CURVE = [(1, 1.0, 0.8, 2.0), (2, 2.0, 0.4, 4.0), (3, 4.0, 0.5, 7.0), (4, 6.0, 0.2, 9.0)]


@pytest.mark.parametrize(
    ("level", "low", "high"),
    [
        (0.6, 1.5, 1.5),  # halfway between two points
        (0.4, 2.0, 2.0),  # the first time, although it rises again
        (0.3, 5 + 1 / 3, 5 + 1 / 3),
        (0.2, 6.0, 6.0),
        (0.9, 0.0, 1.0),  # before the first point
        (0.1, 6.0, inf),  # not reached
    ],
)
def test_time_at_which_a_curve_falls_to_a_level(level: float, low: float, high: float) -> None:
    assert find_time(CURVE, level) == pytest.approx((low, high))


def test_ratios_are_as_exact_as_both_times() -> None:
    exact, never, soon = Interval(6, 6), Interval(9, inf), Interval(0, 3)
    assert exact.divide_by(Interval(2, 2)).write() == "3.00"
    assert never.divide_by(exact).write() == ">1.50"
    assert exact.divide_by(soon).write() == ">2.00"
    assert soon.divide_by(exact).write() == "<0.50"
    assert exact.divide_by(never).write() == "<0.67"
    assert never.divide_by(never).write() == soon.divide_by(soon).write() == "?"
    assert Interval(1, 20).write(" s") == "1.00-20.0 s"


def test_medians_are_as_exact_as_their_values() -> None:
    assert take_medians([Interval(2, 2), Interval(3, 3), Interval(5, inf)]) == (3, 3)
    assert take_medians([Interval(2, inf), Interval(3, 3), Interval(5, 5)]) == (3, 5)
    assert take_medians([Interval(2, inf), Interval(3, inf), Interval(5, 5)]) == (3, inf)


def test_tables_show_times_and_ratios() -> None:
    """Also while the last pair is not yet measured with every method."""
    plain = [(1, 2.0, 0.8, 2.0), (2, 8.0, 0.4, 16.0)]
    pairs = {
        "a + b": {"content": 0.9, "curves": {OURS: CURVE, "plain": plain}},
        "c + d": {"content": 0.9, "curves": {OURS: CURVE}},
    }
    run = {"size": 64, "iterations": 2, "torch": "2", "threads": 2, "cpu": "x", "precision": "float32"}
    lines = list(describe(run | {"pairs": pairs}, [0.6]))
    assert "| 0.6 | 1.50 s | 5.00 s | 3.33 |" in lines
    assert "| 0.2000, our final distance | 6.00 s | >8.00 s | >1.33 |" in lines
    assert "| at the end | 0.2000 at 6.0 s (1.5 cores) | 0.4000 at 8.0 s (2.0 cores) |  |" in lines
    assert "| 0.6 | 1.50 s |" in lines
    assert "| 0.6 | 3.33 |" in lines
