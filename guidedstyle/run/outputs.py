"""The files around an output: checked before a render, written while it runs, deleted when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from guidedstyle.device.distributed import is_first
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Update
from guidedstyle.engine.solvers.minimise import EndReason
from guidedstyle.errors import GuidedStyleError, explain_error
from guidedstyle.io.files import (
    check_folder_path,
    check_writable,
    delete_leftovers,
    explaining_errors,
    make_folder,
    move_file,
)
from guidedstyle.io.images.reading import fit_size
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.io.ownership import discard, write_marked
from guidedstyle.io.paths import (
    list_frames,
    list_output_files,
    name_checkpoint,
    name_frames,
    name_old_checkpoint,
    name_preview,
)
from guidedstyle.io.video import write_timelapse
from guidedstyle.results.result import Result
from guidedstyle.run.checkpoint import Checkpointer, Resumption, identify_scene
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import NEVER, Every, RenderOptions, Throttle
from guidedstyle.run.reporter import Reporter
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Size

Callback = Callable[[Update], None]
LARGEST_PREVIEW = 2048  # px


class RunFiles:
    """The files of one run: checkpoint, preview, frames, time-lapse and report of one output.

    `source` is the file of the recipe. Of several processes only the first writes or deletes anything.
    """

    def __init__(self, scene: Scene, plan: Plan, *, options: RenderOptions, source: Path, stop: StopRequest) -> None:
        self.scene, self.plan, self.options, self.source = scene, plan, options, source
        self.output = scene.recipe.output
        self.preview, self.frames = name_preview(self.output), name_frames(self.output)
        self.checkpoint, self.old_checkpoint = name_checkpoint(self.output), name_old_checkpoint(self.output)
        self.checkpointer = Checkpointer(
            self.checkpoint, identity=identify_scene(scene), plan=plan, every=options.checkpoints, stop=stop
        )

    def check(self) -> None:
        """Raise GuidedStyleError if a file could not be written, or would replace an input or another foreign file."""
        if not is_first():
            return
        named = [file for file in (self.options.timelapse, self.options.report) if file]
        files = [*list_output_files(self.output), *named]
        for folder in dict.fromkeys(file.parent for file in files):
            check_writable(folder)
        for file in files:
            delete_leftovers(file)
            if file.is_dir() and file != self.frames:
                raise GuidedStyleError.of(file, "there is a folder of this name", "choose another output (-o)")
        if self.options.frames != NEVER:
            check_folder_path(self.frames, "--save-every")
        self.options.check_files(self.scene.recipe, str(self.source))

    def begin(self) -> Resumption:
        """Decide where the render begins; delete or move the frames, preview and checkpoint of an earlier one.

        Raises GuidedStyleError if it cannot be resumed.
        """
        resumption = self._resume() if self.options.resume else self._start_over()
        if is_first() and self.options.frames != NEVER:
            with explaining_errors(self.frames, "frames of an earlier render cannot be deleted"):
                self._delete_frames(after=resumption.steps)
        return resumption

    def _resume(self) -> Resumption:
        nothing = Resumption(self.plan, note="there is no checkpoint to resume: starts from the beginning")
        return self.checkpointer.load() or nothing

    def _start_over(self) -> Resumption:
        if not is_first():
            return Resumption(self.plan)
        with suppress(OSError):  # this render's first preview replaces it
            discard(self.preview)
        if not self.checkpoint.exists():
            return Resumption(self.plan)
        with explaining_errors(self.checkpoint, "this checkpoint of an earlier render cannot be renamed"):
            move_file(self.checkpoint, self.old_checkpoint)
        kept = f"its checkpoint is kept as {self.old_checkpoint}"
        return Resumption(self.plan, note=f"an interrupted render starts over, since --resume is not given; {kept}")

    def _delete_frames(self, *, after: int) -> None:
        for frame in list_frames(self.frames):
            if int(frame.stem) > after:
                frame.unlink()

    def make_callbacks(self, reporter: Reporter) -> Iterator[Callback]:
        """Make the callbacks that write checkpoints, previews and frames; if one cannot write, the render continues."""
        options, size = self.options, self.scene.size
        if not is_first():
            return
        if options.frames != NEVER:
            make_folder(self.frames, "--save-every")
        yield NonFatalCallback(self.checkpointer, reporter)
        previews = Previews(self.preview, size=size, every=options.previews, overwrite=options.overwrite)
        yield NonFatalCallback(previews, reporter)
        yield NonFatalCallback(Frames(self.frames, size=size, every=options.frames), reporter)

    def end(self, result: Result) -> Iterator[str]:
        """Delete the files that are not needed once the image is written; write time-lapse and report.

        Yields a warning for each file that cannot be deleted. Raises GuidedStyleError if one cannot be written.
        """
        resumable = result.rendering.end_reason == EndReason.INTERRUPTED  # also by another process
        for file in (self.preview, *(() if resumable else (self.checkpoint, self.old_checkpoint))):
            try:
                discard(file)
            except OSError as error:
                if file.exists():
                    yield f"{file} is not needed any more and cannot be deleted: {error.strerror}"
        if self.options.timelapse:
            frames, overwrite = list_frames(self.frames), self.options.overwrite
            write_timelapse(frames, result.picture, self.options.timelapse, overwrite=overwrite)
        if self.options.report:
            from guidedstyle.results.page import write_page  # slow to import, and rarely needed

            write_marked(self.options.report, write_page(result).encode(), overwrite=self.options.overwrite)

    def describe_kept(self) -> Iterator[str]:
        """Describe the files that a failed render keeps."""
        if self.preview.exists():
            yield f"the image so far is {self.preview}"
        if self.checkpoint.exists():
            yield "the same command with --resume continues from its checkpoint, also on another --device"


class NonFatalCallback:
    """Calls a callback after each step; if it fails for a reason that is not a bug, the render continues.

    Only its first error is reported.
    """

    def __init__(self, callback: Callback, reporter: Reporter) -> None:
        self.callback, self.reporter, self.failed = callback, reporter, False

    def __call__(self, update: Update) -> None:
        """Call it after a step; `update.done` is 0 while a style image is made."""
        try:
            if update.done:
                self.callback(update)
        except Exception as error:
            if not (fault := explain_error(error)):
                raise
            if not self.failed:
                self.reporter.failed("the render continues, but a file is not written", fault)
            self.failed = True


class Previews:
    """Writes the image so far, as large as the output, up to LARGEST_PREVIEW."""

    def __init__(self, file: Path, *, size: Size, every: Every, overwrite: bool = False) -> None:
        self.file, self.throttle, self.overwrite = file, Throttle(every), overwrite
        self.size = fit_size(size, min(max(size), LARGEST_PREVIEW))

    def __call__(self, update: Update) -> None:
        """Write it if it is due."""
        self.throttle.run(update.done, lambda: self.write(update))

    def write(self, update: Update) -> None:
        """Write it in any case."""
        save_image(draw_update(update, self.size), self.file, overwrite=self.overwrite)


class Frames:
    """Writes images numbered by their steps, as large as the output."""

    def __init__(self, folder: Path, *, size: Size, every: Every) -> None:
        self.folder, self.size, self.throttle = folder, size, Throttle(every)

    def __call__(self, update: Update) -> None:
        """Write a frame if one is due."""
        file = self.folder / f"{update.done:06d}.png"
        self.throttle.run(update.done, lambda: save_image(draw_update(update, self.size), file))


def draw_update(update: Update, size: Size) -> Image.Image:
    """Draw the image so far at (width, height)."""
    return to_pillow(update.preview(max(size))).resize(size, Image.Resampling.BICUBIC)
