"""Checkpoints: a render resumes after any step and any kind of end, to the same bits; changes are reported."""

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

import guidedstyle
from guidedstyle.app.render import Renderer, watch_until
from guidedstyle.device import precision
from guidedstyle.device.environment import Limits
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Rendering, Snapshot, Update
from guidedstyle.engine.solvers.lbfgs import History
from guidedstyle.engine.solvers.minimise import EndReason
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.paths import CACHE_VARIABLE, name_checkpoint
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.run.checkpoint import (
    FORMAT,
    Checkpoint,
    Checkpointer,
    Resumption,
    identify_scene,
    read_checkpoint,
    using_threads,
)
from guidedstyle.run.interrupts import ECHO, StopRequest
from guidedstyle.run.options import NEVER, Every, RenderOptions
from guidedstyle.run.outputs import RunFiles, list_frames
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Setting, SolverMethod

pytestmark = pytest.mark.slow


def open_project(project: Path, **keys: object) -> Scene:
    """Open the project's recipe with a larger content image and with keys changed."""
    large = draw_image(300, 200, 1)
    large.save(project / "photo.png")
    Image.fromarray(np.uint8(255 * (np.arange(300) < 150))[None].repeat(200, 0)).save(project / "left.png")
    return open_scene(
        read_recipe(project / "recipe.yaml", [Setting(key.replace("__", "."), v, key) for key, v in keys.items()])
    )


def make_checkpointer(scene: Scene, plan: Plan, stop: StopRequest | None = None) -> Checkpointer:
    file, identity = name_checkpoint(scene.recipe.output), identify_scene(scene)
    return Checkpointer(file, identity=identity, plan=plan, every=NEVER, stop=stop or StopRequest())


def render_whole(renderer: Renderer, scene: Scene) -> tuple[Rendering, dict[int, Checkpoint]]:
    """Render a scene; write and read a checkpoint at every third step."""
    plan, checkpoints = renderer.plan(scene), dict[int, Checkpoint]()
    checkpointer = make_checkpointer(scene, plan)

    def save(update: Update) -> bool:
        if update.done % 3 == 1:
            checkpointer.save(update, force=True)
            found = read_checkpoint(checkpointer.file)
            assert found
            checkpoints[update.done] = found
        return True

    return renderer.render(scene, plan, save).rendering, checkpoints


@pytest.mark.parametrize("method", get_args(SolverMethod))
@pytest.mark.parametrize("tile", ["off", 96])
def test_a_render_resumed_from_any_checkpoint_ends_with_the_same_bits(
    project: Path, method: str, tile: int | str
) -> None:
    scene = open_project(project, size=256, solver__method=method, solver__steps=20, solver__sizes=2)
    renderer = Renderer("cpu", Limits(tile))
    whole, checkpoints = render_whole(renderer, scene)
    assert {len(checkpoint.snapshot.endings) for checkpoint in checkpoints.values()} == {0, 1}  # of both scales
    for done, checkpoint in checkpoints.items():
        steps: list[int] = []

        def count(update: Update, steps: list[int] = steps) -> bool:
            steps.append(update.done)
            return True

        again = renderer.render(scene, renderer.plan(scene), count, snapshot=checkpoint.snapshot).rendering
        assert steps == list(range(done + 1, 21))
        assert np.array_equal(again.image, whole.image)
        assert torch.equal(again.history.total, whole.history.total)
        assert again.endings == whole.endings


