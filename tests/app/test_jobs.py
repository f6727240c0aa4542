"""Several recipes and content images in one call: an invalid one does not stop the others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import draw_image

from guidedstyle.app.jobs import Failure, Job, list_orders, make_jobs
from guidedstyle.app.render import Renderer, attempt_jobs
from guidedstyle.cli.render import run_jobs
from guidedstyle.cli.terminal.console import print_outcomes
from guidedstyle.errors import ExitCode, GuidedStyleError
from guidedstyle.io.images.reading import read_image
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import RenderOptions
from guidedstyle.run.reporter import SILENT
from guidedstyle.types import Setting

CONTENTS = ("one.png", "two.jpg", "three.png")


@pytest.fixture
def photos(project: Path) -> Path:
    """Add a recipe without painted masks and a folder of content images, one of them damaged, and a text."""
    text = "styles: {ink: ink.png}\nregions: [{name: all, mask: rest, style: ink}]\nsolver: {steps: 2}\n"
    (project / "free.yaml").write_text("content: photo.png\n" + text)
    folder = project / "photos"
    folder.mkdir()
    for number, name in enumerate(CONTENTS):
        draw_image(70 + 10 * number, 60, number).save(folder / name)
    (folder / "two.jpg").write_bytes((folder / "two.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not an image")
    return project


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle", "render", *arguments, "--device", "cpu"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_one_bad_content_image_does_not_stop_the_others(photos: Path) -> None:
    done = run("free.yaml", "--content", "photos/*.*g", "-o", "out/", folder=photos)
    assert done.returncode == 2
    assert {file.name for file in (photos / "out").iterdir()} == {
        name for stem in ("one", "three") for name in (f"{stem}.png", f"{stem}.png.json")
    }
    assert "two.jpg" in done.stderr
    assert "damaged" in done.stderr
    assert "2 of 3 are done" in done.stdout
    for stem in ("one", "three"):
        record = json.loads((photos / "out" / f"{stem}.png.json").read_text())
        assert record["recipe"]["content"] == f"../photos/{stem}.png"
        assert read_image(photos / "out" / f"{stem}.png").size == read_image(photos / "photos" / f"{stem}.png").size


def test_an_image_of_several_has_the_same_bits_as_alone(photos: Path) -> None:
    (photos / "photos" / "two.jpg").unlink()
    assert run("free.yaml", "--content", "photos", "-o", "out", folder=photos).returncode == 0
    assert run("free.yaml", "--content", "photos/three.png", "-o", "alone.png", folder=photos).returncode == 0
    alone, among = (np.asarray(Image.open(photos / name)) for name in ("alone.png", "out/three.png"))
    assert np.array_equal(alone, among)


def test_several_recipes_are_written_to_their_own_outputs(photos: Path) -> None:
    shutil.copy(photos / "free.yaml", photos / "other.yaml")
    (photos / "broken.yaml").write_text("content: none.png\nstyle: ink.png\n")
    done = run("free.yaml", "broken.yaml", "other.yaml", folder=photos)
    assert done.returncode == 2
    assert (photos / "free.png").exists()
    assert (photos / "other.png").exists()
    assert "there is no file none.png" in done.stderr
    assert "not done: broken.yaml" in done.stdout


def test_of_several_processes_only_the_first_counts_the_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Failure(name, GuidedStyleError.of(name, "rule", "remedy")) for name in ("a.yaml", "b.yaml")]
    for rank, counts in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert run_jobs(jobs, Renderer("cpu"), RenderOptions(), verbosity="bar", dry_run=False) == ExitCode.USER_ERROR
        assert ("0 of 2 are done" in capsys.readouterr().out) == counts


def test_with_resume_finished_images_are_not_rendered_again(photos: Path) -> None:
    arguments = ("free.yaml", "recipe.yaml", "--resume")
    assert run(*arguments, folder=photos).returncode == 0
    before = {name: (photos / name).stat().st_mtime_ns for name in ("free.png", "recipe.png")}
    (photos / "recipe.yaml").write_text((photos / "recipe.yaml").read_text().replace("steps: 4", "steps: 3"))
    done = run(*arguments, folder=photos)
    assert done.returncode == 0
    assert "exists already" in done.stdout
    assert (photos / "free.png").stat().st_mtime_ns == before["free.png"]
    assert (photos / "recipe.png").stat().st_mtime_ns != before["recipe.png"]


def test_two_content_images_of_one_name_are_not_written_to_one_file(photos: Path) -> None:
    (photos / "more").mkdir()
    shutil.copy(photos / "photos" / "one.png", photos / "more" / "one.png")
    jobs = make_jobs(
        list_orders([photos / "free.yaml"], [str(photos / "photos" / "one.png"), str(photos / "more")], photos)
    )
    assert [type(job) for job in jobs] == [Job, Failure]
    assert "is written there already" in str(jobs[1].error)


def test_two_recipes_with_one_output_are_refused(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    for name in ("a.yaml", "b.yaml"):
        shutil.copy("free.yaml", name)
        Path(name).write_text(Path(name).read_text() + "output: same.png\n")
    jobs = make_jobs(list_orders([Path("a.yaml"), photos / "b.yaml"]))
    assert [type(job) for job in jobs] == [Job, Failure]
    assert jobs[0].check is None  # the checks of all would take more memory than a render


def test_no_output_overwrites_the_content_image_of_another(photos: Path) -> None:
    (photos / "more").mkdir()
    shutil.copy(photos / "photos" / "one.png", photos / "more" / "three.png")
    contents = [str(photos / folder / "three.png") for folder in ("more", "photos")]
    jobs = make_jobs(
        list_orders([photos / "free.yaml"], contents, photos / "photos"), [Setting("styles.ink.scale", 2, "here")]
    )
    (other,) = make_jobs(list_orders([photos / "free.yaml"], contents[:1], photos / "photos"))
    assert isinstance(other, Job)  # each alone is valid: the first would overwrite an input of the second
    assert all("overwrite" in str(job.error) for job in jobs if isinstance(job, Failure))
    assert len(jobs) == sum(isinstance(job, Failure) for job in jobs) == 2


def test_no_output_overwrites_an_input_of_another_recipe(photos: Path) -> None:
    draw_image(70, 60, 5).save(photos / "free.png")  # the name of free.yaml's output
    shutil.copy(photos / "free.yaml", photos / "other.yaml")
    (photos / "other.yaml").write_text((photos / "other.yaml").read_text().replace("photo.png", "free.png"))
    jobs = make_jobs(list_orders([photos / "free.yaml", photos / "other.yaml"]))
    assert [type(job) for job in jobs] == [Failure, Job]
    assert "would overwrite content" in str(jobs[0].error)


def test_a_pattern_without_images_is_an_error(photos: Path) -> None:
    with pytest.raises(GuidedStyleError, match=r"--content: nowhere/\*\.jpg names no image"):
        make_jobs(list_orders([photos / "free.yaml"], ["nowhere/*.jpg"]))


def test_jobs_not_started_before_ctrl_c_are_reported_as_not_done(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "out").mkdir()
    jobs = make_jobs(list_orders([photos / "free.yaml"], [str(photos / "photos" / "*e.png")], photos / "out"))
    stop = StopRequest()
    stop.set()
    codes = attempt_jobs(jobs, lambda job: pytest.fail("it was rendered"), reporter=SILENT, stop=stop)
    assert codes == [130, 130]
    print_outcomes([job.name for job in jobs], codes)
    said = capsys.readouterr().out
    assert "0 of 2 are done" in said
    assert said.count("not done: ") == 2
    assert not list((photos / "out").iterdir())


def test_several_images_need_a_folder(photos: Path) -> None:
    with pytest.raises(GuidedStyleError, match="name a folder"):
        make_jobs(list_orders([photos / "free.yaml", photos / "recipe.yaml"], [], photos / "out.png"))
    assert not (photos / "out.png").exists()


def test_errors_are_reported_before_the_first_render(photos: Path) -> None:
    (photos / "broken.yaml").write_text("content: none.png\nstyle: ink.png\n")
    command = [sys.executable, "-m", "guidedstyle", "render", "free.yaml", "broken.yaml", "--device", "cpu"]
    done = subprocess.run(command, cwd=photos, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 2
    assert 0 < done.stdout.index("there is no file none.png") < done.stdout.index("free.png")


def test_previews_and_hidden_files_of_a_folder_are_not_content_images(photos: Path) -> None:
    for name in ("one.preview.png", "one.watch.png", ".hidden.png"):
        shutil.copy(photos / "photos" / "one.png", photos / "photos" / name)
    jobs = make_jobs(
        list_orders([photos / "free.yaml"], [str(photos / "photos"), str(photos / "photos" / "one.png")], photos)
    )
    assert [Path(job.name.split(" of ")[1]).name for job in jobs] == ["one.png", "three.png", "two.jpg"]
