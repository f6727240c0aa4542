"""Images in memory are read like files of the same pixels; what is no image is refused with what to give instead."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.images import draw_image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.memory import InMemoryImage, hold_image, is_array
from guidedstyle.masks.files import MaskStore, read_alpha, read_grey

RGB = np.asarray(draw_image(40, 24, 1))
GREY = RGB[..., 0]
RGBA = np.dstack([RGB, GREY])
DEEP = (GREY.astype(np.uint16) << 8) + RGB[..., 1]


class Node:
    """An array of another program, which knows only the array protocol."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray[Any, Any]:
        return RGB


@pytest.mark.parametrize(
    "value",
    [
        RGB,
        RGB / 255,
        (RGB / 255).astype(np.float32),
        RGB.astype(np.uint16) * 257,
        RGB.transpose(2, 0, 1),
        RGB.transpose(2, 0, 1)[None] / 255,
        RGB[None],
        RGB[None, None] / 255,
        np.asfortranarray(RGB),
        RGB[::-1, ::-1].copy()[::-1, ::-1],
        RGB[..., ::-1].copy()[..., ::-1],
        (RGB.astype(np.uint16) * 257).astype(">u2"),
        RGB.astype(np.longdouble) / 255,
        torch.from_numpy(RGB.copy()),
        torch.from_numpy(RGB / 255).permute(2, 0, 1)[None].float().requires_grad_(),
        Node(),
        memoryview,
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert("RGBA"),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'shape', '')}-{getattr(value, 'dtype', '')}",
)
def test_colours_of_every_kind_are_read_as_from_a_file(value: Any) -> None:
    held = hold_image(np.asarray(memoryview(RGB)) if value is memoryview else value)
    assert np.array_equal(np.asarray(read_image(held)), RGB)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (GREY, GREY),
        (GREY[..., None], GREY),
        (GREY[None], GREY),
        (GREY[None, None] / 255, GREY),
        (GREY > 128, np.where(GREY > 128, 255, 0)),
        (torch.from_numpy(GREY > 128), np.where(GREY > 128, 255, 0)),
        (RGB[..., [0, 0, 0]] / 255, GREY),
        (Image.fromarray(GREY), GREY),
        (Image.fromarray(GREY > 128), np.where(GREY > 128, 255, 0)),
        (DEEP, DEEP / 65535),
        (DEEP / 65535, DEEP / 65535),
        (torch.from_numpy(DEEP / 65535).bfloat16(), torch.from_numpy(DEEP / 65535).bfloat16().float().numpy()),
        (Image.fromarray(DEEP), DEEP / 65535),
        (Image.fromarray(DEEP.astype(np.int32)), DEEP / 65535),
        (Image.fromarray((DEEP / 65535).astype(np.float32)), DEEP / 65535),
    ],
)
def test_masks_of_every_kind_are_read_as_from_a_file(value: Any, expected: np.ndarray[Any, Any]) -> None:
    found = read_grey(hold_image(value))
    np.testing.assert_allclose(found, expected, atol=1e-5 if found.dtype == np.float32 else 0)


def test_the_alpha_channel_is_the_last_of_four() -> None:
    for value in (RGBA, RGBA.transpose(2, 0, 1)[None] / 255, Image.fromarray(RGBA)):
        assert np.array_equal(read_alpha(hold_image(value)), GREY)


