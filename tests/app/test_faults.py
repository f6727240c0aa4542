"""Faults of the machine (disk, memory, folder, device) are reported, and no finished work is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.processes import wait_for
from support.renders import OFTEN, RENDER, check_image, end, list_temporary, start

from guidedstyle.cli.terminal.messages import print_error
from guidedstyle.errors import GuidedStyleError, explain_error
from guidedstyle.io.images.reading import read_image

pytestmark = pytest.mark.slow

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces such a limit")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a megabyte, with an earlier image and its record on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr}")
    (folder / "out.png").write_bytes(b"earlier image")
    (folder / "out.png.json").write_bytes(b"earlier record")
    yield folder
    while os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fill a disk except for this many bytes."""
    room = os.statvfs(disk)
    file = disk / "full"
    file.write_bytes(bytes(room.f_bavail * room.f_frsize - left))
    return file


def read_earlier(disk: Path) -> tuple[bytes, bytes]:
    return (disk / "out.png").read_bytes(), (disk / "out.png.json").read_bytes()


@pytest.mark.parametrize("left", [8 * 1024, 12 * 1024], ids=["record", "image"])
def test_on_a_full_disk_the_earlier_image_stays_and_the_new_one_is_saved_elsewhere(
    project: Path, disk: Path, left: int
) -> None:
    full, earlier = fill(disk, left), read_earlier(disk)
    code, said = end(start(project, *RENDER, "-o", "disk/out.png", "--overwrite", *OFTEN))
    assert code == 2
    assert said.count("the render continues") == 2  # preview and checkpoint
    assert "out.png is not written, but kept as" in said
    assert "it cannot be written: No space left on device\n    hint: choose another folder, or free disk space" in said
    assert read_earlier(disk) == earlier
    (kept,) = (project / "tmp").rglob("out.png")
    check_image(kept)
    assert str(kept) in said
    assert {file.name for file in disk.iterdir()} == {"full", "out.png", "out.png.json"}
    full.unlink()
    assert end(start(project, *RENDER, "-o", "disk/out.png", "--overwrite", "-q")) == (0, "")
    assert np.array_equal(np.asarray(Image.open(disk / "out.png")), np.asarray(Image.open(kept)))


def test_the_image_is_written_although_its_checkpoint_does_not_fit(project: Path, disk: Path) -> None:
    fill(disk, 120 * 1024)
    code, said = end(start(project, *RENDER, "-o", "disk/out.png", "--overwrite", *OFTEN))
    assert (code, said.count("the render continues")) == (0, 1)
    assert "out.png.state" in said
    check_image(disk / "out.png")
    assert {file.name for file in disk.iterdir()} == {"full", "out.png", "out.png.json"}


@pytest.mark.parametrize(("full", "reason"), [(False, "Read-only file system"), (True, "No space left on device")])
def test_a_disk_on_which_nothing_can_be_written_is_reported_before_rendering(
    project: Path, disk: Path, full: bool, reason: str
) -> None:
    earlier = read_earlier(disk)
    if full:
        fill(disk, 0)
    else:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    code, said = end(start(project, *RENDER, "-o", "disk/out.png", "--overwrite"))
    assert code == 2
    assert f"disk: nothing can be written here: {reason}\n    hint: choose another folder, or free disk space" in said
    assert "step 1/" not in said
    assert read_earlier(disk) == earlier
    assert not list_temporary(disk)


def test_a_disk_that_becomes_read_only_while_rendering_keeps_its_files(project: Path, disk: Path) -> None:
    """Linux remounts a failing disk read-only; here it is a second mount over the first, as files are open."""
    earlier = read_earlier(disk)
    process = start(
        project, *RENDER, "-o", "disk/out.png", "--overwrite", *OFTEN, "--steps", "80", "--set", "solver.method=sgd"
    )
    wait_for(disk / "out.png.state", process)
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
    code, said = end(process)
    assert code == 2, said
    assert said.count("the render continues") == 2
    assert "out.png is not written, but kept as" in said
    assert "it cannot be written: Read-only file system\n    hint: choose another folder, or free disk space" in said
    (kept,) = (project / "tmp").rglob("out.png")
    check_image(kept)
    assert read_earlier(disk) == earlier


