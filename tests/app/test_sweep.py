"""Sweeps: every combination rendered once, a sheet and a table of all, and nothing rendered twice."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import run
from support.processes import spawn, wait_for
from torch import Tensor

from guidedstyle.app.render import Renderer
from guidedstyle.app.sweep import Sweep
from guidedstyle.app.variants import make_variants, parse_axis
from guidedstyle.cli.terminal.reporters import QuietReporter
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.errors import GuidedStyleError, find_worst
from guidedstyle.results.sheets import CELL
from guidedstyle.types import Setting

pytestmark = pytest.mark.slow

RECIPE = "content: photo.png\nstyle: ink\nstyles: {ink: ink.png}\nsolver: {steps: 2}\n"
GRID = ("--vary", "styles.ink.scale=0.5,1", "--vary", "content_strength=0.5,1,4")


@pytest.fixture
def small(project: Path) -> Path:
    (project / "small.yaml").write_text(RECIPE)
    return project


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_renders_the_grid_with_a_sheet_and_a_table(small: Path) -> None:
    done = run("sweep", "small.yaml", *GRID, folder=small)
    assert done.returncode == 0, done.stderr
    folder, rows = small / "small-sweep", table(small / "small-sweep")
    assert len(rows) == 6
    assert [row["styles.ink.scale"] for row in rows] == ["0.5"] * 3 + ["1"] * 3
    assert [row["content_strength"] for row in rows] == ["0.5", "1", "4"] * 2
    for row in rows:
        record = json.loads((folder / f"{row['file']}.json").read_text())
        assert record["recipe"]["styles"]["ink"]["scale"] == float(row["styles.ink.scale"])
        assert record["recipe"]["content_strength"] == float(row["content_strength"])
        assert float(row["loss: total"]) == pytest.approx(record["losses"]["total"])
        assert float(row["picture: style"]) == pytest.approx(record["losses"]["regions"]["picture"]["style"])
        assert list(row)[-3:] == ["steps", "seconds", "reason"]
        assert (row["steps"], row["reason"]) == ("2", "all steps are done (2)")
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width // CELL == 3
        assert 2 * CELL * 64 / 96 < sheet.height < 2 * CELL
    assert len(list(folder.iterdir())) == 6 * 2 + 2


def test_a_variant_is_what_render_makes_of_the_same_settings(small: Path) -> None:
    assert run("sweep", "small.yaml", *GRID[:2], "-q", folder=small).returncode == 0
    settings = ("--set", "styles.ink.scale=0.5", "-o", "alone.png", "-q")
    assert run("render", "small.yaml", *settings, folder=small).returncode == 0
    swept = np.asarray(Image.open(small / "small-sweep" / "scale=0.5.png"))
    assert (swept == np.asarray(Image.open(small / "alone.png"))).all()


def test_existing_variants_are_not_rendered_again(small: Path) -> None:
    assert run("sweep", "small.yaml", *GRID, folder=small).returncode == 0
    folder = small / "small-sweep"
    written = {file: file.stat().st_mtime_ns for file in folder.glob("*=*.png")}
    again = run("sweep", "small.yaml", *GRID[:2], "--vary", "content_strength=0.5,1,4,9", folder=small)
    assert again.stdout.count("exists already") == 6
    assert len(table(folder)) == 8
    assert all(file.stat().st_mtime_ns == before for file, before in written.items())


@pytest.mark.parametrize("change", ["recipe", "style image", "image gone", "record broken"])
def test_changed_variants_are_rendered_again(small: Path, change: str) -> None:
    assert run("sweep", "small.yaml", "--vary", "solver.seed=1,2", folder=small).returncode == 0
    first = small / "small-sweep" / "seed=1.png"
    if change == "recipe":
        (small / "small.yaml").write_text(RECIPE + "smoothness: 5\n")
    elif change == "style image":
        Image.new("RGB", (80, 80), "red").save(small / "ink.png")
    elif change == "image gone":
        first.unlink()
    else:
        first.with_name(first.name + ".json").write_text("{")
    again = run("sweep", "small.yaml", "--vary", "solver.seed=1,2", folder=small)
    assert again.returncode == 0
    assert again.stdout.count("exists already") == (0 if change in ("recipe", "style image") else 1)


def test_an_interrupted_sweep_continues(small: Path) -> None:
    command = [sys.executable, "-m", "guidedstyle", "sweep", "small.yaml", "--vary", "solver.seed=1,2"]
    slow = ["--set", "solver.steps=60", "--set", "solver.tolerance=0", "--size", "300"]
    process = spawn([*command, *slow], cwd=small)
    first, second = (small / "small-sweep" / f"seed={seed}.png" for seed in (1, 2))
    wait_for(first.with_name(first.name + ".json"), process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert first.exists()
    assert not second.exists()
    assert len(table(small / "small-sweep")) == 1
    again = subprocess.run([*command, *slow], cwd=small, capture_output=True, text=True, timeout=300)
    assert (again.returncode, again.stdout.count("exists already")) == (0, 1)
    assert len(table(small / "small-sweep")) == 2


def note_shapes(method: Callable[..., object], shapes: list[tuple[int, ...]]) -> Callable[..., object]:
    """Note the shape of each image that a method of an encoder is called with."""

    def note(self: ConvEncoder, image: Tensor, *read: object) -> object:
        shapes.append(tuple(image.shape[2:]))
        return method(self, image, *read)

    return note


def test_style_images_are_measured_once_for_all_variants(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further variant encodes the same as the first, except the style image at every octave."""
    encoded: list[tuple[int, ...]] = []
    for name in ("encode", "measure"):
        monkeypatch.setattr(ConvEncoder, name, note_shapes(getattr(ConvEncoder, name), encoded))
    (small / "out").mkdir()
    axes = [parse_axis("content_strength=1,2,4")]
    variants = make_variants(small / "small.yaml", axes, (), folder=small / "out")
    counts = []
    for number in (1, 2, 3):
        encoded.clear()
        monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(small / f"cache{number}"))
        for file in (small / "out").iterdir():
            file.unlink()
        sweep = Sweep(
            variants[:number], columns=3, folder=small / "out", renderer=Renderer("cpu"), reporter=QuietReporter()
        )
        sweep.plan()
        assert not any(sweep.run())
        counts.append(len(encoded))
    assert counts[2] - counts[1] == counts[1] - counts[0] == counts[0] - 3


