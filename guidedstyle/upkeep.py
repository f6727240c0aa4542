"""The files around a picture while it is rendered: what is found of an earlier render, kept, and cleared away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from guidedstyle.checkpoint import describe_scene, name_checkpoint, read_checkpoint
from guidedstyle.commands import make_folder
from guidedstyle.errors import GuidedStyleError
from guidedstyle.files import remove_leftovers, write_file
from guidedstyle.keeping import Frames, Previews, States, list_frames, name_frames, name_preview
from guidedstyle.page import write_page
from guidedstyle.plan import Plan
from guidedstyle.processes import is_first
from guidedstyle.rendering import Snapshot, Update
from guidedstyle.result import Result
from guidedstyle.resuming import resume
from guidedstyle.rhythm import NEVER
from guidedstyle.scene import Scene
from guidedstyle.timelapse import write_timelapse
from guidedstyle.wishes import Wishes


class Upkeep:
    """Keeps the files around one picture."""

    def __init__(self, scene: Scene, wishes: Wishes) -> None:
        self.scene, self.wishes, self.output = scene, wishes, scene.recipe.output
        self.preview, self.frames = name_preview(self.output), name_frames(self.output)
        self.state, self.identity = name_checkpoint(self.output), describe_scene(scene)

    def begin(self, plan: Plan) -> tuple[Plan, Snapshot | None, str | None]:
        """Tell what the render goes on with, how, and what a person should know of it.

        Raises GuidedStyleError where it cannot go on from the state that there is.
        """
        if is_first():
            for file in (self.output, self.preview, self.state):
                remove_leftovers(file)
        if not self.wishes.resume:
            return plan, None, self._begin_anew()
        if checkpoint := read_checkpoint(self.state, plan.device):
            return resume(self.state, checkpoint, self.identity, plan)
        return plan, None, "nothing was interrupted here: begins at the start"

    def _begin_anew(self) -> str | None:
        for frame in list_frames(self.frames) if self.wishes.frames != NEVER and is_first() else ():
            frame.unlink()
        if self.state.exists():
            return f"{self.state} is left of an interrupted render; --resume would go on from it, this begins anew"
        return None

    def watch(self, plan: Plan, interrupted: Sequence[float], tell: Callable[[str], None]) -> Iterator[Keeper]:
        """Make what is told of every update; a file that cannot be written is told once and then left out."""
        wishes, size = self.wishes, self.scene.size
        if not is_first():
            return
        if wishes.frames != NEVER:
            make_folder(self.frames, "--save-every")
        yield Careful(States(self.state, self.identity, plan, wishes.states, interrupted), tell)
        yield Careful(Previews(self.preview, size, wishes.previews), tell)
        yield Careful(Frames(self.frames, size, wishes.frames), tell)

    def end(self, result: Result, interrupted: Sequence[float]) -> None:
        """Make the film and the report, and clear away what nobody needs now that the picture is written."""
        if self.wishes.timelapse:
            write_timelapse(list_frames(self.frames), result.picture, self.wishes.timelapse)
        if self.wishes.report:
            write_file(self.wishes.report, write_page(self.scene, result.rendering, result.record).encode())
        self.preview.unlink(missing_ok=True)
        if not interrupted:
            self.state.unlink(missing_ok=True)


Keeper = Callable[[Update], None]


class Careful:
    """Calls a keeper until that cannot write."""

    def __init__(self, keeper: Keeper, tell: Callable[[str], None]) -> None:
        self.keeper: Keeper | None = keeper
        self.tell = tell

    def __call__(self, update: Update) -> None:
        """Hand on an update; the render goes on whatever becomes of it."""
        try:
            if self.keeper:
                self.keeper(update)
        except GuidedStyleError as error:
            self.keeper = None
            self.tell(f"not kept any more: {error}")