def test_a_short_history_is_taken_up_wherever_a_render_resumes(project: Path) -> None:
    """It was planned where memory was short; that there is more of it now changes no bit."""
    scene = open_project(project, size=256, solver__steps=20, solver__sizes=2)
    renderer = Renderer("cpu")
    plan = replace(renderer.plan(scene), histories=(History(3, 16),) * 2)
    checkpointer = make_checkpointer(scene, plan)
    whole = renderer.render(scene, plan, lambda update: True).rendering

    def stop(update: Update) -> bool:
        checkpointer.save(update, force=True)
        return update.done < 14

    renderer.render(scene, plan, stop)
    resumption = load(scene)
    assert resumption.plan.histories == plan.histories != renderer.plan(scene).histories
    assert resumption.snapshot
    again = renderer.render(scene, resumption.plan, lambda update: True, snapshot=resumption.snapshot).rendering
    assert np.array_equal(again.image, whole.image)
    assert [again.plan.describe(stage) for stage in plan.stages] == ["whole, L-BFGS with 3 pairs in 16 bits"] * 2
    elsewhere = load(scene, Limits(96))
    assert elsewhere.warning
    assert elsewhere.plan.histories == plan.histories  # that of the size in progress is the state's


def test_a_scale_that_converged_when_it_was_stopped_takes_no_more_steps(project: Path) -> None:
    """The stop is requested at the step at which the scale converges."""
    scene = open_project(project, solver__steps=60, solver__sizes=1, solver__tolerance=0.5)
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
def test_a_render_resumed_after_any_end_gives_the_same_image(project: Path, end: signal.Signals) -> None:
    command = [*COMMAND, *OFTEN]
    subprocess.run([*command, "-o", "whole.png"], cwd=project, check=True, capture_output=True)
    process = spawn([*command, "-o", "cut.png"], cwd=project)
    wait_for(project / "cut.png.state", process)
    process.send_signal(end)
    output = process.communicate()
    assert process.returncode == (-end if end == signal.SIGKILL else 130), output
    assert (project / "cut.png").exists() == (end != signal.SIGKILL)
    done = subprocess.run([*command, "-o", "cut.png", "--resume"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resumes from step" in done.stderr
    assert np.array_equal(read_pixels(project / "cut.png"), read_pixels(project / "whole.png"))
    records = [json.loads((project / f"{name}.png.json").read_text()) for name in ("cut", "whole")]
    assert records[0]["losses"] == records[1]["losses"]
    left = {file.name for file in project.iterdir() if "cut" in file.name}
    assert left == {"cut.png", "cut.png.json"}


def test_a_second_ctrl_c_exits_within_a_step(project: Path) -> None:
    """A step may be one long call within which Python runs no signal handler."""
    draw_image(1600, 1600, 1).save(project / "photo.png")
    Image.fromarray(np.uint8(255 * (np.arange(1600) < 800))[None].repeat(1600, 0)).save(project / "left.png")
    settings = ["--set", "solver.sizes=1", "--checkpoint-every", "off"]
    process = spawn([*COMMAND, *settings], cwd=project)
    assert process.stderr
    for word in ("step 1/400", "stopping after this step", "stopped at once"):
        line = next(line for line in process.stderr if word in line)
        assert word in line
        if word != "stopped at once":
            time.sleep(2 * ECHO)
            process.send_signal(signal.SIGINT)
    assert (process.wait(timeout=5), (project / "recipe.png").exists()) == (130, False)
    process.communicate()


def test_a_second_ctrl_c_exits_within_a_call_into_c() -> None:
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


def run_limited(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Render where no file may exceed two megabytes: a checkpoint does not fit, as on a full disk."""
    command = " ".join(["ulimit -f 2048 && exec", *COMMAND, *arguments])
    return subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no ulimit -f")
def test_a_disk_too_full_for_the_checkpoint_does_not_stop_the_render(project: Path) -> None:
    open_project(project)
    done = run_limited(project, "--size", "192", "--steps", "12", "--checkpoint-every", "2")
    assert done.returncode == 0, done.stderr
    assert "recipe.png.state" in done.stderr
    assert done.stderr.count("the render continues") == 1
    assert (project / "recipe.png").exists()
    assert not [file for file in project.iterdir() if "state" in file.name]


def test_starting_over_keeps_the_checkpoint_of_an_interrupted_render(project: Path) -> None:
    kept, old = interrupt(open_project(project)).read_bytes(), project / "recipe.png.state.old"
    process = spawn([*COMMAND, *OFTEN], cwd=project)
    wait_for(old, process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate()[1]
    assert old.read_bytes() == kept
    assert f"kept as {old.name}" in output


def test_a_stop_requested_while_the_preview_is_written_leaves_a_checkpoint(project: Path) -> None:
    """The render ends after the step in which the callbacks have seen the request, not before."""
    scene, renderer, stop = open_project(project), Renderer("cpu"), StopRequest()
    plan = renderer.plan(scene)
    checkpointer = make_checkpointer(scene, plan, stop)

    def write_preview(update: Update) -> None:
        if update.done == 2:
            stop.set()  # Ctrl-C at this moment

    result = renderer.render(scene, plan, watch_until(stop, [checkpointer, write_preview]))
    checkpoint = read_checkpoint(checkpointer.file)
    assert not result.rendering.finished
    assert checkpoint
    assert checkpoint.steps == result.rendering.steps


def test_a_stop_requested_in_another_process_keeps_the_checkpoint(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signal arrives in this process: only the vote of all says to stop."""
    options = RenderOptions(checkpoints=Every(steps=1), resume=True)
    with monkeypatch.context() as patch:
        patch.setattr("guidedstyle.engine.render.all_agree", lambda vote: False)
        cut = guidedstyle.render(project / "recipe.yaml", options=options, device="cpu")
    assert cut and cut.rendering.end_reason == EndReason.INTERRUPTED
    assert (project / "recipe.png.state").exists()
    resumed = guidedstyle.render(project / "recipe.yaml", options=options, device="cpu")
    assert resumed and resumed.rendering.steps == 4
    assert not (project / "recipe.png.state").exists()


def test_the_record_has_the_hashes_of_the_files_that_were_rendered(project: Path) -> None:
    renderer, scene = Renderer("cpu"), open_project(project)

    def repaint(update: Update) -> bool:
        Image.fromarray(np.zeros((200, 300), np.uint8)).save(project / "left.png")
        return True

    before = identify_scene(scene)["inputs"]
    result = renderer.render(scene, renderer.plan(scene), repaint)
    assert result.record.inputs == before
    assert identify_scene(scene)["inputs"] != before


def test_a_resumed_scale_starts_over_when_memory_runs_out(project: Path) -> None:
    scene, renderer = open_project(project, solver__steps=20, solver__sizes=1), Renderer("cpu")
    _, checkpoints = render_whole(renderer, scene)
    steps: list[int] = []

    def fail_once(update: Update) -> bool:
        steps.append(update.done)
        if len(steps) == 3:
            raise MemoryError
        return True

    again = renderer.render(scene, renderer.plan(scene), fail_once, snapshot=checkpoints[10].snapshot).rendering
    assert steps[:4] == [11, 12, 13, 1]
    assert again.finished
    assert len(again.history.total) == 10 + 20


def interrupt(scene: Scene) -> Path:
    """Interrupt a render after two steps, and return its checkpoint."""
    renderer = Renderer("cpu")
    plan = renderer.plan(scene)
    checkpointer = make_checkpointer(scene, plan)

    def save(update: Update) -> bool:
        checkpointer.save(update, force=True)
        return update.done < 2

    renderer.render(scene, plan, save)
    return checkpointer.file


def load(scene: Scene, limits: Limits | None = None) -> Resumption:
    """Load the checkpoint next to the output of a scene."""
    resumption = make_checkpointer(scene, Renderer("cpu", limits or Limits()).plan(scene)).load()
    assert resumption
    return resumption


def test_without_a_checkpoint_nothing_is_loaded(project: Path) -> None:
    scene = open_project(project)
    assert make_checkpointer(scene, Renderer("cpu").plan(scene)).load() is None


def test_a_checkpoint_is_saved_when_it_is_due_or_forced_or_a_stop_is_requested(project: Path) -> None:
    scene, renderer, stop, saved = open_project(project), Renderer("cpu"), StopRequest(), list[int]()
    plan = renderer.plan(scene)
    file, every = name_checkpoint(scene.recipe.output), Every(steps=3)
    checkpointer = Checkpointer(file, identity=identify_scene(scene), plan=plan, every=every, stop=stop)

    def save(update: Update) -> bool:
        if update.done == 4:
            stop.set()
        checkpointer(update)
        if update.done == 1:
            checkpointer.save(update, force=True)
        if file.exists():
            saved.append(update.done)
            file.unlink()
        return True

    renderer.render(scene, plan, save)
    assert saved == [1, 3, 4]


def test_the_same_recipe_is_resumed_exactly(project: Path) -> None:
    scene = open_project(project)
    interrupt(scene)
    resumption = load(scene)
    assert resumption.snapshot
    assert resumption.snapshot.state
    assert (resumption.note, resumption.warning) == ("resumes from step 2 of 4", "")


def test_the_number_of_threads_of_a_checkpoint_is_used_while_it_is_resumed(project: Path) -> None:
    """Sums are rounded differently with another number of threads."""
    scene, before = open_project(project), torch.get_num_threads()
    with using_threads(before + 1):
        interrupt(scene)
    threads = load(scene).threads
    assert (threads, torch.get_num_threads()) == (before + 1, before)  # reading it has no side effect
    with using_threads(threads):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def store_ratio(folder: Path, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be on a machine on which bfloat16 was measured to take `ratio` of the time of float32."""
    monkeypatch.setattr(precision, "has_bfloat16_instructions", lambda: True)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    folder.mkdir()
    precision.find_file().write_text(f'{{"ratio": {ratio}}}')


@pytest.mark.parametrize(("ratio", "other"), [(0.5, 2.0), (2.0, 0.5)])
def test_a_render_is_resumed_in_its_precision_on_a_machine_that_would_choose_another(
    ratio: float, other: float, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_ratio(project / "one", ratio, monkeypatch)
    scene, renderer = open_project(project), Renderer("cpu")
    planned = renderer.plan(scene)
    interrupt(scene)
    whole = renderer.render(scene, planned, lambda update: True).rendering
    store_ratio(project / "other", other, monkeypatch)
    plan = renderer.plan(scene)
    assert plan.precision != planned.precision
    found = load(scene)
    assert found.plan.precision == planned.precision
    assert found.note == "resumes from step 2 of 4"
    again = renderer.render(scene, found.plan, lambda update: True, snapshot=found.snapshot).rendering
    assert (again.image == whole.image).all()
    chosen = open_project(project, precision=name_precision(plan.precision))
    assert load(chosen).plan.precision == plan.precision


def test_comments_and_spaces_are_not_a_change(project: Path) -> None:
    interrupt(open_project(project))
    (project / "recipe.yaml").rename(project / "other.yaml")
    text = "# a comment\n" + (project / "other.yaml").read_text()
    (project / "recipe.yaml").write_text(text.replace("{steps: 4}", "{ steps: 4 }"))
    assert load(open_project(project)).note == "resumes from step 2 of 4"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("regions__left__strength", 2.0, "regions.left.strength nothing -> 2"),
        ("smoothness", 3.0, "smoothness 1 -> 3"),
        ("regions__left__style", {"oil": 1.0}, "regions.left.style"),
    ],
)
def test_a_changed_recipe_starts_the_scale_over_from_the_image_so_far(
    project: Path, key: str, value: object, shown: str
) -> None:
    file = interrupt(open_project(project))
    scene = open_project(project, **{key: value})
    resumption, checkpoint = load(scene), read_checkpoint(file)
    assert shown in resumption.warning
    assert "150 px starts over from the image so far" in resumption.warning
    assert checkpoint
    check_starts_over(resumption, checkpoint.snapshot.image, scene)


def check_starts_over(resumption: Resumption, image: torch.Tensor, scene: Scene) -> None:
    """Check that a resumption has the image so far without the optimiser's state, and can be rendered."""
    snapshot = resumption.snapshot
    assert snapshot
    assert snapshot.state is None
    assert torch.equal(snapshot.image, image)
    assert resumption.steps == 0
    steps: list[int] = []

    def count(update: Update) -> bool:
        steps.append(update.done)
        return True

    rendering = Renderer("cpu").render(scene, resumption.plan, count, snapshot=snapshot).rendering
    assert rendering.finished
    assert steps == list(range(1, 5))


@pytest.mark.parametrize(("changed", "left"), [({}, [1, 2]), ({"smoothness": 3.0}, []), ({"size": 128}, [1, 2, 3, 9])])
def test_frames_of_steps_that_are_repeated_are_deleted(
    project: Path, changed: dict[str, float], left: list[int]
) -> None:
    interrupt(open_project(project))
    scene = open_project(project, **changed)
    options, plan = RenderOptions(frames=Every(steps=1), resume=True), Renderer("cpu").plan(scene)
    files = RunFiles(scene, plan, options=options, source=project / "recipe.yaml", stop=StopRequest())
    files.frames.mkdir()
    for step in (1, 2, 3, 9):
        (files.frames / f"{step:06d}.png").write_bytes(b"a frame")
    with suppress(GuidedStyleError):  # refused, as the size has changed
        files.begin()
    assert [int(frame.stem) for frame in list_frames(files.frames)] == left


def test_a_repainted_mask_is_a_change(project: Path) -> None:
    interrupt(open_project(project))
    scene = open_project(project)
    Image.fromarray(np.full((200, 300), 255, np.uint8)).save(project / "left.png")
    assert "inputs.regions.1.mask" in load(scene).warning


def test_other_sizes_or_steps_are_refused_with_a_list_of_changes(project: Path) -> None:
    interrupt(open_project(project))
    for key, value in (("size", 128), ("solver__steps", 9), ("solver__sizes", 1)):
        with pytest.raises(GuidedStyleError, match=key.replace("__", r"\.")):
            load(open_project(project, **{key: value}))


def test_other_tiles_are_a_warning(project: Path) -> None:
    scene = open_project(project)
    interrupt(scene)
    resumption = load(scene, Limits(128))
    assert resumption.snapshot
    assert resumption.snapshot.state
    assert "tile auto -> 128" in resumption.warning


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None], ids=["empty", "text", "cut"])
def test_a_damaged_checkpoint_is_refused_and_not_deleted(project: Path, content: bytes | None) -> None:
    file = interrupt(open_project(project))
    file.write_bytes(file.read_bytes()[:5000] if content is None else content)
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
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
    {"state": None},
    {"state": {"optimiser": {}, "totals": torch.zeros(2)}},
    {"state": {"optimiser": {"descent": 1}, "totals": torch.zeros(2)}},
    {"tilings": []},
    {"history": dict.fromkeys(("stages", "total", "style", "content", "smoothness"))},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: next(iter(damage)))
def test_a_checkpoint_with_an_impossible_snapshot_is_refused(project: Path, damage: dict[str, object]) -> None:
    file = interrupt(open_project(project))
    data = torch.load(file, weights_only=True)
    torch.save(data | {"snapshot": data["snapshot"] | damage}, file)
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "damage",
    [
        {"identity": 3},
        {"identity": {}},
        {"machine": 3},
        {"steps": "many"},
        {"threads": None},
        {"format": 0},
        {"format": "2"},
    ],
)
def test_a_checkpoint_with_an_impossible_value_is_refused(project: Path, damage: dict[str, object]) -> None:
    file = interrupt(open_project(project))
    torch.save(torch.load(file, weights_only=True) | damage, file)
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
        read_checkpoint(file)


