"""Render jobs: plan, optimise, save, and write the files next to the output."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from guidedstyle.app.jobs import Failure, Job, refuse_written
from guidedstyle.device.distributed import is_first
from guidedstyle.device.environment import Limits
from guidedstyle.device.free_memory import keep_freed_memory
from guidedstyle.encoders.encoder import Encoder, Unloaded
from guidedstyle.encoders.registry import find_architecture
from guidedstyle.encoders.weights import find_missing
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.engine.plan import ANYTHING, Plan, make_plan
from guidedstyle.engine.progress import OnUpdate, Rendering, Snapshot, Update, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.engine.solvers.minimise import EndReason
from guidedstyle.errors import (
    ExitCode,
    GuidedStyleError,
    Problem,
    RenderFailedError,
    explain_error,
    find_error_code,
)
from guidedstyle.io.files import lock_output, make_folder, making_folders
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.loading.loader import Reading
from guidedstyle.recipe.model import EncoderChoice
from guidedstyle.results.record import find_record, identify_recipe
from guidedstyle.results.result import Result
from guidedstyle.run.checkpoint import Resumption, using_threads
from guidedstyle.run.eta import Forecast
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import RenderOptions
from guidedstyle.run.outputs import Callback, RunFiles
from guidedstyle.run.reporter import SILENT, Reporter
from guidedstyle.run.speeds import Machine, Work, measure_stages, store_samples
from guidedstyle.scene.check import Check
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene


class Renderer:
    """Renders on a device within limits; encoders and style statistics are loaded once for all of its renders."""

    def __init__(self, device: str = "auto", limits: Limits = ANYTHING, masks: MaskStore | None = None) -> None:
        self.device, self.limits, self.masks = device, limits, masks or MaskStore()
        self.encoders, self.statistics = dict[EncoderChoice, Encoder](), StatisticsCache()
        keep_freed_memory()

    def plan(self, scene: Scene) -> Plan:
        """Plan the render of a scene opened at any size; raises GuidedStyleError if it cannot be rendered."""
        return make_plan(scene, self.load(scene.recipe.encoder), self.device, limits=self.limits)

    def sketch(self, scene: Scene) -> tuple[Plan, str | None]:
        """Plan the same without a download and without writing anything; also say what the render will download."""
        choice = scene.recipe.encoder
        missing = None if choice.weights else find_missing(choice.name)
        encoder = Unloaded(find_architecture(choice.name)) if missing else self.load(choice)
        plan = make_plan(scene, encoder, self.device, limits=self.limits, store=False)
        return plan, f"the render downloads the weights of {choice.name} first ({missing.size})" if missing else None

    def open(self, reading: Reading, plan: Plan) -> Scene:
        """Open a scene at its full size."""
        keep_freed_memory(large_blocks=not plan.tiled)
        return open_scene(reading, masks=self.masks)

    def render(
        self,
        scene: Scene,
        plan: Plan,
        on_update: OnUpdate = lambda update: True,
        *,
        snapshot: Snapshot | None = None,
        notes: tuple[str, ...] = (),
        reporter: Reporter = SILENT,
    ) -> Result:
        """Render a scene as planned, from its beginning or from a snapshot, until `on_update` returns False.

        `notes` go into the record.
        """
        encoder, identity = self.load(scene.recipe.encoder), identify_recipe(scene.recipe)
        if plan.tiled:  # memory is short
            self.masks.clear()

        forecast, work = Forecast(plan.stages), Work.of(scene, plan)

        def report(update: Update) -> bool:
            if update.done:
                forecast.note(update.stage, update.done)
            else:
                forecast.restart()
            reporter.progressed(update)
            return on_update(update)

        reporter.began(scene, plan)
        try:
            rendering = render(scene, encoder, plan, on_update=report, statistics=self.statistics, snapshot=snapshot)
        finally:
            reporter.stopped()
        if is_first():
            store_samples(measure_stages(forecast, work), Machine.of(work.encoder, plan))
            _report_end(rendering, str(scene.recipe.output), reporter)
        return Result(scene, rendering, notes=notes, identity=identity)

    def load(self, choice: EncoderChoice) -> Encoder:
        """Load the encoder that a recipe asks for, once."""
        if choice not in self.encoders:
            self.encoders[choice] = load_encoder(choice)
        return self.encoders[choice]


def _report_end(rendering: Rendering, name: str, reporter: Reporter) -> None:
    """Report the warnings of a render; if the loss became NaN, an error takes the place of the last one."""
    broken = rendering.end_reason == EndReason.NOT_FINITE
    for note in rendering.notes[: -1 if broken else None]:
        reporter.warned(note)
    if broken:
        rule = f"{rendering.reason}; the best image so far is kept"
        remedy = "lower solver.learning_rate or the strengths, or set precision: float32"
        reporter.failed(name, GuidedStyleError.of("solver", rule, remedy))


def watch_until(
    stop: StopRequest, callbacks: Sequence[Callback] = (), on_update: Callable[[Update], object] | None = None
) -> OnUpdate:
    """Make the `on_update` of a render that ends when `stop` is set, which this `on_update` can do by returning False.

    `callbacks` get every update.
    """

    def watch(update: Update) -> bool:
        if on_update and _is_false(on_update(update)):
            stop.set()
        stopping = stop.is_set()  # read once, before the callbacks: they must see what stops the render
        for callback in callbacks:
            callback(update)
        return not stopping

    return watch


def _is_false(value: object) -> bool:
    """Whether a value is False, or an array or tensor of one False, as comparisons of losses return."""
    kind, shape = str(getattr(value, "dtype", "")), getattr(value, "shape", ())
    return value is False or (kind.endswith("bool") and math.prod(shape) == 1 and not value)


def plan_job(job: Job, renderer: Renderer, reporter: Reporter) -> tuple[Check, Plan]:
    """Check and plan a job without rendering it."""
    check = job.find_check(renderer.masks)
    plan = renderer.plan(check.scene)
    reporter.planned(check, plan)
    return check, plan


def sketch_job(job: Job, renderer: Renderer, reporter: Reporter) -> None:
    """Plan a job, and neither download nor write anything."""
    check = job.find_check(renderer.masks)
    plan, download = renderer.sketch(check.scene)
    reporter.planned(check, plan)
    if download:
        reporter.noted(download)


def render_job(
    job: Job,
    renderer: Renderer,
    *,
    options: RenderOptions | None,
    reporter: Reporter = SILENT,
    stop: StopRequest | None = None,
    on_update: OnUpdate | None = None,
) -> Result | None:
    """Render a job; with `options` the image and its record are written. None: with `resume` they existed already.

    Raises GuidedStyleError with all problems; RenderFailedError if it fails after it has begun, which says what is
    kept; StoppedEarlyError if it is stopped before its first step.
    """
    stop = stop or StopRequest()
    if options is None:
        check, plan = plan_job(job, renderer, reporter)
        scene, watch = renderer.open(job.reading, plan), watch_until(stop, on_update=on_update)
        return renderer.render(scene, plan, watch, notes=check.warnings, reporter=reporter)
    if options.resume and (record := find_record(job.reading.recipe)):
        reporter.ended(job.name, job.output, record, known=True)
        if options.timelapse or options.report:
            reporter.warned("the image exists already: leave --resume out to write a time-lapse or a report")
        return None
    with _claiming(job, options) if is_first() else nullcontext():
        check, plan = plan_job(job, renderer, reporter)
        source = Path(job.reading.document.source)
        files = RunFiles(renderer.open(job.reading, plan), plan, options=options, source=source, stop=stop)
        files.check()
        with _explaining_errors(files):
            start = files.begin()
            notes = (*check.warnings, *_report_start(start, reporter))
            watch = watch_until(stop, list(files.make_callbacks(reporter)), on_update)
            with using_threads(start.threads):
                result = renderer.render(
                    files.scene, start.plan, watch, snapshot=start.snapshot, notes=notes, reporter=reporter
                )
                if is_first():
                    _save(job, files, result, reporter)
    return result


@contextmanager
def _claiming(job: Job, options: RenderOptions) -> Iterator[None]:
    """Make the folders of a render's files, and lock its output.

    Raises GuidedStyleError where a file that is there already may not be replaced.
    """
    options.check_files(job.reading.recipe, job.reading.document.source)
    files = [file for file in (job.output, options.timelapse, options.report) if file]
    with making_folders(files, "output"), lock_output(job.output):
        yield


@contextmanager
def _explaining_errors(files: RunFiles) -> Iterator[None]:
    """Turn faults of the machine into an error that lists the files kept from the render."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (fault := explain_error(error)):
            raise
        raise _fail(f"{files.output} is not written", fault, *files.describe_kept()) from error


