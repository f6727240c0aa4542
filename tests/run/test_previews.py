"""Previews, numbered frames and films of a render, and which of them are deleted at its end."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.video import check_timelapse, write_timelapse


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


def test_frames_are_numbered_by_step_and_as_large_as_the_image(project: Path) -> None:
    done = run("--size", "300", "--steps", "12", "--save-every", "4", folder=project)
    assert done.returncode == 0, done.stderr
    frames = sorted((project / "recipe.png.frames").iterdir())
    assert [frame.name for frame in frames] == ["000004.png", "000008.png", "000012.png"]
    last, image = (np.asarray(read_image(file), int) for file in (frames[-1], project / "recipe.png"))
    assert last.shape == image.shape == (200, 300, 3)
    assert np.abs(last - image).max() <= 1
    assert np.abs(np.asarray(read_image(frames[0]), int) - image).mean() > 2


def test_frames_of_an_earlier_render_are_deleted(project: Path) -> None:
    run("--steps", "12", "--save-every", "2", folder=project)
    (project / "recipe.png.frames" / "notes.txt").write_text("mine")
    run("--steps", "6", "--save-every", "3", folder=project)
    names = sorted(file.name for file in (project / "recipe.png.frames").iterdir())
    assert names == ["000003.png", "000006.png", "notes.txt"]


def test_a_film_has_every_frame_and_ends_with_the_image(project: Path) -> None:
    done = run("--size", "200", "--steps", "8", "--timelapse", "film.mp4", folder=project)
    assert done.returncode == 0, done.stderr
    film, frames = cv2.VideoCapture(str(project / "film.mp4")), []
    while (read := film.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB).astype(int))
    film.release()
    assert len(frames) == 4 + 6  # every second step, and the last stays for a second and a half at four a second
    image = np.asarray(read_image(project / "recipe.png").resize((200, 132)), int)
    assert frames[-1].shape == image.shape
    assert np.abs(frames[-1] - image).mean() < 12  # films are compressed
    assert np.abs(frames[0] - image).mean() > np.abs(frames[-1] - image).mean()


@pytest.mark.parametrize("name", ["film.mkv", "film", "film.png"])
def test_a_film_with_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(GuidedStyleError, match="does not have the suffix of a film"):
        check_timelapse(Path(name))


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_every_kind_of_film_can_be_written(tmp_path: Path, suffix: str) -> None:
    frames = [tmp_path / f"{number}.png" for number in range(3)]
    for number, frame in enumerate(frames):
        Image.new("RGB", (65, 43), (80 * number, 0, 0)).save(frame)
    write_timelapse(frames, Image.new("RGB", (65, 43), "red"), tmp_path / f"film{suffix}")
    film = cv2.VideoCapture(str(tmp_path / f"film{suffix}"))
    assert film.read()[1].shape == (42, 64, 3)
    film.release()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_shows_every_frame_and_repeats(tmp_path: Path, suffix: str) -> None:
    frames = [tmp_path / f"{number}.png" for number in range(3)]
    for number, frame in enumerate(frames):
        Image.new("RGB", (65, 43), (80 * number, 0, 0)).save(frame)
    last = Image.new("RGBA", (65, 43), (0, 0, 0, 0))  # transparent, which is shown on white
    write_timelapse(frames, last, tmp_path / f"film{suffix}")
    with Image.open(tmp_path / f"film{suffix}") as film:
        assert film.n_frames == 4 and film.size == (65, 43) and film.info["loop"] == 0
        colours, times = [], []
        for index in range(4):
            film.seek(index)
            film.load()
            colours.append(film.convert("RGB").getpixel((30, 20)))
            times.append(film.info["duration"])
    assert np.abs(np.subtract(colours, [(0, 0, 0), (80, 0, 0), (160, 0, 0), (255, 255, 255)])).max() < 8
    assert times == [250, 250, 250, 1500]


def test_an_animation_has_at_most_a_hundred_frames_of_960_px(tmp_path: Path) -> None:
    frames = [tmp_path / f"{number:03}.png" for number in range(230)]
    for number, frame in enumerate(frames):
        Image.new("RGB", (8, 8), (number, 255 - number, 0)).resize((24, 16)).save(frame)
    write_timelapse(frames, Image.new("RGB", (1200, 800)), tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert 70 < film.n_frames <= 101 and film.size == (960, 640)


def test_the_preview_exists_while_it_renders_and_is_deleted_afterwards(project: Path) -> None:
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(0.01):
            if (project / "recipe.preview.png").exists():
                with Image.open(project / "recipe.preview.png") as picture:
                    picture.load()
                    seen.append(picture.size)

    thread = threading.Thread(target=poll)
    thread.start()
    done = run("--size", "260", "--steps", "60", "--preview-every", "1", folder=project)
    ended.set()
    thread.join()
    assert done.returncode == 0, done.stderr
    assert set(seen) == {(260, 173)}
    assert not (project / "recipe.preview.png").exists()


def test_a_frame_that_cannot_be_written_is_reported_once_and_the_render_continues(project: Path) -> None:
    for number in (2, 3):
        (project / "recipe.png.frames" / f"00000{number}.png" / "in the way").mkdir(parents=True)
    done = run("--save-every", "1", folder=project)
    assert done.returncode == 0
    assert done.stderr.count("the render continues") == 1
    assert (project / "recipe.png").exists()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("--report", "page.yaml"), "is not the name of a web page"),
        (("--report", "folder.html"), "folder.html is a folder"),
        (("--report", "recipe.yaml/page.html"), "recipe.yaml cannot be created: recipe.yaml is a file"),
        (("--timelapse", "film.mkv"), "does not have the suffix of a film"),
        (("--preview-every", "often"), "neither a number of steps"),
        (("--set", "init={file: recipe.preview.png}"), "would overwrite init.file"),
        (("-o", "/proc/picture.png"), "nothing can be written here"),
        (("--timelapse", "/proc/film.mp4", "--overwrite"), "nothing can be written here"),
    ],
)
def test_files_that_could_not_be_written_are_refused_before_rendering(
    project: Path, arguments: tuple[str, ...], rule: str
) -> None:
    (project / "folder.html").mkdir()
    Image.new("RGB", (96, 64), "red").save(project / "recipe.preview.png")
    before = {file.name: file.stat().st_mtime_ns for file in project.iterdir()}
    done = run(*arguments, folder=project)
    assert done.returncode == 2
    assert rule in done.stderr
    assert "step" not in done.stderr.replace("number of steps", "")
    assert {file.name: file.stat().st_mtime_ns for file in project.iterdir()} == before
