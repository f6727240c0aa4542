"""Statistics of style images are stored on disk and measured once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import guidedstyle.engine.cache
from guidedstyle.engine.cache import load_tensors, store_tensors
from guidedstyle.engine.objective.targets import TargetBuilder
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Rendering, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every measurement of a style image."""
    noted, measure = [], TargetBuilder._measure

    def note(self, *arguments):
        noted.append("measured")
        return measure(self, *arguments)

    monkeypatch.setattr(TargetBuilder, "_measure", note)
    return noted


def paint(recipe: Path, *settings: str) -> Rendering:
    scene = open_scene(read_recipe(recipe, [parse_setting(setting) for setting in settings]))
    encoder = load_encoder(scene.recipe.encoder)
    return render(scene, encoder, make_plan(scene, encoder, "cpu"))


def test_a_second_render_measures_no_style_image_and_gives_the_same_bits(project: Path, measured: list[str]) -> None:
    first = paint(project / "recipe.yaml")
    assert len(measured) == 2
    again = paint(project / "recipe.yaml")
    assert len(measured) == 2
    np.testing.assert_array_equal(first.image, again.image)


def test_another_content_mask_or_weight_measures_nothing_again(project: Path, measured: list[str]) -> None:
    paint(project / "recipe.yaml")
    (project / "left.png").write_bytes((project / "left.png").read_bytes())
    paint(
        project / "recipe.yaml", "regions.left.mask={rectangle: [0, 0, 0.7, 1]}", "regions.left.style={oil: 1, ink: 3}"
    )
    assert len(measured) == 2


@pytest.mark.parametrize(
    ("setting", "count"),
    [
        ("styles.ink.scale=0.7", 1),
        ("styles.ink.rotate=90", 1),
        ("statistics=mean", 2),
        ("style_layers=relu1_1", 2),
        ("regions.left.colour=match", 2),
        ("size=80", 2),
    ],
)
def test_a_setting_that_changes_the_statistics_measures_again(
    project: Path, measured: list[str], setting: str, count: int
) -> None:
    paint(project / "recipe.yaml")
    before = len(measured)
    paint(project / "recipe.yaml", setting)
    assert len(measured) - before == count


def test_the_fingerprint_depends_on_weights_and_precision(project: Path) -> None:
    encoder = load_encoder(open_scene(read_recipe(project / "recipe.yaml")).recipe.encoder)
    prints = {encoder.fingerprint(), encoder.bfloat16().fingerprint()}
    with torch.no_grad():
        next(encoder.parameters()).view(-1)[0] += 1
    assert len(prints | {encoder.fingerprint()}) == 3


def test_the_fingerprint_depends_on_the_number_of_threads(project: Path) -> None:
    """Statistics that were rounded otherwise would change the bits of a render with the same number of threads."""
    encoder = load_encoder(open_scene(read_recipe(project / "recipe.yaml")).recipe.encoder)
    before = torch.get_num_threads()
    prints = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        prints.add(encoder.fingerprint())
    torch.set_num_threads(before)
    assert len(prints) == 2


def test_a_damaged_file_is_replaced(project: Path, folder: Path, measured: list[str]) -> None:
    first = paint(project / "recipe.yaml")
    for file in folder.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-40])
    again = paint(project / "recipe.yaml")
    assert len(measured) == 4
    np.testing.assert_array_equal(first.image, again.image)


def test_a_cache_that_cannot_be_written_does_not_stop_the_render(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "file").write_text("no folder")
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(project / "file"))
    assert paint(project / "recipe.yaml").finished


def test_the_least_recently_used_file_is_deleted_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guidedstyle.engine.cache, "MAX_BYTES", 3000)
    folder.mkdir(exist_ok=True)
    (folder / "painting.png").write_bytes(bytes(9000))  # of the user, who named this folder
    os.utime(folder / "painting.png", (0, 0))
    first, second, third, fourth = (letter * 64 for letter in "abcd")
    for number, name in enumerate((first, second, third)):
        store_tensors(name, {"0.relu": torch.zeros(250)})  # a bit more than 1000 bytes
        os.utime(folder / f"{name}.safetensors", (number, number))
        if name == second:
            assert load_tensors(first) is not None  # now the second is the oldest
            os.utime(folder / f"{first}.safetensors", (time.time(),) * 2)
    store_tensors(fourth, {"0.relu": torch.zeros(10)})
    assert {file.stem for file in folder.iterdir()} == {first, third, fourth, "painting"}