def _report_start(start: Resumption, reporter: Reporter) -> Iterator[str]:
    """Report where a render starts, and yield it as notes for the record."""
    if start.note:
        reporter.noted(start.note)
        yield start.note
    if start.warning:
        reporter.warned(start.warning)
        yield start.warning


def _save(job: Job, files: RunFiles, result: Result, reporter: Reporter) -> None:
    """Write the output of a render and the files next to it; report the output even if one of these fails."""
    save(result, reporter, overwrite=files.options.overwrite)
    failure = None
    try:
        for warning in files.end(result):
            reporter.warned(warning)
    except GuidedStyleError as error:
        failure = _fail(f"{job.output} is written, but not every file next to it", error)
    reporter.ended(job.name, job.output, result.record, known=False)
    if files.checkpoint.exists() and not result.rendering.finished:
        reporter.noted("the same command with --resume continues from here")
    if failure:
        raise failure


def save(result: Result, reporter: Reporter, *, overwrite: bool = False) -> None:
    """Write an image and its record where the recipe says.

    If that fails they are written to a temporary folder, and RenderFailedError says where it is.
    """
    output = result.scene.recipe.output
    try:
        if not output.parent.is_dir():
            make_folder(output.parent, "output")
            reporter.warned(f"the folder {output.parent} was removed during the render and is created again")
        result.save(overwrite=overwrite)
    except GuidedStyleError as error:
        if not (kept := _keep(result)):
            raise
        raise _fail(f"{output} is not written, but kept as {kept}", error) from error


