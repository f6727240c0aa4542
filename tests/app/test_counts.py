"""Counts of what one render, one batch and one sweep decode and hash: each file once."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.counting import counting_decodes, counting_hashes

from guidedstyle.cli.main import app
from guidedstyle.io.files import SETTLED
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop

RECIPE = """
content: photo.png
styles:
  ink: {image: ink.png, mask: {file: round.png, channel: alpha}}
  oil: oil.png
regions:
  - {name: back, mask: rest, style: ink}
  - {name: red, mask: {file: labels.png, colour: red}, style: oil}
  - {name: blue, mask: {file: labels.png, colour: blue, feather: 2}, style: ink}
  - name: left
    mask: {file: left.png, shrink: 20}
    style: {ink: 1, oil: {weight: 1, where: {file: left.png, invert: true}}}
  - {name: sky, mask: {file: layers.ora, layer: sky}, style: oil}
  - {name: sea, mask: {file: layers.psd, layer: sea, grow: 2}, style: oil}
solver: {steps: 1, sizes: 1}
encoder: {name: lite}
"""
INPUTS = {"photo.png", "ink.png", "oil.png", "round.png", "labels.png", "left.png", "layers.ora", "layers.psd"}
MASKS = ("round.png", "labels.png", "left.png", "layers.ora/stack.xml", "layers.ora/data/layer0.png", "psd/sea")
OTHER_RECORD = {
    "recipe": {},
    "seed": 0,
    "result": {"finished": True, "reason": "", "steps": 1, "seconds": 1.0},
    "losses": {"total": 1.0, "smoothness": 1.0, "regions": {}},
    "plan": {
        "stages": [],
        "style_layers": [],
        "device": "",
        "precision": "",
        "threads": 1,
        "estimated_memory": 1,
    },
}


def paint(alpha: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", alpha.size, "red")
    layer.putalpha(alpha)
    return layer


@pytest.fixture
def gallery(project: Path) -> Path:
    """Add a mask of every kind of file, all used in one recipe, and two more content images."""
    rows = np.indices((64, 96))[0]
    labels = np.zeros((64, 96, 3), np.uint8)
    labels[:, 50:70], labels[:, 70:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(labels).save(project / "labels.png")
    disc = np.hypot(*(np.indices((80, 80)) - 40)) < 30
    Image.fromarray(np.uint8(np.dstack([disc * 0, 255 * disc])), "LA").save(project / "round.png")
    sky, sea = (Image.fromarray(np.uint8(255 * rows_of)).convert("L") for rows_of in (rows < 10, rows > 50))
    write_openraster(project / "layers.ora", [("sky", paint(sky))], Image.new("RGB", (96, 64)))
    write_photoshop(project / "layers.psd", [("sea", paint(sea))])
    (project / "gallery.yaml").write_text(RECIPE)
    (project / "photos").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(project / "photo.png", project / "photos" / name)
    shutil.copy(project / "photo.png", project / "gallery.png")  # an image of another recipe, for --resume
    (project / "gallery.png.json").write_text(json.dumps(OTHER_RECORD))
    time.sleep(SETTLED / 1e9)
    return project


@pytest.mark.parametrize(
    ("command", "images"),
    [
        (("render", "gallery.yaml", "--quiet", "--overwrite"), ["gallery.png"]),
        (("render", "gallery.yaml", "--resume", "--quiet", "--overwrite"), ["gallery.png"]),
        (
            ("render", "gallery.yaml", "--content", "photos", "-o", "out", "--quiet"),
            ["out/a.png", "out/b.png", "out/c.png"],
        ),
        (
            ("sweep", "gallery.yaml", "--vary", "content_strength=0.5,1,2,4", "-o", "out", "--quiet"),
            ["out/content_strength=4.png"],
        ),
    ],
    ids=["render", "resume", "batch", "sweep"],
)
def test_every_mask_is_decoded_and_every_input_hashed_once(
    gallery: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], images: list[str]
) -> None:
    monkeypatch.chdir(gallery)
    with counting_decodes() as decodes, counting_hashes() as hashes, pytest.raises(SystemExit) as ended:
        app([*command, "--device", "cpu"])
    assert ended.value.code == 0
    assert all(Path(image).is_file() for image in images)
    assert {mask: decodes[mask] for mask in MASKS} == dict.fromkeys(MASKS, 1)
    contents = {"a.png", "b.png", "c.png"} if "--content" in command else {"photo.png"}
    assert hashes == dict.fromkeys(INPUTS - {"photo.png"} | contents, 1)
