"""Every flag of every command with every kind of invalid value."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from support.command_server import CommandServer, list_files, write_images

from guidedstyle.cli.main import app

BASES = {  # by command: valid arguments
    "quick": ["photo.png", "ink.png"],
    "render": ["a.yaml"],
    "sweep": ["a.yaml", "--vary", "smoothness=1,2"],
    "watch": ["a.yaml"],
    "compare": ["photo.png", "ink.png"],
    "check": ["a.yaml"],
    "masks": ["a.yaml"],
    "bench": [],
    "doctor": [],
    "schema": [],
    "init": ["new"],
    "mask new": ["photo.png", "--regions", "sky,sea", "-o", "new.ora"],
    "mask show": ["a.yaml"],
    "mask suggest": ["photo.png", "-o", "new.ora"],
}
NO_NUMBERS = ["", "x", "nan", "inf", "1e400", "1,5", "☃", "--"]
NO_IMAGES = [
    "",
    "out",
    "out.txt",
    "out.png.exe",
    ".",
    "a.yaml/out.png",
    f"{'x' * 300}.png",
    "photo.png",
]
NO_WHOLE = [*NO_NUMBERS, "1.5", "-1", "9" * 30]
NUMBERS = ("--size", "--steps", "--seed", "--max-memory", "--largest", "--repeats")
NO_INTERVAL = ["", "0", "-5", "x", "5m", "nan", "0s", "infs", "1e3"]
NO_SETTINGS = [
    "",
    "=",
    "size",
    "size=",
    "=3",
    "solver.rate=-3",
    "solver.rate=.nan",
    "sise=300",
    "regions.5.keep=true",
    "size=[",
    "a\tb=\x1b[31m",
]
NO_DOCUMENTS = ["", "new", "new.png", ".", "a.yaml/new.ora", f"{'x' * 300}.ora", "ink.ora"]
VALUES: dict[str, list[str]] = {  # by flag, and by command and flag where it means something else
    "--output": NO_IMAGES,
    "--content": ["", "gone.jpg", "*.nothing", "empty", "a.yaml", "left.png/photo.png"],
    "--size": [*NO_WHOLE, "0", "15", "32769"],
    "--steps": [*NO_WHOLE, "0", "100001"],
    "--seed": [*NO_WHOLE, str(2**63)],
    "--device": ["", "gpu", "cpu:1", "meta", "cuda:", "cuda:x", "CPU", "cuda:1000"],
    "--tile": ["", "x", "0", "63", "8193", "-64", "1.5", "nan", "٦٤٠"],
    "--max-memory": [*NO_NUMBERS, "0", "-1", "1e300"],
    "--fast": ["", "gone.safetensors", "empty", "a.yaml", "photo.png"],
    "--encoder": ["", "resnet", "vgg", "3"],
    "--set": [setting for setting in NO_SETTINGS if setting != "size="],
    "--preview-every": NO_INTERVAL,
    "--checkpoint-every": NO_INTERVAL,
    "--save-every": [every for every in NO_INTERVAL if every],
    "--timelapse": ["", "film", "film.mkv", "a.yaml/film.mp4", "folder.mp4"],
    "--profile": ["", "Foo", "photo.icc", "3"],
    "--depth": [*NO_WHOLE, "0", "12", "32"],
    "--quality": [*NO_WHOLE, "0", "101"],
    "--subsampling": ["", "4:1:1", "420", "444 "],
    "--report": ["", "page", "page.pdf", "a.yaml/page.html", "folder.html"],
    "--vary": ["", "size", "size=", "=1,2", "size=3,64", "size=[", "size=nan", "output=a.png"],
    "--style": ["", "gone.jpg", "empty", "a.yaml"],
    "--strength": [*NO_NUMBERS, "-1", "1e7"],
    "--colour": ["", "blue", "Keep", "content"],
    "--mask": ["", "gone.png", "empty", "a.yaml", "ink.png"],
    "init --content": ["gone.jpg", "empty", "a.yaml"],
    "quick --output": [value for value in NO_IMAGES if value not in ("", ".")],
    "--largest": [*NO_WHOLE, "511", "16385"],
    "--repeats": [*NO_WHOLE, "2"],
    "--weights": ["", "gone.pth", "empty"],
    "watch --fast": ["", "gone.safetensors", "empty"],  # it waits for others to be mended
    "sweep --output": ["a.yaml", "a.yaml/out"],
    "mask new --output": NO_DOCUMENTS,
    "mask suggest --output": NO_DOCUMENTS,
    "mask new --regions": [
        "",
        ",",
        "sky,sky",
        "sky,",
        "photograph",
        "rest",
        "x" * 81,
        "\x1b[31m",
        ",".join(map(str, range(65))),
    ],
    "mask suggest --regions": [*NO_WHOLE, "0", "1", "65"],
}


def list_flags() -> Iterator[tuple[str, str, bool]]:
    """List every option of every command: the command, its name, and whether it is a mere flag without a value."""

    def walk(command: object, name: str) -> Iterator[tuple[str, str, bool]]:
        for key, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {key}".strip())
        for option in command.params if name in BASES else ():  # type: ignore[attr-defined]
            if option.param_type_name == "option" and option.name != "help":
                yield name, max(option.opts, key=len), option.is_flag

    yield from walk(typer.main.get_command(app), "")


FLAGS = list(list_flags())
CASES = [
    pytest.param(command, flag, value, id=f"{command} {flag} {index}")
    for command, flag, bare in FLAGS
    if not bare
    for index, value in enumerate(VALUES.get(f"{command} {flag}", VALUES.get(flag, [])))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_images(tmp_path_factory.mktemp("project"))
    (folder / "a.yaml").write_text("content: photo.png\nstyle: ink.png\n")
    (folder / "ink.ora").write_bytes((folder / "ink.png").read_bytes())
    for name in ("empty", "folder.mp4", "folder.html"):
        (folder / name).mkdir()
    return folder


def refuse(server: CommandServer, folder: Path, *arguments: str) -> str:
    return " ".join(server.refuse(folder, *arguments))


def test_every_flag_is_tried() -> None:
    assert {command for command, _, _ in FLAGS} >= BASES.keys() - {"init"}
    untried = [flag for flag in FLAGS if not flag[2] and not ({flag[1], f"{flag[0]} {flag[1]}"} & VALUES.keys())]
    assert not untried


@pytest.mark.parametrize(("command", "flag", "value"), CASES)
def test_an_invalid_value_of_a_flag_is_an_error(
    server: CommandServer, folder: Path, command: str, flag: str, value: str
) -> None:
    base = list(BASES[command])
    if flag in base:
        del base[base.index(flag) : base.index(flag) + 2]
    reported = refuse(server, folder, *command.split(), *base, f"{flag}={value}")
    assert flag not in NUMBERS or value in reported
    assert flag in reported or Path(value).name[:40] in reported or reported.startswith(f"{Path(value).parent}: "), (
        reported
    )


@pytest.mark.parametrize(("command", "flag", "bare"), FLAGS)
def test_a_flag_with_a_missing_or_surplus_value_is_an_error(
    server: CommandServer, folder: Path, command: str, flag: str, bare: bool
) -> None:
    reported = refuse(server, folder, *command.split(), *BASES[command], f"{flag}=3" if bare else flag)
    assert flag in reported


@pytest.mark.parametrize("command", BASES)
def test_an_unknown_flag_or_argument_is_an_error(server: CommandServer, folder: Path, command: str) -> None:
    assert "--nonsense" in refuse(server, folder, *command.split(), *BASES[command], "--nonsense")
    if command not in ("render", "compare"):  # which take any number
        assert "surplus" in refuse(server, folder, *command.split(), *BASES[command], "surplus")


@pytest.mark.parametrize("command", ["render", "check"])
def test_a_real_process_does_the_same(folder: Path, command: str) -> None:
    before = list_files(folder)
    arguments = [sys.executable, "-m", "guidedstyle", command, "a.yaml", "--set", "size=\x1b[31m"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, list_files(folder)) == (2, "", before)
    assert re.search(r"error: --set size=.*\n {4}hint: \S.*\n1 error\. Nothing was written\.\n", done.stderr)
    assert "\x1b" not in done.stderr
