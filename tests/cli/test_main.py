"""The commands as a user runs them: in a process of their own."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image
from support.command_server import CommandServer
from support.commands import files, run
from support.processes import spawn

from guidedstyle import __version__
from guidedstyle.cli.main import app


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


def test_render_writes_the_image_and_its_record_and_nothing_else(project: Path) -> None:
    before = files(project)
    done = run("render", "recipe.yaml", folder=project)
    assert done.returncode == 0, done.stderr
    assert files(project) - before == {"recipe.png", "recipe.png.json"}
    assert pixels(project / "recipe.png").shape == (64, 96, 3)
    record = json.loads((project / "recipe.png.json").read_text())
    assert record["result"]["reason"] == "all steps are done (4)"
    assert record["versions"]["guidedstyle"] == __version__
    assert set(record["losses"]["regions"]) == {"right", "left"}
    assert set(record["losses"]["regions"]["left"]) == {"style", "content"}
    assert set(record["inputs"]) == {"content", "styles.ink.image", "styles.oil.image", "regions.1.mask"}
    assert all(value.startswith("sha256:") for value in record["inputs"].values())
    assert record["recipe"]["regions"][1]["style"] == {"oil": 0.75, "ink": 0.25}
    assert str(project) not in (project / "recipe.png.json").read_text()


def test_an_image_rendered_again_from_itself_has_the_same_bits(project: Path) -> None:
    assert run("render", "recipe.yaml", "--set", "init=noise", "--seed", 3, "-q", folder=project).returncode == 0
    (project / "recipe.yaml").unlink()
    done = run("render", "recipe.png", "--quiet", folder=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (pixels(project / "recipe-again.png") == pixels(project / "recipe.png")).all()
    other = run("render", "recipe.png", "--seed", 4, "-o", "other.jpg", "-q", folder=project)
    assert other.returncode == 0
    assert np.abs(pixels(project / "other.jpg") - pixels(project / "recipe.png")).mean() > 5


def test_kept_regions_are_bit_identical(project: Path) -> None:
    settings = ["--set", "regions.left.style={}", "--set", "regions.left.keep=true"]
    assert run("render", "recipe.yaml", *settings, "--set", "styles={ink: ink.png}", folder=project).returncode == 0
    before, after = pixels(project / "photo.png"), pixels(project / "recipe.png")
    assert (before[:, :48] == after[:, :48]).all()
    assert (before[:, 48:] != after[:, 48:]).any(2).mean() > 0.9


def test_what_no_region_covers_is_bit_identical(project: Path) -> None:
    region = "regions: [{name: a, mask: left.png, style: ink}]\nsolver: {steps: 3}\n"
    (project / "part.yaml").write_text("content: photo.png\nstyles: {ink: ink.png}\n" + region)
    done = run("render", "part.yaml", folder=project)
    note = "50.0% of the image is in no region and stays unchanged (mask: rest covers it)"
    assert f"warning: {note}" in done.stdout
    assert json.loads((project / "part.png.json").read_text())["notes"] == [note]
    assert (pixels(project / "photo.png")[:, 48:] == pixels(project / "part.png")[:, 48:]).all()


def test_a_draft_leaves_the_finished_image_and_its_checkpoint_alone(project: Path) -> None:
    kept = {project / f"recipe.png{suffix}": suffix.encode() for suffix in ("", ".state")}
    for file, content in kept.items():
        file.write_bytes(content)
    done = run("render", "recipe.yaml", "--draft", "--size", 64, folder=project)
    assert done.returncode == 0
    assert (project / "recipe.draft.png").is_file()
    assert {file: file.read_bytes() for file in kept} == kept


def test_a_draft_takes_fewer_steps_than_the_recipe_asks_for(project: Path) -> None:
    """The solver of the recipe gives way to --draft, but not the steps of the command."""
    file = project / "recipe.yaml"
    file.write_text(file.read_text().replace("{steps: 4}", "{steps: 90, sizes: 1, method: adam}"))
    for arguments, steps in (((), "90 steps"), (("--draft",), "5 steps"), (("--draft", "--steps", 3), "2 steps")):
        done = run("render", "recipe.yaml", "--dry-run", "--size", 512, *arguments, folder=project)
        assert f"({steps})" in done.stdout
        assert done.returncode == 0


def test_dry_run_prints_the_plan_and_writes_nothing(project: Path) -> None:
    before = files(project)
    done = run("render", "recipe.yaml", "--dry-run", "--size", 512, "--steps", 70, folder=project)
    assert (done.returncode, files(project)) == (0, before)
    for part in ("128 x 85 (40 steps), 256 x 170 (20 steps), 512 x 341 (10 steps)", "relu1_1", "cpu", "MiB", "50.0%"):
        assert part in done.stdout
    assert "0.75 oil + 0.25 ink" in done.stdout


def test_only_the_first_render_is_followed_by_what_to_do_next(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(project / "cache"))
    arguments = [("--dry-run",), ("-o", "one.png"), ("-o", "two.png")]
    shown = [run("render", "recipe.yaml", *one, folder=project).stdout for one in arguments]
    assert ["guidedstyle watch recipe.yaml" in text for text in shown] == [False, True, False]


def test_check_prints_regions_and_output(project: Path) -> None:
    before = files(project)
    done = run("check", "recipe.yaml", folder=project)
    assert (done.returncode, files(project)) == (0, before)
    assert "left" in done.stdout
    assert "content 96 x 64 px -> recipe.png" in done.stdout


@pytest.mark.parametrize("command", ["check", "render"])
def test_errors_exit_with_2_and_write_nothing(project: Path, command: str) -> None:
    before = files(project)
    done = run(command, "recipe.yaml", "--set", "size=3", "--set", "styles.ink.image=gone.png", folder=project)
    assert (done.returncode, done.stdout, files(project)) == (2, "", before)
    assert done.stderr == (
        "error: --set size=3: size: 3 is too small\n"
        "    hint: size must be at least 16\n"
        "error: --set styles.ink.image=gone.png: styles.ink.image: there is no file gone.png\n"
        "    hint: paths are relative to the recipe file; check the name and the folder\n"
        "2 errors. Nothing was written.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["render", "none.yaml"], "none.yaml: there is no such file"),
        (["render", "photo.png"], "photo.png: this image contains no recipe"),
        (["render", "recipe.yaml", "--device", "cuda:77"], "--device: 'cuda:77' is not a device"),
        (["render", "recipe.yaml", "--device", "abacus"], "--device: 'abacus' is not a device"),
        (["render", "recipe.yaml", "--size", "many"], "--size: 'many' is not a whole number"),
        (
            ["render", "recipe.yaml", "--encoder", "resnet"],
            "--encoder: encoder.name: 'resnet' is not one of the choices",
        ),
        (["render", "recipe.yaml", "-o", "ink.png/where.png"], "ink.png is a file"),
        (["render", "recipe.yaml", "--size", "32768"], "size: the render needs at least"),
        (["render"], "Missing argument 'RECIPE...'"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_a_wrong_command_exits_with_2_and_a_message(project: Path, arguments: list[str], message: str) -> None:
    before = files(project)
    done = run(*arguments, folder=project)
    assert (done.returncode, files(project)) == (2, before)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_saves_the_image_so_far(project: Path) -> None:
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--steps", "100000", "--size", "400"]
    process = spawn(command, cwd=project)
    assert process.stderr is not None
    line = process.stderr.readline()  # the first line of progress
    assert "step" in line, line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert pixels(project / "recipe.png").shape == (267, 400, 3)
    record = json.loads((project / "recipe.png.json").read_text())
    assert record["result"]["finished"] is False
    assert "interrupted (" in record["result"]["reason"]
    assert "interrupted" in out


def test_a_recipe_that_is_a_pipe_does_not_hang(project: Path) -> None:
    os.mkfifo(project / "pipe.png")
    done = run("check", "pipe.png", folder=project)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: pipe.png: there is no such file")


def test_schema_prints_json(project: Path) -> None:
    assert "regions" in json.loads(run("schema", folder=project).stdout)["properties"]


def test_masks_is_another_name_of_mask_show(server: CommandServer, project: Path) -> None:
    one, other = (server.accept(project, *name.split(), "recipe.yaml").out for name in ("masks", "mask show"))
    assert one == other
    assert "overlap" in one


def test_init_makes_a_folder_that_renders(tmp_path: Path) -> None:
    made = run("init", "my folder", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = tmp_path / "my folder" / "recipe.yaml"
    assert f"guidedstyle render '{recipe.relative_to(tmp_path)}'" in made.stdout
    done = run("render", recipe, "--size", 96, "--steps", 3, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    again = run("init", "my folder", folder=tmp_path)
    assert again.returncode == 2
    assert (
        again.stderr
        == "error: my folder: it is not empty\n    hint: name a new folder\n1 error. Nothing was written.\n"
    )


def test_the_output_is_never_half_written(project: Path) -> None:
    """A reader that polls sees the old image or the new one."""
    Image.new("RGB", (96, 64)).save(project / "recipe.png")
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "-q", "--overwrite"]
    process, sizes = spawn(command, cwd=project), set()
    while process.poll() is None:
        with Image.open(project / "recipe.png") as picture:
            picture.load()
            sizes.add(picture.size)
        time.sleep(0.005)
    assert process.returncode == 0
    assert sizes == {(96, 64)}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("re", {"render"}),
        ("render --js", {"--json-progress"}),
        ("render a.yaml --encoder v", {"vgg19", "vgg16"}),
        ("sweep a.yaml --device ", {"auto", "cpu", "cuda", "mps"}),
    ],
)
def test_shells_complete_commands_options_and_values(typed: str, offered: set[str]) -> None:
    words = f"guidedstyle {typed}"
    request = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_GUIDEDSTYLE_COMPLETE": "complete_bash",
    }
    command = [Path(sys.executable).with_name("guidedstyle")]
    done = subprocess.run(command, env=os.environ | request, capture_output=True, text=True)
    assert {*done.stdout.split()} == offered


def list_commands(command: Any = None, name: str = "guidedstyle") -> Iterator[tuple[str, Any]]:
    """List the program, its groups and its commands with their whole names."""
    command = command or typer.main.get_command(app)
    yield name, command
    for key, inner in getattr(command, "commands", {}).items():
        yield from list_commands(inner, f"{name} {key}")


@pytest.mark.parametrize(
    ("name", "command"), [*list_commands()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_help_begins_with_an_example_on_one_line(name: str, command: Any) -> None:
    first, example, *_ = inspect.cleandoc(command.help).split("\n\n")
    assert first.endswith(".")
    assert example.startswith("Example: guidedstyle mask show " if name.endswith(" masks") else f"Example: {name}")
    assert len(example) <= 78 or "train" in name or "evaluate" in name


def test_help_and_version_are_printed(project: Path) -> None:
    alone = run(folder=project)
    assert (alone.returncode, alone.stderr) == (2, "")
    assert "Example: guidedstyle quick photo.jpg painting.jpg" in alone.stdout
    for flag in ("--version", "-V"):
        done = run(flag, folder=project)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"guidedstyle {__version__}\n", "")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("rendr recipe.yaml", "'render'"),
        ("quik photo.png ink.png", "'quick'"),
        ("chek recipe.yaml", "'check'"),
        ("mask sugest photo.png", "'suggest'"),
        ("mask shwo recipe.yaml", "'show'"),
        ("int new", "'init'"),
        ("docter", "'doctor'"),
        ("swep recipe.yaml", "'sweep'"),
        ("photo.png ink.png", "write guidedstyle quick photo.png painting.jpg"),
        ("./recipe.yaml", "write guidedstyle render ./recipe.yaml"),
        ("quick photo.png ink.png --colr keep", "--colo"),
    ],
)
def test_the_right_command_is_suggested(server: CommandServer, project: Path, typed: str, answer: str) -> None:
    assert answer in " ".join(server.refuse(project, *typed.split()))


OUTPUTS = {  # a command: what it writes into a folder that does not exist
    "render recipe.yaml -o a/b/out.png": {"a/b/out.png", "a/b/out.png.json"},
    "render recipe.yaml --set output=a/out.jpg": {"a/out.jpg", "a/out.jpg.json"},
    "render recipe.yaml -o a/out.ora --report b/c/page.html --timelapse d/film.avi": {
        "a/out.ora",
        "b/c/page.html",
        "d/film.avi",
    },
    "render recipe.yaml --content photo.png --content oil.png -o a/b": {"a/b/photo.png", "a/b/oil.png"},
    "sweep recipe.yaml --vary smoothness=1,2 -o a/b": {"a/b/sheet.png", "a/b/table.csv"},
    "compare ink.png oil.png -o a/b/sheet.png": {"a/b/sheet.png"},
    "mask new photo.png --regions sky -o a/b/scene.ora": {"a/b/scene.ora", "a/b/scene.yaml"},
    "mask suggest photo.png -o a/b/scene.psd": {"a/b/scene.psd", "a/b/scene.yaml"},
    "mask show recipe.yaml -o a/b/sheet.png": {"a/b/sheet.png"},
    "init a/b": {"a/b/recipe.yaml"},
}


@pytest.mark.slow
@pytest.mark.parametrize("command", OUTPUTS)
def test_folders_of_outputs_are_made(project: Path, command: str) -> None:
    done = run(*command.split(), folder=project)
    assert done.returncode == 0, done.stderr
    assert files(project) >= OUTPUTS[command]
    assert not [folder for folder in project.rglob("*") if folder.is_dir() and not any(folder.iterdir())]


@pytest.mark.parametrize(
    "command",
    [
        "render recipe.yaml -o a/b/out.png --dry-run",
        "render recipe.yaml --content photo.png --content oil.png -o a/b --dry-run",
        "sweep recipe.yaml --vary smoothness=1,2 -o a/b --dry-run",
        "check recipe.yaml --set output=a/out.png",
        "render recipe.yaml -o a/b/out.png --set size=3",
        "render recipe.yaml -o a/b/out.png --size 32768",
        "render recipe.yaml -o a/out.png --report b/page.pdf",
        "compare ink.png oil.png -o a/sheet.txt",
        "mask show recipe.yaml -o a/b/sheet",
        "mask new photo.png --regions sky -o a/b/scene.png",
        "mask new gone.png --regions sky -o a/b/scene.ora",
    ],
)
def test_no_folder_is_made_where_nothing_is_written(project: Path, command: str) -> None:
    before = files(project)
    run(*command.split(), folder=project)
    assert files(project) == before
