"""The comparison of encoders: its scenes, its contact sheet and its command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cases import DATA, SQUEEZENET_WEIGHTS, WEIGHTS, needs_data
from support.commands import run

from guidedstyle.encoders.weights import load_by_name
from guidedstyle.evaluation.comparison import open_scenes
from guidedstyle.evaluation.second_judge import SecondJudge
from guidedstyle.io.images.reading import to_array
from guidedstyle.results.sheets import make_sheet

pytestmark = pytest.mark.slow

CONTENT, STYLE = "nspt_tubingen.jpg", "nspt_starry_night.jpg"


def test_contact_sheet_shows_every_image_with_its_label() -> None:
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "blue")
    sheet = np.asarray(make_sheet([[("first", red), ("second", blue)], [("third", blue)]]))
    reds, blues = (np.all(sheet == colour, axis=2).sum() for colour in ((255, 0, 0), (0, 0, 255)))
    assert reds == 320 * 160
    assert blues == 2 * 320 * 160


def test_pairs_of_equal_names_get_different_names(project: Path) -> None:
    (project / "other").mkdir()
    (project / "other" / "photo.png").write_bytes((project / "oil.png").read_bytes())
    pairs = [(project / "photo.png", project / "ink.png"), (project / "other" / "photo.png", project / "ink.png")]
    scenes = open_scenes([], pairs, size=64)
    assert list(scenes) == ["photo-ink", "photo-ink-2"]
    assert not np.array_equal(*(scene.content for scene in scenes.values()))


def print_table(folder: Path, *options: object) -> list[list[str]]:
    """Run the command and return the cells of its table."""
    done = run("evaluate", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in done.stdout.splitlines()]


@needs_data
def test_command_prints_a_table_and_saves_its_images(tmp_path: Path) -> None:
    images = DATA / "images"
    pairs = [f"{images / content},{images / STYLE}" for content in (CONTENT, "nspt_golden_gate.jpg")]
    options = ("--teacher", WEIGHTS, "--size", 64, "--steps", 2, "--out", "compared")
    lines = print_table(tmp_path, *options, "--pair", pairs[0], "--pair", pairs[1])
    assert lines[0][-1] == "teacher's time"
    assert [line[0] for line in lines[2:]] == [
        "nspt_tubingen-nspt_starry_night",
        "nspt_golden_gate-nspt_starry_night",
        "geometric mean",
    ]
    ratios = [float(line[3]) for line in lines[2:]]
    assert ratios[2] == pytest.approx((ratios[0] * ratios[1]) ** 0.5, abs=0.02)
    assert ratios[0] == pytest.approx(float(lines[2][2]) / float(lines[2][1]), abs=0.02)
    assert len(list((tmp_path / "compared").glob("*.png"))) == 7


@needs_data
def test_a_second_judge_adds_a_column_of_ratios_of_what_it_measures(tmp_path: Path) -> None:
    """The images are read back, so the ratios are those of images of 8 bits."""
    images = DATA / "images"
    pairs = [(images / content, images / STYLE) for content in (CONTENT, "nspt_golden_gate.jpg")]
    options = [option for pair in pairs for option in ("--pair", ",".join(map(str, pair)))]
    options += ["--teacher", str(WEIGHTS), "--second-judge", str(SQUEEZENET_WEIGHTS), "--size", "64", "--steps", "6"]
    lines = print_table(tmp_path, *options, "--out", "compared")
    assert lines[0][-2:] == ["teacher's time", "second judge"]
    assert {len(line) for line in lines} == {len(lines[0])}
    judge = SecondJudge(load_by_name("squeezenet", SQUEEZENET_WEIGHTS))
    ratios = [float(line[-1]) for line in lines[2:]]
    assert ratios[2] == pytest.approx((ratios[0] * ratios[1]) ** 0.5, abs=0.02)
    for (name, scene), ratio in zip(open_scenes([], pairs, size=64).items(), ratios, strict=False):
        files = [tmp_path / "compared" / f"{name}-{label}.png" for label in ("student", "teacher")]
        student, teacher = (judge.measure(scene, to_array(Image.open(file))).mean for file in files)
        assert ratio == pytest.approx(student / teacher, abs=0.03)


@needs_data
def test_weights_of_another_network_are_no_second_judge(tmp_path: Path) -> None:
    pair = f"{DATA / 'images' / CONTENT},{DATA / 'images' / STYLE}"
    options = ("--teacher", WEIGHTS, "--second-judge", WEIGHTS, "--pair", pair, "--out", "out")
    done = run("evaluate", *options, folder=tmp_path)
    assert done.returncode == 2
    assert f"{WEIGHTS}: " in done.stderr
    assert "squeezenet" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (("--pair", "no.jpg,nor.jpg"), ("no.jpg", "nor.jpg")),
        (("--pair", "no.jpg"), ("--pair: 'no.jpg' is not two files",)),
        ((), ("evaluate: there is nothing to compare on",)),
        (("--pair", "no.jpg,nor.jpg", "--second-convention", "caffe"), ("--second-convention: 'caffe' is unknown",)),
    ],
)
def test_errors_are_reported_without_a_traceback(
    options: tuple[str, ...], messages: tuple[str, ...], tmp_path: Path
) -> None:
    done = run("evaluate", "--teacher", "none.pth", *options, "--out", "out", folder=tmp_path)
    assert done.returncode == 2
    assert all(message in done.stderr for message in messages)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
