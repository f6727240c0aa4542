"""The Python API: load a recipe, check it, render it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from guidedstyle.app.jobs import Job
from guidedstyle.app.notebook import NotebookReporter, choose_reporter
from guidedstyle.device.environment import read_limits
from guidedstyle.errors import GuidedStyleError, RenderFailedError, StoppedEarlyError
from guidedstyle.io.flags import usual_numbers
from guidedstyle.io.memory import is_array
from guidedstyle.recipe.loading import loader
from guidedstyle.recipe.loading.loader import Reading, Source, read_source, wrap_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import Every, RenderOptions
from guidedstyle.run.reporter import Reporter, SilentReporter
from guidedstyle.scene.check import Check, check_reading
from guidedstyle.types import Setting

if TYPE_CHECKING:
    import torch

    from guidedstyle.engine.progress import OnUpdate
    from guidedstyle.results.result import Result


__all__ = [
    "Check",
    "Every",
    "GuidedStyleError",
    "NotebookReporter",
    "RenderFailedError",
    "RenderOptions",
    "Reporter",
    "SilentReporter",
    "StopRequest",
    "StoppedEarlyError",
    "check",
    "load_recipe",
    "render",
]

NO_SETTINGS: Mapping[str, object] = MappingProxyType({})


@usual_numbers()
def load_recipe(source: Source, settings: Mapping[str, object] = NO_SETTINGS, *, sandbox: bool = False) -> Recipe:
    """Read a recipe from YAML, from a PNG that was rendered, or from a mapping with the same keys.

    `settings` set keys: {"regions.sky.strength": 2}. In a mapping and in settings, an image may stand in place of a
    file, for content, styles, masks and start images: a NumPy array or a tensor, (H, W), (H, W, C) or (C, H, W) with
    C = 1, 3 (RGB) or 4 (RGBA), also with axes of length 1 before, in uint8, uint16, bool, or floats in [0, 1]; or a
    Pillow image. It is copied: to change it later does not change the recipe. Numbers may be NumPy's. In a mapping,
    None is as if the key were not given, and paths are relative to the working folder.

    With `sandbox` it may name no files outside its folder. Raises GuidedStyleError with all problems.
    """
    given = [Setting(key, value, _place(key, value)) for key, value in settings.items()]
    return loader.load_recipe(source, given, sandbox)


def _place(key: str, value: object) -> str:
    return f"{key}={type(value).__name__}" if is_array(value) and getattr(value, "shape", True) else f"{key}={value}"


@usual_numbers()
def check(recipe: Recipe | Source, *, strict: bool = False) -> Check:
    """Check a recipe, its images and masks without rendering; raises GuidedStyleError with all problems.

    With `strict` warnings are errors too.
    """
    return check_reading(_read(recipe), strict=strict)


@overload
def render(
    recipe: Recipe | Source,
    on_update: OnUpdate | None = None,
    *,
    options: None = None,
    device: str | torch.device = "auto",
    tile: int | str = "auto",
    max_memory: float | None = None,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> Result: ...


@overload
def render(
    recipe: Recipe | Source,
    on_update: OnUpdate | None = None,
    *,
    options: RenderOptions,
    device: str | torch.device = "auto",
    tile: int | str = "auto",
    max_memory: float | None = None,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> Result | None: ...


def render(
    recipe: Recipe | Source,
    on_update: OnUpdate | None = None,
    *,
    options: RenderOptions | None = None,
    device: str | torch.device = "auto",
    tile: int | str = "auto",
    max_memory: float | None = None,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> Result | None:
    """Render a recipe, as the command `render` does.

    Without `options` nothing is written until the result is saved. With `options` the image and its record are written
    where the recipe says, under a lock, with what the options add: previews, frames, checkpoints, a time-lapse, a
    report; with `resume` an interrupted render continues, and None is returned if the output exists already, rendered
    from the same recipe and files.

    `on_update` is called after every step; the render ends when it returns False, or when `stop` is set, also from
    another thread. `reporter` receives plan, progress, warnings and end; without one, a notebook shows a bar and the
    image so far (`NotebookReporter`), and nothing is shown elsewhere; `SilentReporter()` shows nothing anywhere.
    `device` is auto, cpu, cuda or mps, or a torch.device, `tile` auto, off or a number of px, `max_memory` is in GiB.

    The image does not depend on modes of torch, NumPy or Pillow that the calling program has set, such as no_grad or a
    default device; they hold in `on_update` and afterwards. Processes that render after this one must be started with
    `multiprocessing.get_context("spawn")`: torch's threads do not outlive a fork.

    Raises GuidedStyleError with all problems, RenderFailedError if a render with `options` fails after it has begun,
    StoppedEarlyError if it is stopped before the first step.
    """
    from guidedstyle.app.render import Renderer, render_job
    from guidedstyle.device.distributed import join_processes
    from guidedstyle.device.modes import UsualModes, uncompiled

    def run() -> Result | None:
        with UsualModes() as modes, join_processes():
            reading, renderer = _read(recipe), Renderer(str(device), read_limits(str(tile), max_memory))
            job = Job(reading.document.source, reading, check_reading(reading, renderer.masks))
            watch, shown = on_update and modes.outside(on_update), choose_reporter(reporter)
            return render_job(job, renderer, options=options, reporter=shown, stop=stop, on_update=watch)

    return uncompiled(run)()


def _read(recipe: Recipe | Source) -> Reading:
    return wrap_recipe(recipe) if isinstance(recipe, Recipe) else read_source(recipe)
