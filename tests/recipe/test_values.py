"""Option words: each has an implementation, and each implementation a word."""

from __future__ import annotations

from typing import get_args

import pytest

from guidedstyle.engine.plan import STATE
from guidedstyle.engine.solvers.minimise import OPTIMISERS
from guidedstyle.losses.gram import STATISTICS
from guidedstyle.recipe.model import STEPS
from guidedstyle.types import SolverMethod, Statistic


@pytest.mark.parametrize(
    ("option", "table"),
    [
        (SolverMethod, OPTIMISERS),
        (SolverMethod, STATE),
        (SolverMethod, STEPS),
        (Statistic, STATISTICS),
    ],
)
def test_every_option_word_is_implemented(option: object, table: dict[str, object]) -> None:
    assert set(get_args(option)) == set(table)
