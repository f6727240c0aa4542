"""Whether a render can go on from the state of an earlier one, and how: what has changed in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from guidedstyle.checkpoint import Checkpoint, describe_machine
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Snapshot, trace_losses
from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.document import Difference, list_differences

MOST_SHOWN = 6  # differences


class Resumption(NamedTuple):
    """What a render goes on with, the steps that were taken, and what a person should know of it."""

    plan: Plan
    snapshot: Snapshot
    note: str


def resume(file: Path, checkpoint: Checkpoint, identity: Mapping[str, Any], plan: Plan) -> Resumption:
    """Decide how a render as planned goes on from a checkpoint.

    From the same recipe and files it goes on exactly; from others of the same sizes and steps the picture so far is
    what the size that it had come to is begun with. Raises GuidedStyleError where the sizes or steps are others.
    """
    snapshot, done = checkpoint.snapshot, f"step {checkpoint.steps} of {sum(stage.steps for stage in plan.stages)}"
    changed = list_differences(checkpoint.identity, identity)
    if checkpoint.identity["stages"] != identity["stages"]:
        changed = [difference for difference in changed if difference.key != "stages"]
        rule = f"its state is of other sizes or steps and cannot be used: {_list(changed)}"
        raise GuidedStyleError.of(file, rule, "undo that, or leave --resume out to begin anew")
    if any(not difference.key.startswith("versions.") for difference in changed):
        stage = plan.stages[len(snapshot.endings)]
        note = f"changed since {done}: {_list(changed)}; begins {max(stage.size)} px anew from the picture so far"
        return Resumption(plan, replace(snapshot, state=None, curves=trace_losses([], [])), note)
    changed += list_differences(checkpoint.machine, describe_machine(plan))
    note = f"goes on from {done}"
    if changed:
        return Resumption(plan, snapshot, f"{note}; not to the same bits, as this has changed: {_list(changed)}")
    return Resumption(replace(plan, tilings=snapshot.tilings, precision=snapshot.precision), snapshot, note)


def _list(differences: Sequence[Difference]) -> str:
    shown = [str(difference) for difference in differences[:MOST_SHOWN]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")
