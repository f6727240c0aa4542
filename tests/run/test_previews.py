"""What is kept on the way: previews, numbered frames, a film; and what is cleared away."""

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
from guidedstyle.io.images import read_image
from guidedstyle.io.video import check_timelapse, write_timelapse
from guidedstyle.run.options import NEVER, Every, Throttle, read_every


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


def test_frames_are_numbered_by_step_and_as_large_as_the_picture(studio: Path) -> None:
    done = run("--size", "300", "--steps", "12", "--save-every", "4", folder=studio)
    assert done.returncode == 0, done.stderr
    frames = sorted((studio / "recipe.png.frames").iterdir())
    assert [frame.name for frame in frames] == ["000004.png", "000008.png", "000012.png"]
    last, picture = (np.asarray(read_image(file), int) for file in (frames[-1], studio / "recipe.png"))
    assert last.shape == picture.shape == (200, 300, 3)
    assert np.abs(last - picture).max() <= 1
    assert np.abs(np.asarray(read_image(frames[0]), int) - picture).mean() > 2


def test_frames_of_an_earlier_render_do_not_stay_among_the_new(studio: Path) -> None:
    run("--steps", "12", "--save-every", "2", folder=studio)
    (studio / "recipe.png.frames" / "notes.txt").write_text("mine")
    run("--steps", "6", "--save-every", "3", folder=studio)
    names = sorted(file.name for file in (studio / "recipe.png.frames").iterdir())
    assert names == ["000003.png", "000006.png", "notes.txt"]


def test_a_film_has_every_frame_and_ends_with_the_picture(studio: Path) -> None:
    done = run("--size", "200", "--steps", "8", "--timelapse", "film.mp4", folder=studio)
    assert done.returncode == 0, done.stderr
    film, frames = cv2.VideoCapture(str(studio / "film.mp4")), []
    while (read := film.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB).astype(int))
    film.release()
    assert len(frames) == 4 + 6  # every second step, and the last stays for a second and a half at four a second
    picture = np.asarray(read_image(studio / "recipe.png").resize((200, 132)), int)
    assert frames[-1].shape == picture.shape
    assert np.abs(frames[-1] - picture).mean() < 12  # films are compressed
    assert np.abs(frames[0] - picture).mean() > np.abs(frames[-1] - picture).mean()


@pytest.mark.parametrize("name", ["film.gif", "film", "film.png"])
def test_a_film_by_another_name_is_refused_before_the_work(name: str) -> None:
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


def test_the_preview_is_there_while_it_renders_and_gone_afterwards(studio: Path) -> None:
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(0.01):
            if (studio / "recipe.preview.png").exists():
                with Image.open(studio / "recipe.preview.png") as picture:
                    picture.load()
                    seen.append(picture.size)

    thread = threading.Thread(target=poll)
    thread.start()
    done = run("--size", "260", "--steps", "60", "--preview-every", "1", folder=studio)
    ended.set()
    thread.join()
    assert done.returncode == 0, done.stderr
    assert set(seen) == {(260, 173)}
    assert not (studio / "recipe.preview.png").exists()


def test_a_frame_that_cannot_be_written_is_told_once_and_the_render_goes_on(studio: Path) -> None:
    for number in (2, 3):
        (studio / "recipe.png.frames" / f"00000{number}.png" / "in the way").mkdir(parents=True)
    done = run("--save-every", "1", folder=studio)
    assert done.returncode == 0
    assert done.stderr.count("the render continues") == 1
    assert (studio / "recipe.png").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--report", "page.yaml"), "is not the name of a web page"),
        (("--report", "folder.html"), "folder.html is a folder"),
        (("--report", "none/page.html"), "there is no folder none"),
        (("--timelapse", "film.gif"), "does not have the suffix of a film"),
        (("--preview-every", "often"), "neither a number of steps"),
        (("--set", "init={file: recipe.preview.png}"), "would overwrite init.file"),
        (("-o", "/proc/picture.png"), "nothing can be written here"),
        (("--timelapse", "/proc/film.mp4"), "nothing can be written here"),
    ],
)
def test_what_could_not_be_kept_is_told_before_the_work(studio: Path, arguments: tuple[str, ...], told: str) -> None:
    (studio / "folder.html").mkdir()
    Image.new("RGB", (96, 64), "red").save(studio / "recipe.preview.png")
    before = {file.name: file.stat().st_mtime_ns for file in studio.iterdir()}
    done = run(*arguments, folder=studio)
    assert done.returncode == 2
    assert told in done.stderr
    assert "step" not in done.stderr.replace("number of steps", "")
    assert {file.name: file.stat().st_mtime_ns for file in studio.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "every"), [("20", Every(steps=20)), ("5s", Every(seconds=5)), ("0.5s", Every(seconds=0.5))]
)
def test_rhythms_are_steps_or_seconds(text: str, every: Every) -> None:
    assert read_every(text, "--x") == every
    assert read_every("off", "--x") == NEVER


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5m", "1e3", "often", "s", "٣"])
def test_no_rhythm_is_refused(text: str) -> None:
    with pytest.raises(GuidedStyleError, match="--x"):
        read_every(text, "--x")


def test_what_takes_long_is_done_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = [0.0], list[float]()
    monkeypatch.setattr("guidedstyle.run.options.time.monotonic", lambda: now[0])
    throttle = Throttle(Every(seconds=1))

    def work() -> None:
        done.append(now[0])
        now[0] += 1  # second

    for step in range(1, 1000):
        now[0] += 0.1
        throttle.run(step, work)
    assert len(done) * 1 <= 0.06 * now[0]
    assert len(done) > 3
