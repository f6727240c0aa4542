"""Loading: no step runs twice, shorthand has one canonical form, old names of keys are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from support.commands import refuse
from support.strategies import recipes

import guidedstyle
from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.controls import RegionControls, Start
from guidedstyle.recipe.loading import settings as loading_settings
from guidedstyle.recipe.loading.document import read_value, write_yaml
from guidedstyle.recipe.loading.loader import dump_recipe, load_recipe, read_recipe, write_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.recipe.model import Recipe, SolverChoice
from guidedstyle.recipe.shorthand import expand

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SMALL = "content: photo.png\nstyle: ink.png\n"
FULL = """\
content: photo.png
styles: {ink: ink.png, oil: {image: oil.png, mask: left.png}}
regions:
  - {name: a, mask: rest, style: ink, init: {file: photo.png, noise: 1}}
  - {name: b, mask: left.png, style: {fine: ink, coarse: oil}, octaves: fine}
  - {name: c, mask: {any: [left.png, left.png]}, style: {ink: 1, oil: left.png}}
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often recipes are expanded and validated, and how often a region's controls are computed."""
    counts = Counter[str]()
    validate, over = Recipe.model_validate, RegionControls.over

    def count_expand(data: Any) -> dict[str, Any]:
        counts["expand"] += 1
        return expand(data)

    def count_validate(data: Any) -> Recipe:
        counts["validate"] += 1
        return validate(data)

    def count_over(region: RegionControls, whole: Recipe) -> Any:
        counts["controls"] += 1
        return over(region, whole)

    monkeypatch.setattr(loading_settings, "expand", count_expand)
    monkeypatch.setattr(Recipe, "model_validate", count_validate)
    monkeypatch.setattr(RegionControls, "over", count_over)
    return counts


@pytest.mark.parametrize("values", [(), ("regions.b.strength=2", "solver.steps=3")])
def test_a_recipe_is_expanded_and_validated_once(project: Path, calls: Counter[str], values: tuple[str, ...]) -> None:
    (project / "a.yaml").write_text(FULL)
    recipe = read_recipe(project / "a.yaml", [parse_setting(value) for value in values]).recipe
    assert calls == {"expand": 1, "validate": 1, "controls": 3}
    write_recipe(recipe, project)
    dump_recipe(recipe, project / "deeper")
    assert [len(recipe.controls), len(recipe.users("ink"))] == [3, 2]
    assert calls == {"expand": 1, "validate": 1, "controls": 3}


def test_a_changed_copy_has_controls_of_its_own(project: Path) -> None:
    recipe = load_recipe(project / "recipe.yaml")
    assert {controls.strength for controls in recipe.controls} == {1.0}
    assert {controls.strength for controls in recipe.model_copy(update={"strength": 3.0}).controls} == {3.0}


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(recipes)
def test_the_canonical_form_is_not_expanded_further(data: dict[str, Any]) -> None:
    once = expand(data)
    assert expand(once) == once


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_shipped_recipes_have_no_warnings(file: Path) -> None:
    assert not read_recipe(file).document.warnings


OLD = "a.yaml:3: {}: the key {} is now called {}; the old name still works"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("solver: {steps: 3, rate: 0.5}\n", OLD.format("solver.rate", "rate", "learning_rate")),
        ("init: {file: ink.png, picture: 0.5, noise: 1}\n", OLD.format("init.picture", "picture", "image")),
    ],
)
def test_an_old_name_of_a_key_is_read_with_a_warning(project: Path, text: str, warning: str) -> None:
    (project / "a.yaml").write_text(SMALL + text)
    reading = read_recipe(project / "a.yaml")
    assert [one.removeprefix(f"{project}/") for one in reading.document.warnings] == [warning]
    new = text.replace(" rate", " learning_rate").replace(" picture", " image")
    (project / "b.yaml").write_text(f"{SMALL}{new}output: a.png\n")
    assert reading.recipe == load_recipe(project / "b.yaml")
    assert warning in [one.removeprefix(f"{project}/") for one in guidedstyle.check(project / "a.yaml").warnings]


def test_an_old_name_in_a_region_is_read_at_its_line(project: Path) -> None:
    found = refuse(project / "a.yaml", FULL.replace("noise: 1}", "noise: 1, picture: -2}"))
    assert "a.yaml:4: regions[0].init.image: -2 is too small | image must be at least 0" in found


def test_an_old_name_can_be_set(project: Path) -> None:
    (project / "a.yaml").write_text(f"{SMALL}solver: {{learning_rate: 0.1}}\n")
    reading = read_recipe(project / "a.yaml", [parse_setting("solver.rate=0.7"), parse_setting("init.picture=2")])
    assert reading.recipe.solver == SolverChoice(learning_rate=0.7)
    assert reading.recipe.init == Start(image=2)
    assert [one.split(":")[0] for one in reading.document.warnings] == ["--set solver.rate=0.7", "--set init.picture=2"]


def test_both_names_of_a_key_are_refused(project: Path) -> None:
    text = SMALL + "solver:\n  rate: 0.5\n  learning_rate: 0.5\n"
    assert refuse(project / "a.yaml", text) == [
        "a.yaml:4: solver.rate: rate is the old name of learning_rate, which is given too | remove rate"
    ]


@pytest.mark.parametrize(
    "setting",
    [
        "regions.b.style.oil.scale=0.5",
        "regions.c.style.oil.where.grow=3",
        "regions.c.mask.any.0.grow=3",
        "regions.a.mask.invert=true",
        "styles.ink.scale=2",
        "encoder.name=lite",
        "regions.b.octaves.2=0.5",
    ],
)
def test_a_setting_leads_into_shorthand(project: Path, setting: str) -> None:
    text = FULL.replace("{fine: ink, coarse: oil}", "oil").replace("mask: rest", "mask: left.png") + "encoder: lite\n"
    (project / "a.yaml").write_text(text)
    recipe = read_recipe(project / "a.yaml", [parse_setting(setting)]).recipe
    assert recipe != read_recipe(project / "a.yaml").recipe or setting == "encoder.name=lite"
    written = write_yaml(dump_recipe(recipe, project))
    assert setting.split("=")[0].split(".")[-1] in written or setting.startswith("regions.b.octaves")


@pytest.mark.parametrize("text", [r'"\U00110000"', r'"\UFFFFFFFF"', r'"\ud800"'])
def test_a_character_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(GuidedStyleError, match="this is not YAML"):
        read_value("here", text)


@pytest.mark.parametrize("key", ["border", "mask.grow", "mask.rectangle", "strength", "mask.tolerance"])
def test_a_number_beyond_floating_point_is_refused(project: Path, key: str) -> None:
    """Of 400 digits: an integer that cannot be converted."""
    text = FULL.replace("mask: rest", "mask: {all: true}") + "encoder: lite\n"
    value = f"[0, 0, 1, 1{'0' * 400}]" if "rectangle" in key else f"1{'0' * 400}"
    setting = f"regions.a.{key}={value}"
    assert any(line.startswith(f"--set {setting[:20]}") for line in refuse(project / "a.yaml", text, setting))
