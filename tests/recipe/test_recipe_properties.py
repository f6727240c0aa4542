"""Properties of any recipe and of any value of a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.strategies import recipes, words

from guidedstyle.app.variants import parse_axis
from guidedstyle.recipe.inputs import share_masks
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import move_paths, read_recipe, write_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.shorthand import expand


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@example({"init": {"content": 1, "image": 0, "file": "a.png"}})
@example({"method": "classic", "content_layers": None, "solver": {"steps": None}})
@example({"style_layers": ["\x85", "\u2028"]})
@given(recipes)
def test_any_recipe_is_the_same_when_it_is_written_and_read(tmp_path_factory: Any, data: dict[str, Any]) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    recipe = share_masks(move_paths(Recipe.model_validate(expand(data)), lambda path: folder / path))
    file = folder / "recipe.yaml"
    file.write_text(write_recipe(recipe, folder), encoding="utf-8")
    reading = read_recipe(file)
    assert not reading.invalid
    assert reading.recipe == recipe


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(words, values, max_size=3),
    max_leaves=5,
)


@given(st.lists(plain, min_size=1, max_size=3))
def test_values_of_a_setting_and_of_a_sweep_are_read_as_they_were_written(values: list[Any]) -> None:
    written = [write_yaml([value], in_line=True).strip()[1:-1] for value in values]
    assert parse_axis(f"a.b={','.join(written)}") == ("a.b", values)
    assert parse_setting(f"a.b={written[0]}")[:2] == ("a.b", values[0])
