"""Recipes: accepted forms, and how errors are reported."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image
from support.commands import refuse

from guidedstyle.recipe.loading.loader import load_recipe, read_recipe, write_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.model import StyleUse
from guidedstyle.recipe.schema import make_schema
from guidedstyle.scene.opening import open_scene
from guidedstyle.types import Setting


def test_the_smallest_recipe(project: Path) -> None:
    (project / "small.yaml").write_text("content: photo.png\nstyle: ink.png\n")
    recipe = load_recipe(project / "small.yaml")
    assert recipe.content == project / "photo.png"
    assert recipe.output == project / "small.png"
    assert recipe.styles["style"].image == project / "ink.png"
    (region,) = recipe.regions
    assert (region.name, region.mask, region.style) == ("picture", Mask(rest=True), {"style": StyleUse(weight=1.0)})


@pytest.mark.parametrize("style", ["", "style: ink\n", "style: {ink: 3}\n"])
def test_a_named_style_without_regions(project: Path, style: str) -> None:
    (project / "named.yaml").write_text(f"content: photo.png\n{style}styles: {{ink: ink.png}}\n")
    assert load_recipe(project / "named.yaml").regions[0].style.keys() == {"ink"}


def test_paths_are_relative_to_the_recipe(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    scene = open_scene(read_recipe(project / "recipe.yaml"))
    assert scene.shares == pytest.approx([0.5, 0.5, 0])
    assert scene.content.shape == (1, 3, 64, 96)


def test_a_recipe_is_the_same_after_writing_and_reading_elsewhere(project: Path) -> None:
    recipe = load_recipe(
        project / "recipe.yaml", [Setting("encoder.name", "vgg19", "here"), Setting("size", 70, "here")]
    )
    (project / "deep" / "er").mkdir(parents=True)
    file = project / "deep" / "er" / "again.yaml"
    file.write_text(write_recipe(recipe, file.parent))
    assert str(project) not in file.read_text()
    assert load_recipe(file) == recipe


def test_masks_are_the_same_after_writing_and_reading_elsewhere(project: Path) -> None:
    Image.fromarray(np.repeat([[[255, 0, 0], [255, 255, 255]]], 32, 0).repeat(24, 1).astype(np.uint8)).save(
        project / "labels.png"
    )
    (project / "a.yaml").write_text(MASKS + "output: a.png\n")
    recipe = load_recipe(project / "a.yaml")
    assert recipe.regions[0].mask.file == project / "labels.png"
    assert (recipe.regions[0].mask.tolerance, recipe.regions[0].mask.ignore) == (40, ("white",))
    (project / "deep").mkdir()
    (project / "deep" / "again.yaml").write_text(write_recipe(recipe, project / "deep"))
    assert load_recipe(project / "deep" / "again.yaml") == recipe
    assert "null" not in (project / "deep" / "again.yaml").read_text()


@pytest.mark.parametrize("name", ["1e5", "-3E2", "yes", "~", "a, b", "x: y", "# z", "Öl 空", "[a]", "0x10", ".inf"])
def test_a_name_is_quoted_where_yaml_would_read_another_type(project: Path, name: str) -> None:
    text = (project / "recipe.yaml").read_text().replace("name: left", f"name: {json.dumps(name)}")
    (project / "a.yaml").write_text(text)
    recipe = load_recipe(project / "a.yaml")
    (project / "again.yaml").write_text(write_recipe(recipe, project))
    assert load_recipe(project / "again.yaml").regions[1].name == name


def test_settings_lead_into_shorthand_lists_and_named_entries(project: Path) -> None:
    settings = [
        "styles.ink.scale=2",
        "regions.left.strength=1e-1",
        "regions.0.content_strength=3",
        "solver.method=sgd",
        "encoder=vgg19",
    ]
    recipe = load_recipe(project / "recipe.yaml", [parse_setting(setting) for setting in settings])
    assert recipe.styles["ink"].scale == 2
    assert recipe.regions[1].strength == 0.1
    assert recipe.regions[0].content_strength == 3
    assert recipe.solver.method == "sgd"
    assert recipe.encoder.name == "vgg19"


@pytest.mark.parametrize("setting", ["style=oil.png", "style={oil: 1}", "style.oil=2"])
def test_the_style_of_the_smallest_recipe_can_be_set(project: Path, setting: str) -> None:
    text = SMALL if ".png" in setting else "content: photo.png\nstyles: {oil: oil.png}\nstyle: {oil: 1}\n"
    (project / "a.yaml").write_text(text)
    recipe = load_recipe(project / "a.yaml", [parse_setting(setting)])
    ((name, use),) = recipe.regions[0].style.items()
    assert recipe.styles[name].image == project / "oil.png"
    assert use.weight == (2 if "." in setting and "=2" in setting else 1)


def test_all_problems_are_reported_at_once(project: Path) -> None:
    text = """\
