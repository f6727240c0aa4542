"""Round trips through real paint programs: a new document is opened, painted by a script, saved and rendered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.images import draw_image

from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.types import Setting

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 300, 200

GIMP = """
(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "scene.psd" "scene.psd")))
       (sky (car (gimp-image-get-layer-by-name image "sky")))
       (sea (car (gimp-image-get-layer-by-name image "sea"))))
  (gimp-context-set-foreground '(0 90 250))
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE 0 0 300 120)
  (gimp-edit-fill sky FILL-FOREGROUND)
  (gimp-image-select-ellipse image CHANNEL-OP-REPLACE 50 60 200 100)
  (gimp-edit-fill sea FILL-FOREGROUND)
  (gimp-layer-set-opacity sea 50)
  (gimp-selection-none image)
  (gimp-file-save RUN-NONINTERACTIVE image sky "painted.psd" "painted.psd"))
(gimp-quit 0)
"""

KRITA = """
from krita import InfoObject, Krita
from PyQt5.QtCore import QByteArray

def __main__(arguments):
    document = Krita.instance().openDocument(arguments[0])
    document.setBatchmode(True)
    for name, box in {"sky": (0, 0, 300, 120), "sea": (50, 60, 200, 100)}.items():
        paint = QByteArray(bytes([250, 90, 0, 255]) * (box[2] * box[3]))
        document.nodeByName(name).setPixelData(paint, *box)
    document.nodeByName("sea").setOpacity(128)
    document.refreshProjection()
    document.waitForDone()
    document.saveAs(arguments[1])
    document.waitForDone()
    document.exportImage(arguments[2], InfoObject())
"""


def run(*command: object, folder: Path, **options: str) -> str:
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(folder)}
    if command[0] != sys.executable:
        environment["PATH"] = (
            "/usr/bin:/bin"  # Krita runs the first Python that it finds, which must not be that of the tests
        )
    arguments = [str(part) for part in command]
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, **options
    )
    return done.stdout + done.stderr


def starts(*command: str) -> bool:
    """Return whether a program is installed and starts."""
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, timeout=120).returncode == 0


def begin(folder: Path, document: str) -> None:
    draw_image(WIDTH, HEIGHT, 1).save(folder / "photo.png")
    draw_image(90, 60, 2).save(folder / "ink.png")
    command = ["mask", "new", "photo.png", "--regions", "sky,sea", "-o", document, "--style", "ink.png"]
    assert "guidedstyle mask show scene.yaml" in run(sys.executable, "-m", "guidedstyle", *command, folder=folder)


def check(folder: Path, painted: str, sea: float, log: str) -> None:
    assert (folder / painted).is_file(), log
    scene = open_scene(read_recipe(folder / "scene.yaml", [Setting("masks", {"file": painted}, "here")]))
    assert scene.shares[1] == pytest.approx(sea, abs=0.002)
    sky = scene.weights[0] + scene.weights[1] * (np.arange(HEIGHT) < 120)[:, None]
    assert (sky[:120] == 1).all()
    assert (sky[120:] == 0).all()
    render = ["render", "scene.yaml", "--set", f"masks={painted}", "--steps", "3", "-q"]
    assert run(sys.executable, "-m", "guidedstyle", *render, folder=folder) == ""
    assert (folder / "scene.png").is_file()


@pytest.mark.skipif(not starts("gimp", "--version"), reason="GIMP is not installed")
def test_a_document_painted_in_gimp(tmp_path: Path) -> None:
    begin(tmp_path, "scene.psd")
    log = run("gimp", "-i", "-d", "-f", "-b", "-", folder=tmp_path, input=GIMP)
    check(tmp_path, "painted.psd", 0.5 * np.pi / 4 * (200 * 100) / (WIDTH * HEIGHT), log)


WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
SCREEN = ("xvfb-run", "-a", "-n", f"1{WORKER}0")  # of this process only: two could choose the same number
KRITA_STARTS = starts(*SCREEN, "krita", "--version") and starts("/usr/bin/python3", "-c", "import PyQt5")
needs_krita = pytest.mark.skipif(not KRITA_STARTS, reason="Krita, its Python and Xvfb are not installed")


@needs_krita
def test_a_document_painted_in_krita(tmp_path: Path) -> None:
    begin(tmp_path, "scene.ora")
    (tmp_path / "painter.py").write_text(KRITA)
    files = [tmp_path / name for name in ("scene.ora", "painted.kra", "painted.ora")]
    log = run(*SCREEN, "kritarunner", "-s", "painter", *files, folder=tmp_path)
    for painted in ("painted.kra", "painted.ora"):
        check(tmp_path, painted, 128 / 255 * (200 * 100) / (WIDTH * HEIGHT), log)


@needs_krita
def test_a_result_in_layers_looks_the_same_in_krita(tmp_path: Path) -> None:
    """The layers composited by another program give the merged image."""
    import io
    import zipfile

    from PIL import Image

    begin(tmp_path, "scene.ora")
    recipe = "content: photo.png\nstyles: {ink: ink.png}\noutput: out.ora\nsolver: {steps: 3}\nregions:\n"
    recipe += "  - {name: soft, mask: {gradient: {from: [0, 0], to: [1, 1]}}, style: ink}\n"
    recipe += "  - {name: kept, mask: {ellipse: [0.2, 0.2, 0.6, 0.8], feather: 6}, keep: true}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert run(sys.executable, "-m", "guidedstyle", "render", "recipe.yaml", "-q", folder=tmp_path) == ""
    log = run(*SCREEN, "krita", "out.ora", "--export", "--export-filename", "flat.png", folder=tmp_path)
    assert (tmp_path / "flat.png").is_file(), log
    with zipfile.ZipFile(tmp_path / "out.ora") as archive, Image.open(tmp_path / "flat.png") as flat:
        merged = np.asarray(Image.open(io.BytesIO(archive.read("mergedimage.png"))), int)
        assert np.abs(np.asarray(flat.convert("RGB"), int) - merged).max() <= 2
