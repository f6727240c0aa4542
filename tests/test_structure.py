"""Modules that start without torch, and a command line that starts without heavy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.images import draw_image


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


@pytest.mark.parametrize("tile", ["off", 64])
def test_a_render_does_not_import_sympy(tile: str | int, tmp_path: Path) -> None:
    """It takes 0.4 s, and torch imports it for gradients that are given to `torch.autograd.grad`."""
    draw_image(64, 64, 1).save(tmp_path / "style.png")
    recipe = {"canvas": [128, 128], "style": str(tmp_path / "style.png"), "solver": {"steps": 2}}
    code = f"import sys, guidedstyle; guidedstyle.render({recipe}, tile={tile!r}); sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
