"""The READMEs: their commands, recipes, programs, tables, links and length."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from PIL import Image, ImageDraw
from programs.write_key_tables import read_table, split_table
from support.commands import run
from support.images import draw_image
from support.networks import make_card, make_network

import guidedstyle
from guidedstyle.cli.main import app
from guidedstyle.io.layered.base import CONTENT_LAYER
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.networks.files import save_network
from guidedstyle.recipe.schema import list_keys, write_table

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "masks/README.md", "recipes/README.md")
BLOCK = re.compile(r"(?:<!-- parsed only: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
SMALL = {
    "quick": ("--size", "64", "--steps", "2", "--device", "cpu"),
    "render": ("--size", "64", "--steps", "2", "--device", "cpu"),
    "sweep": ("--size", "64", "--steps", "2", "--device", "cpu"),
    "bench": ("--size", "128", "--largest", "512", "--repeats", "3", "--device", "cpu"),
}


class Block(NamedTuple):
    """A block of code; `reason` says why its commands are parsed but not run."""

    page: str
    text: str
    reason: str | None


def read_blocks(language: str) -> list[Block]:
    found = [(page, match) for page in PAGES for match in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))]
    return [Block(page, match["text"], match["reason"]) for page, match in found if match["language"] == language]


def split_commands(text: str) -> Iterator[list[str]]:
    """Split a block into commands; comments and redirections are dropped."""
    for line in text.splitlines():
        for command in line.split("&&"):
            if words := shlex.split(command, comments=True):
                yield words[: words.index(">")] if ">" in words else words


COMMANDS = [(block, words) for block in read_blocks("sh") for words in split_commands(block.text)]


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=lambda words: " ".join(words)[:60])
def test_commands_are_parsed(words: list[str]) -> None:
    if words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        named = re.findall(r"\[(\w+)\]", " ".join(words))
        assert words[1] == "install"
        assert set(named) <= extras.keys()
    elif words[0] != "pytest":
        assert words[0] in ("guidedstyle", "torchrun")
        command, arguments = typer.main.get_command(app), words[words.index("guidedstyle") + 1 :]
        while commands := getattr(command, "commands", None):
            command = commands[arguments.pop(0)]
        command.make_context(command.name, arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with everything the pages name: images, masks, recipes, and the samples."""
    names = ("photo", "painting", "strokes", "ink", "waves", "photos/1", "photos/2")
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(names):
        draw_image(96, 64, seed).save(tmp_path / f"{name}.jpg")
    for index, name in enumerate(("sky", "sea", "boat")):
        draw_third(index).getchannel("A").save(tmp_path / f"{name}.png")
    Image.new("RGB", (96, 64), "white").save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as labels:
        labels.paste("blue", (0, 0, 96, 32))
        labels.save(tmp_path / "labels.png")
    (tmp_path / "recipe.yaml").write_text(
        "content: photo.jpg\nstyles: {ink: ink.jpg, strokes: strokes.jpg}\nregions:\n"
        "  - {name: land, mask: rest, style: ink}\n  - {name: sky, mask: sky.png, style: strokes}\n"
    )
    for name in ("poster", "a", "b"):
        (tmp_path / f"{name}.yaml").write_text("content: photo.jpg\nstyle: ink.jpg\n")
    styles = ("ink", "strokes")
    save_network(make_network(styles), make_card(styles), tmp_path / "styles.safetensors")
    for name in ("recipes", "masks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def draw_third(index: int) -> Image.Image:
    """Draw a layer that is opaque in one of three columns."""
    layer = Image.new("RGBA", (96, 64))
    ImageDraw.Draw(layer).rectangle((32 * index, 0, 32 * index + 31, 63), "red")
    return layer


def paint_layers(folder: Path) -> None:
    """Paint the layers of scene.ora, as the pages ask the reader to do between two commands."""
    with Image.open(folder / "photo.jpg") as photo:
        layers = [(CONTENT_LAYER, photo.convert("RGBA"))]
        layers += [(name, draw_third(index)) for index, name in enumerate(("sky", "sea", "boat"))]
        write_openraster(folder / "scene.ora", layers, photo)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, folder: Path) -> None:
    """In the page's order, at the smallest sizes, except those that are marked to be parsed only."""
    for block, words in COMMANDS:
        if block.page == page and not block.reason and words[0] != "pip":
            assert words[0] == "guidedstyle"
            done = run(*words[1:], *SMALL.get(words[1], ()), folder=folder)
            assert done.returncode == 0, (words, done.stderr)
            if words[1:3] == ["mask", "new"]:
                paint_layers(folder)
            written = [words[at + 1] for at, word in enumerate(words) if word in ("-o", "--report", "--timelapse")]
            assert all((folder / name).exists() for name in written), words


@pytest.mark.slow
def test_examples_in_help_run(folder: Path) -> None:
    """In the order of the commands; those that need VGG-19, train for an hour or run until Ctrl-C are left out."""
    for name, command in list_commands(typer.main.get_command(app)):
        (example,) = re.findall(r"Example: guidedstyle (.*)", command.help)
        if name not in ("train", "train distil", "train fast", "evaluate", "watch", "mask"):
            words = next(split_commands(example))
            done = run(*words, *SMALL.get(words[0], ()), folder=folder)
            assert done.returncode == 0, (words, done.stderr)


def list_commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """List groups and commands with their names."""
    for key, inner in command.commands.items():
        yield f"{name} {key}".strip(), inner
        if hasattr(inner, "commands"):
            yield from list_commands(inner, key)


@pytest.mark.parametrize("block", read_blocks("yaml"), ids=lambda block: block.page)
def test_recipes_are_valid(block: Block, folder: Path) -> None:
    (folder / "block.yaml").write_text(block.text)
    assert guidedstyle.check(folder / "block.yaml").shares


@pytest.mark.parametrize("program", read_blocks("python"), ids=lambda block: block.page)
def test_python_programs_run(program: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(program.text.replace('"size": 512', '"size": 96, "solver.steps": 4'), {})
    assert (folder / "out.png").exists()


def test_pages_have_a_line_for_every_key() -> None:
    """Update them with `python tests/programs/write_key_tables.py`."""
    for page, table in split_table().items():
        assert read_table(page) == table
    written = "".join(split_table().values())
    assert sorted(written.splitlines()) == sorted((write_table().strip() + "\n\n").splitlines())
    assert all(f"| `{key.name}` |" in written for keys in list_keys().values() for key in keys)


@pytest.mark.parametrize("page", [*PAGES, "tests/programs/README.md", "guidedstyle/encoders/lite.md"])
def test_links_have_targets(page: str) -> None:
    for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"(?m)^#+ (.+)$", target.read_text(encoding="utf-8"))
            assert anchor in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], link


def test_first_page_is_short() -> None:
    text = (ROOT / "README.md").read_bytes()
    assert len(text.splitlines()) <= 150
    assert len(text) <= 9000


def test_first_page_names_every_room() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "guidedstyle").glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}`" not in text} == set()
