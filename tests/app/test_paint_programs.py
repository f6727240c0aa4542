"""Round trips through real paint programs: a new document is opened, painted by a script, saved and rendered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import draw_image

from guidedstyle.io.layered.formats import open_layered, read_layer
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
from krita import Krita
from PyQt5.QtCore import QByteArray

def __main__(arguments):
    document = Krita.instance().openDocument(arguments[0])
    document.setBatchmode(True)
    for name, box in {"sky": (0, 0, 300, 120), "sea": (50, 60, 200, 100)}.items():
        paint = QByteArray(bytes([250, 90, 0, 255]) * (box[2] * box[3]))
        document.nodeByName(name).setPixelData(paint, *box)
    document.nodeByName("sea").setOpacity(128)
    document.nodeByName("sky").setVisible(False)
    document.refreshProjection()
    document.waitForDone()
    for name in arguments[1:]:
        document.saveAs(name)
        document.waitForDone()
"""

COVERAGE = """
import json
from krita import Krita
from PyQt5.QtCore import QByteArray

SHAPES = {
    "left": lambda x: 255 * (x < 4),
    "even": lambda x: 255 * (x % 2 == 0),
    "half": lambda x: 128,
    "all": lambda x: 255,
}

def build(document, parent, layers):
    for name, shape, settings in layers:
        node = document.createGroupLayer(name) if isinstance(shape, list) else document.createNode(name, "paintlayer")
        parent.addChildNode(node, (parent.childNodes() or [None])[-1])
        if isinstance(shape, list):
            build(document, node, shape)
        else:
            grey = 255 * (name == "sky")
            pixels = [part for x in range(8) for part in (grey, grey, grey, SHAPES[shape](x))]
            node.setPixelData(QByteArray(bytes(pixels)), 0, 0, 8, 1)
        for key, value in settings.items():
            getattr(node, key)(value)

def __main__(arguments):
    shown = {}
    with open(arguments[0]) as file:
        cases = json.load(file)
    for name, layers in cases.items():
        document = Krita.instance().createDocument(8, 1, "d", "RGBA", "U8", "", 72.0)
        document.setBatchmode(True)
        for node in document.rootNode().childNodes():
            node.remove()
        build(document, document.rootNode(), layers)
        document.refreshProjection()
        document.waitForDone()
        pixels = bytes(document.pixelData(0, 0, 8, 1))
        shown[name] = [pixels[at] * pixels[at + 3] / 255 for at in range(0, 32, 4)]
        for suffix in ("kra", "ora"):
            document.saveAs(arguments[1] + "/" + name + "." + suffix)
            document.waitForDone()
        document.close()
    with open(arguments[1] + "/shown.json", "w") as file:
        json.dump(shown, file)
"""
ERASER, ATOP, PASS = {"setBlendingMode": "erase"}, {"setInheritAlpha": True}, {"setPassThroughMode": True}
CASES = {  # layers from back to front: name, shape or members, settings
    "inherit": [("base", "left", {}), ("sky", "half", ATOP)],
    "inherit_from_two": [("base", "left", {}), ("more", "even", {}), ("sky", "half", ATOP)],
    "inherit_in_a_row": [("base", "left", {}), ("between", "all", ATOP), ("sky", "half", ATOP)],
    "inherit_nothing": [("sky", "left", ATOP)],
    "inherit_from_a_faded_layer": [("base", "left", {"setOpacity": 128}), ("sky", "all", ATOP)],
    "inherit_within_a_group": [("back", "all", {}), ("g", [("base", "left", {}), ("sky", "all", ATOP)], {})],
    "inherit_through_a_group": [("base", "left", {}), ("g", [("sky", "all", ATOP)], PASS)],
    "a_group_inherits": [("base", "left", {}), ("g", [("sky", "all", {})], ATOP)],
    "opacities": [("g", [("sky", "left", {"setOpacity": 128})], {"setOpacity": 128})],
    "opacity_of_a_group_that_passes": [("g", [("sky", "left", {})], {**PASS, "setOpacity": 128})],
    "erased": [("sky", "all", {}), ("x", "even", ERASER)],
    "erased_in_part": [("sky", "all", {}), ("x", "even", {**ERASER, "setOpacity": 128})],
    "erased_above_a_group": [("g", [("sky", "all", {})], {}), ("x", "even", ERASER)],
    "erased_from_a_group_that_passes": [("sky", "all", {}), ("g", [("x", "even", ERASER)], PASS)],
    "not_erased_from_a_group": [("sky", "all", {}), ("g", [("x", "even", ERASER)], {})],
    "not_erased_by_a_hidden_layer": [("sky", "all", {}), ("x", "even", {**ERASER, "setVisible": False})],
    "kept_in_part": [("sky", "all", {}), ("x", "even", {"setBlendingMode": "destination-in", "setOpacity": 128})],
    "inherit_then_erase": [("base", "left", {}), ("sky", "all", ATOP), ("x", "even", ERASER)],
    "other_modes": [("sky", "left", {"setBlendingMode": "multiply"})],
    "alpha_locked": [("sky", "left", {"setAlphaLocked": True})],
}


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
    chosen = [Setting("masks", {"file": painted}, "here")]
    counted = open_scene(
        read_recipe(folder / "scene.yaml", [*chosen, Setting("regions.sea.mask.layer_opacity", "count", "")])
    )
    assert counted.shares[1] == pytest.approx(sea / 2, abs=0.002)
    scene = open_scene(read_recipe(folder / "scene.yaml", chosen))
    assert scene.shares[1] == pytest.approx(sea, abs=0.002)  # the opacity is for the view
    assert sum("'sea' is at 50% opacity, which does not count" in warning for warning in scene.warnings) == 1
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
    check(tmp_path, "painted.psd", np.pi / 4 * (200 * 100) / (WIDTH * HEIGHT), log)


WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
SCREEN = ("xvfb-run", "-a", "-n", f"1{WORKER}0")  # of this process only: two could choose the same number
KRITA_STARTS = starts(*SCREEN, "krita", "--version") and starts("/usr/bin/python3", "-c", "import PyQt5")
needs_krita = pytest.mark.skipif(not KRITA_STARTS, reason="Krita, its Python and Xvfb are not installed")


@needs_krita
@pytest.mark.parametrize("document", ["scene.ora", "scene.kra", "scene.psd"])
def test_a_document_painted_in_krita(tmp_path: Path, document: str) -> None:
    """One layer is hidden and one faded; the marker of the document survives in every format."""
    begin(tmp_path, document)
    (tmp_path / "painter.py").write_text(KRITA)
    saved = ("painted.kra", "painted.ora", "painted.psd")
    log = run(
        *SCREEN, "kritarunner", "-s", "painter", *(tmp_path / name for name in (document, *saved)), folder=tmp_path
    )
    for painted in saved:
        check(tmp_path, painted, (200 * 100) / (WIDTH * HEIGHT), log)


@needs_krita
def test_a_new_krita_document_shows_the_content_image_through_its_layers(tmp_path: Path) -> None:
    begin(tmp_path, "scene.kra")
    log = run(*SCREEN, "krita", "scene.kra", "--export", "--export-filename", "flat.png", folder=tmp_path)
    assert (tmp_path / "flat.png").is_file(), log
    shown, photo = (np.asarray(Image.open(tmp_path / name).convert("RGB"), int) for name in ("flat.png", "photo.png"))
    assert np.abs(shown - photo).max() <= 1


@needs_krita
def test_layers_cover_what_krita_shows(tmp_path: Path) -> None:
    """The sky is white, all else black: what Krita shows of it is its colour times the alpha of all."""
    (tmp_path / "builder.py").write_text(COVERAGE)
    (tmp_path / "cases.json").write_text(json.dumps(CASES))
    log = run(*SCREEN, "kritarunner", "-s", "builder", tmp_path / "cases.json", tmp_path, folder=tmp_path)
    assert (tmp_path / "shown.json").is_file(), log
    for name, shown in json.loads((tmp_path / "shown.json").read_text()).items():
        for suffix in ("kra", "ora"):
            read = read_layer(open_layered(tmp_path / f"{name}.{suffix}"), "sky")[0]
            assert np.abs(read - shown).max() <= 2, (name, suffix, read, shown)


@needs_krita
def test_a_result_in_layers_looks_the_same_in_krita(tmp_path: Path) -> None:
    """The layers composited by another program give the merged image."""
    import io
    import zipfile

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
