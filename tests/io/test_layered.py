"""Layered documents: the opacity of a layer, including those of its groups, the same in every format."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import BlendMode
from support.krita import pack_planes, write_krita

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.formats import open_layered, read_layer
from guidedstyle.io.layered.krita import _unpack_lzf
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop

SIZE = (90, 70)
DISC = np.hypot(*(np.indices(SIZE[::-1]) - np.array([[[30]], [[40]]]))) < 20


def paint(alpha: np.ndarray) -> Image.Image:
    """Paint red with an alpha (H, W)."""
    layer = Image.new("RGBA", (alpha.shape[1], alpha.shape[0]), (255, 0, 0))
    layer.putalpha(Image.fromarray(np.uint8(alpha)))
    return layer


def read(file: Path, name: str) -> np.ndarray:
    document = open_layered(file)
    assert document is not None
    assert document.size == SIZE
    return read_layer(document, name)


def to_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("suffix", "write"), [(".ora", None), (".psd", write_photoshop)])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, write: Callable[..., None] | None) -> None:
    ramp = np.tile(np.linspace(0, 255, SIZE[0]), (SIZE[1], 1))
    layers = [("ground", Image.new("RGBA", SIZE, "green")), ("ramp", paint(ramp)), ("ñ 空", paint(255 * DISC))]
    file = tmp_path / f"a{suffix}"
    if write:
        write(file, layers)
    else:
        write_openraster(file, layers, Image.new("RGB", SIZE))
    assert (read(file, "ramp") == np.uint8(ramp)).all()
    assert (read(file, "ñ 空") == 255 * DISC).all()
    assert (read(file, "ground") == 255).all()


STACK = """<?xml version='1.0' encoding='UTF-8'?>
<image version="0.0.3" w="90" h="70" xres="72" yres="72"><stack>
  <stack name="land" opacity="0.5">
    <stack name="far"><layer name="hills" src="data/disc.png" x="-10" y="25" opacity="0.8"/></stack>
    <layer name="near" src="data/disc.png"/>
  </stack>
  <stack name="off" visibility="hidden"><layer name="hidden" src="data/disc.png"/></stack>
  <layer name="near" src="data/disc.png" x="60" y="-20" visibility="visible" composite-op="svg:multiply"/>
