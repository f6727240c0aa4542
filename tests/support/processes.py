"""Start processes that do not outlive their test, and wait for their files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTED = list["subprocess.Popen[str]"]()


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process; its output is kept for `communicate`, unless redirected."""
    STARTED.append(subprocess.Popen(command, **{"stdout": -1, "stderr": -1, "text": True, **options}))
    return STARTED[-1]


def end_all() -> None:
    """Kill processes that a failed test left running."""
    while STARTED:
        process = STARTED.pop()
        process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file exists; kill a process that does not write it."""
    end = time.monotonic() + 60
    while not file.exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"{file} was not written: {process.communicate()}")
        time.sleep(0.02)
