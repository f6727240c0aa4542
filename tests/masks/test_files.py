"""The store of decoded masks: identical while a file is unchanged, decoded again after a change, and bounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.counting import counting_decodes

from guidedstyle.masks.files import MaskReading, MaskStore, read_grey, read_source
from guidedstyle.recipe.mask import Mask
from guidedstyle.types import Opacities


def write(file: Path, grey: int, side: int = 32) -> Path:
    Image.new("L", (side, side), grey).save(file)
    return file


def read(file: Path, store: MaskStore) -> Opacities:
    reading = read_source(file, Mask(file=file), palette=None, store=store)
    assert isinstance(reading, MaskReading)
    return reading.alpha


def test_an_unchanged_file_is_decoded_once(tmp_path: Path) -> None:
    file, store = write(tmp_path / "a.png", 200), MaskStore()
    with counting_decodes() as decodes:
        first, again = read(file, store), read(file, store)
        assert decodes["a.png"] == 1
        assert read(file, MaskStore()).tobytes() == again.tobytes() == first.tobytes() == read_grey(file).tobytes()


def test_grey_and_alpha_of_a_file_are_kept_apart(tmp_path: Path) -> None:
    Image.new("LA", (32, 32), (100, 200)).save(tmp_path / "a.png")
    file, store = tmp_path / "a.png", MaskStore()
    alpha = Mask(file=file, channel="alpha")
    assert read(file, store).max() == round(100 * 200 / 255)
    opacity = read_source(file, alpha, palette=None, store=store)
    assert isinstance(opacity, MaskReading)
    assert np.max(opacity.alpha) == 200


@pytest.mark.parametrize("how", ["written", "replaced"])
def test_a_changed_file_is_decoded_again(tmp_path: Path, how: str) -> None:
    """Also if it has the same size in bytes, or another file with the same time replaces it."""
    file, store = write(tmp_path / "a.bmp", 0), MaskStore()
    before = file.stat()
    assert read(file, store).max() == 0
    other = write(file if how == "written" else tmp_path / "b.bmp", 255)
    later = before.st_mtime_ns + (10**9 if how == "written" else 0)
    os.utime(other, ns=(later, later))
    other.replace(file)
    assert file.stat().st_size == before.st_size
    assert read(file, store).min() == 255


def test_a_mask_read_while_its_file_changes_is_not_kept(tmp_path: Path) -> None:
    file, store = write(tmp_path / "a.png", 9), MaskStore()

    def read_slowly() -> str:
        file.write_bytes(file.read_bytes() + b"more")
        return "torn"

    assert store.recall(file, "part", read_slowly) == "torn"
    assert store.recall(file, "part", lambda: "whole") == "whole"
    assert store.recall(file, "part", read_slowly) == "whole"


def test_the_masks_used_least_recently_are_dropped_first(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{index}.png", index) for index in range(4)]
    store = MaskStore(most_bytes=3 * 32 * 32)
    for file in (*files[:3], files[0], files[3]):  # the second is the oldest
        read(file, store)
    with counting_decodes() as decodes:
        for file in (files[3], files[0], files[2], files[1]):
            read(file, store)
    assert decodes == {"1.png": 1}


def test_the_last_two_are_kept_regardless_of_their_size(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{index}.png", index) for index in range(3)]
    store = MaskStore(most_bytes=1)
    for file in files:
        read(file, store)
    with counting_decodes() as decodes:
        for file in (*files[1:], files[0]):
            read(file, store)
    assert decodes == {"0.png": 1}


def test_a_cleared_store_holds_nothing(tmp_path: Path) -> None:
    file, store = write(tmp_path / "a.png", 9), MaskStore()
    read(file, store)
    store.clear()
    with counting_decodes() as decodes:
        read(file, store)
    assert decodes == {"a.png": 1}
