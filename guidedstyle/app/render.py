"""Render jobs: progress, saving, exit codes."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from guidedstyle.app.jobs import Failure, Job
from guidedstyle.cli.console import (
    print_failure,
    print_json,
    print_next,
    print_notes,
    print_outcomes,
    print_plan,
    print_result,
    print_scene,
)
from guidedstyle.cli.progress import Style, choose_teller, describe_end, show_progress, tell
from guidedstyle.device.distributed import is_first, join_processes
from guidedstyle.device.environment import Limits
from guidedstyle.device.memory import keep_freed_memory
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.cache import StatisticsCache, find_cache
from guidedstyle.engine.plan import ANYTHING, Plan, make_plan
from guidedstyle.engine.render import render
from guidedstyle.engine.rendering import OnUpdate, Snapshot, Update, load_encoder
from guidedstyle.errors import (
    BUG,
    DONE,
    INTERRUPTED,
    OURS,
    USER_ERROR,
    GuidedStyleError,
    StoppedEarlyError,
    explain_fault,
    find_worst,
)
from guidedstyle.io.files import lock_output, make_folder
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.results.record import Record, find_record, identify_recipe
from guidedstyle.results.result import Result
from guidedstyle.run.interrupts import StopRequest, interruptible
from guidedstyle.run.options import RenderOptions
from guidedstyle.run.outputs import Callback, RunFiles
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene


class Renderer:
    """Renders on a device within limits: plan a scene opened small, open it whole, render it."""

    def __init__(self, device: str = "auto", limits: Limits = ANYTHING, masks: MaskStore | None = None) -> None:
        self.device, self.limits, self.masks = device, limits, masks or MaskStore()
        self.encoders, self.statistics = dict[EncoderChoice, Encoder](), StatisticsCache()
        keep_freed_memory()

    def plan(self, scene: Scene) -> Plan:
        """Plan the render of a scene, whatever size it was opened at; raises GuidedStyleError where it cannot be."""
        return make_plan(scene, self.load(scene.recipe.encoder), self.device, self.limits)

    def open(self, reading: Reading, plan: Plan) -> Scene:
        """Open a scene at its full size."""
        keep_freed_memory(large_blocks=not plan.tiled)
        return open_scene(reading, masks=self.masks)

    def render(
        self, scene: Scene, plan: Plan, watch: OnUpdate, snapshot: Snapshot | None = None, notes: tuple[str, ...] = ()
    ) -> Result:
        """Render a scene as planned, from its beginning or from a snapshot; `notes` are added to what is told of it."""
        encoder, identity = self.load(scene.recipe.encoder), identify_recipe(scene.recipe)
        if plan.tiled:  # memory is short
            self.masks.clear()
        return Result(
            scene,
            render(scene, encoder, plan, on_update=watch, statistics=self.statistics, snapshot=snapshot),
            notes,
            identity,
        )

    def load(self, choice: EncoderChoice) -> Encoder:
        """Load the encoder that a recipe asks for, once."""
        if choice not in self.encoders:
            self.encoders[choice] = load_encoder(choice)
        return self.encoders[choice]


def save_or_rescue(result: Result, style: Style) -> bool:
    """Write an image where it belongs, or else where files are kept for a while, and tell so.

    Returns whether it is where it belongs; raises GuidedStyleError where it can be nowhere.
    """
    output = result.scene.recipe.output
    try:
        if not output.parent.is_dir():
            make_folder(output.parent, "output")
            if style == "shown":
                print_notes([f"the folder {output.parent} was removed meanwhile, and is made anew"])
        result.save()
    except GuidedStyleError as error:
        print_failure(f"{output} is not written, but kept as {_rescue(result, error)}", str(error))
        return False
    return True


def _rescue(result: Result, error: GuidedStyleError) -> Path:
    try:
        return result.save(Path(tempfile.mkdtemp(prefix="guidedstyle-")) / result.scene.recipe.output.name)
    except (OSError, GuidedStyleError):
        raise error from None


class Session:
    """Renders one job after another with one workshop, until it is interrupted."""

    def __init__(self, renderer: Renderer, render_options: RenderOptions, style: Style, stop: StopRequest) -> None:
        self.renderer, self.render_options, self.stop = renderer, render_options, stop
        self.style: Style = style if is_first() else "quiet"
        self.first = not find_cache().is_dir()  # the first render on this machine

    def run_all(self, jobs: Sequence[Job | Failure], dry_run: bool) -> int:
        """Render all jobs, whatever becomes of each, and return the worst exit code."""
        order = sorted(range(len(jobs)), key=lambda index: isinstance(jobs[index], Job))  # first what is wrong
        ended = {index: INTERRUPTED if self.stop.is_set() else self._attempt(jobs[index], dry_run) for index in order}
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
        """Render a job, write the image and its record, and return the exit code."""
        if self.render_options.resume and not dry_run and (record := find_record(job.reading.recipe)):
            self._tell_end(job.output, record, "is there already, ")
            if self.style == "shown" and (self.render_options.timelapse or self.render_options.report):
                print_notes(["for a film or a report of it, render it without --resume"])
            return DONE
        with lock_output(job.output) if is_first() and not dry_run else nullcontext():
            return self._work(job, dry_run)

    def _work(self, job: Job, dry_run: bool) -> int:
        check = job.find_check(self.renderer.masks)
        plan = self.renderer.plan(check.scene)
        if self.style == "shown":
            print_scene(check.scene, check.warnings)
            print_plan(plan)
        if dry_run:
            return DONE
        scene = self.renderer.open(job.reading, plan)
        run_files = RunFiles(scene, self.render_options, Path(job.reading.document.source))
        try:
            return self._finish(job, run_files, self._render(scene, plan, run_files, check.warnings))
        except StoppedEarlyError:
            print_failure(job.name, "stopped before its first step; nothing was written")
            return INTERRUPTED
        except (MemoryError, RuntimeError) as error:
            if not (fault := explain_fault(error)):
                raise
        print_failure(f"{job.output} is not written", f"{fault}{run_files.describe_kept()}")
        return USER_ERROR

    def _render(self, scene: Scene, plan: Plan, run_files: RunFiles, notes: tuple[str, ...]) -> Result:
        plan, snapshot, note = run_files.begin(plan)
        begun = (note,) if note else ()
        if self.style == "shown":
            print_notes(begun)
        callbacks = list(run_files.watch(plan, self.stop, tell))
        notes += begun
        return render_shown(self.renderer, scene, plan, self.style, self.stop, notes, callbacks, snapshot)

    def _finish(self, job: Job, run_files: RunFiles, result: Result) -> int:
        """Write what comes of a render; what is beside the image must not hide that it is there."""
        code = DONE if result.rendering.finished else INTERRUPTED if self.stop.is_set() else BUG
        if not is_first():
            return code
        if not save_or_rescue(result, self.style):
            return USER_ERROR
        try:
            run_files.end(result, self.stop)
        except GuidedStyleError as error:
            print_failure(f"{job.output} is written, but not all beside it", str(error))
            code = code or USER_ERROR
        self._tell_end(job.output, result.record)
        if self.style == "shown" and run_files.state.exists():
            print_notes(["the same command with --resume goes on from here"])
        if self.style == "shown" and self.first and find_cache().is_dir():
            print_next(job.reading.document.source)
        return code

    def _tell_end(self, output: Path, record: Record, how: str = "") -> None:
        if self.style == "json":
            print_json(describe_end(output, record))
        elif self.style == "shown":
            print_result(output, record.result, how)


def run_render(
    jobs: Sequence[Job | Failure], renderer: Renderer, render_options: RenderOptions, style: Style, dry_run: bool
) -> int:
    """Render jobs and return the exit code; a single one raises GuidedStyleError where it cannot be rendered."""
    teller = choose_teller(style if is_first() else "quiet")
    with join_processes(), interruptible(teller) as stop:
        session = Session(renderer, render_options, style, stop)
        if len(jobs) == 1 and isinstance(jobs[0], Job):
            return session.run(jobs[0], dry_run)
        return session.run_all(jobs, dry_run)


def report_error(name: str, error: Exception) -> int:
    """Say why one of several images could not be rendered, and return the exit code."""
    fault = explain_fault(error)
    print_failure(name, str(fault) if fault else f"{traceback.format_exc()}\n{OURS}")
    return USER_ERROR if fault else BUG


def render_shown(
    renderer: Renderer,
    scene: Scene,
    plan: Plan,
    style: Style,
    stop: StopRequest,
    notes: tuple[str, ...],
    callbacks: Sequence[Callback] = (),
    snapshot: Snapshot | None = None,
) -> Result:
    """Render with progress on the screen, until it is done or interrupted; `keepers` are told of every update."""
    with show_progress(scene, plan, style) as show:

        def watch(update: Update) -> bool:
            stopping = stop.is_set()  # read once: the callbacks must have seen the request that ends the render
            for watcher in (show, *callbacks):
                watcher(update)
            return not stopping

        result = renderer.render(scene, plan, watch, snapshot, notes)
    if style == "shown":
        print_notes(result.rendering.notes)
    return result
