"""One call of `render` from recipes to files: Ctrl-C, progress, saving, exit code."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from guidedstyle.batch import Failure, Job
from guidedstyle.device.distributed import is_first, join_processes
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.cache import find_cache
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Snapshot, Update
from guidedstyle.errors import (
    BUG,
    DONE,
    INTERRUPTED,
    MISTAKE,
    OURS,
    GuidedStyleError,
    StoppedEarlyError,
    explain_fault,
    find_worst,
)
from guidedstyle.interrupts import interruptible
from guidedstyle.io.files import claiming
from guidedstyle.progress import Style, choose_teller, describe_end, show_progress, tell
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.record import find_record
from guidedstyle.report import (
    print_bench,
    print_failure,
    print_json,
    print_next,
    print_notes,
    print_outcomes,
    print_plan,
    print_result,
    print_scene,
)
from guidedstyle.rescue import save_or_rescue
from guidedstyle.result import Result
from guidedstyle.scene.scene import Scene
from guidedstyle.upkeep import Keeper, Upkeep
from guidedstyle.wishes import Wishes
from guidedstyle.workshop import Workshop


class Session:
    """Renders one job after another with one workshop, until it is interrupted."""

    def __init__(self, workshop: Workshop, wishes: Wishes, style: Style, interrupted: Sequence[float]) -> None:
        self.workshop, self.wishes, self.interrupted = workshop, wishes, interrupted
        self.style: Style = style if is_first() else "quiet"
        self.first = not find_cache().is_dir()  # the first render on this machine

    def run_all(self, jobs: Sequence[Job | Failure], dry_run: bool) -> int:
        """Render all jobs, whatever becomes of each, and return the worst exit code."""
        order = sorted(range(len(jobs)), key=lambda index: isinstance(jobs[index], Job))  # first what is wrong
        ended = {index: INTERRUPTED if self.interrupted else self._attempt(jobs[index], dry_run) for index in order}
        codes = [ended[index] for index in range(len(jobs))]
        if self.style == "shown" and not dry_run:
            print_outcomes([(job.name, code) for job, code in zip(jobs, codes, strict=True)])
        return find_worst(codes)

    def _attempt(self, job: Job | Failure, dry_run: bool) -> int:
        try:
            if isinstance(job, Failure):
                raise job.error
            return self.run(job, dry_run)
        except Exception as error:
            return report_error(job.name, error)

    def run(self, job: Job, dry_run: bool) -> int:
        """Render a job, write the picture and its record, and return the exit code."""
        if self.wishes.resume and not dry_run and (record := find_record(job.reading.recipe)):
            self._tell_end(job.output, record, "is there already, ")
            if self.style == "shown" and (self.wishes.timelapse or self.wishes.report):
                print_notes(["for a film or a report of it, render it without --resume"])
            return DONE
        with claiming(job.output) if is_first() and not dry_run else nullcontext():
            return self._work(job, dry_run)

    def _work(self, job: Job, dry_run: bool) -> int:
        check = job.find_check()
        plan = self.workshop.plan(check.scene)
        if self.style == "shown":
            print_scene(check.scene, check.notes)
            print_plan(plan)
        if dry_run:
            return DONE
        scene = self.workshop.open(job.reading, plan)
        upkeep = Upkeep(scene, self.wishes, Path(job.reading.document.source))
        try:
            return self._finish(job, upkeep, self._render(scene, plan, upkeep, check.notes))
        except StoppedEarlyError:
            print_failure(job.name, "stopped before its first step; nothing was written")
            return INTERRUPTED
        except (MemoryError, RuntimeError) as error:
            if not (fault := explain_fault(error)):
                raise
        print_failure(f"{job.output} is not written", f"{fault}{upkeep.tell_kept()}")
        return MISTAKE

    def _render(self, scene: Scene, plan: Plan, upkeep: Upkeep, notes: tuple[str, ...]) -> Result:
        plan, snapshot, note = upkeep.begin(plan)
        begun = (note,) if note else ()
        if self.style == "shown":
            print_notes(begun)
        keepers = list(upkeep.watch(plan, self.interrupted, tell))
        notes += begun
        return render_shown(self.workshop, scene, plan, self.style, self.interrupted, notes, keepers, snapshot)

    def _finish(self, job: Job, upkeep: Upkeep, result: Result) -> int:
        """Write what comes of a render; what is beside the picture must not hide that it is there."""
        code = DONE if result.rendering.finished else INTERRUPTED if self.interrupted else BUG
        if not is_first():
            return code
        if not save_or_rescue(result, self.style):
            return MISTAKE
        try:
            upkeep.end(result, self.interrupted)
        except GuidedStyleError as error:
            print_failure(f"{job.output} is written, but not all beside it", str(error))
            code = code or MISTAKE
        self._tell_end(job.output, result.record)
        if self.style == "shown" and upkeep.state.exists():
            print_notes(["the same command with --resume goes on from here"])
        if self.style == "shown" and self.first and find_cache().is_dir():
            print_next(job.reading.document.source)
        return code

    def _tell_end(self, output: Path, record: dict[str, Any], how: str = "") -> None:
        if self.style == "json":
            print_json(describe_end(output, record))
        elif self.style == "shown":
            print_result(output, record["result"], how)


def run_render(jobs: Sequence[Job | Failure], workshop: Workshop, wishes: Wishes, style: Style, dry_run: bool) -> int:
    """Render jobs and return the exit code; a single one raises GuidedStyleError where it cannot be rendered."""
    teller = choose_teller(style if is_first() else "quiet")
    with join_processes(), interruptible(teller) as interrupted:
        session = Session(workshop, wishes, style, interrupted)
        if len(jobs) == 1 and isinstance(jobs[0], Job):
            return session.run(jobs[0], dry_run)
        return session.run_all(jobs, dry_run)


def report_error(name: str, error: Exception) -> int:
    """Say why one of several pictures could not be rendered, and return the exit code."""
    fault = explain_fault(error)
    print_failure(name, str(fault) if fault else f"{traceback.format_exc()}\n{OURS}")
    return MISTAKE if fault else BUG


def render_shown(
    workshop: Workshop,
    scene: Scene,
    plan: Plan,
    style: Style,
    interrupted: Sequence[float],
    notes: tuple[str, ...],
    keepers: Sequence[Keeper] = (),
    snapshot: Snapshot | None = None,
) -> Result:
    """Render with progress on the screen, until it is done or interrupted; `keepers` are told of every update."""
    with show_progress(scene, plan, style) as show:

        def watch(update: Update) -> bool:
            stopping = bool(interrupted)  # looked at once: what stops a render must have been known to its keepers
            for watcher in (show, *keepers):
                watcher(update)
            return not stopping

        result = workshop.render(scene, plan, watch, snapshot, notes)
    if style == "shown":
        print_notes(result.rendering.notes)
    return result


def run_bench(size: int, largest: int, repeats: int, device: str, weights: Path | None) -> None:
    """Measure this machine and print the table."""
    from guidedstyle.benchmark import Bench  # no other command needs it

    choice = EncoderChoice(name="vgg19", weights=weights) if weights else EncoderChoice()
    bench = Bench(Workshop(device).load(choice), device, size, repeats)
    precision = name_precision(bench.plan.precision)
    title = f"{choice.name} on {bench.plan.device}, {precision}, {torch.get_num_threads()} threads"
    print_bench(bench.run(largest), title)
