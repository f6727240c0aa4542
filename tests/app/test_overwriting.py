"""Commands never overwrite their inputs: images, masks, recipes, frames of other renders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.commands import run
from support.images import draw_image

from guidedstyle.app.jobs import Failure, Job, list_orders, make_jobs
from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import load_recipe

TINY = ("--size", "32", "--steps", "2", "--device", "cpu")
RECIPE = "style: ink.png\ncontent: photo.png\n"


def read_all(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refuse(folder: Path, *command: str, said: str) -> None:
    """Run a command that must be refused and must change nothing."""
    before = read_all(folder)
    done = run(*command, folder=folder)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Nothing was written" in done.stderr
    assert read_all(folder) == before


@pytest.mark.parametrize("name", ["r.png", "r.preview.png", "r.watch.png", "r.png.json", "r.png.state"])
@pytest.mark.parametrize("key", ["content", "style", "init"])
def test_no_file_of_a_render_overwrites_its_inputs(project: Path, key: str, name: str) -> None:
    shutil.copy(project / "photo.png", project / name)
    keys = {"content": "photo.png", "style": "ink.png", key: name}
    (project / "r.yaml").write_text("".join(f"{one}: {file}\n" for one, file in keys.items()))
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite {key if key != 'style' else 'styles'}"):
        load_recipe(project / "r.yaml")


@pytest.mark.parametrize("recipe", ["r.png.json", "r.png.state"])
def test_a_recipe_is_not_overwritten_by_files_next_to_its_output(project: Path, recipe: str) -> None:
    (project / recipe).write_text(f"{RECIPE}output: r.png\n")
    with pytest.raises(GuidedStyleError, match=f"{recipe} would overwrite the recipe"):
        load_recipe(project / recipe)


@pytest.mark.parametrize("name", ["r.preview.png", "r.watch.png"])
def test_a_finished_image_with_the_name_of_a_preview_is_not_overwritten(project: Path, name: str) -> None:
    (project / "r.yaml").write_text(RECIPE)
    (project / name).write_bytes(b"the image so far")
    assert load_recipe(project / "r.yaml")
    (project / f"{name}.json").write_text("{}")
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite a finished image"):
        load_recipe(project / "r.yaml")


@pytest.mark.parametrize("sandbox", [(), ("--sandbox",)], ids=["free", "sandbox"])
@pytest.mark.parametrize("output", ["output: .", "output: /", "output: ink.png/.."])
def test_a_folder_is_not_an_output(project: Path, output: str, sandbox: tuple[str, ...]) -> None:
    (project / "r.yaml").write_text(f"{RECIPE}{output}\n")
    refuse(project, "render", "r.yaml", *sandbox, said="does not have the suffix of an image")


def test_inputs_of_an_invalid_recipe_of_the_call_are_not_overwritten(project: Path) -> None:
    (project / "a.yaml").write_text(RECIPE)
    (project / "b.yaml").write_text("content: a.png\nstyle: nowhere.png\n")
    shutil.copy(project / "photo.png", project / "a.png")
    for other in ("b.yaml", "a.png"):
        good, _ = make_jobs(list_orders([project / "a.yaml", project / other]))
        assert isinstance(good, Failure)
        assert "a.png would overwrite" in str(good.error)


def test_a_recipe_given_twice_is_rendered_once(project: Path) -> None:
    (project / "a.yaml").write_text(RECIPE)
    assert [type(job) for job in make_jobs(list_orders([project / "a.yaml"] * 2))] == [Job, Failure]


def test_no_variant_overwrites_an_input_of_another(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    shutil.copy(project / "photo.png", project / "content=photo.png.png")
    vary = ("--vary", "content=photo.png,content=photo.png.png")
    said = "content=photo.png.png would overwrite content"
    refuse(project, "sweep", "r.yaml", *vary, "-o", ".", *TINY, said=said)


@pytest.mark.slow
def test_a_report_does_not_overwrite_the_recipe(project: Path) -> None:
    (project / "r.html").write_text(RECIPE)
    refuse(project, "render", "r.html", *TINY, "--report", "r.html", said="r.html would overwrite the recipe")


@pytest.mark.slow
def test_an_image_used_as_a_recipe_is_not_overwritten(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0
    refuse(project, "render", "r.png", *TINY, "-o", "r.png", said="r.png would overwrite the recipe")


@pytest.mark.slow
def test_frames_that_a_render_starts_from_are_not_deleted(project: Path) -> None:
    frame = project / "r.png.frames" / "000002.png"
    frame.parent.mkdir()
    shutil.copy(project / "photo.png", frame)
    (project / "r.yaml").write_text(f"{RECIPE}init: {frame.relative_to(project)}\n")
    refuse(project, "render", "r.yaml", *TINY, "--save-every", "1", said="000002.png would overwrite init.file")
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0  # nothing is cleared away here
    assert frame.exists()


@pytest.mark.parametrize("name", ["sheet.png", "table.csv", "smoothness=2.png.json", "smoothness=1.png"])
def test_a_sweep_does_not_overwrite_its_inputs(project: Path, name: str) -> None:
    shutil.copy(project / "photo.png", project / name)
    (project / "r.yaml").write_text(f"content: {name}\nstyle: ink.png\n")
    refuse(project, "sweep", "r.yaml", "--vary", "smoothness=1,2", *TINY, "-o", ".", said=f"{name} would overwrite")


@pytest.mark.parametrize("name", ["r-sweep", "r-sweep/sheet.png", "r-sweep/smoothness=1.png"])
def test_a_sweep_in_a_sandbox_stays_in_it(project: Path, name: str) -> None:
    inside, link = project / "inside", project / "inside" / name
    link.parent.mkdir(parents=True)
    for file in ("photo.png", "ink.png"):
        shutil.copy(project / file, inside)
    (inside / "r.yaml").write_text(RECIPE)
    link.symlink_to(project / "victim")
    command = ("sweep", "inside/r.yaml", "--vary", "smoothness=1,2", *TINY, "--sandbox")
    refuse(project, *command, said=f"--sandbox: inside/{name}")


@pytest.mark.slow
def test_links_among_frames_are_not_part_of_a_film(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    frames = project / "r.png.frames"
    frames.mkdir()
    (frames / "000001.png").symlink_to(project / "secret.png")
    draw_image(32, 32, 3).save(project / "secret.png")
    film = ("--save-every", "2", "--timelapse", "film.avi")
    assert run("render", "r.yaml", *TINY, *film, "--resume", folder=project).returncode == 0
    assert (frames / "000001.png").is_symlink()
    assert count_frames(project / "film.avi") == 1 + 6  # the last one stays


def count_frames(film: Path) -> int:
    import cv2

    video, count = cv2.VideoCapture(str(film)), 0
    while video.read()[0]:
        count += 1
    return count


@pytest.mark.slow
def test_frames_of_an_earlier_render_are_not_part_of_a_film(project: Path) -> None:
    (project / "r.yaml").write_text(f"{RECIPE}solver: {{tolerance: 0}}\n")
    frames, size = project / "r.png.frames", ("--size", "32", "--device", "cpu")
    assert run("render", "r.yaml", *size, "--steps", "6", "--save-every", "2", folder=project).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png", "000006.png"]
    again = ("--steps", "4", "--set", "solver.seed=5", "--resume", "--save-every", "2")
    assert run("render", "r.yaml", *size, *again, folder=project).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png"]


@pytest.mark.slow
def test_a_comparison_does_not_overwrite_inputs_of_a_compared_image(project: Path) -> None:
    (project / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=project).returncode == 0
    (project / "r.png.json").unlink()
    refuse(project, "compare", "r.png", "photo.png", "-o", "ink.png", said="ink.png would overwrite ink.png")
