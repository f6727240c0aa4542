"""Names in any spelling: accents in composed or decomposed Unicode, American keys, words that YAML 1.1 reads as flags."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from io import BytesIO
from pathlib import Path

import jsonschema
import pytest
import yaml
from PIL import Image
from support.commands import refuse

import guidedstyle
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.recipe.schema import make_schema
from guidedstyle.scene.opening import open_scene

HEAD = "content: photo.png\n"
NAME = "Zoë Ångström 한"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, NAME) for form in ("NFC", "NFD"))
FORMS = [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (DECOMPOSED, DECOMPOSED)]
WORDS = ["no", "No", "NO", "yes", "on", "off", "y", "n", "007", "1:30", "2024-01-01", "0o7", "12e", "+", "rest"]


def load(project: Path, text: str, *settings: str) -> guidedstyle.recipe.model.Recipe:
    (project / "a.yaml").write_text(text)
    reading = read_recipe(project / "a.yaml", [parse_setting(setting) for setting in settings])
    assert [str(one) for one in reading.document.problems] == []
    assert reading.document.warnings == []
    return reading.recipe


@pytest.mark.parametrize(("there", "here"), FORMS)
class TestAccents:
    def test_of_styles(self, project: Path, there: str, here: str) -> None:
        styles = f"styles: {{{there}: ink.png, oil: oil.png, both: {{fine: {here}, coarse: oil}}}}\n"
        mixes = [here, f"{{{here}: 1}}", f"{{fine: {here}, coarse: oil}}"]
        regions = "".join(f"  - {{name: a{i}, mask: left.png, style: {mix}}}\n" for i, mix in enumerate(mixes))
        recipe = load(project, f"{HEAD}{styles}regions:\n{regions}  - {{name: z, mask: rest, style: both}}\n")
        assert [*recipe.regions[0].style] == [*recipe.regions[1].style] == [COMPOSED]
        assert recipe.styles[f"{COMPOSED} on oil"].fine == recipe.styles["both"].fine == COMPOSED

    def test_of_the_style_of_the_whole_image(self, project: Path, there: str, here: str) -> None:
        recipe = load(project, f"{HEAD}styles: {{{there}: ink.png, oil: oil.png}}\nstyle: {{{here}: 1, oil: 1}}\n")
        assert [*recipe.regions[0].style] == [COMPOSED, "oil"]
        assert [*load(project, f"{HEAD}styles: {{{there}: ink.png}}\nstyle: {here}\n").styles] == [COMPOSED]

    def test_of_regions_and_styles_in_settings(self, project: Path, there: str, here: str) -> None:
        text = f"{HEAD}styles: {{{there}: ink.png}}\nregions: [{{name: {there}, mask: rest, style: {there}}}]\n"
        recipe = load(
            project,
            text,
            f"regions.{here}.strength=3",
            f"styles.{here}.scale=2",
            f"regions.{here}.style.{here}.weight=5",
        )
        assert (recipe.regions[0].strength, recipe.styles[COMPOSED].scale) == (3, 2)
        assert recipe.regions[0].style[COMPOSED].weight == 5

    def test_of_files_and_their_folders(self, project: Path, there: str, here: str) -> None:
        (project / there / there).mkdir(parents=True)
        for name in ("photo", "left", "ink"):
            (project / f"{name}.png").rename(project / there / there / f"{name} {there}.png")
        place = f"{here}/{here}"
        text = (
            f"content: {place}/photo {here}.png\nstyles: {{ink: {place}/ink {here}.png}}\nregions:\n"
            f"  - {{name: a, mask: {place}/left {here}.png, style: ink}}\n  - {{name: b, mask: rest, keep: true}}\n"
        )
        assert load(project, text).content.is_file()
        open_scene(read_recipe(project / "a.yaml"))

    def test_of_layers(self, project: Path, there: str, here: str) -> None:
        write_openraster(project / "scene.ora", there)
        load(project, f"{HEAD}styles: {{ink: ink.png}}\nmasks: scene.ora\nregions:\n"
             f"  - {{name: a, mask: {{layer: {here}}}, style: ink}}\n  - {{name: b, mask: rest, keep: true}}\n")  # fmt: skip
        assert open_scene(read_recipe(project / "a.yaml")).shares[0] == pytest.approx(0.5)


def write_openraster(file: Path, layer: str) -> None:
    """Write a document with one layer, whose left half is painted."""
    pixels, paint = Image.new("RGBA", (96, 64)), BytesIO()
    pixels.paste((255, 0, 0, 255), (0, 0, 48, 64))
    pixels.save(paint, "PNG")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr(
            "stack.xml", f'<image w="96" h="64"><stack><layer name="{layer}" src="data/a.png"/></stack></image>'
        )
        archive.writestr("data/a.png", paint.getvalue())


def test_a_file_with_the_very_name_comes_first(project: Path) -> None:
    for name, seed in ((COMPOSED, "ink"), (DECOMPOSED, "oil")):
        (project / f"{name}.png").write_bytes((project / f"{seed}.png").read_bytes())
    for name in (COMPOSED, DECOMPOSED):
        assert load(project, f"{HEAD}style: {name}.png\n").styles["style"].image.name == f"{name}.png"


def test_two_styles_whose_names_are_one_are_refused(project: Path) -> None:
    text = f"{HEAD}styles:\n  {COMPOSED}: ink.png\n  {DECOMPOSED}: oil.png\nstyle: {COMPOSED}\n"
    (problem,) = refuse(project / "a.yaml", text)
    assert problem.startswith("a.yaml:4: ")
    assert "is another spelling of" in problem


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_name_without_quotes(project: Path, word: str) -> None:
    text = (
        f"{HEAD}styles: {{{word}: ink.png, x: oil.png, both: {{fine: {word}, coarse: x}}}}\nregions:\n"
        f"  - {{name: {word}, mask: all, style: {word}}}\n  - {{name: x, mask: left.png, style: both}}\n"
    )
    recipe = load(project, text, f"regions.{word}.strength=2")
    assert (recipe.regions[0].name, [*recipe.regions[0].style]) == (word, [word])
    assert (recipe.styles["both"].fine, recipe.regions[0].strength) == (word, 2)


@pytest.mark.parametrize(("word", "flag"), [("yes", True), ("On", True), ("TRUE", True), ("no", False), ("OFF", False)])
def test_a_flag_may_still_be_such_a_word(project: Path, word: str, flag: bool) -> None:
    text = f"{HEAD}styles: {{ink: ink.png}}\nregions: [{{name: a, mask: {{file: left.png, invert: {word}}}, style: ink}}]\n"
    assert load(project, text).regions[0].mask.invert is flag
    assert load(project, text, f"regions.a.mask.invert={word}").regions[0].mask.invert is flag


COLOUR = """\
content: photo.png
masks: left.png
COLOUR: {palette: [gray, grey, '#123']}
COLOUR_strength: 0.5
styles: {color: {image: ink.png, mask: {any: [{file: ink.png, COLOUR: black}, all]}}, style: oil.png}
regions:
  - {name: a, mask: {except: [all, {COLOUR: white}]}, style: {color: 1, style: {COLOUR: white}}, COLOUR: match}
  - {name: b, mask: {both: [all, {any: [{COLOUR: white}]}]}, style: color, COLOUR_strength: 0.25}
