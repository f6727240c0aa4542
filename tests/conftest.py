"""What the tests share: small pictures made here, with structure at several scales."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch is loaded: tests run beside each other

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_inputs import Nursery, open_nursery
from PIL import Image
from torch import Tensor
from waiting import end_all

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.losses.gram import guided_grams
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.propagation import average_cells, normalise_cells
from guidedstyle.losses.terms import Place, StyleTarget, build_octaves, relative_norms

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))

for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):  # ignored where a shell runs the tests aside
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def draw_picture(width: int, height: int, seed: int) -> Image.Image:
    """Draw waves of random direction and colour."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x * noise.normal() + y * noise.normal()) / noise.uniform(2, 9)) for _ in range(9)]
    channels = [0.5 + sum(waves[i::3]) / 7 for i in range(3)]
    return Image.fromarray(np.uint8(255 * np.clip(np.stack(channels, 2), 0, 1)))


def weigh(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average weights (R, H, W) over the cells of a grid: (R, h * w), each region to a sum of 1."""
    return torch.from_numpy(normalise_cells(average_cells(weights.numpy(), grid).copy())).flatten(1)


def guide(weights: Tensor, grid: tuple[int, int]) -> Guides:
    """Make `simple` guides on a grid."""
    return make_guides(weigh(weights, grid))


def aim_at(wanted: Tensor, place: Place) -> StyleTarget:
    """Make the target of Gram matrices (R, C, C), one of each region, with the same weight for all."""
    everywhere = torch.ones(len(wanted), dtype=wanted.dtype)
    numbers = torch.arange(len(wanted))
    return StyleTarget(place, "gram", wanted, relative_norms(wanted, None), numbers, everywhere)


def sum_squares(guides: Guides) -> Tensor:
    """Sum the squares of each region's guide: its Gram matrix of features that are 1 everywhere."""
    size = len(guides.rows.first) if guides.rows else 1
    return guided_grams(torch.ones(1, 1, 1, size, dtype=torch.float64), guides)[:, 0, 0]


def encode_octaves(encoder: Encoder, image: Tensor, places: Sequence[Place]) -> dict[Place, Tensor]:
    """Encode a picture at the octaves and layers of places: {(octave, layer): (1, C, h, w)}."""
    octaves = build_octaves(image, 1 + max(octave for octave, _ in places))
    return {(octave, layer): encoder.encode(octaves[octave], [layer])[layer] for octave, layer in places}


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what tests measure in a folder of their own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEDSTYLE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _end_processes() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="module")
def nursery(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Lend a process that runs commands one after another, each in a child of its own."""
    with open_nursery(tmp_path_factory.mktemp("nursery") / "scratch") as nursery:
        yield nursery


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """Make a folder with a photograph (96 x 64), two paintings, a mask of its left half and a recipe."""
    draw_picture(96, 64, 1).save(tmp_path / "photo.png")
    draw_picture(80, 80, 2).save(tmp_path / "ink.png")
    draw_picture(90, 60, 3).save(tmp_path / "oil.png")
    half = np.zeros((64, 96), np.uint8)
    half[:, :48] = 255
    Image.fromarray(half).save(tmp_path / "left.png")
    (tmp_path / "recipe.yaml").write_text(
        "content: photo.png\n"
        "styles:\n"
        "  ink: ink.png\n"
        "  oil: {image: oil.png}\n"
        "regions:\n"
        "  - {name: right, mask: rest, style: ink}\n"
        "  - name: left\n"
        "    mask: left.png\n"
        "    style: {oil: 0.75, ink: 0.25}\n"
        "solver: {steps: 4}\n"
    )
    return tmp_path