content: gone.jpg
size: 5
stlyes: 3
styles:
  ink: ink.png
  oil: {image: oil.png, scal: 3}
  text: recipe.yaml
regions:
  - {name: a, mask: rest, style: inc}
  - {name: a, mask: rest, style: {ink: -1, oil: 0}}
  - {name: b, mask: nowhere.png}
  - {mask: left.png, style: ink, keep: true, strength: .nan}
solver: {method: adm, steps: many}
"""
    assert sorted(refuse(project / "bad.yaml", text)) == sorted(
        [
            "bad.yaml:1: content: there is no file gone.jpg | paths are relative to the recipe file; check the name and the folder",
            "bad.yaml:2: size: 5 is too small | size must be at least 16",
            "bad.yaml:3: stlyes: there is no key 'stlyes' here | did you mean 'styles'?",
            "bad.yaml:6: styles.oil.scal: there is no key 'scal' here | did you mean 'scale'?",
            "bad.yaml:7: styles.text.image: recipe.yaml: this is not an image that can be read | save it as PNG, JPEG, TIFF or WebP",
            "bad.yaml:9: regions[0].name: 'a' names 2 regions | give each region a name of its own",
            "bad.yaml:9: regions[0].mask: 2 regions have mask: rest | keep it for one region",
            "bad.yaml:9: regions[0].style.inc: there is no style 'inc' | use one of ink, oil, text, or add it to styles",
            "bad.yaml:10: regions[1].name: 'a' names 2 regions | give each region a name of its own",
            "bad.yaml:10: regions[1].mask: 2 regions have mask: rest | keep it for one region",
            "bad.yaml:10: regions[1].style.ink.weight: -1 is too small | weight must be at least 0",
            "bad.yaml:11: regions[2]: region 'b' has no style | add style: NAME, or keep: true, or strength: 0",
            "bad.yaml:11: regions[2].mask: there is no file nowhere.png | paths are relative to the recipe file; check the name and the folder",
            "bad.yaml:12: regions[3].name: name is missing | add name:",
            "bad.yaml:12: regions[3].strength: nan is not finite | strength must be a finite number",
            "bad.yaml:13: solver.method: 'adm' is not one of the choices | method must be 'lbfgs', 'adam' or 'sgd'",
            "bad.yaml:13: solver.steps: 'many' is not valid | steps must be a whole number",
        ]
    )


SMALL = "content: photo.png\nstyle: ink.png\n"
MASKS = """\
content: photo.png
masks: {file: labels.png, ignore: [white], tolerance: 40}
styles: {ink: {image: ink.png, mask: {file: left.png, invert: true}}}
regions:
  - {name: a, mask: {colour: red, feather: 1%}, style: ink}
  - {name: b, mask: {any: [left.png, {except: [all, {ellipse: [0, 0, 1, 1], grow: 3}]}]}, style: ink, guides: inside}
  - {name: c, mask: {both: [all, {gradient: {from: [0, 0], to: [0, 1]}}], threshold: 0.2}, keep: true, border: 4}
  - {name: d, mask: {polygon: [[0, 0], [1, 0], [0.5, 1]]}, style: ink}