def test_a_pillow_image_keeps_what_its_file_says(tmp_path: Path) -> None:
    """Orientation and colour profile: opened and given as an image, it is read as its file is."""
    from PIL import ImageCms

    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "turned.jpg", exif=exif, quality=100)
    Image.fromarray(RGB).save(tmp_path / "profile.png", icc_profile=profile)
    Image.fromarray(GREY).quantize(7).save(tmp_path / "palette.png", transparency=2)
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            held = hold_image(picture)
        assert np.array_equal(np.asarray(read_image(held)), np.asarray(read_image(file))), file
    with Image.open(tmp_path / "profile.png") as picture, Image.open(hold_image(picture).open()) as again:
        assert again.info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("value", "rule", "remedy"),
    [
        (np.zeros((30, 20, 7)), "an array of shape (30, 20, 7) is not an image", "give (H, W), (H, W, C) or"),
        (np.zeros((30, 20, 2)), "an array of shape (30, 20, 2) is not an image", "give (H, W), (H, W, C) or"),
        (np.zeros((4, 30, 20, 3)), "an array of shape (4, 30, 20, 3) is not an image", "array[0]"),
        (np.zeros((0, 20, 3)), "an array of shape (0, 20, 3) has no pixels", "give (H, W), (H, W, C) or"),
        (GREY.astype(np.int64), "int64 is not a type of pixels", "array.astype('uint8')"),
        ((GREY > 99).astype(np.int64), "int64 is not a type of pixels", "array.astype(bool)"),
        (GREY.astype(np.uint32) * 9, "uint32 is not a type of pixels", "array.astype('float32') / array.max()"),
        (RGB.astype(complex), "complex128 is not a type of pixels", ""),
        (np.full((20, 30), "x"), "<U1 is not a type of pixels", ""),
        (RGB.astype(float), "floats must lie in [0, 1]", "array / 255"),
        (
            np.linspace(-1, 1, 600).reshape(20, 30),
            "its values reach from -1 to 1, and floats must lie in [0, 1]",
            "(array + 1) / 2",
        ),
        (
            np.linspace(0, 1.02, 600).reshape(20, 30),
            "its values reach from 0 to 1.02, and floats must lie in [0, 1]",
            "array.clip(0, 1)",
        ),
        (np.where(GREY > 99, np.nan, 0.5), "some of its values are not finite", "numpy.nan_to_num(array)"),
        ((GREY > 99).astype(np.uint8), "only 0 and 1, and white is 255 in uint8", "array.astype(bool)"),
        ((GREY > 99).astype(np.uint16), "only 0 and 1, and white is 65535 in uint16", "array.astype(bool)"),
        (torch.eye(30).to_sparse(), "this Tensor cannot be read as an array", "a dense tensor"),
        (Image.fromarray(RGB).convert("CMYK"), "a Pillow image of mode CMYK is not read", "convert it to RGB"),
        (Image.fromarray(DEEP.astype(np.int32) * 9), "its values reach from", "between 0 and 65535"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_give(value: Any, rule: str, remedy: str) -> None:
    with pytest.raises(GuidedStyleError) as raised:
        hold_image(value)
    (problem,) = raised.value.problems
    assert rule in problem.rule and remedy in problem.remedy
    if remedy.startswith(("array", "(array", "numpy")):  # it is true
        hold_image(eval(remedy, {"array": value, "numpy": np}))


def test_a_damaged_pillow_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    with Image.open(tmp_path / "a.png") as picture, pytest.raises(GuidedStyleError, match="cannot be read"):
        hold_image(picture)


def test_a_closed_pillow_image_is_refused() -> None:
    picture = Image.fromarray(RGB)
    picture.close()
    assert is_array(picture)
    with pytest.raises(GuidedStyleError, match="open it again"):
        hold_image(picture)


def test_it_is_a_copy_with_the_name_of_its_content() -> None:
    array = RGB.copy()
    held, same, other = hold_image(array), hold_image(RGB / 255), hold_image(GREY)
    array[:] = 0
    assert np.array_equal(np.asarray(read_image(held)), RGB)
    assert held == same and hash(held) == hash(same) and held != other and held != Path(str(held))
    assert str(held).startswith("array:sha256:") and held.is_file() and held.exists() and not held.is_dir()
    for again in (copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
        assert again == held and again.read_bytes() == held.read_bytes()
    assert not isinstance(held.parent / "a.png", InMemoryImage) and held.absolute() is held
    with pytest.raises(OSError, match="it can be read only"):
        held.open("wb")


def test_it_is_decoded_once_as_a_file_is() -> None:
    store, calls = MaskStore(), list[str]()
    for value in (GREY, GREY / 255, RGB, GREY):
        store.recall(hold_image(value), "part", lambda: calls.append("read"))
    assert len(calls) == 2