@pytest.mark.skipif(os.name != "posix", reason="only there are pipes among files")
def test_a_checkpoint_that_is_a_pipe_is_refused(project: Path) -> None:
    os.mkfifo(project / "recipe.png.state")
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
        read_checkpoint(project / "recipe.png.state")


@pytest.mark.parametrize("pickled", [b"\x80\x02J\0", b"\x80\x02K\x01Q.", b"\x80\x02X\xff"])
def test_a_checkpoint_whose_pickle_is_damaged_is_refused(project: Path, pickled: bytes) -> None:
    """Numbers are cut off, and a tensor has no storage."""
    file = interrupt(open_project(project))
    with zipfile.ZipFile(file) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
        read_checkpoint(file)


def test_a_checkpoint_of_a_newer_version_is_refused(project: Path) -> None:
    file = interrupt(open_project(project))
    torch.save(torch.load(file, weights_only=True) | {"format": FORMAT + 97}, file)
    with pytest.raises(GuidedStyleError, match=rf"newer version of guidedstyle \(format {FORMAT + 97}; .*{FORMAT}\)"):
        read_checkpoint(file)


def write_format_1(file: Path, image: torch.Tensor, stages: list[list[int]], endings: list[dict[str, object]]) -> None:
    """Write a checkpoint after two steps of a scale with the keys and values of format 1."""
    scalar = torch.zeros(())
    pairs = {
        "vectors": torch.zeros(10, 2, image.numel()),
        "count": 1,
        "across": torch.zeros(10, 10),
        "among": torch.zeros(10, 10),
        "valid": torch.zeros(10, dtype=torch.bool),
        "gamma": scalar,
    }
    descent = {
        "image": image,
        "best": image,
        "reach": scalar,
        "first": scalar,
        "least": scalar,
        "before": (image, image),
        "back": torch.tensor(False),
        "pairs": pairs,
    }
    losses = {"style": torch.ones(2, 2), "content": torch.ones(2, 2)}
    curves = {
        "stages": torch.zeros(2, dtype=torch.int64),
        "total": torch.ones(2),
        "smoothness": torch.ones(2),
        **losses,
    }
    snapshot = {
        "endings": endings,
        "image": image,
        "state": {"descent": descent, "totals": torch.ones(2)},
        "tilings": [{"side": None, "kept": 0.0, "content": True}] * len(stages),
        "precision": "float32",
        "curves": curves,
        "seconds": 2.5,
    }
    identity = {
        "recipe": {"strength": 1.0, "content": "photo.png", "output": "recipe.png", "encoder": {"name": "lite"}},
        "inputs": {"content": "sha256:90d9d4e9c4587165415d2d4a8213e13d300dadaea8ef6dd7f20915030d6cb827"},
        "versions": {"python": "3.11.7", "guidedstyle": "0.1.0", "torch": "2.6.0"},
        "stages": stages,
    }
    machine = {"device": "cpu", "processes": 1, "tile": "auto", "max_memory": None}
    steps = 2 + sum(stage[2] for stage in stages[: len(endings)])
    data = {"format": 1, "identity": identity, "machine": machine, "steps": steps, "threads": 1, "snapshot": snapshot}
    torch.save(data, file)


