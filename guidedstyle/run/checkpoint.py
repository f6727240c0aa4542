"""Checkpoints: written while a render runs, read to resume it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.precision import PRECISIONS, name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import LossHistory, Snapshot, Update
from guidedstyle.engine.solvers.lbfgs import History
from guidedstyle.engine.solvers.minimise import OPTIMISERS, Ending, EndReason, State
from guidedstyle.errors import GuidedStyleError, is_out_of_memory
from guidedstyle.io.files import atomic_write
from guidedstyle.io.ownership import protect
from guidedstyle.losses.tiles import Tiling
from guidedstyle.recipe.loading.keys import Difference, list_differences
from guidedstyle.results.record import identify_recipe
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import Every, Throttle
from guidedstyle.scene.scene import Scene

FORMAT = 3  # increase it whenever a key, including one of an optimiser's state_dict, is added, renamed or removed
MOST_SHOWN = 6  # differences
START_OVER = "leave --resume out to start over"
END_REASONS = {  # of format 1, for scales that were finished
    "all steps are done": EndReason.DONE,
    "the loss no longer falls": EndReason.CONVERGED,
    "the loss rose, even with short steps": EndReason.DIVERGED,
}
KEYS_SINCE_FORMAT_1 = {"format": 1, "precision": "auto"}  # of recipes, with the values they had without being written


@dataclass(frozen=True)
class Checkpoint:
    """Where a render was after `steps` steps.

    `identity` says what is rendered: the recipe, hashes of its files, versions, and [width, height, steps] of every
    scale as `stages`. `machine` says what else its bits depend on, except the number of `threads`. A checkpoint of an
    older `format` has no state of the optimiser.
    """

    identity: Mapping[str, Any]
    machine: Mapping[str, Any]
    threads: int
    steps: int
    snapshot: Snapshot
    format: int = FORMAT


def identify_scene(scene: Scene) -> dict[str, Any]:
    """Return the identity of a render: recipe, hashes of its files, versions, and its scales."""
    stages = [[*stage.size, stage.steps] for stage in scene.stages]
    return identify_recipe(scene.recipe).model_dump() | {"stages": stages}


def describe_machine(plan: Plan) -> dict[str, Any]:
    """Return the settings besides the recipe on which the bits of an image depend."""
    limits = {"tile": plan.limits.tile, "max_memory": plan.limits.memory}
    return {"device": str(plan.device), "processes": count_processes(), **limits}


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; raises GuidedStyleError if it cannot be written, or would replace another file."""
    snapshot = checkpoint.snapshot
    data = {
        "format": FORMAT,
        "identity": checkpoint.identity,
        "machine": checkpoint.machine,
        "threads": checkpoint.threads,
        "steps": checkpoint.steps,
        "snapshot": {
            "endings": [{"steps": ending.steps, "reason": ending.reason.value} for ending in snapshot.endings],
            "image": snapshot.image,
            "state": snapshot.state,
            "tilings": [asdict(tiling) for tiling in snapshot.tilings],
            "histories": [asdict(history) for history in snapshot.histories],
            "precision": name_precision(snapshot.precision),
            "history": dict(vars(snapshot.history)),
            "seconds": snapshot.seconds,
        },
    }
    try:
        with atomic_write(file, ready=lambda: protect([file])) as temporary, temporary.open("wb") as stream:
            torch.save(data, stream)
    except RuntimeError as error:  # torch reports a full disk like this
        raise GuidedStyleError.of(file, "the checkpoint cannot be written", "free disk space") from error


def read_checkpoint(file: Path) -> Checkpoint | None:
    """Read a checkpoint to the CPU; None: there is no file.

    Of one that an older version wrote, the image so far is read, but not the optimiser's state. Raises
    GuidedStyleError if the file is damaged, or was written by a newer version.
    """
    if not file.exists():
        return None
    with _explaining_damage(file):
        if not file.is_file():
            raise ValueError("reading a pipe would block")
        data = torch.load(file, "cpu", weights_only=True)
        if data["format"] <= FORMAT:
            return _parse(data)
    rule = f"it was written by a newer version of guidedstyle (format {data['format']}; this version reads {FORMAT})"
    raise GuidedStyleError.of(file, rule, f"update guidedstyle, or {START_OVER}")


