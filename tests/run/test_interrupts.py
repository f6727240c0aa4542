"""Ctrl-C, kill -9, closed pipes and two renders of one output: every file that exists is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.processes import spawn, wait_for
from support.renders import OFTEN, RENDER, check_image, end, list_temporary, start

from guidedstyle.run.interrupts import EXITING, STOPPING

pytestmark = pytest.mark.slow

NO_THREADS = """
import threading
def fail(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = fail
"""
NO_FILES = """
import socket
def fail():
    raise OSError(24, "Too many open files")
socket.socketpair = fail
"""

SLOW_SAVE = """
import time, guidedstyle.io.files
flush = guidedstyle.io.files._flush
guidedstyle.io.files._flush = lambda file: time.sleep(3 if b"PNG" in file.read_bytes()[:4] else 0) or flush(file)
"""


AT_IMPORT = """
import os, signal
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("module", ["torch._C", "guidedstyle.app.render"])
def test_ctrl_c_within_an_import_prints_no_traceback(project: Path, module: str) -> None:
    """An exception from within the import of torch can be lost."""
    assert end(start(project, *RENDER, fault=AT_IMPORT.format(module=module))) == (130, "interrupted\n")


SIGNAL_AT = """
import os, signal, guidedstyle.app.render
import guidedstyle.engine.{module} as module
before, calls = module.{name}, []
def call(*arguments, **keywords):
    calls.append(0)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGINT)
    return before(*arguments, **keywords)
module.{name} = call
"""


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [("objective.targets", "TargetBuilder.make_terms", 1), ("render", "enlarge", 1), ("render", "Objective", 2)],
    ids=["styles", "small", "final"],
)
def test_ctrl_c_at_any_stage_leaves_a_whole_image_and_the_render_can_be_resumed(
    project: Path, module: str, name: str, call: int
) -> None:
    """While the style images are measured, at the small scale, and when the final scale begins."""
    sizes = ("--size", "260", "--set", "solver.sizes=2", "--steps", "24")
    fault = SIGNAL_AT.format(module=module, name=name, call=call)
    code, said = end(start(project, *RENDER, *sizes, fault=fault))
    assert (code, "stopping after this step" in said) == (130, True)
    check_image(project / "recipe.png", (173, 260, 3))
    assert not list_temporary(project)
    code, said = end(start(project, *RENDER, *sizes, "--resume"))
    assert (code, "resumes from step" in said) == (0, True), said
    check_image(project / "recipe.png", (173, 260, 3))