def _keep(result: Result) -> Path | None:
    """Save a result in a temporary folder, wherever one can be made; None: it cannot be saved at all."""
    for find in (tempfile.gettempdir, Path.cwd, Path.home):
        with suppress(OSError, RuntimeError, GuidedStyleError):  # full, missing, or without a home folder
            folder = Path(tempfile.mkdtemp(prefix="guidedstyle-", dir=find()))
            try:
                return result.save(folder / result.scene.recipe.output.name)
            finally:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()
    return None


def _fail(what: str, error: GuidedStyleError, *kept: str) -> RenderFailedError:
    """Make the error of a render that failed after its start; each remedy also says which files are kept."""
    problems = [
        Problem(f"{what}: {problem.place}", problem.rule, "; ".join((problem.remedy, *kept)))
        for problem in error.problems
    ]
    return RenderFailedError(problems)


def attempt_jobs(
    jobs: Sequence[Job | Failure],
    action: Callable[[Job], Result | None],
    *,
    reporter: Reporter,
    stop: StopRequest,
) -> list[ExitCode]:
    """Run an action on each of several jobs, and return their exit codes; an error does not stop the others.

    No job overwrites the output of an earlier one, under whatever name it appears: on many disks `A.png` is `a.png`.
    """
    codes, written = dict[int, ExitCode](), list[tuple[str, Path]]()
    for index in sorted(range(len(jobs)), key=lambda index: isinstance(jobs[index], Job)):  # errors first
        job = refuse_written(jobs[index], written)
        codes[index] = ExitCode.INTERRUPTED if stop.is_set() else _attempt(job, action, reporter)
        if isinstance(job, Job) and codes[index] == ExitCode.DONE:
            written.append((f"that of {job.name}", job.output))
    return [codes[index] for index in range(len(jobs))]


def _attempt(job: Job | Failure, action: Callable[[Job], Result | None], reporter: Reporter) -> ExitCode:
    try:
        if isinstance(job, Failure):
            raise job.error
        return find_exit_code(action(job))
    except Exception as error:
        reporter.failed(job.name, error)
        return find_error_code(error)


EXIT_CODES = {EndReason.INTERRUPTED: ExitCode.INTERRUPTED, EndReason.NOT_FINITE: ExitCode.USER_ERROR}


def find_exit_code(result: Result | None) -> ExitCode:
    """Find the exit code of a render by how it ended; None: there was nothing to do."""
    return EXIT_CODES.get(result.rendering.end_reason, ExitCode.DONE) if result else ExitCode.DONE
