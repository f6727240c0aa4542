"""The precision of features is given by the recipe, or follows from the device and one stored measurement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import guidedstyle
from guidedstyle.app.render import Renderer
from guidedstyle.device import precision
from guidedstyle.device.precision import PRECISIONS, choose_precision, find_choice, find_file, name_precision
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.results.record import Record, read_record
from guidedstyle.scene.opening import open_scene

CPU = torch.device("cpu")


class Stopwatch:
    """Measures with the real function, and then returns the ratio that a test needs; counts its calls."""

    def __init__(self, ratio: float | None, measure: object) -> None:
        self.ratio, self.calls, self.measure = ratio, 0, measure

    def __call__(self, device: torch.device) -> float:
        self.calls += 1
        found = self.measure(device)
        return self.ratio or found


MEASURE = precision.measure_ratio


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make a new machine whose processor has instructions for bfloat16."""
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "has_bfloat16_instructions", lambda: True)
    start_process()
    return monkeypatch


def start_process() -> None:
    """Drop the measurements of this process, like a new process."""
    precision._measure_once.cache_clear()


def watch(machine: pytest.MonkeyPatch, ratio: float | None = None) -> Stopwatch:
    stopwatch = Stopwatch(ratio, MEASURE)
    machine.setattr(precision, "measure_ratio", stopwatch)
    return stopwatch


@pytest.mark.parametrize(("ratio", "chosen"), [(0.5, torch.bfloat16), (0.95, torch.float32), (9.0, torch.float32)])
def test_bfloat16_is_chosen_only_if_it_is_faster(
    ratio: float, chosen: torch.dtype, machine: pytest.MonkeyPatch
) -> None:
    times = {torch.float32: 2.0, torch.bfloat16: 2.0 * ratio}
    machine.setattr(precision, "_time_convolutions", lambda device, dtypes: [times[dtype] for dtype in dtypes])
    assert choose_precision(CPU) == chosen
    start_process()
    assert choose_precision(CPU) == chosen


def test_it_is_measured_once_and_never_again(machine: pytest.MonkeyPatch) -> None:
    stopwatch = watch(machine)
    first = choose_precision(CPU)
    for _ in range(3):
        start_process()
        assert choose_precision(CPU) == first
    assert stopwatch.calls == 1
    stored = json.loads(find_file().read_text())
    assert stored["ratio"] > 0
    assert stored["torch"] == torch.__version__


def test_the_stored_measurement_counts_and_not_the_current_speed(machine: pytest.MonkeyPatch) -> None:
    watch(machine, 0.5)
    choose_precision(CPU)
    start_process()
    stopwatch = watch(machine, 2.0)
    assert choose_precision(CPU) == torch.bfloat16
    assert stopwatch.calls == 0


def test_a_measurement_stored_by_another_process_meanwhile_counts(machine: pytest.MonkeyPatch) -> None:
    def measure(device: torch.device) -> float:
        find_file().parent.mkdir(parents=True)
        find_file().write_text('{"ratio": 2.0}')
        return 0.5

    machine.setattr(precision, "measure_ratio", measure)
    assert choose_precision(CPU) == torch.float32


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"ratio": "fast"}', b'{"ratio": NaN}', b'{"ratio": -1.0}', b"[" * 9000]
)
def test_a_damaged_file_is_replaced(content: bytes, machine: pytest.MonkeyPatch) -> None:
    stopwatch = watch(machine, 0.5)
    find_file().parent.mkdir(parents=True)
    find_file().write_bytes(content)
    assert find_choice(CPU) is None
    assert choose_precision(CPU) == torch.bfloat16
    assert (stopwatch.calls, json.loads(find_file().read_text())["ratio"]) == (1, 0.5)


def test_where_the_file_cannot_be_written_it_is_measured_once_in_a_process(
    tmp_path: Path, machine: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    machine.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "file" / "cache"))
    stopwatch = watch(machine, 0.5)
    assert [choose_precision(CPU) for _ in range(3)] == [torch.bfloat16] * 3
    assert stopwatch.calls == 1