</stack></image>"""


def test_openraster_groups_offsets_and_opacities(tmp_path: Path) -> None:
    """By the specification: the opacity and visibility of a group apply to all its members."""
    file, disc = tmp_path / "a.ora", 255 * DISC
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr("stack.xml", STACK)
        archive.writestr("data/disc.png", to_png(paint(disc)))
    hills = np.zeros_like(disc)
    hills[25:, :80] = disc[:45, 10:]
    assert np.abs(read(file, "hills").astype(int) - hills * 0.4).max() <= 1
    assert np.abs(read(file, "land/near").astype(int) - disc * 0.5).max() <= 1
    near = np.zeros_like(disc)
    near[:50, 60:] = disc[20:, :30]
    assert (read(file, "near") == near).all()  # the layer with exactly this path
    assert [layer.path for layer in open_layered(file).layers if not layer.visible] == ["off", "off/hidden"]


def test_photoshop_groups_masks_and_opacities(tmp_path: Path) -> None:
    document = PSDImage.new("RGBA", SIZE)
    group = document.create_group(name="land", opacity=128, blend_mode=BlendMode.NORMAL)
    group.append(document.create_pixel_layer(paint(255 * DISC), name="hills", opacity=204))
    masked = document.create_pixel_layer(Image.new("RGBA", (40, 30), "red"), name="masked", top=20, left=30)
    masked.create_mask(Image.fromarray(np.uint8(np.linspace(0, 255, 40) * np.ones((30, 1)))), top=20, left=30)
    document.create_pixel_layer(paint(255 * DISC), name="hidden").visible = False
    document.save(tmp_path / "a.psd")
    assert np.abs(read(tmp_path / "a.psd", "hills").astype(int) - 255 * DISC * 0.4).max() <= 1
    expected = np.zeros(SIZE[::-1])
    expected[20:50, 30:70] = np.linspace(0, 255, 40)
    assert np.abs(read(tmp_path / "a.psd", "masked") - expected).max() <= 1
    assert [layer.name for layer in open_layered(tmp_path / "a.psd").layers if not layer.visible] == ["hidden"]


@pytest.mark.parametrize("whose", ["layer", "group"])
def test_a_photoshop_mask_of_an_impossible_size_is_an_error(tmp_path: Path, whose: str) -> None:
    file = tmp_path / "a.psd"
    document = PSDImage.new("RGBA", SIZE)
    document.create_group([document.create_pixel_layer(paint(255 * DISC), name="hills")], name="land")
    document.save(file)
    document = PSDImage.open(file)
    (document[0] if whose == "group" else document[0][0]).create_mask(Image.new("L", SIZE, 255))
    document.save(file)
    right, wrong = (struct.pack(">5i", 20, 0, 0, bottom, SIZE[0]) for bottom in (SIZE[1], 2**31 - 1))
    assert file.read_bytes().count(right) == 1
    file.write_bytes(file.read_bytes().replace(right, wrong))
    with pytest.raises(GuidedStyleError, match="is damaged"):
        read(file, "hills")


def test_photoshop_masks_of_groups_and_clipping(tmp_path: Path) -> None:
    file, whole = tmp_path / "a.psd", paint(np.full(SIZE[::-1], 255))
    document = PSDImage.new("RGBA", SIZE)
    document.create_group([document.create_pixel_layer(whole, name="hills")], name="land")
    document.create_pixel_layer(paint(128 * DISC), name="base")
    document.create_pixel_layer(whole, name="clipped").clipping = True
    document.save(file)
    document, left = PSDImage.open(file), np.arange(SIZE[0]) < 50  # a new group can get a mask only after it was saved
    next(layer for layer in document if layer.name == "land").create_mask(
        Image.fromarray(np.uint8(255 * left * np.ones((SIZE[1], 1))))
    )
    document.save(file)
    assert (read(file, "hills") == 255 * left * np.ones((SIZE[1], 1))).all()
    assert (read(file, "clipped") == 128 * DISC).all()
    assert (read(file, "base") == 128 * DISC).all()


def test_krita_masks_of_groups_and_layers(tmp_path: Path) -> None:
    """Each mask of 128 halves the opacity; a hidden mask does nothing."""
    masks = "".join(
        f'<masks><mask nodetype="transparencymask" filename="{name}" visible="{shown}"/></masks>'
        for name, shown in (("half", 1), ("none", 0))
    ).encode()
    write_krita(tmp_path / "plain.kra", 4, lambda pixels: b"\0" + pixels)
    with zipfile.ZipFile(tmp_path / "plain.kra") as plain, zipfile.ZipFile(tmp_path / "a.kra", "w") as archive:
        for part in plain.namelist():
            content = plain.read(part)
            if part == "maindoc.xml":
                content = content.replace(b'<layers><layer nodetype="paint', masks + b'<layers><layer nodetype="paint')
                content = content.replace(b'colorspacename="RGBA"/>', b'colorspacename="RGBA">' + masks + b"</layer>")
            archive.writestr(part, content)
        for name, ground in (("half", 128), ("none", 0)):
            header = b"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 1\nDATA 0\n"
            archive.writestr(f"x/layers/{name}.pixelselection", header)
            archive.writestr(f"x/layers/{name}.pixelselection.defaultpixel", bytes([ground]))
    whole, masked = read(tmp_path / "plain.kra", "hills"), read(tmp_path / "a.kra", "hills")
    assert np.abs(masked - whole * (128 / 255) ** 2).max() <= 1


def test_krita_numbers_of_thousands_of_digits_are_an_error(tmp_path: Path) -> None:
    write_krita(tmp_path / "plain.kra", 4, lambda pixels: b"\0" + pixels)
    with zipfile.ZipFile(tmp_path / "plain.kra") as plain, zipfile.ZipFile(tmp_path / "a.kra", "w") as archive:
        for part in plain.namelist():
            archive.writestr(part, plain.read(part).replace(b"DATA 1", b"DATA " + b"1" * 5000))
    with pytest.raises(GuidedStyleError, match="is not a layer of Krita"):
        read(tmp_path / "a.kra", "hills")


@pytest.mark.parametrize("depth", [2, 4, 8])
@pytest.mark.parametrize("packed", [True, False])
def test_krita_tiles_groups_and_offsets(tmp_path: Path, depth: int, packed: bool) -> None:
    file = tmp_path / "a.kra"
    write_krita(file, depth, (lambda pixels: pack_planes(pixels, depth)) if packed else lambda pixels: b"\0" + pixels)
    expected = np.full(SIZE[::-1], 200.0)
    expected[6:70, 8:72] = 255 * DISC[:64, :64]
    assert np.abs(read(file, "hills") - expected * 128 / 255).max() <= 1


def test_lzf_copies_overlap() -> None:
    """A run, a copy of 9 bytes from 2 back, and one of 264 from 1 back: the format of LibLZF's lzf_d.c."""
    packed = bytes([1]) + b"ab" + bytes([(7 << 5), 0, 1]) + bytes([(7 << 5), 255, 0])
    assert _unpack_lzf(packed, 2 + 9 + 264) == b"ab" + b"ababababa" + b"a" * 264
    with pytest.raises(ValueError, match="before the beginning"):
        _unpack_lzf(bytes([(1 << 5), 5]), 3)


def test_a_part_that_is_too_large_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "a.ora"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stack.xml", b" " * (2**24 + 1))
    with pytest.raises(GuidedStyleError, match=r"its part stack\.xml is too large"):
        open_layered(file)