def test_lists_and_mappings_can_be_varied(small: Path) -> None:
    key, values = parse_axis("style_layers=[relu1_1],[relu1_1, relu2_1],{relu3_1: 2}")
    assert (key, values) == ("style_layers", [["relu1_1"], ["relu1_1", "relu2_1"], {"relu3_1": 2}])
    axes = [(key, values), ("solver.seed", [1, 2])]
    variants = make_variants(small / "small.yaml", axes, (), folder=small)
    assert [dict(v.reading.recipe.style_layers or {}) for v in variants[::2]] == [
        {"relu1_1": 1},
        {"relu1_1": 1, "relu2_1": 1},
        {"relu3_1": 2},
    ]
    assert variants[2].label == "style_layers=[relu1_1, relu2_1], seed=1"
    assert len({variant.output for variant in variants}) == 6
    assert all(variant.output.parent == small for variant in variants)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["content_strength"], "--vary content_strength: this is not KEY=A,B,C"),
        (["content_strength="], "--vary content_strength=: this is not KEY=A,B,C"),
        (["content_strength=[1"], "this is not YAML"),
        (["output=a,b"], "--vary: output cannot be varied"),
        (["solver.seed=1", "solver.seed=2"], "--vary: solver.seed is varied twice"),
        (
            ["styles.ink.scale=1,2", "styles.ink={image: ink.png}"],
            "styles.ink.scale is part of styles.ink",
        ),
        (["solver.seed=" + ",".join("1" * 401)], "--vary: 401 variants are too many"),
        ([f"{key}=" + ",".join("1" * 400) for key in "abcd"], "--vary: 25600000000 variants are too many"),
        (["smothness=1,2"], "--vary smothness=1: smothness: there is no key 'smothness' here"),
        (["styles.ink.scale=1,20,300"], "--vary styles.ink.scale=300: styles.ink.scale: 300 is too large"),
        (["init=content,gone.png"], "there is no file gone.png"),
    ],
)
def test_errors_of_all_variants_are_reported_before_any_is_rendered(
    small: Path, values: list[str], problem: str
) -> None:
    arguments = [part for value in values for part in ("--vary", value)]
    done = run("sweep", "small.yaml", *arguments, folder=small)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(small.rglob("*=*"))


def test_damaged_images_are_reported_before_any_variant_is_rendered(small: Path) -> None:
    (small / "ink.png").write_bytes(b"broken")
    done = run("sweep", "small.yaml", *GRID, folder=small)
    assert (done.returncode, done.stderr.count("this is not an image that can be read")) == (2, 1)


def test_dry_run_lists_the_variants(small: Path) -> None:
    done = run("sweep", "small.yaml", *GRID, "--dry-run", folder=small)
    assert done.stdout.splitlines()[:2] == ["scale=0.5, content_strength=0.5", "scale=0.5, content_strength=1"]
    assert not list(small.rglob("*=*"))


