"""guidedstyle from Python: a few functions, the same image as by the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import guidedstyle
from guidedstyle.engine.rendering import Update
from guidedstyle.errors import GuidedStyleError


def test_a_render_from_python_is_that_of_the_command_line(studio: Path) -> None:
    result = guidedstyle.render(guidedstyle.load_recipe(studio / "recipe.yaml"), device="cpu")
    assert not (studio / "recipe.png").exists()
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--device", "cpu"]
    subprocess.run(command, cwd=studio, check=True, capture_output=True)
    assert np.array_equal(np.asarray(result.picture), np.asarray(Image.open(studio / "recipe.png")))
    theirs = json.loads((studio / "recipe.png.json").read_text())
    assert result.record.losses.model_dump() == theirs["losses"]


def test_a_result_is_saved_with_its_recipe_and_record(studio: Path) -> None:
    file = guidedstyle.render(studio / "recipe.yaml", device="cpu").save(studio / "out.png")
    assert file == studio / "out.png"
    assert json.loads((studio / "out.png.json").read_text())["recipe"]["output"] == "out.png"
    assert guidedstyle.load_recipe(file).regions == guidedstyle.load_recipe(studio / "recipe.yaml").regions


def test_a_result_does_not_take_the_place_of_what_it_is_made_of(studio: Path) -> None:
    result = guidedstyle.render(studio / "recipe.yaml", device="cpu")
    before = (studio / "photo.png").read_bytes()
    with pytest.raises(GuidedStyleError, match="would overwrite content"):
        result.save(studio / "photo.png")
    assert (studio / "photo.png").read_bytes() == before


def test_a_notebook_shows_the_picture(studio: Path) -> None:
    result = guidedstyle.render(studio / "recipe.yaml", device="cpu")
    shown = Image.open(io.BytesIO(result._repr_png_()))
    assert np.array_equal(np.asarray(shown), np.asarray(result.picture))
    assert repr(result).startswith("<96 x 64 px, all steps are done (4)")


def test_settings_change_keys(studio: Path) -> None:
    recipe = guidedstyle.load_recipe(studio / "recipe.yaml", {"size": 64, "regions.left.strength": 2})
    assert (recipe.size, recipe.regions[1].strength) == (64, 2)
    assert guidedstyle.check(recipe).size == (64, 43)


def test_check_tells_shares_and_notes(studio: Path) -> None:
    checked = guidedstyle.check(studio / "recipe.yaml")
    assert checked.shares == pytest.approx({"right": 0.5, "left": 0.5}, abs=0.01)
    (studio / "recipe.yaml").write_text(
        "content: photo.png\nstyles: {ink: ink.png}\nregions: [{name: left, mask: left.png, style: ink}]\n"
    )
    assert any("is in no region" in note for note in guidedstyle.check(studio / "recipe.yaml").warnings)


def test_an_update_tells_and_stops(studio: Path) -> None:
    seen: list[Update] = []

    def note(update: Update) -> bool:
        seen.append(update)
        return update.done < 2

    result = guidedstyle.render(studio / "recipe.yaml", note, device="cpu")
    assert [update.done for update in seen] == [1, 2]
    assert not result.rendering.finished
    assert seen[-1].show(1000).shape == (1, 3, 64, 96)
    assert seen[-1].show(48).shape == (1, 3, 32, 48)
    assert guidedstyle.render(studio / "recipe.yaml", lambda update: None, device="cpu").rendering.finished


@pytest.mark.parametrize("call", [guidedstyle.check, guidedstyle.render, guidedstyle.load_recipe])
def test_mistakes_are_raised_all_at_once(studio: Path, call: object) -> None:
    (studio / "recipe.yaml").write_text("content: none.png\nstyle: nothing.png\nsize: 3\n")
    with pytest.raises(guidedstyle.GuidedStyleError) as raised:
        call(studio / "recipe.yaml")  # type: ignore[operator]
    assert len(raised.value.problems) == 3


def test_a_recipe_changed_by_a_program_is_checked_too(studio: Path) -> None:
    recipe = guidedstyle.load_recipe(studio / "recipe.yaml")
    region = recipe.regions[0].model_copy(update={"name": "left"})
    with pytest.raises(GuidedStyleError, match="'left' names 2 regions"):
        guidedstyle.check(recipe.model_copy(update={"regions": (region, recipe.regions[1])}))
    with pytest.raises(GuidedStyleError, match=r"there is no file lost\.png"):
        guidedstyle.check(recipe.model_copy(update={"content": Path("lost.png")}))


def test_importing_it_is_light() -> None:
    code = "import sys, guidedstyle; print(sorted({'torch', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
    with pytest.raises(AttributeError):
        _ = guidedstyle.nothing
