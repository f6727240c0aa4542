"""Wait for what a process that was started leaves."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there; a process that does not make it is ended."""
    end = time.monotonic() + 60
    while not file.exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"{file} is not made: {process.communicate()}")
        time.sleep(0.02)
