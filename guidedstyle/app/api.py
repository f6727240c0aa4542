"""The Python API: load a recipe, check it, render it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from guidedstyle.device.environment import read_limits
from guidedstyle.errors import GuidedStyleError, StoppedEarlyError
from guidedstyle.recipe.loading import loader
from guidedstyle.recipe.loading.loader import Reading, read_recipe, wrap_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.check import Check, check_reading
from guidedstyle.types import Setting

if TYPE_CHECKING:
    from guidedstyle.engine.rendering import OnUpdate, Update
    from guidedstyle.results.result import Result


__all__ = ["Check", "GuidedStyleError", "StoppedEarlyError", "check", "load_recipe", "render"]

NOTHING: Mapping[str, object] = MappingProxyType({})


def load_recipe(file: Path | str, settings: Mapping[str, object] = NOTHING, sandbox: bool = False) -> Recipe:
    """Read a recipe from YAML, or from a PNG that was rendered; `settings` set keys: {"regions.sky.strength": 2}.

    In a `sandbox` it may name nothing outside its folder. Raises GuidedStyleError with all problems.
    """
    given = [Setting(key, value, f"{key}={value}") for key, value in settings.items()]
    return loader.load_recipe(file, given, sandbox)


def check(recipe: Recipe | Path | str) -> Check:
    """Check a recipe, its images and masks without rendering; raises GuidedStyleError with all problems."""
    return check_reading(_read(recipe))


def render(
    recipe: Recipe | Path | str,
    on_update: OnUpdate | None = None,
    device: str = "auto",
    tile: int | str = "auto",
    max_memory: float | None = None,
) -> Result:
    """Render a recipe; nothing is written until the result is saved.

    `on_update` is told of every step and ends the render by returning False. `device` is auto, cpu, cuda or mps,
    `tile` auto, off or px, `max_memory` GiB. Raises GuidedStyleError with all problems, StoppedEarlyError where
    `on_update` returns False before the first step.
    """
    from guidedstyle.app.render import Renderer

    read = _read(recipe)
    renderer = Renderer(device, read_limits(str(tile), max_memory))
    checked = check_reading(read, renderer.masks)
    plan = renderer.plan(checked.scene)

    def watch(update: Update) -> bool:
        return on_update is None or on_update(update) is not False

    return renderer.render(renderer.open(read, plan), plan, watch, notes=checked.warnings)


def _read(recipe: Recipe | Path | str) -> Reading:
    return wrap_recipe(recipe) if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
