"""Modules that start without torch, and a command line that starts without heavy imports."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "cli.main",
        "recipe.model",
        "recipe.loading.loader",
        "scene.opening",
        "cli.terminal.console",
        "recipe.schema",
        "scene.check",
        "results.sheets",
        "app.starters.documents",
        "app.starters.projects",
    ],
)
def test_starts_without_torch(module: str) -> None:
    code = f"import sys, guidedstyle.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = {"numpy", "PIL", "cv2", "pydantic", "yaml"}
    code = f"import sys, guidedstyle.cli.main; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
