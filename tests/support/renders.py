"""Render in this process, or in another that can be interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from support.processes import spawn

from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Rendering, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.losses.propagation import OctaveLayer
from guidedstyle.losses.terms import StyleTerm
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.types import Setting

RENDER = ("render", "recipe.yaml", "--device", "cpu", "--set", "solver.tolerance=0")

OFTEN = ("--preview-every", "1", "--checkpoint-every", "1")

MAIN = "import sys\n{fault}\nfrom guidedstyle.__main__ import main\nmain()"


def start(project: Path, *arguments: object, fault: str = "") -> subprocess.Popen[str]:
    """Start the command line; `fault` is code that runs first, to simulate a fault of the machine."""
    command = [sys.executable, "-c", MAIN.format(fault=fault), *map(str, arguments)]
    (project / "tmp").mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(project / "tmp"), "OMP_NUM_THREADS": "1"}
    return spawn(command, cwd=project, env=environment)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit code and the output, which must not contain a traceback."""
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in out + err
    return process.returncode, out + err


def check_image(file: Path, shape: tuple[int, ...] = (64, 96, 3)) -> None:
    assert np.asarray(Image.open(file)).shape == shape
    assert (file.with_name(file.name + ".json")).read_text().endswith("}\n")


def list_temporary(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.name.endswith((".part", ".lock"))]


def find_term(objective: Objective, key: OctaveLayer) -> StyleTerm:
    (term,) = (term for term in objective.style_terms if term.key == key)
    return term


def paint(file: Path, precision: torch.dtype | None = None, **settings: object) -> Rendering:
    scene = open_scene(
        read_recipe(file, [Setting(key.replace("__", "."), value, "here") for key, value in settings.items()])
    )
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    return render(scene, encoder, replace(plan, precision=precision or plan.precision))
