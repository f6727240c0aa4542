"""A folder of images to train on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import draw_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        draw_image(160, 120, seed).save(folder / f"{seed}.png")
    return folder
