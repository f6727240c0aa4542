"""Checkpoints on disk, and how a render resumes from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.precision import PRECISIONS, name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import LossHistory, Snapshot
from guidedstyle.engine.solvers.minimise import Ending, EndReason
from guidedstyle.errors import GuidedStyleError, is_out_of_memory
from guidedstyle.io.files import atomic_write
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.loading.keys import Difference, list_differences
from guidedstyle.results.record import identify_recipe
from guidedstyle.scene.scene import Scene

FORMAT = 2
ANEW = "leave --resume out to begin anew"


@dataclass(frozen=True)
class Checkpoint:
    """What a render is of, as plain data, how it is computed, and how far it has come."""

    identity: Mapping[str, Any]
    machine: Mapping[str, Any]
    snapshot: Snapshot
    steps: int

    @classmethod
    def at(cls, identity: Mapping[str, Any], plan: Plan, snapshot: Snapshot, steps: int) -> Checkpoint:
        """Make the checkpoint of a render as planned after so many steps."""
        return cls(identity, describe_machine(plan), snapshot, steps)


def describe_machine(plan: Plan) -> dict[str, Any]:
    """Describe what the bits of an image depend on besides its recipe, as far as a person chooses it."""
    limits = {"tile": plan.limits.tile, "max_memory": plan.limits.memory}
    return {"device": str(plan.device), "processes": count_processes(), **limits}


def describe_scene(scene: Scene) -> dict[str, Any]:
    """Describe what a state is of: recipe, hashes of its files, versions, sizes and steps."""
    return identify_recipe(scene.recipe).model_dump() | {
        "stages": [[*stage.size, stage.steps] for stage in scene.stages]
    }


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; raises GuidedStyleError where it cannot be written."""
    snapshot = checkpoint.snapshot
    data = {
        "format": FORMAT,
        "identity": checkpoint.identity,
        "machine": checkpoint.machine,
        "steps": checkpoint.steps,
        "threads": torch.get_num_threads(),
        "snapshot": {
            "endings": [{"steps": ending.steps, "reason": ending.reason.value} for ending in snapshot.endings],
            "image": snapshot.image,
            "state": snapshot.state,
            "tilings": [asdict(tiling) for tiling in snapshot.tilings],
            "precision": name_precision(snapshot.precision),
            "history": dict(vars(snapshot.history)),
            "seconds": snapshot.seconds,
        },
    }
    try:
        with atomic_write(file) as part, part.open("wb") as stream:
            torch.save(data, stream)
    except RuntimeError as error:  # so torch tells that the disk is full
        raise GuidedStyleError.of(file, "the state cannot be written", "make room on the disk") from error


def read_checkpoint(file: Path) -> Checkpoint | None:
    """Read a checkpoint to the CPU, and set the number of threads that it was computed with; None: there is none.

    Raises GuidedStyleError where the file is damaged.
    """
    if not file.exists():
        return None
    try:
        if not file.is_file():  # a pipe is waited for
            raise ValueError(file)
        data = torch.load(file, "cpu", weights_only=True)
        if data["format"] != FORMAT:
            rule = f"it is of format {data['format']}, and this version reads {FORMAT}"
            raise GuidedStyleError.of(file, rule, ANEW)
        snapshot = _read_snapshot(data["snapshot"], data["identity"]["stages"])
        torch.set_num_threads(data["threads"])
        return Checkpoint(dict(data["identity"]), dict(data["machine"]), snapshot, int(data["steps"]))
    except GuidedStyleError:
        raise
    except Exception as error:  # what reads a pickle of anybody's fails in every way there is
        if is_out_of_memory(error):
            raise
        raise GuidedStyleError.of(file, "the state is damaged", ANEW) from error


def _read_snapshot(data: dict[str, Any], stages: Sequence[tuple[int, int, int]]) -> Snapshot:
    """Read where a render is whose stages are (width, height, steps); raises where that cannot be."""
    history, (width, height, _) = LossHistory(**data["history"]), stages[len(data["endings"])]
    image, state = data["image"], data["state"]
    whole = (image.shape, image.dtype) == ((1, 3, height, width), torch.float32)
    whole &= state is None or (set(state), type(state["optimiser"])) == ({"optimiser", "totals"}, dict)
    whole &= len(data["tilings"]) == len(stages)
    if not whole or len({len(curve) for curve in vars(history).values()}) != 1:
        raise ValueError("image, solver, tiles and loss history do not go together")
    endings = tuple(Ending(ending["steps"], EndReason(ending["reason"])) for ending in data["endings"])
    tilings = tuple(Tiling(**tiling) for tiling in data["tilings"])
    precision = PRECISIONS[data["precision"]]
    return Snapshot(endings, image, state, tilings, precision, history, data["seconds"])


MOST_SHOWN = 6  # differences


class Resumption(NamedTuple):
    """What a render goes on with, the steps that were taken, and what a person should know of it."""

    plan: Plan
    snapshot: Snapshot
    note: str


def resume(file: Path, checkpoint: Checkpoint, identity: Mapping[str, Any], plan: Plan) -> Resumption:
    """Decide how a render as planned goes on from a checkpoint.

    From the same recipe and files it goes on exactly; from others of the same sizes and steps the image so far is
    what the size that it had come to is begun with. Raises GuidedStyleError where the sizes or steps are others.
    """
    plan = replace(plan, precision=_choose_precision(checkpoint, identity, plan))
    snapshot, done = checkpoint.snapshot, f"step {checkpoint.steps} of {sum(stage.steps for stage in plan.stages)}"
    changed = list_differences(checkpoint.identity, identity)
    if checkpoint.identity["stages"] != identity["stages"]:
        changed = [difference for difference in changed if difference.key != "stages"]
        rule = f"its state is of other sizes or steps and cannot be used: {_list(changed)}"
        raise GuidedStyleError.of(file, rule, "undo that, or leave --resume out to begin anew")
    if any(not difference.key.startswith("versions.") for difference in changed):
        stage = plan.stages[len(snapshot.endings)]
        note = f"changed since {done}: {_list(changed)}; begins {max(stage.size)} px anew from the image so far"
        return Resumption(plan, replace(snapshot, state=None, history=LossHistory.stack([], [])), note)
    changed += list_differences(checkpoint.machine, describe_machine(plan))
    note = f"goes on from {done}"
    if changed:
        return Resumption(plan, snapshot, f"{note}; not to the same bits, as this has changed: {_list(changed)}")
    return Resumption(replace(plan, tilings=snapshot.tilings), snapshot, note)


def _choose_precision(checkpoint: Checkpoint, identity: Mapping[str, Any], plan: Plan) -> torch.dtype:
    """Choose the checkpoint's precision, whatever this machine would choose by itself, on the same kind of device."""
    auto = identity["recipe"].get("precision", "auto") == "auto"
    return (
        checkpoint.snapshot.precision if auto and checkpoint.machine["device"] == str(plan.device) else plan.precision
    )


def _list(differences: Sequence[Difference]) -> str:
    shown = [str(difference) for difference in differences[:MOST_SHOWN]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")
