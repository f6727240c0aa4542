"""What a newcomer begins with: `quick` without a recipe, and `init` with images of their own."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_server import CommandServer
from support.commands import files, run
from support.images import draw_image
from support.processes import spawn

from guidedstyle.app.starters.projects import make_first_recipe, write_starter
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.scene.check import check_reading
from guidedstyle.types import Setting

FAST = ("--steps", "2", "-q")


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


def test_quick_leaves_an_image_and_the_recipe_that_repeats_it(project: Path) -> None:
    before = files(project)
    done = run("quick", "photo.png", "ink.png", "--steps", 3, folder=project)
    assert done.returncode == 0, done.stderr
    assert files(project) - before == {"photo-ink.png", "photo-ink.png.json", "photo-ink.yaml"}
    assert "guidedstyle watch photo-ink.yaml" in done.stdout
    first = pixels(project / "photo-ink.png")
    assert np.abs(first - pixels(project / "photo.png")).mean() > 5
    (project / "photo-ink.png").unlink()
    assert run("render", "photo-ink.yaml", "-q", folder=project).returncode == 0
    assert (pixels(project / "photo-ink.png") == first).all()


def test_quick_writes_its_options_into_the_recipe(project: Path) -> None:
    (project / "work").mkdir()
    options = ["--size", 48, "--strength", 1.5, "--colour", "keep", *FAST]
    styles = ["../ink.png", "../oil.png", "../ink.png"]
    done = run("quick", "../photo.png", *styles, *options, "-o", "new/out.jpg", folder=project / "work")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    recipe = load_recipe(project / "work" / "new" / "out.yaml")
    assert recipe.output == project / "work" / "new" / "out.jpg"
    assert (recipe.size, recipe.strength, recipe.colour.content, recipe.solver.steps) == (48, 1.5, True, 2)
    assert {name: use.weight for name, use in recipe.regions[0].style.items()} == {"ink": 2, "oil": 1}
    assert pixels(recipe.output).shape == (32, 48, 3)


def test_quick_paints_only_inside_a_mask(project: Path) -> None:
    done = run("quick", "photo.png", "ink.png", "--mask", "left.png", *FAST, "-o", "out.png", folder=project)
    assert done.returncode == 0, done.stderr
    photo, painted = pixels(project / "photo.png"), pixels(project / "out.png")
    assert (photo[:, 50:] == painted[:, 50:]).all()
    assert (photo[:, :46] != painted[:, :46]).any(2).mean() > 0.9


@pytest.mark.slow
def test_quick_replaces_nothing(project: Path) -> None:
    """Without -o it finds a free name; with it, its own files are replaced unless they have been changed since."""
    names = []
    for taken in ("photo-ink.png", "photo-ink-2.yaml", "photo-ink-3.png", None):
        recipe = make_first_recipe(project / "photo.png", [project / "ink.png"], output=project)
        names.append((recipe.file.name, recipe.output.name))
        if taken:
            (project / taken).write_text("mine")
    assert names == [(f"photo-ink{end}.yaml", f"photo-ink{end}.png") for end in ("", "-2", "-3", "-4")]
    command = ["quick", "photo.png", "ink.png", *FAST, "-o", "out.png"]
    assert run(*command, folder=project).returncode == 0
    assert run(*command, "--strength", 2, folder=project).returncode == 0
    assert load_recipe(project / "out.yaml").strength == 2
    failed = run(*command, "--size", 32768, folder=project)
    assert (failed.returncode, load_recipe(project / "out.yaml").strength) == (2, 2)
    (project / "out.yaml").write_text((project / "out.yaml").read_text() + "# mine\n")
    before = {file: (project / file).read_bytes() for file in ("out.yaml", "out.png")}
    done = run(*command, folder=project)
    assert done.stderr == (
        "error: out.yaml: it exists, and guidedstyle did not make it, or it was changed since\n"
        "    hint: choose another name (-o), or replace it with --overwrite (in Python, `overwrite`)\n"
        "1 error. Nothing was written.\n"
    )
    assert before == {file: (project / file).read_bytes() for file in before}
    assert run(*command, "--overwrite", folder=project).returncode == 0
    assert load_recipe(project / "out.yaml").strength == 1


@pytest.mark.slow
def test_an_interrupted_quick_is_resumed_under_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [
        sys.executable,
        "-m",
        "guidedstyle",
        "quick",
        "photo.png",
        "ink.png",
        "--steps",
        "99999",
        "--size",
        "400",
    ]
    process = spawn(command, cwd=project)
    assert process.stderr is not None
    assert "step" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert {"photo-ink.png", "photo-ink.png.state", "photo-ink.yaml"} <= files(project)
    assert "--resume continues" in out + err
    settings = [Setting("size", 400, "--size"), Setting("solver.steps", 99999, "--steps")]
    monkeypatch.chdir(project)
    images = Path("photo.png"), [Path("ink.png")]
    made = [make_first_recipe(*images, settings=settings, resume=resume) for resume in (True, False)]
    assert [recipe.file.name for recipe in made] == ["photo-ink.yaml", "photo-ink-2.yaml"]


REFUSED = {  # by arguments: what is reported
    "gone.png ink.png": "gone.png: there is no file gone.png",
    "photo.png ink.png out.png": "the image to write goes with -o",
    "photo.png recipe.yaml": "recipe.yaml: this is not an image that can be read",
    "photo.png": "Missing argument 'PAINTING...'",
    "photo.png ink.png -o photo.png": "photo.png: it exists, and guidedstyle did not make it",
    "photo.png ink.png -o recipe.png": "recipe.yaml: it exists, and guidedstyle did not make it",
    "photo.png ink.png -o out": "'out' does not have the suffix of an image",
    "photo.png ink.png -o ink.png/out.png": "ink.png is a file",
    "photo.png ink.png -o new/out.png --size 3": "--size: size: 3 is too small",
    "photo.png ink.png --steps 0": "--steps: solver.steps: 0 is too small",
    "photo.png ink.png --strength much": "--strength: 'much' is not a number",
    "photo.png ink.png --strength -1": "--strength: strength: -1.0 is too small",
    "photo.png ink.png --strength [": "--strength: '[' is not a number",
    "photo.png ink.png --colour blue": "--colour: 'blue' is unknown",
    "photo.png ink.png --mask gone.png": "--mask: there is no file gone.png",
    "photo.png ink.png --mask square.png": "--mask: regions[1].mask",
    "photo.png ink.png --device abacus": "--device: 'abacus' is not a device",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_quick_refuses_before_anything_is_written(server: CommandServer, project: Path, arguments: str) -> None:
    draw_image(32, 32, 1).save(project / "square.png")
    assert REFUSED[arguments] in " ".join(server.refuse(project, "quick", *arguments.split()))


def test_a_quick_render_that_does_not_fit_leaves_nothing(project: Path) -> None:
    before = files(project)
    done = run("quick", "photo.png", "ink.png", "-o", "new/out.png", "--size", 32768, folder=project)
    assert (done.returncode, files(project)) == (2, before)
    assert "the render needs at least" in done.stderr


ODD = ["a b", "it's", "#1", "no", "1e5", "[x], {y}: z", "Cafe\u0301", "日本", "- dash", "% &amp; \\n", 'say "hi"', "~"]


@pytest.mark.parametrize("name", ODD)
def test_first_recipes_of_files_with_odd_names_are_valid(tmp_path: Path, name: str) -> None:
    draw_image(48, 32, 1).save(tmp_path / f"{name}.png")
    (tmp_path / "more").mkdir()
    draw_image(32, 32, 2).save(tmp_path / "more" / f"{name}.png")
    images = tmp_path / f"{name}.png", [tmp_path / "more" / f"{name}.png"]
    recipe = make_first_recipe(*images, output=tmp_path / "out" / f"{name} 2.png")
    with recipe.writing() as file:
        checked = load_recipe(file)
    own = load_recipe(write_starter(tmp_path / "own", *images))
    for made in (checked, own):
        assert made.content and made.content.read_bytes() == images[0].read_bytes()
        assert [style.image and style.image.read_bytes() for style in made.styles.values()] == [
            images[1][0].read_bytes()
        ]
    assert checked.output == recipe.output
    assert own.content != images[0]


def test_every_line_in_comments_can_be_used(project: Path) -> None:
    recipe = make_first_recipe(project / "photo.png", [project / "ink.png"], output=project / "out.png")
    with recipe.writing() as file:
        offered = re.findall(r"(?m)^# (\w+: .*)$", recipe.text)
        assert len(offered) == 5
        plain = load_recipe(file)
        for line in offered:
            file.write_text(recipe.text.replace(f"# {line}", line))
            checked = check_reading(read_recipe(file))
            assert not checked.warnings, line
            changed = checked.scene.recipe.model_dump(), plain.model_dump()
            assert [key for key in changed[0] if changed[0][key] != changed[1][key]] == [line.split(":")[0]]
    (command,) = re.findall(r"(?m)^# +guidedstyle (mask new .*)$", recipe.text)
    assert run(*command.split(), folder=project).returncode == 0


def test_init_copies_own_images_and_renders_at_once(project: Path) -> None:
    command = ["init", "my folder", "--content", "photo.png", "--style", "ink.png", "--style", "oil.png"]
    made = run(*command, folder=project)
    assert made.returncode == 0, made.stderr
    folder = project / "my folder"
    assert files(folder) == {"images", "images/photo.png", "images/ink.png", "images/oil.png", "recipe.yaml"}
    assert "guidedstyle render 'my folder/recipe.yaml'" in made.stdout
    shutil.move(folder, project / "moved")
    done = run("render", "moved/recipe.yaml", "--sandbox", "--steps", 2, "-q", folder=project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("new --content photo.png", "init: --style is missing"),
        ("new --style ink.png", "init: --content is missing"),
        ("new --content gone.png --style ink.png", "--content: there is no file gone.png"),
        ("new --content photo.png --style recipe.yaml", "recipe.yaml: this is not an image"),
        ("ink.png/new --content photo.png --style ink.png", "ink.png is a file"),
        (". --content photo.png --style ink.png", ".: it is not empty"),
    ],
)
def test_init_refuses_before_anything_is_written(
    server: CommandServer, project: Path, arguments: str, message: str
) -> None:
    assert message in " ".join(server.refuse(project, "init", *arguments.split()))
