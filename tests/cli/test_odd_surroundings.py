"""Unusual surroundings of a command: files next to its images, closed or odd outputs, a removed working folder."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_server import CommandServer, write_images
from support.commands import run

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import load_recipe
from guidedstyle.results.record import find_record

RECIPE = "content: photo.png\nstyle: ink.png\n"
TINY = ("--size", "32", "--steps", "2", "--device", "cpu", "--set", "solver.tolerance=0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_images(tmp_path_factory.mktemp("rendered"))
    (folder / "r.yaml").write_text(f"{RECIPE}size: 32\nsolver: {{steps: 2, tolerance: 0}}\n")
    assert run("render", "r.yaml", "--device", "cpu", folder=folder).returncode == 0
    return folder


@pytest.fixture
def rendered(once: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(once, tmp_path / "copy")
    assert find_record(load_recipe(folder / "r.yaml"))
    return folder


def make_pipe(file: Path) -> None:
    os.mkfifo(file)


def make_vast(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(6 * 2**30)


def nest(file: Path) -> None:
    file.write_text("[" * 200_000)


ODD_RECORDS = {"a pipe": make_pipe, "6 GiB": make_vast, "nested": nest, "a folder": Path.mkdir}


@pytest.mark.skipif(os.name != "posix", reason="only there are pipes among files")
@pytest.mark.parametrize("kind", ODD_RECORDS)
def test_a_damaged_record_is_reported_at_once(server: CommandServer, folder: Path, kind: str) -> None:
    ODD_RECORDS[kind](folder / "photo.png.json")
    (reported,) = server.refuse(folder, "compare", "photo.png", "ink.png")
    assert reported.startswith("photo.png.json: this record is damaged ")


@pytest.mark.skipif(os.name != "posix", reason="only there are pipes among files")
@pytest.mark.parametrize("kind", ODD_RECORDS)
def test_a_damaged_record_does_not_count_as_a_finished_image(rendered: Path, kind: str) -> None:
    (rendered / "r.png.json").unlink()
    ODD_RECORDS[kind](rendered / "r.png.json")
    assert find_record(load_recipe(rendered / "r.yaml")) is None


@pytest.mark.parametrize(
    "part",
    [
        {"losses": {}},
        {"result": {"finished": True}},
        {"result": {"finished": True, "reason": "", "steps": 2, "seconds": "3"}},
        {"notes": 3},
        {"inputs": []},
    ],
)
def test_an_incomplete_record_does_not_count_as_a_finished_image(rendered: Path, part: dict[str, object]) -> None:
    record = rendered / "r.png.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | part))
    assert find_record(load_recipe(rendered / "r.yaml")) is None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", [("check",), pytest.param(("render", *TINY), marks=pytest.mark.slow)])
def test_characters_that_the_terminal_cannot_encode_are_escaped(
    folder: Path, command: tuple[str, ...], encoding: str
) -> None:
    (folder / "r.yaml").write_text(
        "content: photo.png\nstyles: {ink: ink.png}\nregions: [{name: ☃, mask: all, style: ink}]\noutput: ☃.png\n",
        encoding="utf-8",
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    call = [sys.executable, "-m", "guidedstyle", command[0], "r.yaml", *command[1:]]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, timeout=300)
    assert (done.returncode, b"\\u2603" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
def test_json_is_valid_in_every_encoding_of_the_output(folder: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    call = [sys.executable, "-m", "guidedstyle", "render", "r.yaml", *TINY, "--json-progress", "-o", "☃.png"]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout.splitlines()[-1])["output"].endswith("☃.png")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell of that kind closes them")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("flag", ["--json-progress", ""])
def test_closed_outputs_do_not_stop_a_render(folder: Path, closed: str, flag: str) -> None:
    call = f'"{sys.executable}" -m guidedstyle render r.yaml {" ".join(TINY)} {flag} {closed}'
    assert subprocess.run(call, cwd=folder, shell=True, capture_output=True, timeout=300).returncode == 0
    with Image.open(folder / "r.png") as picture:
        assert picture.size == (32, 21)


@pytest.mark.skipif(os.name != "posix", reason="a shell of that kind closes them")
def test_no_file_gets_the_descriptor_of_a_closed_output() -> None:
    code = (
        "import os; from guidedstyle.run.interrupts import ignore_closed_terminal as ignore; ignore(); "
        "print(os.open('/', os.O_RDONLY))"
    )
    call = f'"{sys.executable}" -c "{code}" 2>&- <&-'
    assert int(subprocess.run(call, shell=True, stdout=subprocess.PIPE, check=True).stdout) > 2


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the folder that one is in cannot be removed")
def test_a_removed_working_folder_is_reported(folder: Path) -> None:
    (folder / "gone").mkdir()
    call = f'cd gone; rmdir ../gone; exec "{sys.executable}" -m guidedstyle check {folder}/r.yaml'
    done = subprocess.run(call, cwd=folder, shell=True, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working folder: it was removed\n    hint: change to another one (cd)\n")


@pytest.mark.parametrize("role", ["content: photo.png\nstyle: bad.tif\n", "content: bad.tif\nstyle: ink.png\n"])
def test_values_that_are_not_numbers_are_reported(server: CommandServer, folder: Path, role: str) -> None:
    Image.fromarray(np.full((64, 96), np.nan, np.float32)).save(folder / "bad.tif")
    (folder / "a.yaml").write_text(role)
    assert "some of its values are not numbers" in server.refuse(folder, "check", "a.yaml")[0]


def test_a_mask_of_another_shape_is_refused_before_it_is_decoded(server: CommandServer, folder: Path) -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 20_000, 20_000, 0x80, 0, 0) + bytes(6)
    image = b"," + struct.pack("<HHHHB", 0, 0, 16, 16, 0) + b"\x02\x02\x44\x01\x00;"
    (folder / "bad.gif").write_bytes(screen + image)
    regions = "regions: [{name: a, mask: bad.gif, style: ink}, {name: b, mask: rest, style: ink}]"
    (folder / "a.yaml").write_text(f"content: photo.png\nstyles: {{ink: ink.png}}\n{regions}\n")
    (reported,) = server.refuse(folder, "check", "a.yaml")
    assert "the mask is 20000 x 20000 px, its image 96 x 64" in reported


def time_errors(recipe: Path, count: int) -> float:
    """Measure the processor time, in seconds, to report `count` errors."""
    began = time.process_time()
    with pytest.raises(GuidedStyleError) as reported:
        load_recipe(recipe)
    assert len(reported.value.problems) == count
    return time.process_time() - began


@pytest.mark.parametrize("keys", ["k{}: 1\n", "k{}:\n"], ids=["unknown", "empty"])
def test_the_time_to_report_errors_grows_with_their_number(folder: Path, keys: str) -> None:
    seconds = []
    for count in (1500, 6000):
        (folder / "a.yaml").write_text(RECIPE + "".join(keys.format(number) for number in range(count)))
        seconds.append(min(time_errors(folder / "a.yaml", count) for _ in range(3)))  # others only slow it down
    assert seconds[1] < 7 * seconds[0]  # 4 if it grows linearly, 16 if each is compared with all others


def test_too_many_styles_are_reported_before_they_are_opened(server: CommandServer, folder: Path) -> None:
    style_images = "".join(f"  s{number}: ink.png\n" for number in range(257))
    (folder / "a.yaml").write_text(f"content: photo.png\nstyles:\n{style_images}")
    (reported,) = server.refuse(folder, "check", "a.yaml")
    assert "has too many entries\n    styles must have at most 256" in reported


@pytest.mark.parametrize("command", [("watch",), ("sweep", "--vary", "size=32")], ids=["watch", "sweep"])
@pytest.mark.parametrize("name", [".", "", "/"])
def test_a_folder_is_not_a_recipe(server: CommandServer, folder: Path, command: tuple[str, ...], name: str) -> None:
    server.refuse(folder, command[0], name, *command[1:])


def test_a_name_that_looks_like_an_emoji_code_is_printed_as_it_is(folder: Path) -> None:
    regions = 'regions: [{name: ":smile:", mask: all, style: ink}]'
    (folder / "r.yaml").write_text(f"content: photo.png\nstyles: {{ink: ink.png}}\n{regions}\n")
    assert ":smile:" in run("check", "r.yaml", folder=folder).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("r.yaml", "--content", "photo.png", "-o", "new/deep", "--set", "size=-1"),
        ("r.yaml", "none.yaml", "-o", "new", "--timelapse", "film.mp4"),
    ],
)
def test_errors_leave_no_folder(server: CommandServer, folder: Path, arguments: tuple[str, ...]) -> None:
    server.refuse(folder, "render", *arguments)


@pytest.mark.slow
def test_a_dry_run_leaves_no_folder(folder: Path) -> None:
    done = run("render", "r.yaml", "--content", "photo.png", "-o", "new/deep", "--dry-run", folder=folder)
    assert (done.returncode, (folder / "new").exists()) == (0, False), done.stderr


@pytest.mark.parametrize("name", ["x" * 231 + ".ora", "x" * 198 + ".ora", "sc\nene.ora", "a\u202eb.psd"])
def test_documents_whose_recipe_could_not_be_read_are_refused(server: CommandServer, folder: Path, name: str) -> None:
    (reported,) = server.refuse(folder, "mask", "new", "photo.png", "--regions", "a,b", "-o", name)
    assert reported.startswith("--output: ")
