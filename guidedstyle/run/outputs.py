"""The files around an output: created, kept and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from guidedstyle.device.distributed import is_first
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Snapshot, Update
from guidedstyle.errors import GuidedStyleError, explain_fault
from guidedstyle.io.files import check_writable, delete_leftovers, explaining_errors, make_folder, write_file
from guidedstyle.io.paths import list_output_files, name_checkpoint, name_frames, name_old_checkpoint, name_preview
from guidedstyle.io.video import write_timelapse
from guidedstyle.recipe.files import find_overwritten, identify, list_given
from guidedstyle.results.result import Result
from guidedstyle.run.checkpoint import describe_scene, read_checkpoint, resume
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import NEVER, RenderOptions
from guidedstyle.run.previews import Frames, Previews, States, list_frames
from guidedstyle.run.reporter import Reporter
from guidedstyle.scene.scene import Scene


class RunFiles:
    """Keeps the files around one image."""

    def __init__(self, scene: Scene, render_options: RenderOptions, source: Path) -> None:
        self.scene, self.render_options, self.source, self.output = scene, render_options, source, scene.recipe.output
        self.preview, self.frames = name_preview(self.output), name_frames(self.output)
        self.state, self.old_state = name_checkpoint(self.output), name_old_checkpoint(self.output)
        self.identity = describe_scene(scene)

    def begin(self, plan: Plan) -> tuple[Plan, Snapshot | None, str | None]:
        """Tell what the render goes on with, how, and what a person should know of it.

        Raises GuidedStyleError where it cannot go on from the state that there is, or could not write its files.
        """
        if is_first():
            self._check_places()
        if not self.render_options.resume:
            return plan, None, self._begin_anew()
        if checkpoint := read_checkpoint(self.state):
            resumption = resume(self.state, checkpoint, self.identity, plan)
            earlier = plan.stages[: len(checkpoint.snapshot.endings)]  # than the size that it may begin anew
            begun = sum(stage.steps for stage in earlier)
            self._clear_frames(beyond=checkpoint.steps if resumption.snapshot.state else begun)
            return resumption
        self._clear_frames()
        return plan, None, "nothing was interrupted here: begins at the start"

    def _check_places(self) -> None:
        """Look before the work whether files can be written, and would not take the place of what it is made of."""
        render_options = self.render_options
        files = [
            *list_output_files(self.output),
            *(file for file in (render_options.timelapse, render_options.report) if file),
        ]
        frames = list_frames(self.frames) if render_options.frames != NEVER else []
        for folder in dict.fromkeys(file.parent for file in files):
            check_writable(folder)
        for file in files:
            delete_leftovers(file)
            if file.is_dir() and file != self.frames:
                raise GuidedStyleError.of(file, "a folder lies where a file goes", "give the image another name (-o)")
        given = identify(list_given(self.scene.recipe, self.source))
        if overwritten := find_overwritten(given, [*files, *frames]):
            raise GuidedStyleError.of("render", overwritten, "give the image, film or report another name")

    def _begin_anew(self) -> str | None:
        if not is_first():
            return None
        with explaining_errors(self.output.parent, "what an earlier render left cannot be cleared away"):
            self.preview.unlink(missing_ok=True)
            self._clear_frames()
            if not self.state.exists():
                return None
            self.state.replace(self.old_state)
        kept = f"its state is kept as {self.old_state}"
        return f"a render was interrupted here; {kept}, and this one begins anew (without --resume)"

    def _clear_frames(self, beyond: int = -1) -> None:
        """Clear away the frames of an earlier render that are of later steps than the one that this goes on from."""
        if not is_first() or self.render_options.frames == NEVER:
            return
        with explaining_errors(self.frames, "what an earlier render left cannot be cleared away"):
            for frame in list_frames(self.frames):
                if int(frame.stem) > beyond:
                    frame.unlink()

    def watch(self, plan: Plan, stop: StopRequest, reporter: Reporter) -> Iterator[Callback]:
        """Make what is told of every update; that a file cannot be written is told, and the render goes on."""
        render_options, size = self.render_options, self.scene.size
        if not is_first():
            return
        if render_options.frames != NEVER:
            make_folder(self.frames, "--save-every")
        yield SafeCallback(States(self.state, self.identity, plan, render_options.states, stop), reporter)
        yield SafeCallback(Previews(self.preview, size, render_options.previews), reporter)
        yield SafeCallback(Frames(self.frames, size, render_options.frames), reporter)

    def end(self, result: Result, stop: StopRequest) -> None:
        """Clear away what nobody needs now that the image is written, and make the film and the report.

        Raises GuidedStyleError where one of these cannot be written.
        """
        through = result.rendering.finished or not stop.is_set()
        for file in (self.preview, *((self.state, self.old_state) if through else ())):
            with explaining_errors(file, "nobody needs it now, and it cannot be removed"):
                file.unlink(missing_ok=True)
        if self.render_options.timelapse:
            write_timelapse(list_frames(self.frames), result.picture, self.render_options.timelapse)
        if self.render_options.report:
            from guidedstyle.results.page import write_page  # few renders need it

            write_file(self.render_options.report, write_page(result).encode())

    def describe_kept(self) -> Iterator[str]:
        """Describe what is kept of a render that failed."""
        if self.preview.exists():
            yield f"the image so far is {self.preview}"
        if self.state.exists():
            yield "the same command with --resume goes on from its state, on another --device too"


Callback = Callable[[Update], None]


class SafeCallback:
    """Calls a callback; the first error is reported, and the render goes on."""

    def __init__(self, callback: Callback, reporter: Reporter) -> None:
        self.callback, self.reporter, self.failed = callback, reporter, False

    def __call__(self, update: Update) -> None:
        """Hand on an update after a step; raises what may be a bug."""
        try:
            if update.done:
                self.callback(update)
        except Exception as error:
            if not (fault := explain_fault(error)):
                raise
            if not self.failed:
                self.reporter.failed("the render continues, but a file is not written", fault)
            self.failed = True
