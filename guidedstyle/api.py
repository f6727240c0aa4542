"""guidedstyle for programs: read a recipe, check it, render it. The command line uses the same functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from guidedstyle.errors import GuidedStyleError, StoppedEarlyError
from guidedstyle.images import Size
from guidedstyle.limits import read_limits
from guidedstyle.reading import Override, Reading, read_recipe, wrap_recipe
from guidedstyle.recipe import Recipe
from guidedstyle.scene import CHECK_SIZE, Scene, open_scene
from guidedstyle.survey import collect_notes, survey_scene

if TYPE_CHECKING:
    from guidedstyle.rendering import Update, Watch
    from guidedstyle.result import Result

__all__ = ["Check", "GuidedStyleError", "StoppedEarlyError", "check", "load_recipe", "render"]

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Check:
    """What a recipe comes to: its scene opened small, and what a person should know before the render."""

    scene: Scene
    notes: tuple[str, ...]

    @property
    def size(self) -> Size:
        """The (width, height) of the picture."""
        return self.scene.size

    @property
    def shares(self) -> dict[str, float]:
        """The share of the picture that each region covers, 0 to 1."""
        regions = self.scene.recipe.regions
        return {region.name: share for region, share in zip(regions, self.scene.shares, strict=False)}


def load_recipe(file: Path | str, settings: Mapping[str, object] = NOTHING) -> Recipe:
    """Read a recipe from YAML, or from a PNG that was rendered; `settings` set keys: {"regions.sky.strength": 2}.

    Raises GuidedStyleError with all problems.
    """
    overrides: list[Override] = [(key, value, f"{key}={value}") for key, value in settings.items()]
    reading = read_recipe(Path(file), overrides)
    if reading.document.problems:
        raise GuidedStyleError(reading.document.problems)
    return reading.recipe


def check(recipe: Recipe | Path | str) -> Check:
    """Check a recipe, its pictures and masks without rendering; raises GuidedStyleError with all problems."""
    return check_reading(_read(recipe))


def check_reading(reading: Reading) -> Check:
    """Check what was read."""
    scene = open_scene(reading, CHECK_SIZE)
    return Check(scene, collect_notes(scene, survey_scene(scene)))


def render(
    recipe: Recipe | Path | str,
    on_update: Watch | None = None,
    device: str = "auto",
    tile: int | str = "auto",
    max_memory: float | None = None,
) -> Result:
    """Render a recipe; nothing is written until the result is saved.

    `on_update` is told of every step and ends the render by returning False. `device` is auto, cpu, cuda or mps,
    `tile` auto, off or px, `max_memory` GiB. Raises GuidedStyleError with all problems, StoppedEarlyError where
    `on_update` returns False before the first step.
    """
    from guidedstyle.workshop import Workshop

    reading = _read(recipe)
    workshop, checked = Workshop(device, read_limits(str(tile), max_memory)), check_reading(reading)
    plan = workshop.plan(checked.scene)

    def watch(update: Update) -> bool:
        return on_update is None or on_update(update) is not False

    return workshop.render(workshop.open(reading, plan), plan, watch, notes=checked.notes)


def _read(recipe: Recipe | Path | str) -> Reading:
    return wrap_recipe(recipe) if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
