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
def test_no_file_of_a_render_overwrites_its_inputs(studio: Path, key: str, name: str) -> None:
    shutil.copy(studio / "photo.png", studio / name)
    keys = {"content": "photo.png", "style": "ink.png", key: name}
    (studio / "r.yaml").write_text("".join(f"{one}: {file}\n" for one, file in keys.items()))
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite {key if key != 'style' else 'styles'}"):
        load_recipe(studio / "r.yaml")


@pytest.mark.parametrize("recipe", ["r.png.json", "r.png.state"])
def test_a_recipe_is_not_overwritten_by_files_next_to_its_output(studio: Path, recipe: str) -> None:
    (studio / recipe).write_text(f"{RECIPE}output: r.png\n")
    with pytest.raises(GuidedStyleError, match=f"{recipe} would overwrite the recipe"):
        load_recipe(studio / recipe)


@pytest.mark.parametrize("name", ["r.preview.png", "r.watch.png"])
def test_a_finished_image_with_the_name_of_a_preview_is_not_overwritten(studio: Path, name: str) -> None:
    (studio / "r.yaml").write_text(RECIPE)
    (studio / name).write_bytes(b"the image so far")
    assert load_recipe(studio / "r.yaml")
    (studio / f"{name}.json").write_text("{}")
    with pytest.raises(GuidedStyleError, match=f"{name} would overwrite a finished image"):
        load_recipe(studio / "r.yaml")


@pytest.mark.parametrize("sandbox", [(), ("--sandbox",)], ids=["free", "sandbox"])
@pytest.mark.parametrize("output", ["output: .", "output: /", "output: ink.png/.."])
def test_a_folder_is_not_an_output(studio: Path, output: str, sandbox: tuple[str, ...]) -> None:
    (studio / "r.yaml").write_text(f"{RECIPE}{output}\n")
    refuse(studio, "render", "r.yaml", *sandbox, said="does not have the suffix of an image")


def test_inputs_of_an_invalid_recipe_of_the_call_are_not_overwritten(studio: Path) -> None:
    (studio / "a.yaml").write_text(RECIPE)
    (studio / "b.yaml").write_text("content: a.png\nstyle: nowhere.png\n")
    shutil.copy(studio / "photo.png", studio / "a.png")
    for other in ("b.yaml", "a.png"):
        good, _ = make_jobs(list_orders([studio / "a.yaml", studio / other]))
        assert isinstance(good, Failure)
        assert "a.png would overwrite" in str(good.error)


def test_a_recipe_given_twice_is_rendered_once(studio: Path) -> None:
    (studio / "a.yaml").write_text(RECIPE)
    assert [type(job) for job in make_jobs(list_orders([studio / "a.yaml"] * 2))] == [Job, Failure]


def test_no_variant_overwrites_an_input_of_another(studio: Path) -> None:
    (studio / "r.yaml").write_text(RECIPE)
    shutil.copy(studio / "photo.png", studio / "content=photo.png.png")
    vary = ("--vary", "content=photo.png,content=photo.png.png")
    said = "content=photo.png.png would overwrite content"
    refuse(studio, "sweep", "r.yaml", *vary, "-o", ".", *TINY, said=said)


@pytest.mark.slow
def test_a_report_does_not_overwrite_the_recipe(studio: Path) -> None:
    (studio / "r.html").write_text(RECIPE)
    refuse(studio, "render", "r.html", *TINY, "--report", "r.html", said="r.html would overwrite the recipe")


@pytest.mark.slow
def test_an_image_used_as_a_recipe_is_not_overwritten(studio: Path) -> None:
    (studio / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=studio).returncode == 0
    refuse(studio, "render", "r.png", *TINY, "-o", "r.png", said="r.png would overwrite the recipe")


@pytest.mark.slow
def test_frames_that_a_render_starts_from_are_not_deleted(studio: Path) -> None:
    frame = studio / "r.png.frames" / "000002.png"
    frame.parent.mkdir()
    shutil.copy(studio / "photo.png", frame)
    (studio / "r.yaml").write_text(f"{RECIPE}init: {frame.relative_to(studio)}\n")
    refuse(studio, "render", "r.yaml", *TINY, "--save-every", "1", said="000002.png would overwrite init.file")
    assert run("render", "r.yaml", *TINY, folder=studio).returncode == 0  # nothing is cleared away here
    assert frame.exists()


@pytest.mark.parametrize("name", ["sheet.png", "table.csv", "smoothness=2.png.json", "smoothness=1.png"])
def test_a_sweep_does_not_overwrite_its_inputs(studio: Path, name: str) -> None:
    shutil.copy(studio / "photo.png", studio / name)
    (studio / "r.yaml").write_text(f"content: {name}\nstyle: ink.png\n")
    refuse(studio, "sweep", "r.yaml", "--vary", "smoothness=1,2", *TINY, "-o", ".", said=f"{name} would overwrite")


@pytest.mark.parametrize("name", ["r-sweep", "r-sweep/sheet.png", "r-sweep/smoothness=1.png"])
def test_a_sweep_in_a_sandbox_stays_in_it(studio: Path, name: str) -> None:
    inside, link = studio / "inside", studio / "inside" / name
    link.parent.mkdir(parents=True)
    for file in ("photo.png", "ink.png"):
        shutil.copy(studio / file, inside)
    (inside / "r.yaml").write_text(RECIPE)
    link.symlink_to(studio / "victim")
    command = ("sweep", "inside/r.yaml", "--vary", "smoothness=1,2", *TINY, "--sandbox")
    refuse(studio, *command, said=f"--sandbox: inside/{name}")


@pytest.mark.slow
def test_links_among_frames_are_not_part_of_a_film(studio: Path) -> None:
    (studio / "r.yaml").write_text(RECIPE)
    frames = studio / "r.png.frames"
    frames.mkdir()
    (frames / "000001.png").symlink_to(studio / "secret.png")
    draw_image(32, 32, 3).save(studio / "secret.png")
    film = ("--save-every", "2", "--timelapse", "film.avi")
    assert run("render", "r.yaml", *TINY, *film, "--resume", folder=studio).returncode == 0
    assert (frames / "000001.png").is_symlink()
    assert count_frames(studio / "film.avi") == 1 + 6  # the last one stays


def count_frames(film: Path) -> int:
    import cv2

    video, count = cv2.VideoCapture(str(film)), 0
    while video.read()[0]:
        count += 1
    return count


@pytest.mark.slow
def test_frames_of_an_earlier_render_are_not_part_of_a_film(studio: Path) -> None:
    (studio / "r.yaml").write_text(f"{RECIPE}solver: {{tolerance: 0}}\n")
    frames, size = studio / "r.png.frames", ("--size", "32", "--device", "cpu")
    assert run("render", "r.yaml", *size, "--steps", "6", "--save-every", "2", folder=studio).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png", "000006.png"]
    again = ("--steps", "4", "--set", "solver.seed=5", "--resume", "--save-every", "2")
    assert run("render", "r.yaml", *size, *again, folder=studio).returncode == 0
    assert [file.name for file in sorted(frames.iterdir())] == ["000002.png", "000004.png"]


@pytest.mark.slow
def test_a_comparison_does_not_overwrite_inputs_of_a_compared_image(studio: Path) -> None:
    (studio / "r.yaml").write_text(RECIPE)
    assert run("render", "r.yaml", *TINY, folder=studio).returncode == 0
    (studio / "r.png.json").unlink()
    refuse(studio, "compare", "r.png", "photo.png", "-o", "ink.png", said="ink.png would overwrite ink.png")