def test_a_checkpoint_of_format_1_starts_the_scale_over_from_the_image_so_far(project: Path) -> None:
    """Its optimiser's state has other keys."""
    scene = open_project(project)
    width, height = scene.stages[0].size
    image = torch.rand(1, 3, height, width)
    stages = identify_scene(scene)["stages"]
    write_format_1(project / "recipe.png.state", image, stages, [])
    resumption = load(scene)
    rule = "recipe.png.state was written by an older version of guidedstyle (format 1)"
    assert rule in resumption.warning
    assert f"{width} px starts over from the image so far" in resumption.warning
    check_starts_over(resumption, image, scene)


def test_a_checkpoint_of_format_2_starts_the_scale_over_from_the_image_so_far(project: Path) -> None:
    """Its L-BFGS kept the last image and gradient apart, and it says nothing of histories."""
    scene, renderer, file = open_project(project, solver__sizes=1), Renderer("cpu"), project / "recipe.png.state"
    checkpointer = make_checkpointer(scene, plan := renderer.plan(scene))

    def stop(update: Update) -> bool:
        checkpointer.save(update, force=True)
        return update.done < 2

    renderer.render(scene, plan, stop)
    data = torch.load(file, weights_only=True)
    image = data["snapshot"]["image"]
    assert data["format"] == FORMAT == 3
    data["format"] = 2
    del data["snapshot"]["histories"]
    optimiser = data["snapshot"]["state"]["optimiser"]
    optimiser |= {"best": optimiser.pop("stored"), "previous": (image, image)}
    torch.save(data, file)
    resumption = load(scene)
    assert "recipe.png.state was written by an older version of guidedstyle (format 2)" in resumption.warning
    check_starts_over(resumption, image, scene)


