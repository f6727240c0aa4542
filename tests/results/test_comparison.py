"""Comparisons: every image is on the sheet, and exactly the differences of their recipes are listed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import run
from support.images import draw_image

from guidedstyle.recipe.schema import make_schema
from guidedstyle.results.comparison import FILE_KEYS
from guidedstyle.results.sheets import CELL, MARGIN

pytestmark = pytest.mark.slow

RECIPE = """
content: photo.png
styles: {ink: ink.png, oil: oil.png}
regions:
  - {name: right, mask: rest, style: ink}
  - {name: left, mask: left.png, style: {oil: 0.75, ink: 0.25}}
solver: {steps: 2}
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a content image, two style images, a mask and two renders, the second in a subfolder."""
    folder = tmp_path_factory.mktemp("rendered")
    for seed, name in enumerate(("photo", "ink", "oil")):
        draw_image(96, 64, seed).save(folder / f"{name}.png")
    Image.fromarray(np.uint8(255 * (np.indices((64, 96))[1] < 48))).save(folder / "left.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "further" / "down").mkdir(parents=True)
    changed = ("--set", "regions.left.strength=2", "--seed", 3, "-o", "further/down/two.png")
    assert run("render", "recipe.yaml", "-o", "one.png", "-q", folder=folder).returncode == 0
    assert run("render", "recipe.yaml", *changed, "-q", folder=folder).returncode == 0
    return folder


@pytest.fixture
def folder(rendered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rendered, tmp_path / "work")


def compare(folder: Path, *images: object) -> dict[str, Any]:
    done = run("compare", *images, "--json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read_json(image: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(image.with_name(image.name + ".json").read_text())
    return found


def change_record(folder: Path, name: str, change: object) -> None:
    """Copy the first image and its record, and change the record."""
    shutil.copy(folder / "one.png", folder / name)
    record = read_json(folder / "one.png")
    change(record)
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_only_differences_are_listed_and_a_missing_key_is_null(folder: Path) -> None:
    found = compare(folder, "one.png", "further/down/two.png")
    assert found["recipe"] == {"regions.left.strength": [None, 2.0], "solver.seed": [0, 3]}
    assert (found["files"], found["machine"], found["versions"]) == ({}, {}, {})


def test_results_are_those_of_the_records(folder: Path) -> None:
    found = compare(folder, "one.png", "further/down/two.png")["results"]
    for index, image in enumerate(("one.png", "further/down/two.png")):
        record = read_json(folder / image)
        assert found["total"][index] == record["losses"]["total"]
        assert found["regions.left.style"][index] == record["losses"]["regions"]["left"]["style"]
        assert found["regions.right.content"][index] == record["losses"]["regions"]["right"]["content"]
        assert found["seconds"][index] == record["result"]["seconds"]
        assert found["steps"][index] == 2


def test_without_a_record_the_recipe_in_the_image_is_read(folder: Path) -> None:
    (folder / "further" / "down" / "two.png.json").unlink()
    found = compare(folder, "one.png", "further/down/two.png")
    assert found["recipe"] == {"regions.left.strength": [None, 2.0], "solver.seed": [0, 3]}
    assert [image["recipe"] for image in found["pictures"]] == ["record", "picture"]
    assert found["results"]["total"] == [read_json(folder / "one.png")["losses"]["total"], None]


def test_an_image_without_a_recipe_is_listed_and_makes_no_difference(folder: Path) -> None:
    found = compare(folder, "photo.png", "one.png", "further/down/two.png")
    assert found["pictures"][0] == {"file": "photo.png", "recipe": None}
    assert found["recipe"] == {"regions.left.strength": [None, None, 2.0], "solver.seed": [None, 0, 3]}
    reported = run("compare", "photo.png", "one.png", folder=folder).stdout
    assert "1  photo.png  no recipe" in reported
    assert "The recipes do not differ." in reported


def test_another_file_of_the_same_name_differs_and_another_path_to_the_same_file_does_not(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "further")
    shutil.copy(folder / "ink.png", folder / "further" / "ink.png")

    def change_paths(record: dict[str, Any]) -> None:
        record["recipe"]["content"] = "link/../photo.png"
        record["recipe"]["styles"]["oil"]["image"] = str(folder / "link" / "down" / ".." / ".." / "oil.png")
        record["recipe"]["styles"]["ink"]["image"] = "link/ink.png"

    change_record(folder, "other.png", change_paths)
    found = compare(folder, "one.png", "other.png")["recipe"]
    assert found == {"styles.ink.image": ["ink.png", "further/ink.png"]}


def list_paths(schema: object) -> Iterator[str]:
    """List the keys of a schema whose values are files."""
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        yield from (key for key, about in properties.items() if '"format": "path"' in json.dumps(about))
        for part in schema.values():
            yield from list_paths(part)


def test_keys_that_name_files_are_those_of_the_schema() -> None:
    assert set(list_paths(make_schema())) == FILE_KEYS | {"output"}


def test_regions_are_compared_by_name_and_their_order_is_a_difference(folder: Path) -> None:
    def reverse(record: dict[str, Any]) -> None:
        record["recipe"]["regions"].reverse()
        record["recipe"]["regions"][0]["border"] = "2%"
        record["inputs"]["regions.0.mask"] = record["inputs"].pop("regions.1.mask")

    change_record(folder, "reversed.png", reverse)
    found = compare(folder, "one.png", "reversed.png")
    assert found["recipe"] == {
        "regions": [["right", "left"], ["left", "right"]],
        "regions.left.border": ["0.5%", "2%"],
    }
    assert found["files"] == {}


def test_versions_and_machines_are_listed_where_they_differ(folder: Path) -> None:
    def move(record: dict[str, Any]) -> None:
        record["versions"]["torch"] = "2.6.0"
        record["plan"]["precision"] = "float16"

    change_record(folder, "moved.png", move)
    found, record = compare(folder, "one.png", "moved.png"), read_json(folder / "one.png")
    assert found["versions"] == {"torch": [record["versions"]["torch"], "2.6.0"]}
    assert found["machine"] == {"precision": [record["plan"]["precision"], "float16"]}
    assert found["recipe"] == {}


def test_a_recipe_without_a_format_has_the_first(folder: Path) -> None:
    change_record(folder, "old.png", lambda record: record["recipe"].pop("format"))
    change_record(folder, "first.png", lambda record: record["recipe"].update(format=1))
    change_record(folder, "new.png", lambda record: record["recipe"].update(format=9))
    assert compare(folder, "first.png", "old.png")["recipe"] == {}
    assert compare(folder, "old.png", "new.png")["recipe"] == {"format": [1, 9]}


def test_files_that_changed_between_two_renders_are_listed(folder: Path) -> None:
    changed = [folder / "oil.png", folder / "left.png"]
    before = [hashlib.sha256(file.read_bytes()).hexdigest() for file in changed]
    draw_image(90, 60, 9).save(changed[0])
    Image.fromarray(np.uint8(255 * (np.indices((64, 96))[1] < 40))).save(changed[1])
    assert run("render", "recipe.yaml", "-o", "later.png", "-q", folder=folder).returncode == 0
    after = [hashlib.sha256(file.read_bytes()).hexdigest() for file in changed]
    found = compare(folder, "one.png", "later.png")
    hashes = zip(changed, before, after, strict=True)
    assert found["files"] == {file.name: [f"sha256:{one}", f"sha256:{other}"] for file, one, other in hashes}
    assert found["recipe"] == {}


def test_every_image_is_on_the_sheet_in_order(tmp_path: Path) -> None:
    colours = {"red.png": (255, 0, 0), "green.jpg": (0, 128, 0), "blue.tif": (0, 0, 255)}
    for name, colour in colours.items():
        Image.new("RGB", (60, 60), colour).save(tmp_path / name)
    assert run("compare", *colours, "-o", "sheet.png", folder=tmp_path).returncode == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"), np.int16)
    assert sheet.shape[1] == 3 * CELL + 4 * MARGIN
    for index, colour in enumerate(colours.values()):
        middle = sheet[-CELL // 2, MARGIN + index * (CELL + MARGIN) + CELL // 2]
        assert np.abs(middle - colour).max() <= 2


def print_comparison(folder: Path, width: int, *images: str) -> list[str]:
    command = [sys.executable, "-m", "guidedstyle", "compare", *images, "-o", "sheet.png"]
    environment = os.environ | {"COLUMNS": str(width)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def read_rows(lines: list[str], count: int) -> dict[str, list[str]]:
    """Parse a table by the columns of its heads: cells by key; further lines of a key are indented more."""
    head = next(line for line in lines if line.split() == [str(number + 1) for number in range(count)])
    edges = [0, *(head.index(str(number + 1)) for number in range(count)), 999]
    rows: list[list[str]] = []
    for line in lines[lines.index(head) + 1 :]:
        cells = [line[start:end].strip() for start, end in pairwise(edges)]
        if line.startswith("    ") and rows:
            rows[-1] = [one + other for one, other in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return {key: cells for key, *cells in rows}


def test_a_table_of_four_images_with_long_names_fits_80_columns(folder: Path) -> None:
    def rename(record: dict[str, Any]) -> None:
        record["recipe"]["solver"]["seed"] = 7
        record["recipe"]["content"] = "a-photograph-of-a-rather-long-name.png"
        record["recipe"]["regions"][0] |= {"name": "a region of a rather long name", "content_strength": 0.125}

    names = [f"{'a-rather-long-name-' * 4}{number}.png" for number in (1, 2)]
    for name in names:
        change_record(folder, name, rename)
    images = ["one.png", "further/down/two.png", *names]
    lines = print_comparison(folder, 80, *images)
    assert [line.split()[:2] for line in lines[:4]] == [[str(n), name] for n, name in enumerate(images, 1)]
    assert max(len(line) for line in lines[4:]) <= 80
    assert not any("…" in line for line in lines)
    rows = {key.replace(" ", ""): cells for key, cells in read_rows(lines[4:-1], 4).items()}
    assert min(len(line) - len(line.lstrip()) for line in lines[4:] if line.split() == ["1", "2", "3", "4"]) <= 30
    assert rows["solver.seed"] == ["0", "3", "7", "7"]
    assert rows["content"] == ["photo.png"] * 2 + ["a-photograph-of-a-rather-long-name.png"] * 2
    assert rows["regions.left.strength"] == ["-", "2", "-", "-"]
    assert rows["regions.aregionofaratherlongname.content_strength"] == ["-", "-", "0.125", "0.125"]


def test_more_images_than_fit_side_by_side_are_split_into_tables(folder: Path) -> None:
    names = [f"{number}.png" for number in range(10)]
    for number, name in enumerate(names):
        change_record(folder, name, lambda record, seed=number: record["recipe"]["solver"].update(seed=seed))
    lines = print_comparison(folder, 80, *names)
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines[10:] if set(line) <= set(" 0123456789")]
    assert [number for head in heads for number in head] == [str(number) for number in range(1, 11)]
    seeds = [line.split()[1:] for line in lines if "solver.seed" in line]
    assert [seed for row in seeds for seed in row] == [str(number) for number in range(10)]


@pytest.mark.parametrize("text", ["{}", '{"title": "IMG_1.jpg"}', "[1, 2]"])
def test_the_json_of_another_program_is_not_a_record(folder: Path, text: str) -> None:
    (folder / "photo.png.json").write_text(text)
    assert compare(folder, "photo.png", "one.png")["pictures"][0]["recipe"] is None


HALF = r'{"recipe": {"content": "\ud800"}}'  # a lone surrogate


@pytest.mark.parametrize(
    "broken", ["", '{"recipe": {', '{"recipe": 3}', '{"recipe": {}, "inputs": [1]}', "\ud800", HALF]
)
def test_a_damaged_record_is_an_error_with_a_hint_and_nothing_is_written(folder: Path, broken: str) -> None:
    (folder / "one.png.json").write_bytes(broken.encode(errors="surrogatepass"))
    done = run("compare", "one.png", "photo.png", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "one.png.json: this record is damaged" in done.stderr
    assert "remove this file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "compare.png").exists()


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_impossible_file_names_are_compared_as_text(folder: Path, name: str) -> None:
    record = {"recipe": {"content": name}, "inputs": {"content": "sha256:1"}}
    (folder / "photo.png.json").write_text(json.dumps(record))
    for _ in range(2):  # the second time the sheet exists, and must not count as one of their files
        assert compare(folder, "photo.png", "one.png")["recipe"]["content"] == [name, "photo.png"]


def test_a_damaged_recipe_in_an_image_is_an_error(folder: Path) -> None:
    from guidedstyle.io.images.writing import save_image
    from guidedstyle.io.ownership import RECIPE_KEY

    save_image(Image.open(folder / "photo.png"), folder / "odd.png", (RECIPE_KEY, "only words"))
    done = run("compare", "odd.png", "photo.png", folder=folder)
    assert done.returncode == 2
    assert "odd.png: the recipe in it is damaged" in done.stderr


def test_errors_of_all_images_are_reported_together(folder: Path) -> None:
    (folder / "one.png.json").write_text("{")
    done = run("compare", "one.png", "recipe.yaml", "gone.png", folder=folder)
    assert done.returncode == 2
    assert "one.png.json: this record is damaged" in done.stderr
    assert "recipe.yaml: this is not an image that can be read" in done.stderr
    assert "gone.png: there is no such file" in done.stderr
    assert done.stderr.endswith("3 errors. Nothing was written.\n")


def test_one_image_is_too_few(folder: Path) -> None:
    done = run("compare", "one.png", folder=folder)
    assert done.returncode == 2
    assert "compare: it takes two images or more" in done.stderr


@pytest.mark.parametrize("output", ["one.png", "further/../one.png", "photo.png", "oil.png"])
def test_the_sheet_overwrites_none_of_its_inputs(folder: Path, output: str) -> None:
    before = (folder / output).read_bytes()
    done = run("compare", "one.png", "further/down/two.png", "-o", output, folder=folder)
    assert done.returncode == 2
    assert f"--output: {output} would overwrite" in done.stderr
    assert (folder / output).read_bytes() == before