def test_ctrl_c_while_a_style_image_is_synthesised_writes_nothing(project: Path) -> None:
    styles = "styles: {both: {fine: ink, coarse: oil}, ink: ink.png, oil: oil.png}\n"
    (project / "both.yaml").write_text(f"content: photo.png\nstyle: both\n{styles}")
    fault = SIGNAL_AT.format(module="objective.targets", name="TargetBuilder.make_terms", call=1)
    code, said = end(start(project, "render", "both.yaml", "-q", "--size", "96", fault=fault))
    assert (code, said) == (130, "interrupted before the first step. Nothing was written.\n")
    assert not (project / "both.png").exists()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_the_save_leaves_a_whole_image(project: Path, times: int) -> None:
    assert end(start(project, *RENDER, "-q", "--steps", "2"))[0] == 0
    earlier = (project / "recipe.png").read_bytes()
    process = start(project, *RENDER, "--preview-every", "off", fault=SLOW_SAVE)
    while not list(project.glob(".recipe.png.[0-9]*.part")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    for _ in range(times):
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    code, said = end(process)
    assert code == (0 if times == 1 else 130), said
    assert ((project / "recipe.png").read_bytes() == earlier) == (times == 2)
    check_image(project / "recipe.png")
    assert not list_temporary(project)
    assert not (project / "recipe.png.state").exists()


ECHOES = """
import os, signal, time
from guidedstyle.run.interrupts import ECHO, interruptible
with interruptible(print) as stop:
    for number, pause in {signals}:
        time.sleep(pause * ECHO)
        os.kill(os.getpid(), number)
    time.sleep(ECHO)
print(stop.is_set())
"""


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such signals")
@pytest.mark.parametrize(
    ("signals", "ended"),
    [
        ([(signal.SIGINT, 0), (signal.SIGINT, 0.05)], (0, "True")),
        ([(signal.SIGHUP, 0), (signal.SIGHUP, 2), (signal.SIGHUP, 2)], (0, "True")),
        ([(signal.SIGINT, 0), (signal.SIGTERM, 2)], (130, EXITING)),
    ],
    ids=["within ECHO", "SIGHUP", "a second one"],
)
def test_a_signal_that_the_system_repeats_counts_once(signals: list[tuple[int, float]], ended: tuple[int, str]) -> None:
    sent = [(int(number), pause) for number, pause in signals]
    process = spawn([sys.executable, "-u", "-c", ECHOES.format(signals=sent)])
    said = process.communicate(timeout=60)[0].splitlines()
    assert said[0] == STOPPING
    assert (process.returncode, said[-1]) == ended


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such terminals")
@pytest.mark.parametrize("hangup", [True, False], ids=["SIGHUP", "no signal"])
def test_a_closed_terminal_loses_no_image(project: Path, hangup: bool) -> None:
    """With SIGHUP a render stops and saves; without it, as after `disown`, it continues to its end."""
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "guidedstyle", *RENDER, *OFTEN, "--steps", "100000" if hangup else "150"]
    process = spawn(command, cwd=project, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    wait_for(project / "recipe.png.state", process)
    os.close(reader)
    for _ in range(3 if hangup else 0):  # from the shell, the system, and a launcher
        process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    assert process.wait(timeout=200) == (130 if hangup else 0)
    check_image(project / "recipe.png")
    assert not (project / "recipe.preview.png").exists()
    assert (project / "recipe.png.state").exists() == hangup
    assert not list_temporary(project)


def test_a_second_render_of_an_output_is_refused_and_the_first_continues(project: Path) -> None:
    first = start(project, *RENDER, *OFTEN, "--steps", "100000")
    wait_for(project / "recipe.png.state", first)
    code, said = end(start(project, *RENDER, "--resume"))
    assert code == 2
    assert f"recipe.png: another process writes it: {first.pid}\n    hint: wait until it has finished" in said
    assert (project / "recipe.png.state").exists()
    first.send_signal(signal.SIGINT)
    assert end(first)[0] == 130
    check_image(project / "recipe.png")
    assert not list_temporary(project)


def test_a_second_sweep_into_a_folder_is_refused_and_the_first_continues(project: Path) -> None:
    sweep = ("sweep", "recipe.yaml", "--vary", "smoothness=1,2", "--device", "cpu", "--set", "solver.tolerance=0")
    first = start(project, *sweep, "--steps", "100000")
    wait_for(project / "recipe-sweep" / ".sheet.png.lock", first)
    code, said = end(start(project, *sweep))
    assert code == 2
    assert f"recipe-sweep/sheet.png: another process writes it: {first.pid}" in said
    first.send_signal(signal.SIGINT)
    assert end(first)[0] == 130
    assert not list_temporary(project)


def test_leftovers_of_a_killed_render_do_not_block_the_next(project: Path) -> None:
    first = start(project, *RENDER, *OFTEN, "--steps", "100000")
    wait_for(project / "recipe.png.state", first)
    first.kill()
    end(first)
    assert list_temporary(project)
    code, said = end(start(project, *RENDER))
    assert code == 0, said
    assert not list_temporary(project)


@pytest.mark.parametrize("command", [["schema"], ["--help"], ["check", "recipe.yaml"]], ids=lambda words: words[0])
def test_a_closed_pipe_ends_a_command_quietly(project: Path, command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = [sys.executable, "-m", "guidedstyle", *command]
    done = subprocess.run(run, cwd=project, stdout=writer, stderr=-1, text=True, timeout=200)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("fault", [NO_THREADS, NO_FILES], ids=["threads", "files"])
def test_ctrl_c_stops_a_render_where_no_thread_can_wait_for_it(project: Path, fault: str) -> None:
    at = SIGNAL_AT.format(module="render", name="enlarge", call=1)
    code, said = end(start(project, *RENDER, fault=fault + at))
    assert (code, STOPPING in said) == (130, True), said
    check_image(project / "recipe.png")
    assert not list_temporary(project)
