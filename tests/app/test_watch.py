"""`watch`: every save leads to a new preview, an invalid one to an error; no files or processes are left behind."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.images import draw_image

from guidedstyle.app.api import load_recipe, render
from guidedstyle.app.render import Renderer
from guidedstyle.app.watch import Watcher
from guidedstyle.cli.options import QUICK
from guidedstyle.cli.terminal.reporters import WatchReporter
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import OnUpdate, Update
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_image
from guidedstyle.results.result import Result
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Setting

pytestmark = pytest.mark.slow

SIZE = (180, 120)


def test_settings_override_the_defaults_of_watch(project: Path) -> None:
    command = [sys.executable, "-m", "guidedstyle", "watch", "recipe.yaml", "--set", "size=16000000", "--steps", "0"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--set size=16000000: size: 16000000 is too large" in done.stderr
    assert "--steps: solver.steps: 0 is too small" in done.stderr


@pytest.mark.parametrize(
    ("size", "steps", "settings", "expected"),
    [
        (256, 20, {}, (256, 20)),
        (768, 300, {}, (384, 60)),
        (None, None, {}, (384, 60)),
        (256, 300, {"size": 500}, (500, 60)),
        (768, 20, {"solver.steps": 100}, (384, 100)),
    ],
)
def test_a_preview_is_never_larger_than_the_recipe(
    project: Path, size: int | None, steps: int | None, settings: dict[str, int], expected: tuple[int, int]
) -> None:
    chosen = {**({"size": size} if size else {}), **({"solver": {"steps": steps}} if steps else {})}
    file = project / "recipe.yaml"
    read = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**{key: read[key] for key in read if key not in ("size", "solver")}, **chosen}))
    given = [Setting(key, value, "here") for key, value in settings.items()]
    recipe = Watcher(file, given, Renderer("cpu"), limits=QUICK).read().recipe
    assert (recipe.size, recipe.solver.most_steps) == expected


def test_every_error_has_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [problem for rule in ("a", "b") for problem in GuidedStyleError.of("here", rule, "mend it").problems]
    WatchReporter().failed("not rendered", GuidedStyleError(problems))
    told = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in told] == [
        f"error: not rendered: here: {rule}" for rule in ("a", "b")
    ]
    assert all(line[2] == ":" for line in told)


class Session:
    """A running `watch` and the lines that it prints."""

    def __init__(self, project: Path) -> None:
        command = [sys.executable, "-m", "guidedstyle", "watch", "recipe.yaml", "--size", "160", "--steps", "20"]
        self.process = subprocess.Popen(
            [*command, "--device", "cpu"], cwd=project, stdout=-1, stderr=subprocess.STDOUT, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line)

    def wait_for(self, word: str) -> str:
        """Wait for a line with a word in it."""
        seen = []
        while True:
            seen.append(self.lines.get(timeout=120))
            if word in seen[-1]:
                return seen[-1]


@pytest.fixture
def session(project: Path) -> Iterator[Session]:
    draw_image(*SIZE, 1).save(project / "photo.png")
    paint_mask(project, 0.5)
    recipe = (project / "recipe.yaml").read_text().replace("  oil: {image: oil.png}\n", "")
    (project / "recipe.yaml").write_text(recipe.replace("style: {oil: 0.75, ink: 0.25}", "keep: true"))
    session = Session(project)
    yield session
    session.process.kill()
    session.process.wait()
    session.reader.join()


def paint_mask(project: Path, share: float) -> None:
    """Save the mask as paint programs do: to a file next to it, which then replaces it."""
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[:, : round(share * SIZE[0])] = 255
    Image.fromarray(mask).save(project / "new.png", compress_level=0)  # files of one size: only their times differ
    (project / "new.png").replace(project / "left.png")


def read_preview(project: Path) -> np.ndarray:
    return np.asarray(Image.open(project / "recipe.watch.png"))


def measure_kept(project: Path) -> float:
    """Measure the share of a preview that is the content image's: the mask that it was rendered with."""
    return float((read_preview(project) == np.asarray(read_image(project / "photo.png", 160))).all((0, 2)).mean())


def test_it_says_at_once_what_it_watches_and_shows_progress_with_the_time(project: Path, session: Session) -> None:
    first = session.lines.get(timeout=120)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  watching recipe.yaml and photo.png, ink.png, left.png\n", first)
    second = session.lines.get(timeout=10)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  open recipe.watch.png: .* after every save; Ctrl-C ends\n", second)
    assert "20 left" not in session.wait_for("step ")
    assert re.match(r"\d\d:\d\d:\d\d  recipe.watch.png  first after", session.wait_for("complete after"))


