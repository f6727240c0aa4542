"""The record next to an image and the recipe within it: both are read as they were written, and keep their meaning."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

import guidedstyle
from guidedstyle.device.precision import name_precision
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import SETTLED, hash_file
from guidedstyle.recipe import model
from guidedstyle.results.record import Identity, Record, find_record, read_record

TEXTURE = "canvas: [32, 32]\nstyle: ink.png\nsolver: {method: sgd, sizes: 1}\n"
EARLIEST = {  # as the first version wrote it
    "recipe": {"content": "photo.png"},
    "inputs": {"content": "sha256:1"},
    "seed": 0,
    "result": {"finished": True, "reason": "all steps are done (4)", "steps": 4, "seconds": 0.5},
    "losses": {"total": 1.0, "smoothness": 0.5, "regions": {"left": {"style": 0.25, "content": 0.125}}},
    "plan": {
        "stages": [{"size": [96, 64], "steps": 4, "octaves": 3}],
        "style_layers": ["relu1_1"],
        "content_layer": "relu3_1",
        "device": "cpu (x86_64)",
        "precision": "float32",
        "threads": 2,
        "estimated_memory": 2**30,
    },
    "versions": {"python": "3.11.2"},
}


def render_texture(folder: Path) -> Path:
    (folder / "texture.yaml").write_text(TEXTURE)
    return guidedstyle.render(folder / "texture.yaml", lambda update: update.done < 2, device="cpu").save()


def test_a_record_is_read_as_it_was_written(project: Path) -> None:
    result = guidedstyle.render(project / "recipe.yaml", device="cpu")
    file = result.save().with_name("recipe.png.json")
    digest = hashlib.sha256((project / "recipe.png").read_bytes()).hexdigest()
    record = result.record.model_copy(update={"digest": f"sha256:{digest}"})
    assert read_record(file) == record
    assert json.loads(file.read_text()) == record.model_dump(mode="json")


def test_the_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(EARLIEST))
    record = read_record(tmp_path / "a.json")
    assert isinstance(record, Record)
    assert (record.losses.regions["left"].style, record.plan.stages[0].size) == (0.25, (96, 64))


@pytest.mark.parametrize("key", ["result", "losses", "plan"])
def test_a_record_that_lacks_a_section_is_damaged_and_one_that_lacks_all_is_an_identity(
    tmp_path: Path, key: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({name: value for name, value in EARLIEST.items() if name != key}))
    with pytest.raises(GuidedStyleError, match="this record is damaged"):
        read_record(file)
    file.write_text(json.dumps({name: EARLIEST[name] for name in ("recipe", "inputs")}))
    assert read_record(file) == Identity(recipe={"content": "photo.png"}, inputs={"content": "sha256:1"})


@pytest.mark.parametrize("losses", [float("nan"), float("inf")])
def test_losses_that_are_not_numbers_are_kept(tmp_path: Path, losses: float) -> None:
    record = Record.model_validate(EARLIEST | {"losses": {"total": losses, "smoothness": 1.0, "regions": {}}})
    (tmp_path / "a.json").write_bytes(record.to_json())
    found = read_record(tmp_path / "a.json")
    assert isinstance(found, Record)
    assert repr(found.losses.total) == repr(losses)


def test_the_steps_of_an_image_do_not_change_with_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PNG and the record carry the number of steps and the version of the format."""
    image = render_texture(project)
    record = json.loads(image.with_name("texture.png.json").read_text())
    assert next(iter(record["recipe"])) == "format"
    assert (record["recipe"]["format"], record["recipe"]["solver"]["steps"]) == (2, 200)
    monkeypatch.setitem(model.STEPS, "sgd", 77)
    assert guidedstyle.load_recipe(image).solver.most_steps == 200
    assert guidedstyle.load_recipe(project / "texture.yaml").solver.most_steps == 77


def test_the_recipes_in_record_and_png_state_the_precision_that_was_used(project: Path) -> None:
    (project / "texture.yaml").write_text(TEXTURE.replace("sgd", "sgd, steps: 1"))
    result = guidedstyle.render(project / "texture.yaml", device="cpu")
    used = name_precision(result.rendering.plan.precision)
    recipes = [result.record.recipe["precision"]]
    for image in (result.save(), result.save(project / "other.png")):
        recipes.append(guidedstyle.load_recipe(image).precision)
        recipes.append(json.loads(image.with_name(f"{image.name}.json").read_text())["recipe"]["precision"])
    assert set(recipes) == {used}


@pytest.mark.parametrize(("asked", "found"), [("auto", True), ("float32", True), ("bfloat16", False)])
def test_a_finished_image_counts_unless_another_precision_is_requested(project: Path, asked: str, found: bool) -> None:
    (project / "texture.yaml").write_text(f"precision: float32\n{TEXTURE.replace('sgd', 'sgd, steps: 1')}")
    guidedstyle.render(project / "texture.yaml", device="cpu").save()
    recipe = guidedstyle.load_recipe(project / "texture.yaml", {"precision": asked})
    assert bool(find_record(recipe)) == found


def test_a_changed_default_makes_another_image(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "texture.yaml").write_text(TEXTURE.replace("sizes: 1", "sizes: 1, tolerance: 1"))
    guidedstyle.render(project / "texture.yaml", device="cpu").save()
    assert find_record(guidedstyle.load_recipe(project / "texture.yaml"))
    monkeypatch.setitem(model.STEPS, "sgd", 77)
    assert find_record(guidedstyle.load_recipe(project / "texture.yaml")) is None


def test_a_recipe_of_a_later_format_is_refused(project: Path) -> None:
    (project / "texture.yaml").write_text(f"format: {model.FORMAT + 1}\n{TEXTURE}")
    with pytest.raises(GuidedStyleError) as raised:
        guidedstyle.load_recipe(project / "texture.yaml")
    assert f"texture.yaml:1: format: this recipe has format {model.FORMAT + 1}" in str(raised.value)
    assert "update guidedstyle" in str(raised.value)


def test_a_file_is_hashed_again_when_it_changes_even_at_once_and_to_the_same_size(tmp_path: Path) -> None:
    file, seen = tmp_path / "a", set()
    for number in range(20):
        file.write_bytes(bytes([number]))
        seen.add(hash_file(file))
    assert len(seen) == 20


def test_a_file_that_was_changed_and_dated_back_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    time.sleep(SETTLED / 1e9)
    before, status = hash_file(file), file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_file(file) != before
