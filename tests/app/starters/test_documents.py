"""Documents for paint programs: new masks, suggested masks, results in layers; and the sheet of masks."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image
from support.cases import DATA, needs_data
from support.commands import files, run
from support.images import draw_image

from guidedstyle.app.starters.recipes import name_styles
from guidedstyle.io.layered.formats import open_layered, read_layer
from guidedstyle.masks.segmentation import suggest_regions
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.recipe.schema import FILE, make_schema
from guidedstyle.results.sheets import TINTS, draw_mask_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE
from guidedstyle.types import Setting

CONTENT = "photograph (guidedstyle mask new)"


@pytest.mark.parametrize("suffix", [".ora", ".psd", ".kra"])
def test_a_new_document_has_the_content_image_and_an_empty_layer_for_each_region(project: Path, suffix: str) -> None:
    before = files(project)
    names = "sky, the sea,yes,Öl: 1,1e5,[x]"
    command = ["mask", "new", "photo.png", "--regions", names, "-o", f"scene{suffix}", "--style", "ink.png"]
    done = run(*command, "--style", "oil.png", folder=project)
    assert done.returncode == 0, done.stderr
    assert files(project) - before == {f"scene{suffix}", "scene.yaml"}
    document = open_layered(project / f"scene{suffix}")
    assert {layer.name for layer in document.layers} == {CONTENT, "sky", "the sea", "yes", "Öl: 1", "1e5", "[x]"}
    assert {layer.name for layer in document.layers if layer.read().any()} == {CONTENT}
    recipe = load_recipe(project / "scene.yaml")
    assert [(region.name, region.mask.layer) for region in recipe.regions] == [
        (name, name) for name in ("sky", "the sea", "yes", "Öl: 1", "1e5", "[x]")
    ]
    assert [list(region.style) for region in recipe.regions] == [["ink"], ["oil"]] * 3
    checked = run("mask", "show", "scene.yaml", folder=project)
    assert checked.returncode == 2
    assert (
        f"scene.yaml:15: regions[0].mask: scene{suffix}: layer 'sky' is empty\n    hint: paint where" in checked.stderr
    )


NAMES = "give each its own name, and none photograph or rest: --regions sky,sea,boat"


@pytest.mark.parametrize(
    ("arguments", "rule", "remedy"),
    [
        ("--regions a,a -o b.ora", "--regions: 'a,a' does not name regions", NAMES),
        ("--regions a,,b -o b.ora", "--regions: 'a,,b' does not name regions", NAMES),
        ("--regions rest -o b.ora", "--regions: 'rest' does not name regions", NAMES),
        ("--regions a -o b.png", "--output: 'b.png' is not a layered document", "use .ora, .psd or .kra"),
        ("--regions a -o recipe.ora", "--output: recipe.yaml exists already", "choose another name, or remove it"),
        (
            "--regions a -o ink.png/b.ora",
            "--output: ink.png cannot be created: ink.png is a file",
            "choose another folder",
        ),
    ],
)
def test_nothing_is_overwritten_and_errors_are_reported(project: Path, arguments: str, rule: str, remedy: str) -> None:
    before = files(project)
    done = run("mask", "new", "photo.png", *arguments.split(), folder=project)
    assert (done.returncode, done.stdout, files(project)) == (2, "", before)
    assert done.stderr == f"error: {rule}\n    hint: {remedy}\n1 error. Nothing was written.\n"


NAMES_OF_STYLES = {  # a file's name: the style's name
    "ink.jpg": "ink",
    "van gogh.jpg": "van_gogh",
    "Café Müller.png": "Café_Müller",
    "Cafe\u0301.png": "Café",
    "星月夜.jpg": "星月夜",
    "हिन्दी.jpg": "हिन्दी",
    "1889-starry.night.jpg": "1889-starry_night",
    "1889.jpg": "style_1889",
    "1e5.jpg": "style_1e5",
    "no.jpg": "style_no",
    "Null.jpg": "style_Null",
    "rest.png": "style_rest",
    "all.png": "style_all",
    "style.png": "style_style",
    "-.jpg": "style",
    "🎨.jpg": "style_2",
    "a: b, {c} [d] #e.jpg": "a_b_c_d_e",
    'it\'s "it".jpg': "it_s_it",
    ".hidden": "hidden",
    "x.tar.gz.png": "x_tar_gz",
    "two\nlines.jpg": "two_lines",
    "INK.jpg": "INK_2",
    "other/ink.jpg": "ink_3",
    "y" * 90 + ".jpg": "y" * 40,
    "z/" + "y" * 90 + ".jpg": "y" * 40 + "_2",
}


def test_styles_are_named_after_their_files(tmp_path: Path) -> None:
    """Each name is a plain YAML key, can be set from the command line, and belongs to one file."""
    named = name_styles(map(Path, NAMES_OF_STYLES))
    assert {str(file): name for name, file in named.items()} == NAMES_OF_STYLES
    text = "styles:\n" + "".join(f"  {name}: ink.png\n" for name in named)
    assert list(yaml.safe_load(text)["styles"]) == list(named)
    draw_image(32, 32, 1).save(tmp_path / "ink.png")
    every = "{" + ", ".join(f"{name}: 1" for name in named) + "}"
    (tmp_path / "a.yaml").write_text(f"content: ink.png\n{text}style: {every}\n", encoding="utf-8")
    settings = [Setting(f"styles.{name}.scale", 2.0, "here") for name in named]
    recipe = load_recipe(tmp_path / "a.yaml", settings)
    assert {style.scale for style in recipe.styles.values()} == {2}


def test_a_style_image_that_is_given_twice_has_one_name(project: Path) -> None:
    (project / "more").mkdir()
    shutil.copy(project / "oil.png", project / "more" / "ink.png")
    styles = [word for name in ("ink.png", "more/ink.png", "ink.png") for word in ("--style", name)]
    made = run("mask", "new", "photo.png", "--regions", "a,b,c,d", "-o", "scene.ora", *styles, folder=project)
    assert made.returncode == 0, made.stderr
    recipe = load_recipe(project / "scene.yaml")
    assert {name: str(style.image) for name, style in recipe.styles.items()} == {
        "ink": str(project / "ink.png"),
        "ink_2": str(project / "more" / "ink.png"),
    }
    assert [name for region in recipe.regions for name in region.style] == ["ink", "ink_2", "ink", "ink"]


def check_schema_line(recipe: Path) -> None:
    """Check the first line of a recipe: the schema that it names exists and accepts the recipe."""
    text = recipe.read_text(encoding="utf-8")
    (address,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)
    schema = json.loads(Path(url2pathname(urlsplit(address).path)).read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(text), "sise": 3}, schema)


@pytest.mark.parametrize(
    ("command", "recipe"),
    [
        ("mask new photo.png --regions sky,no -o scene.ora", "scene.yaml"),
        ("mask new photo.png --regions sky -o scene.psd --style ink.png", "scene.yaml"),
        ("mask suggest photo.png -o guess.ora --style ink.png --style oil.png", "guess.yaml"),
        ("init new", "new/recipe.yaml"),
        ("init new --content photo.png --style ink.png --style oil.png", "new/recipe.yaml"),
        ("quick photo.png ink.png --size 32 --steps 1 --colour match -o new/out.png", "new/out.yaml"),
    ],
)
def test_new_recipes_name_a_schema_for_editors(project: Path, command: str, recipe: str) -> None:
    done = run(*command.split(), folder=project)
    assert done.returncode == 0, done.stderr
    check_schema_line(project / recipe)


def test_the_schema_file_is_that_of_the_code() -> None:
    """Update it with `python tests/programs/write_key_tables.py`."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == make_schema()


