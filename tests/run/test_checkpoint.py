"""Stop and go on: from every step, after every kind of end, to the same bits; and what has changed is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from support.images import draw_image
from support.processes import spawn, wait_for

from guidedstyle.app.render import Renderer, watch_until
from guidedstyle.device import precision
from guidedstyle.device.environment import Limits
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.rendering import Rendering, Snapshot, Update
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.paths import CACHE_VARIABLE, name_checkpoint
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.run.checkpoint import Checkpoint, describe_scene, read_checkpoint, resume, write_checkpoint
from guidedstyle.run.interrupts import ECHO, StopRequest
from guidedstyle.run.options import NEVER, Every, RenderOptions
from guidedstyle.run.outputs import RunFiles
from guidedstyle.run.previews import States, list_frames
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Setting, SolverMethod

pytestmark = pytest.mark.slow


def open_studio(studio: Path, **keys: object) -> Scene:
    """Open the studio's recipe at two sizes, with keys changed."""
    large = draw_image(300, 200, 1)
    large.save(studio / "photo.png")
    Image.fromarray(np.uint8(255 * (np.arange(300) < 150))[None].repeat(200, 0)).save(studio / "left.png")
    return open_scene(
        read_recipe(studio / "recipe.yaml", [Setting(key.replace("__", "."), v, key) for key, v in keys.items()])
    )


def render_whole(renderer: Renderer, scene: Scene) -> tuple[Rendering, dict[int, Checkpoint]]:
    """Render a scene, and copy its state to disk and back at every third step."""
    plan, kept = renderer.plan(scene), dict[int, Checkpoint]()
    file = name_checkpoint(scene.recipe.output)

    def watch(update: Update) -> bool:
        if update.done % 3 == 1:
            write_checkpoint(file, Checkpoint.at(describe_scene(scene), plan, update.snapshot(), update.done))
            found = read_checkpoint(file)
            assert found
            kept[update.done] = found
        return True

    return renderer.render(scene, plan, watch).rendering, kept


@pytest.mark.parametrize("method", get_args(SolverMethod))
@pytest.mark.parametrize("tile", ["off", 96])
def test_from_every_state_a_render_ends_in_the_same_bits(studio: Path, method: str, tile: int | str) -> None:
    scene = open_studio(studio, size=256, solver__method=method, solver__steps=20, solver__sizes=2)
    renderer = Renderer("cpu", Limits(tile))
    whole, kept = render_whole(renderer, scene)
    assert {len(checkpoint.snapshot.endings) for checkpoint in kept.values()} == {0, 1}  # of both sizes
    for done, checkpoint in kept.items():
        steps: list[int] = []

        def watch(update: Update, steps: list[int] = steps) -> bool:
            steps.append(update.done)
            return True

        again = renderer.render(scene, renderer.plan(scene), watch, snapshot=checkpoint.snapshot).rendering
        assert steps == list(range(done + 1, 21))
        assert np.array_equal(again.image, whole.image)
        assert torch.equal(again.history.total, whole.history.total)
        assert again.endings == whole.endings


def test_a_size_that_no_longer_improves_ends_at_the_same_step(studio: Path) -> None:
    """A stop at the very step at which a size would have ended must not make it go on."""
    scene = open_studio(studio, solver__steps=60, solver__sizes=1, solver__tolerance=0.5)
    renderer = Renderer("cpu")
    plan, stops = renderer.plan(scene), dict[int, Snapshot]()
    whole = renderer.render(scene, plan, lambda update: True).rendering
    assert whole.steps < 60
    at = whole.steps

    def stop(update: Update) -> bool:
        stops[update.done] = replace(update.snapshot(), state=torch_copy(update.snapshot().state))
        return update.done < at

    assert not renderer.render(scene, plan, stop).rendering.finished
    again = renderer.render(scene, plan, lambda update: True, snapshot=stops[at]).rendering
    assert (again.steps, again.reason) == (whole.steps, whole.reason)
    assert np.array_equal(again.image, whole.image)


def torch_copy(state: object) -> dict[str, object]:
    from copy import deepcopy

    return deepcopy(state)  # type: ignore[return-value]


COMMAND = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--steps", "400", "--device", "cpu"]
OFTEN = ["--checkpoint-every", "0.2s", "--preview-every", "0.1s", "--set", "solver.sizes=1"]


def read_pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