def remove(folder: Path) -> None:
    """Remove a folder into which a render writes; a file may come while it is emptied."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("removed", ["out", "."], ids=["output", "everything"])
def test_a_folder_that_is_removed_while_rendering_loses_no_image(project: Path, removed: str) -> None:
    (project / "work" / "out").mkdir(parents=True)
    for file in [*project.glob("*.png"), project / "recipe.yaml"]:
        file.rename(project / "work" / file.name)
    output = "out/a.png" if removed == "out" else project / "work" / "a.png"
    process = start(project, "render", project / "work" / "recipe.yaml", "-o", project / "work" / output, *RENDER[2:],
                    *OFTEN, "--steps", "60")  # fmt: skip
    output = project / "work" / output
    wait_for(output.with_suffix(".preview.png"), process)
    remove(project / "work" / removed if removed == "out" else project / "work")
    code, said = end(process)
    assert code == 0, said
    assert f"the folder {output.parent} was removed during the render and is created again" in said
    check_image(output)
    assert {*output.parent.iterdir()} == {output, output.with_name("a.png.json")}


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_sweep_whose_folder_is_removed_or_replaced_loses_no_variant(project: Path, replaced: bool) -> None:
    """A removed folder is created again; where a file has its name, every variant is saved elsewhere."""
    arguments = ("--vary", "solver.seed=1,2,3", "--steps", "60", "--set", "solver.tolerance=0", "--device", "cpu")
    folder = project / "recipe-sweep"
    process = start(project, "sweep", "recipe.yaml", *arguments)
    wait_for(folder / "seed=1.png.json", process)
    folder.rename(project / "elsewhere")
    if replaced:
        folder.write_text("a file")
    code, said = end(process)
    kept = list((project / "tmp").rglob("*.png"))
    if replaced:
        assert (code, said.count("is not written, but kept as"), len(kept)) == (2, 2, 2), said
    else:
        assert code == 0, said
        assert "the folder recipe-sweep was removed during the render and is created again" in said
        assert {"seed=2.png", "seed=3.png", "sheet.png", "table.csv"} <= {file.name for file in folder.iterdir()}
    assert "Nothing was written" not in said


@pytest.mark.parametrize("name", ["recipe.png.json", "recipe.preview.png", "recipe.png.state", "recipe.png.state.old"])
def test_a_folder_with_the_name_of_a_file_is_reported_before_rendering(project: Path, name: str) -> None:
    (project / name).mkdir()
    code, said = end(start(project, *RENDER))
    assert code == 2
    assert f"{name}: there is a folder of this name\n    hint: choose another output (-o)" in said
    assert "step 1/" not in said
    assert not (project / "recipe.png").exists()


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, ({bytes},) * 2)"
NOW = "int(open('/proc/self/statm').read().split()[0]) * 4096 + {mib} * 2**20"


@LINUX
def test_too_little_memory_to_load_libraries_is_reported(project: Path) -> None:
    before = {*project.iterdir()}
    code, said = end(start(project, *RENDER, fault=LIMIT.format(bytes=600 * 2**20)))
    assert code == 2
    assert said.startswith("error: memory: there is not enough")
    assert "render smaller (--size)" in said
    assert {*project.iterdir()} == before | {project / "tmp"}


SHORTAGE = f"""
import os, pathlib, threading, time, guidedstyle.app.render
def limit():
    while not pathlib.Path("recipe.preview.png").exists():
        time.sleep(0.01)
    {LIMIT.format(bytes=NOW.format(mib=5))}
threading.Thread(target=limit, daemon=True).start()
"""


@LINUX
def test_when_memory_runs_out_the_image_so_far_is_kept_and_the_render_can_be_resumed(project: Path) -> None:
    (project / "recipe.png").write_bytes(b"earlier")
    large = (*RENDER, "--overwrite", *OFTEN, "--size", "400", "--set", "solver.sizes=3", "--steps", "30")
    code, said = end(start(project, *large, fault=SHORTAGE))
    assert code == 2
    assert "recipe.png is not written: memory: there is not enough for this image" in said
    assert "the image so far is recipe.preview.png" in said
    assert (project / "recipe.png").read_bytes() == b"earlier"
    assert np.asarray(Image.open(project / "recipe.preview.png")).shape == (267, 400, 3)
    assert not list_temporary(project)
    code, said = end(start(project, *large, "--resume"))
    assert code == 0, said
    assert "resumes from step" in said


def fail_at(step: int, function: str, error: str) -> str:
    """Return code that makes a function of guidedstyle fail at its call number `step`."""
    module, name = function.rsplit(".", 1)
    return f"""