def test_the_finished_scales_of_a_checkpoint_of_format_1_are_not_repeated(project: Path) -> None:
    scene = open_project(project, size=256, solver__steps=20, solver__sizes=2)
    stages, steps = identify_scene(scene)["stages"], list[int]()
    width, height = scene.stages[1].size
    ending = {"steps": 9, "reason": "the loss no longer falls", "finished": True}
    write_format_1(project / "recipe.png.state", torch.rand(1, 3, height, width), stages, [ending])
    resumption = load(scene)

    def count(update: Update) -> bool:
        steps.append(update.done)
        return True

    result = Renderer("cpu").render(scene, resumption.plan, count, snapshot=resumption.snapshot)
    assert steps == list(range(stages[0][2] + 1, 21))
    assert result.rendering.reasons[0] == "the loss no longer falls (9)"
    assert resumption.steps == stages[0][2]


def test_a_checkpoint_of_format_1_with_other_sizes_is_refused(project: Path) -> None:
    scene = open_project(project)
    write_format_1(project / "recipe.png.state", torch.rand(1, 3, 40, 60), [[60, 40, 4]], [])
    with pytest.raises(GuidedStyleError, match="sizes or steps have changed") as error:
        load(scene)
    assert "recipe.format 1 -> 2" in str(error.value)
    assert "recipe.precision" not in str(error.value)
    assert "leave --resume out to start over" in str(error.value)


