"""Run commands in forked, measured children, so that a case takes milliseconds, and check their error messages."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

TIMEOUT = 20  # seconds by the clock
MOST_SECONDS = 2  # of processor time, which other processes do not change
MOST_MEMORY = 2**30
CAPABILITIES = 0x20080522  # version 3 of the kernel's interface

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
PROBLEM = re.compile(r"error: (\S.*: \S.*\n {4})hint: (\S.*\n)")  # a place and a rule, and below them a remedy
USAGE = re.compile(r"(Usage: .*\n(?P<remedy>Try '.* --help' for help\.)\n)?╭─ Error ─*╮\n│ (?P<rule>.*?) *│\n╰─*╯\n")
END = re.compile(r"(\d+) errors?\. Nothing was written\.\n")
PYTHON = re.compile(r"(?<!['\w])(None|True|False)(?!['\w])|<class|Error\(|object at 0x|datetime\.")


@dataclass(frozen=True)
class Done:
    """The result of a command: its output, seconds of processor time and by the clock, and peak memory in bytes."""

    code: int
    out: str
    err: str
    seconds: float
    clock: float
    memory: int


class CommandServer:
    """A process that has imported the commands, without torch, and forks a child for each run."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        environment = {"TMPDIR": str(scratch), "COLUMNS": "1000", "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__)), "serve"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=os.environ | environment, stdin=pipe, stdout=pipe, text=True)

    def run(self, folder: Path, *arguments: object) -> Done:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([str(folder), *map(str, arguments)]), file=self.process.stdin, flush=True)
        return Done(**json.loads(self.process.stdout.readline()))

    def refuse(self, folder: Path, *arguments: object) -> list[str]:
        """Run a command that must fail; check its error message and return the problems. No file may change."""
        before = list_files(folder)
        done = self.run(folder, *arguments)
        check_refusal(done)
        assert list_files(folder) == before
        assert not list(self.scratch.iterdir())
        return read_problems(done.err)

    def accept(self, folder: Path, *arguments: object) -> Done:
        done = self.run(folder, *arguments)
        assert (done.code, done.err) == (0, ""), done.err
        return done


@contextmanager
def start_command_server(scratch: Path) -> Iterator[CommandServer]:
    scratch.mkdir()
    server = CommandServer(scratch)
    yield server
    server.process.communicate()


def write_images(folder: Path) -> Path:
    """Write a content image (96 x 64), a style image, and a mask of the left half of the content."""
    left = Image.new("L", (96, 64))
    left.paste(255, (0, 0, 48, 64))
    left.save(folder / "left.png")
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(folder / "photo.png")
    Image.radial_gradient("L").resize((80, 80)).convert("RGB").save(folder / "ink.png")
    return folder


def check_refusal(done: Done) -> None:
    """Check that an error message is readable, from this program, quick, and the only output."""
    assert done.code == 2, (done.code, done.out, done.err)
    assert done.out == ""
    assert "Traceback" not in done.err
    assert not {unicodedata.category(letter) for letter in done.err.replace("\n", "")} & INVISIBLE, repr(done.err)
    assert not PYTHON.search(done.err), done.err
    assert done.seconds < MOST_SECONDS, done
    assert done.memory < MOST_MEMORY, done


def read_problems(message: str) -> list[str]:
    """Parse an error message into its problems (place, rule, remedy); it holds nothing else except their number."""
    if usage := USAGE.fullmatch(message):
        return [f"{usage['rule']}\n    {usage['remedy']}"]
    found = list(PROBLEM.finditer(message))
    end = END.fullmatch(PROBLEM.sub("", message))
    assert end, message
    assert int(end[1]) == len(found) > 0, message
    return [match[1] + match[2] for match in found]


def list_files(folder: Path) -> dict[str, tuple[int, ...]]:
    """List everything in a folder, with mode, size and time of change."""
    names = [Path(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files)]
    stats = {str(name): name.lstat() for name in names}
    return {name: (stat.st_mode, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


READY = (
    "cli.main",
    "app.jobs",
    "app.starters.documents",
    "app.starters.projects",
    "app.variants",
    "results.comparison",
    "results.sheets",
    "cli.terminal.console",
    "recipe.schema",
    "run.options",
)


def serve() -> None:
    for module in READY:
        importlib.import_module(f"guidedstyle.{module}")
    importlib.import_module("typer.rich_utils")
    importlib.import_module("typer.main").get_command(sys.modules["guidedstyle.cli.main"].app)  # warms its caches
    Image.init()
    gc.freeze()
    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        print(json.dumps(_run(folder, arguments)), flush=True)


def _run(folder: str, arguments: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        child = os.fork()
        if not child:
            _run_command(folder, arguments, out, err)
        _, status, usage = os.wait4(child, 0)
        clock = time.monotonic() - began
        texts = {name: _read(stream) for name, stream in (("out", out), ("err", err))}
    work = {"seconds": usage.ru_utime + usage.ru_stime, "clock": clock, "memory": usage.ru_maxrss * 1024}
    return {"code": os.waitstatus_to_exitcode(status), **texts, **work}


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="backslashreplace")


def _run_command(folder: str, arguments: Sequence[str], out: IO[bytes], err: IO[bytes]) -> None:
    code: Any = 1
    try:
        signal.alarm(TIMEOUT)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(folder)
        _drop_capabilities()
        for target, stream in enumerate((Path(os.devnull).open(), out, err)):  # noqa: SIM115
            os.dup2(stream.fileno(), target)
        sys.modules["torch"] = None  # type: ignore[assignment]  # errors are reported before it is loaded
        sys.argv = ["guidedstyle", *arguments]
        sys.modules["guidedstyle.cli.main"].main()
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def _drop_capabilities() -> None:
    """Make file permissions apply to root too."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        none = (ctypes.c_uint32 * 6)()
        assert library.capset((ctypes.c_uint32 * 2)(CAPABILITIES, 0), none) == 0, os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    serve()