@contextmanager
def _explaining_damage(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # unpickling a foreign file can raise anything
        if is_out_of_memory(error):
            raise
        remedy = f"{START_OVER}; if it is not known as a checkpoint, with --overwrite"
        raise GuidedStyleError.of(file, "the checkpoint is damaged", remedy) from error


def _parse(data: dict[str, Any]) -> Checkpoint:
    """Parse the content of a file; raises if anything is missing or inconsistent."""
    identity, machine = dict(data["identity"]), dict(data["machine"])
    if data["format"] == 1:
        identity["recipe"] = KEYS_SINCE_FORMAT_1 | identity["recipe"]
    parse = {1: _parse_image, 2: _parse_image, FORMAT: _parse_snapshot}[data["format"]]
    snapshot = parse(data["snapshot"], identity["stages"])
    return Checkpoint(identity, machine, int(data["threads"]), int(data["steps"]), snapshot, data["format"])


def _parse_snapshot(data: dict[str, Any], stages: Sequence[tuple[int, int, int]]) -> Snapshot:
    history, state = LossHistory(**data["history"]), data["state"]
    if len({len(losses) for losses in vars(history).values()}) != 1:
        raise ValueError("the losses differ in number")
    if set(state) != {"optimiser", "totals"} or set(state["optimiser"]) not in _list_optimiser_keys():
        raise ValueError("this is not the state of an optimiser")
    endings = tuple(Ending(ending["steps"], EndReason(ending["reason"])) for ending in data["endings"])
    return _make_snapshot(data, stages, endings=endings, state=state, history=history)


def _parse_image(data: dict[str, Any], stages: Sequence[tuple[int, int, int]]) -> Snapshot:
    """Parse the image so far of an older format; the optimiser's state was stored under names that have changed."""
    reasons = END_REASONS | {reason.value: reason for reason in EndReason}
    endings = tuple(Ending(ending["steps"], reasons[ending["reason"]]) for ending in data["endings"])
    data = data | {"histories": [{}] * len(stages)}
    return _make_snapshot(data, stages, endings=endings, state=None, history=LossHistory.stack([], []))


def _make_snapshot(
    data: dict[str, Any],
    stages: Sequence[tuple[int, int, int]],
    *,
    endings: tuple[Ending, ...],
    state: State | None,
    history: LossHistory,
) -> Snapshot:
    """Make a snapshot from what is the same in all formats; raises ValueError if it does not fit the scales."""
    if {len(data["tilings"]), len(data["histories"])} != {len(stages)}:
        raise ValueError("tilings, histories and scales differ in number")
    return Snapshot(
        endings=endings,
        image=_check_image(data["image"], stages[len(endings)]),
        state=state,
        tilings=tuple(Tiling(**tiling) for tiling in data["tilings"]),
        histories=tuple(History(**history) for history in data["histories"]),
        precision=PRECISIONS[data["precision"]],
        history=history,
        seconds=data["seconds"],
    )


def _check_image(image: torch.Tensor, stage: tuple[int, int, int]) -> torch.Tensor:
    width, height, _ = stage
    if (image.shape, image.dtype) != ((1, 3, height, width), torch.float32):
        raise ValueError("the image does not have the size of its scale")
    return image


@cache
def _list_optimiser_keys() -> list[set[str]]:
    image = torch.zeros(1, 3, 1, 1)
    return [set(make(image, learning_rate=None, steps=1).state_dict()) for make in OPTIMISERS.values()]


@dataclass(frozen=True)
class Resumption:
    """How a render begins: its plan, and the snapshot that it resumes from, if any.

    Without a `warning` it continues to the same bits as if it had never stopped. The optimiser continues with the same
    number of `threads`, as that changes the bits. Frames of up to `steps` steps stay valid.
    """

    plan: Plan
    snapshot: Snapshot | None = None
    note: str = ""
    warning: str = ""
    threads: int | None = None
    steps: int = 0


def resume(file: Path, checkpoint: Checkpoint, identity: Mapping[str, Any], plan: Plan) -> Resumption:
    """Decide how a render of this identity and plan resumes from a checkpoint.

    With the same recipe and files it continues exactly. With a changed recipe of the same scales, or from a checkpoint
    that an older version wrote, the current scale starts over from the image so far. Raises GuidedStyleError if the
    scales have changed.
    """
    plan = replace(plan, precision=_choose_precision(checkpoint, identity, plan))
    done = f"step {checkpoint.steps} of {sum(stage.steps for stage in plan.stages)}"
    changed = list_differences(*map(_leave_out_finish, (checkpoint.identity, identity)))
    if checkpoint.identity["stages"] != identity["stages"]:
        changed = [difference for difference in changed if difference.key != "stages"]
        rule = f"it cannot be resumed, as sizes or steps have changed: {_list(changed)}"
        raise GuidedStyleError.of(file, rule, f"undo that, or {START_OVER}")
    if checkpoint.format < FORMAT:
        rule = f"{file} was written by an older version of guidedstyle (format {checkpoint.format})"
        return _start_stage_over(f"{rule}, and the optimiser cannot continue from it", checkpoint, plan)
    if any(not difference.key.startswith("versions.") for difference in changed):
        return _start_stage_over(f"changed since {done}: {_list(changed)}", checkpoint, plan)
    changed += list_differences(checkpoint.machine, describe_machine(plan))
    note, threads, snapshot = f"resumes from {done}", checkpoint.threads, checkpoint.snapshot
    if changed:
        begun = len(snapshot.endings) + 1  # the history of the scale in progress is that of the optimiser's state
        plan = replace(plan, histories=snapshot.histories[:begun] + plan.histories[begun:])
        warning = f"{note}; the image will differ slightly, as this has changed: {_list(changed)}"
        return Resumption(plan, snapshot, warning=warning, threads=threads, steps=checkpoint.steps)
    plan = replace(plan, tilings=snapshot.tilings, histories=snapshot.histories)
    return Resumption(plan, snapshot, note=note, threads=threads, steps=checkpoint.steps)


def _leave_out_finish(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is applied after the render and does not change its steps: opacities, and how it is saved."""
    recipe = {key: value for key, value in identity["recipe"].items() if key not in ("opacity", "save")}
    regions = [
        {key: value for key, value in region.items() if key != "opacity"} for region in recipe.get("regions", ())
    ]
    return {**identity, "recipe": recipe | {"regions": regions}}


def _choose_precision(checkpoint: Checkpoint, identity: Mapping[str, Any], plan: Plan) -> torch.dtype:
    """On the same kind of device, use the checkpoint's precision, even if this machine would choose another one."""
    auto = identity["recipe"].get("precision", "auto") == "auto"
    same = checkpoint.machine["device"] == str(plan.device)
    return checkpoint.snapshot.precision if auto and same else plan.precision


def _start_stage_over(reason: str, checkpoint: Checkpoint, plan: Plan) -> Resumption:
    """Start the checkpoint's scale over from its image."""
    snapshot = replace(checkpoint.snapshot, state=None, history=LossHistory.stack([], []))
    index = len(snapshot.endings)
    warning = f"{reason}; {max(plan.stages[index].size)} px starts over from the image so far"
    return Resumption(plan, snapshot, warning=warning, steps=sum(stage.steps for stage in plan.stages[:index]))


def _list(differences: Sequence[Difference]) -> str:
    shown = [str(difference) for difference in differences[:MOST_SHOWN]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Compute with this number of threads, or with as many as before if None."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Checkpointer:
    """Saves the checkpoint of a render while it runs, and at once when a stop is requested; loads an earlier one."""

    def __init__(self, file: Path, *, identity: Mapping[str, Any], plan: Plan, every: Every, stop: StopRequest) -> None:
        self.file, self.identity, self.plan, self.stop = file, identity, plan, stop
        self.throttle = Throttle(every)

    def load(self) -> Resumption | None:
        """Return how the render resumes from the file; None: there is none.

        Raises GuidedStyleError if the file cannot be used.
        """
        checkpoint = read_checkpoint(self.file)
        return resume(self.file, checkpoint, self.identity, self.plan) if checkpoint else None

    def __call__(self, update: Update) -> None:
        """Save the checkpoint after a step if it is due."""
        self.save(update, force=self.stop.is_set())

    def save(self, update: Update, *, force: bool = False) -> None:
        """Save the checkpoint after a step if it is due, or in any case."""
        if force:
            self._write(update)
        else:
            self.throttle.run(update.done, lambda: self._write(update))

    def _write(self, update: Update) -> None:
        machine, threads = describe_machine(self.plan), torch.get_num_threads()
        write_checkpoint(self.file, Checkpoint(self.identity, machine, threads, update.done, update.snapshot()))