import itertools, importlib, torch
import guidedstyle.app.render
module, calls = importlib.import_module("guidedstyle.{module}"), itertools.count(1)
before = module.{name}
def fail(*arguments, **more):
    if next(calls) == {step}:
        raise {error}
    return before(*arguments, **more)
module.{name} = fail
"""


def test_when_memory_runs_out_at_the_save_the_earlier_image_and_the_checkpoint_stay(project: Path) -> None:
    (project / "recipe.png").write_bytes(b"earlier")
    fault = fail_at(1, "results.output.save_pixels", "MemoryError")
    code, said = end(start(project, *RENDER, "--overwrite", *OFTEN, fault=fault))
    assert code == 2
    assert "the same command with --resume continues" in said
    assert (project / "recipe.png").read_bytes() == b"earlier"
    assert not list_temporary(project)
    code, said = end(start(project, *RENDER, "--overwrite", "--resume"))
    assert (code, "resumes from step 4 of 4" in said) == (0, True)
    check_image(project / "recipe.png")


NOT_FINITE = """
import guidedstyle.app.render, guidedstyle.engine.solvers.minimise as module
from dataclasses import replace
before = module._differentiate
def spoil(objective, image):
    losses, gradient = before(objective, image)
    return replace(losses, total=losses.total * float("nan")), gradient
module._differentiate = spoil
"""


def test_a_loss_that_is_not_a_number_exits_with_2_and_a_hint(project: Path) -> None:
    code, said = end(start(project, *RENDER, "-q", fault=NOT_FINITE))
    rule = "error: recipe.png: solver: the loss became infinite or NaN (4); the best image so far is kept"
    assert said == f"{rule}\n    hint: lower solver.learning_rate or the strengths, or set precision: float32\n"
    assert code == 2
    check_image(project / "recipe.png")


def test_a_loss_that_is_not_a_number_is_reported_once(project: Path) -> None:
    said = end(start(project, *RENDER, fault=NOT_FINITE))[1]
    assert "error: recipe.png: solver: the loss became infinite or NaN" in said
    assert "warning" not in said


def test_of_several_processes_only_the_first_reports_that_the_loss_is_not_a_number(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert end(start(project, *RENDER, fault=NOT_FINITE)) == (2, "")


def test_a_loss_that_diverges_exits_with_0_and_a_warning(project: Path) -> None:
    spoilt = ("--set", "content_strength=1e6", "--set", "init=content", "--set", "solver.method=lbfgs")
    code, said = end(start(project, *RENDER, *spoilt, "--set", "solver.learning_rate=1", "--steps", "6"))
    assert code == 0, said
    assert "warning: at 96 px the loss diverged: the best image so far is kept" in " ".join(said.split())
    check_image(project / "recipe.png")


LOST = 'RuntimeError("CUDA error: device-side assert triggered\\nCUDA kernel errors might be reported later")'


def test_when_a_device_fails_the_image_so_far_is_kept_and_another_device_can_resume(project: Path) -> None:
    """Simulated: the eighth step on a CPU fails with the message of a GPU."""
    fault = fail_at(8, "engine.solvers.minimise._differentiate", LOST)
    code, said = end(start(project, *RENDER, *OFTEN, "--steps", "12", fault=fault))
    assert code == 2
    assert "recipe.png is not written: --device: the device failed (CUDA error: device-side assert triggered)" in said
    assert "choose another device (--device cpu)" in said
    assert "the image so far is recipe.preview.png" in said
    assert "--resume continues from its checkpoint, also on another --device" in said
    assert np.asarray(Image.open(project / "recipe.preview.png")).shape == (64, 96, 3)
    code, said = end(start(project, *RENDER, "--steps", "12", "--resume"))
    assert (code, "resumes from step 7 of 12" in said) == (0, True)
    check_image(project / "recipe.png")


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    error = explain_error(PermissionError(13, "Permission denied", "locked/photo.jpg"))
    assert str(error).startswith(
        "locked/photo.jpg: it cannot be accessed: Permission denied\n    change its permissions"
    )
    with pytest.raises(GuidedStyleError, match="it cannot be read: Is a directory"):
        read_image(tmp_path)


def test_an_error_that_may_be_a_bug_is_not_explained() -> None:
    assert not explain_error(RuntimeError("sizes do not match"))
    assert not explain_error(OSError(2, "No such file or directory"))


def test_a_bug_in_one_of_several_renders_is_reported_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ValueError("no"), "a.yaml")
    said = capsys.readouterr().err
    assert said.startswith("a.yaml: ")
    assert "ValueError: no\n\nThis is a bug of guidedstyle" in said
