"""Processes that tests start, none of which outlives its test, and waiting for what they leave."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTED = list["subprocess.Popen[str]"]()


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process; what it says is kept for `communicate`, unless it is sent elsewhere."""
    STARTED.append(subprocess.Popen(command, **{"stdout": -1, "stderr": -1, "text": True, **options}))
    return STARTED[-1]


def end_all() -> None:
    """End what still runs: of a test that failed."""
    while STARTED:
        process = STARTED.pop()
        process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there; a process that does not make it is ended."""
    end = time.monotonic() + 60
    while not file.exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"{file} is not made: {process.communicate()}")
        time.sleep(0.02)