def test_values_with_similar_names_have_files_of_their_own(small: Path) -> None:
    axes = [("init", [{"content": 1, "noise": 2}, {"content": 12}, "content", "style"])]
    names = {variant.output.name for variant in make_variants(small / "small.yaml", axes, (), folder=small)}
    assert len(names) == 4
    long = [("style_layers", [{f"relu{a}_{b}": 1.0 for a in (1, 2, 3) for b in (1, 2)}, ["relu1_1"]])]
    assert all(len(v.output.name) < 200 for v in make_variants(small / "small.yaml", long, (), folder=small))


def test_a_sweep_overwrites_no_input(small: Path) -> None:
    (small / "photo.png").rename(small / "seed=1.png")
    (small / "small.yaml").write_text(RECIPE.replace("photo.png", "seed=1.png"))
    before = (small / "seed=1.png").read_bytes()
    done = run("sweep", "small.yaml", "--vary", "solver.seed=1,2", "-o", ".", folder=small)
    assert done.returncode == 2
    assert "seed=1.png would overwrite content" in done.stderr
    assert (small / "seed=1.png").read_bytes() == before


@pytest.mark.parametrize("arguments", [["--vary", "smothness=1,2"], ["--vary", "solver.seed=1", "--dry-run"]])
def test_no_folder_is_created_if_nothing_is_rendered(small: Path, arguments: list[str]) -> None:
    run("sweep", "small.yaml", *arguments, folder=small)
    assert not (small / "small-sweep").exists()


def test_a_variant_that_cannot_be_rendered_is_reported_before_any_is_rendered(small: Path) -> None:
    done = run("sweep", "small.yaml", "--vary", "octaves=[1],[0, 0, 0, 1]", folder=small)
    assert done.returncode == 2
    assert "none of them has weight" in done.stderr
    assert not (small / "small-sweep").exists()


def test_a_variant_whose_inputs_are_deleted_does_not_stop_the_others(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(small / "cache"))
    (small / "gone.png").write_bytes((small / "photo.png").read_bytes())
    variants = make_variants(small / "small.yaml", [parse_axis("content=photo.png,gone.png,oil.png")], (), folder=small)
    sweep = Sweep(variants, columns=3, folder=small, renderer=Renderer("cpu"), reporter=QuietReporter())
    sweep.plan()
    (small / "gone.png").unlink()
    assert find_worst(sweep.run()) == 2
    said = capsys.readouterr().err
    assert ("content=gone.png: " in said, "gone.png: it cannot be read" in said) == (True, True), said
    assert [row["file"] for row in table(small)] == ["content=photo.png.png", "content=oil.png.png"]


def test_a_varied_loss_control_has_a_column_of_its_own(small: Path) -> None:
    assert run("sweep", "small.yaml", "--vary", "smoothness=0,2", folder=small).returncode == 0
    rows = table(small / "small-sweep")
    assert [row["smoothness"] for row in rows] == ["0", "2"]
    assert all(float(row["loss: smoothness"]) > 0 for row in rows)


def test_labels_name_files_without_their_folders(small: Path) -> None:
    axes = [("content", [str(small / "photo.png"), "oil.png"])]
    variants = make_variants(small / "small.yaml", axes, (), folder=small)
    assert [variant.label for variant in variants] == ["content=photo.png", "content=oil.png"]


def test_a_folder_that_cannot_be_created_is_an_error(small: Path) -> None:
    (small / "file").write_text("")
    done = run("sweep", "small.yaml", *GRID, "-o", "file", folder=small)
    assert done.returncode == 2
    assert "--output" in done.stderr


@pytest.mark.parametrize("key", ["solver.seed", "solver"])
def test_a_key_that_is_varied_and_set_is_refused(small: Path, key: str) -> None:
    settings = [Setting("solver.steps", 2, "--steps"), Setting("solver.seed", 3, "--seed")]
    place, varied = {"solver.seed": ("--seed", "solver.seed"), "solver": ("--steps", "solver")}[key]
    with pytest.raises(GuidedStyleError, match=f"{place}: {varied} is varied already"):
        make_variants(small / "small.yaml", [(key, [1, 2])], settings, folder=small)


def test_a_region_is_not_varied_by_its_name_and_by_its_number(project: Path) -> None:
    axes = [("regions.0.strength", [1, 2]), ("regions.right.strength", [3, 4])]
    with pytest.raises(GuidedStyleError, match="is varied twice"):
        make_variants(project / "recipe.yaml", axes, (), folder=project)


def test_a_sweep_without_axes_is_refused(small: Path) -> None:
    with pytest.raises(GuidedStyleError, match="there is nothing to vary"):
        make_variants(small / "small.yaml", [], (), folder=small)
