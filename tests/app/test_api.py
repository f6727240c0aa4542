"""guidedstyle from Python: a few functions, the same image as by the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import guidedstyle
from guidedstyle.engine.progress import Update
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import lock_output
from guidedstyle.results.record import Record
from guidedstyle.run.options import Every, RenderOptions


def test_a_render_from_python_is_that_of_the_command_line(project: Path) -> None:
    result = guidedstyle.render(guidedstyle.load_recipe(project / "recipe.yaml"), device="cpu")
    assert not (project / "recipe.png").exists()
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--device", "cpu"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    assert np.array_equal(np.asarray(result.picture), np.asarray(Image.open(project / "recipe.png")))
    theirs = json.loads((project / "recipe.png.json").read_text())
    assert result.record.losses.model_dump() == theirs["losses"]


def test_a_result_is_saved_with_its_recipe_and_record(project: Path) -> None:
    file = guidedstyle.render(project / "recipe.yaml", device="cpu").save(project / "out.png")
    assert file == project / "out.png"
    assert json.loads((project / "out.png.json").read_text())["recipe"]["output"] == "out.png"
    assert guidedstyle.load_recipe(file).regions == guidedstyle.load_recipe(project / "recipe.yaml").regions


def test_a_result_overwrites_no_input(project: Path) -> None:
    result = guidedstyle.render(project / "recipe.yaml", device="cpu")
    before = (project / "photo.png").read_bytes()
    with pytest.raises(GuidedStyleError, match="would overwrite content"):
        result.save(project / "photo.png")
    assert (project / "photo.png").read_bytes() == before


def test_a_notebook_shows_the_image(project: Path) -> None:
    result = guidedstyle.render(project / "recipe.yaml", device="cpu")
    shown = Image.open(io.BytesIO(result._repr_png_()))
    assert np.array_equal(np.asarray(shown), np.asarray(result.picture))
    assert repr(result).startswith("<96 x 64 px, all steps are done (4)")


def test_settings_change_keys(project: Path) -> None:
    recipe = guidedstyle.load_recipe(project / "recipe.yaml", {"size": 64, "regions.left.strength": 2})
    assert (recipe.size, recipe.regions[1].strength) == (64, 2)
    assert guidedstyle.check(recipe).size == (64, 43)


def test_a_check_has_shares_and_warnings(project: Path) -> None:
    checked = guidedstyle.check(project / "recipe.yaml")
    assert checked.shares == pytest.approx({"right": 0.5, "left": 0.5}, abs=0.01)
    (project / "recipe.yaml").write_text(
        "content: photo.png\nstyles: {ink: ink.png}\nregions: [{name: left, mask: left.png, style: ink}]\n"
    )
    assert any("is in no region" in note for note in guidedstyle.check(project / "recipe.yaml").warnings)


def test_an_update_is_received_and_stops_the_render(project: Path) -> None:
    seen, shapes = list[Update](), list[tuple[int, ...]]()

    def note(update: Update) -> bool:
        seen.append(update)
        shapes.extend(update.preview(longest).shape for longest in (1000, 48))
        return update.done < 2

    result = guidedstyle.render(project / "recipe.yaml", note, device="cpu")
    assert [update.done for update in seen] == [1, 2]
    assert not result.rendering.finished
    assert shapes == [(1, 3, 64, 96), (1, 3, 32, 48)] * 2
    assert guidedstyle.render(project / "recipe.yaml", lambda update: None, device="cpu").rendering.finished


@pytest.mark.parametrize("call", [guidedstyle.check, guidedstyle.render, guidedstyle.load_recipe])
def test_errors_are_raised_all_at_once(project: Path, call: object) -> None:
    (project / "recipe.yaml").write_text("content: none.png\nstyle: nothing.png\nsize: 3\n")
    with pytest.raises(guidedstyle.GuidedStyleError) as raised:
        call(project / "recipe.yaml")  # type: ignore[operator]
    assert len(raised.value.problems) == 3


def test_a_recipe_changed_by_a_program_is_checked_too(project: Path) -> None:
    recipe = guidedstyle.load_recipe(project / "recipe.yaml")
    region = recipe.regions[0].model_copy(update={"name": "left"})
    with pytest.raises(GuidedStyleError, match="'left' names 2 regions"):
        guidedstyle.check(recipe.model_copy(update={"regions": (region, recipe.regions[1])}))
    with pytest.raises(GuidedStyleError, match=r"there is no file lost\.png"):
        guidedstyle.check(recipe.model_copy(update={"content": Path("lost.png")}))


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, guidedstyle; print(sorted({'torch', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
    with pytest.raises(AttributeError):
        _ = guidedstyle.nothing


class Events(guidedstyle.SilentReporter):
    """Stores the name of every event, once in a row, and the outputs that ended."""

    def __init__(self) -> None:
        self.names, self.known = list[str](), list[bool]()

    def __getattribute__(self, name: str) -> object:
        if name in ("planned", "began", "progressed", "stopped") and self.names[-1:] != [name]:
            self.names.append(name)
        return super().__getattribute__(name)

    def ended(self, name: str, output: Path, record: Record, *, known: bool) -> None:
        self.names.append("ended")
        self.known.append(known)


def test_with_options_it_writes_stops_and_resumes_as_the_command_does(project: Path) -> None:
    """Stopped after two steps and resumed, the image is that of a render without options, which writes nothing."""
    whole = guidedstyle.render(project / "recipe.yaml", device="cpu")
    before, events = {*project.iterdir()}, Events()
    options = RenderOptions(previews=Every(steps=1), checkpoints=Every(steps=1), resume=True)
    cut = guidedstyle.render(
        project / "recipe.yaml", lambda update: update.done < 2, options=options, device="cpu", reporter=events
    )
    assert cut and cut.rendering.steps == 2
    names = ("recipe.png", "recipe.png.json", "recipe.png.state")
    assert {*project.iterdir()} == before | {project / name for name in names}
    resumed = guidedstyle.render(project / "recipe.yaml", options=options, device="cpu", reporter=events)
    assert resumed and np.array_equal(resumed.rendering.image, whole.rendering.image)
    assert {*project.iterdir()} == before | {project / name for name in names[:2]}
    assert guidedstyle.render(project / "recipe.yaml", options=options, device="cpu", reporter=events) is None
    assert events.names == ["planned", "began", "progressed", "stopped", "ended"] * 2 + ["ended"]
    assert events.known == [False, False, True]


def test_with_options_an_output_that_is_being_written_is_refused(project: Path) -> None:
    with lock_output(project / "recipe.png"), pytest.raises(GuidedStyleError, match="another process writes it"):
        guidedstyle.render(project / "recipe.yaml", options=RenderOptions(), device="cpu")


def test_a_stop_request_ends_a_render_from_another_thread(project: Path) -> None:
    stop = guidedstyle.StopRequest()
    threading.Timer(0.5, stop.set).start()
    recipe = guidedstyle.load_recipe(project / "recipe.yaml", {"solver.steps": 100_000, "solver.tolerance": 0})
    assert guidedstyle.render(recipe, stop=stop, device="cpu").rendering.steps < 100_000


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        (False, 1),
        (np.False_, 1),
        (np.array([False]), 1),
        (torch.tensor(False), 1),
        (torch.tensor([0.5]) > 1, 1),
        (None, 4),
        (0, 4),
        (np.True_, 4),
        (np.array([False, False]), 4),
        (np.zeros(()), 4),
    ],
)
def test_a_comparison_of_losses_ends_a_render_as_false_does(project: Path, answer: object, steps: int) -> None:
    done: list[int] = []
    guidedstyle.render(project / "recipe.yaml", lambda update: (done.append(update.done), answer)[1], device="cpu")
    assert max(done) == steps


@pytest.mark.parametrize("device", ["cpu:0", torch.device("cpu", 0), torch.zeros(1).device])
def test_the_device_of_a_tensor_is_taken(project: Path, device: str) -> None:
    assert guidedstyle.render(project / "recipe.yaml", device=device).record.plan.device.startswith("cpu (")


@pytest.mark.parametrize("act", [guidedstyle.load_recipe, guidedstyle.check, guidedstyle.render])
@pytest.mark.parametrize("source", [None, 3, ["recipe.yaml"], b"recipe.yaml"])
def test_what_is_no_recipe_is_refused_with_what_to_give(act: Callable[..., object], source: object) -> None:
    with pytest.raises(GuidedStyleError, match="give the path of a recipe, or a mapping"):
        act(source)


def test_a_recipe_that_is_loaded_is_not_loaded_again(project: Path) -> None:
    with pytest.raises(GuidedStyleError, match="give settings where you load it"):
        guidedstyle.load_recipe(guidedstyle.load_recipe(project / "recipe.yaml"), {"size": 64})