ENDS = [getattr(signal, name) for name in ("SIGKILL", "SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_after_any_end_resume_goes_on_to_the_same_picture(studio: Path, end: signal.Signals) -> None:
    command = [*COMMAND, *OFTEN]
    subprocess.run([*command, "-o", "whole.png"], cwd=studio, check=True, capture_output=True)
    process = spawn([*command, "-o", "cut.png"], cwd=studio)
    wait_for(studio / "cut.png.state", process)
    process.send_signal(end)
    said = process.communicate()
    assert process.returncode == (-end if end == signal.SIGKILL else 130), said
    assert (studio / "cut.png").exists() == (end != signal.SIGKILL)
    done = subprocess.run([*command, "-o", "cut.png", "--resume"], cwd=studio, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "goes on from step" in done.stdout
    assert np.array_equal(read_pixels(studio / "cut.png"), read_pixels(studio / "whole.png"))
    records = [json.loads((studio / f"{name}.png.json").read_text()) for name in ("cut", "whole")]
    assert records[0]["losses"] == records[1]["losses"]
    left = {file.name for file in studio.iterdir() if "cut" in file.name}
    assert left == {"cut.png", "cut.png.json"}


def test_a_second_ctrl_c_breaks_off_within_a_step(studio: Path) -> None:
    """A step may be one long call, in which Python sees no signal."""
    draw_image(1600, 1600, 1).save(studio / "photo.png")
    Image.fromarray(np.uint8(255 * (np.arange(1600) < 800))[None].repeat(1600, 0)).save(studio / "left.png")
    settings = ["--set", "solver.sizes=1", "--checkpoint-every", "off"]
    process = spawn([*COMMAND, *settings], cwd=studio)
    assert process.stderr
    for word in ("step 1/400", "stopping after this step", "stopped at once"):
        line = next(line for line in process.stderr if word in line)
        assert word in line
        if word != "stopped at once":
            time.sleep(2 * ECHO)
            process.send_signal(signal.SIGINT)
    assert (process.wait(timeout=5), (studio / "recipe.png").exists()) == (130, False)
    process.communicate()


def test_a_second_ctrl_c_breaks_off_within_a_call_in_which_python_sees_no_signal() -> None:
    code = (
        "import hashlib\nfrom guidedstyle.run.interrupts import interruptible\n"
        "with interruptible(lambda text: print(text, flush=True)):\n"
        "    print('begun', flush=True)\n    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    )
    process = spawn([sys.executable, "-c", code])
    assert process.stdout
    for word in ("begun", "stopping after this step", "stopped at once"):
        assert word in process.stdout.readline()
        time.sleep(2 * ECHO)
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    process.communicate()


def run_limited(studio: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Render where no file may grow beyond two megabytes: as on a full disk, a state does not fit."""
    command = " ".join(["ulimit -f 2048 && exec", *COMMAND, *arguments])
    return subprocess.run(["bash", "-c", command], cwd=studio, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_disk_too_full_for_the_state_does_not_stop_the_render(studio: Path) -> None:
    open_studio(studio)
    done = run_limited(studio, "--size", "192", "--steps", "12", "--checkpoint-every", "2")
    assert done.returncode == 0, done.stderr
    assert "recipe.png.state" in done.stderr
    assert done.stderr.count("the render continues") == 1
    assert (studio / "recipe.png").exists()
    assert not [file for file in studio.iterdir() if "state" in file.name]


def test_an_interrupted_render_is_not_lost_by_beginning_anew(studio: Path) -> None:
    state = keep_state(studio, open_studio(studio))
    kept, old = state.read_bytes(), studio / "recipe.png.state.old"
    process = spawn([*COMMAND, *OFTEN], cwd=studio)
    wait_for(old, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    assert old.read_bytes() == kept
    assert f"kept as {old.name}" in said


def test_a_stop_while_the_preview_is_written_keeps_the_state(studio: Path) -> None:
    """What stops a render must have been known to all that keep something of it."""
    scene, renderer, stop = open_studio(studio), Renderer("cpu"), StopRequest()
    plan, file = renderer.plan(scene), name_checkpoint(scene.recipe.output)

    def write_preview(update: Update) -> None:
        if update.done == 2:
            stop.set()  # Ctrl-C at this very moment

    states = States(file, describe_scene(scene), plan, NEVER, stop)
    result = renderer.render(scene, plan, watch_until(stop, [states, write_preview]))
    kept = read_checkpoint(file)
    assert not result.rendering.finished
    assert kept
    assert kept.steps == result.rendering.steps


def test_the_record_is_of_the_files_that_were_rendered(studio: Path) -> None:
    renderer, scene = Renderer("cpu"), open_studio(studio)

    def repaint(update: Update) -> bool:
        Image.fromarray(np.zeros((200, 300), np.uint8)).save(studio / "left.png")
        return True

    before = describe_scene(scene)["inputs"]
    result = renderer.render(scene, renderer.plan(scene), repaint)
    assert result.record.inputs == before
    assert describe_scene(scene)["inputs"] != before


def test_after_memory_ran_out_a_resumed_size_is_begun_anew(studio: Path) -> None:
    scene, renderer = open_studio(studio, solver__steps=20, solver__sizes=1), Renderer("cpu")
    _, kept = render_whole(renderer, scene)
    begun: list[int] = []

    def fail_once(update: Update) -> bool:
        begun.append(update.done)
        if len(begun) == 3:
            raise MemoryError
        return True

    again = renderer.render(scene, renderer.plan(scene), fail_once, snapshot=kept[10].snapshot).rendering
    assert begun[:4] == [11, 12, 13, 1]
    assert again.finished
    assert len(again.history.total) == 10 + 20


def keep_state(studio: Path, scene: Scene) -> Path:
    """Leave the state of an interrupted render of a scene."""
    renderer, file = Renderer("cpu"), name_checkpoint(scene.recipe.output)
    plan, identity = renderer.plan(scene), describe_scene(scene)

    def watch(update: Update) -> bool:
        write_checkpoint(file, Checkpoint.at(identity, plan, update.snapshot(), update.done))
        return update.done < 2

    renderer.render(scene, plan, watch)
    return file


def resume_with(scene: Scene, file: Path, limits: Limits | None = None) -> tuple[Snapshot, str]:
    renderer = Renderer("cpu", limits or Limits())
    checkpoint = read_checkpoint(file)
    assert checkpoint
    found = resume(file, checkpoint, describe_scene(scene), renderer.plan(scene))
    return found.snapshot, found.note


def test_the_same_recipe_goes_on_exactly(studio: Path) -> None:
    scene = open_studio(studio)
    snapshot, note = resume_with(scene, keep_state(studio, scene))
    assert snapshot.state
    assert note == "goes on from step 2 of 4"


def store_ratio(folder: Path, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be on a machine on which bfloat16 was measured to take `ratio` of the time of float32."""
    monkeypatch.setattr(precision, "has_bfloat16_instructions", lambda: True)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    folder.mkdir()
    precision.find_file().write_text(f'{{"ratio": {ratio}}}')


@pytest.mark.parametrize(("ratio", "other"), [(0.5, 2.0), (2.0, 0.5)])
def test_a_render_is_resumed_in_its_precision_on_a_machine_that_would_choose_another(
    ratio: float, other: float, studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_ratio(studio / "one", ratio, monkeypatch)
    scene, renderer = open_studio(studio), Renderer("cpu")
    planned, file = renderer.plan(scene), keep_state(studio, scene)
    whole = renderer.render(scene, planned, lambda update: True).rendering
    store_ratio(studio / "other", other, monkeypatch)
    checkpoint, plan = read_checkpoint(file), renderer.plan(scene)
    assert checkpoint
    assert plan.precision != planned.precision
    found = resume(file, checkpoint, describe_scene(scene), plan)
    assert found.plan.precision == planned.precision
    assert found.note == "goes on from step 2 of 4"
    again = renderer.render(scene, found.plan, lambda update: True, snapshot=found.snapshot).rendering
    assert (again.image == whole.image).all()
    chosen = open_studio(studio, precision=name_precision(plan.precision))
    assert resume(file, checkpoint, describe_scene(chosen), renderer.plan(chosen)).plan.precision == plan.precision


def test_a_comment_and_other_spaces_are_no_change(studio: Path) -> None:
    file = keep_state(studio, open_studio(studio))
    (studio / "recipe.yaml").rename(studio / "other.yaml")
    text = "# a comment\n" + (studio / "other.yaml").read_text()
    (studio / "recipe.yaml").write_text(text.replace("{steps: 4}", "{ steps: 4 }"))
    _, note = resume_with(open_studio(studio), file)
    assert note == "goes on from step 2 of 4"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("regions__left__strength", 2.0, "regions.left.strength nothing -> 2"),
        ("smoothness", 3.0, "smoothness 1 -> 3"),
        ("regions__left__style", {"oil": 1.0}, "regions.left.style"),
    ],
)
def test_a_changed_recipe_begins_with_the_picture_so_far(studio: Path, key: str, value: object, told: str) -> None:
    file = keep_state(studio, open_studio(studio))
    scene = open_studio(studio, **{key: value})
    snapshot, note = resume_with(scene, file)
    assert told in note
    assert "begins 150 px anew from the image so far" in note
    assert snapshot.state is None
    rendering = (
        Renderer("cpu").render(scene, Renderer("cpu").plan(scene), lambda update: True, snapshot=snapshot).rendering
    )
    assert rendering.finished


@pytest.mark.parametrize(("changed", "left"), [({}, [1, 2]), ({"smoothness": 3.0}, []), ({"size": 128}, [1, 2, 3, 9])])
def test_frames_of_steps_that_are_taken_again_do_not_stay(
    studio: Path, changed: dict[str, float], left: list[int]
) -> None:
    keep_state(studio, open_studio(studio))
    scene = open_studio(studio, **changed)
    run_files = RunFiles(scene, RenderOptions(frames=Every(steps=1), resume=True), studio / "recipe.yaml")
    run_files.frames.mkdir()
    for step in (1, 2, 3, 9):
        (run_files.frames / f"{step:06d}.png").write_bytes(b"a frame")
    with suppress(GuidedStyleError):  # of other sizes
        run_files.begin(Renderer("cpu").plan(scene))
    assert [int(frame.stem) for frame in list_frames(run_files.frames)] == left


def test_a_repainted_mask_is_a_change(studio: Path) -> None:
    file = keep_state(studio, open_studio(studio))
    scene = open_studio(studio)
    Image.fromarray(np.full((200, 300), 255, np.uint8)).save(studio / "left.png")
    _, note = resume_with(scene, file)
    assert "inputs.regions.1.mask" in note


def test_other_sizes_or_steps_are_refused_with_what_changed(studio: Path) -> None:
    file = keep_state(studio, open_studio(studio))
    for key, value in (("size", 128), ("solver__steps", 9), ("solver__sizes", 1)):
        with pytest.raises(GuidedStyleError, match=key.replace("__", r"\.")):
            resume_with(open_studio(studio, **{key: value}), file)


def test_other_tiles_are_told(studio: Path) -> None:
    scene = open_studio(studio)
    snapshot, note = resume_with(scene, keep_state(studio, scene), Limits(128))
    assert snapshot.state
    assert "tile auto -> 128" in note


@pytest.mark.parametrize("content", [b"", b"no state at all", None], ids=["empty", "text", "cut"])
def test_a_damaged_state_is_told_and_left(studio: Path, content: bytes | None) -> None:
    file = keep_state(studio, open_studio(studio))
    file.write_bytes(file.read_bytes()[:5000] if content is None else content)
    with pytest.raises(GuidedStyleError, match="the state is damaged"):
        read_checkpoint(file)
    assert file.exists()


DAMAGES = [
    {"precision": "float33"},
    {"history": {}},
    {"endings": [{"steps": 1}]},
    {"image": None},
    {"image": torch.zeros(1, 3, 5, 5)},
    {"image": torch.zeros(1, 3, 100, 150, dtype=torch.int8)},
    {"state": "x"},
    {"state": {}},
    {"tilings": []},
    {"history": dict.fromkeys(("stages", "total", "style", "content", "smoothness"))},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: next(iter(damage)))
def test_a_state_with_parts_that_are_none_is_told(studio: Path, damage: dict[str, object]) -> None:
    file = keep_state(studio, open_studio(studio))
    data = torch.load(file, weights_only=True)
    torch.save(data | {"snapshot": data["snapshot"] | damage}, file)
    with pytest.raises(GuidedStyleError, match="the state is damaged"):
        read_checkpoint(file)


@pytest.mark.parametrize("damage", [{"identity": 3}, {"identity": {}}, {"machine": 3}, {"steps": "many"}])
def test_a_state_of_what_is_no_render_is_told(studio: Path, damage: dict[str, object]) -> None:
    file = keep_state(studio, open_studio(studio))
    torch.save(torch.load(file, weights_only=True) | damage, file)
    with pytest.raises(GuidedStyleError, match="the state is damaged"):
        read_checkpoint(file)


@pytest.mark.skipif(os.name != "posix", reason="only there are pipes among files")
def test_a_state_that_is_a_pipe_is_told(studio: Path) -> None:
    os.mkfifo(studio / "recipe.png.state")
    with pytest.raises(GuidedStyleError, match="the state is damaged"):
        read_checkpoint(studio / "recipe.png.state")


@pytest.mark.parametrize("pickled", [b"\x80\x02J\0", b"\x80\x02K\x01Q.", b"\x80\x02X\xff"])
def test_a_state_of_which_no_pickle_is_made_is_told(studio: Path, pickled: bytes) -> None:
    """Numbers cut off, and a tensor that names no place."""
    file = keep_state(studio, open_studio(studio))
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    with pytest.raises(GuidedStyleError, match="the state is damaged"):
        read_checkpoint(file)


def test_a_state_of_a_later_version_is_told(studio: Path) -> None:
    file = keep_state(studio, open_studio(studio))
    data = torch.load(file, weights_only=True)
    torch.save(data | {"format": 99}, file)
    with pytest.raises(GuidedStyleError, match="format 99"):
        read_checkpoint(file)