"""
REGIONS = "content: photo.png\nstyles: {ink: ink.png}\nregions:\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a.yaml: content is missing | add content: IMAGE, or canvas: [WIDTH, HEIGHT] for a texture without one"),
        ("just words", "a.yaml: it contains no keys | start with content: IMAGE and style: IMAGE"),
        ("- a\n- b\n", "a.yaml: it contains no keys | start with content: IMAGE and style: IMAGE"),
        ("content: photo.png\n", "a.yaml:1: styles: style is missing | add style: IMAGE"),
        (SMALL + "regions: 3\n", "a.yaml:3: regions: 3 is not valid | regions must be a list"),
        (SMALL + "regions: [sky]\n", "a.yaml:3: regions[0]: 'sky' is not valid | regions[0] must be keys with values"),
        (REGIONS + "  - {name: a, mask: 3, style: ink}\n", "a.yaml:4: regions[0].mask: 3 is not valid | a mask is a file, rest, all, or keys such as {file: labels.png, colour: red}"),
        (REGIONS + "  - {name: a, mask: [left.png], style: ink}\n", "a.yaml:4: regions[0].mask: ['left.png'] is not valid | a mask is a file, rest, all, or keys such as {file: labels.png, colour: red}"),
        (REGIONS + "  - {name: a, mask: rest, style: ink}\nstyle: ink\n", "a.yaml:5: style: style at the top is for recipes without regions | give each region its own style"),
        (SMALL + f"output: {'x' * 300}.png\n", "output must be a path whose names have at most 200 bytes"),
        (f"content: {'x' * 300}.png\nstyle: ink.png\n", "content must be a path whose names have at most 200 bytes"),
        (REGIONS + "  - {name: a, mask: {polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}, style: inc}\n", "a.yaml:4: regions[0].style.inc: there is no style 'inc' | use one of ink, or add it to styles"),
        ("content: photo.png\nstyle: mask\nstyles: {mask: {image: ink.png, scale: -1}}\n", "a.yaml:3: styles.mask.scale: -1 is too small | scale must be at least 0.1"),
        (SMALL + "mask: left.png\n", "a.yaml:3: mask: there is no key 'mask' here | did you mean 'masks'?"),
        ("canvas: [16400, 20]\nstyle: ink.png\noutput: a.webp\n", "a.yaml:3: output: the image would be 16400 x 20 px, and .webp holds at most 16383 px a side | choose a name ending in .png, or a smaller size"),
        (SMALL + "masks:\nstrenth: 1\n", "a.yaml:4: strenth: there is no key 'strenth' here | did you mean 'strength'?"),
        (REGIONS + "  - {name: a, mask: {file: , layer: }, style: inc}\n", "a.yaml:4: regions[0].style.inc: there is no style 'inc' | use one of ink, or add it to styles"),
        (SMALL + "steps: 30\n", "a.yaml:3: steps: there is no key 'steps' here | steps is a key of solver: write `solver: {steps: 30}` instead of `steps: 30`"),
        (SMALL + "? [a]\n: b\n", "a.yaml:3: this key is not a plain word | write one word"),
        ("content: ribbon.png\nstyle: ink.png\nsize: 128\n", "a.yaml:3: size: the image would be 128 x 1 px | make its shorter side at least 16 px"),
        (SMALL + "size: 16.5\n", "a.yaml:3: size: 16.5 is not valid | size must be a whole number"),
        (SMALL + "size: true\n", "a.yaml:3: size: true is not valid | size must be a whole number"),
        (SMALL + "size: 1000000\n", "a.yaml:3: size: 1000000 is too large | size must be at most 32768"),
        (SMALL + "smoothness: .inf\n", "a.yaml:3: smoothness: inf is not finite | smoothness must be a finite number"),
        (SMALL + "size: 300\nsize: 400\n", "a.yaml:4: size: this key appears twice | remove one"),
        (SMALL + "output: a.txt\n", "a.yaml:3: output: 'a.txt' does not have the suffix of an image | use one of .png, .jpg, .jpeg, .tif, .tiff, .webp"),
        (SMALL + "output: photo.png/a.png\n", "a.yaml:3: output: the folder photo.png cannot be created: photo.png is a file | choose another one (-o)"),
        (SMALL + "output: photo.png\n", "a.yaml:3: output: photo.png would overwrite content | choose another name (-o)"),
        ("content: photo.png\nstyle: .\n", " is a folder | paths are relative to the recipe file; check the name and the folder"),
        ("content: photo.png\nstyles: {ink: ink.png, oil: oil.png}\n", "there are several styles and no regions | add regions:, or style: with a mix of them"),
        (REGIONS + "  - {name: a, mask: rest, style: {ink: 0}}\n", "a.yaml:4: regions[0].style: the weights of its styles sum to 0 | give at least one a weight above 0"),
        (REGIONS + "  - {name: a, mask: black.png, style: ink}\n", "a.yaml:4: regions[0].mask: region 'a' covers nothing: its mask is black or empty, or regions in front of it hide it | repaint the mask or remove the region"),
        (REGIONS + "  - {name: a, mask: left.png, style: ink}\n  - {name: b, mask: white.png, style: ink}\n", "a.yaml:4: regions[0].mask: region 'a' covers nothing: its mask is black or empty, or regions in front of it hide it | repaint the mask or remove the region"),
        (REGIONS + "  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: white.png, style: ink}\n", "a.yaml:4: regions[0].mask: region 'a' covers nothing: the other regions cover the whole image | repaint the mask or remove the region"),
        (REGIONS + "  - {name: a, mask: oil.png, style: ink}\n", "a.yaml:4: regions[0].mask: oil.png: "),
        ("content: photo.png\nstyle: {ink: 1}\nstyles: {ink: {image: ink.png, mask: square.png}}\n", "a.yaml:3: styles.ink.mask: square.png: the mask is all black: no part of the style image is used | paint it white"),
        ("content: [\n", "a.yaml:1: this is not YAML: "),
        ("content:\n\t- a\n", "a.yaml:2: this is not YAML: found character '\\t' that cannot start any token | indent with spaces, not tabs"),
        (b"content: \xff\xfe\n", "a.yaml:1: it is not UTF-8 text: byte 0xFF | save the recipe as UTF-8 text; in the encoding of Windows this line reads `content: ÿþ`"),
        (b"content: a\x00b\n", "a.yaml:1: this is not YAML: the character U+0000 is not allowed | remove it, and save the recipe as UTF-8 text"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"{c}: &{c} [*{p}, *{p}, *{p}, *{p}, *{p}]\n" for p, c in zip("bcdefghij", "cdefghijk", strict=True)), ": it has more than 20,000 values | use shapes with fewer corners, or masks in files"),
        ("a: &a [*a]\n", "a.yaml:1: a[0]: this alias refers to a value that contains it | write the value out instead"),
        (SMALL + "size: !!int ''\n", "a.yaml:3: size: '' cannot be read as int | write plain text or a number"),
        (SMALL + "keep: !!bool a\n", "a.yaml:3: keep: 'a' cannot be read as bool | write plain text or a number"),
        (SMALL + "a: !!timestamp a\n", "a.yaml:3: a: the tag !!timestamp is not supported | remove the tag"),
        (f"content: photo.png\nstyle: {'a' * 201}\n", "a.yaml:2: styles.style.image: "),
        (SMALL + 'output: "\\ud800.png"\n', r"a.yaml:3: this is not YAML: '\ud800.png' contains an unpaired surrogate"),
        (SMALL + '"\\ud800": 1\n', r"a.yaml:3: this is not YAML: '\ud800' contains an unpaired surrogate"),
    ],
)  # fmt: skip
def test_an_error_is_reported_in_full(project: Path, text: str | bytes, problem: str) -> None:
    Image.new("L", (96, 64)).save(project / "black.png")
    Image.new("L", (96, 64), 255).save(project / "white.png")
    Image.new("RGB", (5000, 20)).save(project / "ribbon.png")
    Image.new("L", (80, 80)).save(project / "square.png")
    found = refuse(project / "a.yaml", text)
    assert any(problem in line for line in found), found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("size", "--set size: this is not KEY=VALUE | write, for example, --set smoothness=2"),
        ("size=5", "--set size=5: size: 5 is too small | size must be at least 16"),
        ("content.a.b=5", "--set content.a.b=5: content has no entry 'a' | use a key of the recipe, such as regions.sky.strength"),
        ("regions.up.keep=true", "--set regions.up.keep=true: regions has no entry 'up' | use a key of the recipe, such as regions.sky.strength"),
        ("solver.stps=5", "--set solver.stps=5: solver.stps: there is no key 'stps' here | did you mean 'steps'?"),
        ("size=[", "--set size=[:1: this is not YAML: "),
        ("regions.².keep=true", "--set regions.².keep=true: regions has no entry '²' | use a key of the recipe, such as regions.sky.strength"),
        (f"regions.{'9' * 5000}.keep=true", "has no entry '99999"),
    ],
)  # fmt: skip
def test_an_error_in_a_setting_is_reported(project: Path, setting: str, problem: str) -> None:
    text = (project / "recipe.yaml").read_text()
    assert any(problem in line for line in refuse(project / "a.yaml", text, setting))


def test_several_broken_files_are_all_reported(project: Path) -> None:
    for name in ("photo", "ink", "left"):
        (project / f"{name}.png").write_bytes(b"broken")
    found = refuse(project / "recipe.yaml", (project / "recipe.yaml").read_text())
    assert [line.split(" | ")[0] for line in found] == [
        "recipe.yaml:1: content: photo.png: this is not an image that can be read",
        "recipe.yaml:3: styles.ink.image: ink.png: this is not an image that can be read",
        "recipe.yaml:8: regions[1].mask: left.png: this is not an image that can be read",
    ]


def test_the_schema_and_the_reader_accept_the_same_recipes() -> None:
    schema = make_schema()
    accepts = jsonschema.Draft202012Validator(schema)
    for text in (
        SMALL,
        REGIONS + "  - {name: a, mask: rest, style: ink}\nencoder: vgg19\ninit: photo.png\n",
        MASKS,
    ):
        accepts.validate(yaml.safe_load(text))
    for text in (SMALL + "sise: 3\n", SMALL + "size: 3\n", "style: ink.png\n", SMALL + "encoder: vgg\n"):
        assert not accepts.is_valid(yaml.safe_load(text)), text
    assert "description" in json.dumps(schema)


@pytest.mark.parametrize("text", ["content: photo.png\n", "content: photo.png\nstyle: null\n", SMALL + "regions: 3\n"])
def test_placeholders_for_missing_keys_are_not_reported(project: Path, text: str) -> None:
    assert not [line for line in refuse(project / "a.yaml", text) if "?" in line]


@pytest.mark.parametrize("regions", ["regions: []", "regions:"])
def test_empty_regions_count_as_none(project: Path, regions: str) -> None:
    (project / "a.yaml").write_text(f"{SMALL}{regions}\n")
    assert load_recipe(project / "a.yaml").regions[0].name == "picture"