def test_a_suggestion_can_be_rendered_unchanged(project: Path) -> None:
    pixels = np.asarray(draw_image(96, 64, 5)) // 4
    pixels[:32] += np.uint8([20, 60, 180])
    pixels[32:, :60] += np.uint8([10, 150, 20])
    pixels[32:, 60:] += np.uint8([180, 20, 20])
    Image.fromarray(pixels).save(project / "flag.png")
    command = ["mask", "suggest", "flag.png", "--regions", 3, "-o", "scene.ora", "--style", "ink.png"]
    done = run(*command, folder=project)
    assert done.returncode == 0, done.stderr
    scene = open_scene(read_recipe(project / "scene.yaml"))
    assert scene.shares[0] == pytest.approx(0.5, abs=0.02)
    assert sorted(scene.shares[1:]) == pytest.approx([0, 0.5 * 36 / 96, 0.5 * 60 / 96], abs=0.02)
    assert run("render", "scene.yaml", "--steps", 2, "-q", folder=project).returncode == 0


@needs_data
@pytest.mark.parametrize("count", [2, 4, 7])
def test_suggested_regions_divide_an_image_along_its_edges(count: int) -> None:
    """Every pixel is in one region, and most of the variance of its colours is between regions."""
    content = np.asarray(Image.open(DATA / "cases" / "pair07_content.png").convert("RGB"))
    masks = suggest_regions(content, count)
    assert len(masks) == count
    assert (np.sum(masks, axis=0, dtype=int) == 255).all()
    assert min(mask.mean() for mask in masks) > 0.255
    shares = [(mask > 0).mean() for mask in masks]
    means = [content[mask > 0].mean(0) for mask in masks]
    between = sum(share * np.square(mean - content.mean((0, 1))) for share, mean in zip(shares, means, strict=True))
    assert between.sum() > 0.5 * content.var((0, 1)).sum()


