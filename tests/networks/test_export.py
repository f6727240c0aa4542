"""Exported networks: against torch, run by other libraries in a process without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import run
from support.images import draw_image
from support.networks import make_card, make_network

from guidedstyle.io.ownership import is_ours
from guidedstyle.networks.files import save_network

pytestmark = pytest.mark.slow

STYLES = ("ink", "oil", "wax")
WITHOUT_TORCH = "import sys\nfor name in ('torch', 'guidedstyle'): sys.modules[name] = None\n"
SIZES, REGIONS = ((64, 80), (101, 67), (200, 160)), (1, 3)

RUN = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession("net.onnx")
inputs = dict(numpy.load("inputs.npz"))
cases = sorted({key.split()[0] for key in inputs})
found = {c: session.run(None, {k: inputs[f"{c} {k}"] for k in ("image", "masks", "mixes")})[0] for c in cases}
numpy.savez("found.npz", **found)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    save_network(make_network(STYLES), make_card(STYLES), folder / "net.safetensors")
    done = run("export", "net.safetensors", "-o", "net.onnx", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("net.onnx\n", "")
    return folder


def execute(code: str, folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH + code, *arguments], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_every_size_and_layout_is_painted_as_by_torch(folder: Path) -> None:
    network, inputs, expected = make_network(STYLES), {}, {}
    generator = torch.Generator().manual_seed(0)
    for (height, width), regions in product(SIZES, REGIONS):
        image = torch.rand(1, 3, height, width, generator=generator)
        masks, mixes = (torch.rand(regions, *shape, generator=generator) for shape in ((height, width), (3,)))
        case = f"{height}x{width}x{regions}"
        inputs |= {f"{case} image": image, f"{case} masks": masks, f"{case} mixes": mixes}
        expected[case] = network(image, masks[None], mixes[None])
    np.savez(folder / "inputs.npz", **{key: value.numpy() for key, value in inputs.items()})
    execute(RUN, folder)
    with np.load(folder / "found.npz") as found:
        assert set(found) == set(expected)
        for case, image in expected.items():
            assert np.abs(found[case] - image.numpy()).max() < 1 / 255


def test_the_example_of_the_page_paints_without_torch(folder: Path) -> None:
    page = files("guidedstyle.networks").joinpath("fast.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 22
    draw_image(96, 64, 1).save(folder / "photo.png")
    Image.fromarray(np.uint8(255 * (np.indices((64, 96))[1] < 48))).save(folder / "mask.png")
    execute(example, folder, "net.onnx", "photo.png", "mask.png", "wax", "ink", "painted.png")
    with Image.open(folder / "photo.png") as photo, Image.open(folder / "painted.png") as painted:
        image = torch.from_numpy(np.asarray(photo, np.float32) / 255).permute(2, 0, 1)[None]
        found = np.asarray(painted, np.float32) / 255
    left = torch.zeros(64, 96)
    left[:, :48] = 1
    expected = make_network(STYLES)(image, torch.stack([left, 1 - left])[None], torch.eye(3)[None, [2, 0]])
    assert np.abs(found - expected[0].permute(1, 2, 0).numpy()).max() < 1.01 / 255


def test_exported_files_are_ours_and_others_are_not_replaced(folder: Path) -> None:
    assert is_ours(folder / "net.onnx")
    (folder / "other.onnx").write_bytes(b"mine")
    done = run("export", "net.safetensors", "-o", "other.onnx", folder=folder)
    assert done.returncode == 2
    assert "guidedstyle did not make it" in done.stderr


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("net.safetensors", "net.pb", "net.pb is not an .onnx file"),
        ("photo.png", "new.onnx", "photo.png: it is damaged, or no .safetensors file"),
        ("missing.safetensors", "new.onnx", "missing.safetensors: it cannot be read"),
    ],
)
def test_what_cannot_be_exported_is_told(source: str, output: str, message: str, folder: Path) -> None:
    draw_image(96, 64, 1).save(folder / "photo.png")
    done = run("export", source, "-o", output, folder=folder)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_missing_library_is_named(folder: Path) -> None:
    code = "import sys\nsys.modules['onnxscript'] = None\nfrom guidedstyle.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, "export", "net.safetensors", "-o", "new.onnx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "onnxscript" in done.stderr
    assert "pip install 'guidedstyle[onnx]'" in done.stderr