"""


def test_american_keys_are_read_without_a_warning(project: Path) -> None:
    """A style may be called color."""
    british = load(project, COLOUR.replace("COLOUR", "colour"), "color_strength=0.7", "regions.b.color.match=pca")
    american = load(project, COLOUR.replace("COLOUR", "color"), "colour_strength=0.7", "regions.b.colour.match=pca")
    assert american == british
    assert (american.colour_strength, american.regions[1].colour.match, [*american.styles]) == (
        0.7,
        "pca",
        ["color", "style"],
    )
    settings = {"color": "match", "regions.a.color_strength": 0.1}
    assert guidedstyle.load_recipe(project / "a.yaml", settings).regions[0].colour_strength == 0.1


def test_editors_know_american_keys() -> None:
    accepts = jsonschema.Draft202012Validator(make_schema())
    accepts.validate(yaml.safe_load(COLOUR.replace("COLOUR", "color")))
    assert not accepts.is_valid({"content": "a", "style": "b", "color": 3})


def test_both_spellings_of_a_key_are_refused(project: Path) -> None:
    text = f"{HEAD}style: ink.png\ncolour: match\ncolor: match\n"
    assert refuse(project / "a.yaml", text) == [
        "a.yaml:4: color: color is another spelling of colour, which is given too | remove color"
    ]


def test_an_error_in_an_american_key_is_at_its_line(project: Path) -> None:
    (problem,) = refuse(project / "a.yaml", f"{HEAD}style: ink.png\ncolor:\n  match: lab\n")
    assert problem.startswith("a.yaml:4: colour.match: 'lab' is not one of the choices")


def test_a_written_recipe_quotes_what_other_readers_of_yaml_take_for_a_flag(project: Path) -> None:
    text = f"{HEAD}styles: {{no: ink.png}}\nregions: [{{name: no, mask: rest, style: no}}]\n"
    (project / "again.yaml").write_text(guidedstyle.recipe.loading.loader.write_recipe(load(project, text), project))
    assert yaml.safe_load((project / "again.yaml").read_text())["regions"][0]["name"] == "no"
    assert json.dumps(load_recipe(project / "again.yaml").regions[0].name) == '"no"'