def test_a_result_in_layers(project: Path) -> None:
    """Its layers, composited, are the image; their masks are read back unchanged."""
    regions = "  - {name: back, mask: rest, style: ink}\n"
    regions += "  - {name: half, mask: {rectangle: [0, 0, 1, 0.5], feather: 6}, style: oil}\n"
    regions += "  - {name: kept, mask: {ellipse: [0.3, 0.2, 0.7, 0.8]}, keep: true}\n"
    text = f"content: photo.png\noutput: out.ora\nstyles: {{ink: ink.png, oil: oil.png}}\nregions:\n{regions}"
    (project / "layers.yaml").write_text(text + "solver: {steps: 3}\n")
    assert run("render", "layers.yaml", "-q", folder=project).returncode == 0
    assert run("render", "layers.yaml", "-q", "-o", "flat.png", folder=project).returncode == 0
    with zipfile.ZipFile(project / "out.ora") as archive:
        parts = [Image.open(io.BytesIO(archive.read(f"data/layer{index}.png"))) for index in range(4)]
        merged = np.asarray(Image.open(io.BytesIO(archive.read("mergedimage.png"))), int)
        assert archive.infolist()[0].filename == "mimetype"
        assert archive.read("mimetype") == b"image/openraster"
    composite = parts[0]
    for part in parts[1:]:
        composite = Image.alpha_composite(composite, part)
    assert np.abs(np.asarray(composite.convert("RGB"), int) - merged).max() <= 2
    assert (merged == np.asarray(Image.open(project / "flat.png"), int)).all()
    scene = open_scene(read_recipe(project / "layers.yaml"))
    kept = read_layer(open_layered(project / "out.ora"), "kept")
    assert np.abs(kept - 255 * scene.weights[2]).max() <= 1
    assert json.loads((project / "out.ora.json").read_text())["result"]["finished"]


def test_mask_show_prints_a_table_and_draws_a_sheet(project: Path) -> None:
    before = files(project)
    done = run("mask", "show", "recipe.yaml", "-o", "sheet.png", folder=project)
    assert done.returncode == 0, done.stderr
    assert files(project) - before == {"sheet.png"}
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["region", "share", "overlap", "96", "px", "48", "px", "24", "px"]
    assert rows[1:4] == [
        ["right", "50.0%", "-", "all", "all", "all"],
        ["left", "50.0%", "0.0%", "all", "all", "all"],
        ["no", "region", "0.0%"],
    ]


@pytest.mark.parametrize(("file", "what"), [("left.png", "regions.1.mask"), ("recipe.yaml", "the recipe")])
def test_the_sheet_overwrites_nothing_of_the_recipe(project: Path, file: str, what: str) -> None:
    before = (project / file).read_bytes()
    done = run("mask", "show", "recipe.yaml", "-o", file, folder=project)
    assert (done.returncode, done.stdout, (project / file).read_bytes()) == (2, "", before)
    rule = f"--output: {file} would overwrite {what}\n    hint: choose another name (-o)"
    assert done.stderr == f"error: {rule}\n1 error. Nothing was written.\n"


def test_the_sheet_tints_every_region(project: Path) -> None:
    Image.new("RGB", (96, 64), (100, 100, 100)).save(project / "photo.png")
    sheet = np.asarray(draw_mask_sheet(open_scene(read_recipe(project / "recipe.yaml"), CHECK_SIZE)), float)
    middle = sheet[100:500]
    for column, colour in ((100, TINTS[1]), (900, TINTS[0])):
        expected = 0.45 * 100 + 0.55 * np.array(colour)
        assert np.abs(np.median(middle[:, column - 20 : column + 20], axis=(0, 1)) - expected).max() < 2


def test_a_missing_library_is_named(project: Path) -> None:
    """If scikit-image is not installed, the error names it and how to install it."""
    (project / "skimage.py").write_text("raise ImportError('no', name='skimage')\n")
    code = "import sys; sys.path.insert(0, '.'); sys.argv[1:] = ['mask', 'suggest', 'photo.png', '-o', 'a.ora']; "
    code += "from guidedstyle.__main__ import main; main()"
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "error: mask suggest: it needs the library skimage, which is not installed\n"
        "    hint: pip install scikit-image scikit-learn\n1 error. Nothing was written.\n",
    )
