"""One call of `render` from recipes to files: Ctrl-C, progress, saving, exit code."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from guidedstyle.allocator import keep_freed_memory
from guidedstyle.batch import Failure, Job
from guidedstyle.cache import find_cache
from guidedstyle.commands import BUG, DONE, INTERRUPTED, MISTAKE
from guidedstyle.errors import GuidedStyleError, StoppedEarlyError
from guidedstyle.interrupts import interruptible
from guidedstyle.plan import Plan
from guidedstyle.processes import is_first, join_processes
from guidedstyle.progress import Style, describe_end, show_progress, tell
from guidedstyle.recipe import EncoderChoice
from guidedstyle.record import find_record
from guidedstyle.rendering import Snapshot, Update, load_encoder
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
from guidedstyle.result import Result
from guidedstyle.scene import Scene
from guidedstyle.survey import collect_notes, survey_scene
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
        codes = [INTERRUPTED if self.interrupted else self._attempt(job, dry_run) for job in jobs]
        if self.style == "shown" and not dry_run:
            print_outcomes([(job.name, code) for job, code in zip(jobs, codes, strict=True)])
        return next((code for code in (INTERRUPTED, BUG, MISTAKE) if code in codes), DONE)

    def _attempt(self, job: Job | Failure, dry_run: bool) -> int:
        try:
            if isinstance(job, Failure):
                raise job.error
            return self.run(job, dry_run)
        except GuidedStyleError as error:
            print_failure(job.name, str(error))
            return MISTAKE
        except Exception:
            print_failure(job.name, traceback.format_exc())
            return BUG

    def run(self, job: Job, dry_run: bool) -> int:
        """Render a job, write the picture and its record, and return the exit code."""
        if self.wishes.resume and not dry_run and (record := find_record(job.reading.recipe)):
            self._tell_end(job.output, record, "is there already, ")
            if self.wishes.timelapse or self.wishes.report:
                print_notes(["for a film or a report of it, render it without --resume"])
            return DONE
        plan = self.workshop.plan(job.sketch)
        if self.style == "shown":
            print_scene(job.sketch, collect_notes(job.sketch, survey_scene(job.sketch)))
            print_plan(plan)
        if dry_run:
            return DONE
        scene = self.workshop.open(job.reading, plan)
        upkeep = Upkeep(scene, self.wishes)
        try:
            return self._finish(job, upkeep, self._render(scene, plan, upkeep))
        except StoppedEarlyError:
            print_failure(job.name, "stopped before its first step; nothing was written")
            return INTERRUPTED

    def _render(self, scene: Scene, plan: Plan, upkeep: Upkeep) -> Result:
        plan, snapshot, note = upkeep.begin(plan)
        if note and self.style == "shown":
            print_notes([note])
        keepers = list(upkeep.watch(plan, self.interrupted, tell))
        return render_shown(self.workshop, scene, plan, self.style, self.interrupted, keepers, snapshot, note)

    def _finish(self, job: Job, upkeep: Upkeep, result: Result) -> int:
        """Write what comes of a render; what is beside the picture must not hide that it is there."""
        code = DONE if result.rendering.finished else INTERRUPTED if self.interrupted else BUG
        if not is_first():
            return code
        result.save()
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
    quiet = style == "quiet" or not is_first()
    with join_processes(), interruptible((lambda text: None) if quiet else tell) as interrupted:
        session = Session(workshop, wishes, style, interrupted)
        if len(jobs) == 1 and isinstance(jobs[0], Job):
            return session.run(jobs[0], dry_run)
        return session.run_all(jobs, dry_run)


def render_shown(
    workshop: Workshop,
    scene: Scene,
    plan: Plan,
    style: Style,
    interrupted: Sequence[float],
    keepers: Sequence[Keeper] = (),
    snapshot: Snapshot | None = None,
    note: str | None = None,
) -> Result:
    """Render with progress on the screen, until it is done or interrupted; `keepers` are told of every update."""
    notes = (*collect_notes(scene, survey_scene(scene)), *([note] if note else []))
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

    keep_freed_memory()
    choice = EncoderChoice(name="vgg19", weights=weights) if weights else EncoderChoice()
    bench = Bench(load_encoder(choice), device, size, repeats)
    precision = str(bench.plan.precision).removeprefix("torch.")
    title = f"{choice.name} on {bench.plan.device}, {precision}, {torch.get_num_threads()} threads"
    print_bench(bench.run(largest), title)
