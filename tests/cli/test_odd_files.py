"""Unusual but intact files are read correctly, as cameras and editors save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.command_server import CommandServer, write_images

from guidedstyle.io.images.reading import read_image

Maker = Callable[[Path], object]
SIZE = (96, 64)
PAINT = (200, 60, 20)
RECIPES = {
    "content": "content: FILE\nstyle: ink.png\n",
    "style": "content: photo.png\nstyle: FILE\n",
    "init": "content: photo.png\nstyle: ink.png\ninit: FILE\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path)


def profiled() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save_flat(file: Path, mode: str, **options: object) -> None:
    Image.new("RGB", SIZE, PAINT).convert(mode).save(file, **options)  # type: ignore[arg-type]


def save_deep(file: Path) -> None:
    Image.fromarray(np.full(SIZE[::-1], 200 * 257, np.uint16)).save(file)


def save_palette_with_alpha(file: Path) -> None:
    picture = Image.new("P", SIZE, 1)
    picture.putpalette([0, 0, 0, *PAINT])
    picture.save(file, transparency=0)


def save_animated(file: Path) -> None:
    frames = [Image.new("RGB", SIZE, colour) for colour in (PAINT, "blue", "green")]
    frames[0].save(file, save_all=True, append_images=frames[1:])


def save_turned(file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE[::-1], PAINT).save(file, exif=exif)


ODD: dict[str, tuple[Maker, tuple[int, ...]]] = {
    "cmyk.jpg": (lambda file: save_flat(file, "CMYK", quality=95), PAINT),
    "cmyk.tif": (lambda file: save_flat(file, "CMYK"), PAINT),
    "deep.png": (save_deep, (200, 200, 200)),
    "deep.tif": (save_deep, (200, 200, 200)),
    "palette.png": (save_palette_with_alpha, PAINT),
    "palette.gif": (save_palette_with_alpha, PAINT),
    "animated.gif": (save_animated, PAINT),
    "animated.png": (save_animated, PAINT),
    "animated.webp": (save_animated, PAINT),
    "turned.jpg": (save_turned, PAINT),
    "turned.png": (save_turned, PAINT),
    "profiled.png": (lambda file: save_flat(file, "RGB", icc_profile=profiled()), PAINT),
    "profiled.jpg": (lambda file: save_flat(file, "RGB", icc_profile=profiled(), quality=95), PAINT),
    "an image, really.png": (lambda file: save_flat(file, "RGB"), PAINT),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("role", RECIPES)
def test_unusual_but_intact_images_are_read_correctly(
    server: CommandServer, folder: Path, role: str, name: str
) -> None:
    make, colour = ODD[name]
    make(folder / name)
    (folder / "a.yaml").write_text(RECIPES[role].replace("FILE", f"'{name}'"))
    done = server.accept(folder, "check", "a.yaml")
    assert "content 96 x 64 px" in done.out
    picture = read_image(folder / name)
    assert picture.size == SIZE
    assert np.abs(np.asarray(picture, int) - colour).max() <= 6


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# \xe2\x98\x83\r\n", b"\r\n\r\n", b"---\n"])
def test_recipes_saved_by_any_editor_are_read(server: CommandServer, folder: Path, content: bytes) -> None:
    (folder / "a.yaml").write_bytes(content + b"content: photo.png\r\nstyle: ink.png\r\n")
    server.accept(folder, "check", "a.yaml")