def test_the_first_image_is_a_draft_of_the_final_size(project: Path, session: Session) -> None:
    while not (project / "recipe.watch.png").exists():
        assert session.process.poll() is None
        time.sleep(0.01)
    first = read_preview(project).astype(float)
    session.wait_for("complete after")
    draft = render(load_recipe(project / "recipe.yaml", {"size": 160, "method": "draft", "solver": None}))
    assert draft
    assert abs(first - np.asarray(draft.picture)).max() <= 1
    assert abs(read_preview(project) - first).mean() > 1


class CountingRenderer(Renderer):
    """Counts the renders it begins, by their recipe's strength, and saves another recipe during the first one."""

    def __init__(self, file: Path, new: str, stop: StopRequest) -> None:
        super().__init__("cpu")
        self.file, self.new, self.stop, self.seen = file, new, stop, list[tuple[float, bool]]()

    def render(self, scene: Scene, plan: Plan, on_update: OnUpdate = lambda update: True, **keys: Any) -> Result:
        def save(update: Update) -> bool:
            if len(self.seen) == 0 and update.done == 2:
                self.file.write_text(self.new)
            return on_update(update)

        result = super().render(scene, plan, save, **keys)
        self.seen.append((scene.recipe.strength, result.rendering.finished))
        if len(self.seen) == 3:
            self.stop.set()
        return result


def test_a_save_during_the_draft_starts_over_at_once(project: Path) -> None:
    """The recipe of before is not rendered any further, and its preview is not written."""
    draw_image(*SIZE, 1).save(project / "photo.png")
    file, stop = project / "recipe.yaml", StopRequest()
    text = file.read_text().replace("{steps: 4}", "{steps: 20}")
    file.write_text(text)
    renderer = CountingRenderer(file, text + "strength: 2\n", stop)
    Watcher(file, [Setting("size", 160, "test")], renderer, stop=stop).run()
    assert renderer.seen == [(1.0, False), (2.0, True), (2.0, True)]


def test_every_save_of_the_mask_leads_to_a_new_preview(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    for share in (0.1, 0.3, 0.6, 0.8, 0.9):
        before = (project / "recipe.watch.png").stat().st_mtime_ns
        began = time.monotonic()
        paint_mask(project, share)
        while (project / "recipe.watch.png").stat().st_mtime_ns == before:
            assert time.monotonic() - began < 100
            time.sleep(0.01)
        print(
            f"from save to first preview: {time.monotonic() - began:.2f} s; "
            f"{session.wait_for('complete after').strip()}"
        )
        assert measure_kept(project) == pytest.approx(share, abs=0.03)


def test_a_save_while_it_renders_is_not_lost(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    before = (project / "recipe.watch.png").stat().st_mtime_ns
    paint_mask(project, 0.1)
    while (project / "recipe.watch.png").stat().st_mtime_ns == before:
        assert session.process.poll() is None
        time.sleep(0.01)
    paint_mask(project, 0.9)  # the earlier save has its first image, but not its last
    session.wait_for("complete after")
    assert measure_kept(project) == pytest.approx(0.9, abs=0.03)


def test_an_invalid_save_is_reported_and_the_next_valid_one_is_rendered(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    recipe = project / "recipe.yaml"
    good = recipe.read_text()
    recipe.write_text(good.replace("left.png", "lost.png"))
    assert "lost.png" in session.wait_for("there is no file")
    recipe.write_text(good.replace("{steps: 4}", "{steps: four"))
    session.wait_for("recipe.yaml:")
    recipe.write_text(good)
    assert re.match(r"\d\d:\d\d:\d\d  fixed: recipe.yaml:\d+: ", session.wait_for("fixed: "))
    session.wait_for("complete after")


def test_a_missing_mask_may_be_saved_later(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    (project / "left.png").unlink()
    session.wait_for("there is no file")
    paint_mask(project, 0.4)
    session.wait_for("complete after")


def test_a_folder_that_vanishes_may_come_back(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    (project / "paint").mkdir()
    (project / "ink.png").rename(project / "paint" / "ink.png")
    recipe = project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("ink.png", "paint/ink.png"))
    session.wait_for("complete after")
    (project / "paint").rename(project / "elsewhere")
    session.wait_for("there is no")
    (project / "elsewhere").rename(project / "paint")
    session.wait_for("complete after")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up as Linux lists them")
def test_ctrl_c_ends_it_and_nothing_is_left_behind(project: Path, session: Session) -> None:
    session.wait_for("complete after")
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(session.process.pid)], capture_output=True, text=True)
    session.process.send_signal(signal.SIGINT)
    assert session.process.wait(timeout=20) == 0
    assert not [child for child in found.stdout.split() if Path(f"/proc/{child}").exists()]
    names = {file.name for file in project.iterdir()}
    assert names == {"photo.png", "ink.png", "oil.png", "left.png", "recipe.yaml", "recipe.watch.png"}