def test_a_damaged_checkpoint_of_format_1_is_refused(project: Path) -> None:
    scene = open_project(project)
    write_format_1(project / "recipe.png.state", torch.rand(1, 3, 7, 7), identify_scene(scene)["stages"], [])
    with pytest.raises(GuidedStyleError, match="the checkpoint is damaged"):
        load(scene)


def list_keys(data: object, path: str = "") -> set[str]:
    """List the key paths of nested dictionaries."""
    if not isinstance(data, dict):
        return {path}
    return {key for name, value in data.items() for key in list_keys(value, f"{path}.{name}")}


KEYS_OF_FORMAT_3 = {
    "": "format machine.device machine.processes machine.tile machine.max_memory threads steps",
    "snapshot": "endings image tilings histories precision seconds state.totals",
    "snapshot.history": "stages total style content smoothness",
}
OPTIMISER_KEYS_OF_FORMAT_3 = {
    "lbfgs": "image stored trust_radius first_step least_loss returned "
    "history.vectors history.count history.sy history.yy history.valid history.gamma",
    "adam": "image learning_rate stored least_loss recovering count mean square",
    "sgd": "image learning_rate stored least_loss recovering momentum",
}


@pytest.mark.parametrize("method", OPTIMISER_KEYS_OF_FORMAT_3)
def test_other_keys_need_another_format(project: Path, method: str) -> None:
    """If this fails, increase FORMAT and write down its keys: older checkpoints cannot be resumed exactly."""
    data = torch.load(interrupt(open_project(project, solver__method=method)), weights_only=True)
    expected = KEYS_OF_FORMAT_3 | {"snapshot.state.optimiser": OPTIMISER_KEYS_OF_FORMAT_3[method]}
    keys = {f"{'.' * bool(path)}{path}.{key}" for path, names in expected.items() for key in names.split()}
    assert FORMAT == 3
    assert {key for key in list_keys(data) if not key.startswith(".identity")} == keys