def test_a_processor_without_instructions_is_not_measured(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(precision, "has_bfloat16_instructions", lambda: False)
    stopwatch = watch(machine, 0.1)
    assert choose_precision(CPU) == torch.float32
    assert stopwatch.calls == 0


def test_another_processor_or_version_of_torch_needs_another_measurement(machine: pytest.MonkeyPatch) -> None:
    files = {find_file()}
    machine.setattr(precision, "name_processor", lambda: "another")
    files.add(find_file())
    machine.setattr(torch, "__version__", "9.9")
    files.add(find_file())
    assert len(files) == 3


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_a_gpu_is_judged_by_its_capability(
    capability: tuple[int, int], chosen: torch.dtype, machine: pytest.MonkeyPatch
) -> None:
    machine.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    stopwatch = watch(machine, 0.1)
    assert choose_precision(torch.device("cuda")) == chosen
    assert choose_precision(torch.device("mps")) == torch.float32
    assert stopwatch.calls == 0


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_precision_of_a_recipe_is_used_without_a_measurement(
    name: str, project: Path, machine: pytest.MonkeyPatch
) -> None:
    stopwatch = watch(machine)
    result = guidedstyle.render(guidedstyle.load_recipe(project / "recipe.yaml", {"precision": name}), device="cpu")
    assert result.record.plan.precision == name
    assert stopwatch.calls == 0
    assert not find_file().exists()


def test_the_two_precisions_give_different_images(project: Path) -> None:
    recipes = [guidedstyle.load_recipe(project / "recipe.yaml", {"precision": name}) for name in PRECISIONS]
    one, other = (guidedstyle.render(recipe, device="cpu").rendering.image for recipe in recipes)
    assert (one != other).any()


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_rendered_image_is_rendered_again_in_its_precision(
    name: str, project: Path, machine: pytest.MonkeyPatch
) -> None:
    """On a machine that would choose the other one."""
    ratios = {"bfloat16": 0.5, "float32": 2.0}
    watch(machine, ratios.pop(name))
    first = guidedstyle.render(project / "recipe.yaml", device="cpu")
    image = first.save()
    record = read_record(image.with_name(image.name + ".json"))
    assert isinstance(record, Record)
    assert (record.recipe["precision"], record.plan.precision) == (name, name)
    machine.setenv("GUIDEDSTYLE_CACHE", str(project / "another"))
    start_process()
    watch(machine, *ratios.values())
    assert name_precision(choose_precision(CPU)) != name
    assert guidedstyle.load_recipe(image).precision == name
    again = guidedstyle.render(image, device="cpu")
    assert again.record.plan.precision == name
    assert (again.rendering.image == first.rendering.image).all()


@pytest.mark.slow
def test_two_commands_on_a_machine_measure_once(project: Path) -> None:
    environment = os.environ | {"GUIDEDSTYLE_CACHE": str(project / "cache")}
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "-q", "--steps", "1", "--device", "cpu"]
    seen = []
    for _ in range(2):
        subprocess.run(command, cwd=project, env=environment, check=True, timeout=100)
        files = sorted((project / "cache").glob("precision-*.json"))
        seen.append([(file, file.stat().st_mtime_ns) for file in files])
    assert seen[0] == seen[1]
    assert len(seen[0]) == precision.has_bfloat16_instructions()


def test_a_plan_has_the_precision_of_its_recipe_and_the_memory_that_this_takes(project: Path) -> None:
    scene = open_scene(read_recipe(project / "recipe.yaml"))
    encoder, plans = load_encoder(scene.recipe.encoder), []
    for name in PRECISIONS:
        recipe = scene.recipe.model_copy(update={"precision": name})
        plans.append(make_plan(replace(scene, recipe=recipe), encoder, "cpu"))
    assert [plan.precision for plan in plans] == list(PRECISIONS.values())
    assert plans[1].memory < plans[0].memory


def test_renders_in_both_precisions_by_one_renderer_do_not_change_each_other(project: Path) -> None:
    """Rounding the weights of an encoder to bfloat16 must not persist."""
    scene = open_scene(read_recipe(project / "recipe.yaml"))
    images, renderer = [], Renderer("cpu")
    for name in ("float32", "bfloat16", "float32"):
        one = replace(scene, recipe=scene.recipe.model_copy(update={"precision": name}))
        images.append(renderer.render(one, renderer.plan(one), lambda update: True).rendering.image)
    assert (images[0] == images[2]).all()
    assert (images[0] != images[1]).any()


def test_the_default_is_auto() -> None:
    assert Recipe.model_fields["precision"].default == "auto"
