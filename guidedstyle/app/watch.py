"""Render a preview whenever the recipe or one of its files is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

from guidedstyle.app.render import Renderer
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Snapshot, Update
from guidedstyle.errors import GuidedStyleError, Problem, StoppedEarlyError, explain_error
from guidedstyle.io.files import make_folder
from guidedstyle.io.images.writing import save_image
from guidedstyle.io.ownership import protect
from guidedstyle.io.paths import name_watched
from guidedstyle.recipe.inputs import list_files
from guidedstyle.recipe.loading.loader import Reading, default_output, read_recipe
from guidedstyle.results.result import Result
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import Every
from guidedstyle.run.outputs import Previews
from guidedstyle.run.reporter import SILENT, Reporter
from guidedstyle.scene.check import collect_warnings, measure_coverage
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import DRAFT, Setting

TICK = 0.05  # seconds between two looks at the files: on network disks the system reports no changes
OFTEN = Every(seconds=0.5)  # between previews
WARM_STEPS = 30  # of a preview that starts from the last one

Times = dict[Path, tuple[int, int] | None]  # modification time in ns, and bytes; None: there is no file


class Watcher:
    """Renders a recipe's preview whenever one of its files is saved, with what earlier previews computed.

    `limits` are the largest `size` and `solver.steps` of a preview, unless `settings` have others.
    """

    def __init__(
        self,
        recipe: Path,
        settings: Sequence[Setting],
        renderer: Renderer,
        *,
        limits: Sequence[Setting] = (),
        sandbox: bool = False,
        reporter: Reporter = SILENT,
        stop: StopRequest | None = None,
        overwrite: bool = False,
    ) -> None:
        self.recipe, self.settings, self.renderer, self.sandbox = recipe, settings, renderer, sandbox
        self.limits, self.reporter, self.stop, self.overwrite = limits, reporter, stop or StopRequest(), overwrite
        self.files, self.times = [recipe], Times()
        self.last: Result | None = None
        self.announced, self.problems = list[Path](), tuple[Problem, ...]()

    def run(self) -> None:
        """Watch until it is interrupted."""
        while not self.stop.is_set():
            self.times = read_times(self.files)
            try:
                self._preview(time.monotonic())
            except StoppedEarlyError:
                continue
            except Exception as error:
                if not (fault := explain_error(error)):
                    raise
                self._announce(name_watched(default_output(self.recipe)))
                self.reporter.failed("not rendered", fault)
                self.problems = fault.problems
            self._wait()

    def _announce(self, preview: Path) -> None:
        """Report the files that are watched, and the preview, whenever they have changed."""
        if self.announced[1:] != self.files:
            self.announced = [preview, *self.files]
            self.reporter.watching(self.files, preview)

    def read(self) -> Reading:
        """Read the recipe, its size and steps lowered to the limits; what was set for this session counts."""
        reading = read_recipe(self.recipe, self.settings, self.sandbox)
        own = {"size": reading.recipe.size or np.inf, "solver.steps": reading.recipe.most_steps}
        limits = [limit for limit in self.limits if own[limit.key] > cast(int, limit.value)]
        return read_recipe(self.recipe, [*limits, *self.settings], self.sandbox) if limits else reading

    def _preview(self, began: float) -> None:
        """Render a preview, until it is finished or a file is saved."""
        reading = self.read()
        self.files = [self.recipe, *dict.fromkeys(file for _, file in list_files(reading.recipe))]
        self.times = read_times(self.files) | self.times
        preview, first = name_watched(reading.recipe.output), list[float]()
        self._announce(preview)
        scene = open_scene(reading, masks=self.renderer.masks)
        plan, snapshot = self._warm(scene, self.renderer.plan(scene))
        make_folder(preview.parent, "output")
        protect([preview], overwrite=self.overwrite)
        previews = Previews(preview, size=scene.size, every=OFTEN, overwrite=self.overwrite)

        def show_first(show: Callable[[], object]) -> None:
            show()
            self._report_fixed([*scene.warnings])
            first.append(time.monotonic() - began)

        def watch(update: Update) -> bool:
            if update.done and not first:
                show_first(partial(previews.write, update))
            if not draft or update.stage == len(plan.stages) - 1:  # what comes before is coarser than the draft
                previews(update)
            return self._goes_on()

        draft = None if snapshot else self._draft(scene)
        if draft:
            show_first(partial(save_image, draft.picture, preview, overwrite=self.overwrite))
        result = self.renderer.render(scene, plan, watch, snapshot=snapshot, reporter=self.reporter)
        if len(result.rendering.endings) == len(plan.stages):
            self.last = result
        if result.rendering.finished:
            save_image(result.picture, preview, overwrite=self.overwrite)
            for note in collect_warnings(scene, measure_coverage(scene)):
                self.reporter.warned(note)
            whole, loss = time.monotonic() - began, float(result.rendering.losses.total)
            self.reporter.previewed(preview, first=min([*first, whole]), whole=whole, loss=loss)

    def _draft(self, scene: Scene) -> Result | None:
        """Render a draft to look at meanwhile; None: the recipe asks for no more steps, or a draft does not fit.

        Raises StoppedEarlyError when a file is saved meanwhile.
        """
        solver = scene.recipe.solver.model_copy(update=dict(DRAFT))
        if scene.recipe.method == "classic" or solver.most_steps >= scene.recipe.most_steps:
            return None
        draft = replace(scene, recipe=scene.recipe.model_copy(update={"solver": solver}))
        try:
            plan = self.renderer.plan(draft)
        except GuidedStyleError:  # the recipe's own way may fit all the same
            return None
        result = self.renderer.render(draft, plan, lambda _: self._goes_on())
        if not self._goes_on():
            raise StoppedEarlyError
        return result if result.rendering.finished else None

    def _goes_on(self) -> bool:
        return not self.stop.is_set() and not self._is_saved()

    def _report_fixed(self, warnings: Sequence[str]) -> None:
        """Report the errors of before that are mended; a layer that is still empty may have become a warning."""
        for problem in self.problems:
            if not any(problem.rule in warning for warning in warnings):
                self.reporter.fixed(f"{problem.place}: {problem.rule}")
        self.problems = ()

    def _warm(self, scene: Scene, plan: Plan) -> tuple[Plan, Snapshot | None]:
        """Start from the last preview, at the final size only, if the content image is the same.

        What a network paints is as soon painted anew.
        """
        last = self.last
        if scene.recipe.network or not last or not np.array_equal(scene.content, last.scene.content):
            return plan, None
        stages = (replace(plan.stages[-1], steps=min(WARM_STEPS, scene.recipe.solver.most_steps)),)
        plan = replace(plan, stages=stages, tilings=plan.tilings[-1:], histories=plan.histories[-1:])
        paint = torch.from_numpy(last.rendering.paint)
        return plan, Snapshot.of_image(paint, plan)

    def _is_saved(self) -> bool:
        return read_times(self.times) != self.times

    def _wait(self) -> None:
        """Wait until a file is saved, or a stop is requested."""
        while not self.stop.wait(TICK) and not self._is_saved():
            pass


def read_times(files: Iterable[Path]) -> Times:
    """Read the modification time and size of each file; None if the file does not exist, as briefly during a save."""
    return {file: _read_time(file) for file in files}


def _read_time(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
