"""Every role reads every depth: the same picture, stored in many ways, is the same image, mask, opacity and labels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from guidedstyle.app.api import check, load_recipe
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_framed, read_image
from guidedstyle.io.images.samples import read_samples
from guidedstyle.masks.files import read_alpha, read_grey, read_labels
from guidedstyle.masks.labels import Palette

HEIGHT, WIDTH = 24, 32
LAND = np.arange(HEIGHT)[:, None] >= np.full(WIDTH, 15)  # 37.5 %
DARK, LIGHT = 85, 170  # of 255: thirds, which every depth from 2 bits on holds
LEVELS = np.where(LAND, DARK, LIGHT).astype(np.uint8)
COLOURS = np.where(LAND[..., None], (0, DARK, 255), (255, LIGHT, 0)).astype(np.uint8)
Write = Callable[[Path], object]


def deepen(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint16) * 257


def png(depth: int, kind: int, samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> Write:
    """Write a PNG of a depth and colour type from samples (H, W) or (H, W, C) of that depth."""

    def pack(row: np.ndarray) -> bytes:
        if depth == 16:
            return row.astype(">u2").tobytes()
        bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]
        return np.packbits(bits.ravel()).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def write(file: Path) -> None:
        header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, kind, 0, 0, 0)
        pixels = zlib.compress(b"".join(b"\0" + pack(row) for row in samples))
        parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))

    return write


def tiff(values: np.ndarray, **options: object) -> Write:
    return lambda file: tifffile.imwrite(file, values, **{"photometric": "minisblack", **options})


def pillow(picture: Image.Image, kind: str, **options: object) -> Write:
    return lambda file: picture.save(file, kind, **options)


def portable(header: str, body: bytes) -> Write:
    return lambda file: file.write_bytes(f"{header}\n".encode() + body)


def spell(values: np.ndarray) -> bytes:
    return " ".join(map(str, values.ravel())).encode()


OPAQUE = np.full(LAND.shape, 65535, np.uint16)
TABLE = bytes((DARK, DARK, DARK, LIGHT, LIGHT, LIGHT))
RGB = np.repeat(LEVELS[..., None], 3, 2)
THIRDS, TENTHS = LEVELS // 85, LEVELS // 17
GREYS: dict[str, Write] = {
    "PNG 2": png(2, 0, THIRDS),
    "PNG 4": png(4, 0, TENTHS),
    "PNG 8": png(8, 0, LEVELS),
    "PNG 16": png(16, 0, deepen(LEVELS)),
    "PNG 16 with a key": png(16, 0, deepen(LEVELS), (b"tRNS", b"\1\2")),
    "PNG grey and alpha 8": png(8, 4, np.dstack([LEVELS, OPAQUE >> 8])),
    "PNG grey and alpha 16": png(16, 4, np.dstack([deepen(LEVELS), OPAQUE])),
    "PNG palette 1": png(1, 3, 1 - LAND, (b"PLTE", TABLE)),
    "PNG palette 8 with opacities": png(8, 3, 1 - LAND, (b"PLTE", TABLE), (b"tRNS", b"\xff\xff")),
    "PNG colours 8": png(8, 2, RGB),
    "PNG colours 16": png(16, 2, deepen(RGB)),
    "PNG colours 16 with a key": png(16, 2, deepen(RGB), (b"tRNS", bytes((0, 1, 0, 2, 0, 3)))),
    "PNG colours and alpha 16": png(16, 6, np.dstack([deepen(RGB), OPAQUE])),
    "PGM 16": portable(f"P5 {WIDTH} {HEIGHT} 65535", deepen(LEVELS).astype(">u2").tobytes()),
    "PGM 10": portable(f"P5 {WIDTH} {HEIGHT} 1023", (LEVELS.astype(">u2") // 85 * 341).astype(">u2").tobytes()),
    "PPM 16": portable(f"P6 {WIDTH} {HEIGHT} 65535", deepen(RGB).astype(">u2").tobytes()),
    "PPM 10": portable(f"P6 {WIDTH} {HEIGHT} 1023", (RGB // 85 * np.uint16(341)).astype(">u2").tobytes()),
    "PPM plain 16": portable(f"P3 {WIDTH} {HEIGHT} 65535", spell(deepen(RGB))),
    "PFM": portable(f"Pf\n{WIDTH} {HEIGHT}\n-1.0", (LEVELS[::-1] / 255).astype("<f4").tobytes()),
    "BMP 8": pillow(Image.fromarray(LEVELS), "BMP"),
    "GIF": pillow(Image.fromarray(LEVELS), "GIF"),
    "WebP": pillow(Image.fromarray(LEVELS), "WEBP", lossless=True),
    "TIFF 4": tiff(TENTHS, bitspersample=4),
    "TIFF 8": tiff(LEVELS),
    "TIFF 12": tiff(LEVELS // 85 * np.uint16(1365), bitspersample=12),
    "TIFF 16": tiff(deepen(LEVELS)),
    "TIFF 32": tiff(LEVELS // 85 * np.uint32(2**32 // 3)),
    "TIFF half": tiff((LEVELS / 255).astype(np.float16)),
    "TIFF float": tiff((LEVELS / 255).astype(np.float32)),
    "TIFF double": tiff(LEVELS / 255),
    "TIFF white is zero 16": tiff(~deepen(LEVELS), photometric="miniswhite"),
    "TIFF colours 16": tiff(deepen(RGB), photometric="rgb"),
    "TIFF colours float": tiff((RGB / 255).astype(np.float32), photometric="rgb"),
    "TIFF grey and alpha 16": tiff(np.dstack([deepen(LEVELS), OPAQUE]), extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_of_every_depth_is_the_same_in_every_role(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.img"
    GREYS[name](file)
    assert (np.asarray(read_image(file)) == RGB).all()
    grey = read_grey(file)
    assert np.abs(grey / (255 if grey.dtype == np.uint8 else 1) - LEVELS / 255).max() < 0.0005
    labels = read_labels(file, Palette(((DARK,) * 3, (LIGHT,) * 3)))
    assert (labels.select(f"#{DARK:02x}{DARK:02x}{DARK:02x}") > 0).tolist() == LAND.tolist()
    assert not labels.unnamed


RGBA = np.dstack([COLOURS, np.full(LAND.shape, 255, np.uint8)])
CODES = COLOURS[[15, 0], [0, 0]].tobytes()  # of land, then of the rest
COLOUR_FILES: dict[str, Write] = {
    "PNG 8": png(8, 2, COLOURS),
    "PNG 16": png(16, 2, deepen(COLOURS)),
    "PNG and alpha 16": png(16, 6, deepen(RGBA)),
    "PNG palette 1": png(1, 3, 1 - LAND, (b"PLTE", CODES)),
    "PNG palette 4": png(4, 3, 1 - LAND, (b"PLTE", CODES)),
    "PPM 16": portable(f"P6 {WIDTH} {HEIGHT} 65535", deepen(COLOURS).astype(">u2").tobytes()),
    "GIF": pillow(Image.fromarray(COLOURS), "GIF"),
    "BMP and alpha": pillow(Image.fromarray(RGBA), "BMP"),
    "WebP": pillow(Image.fromarray(COLOURS), "WEBP", lossless=True),
    "TIFF 2": tiff(COLOURS // 85, photometric="rgb", bitspersample=2),
    "TIFF 10": tiff(COLOURS // 85 * np.uint16(341), photometric="rgb", bitspersample=10),
    "TIFF 16": tiff(deepen(COLOURS), photometric="rgb"),
    "TIFF planes 16": tiff(np.moveaxis(deepen(COLOURS), 2, 0).copy(), photometric="rgb", planarconfig="separate"),
    "TIFF float": tiff((COLOURS / 255).astype(np.float32), photometric="rgb"),
    "TIFF and alpha 16": tiff(deepen(RGBA), photometric="rgb", extrasamples=["assocalpha"]),
    "TIFF CMYK 16": tiff(np.dstack([~deepen(COLOURS), OPAQUE * 0]), photometric="separated"),
    "TIFF palette": tiff(
        (1 - LAND).astype(np.uint8),
        photometric="palette",
        colormap=np.vstack([COLOURS[15, 0], COLOURS[0, 0], *[[0] * 3] * 254]).T.astype(np.uint16) * 257,
    ),
}


@pytest.mark.parametrize("name", COLOUR_FILES)
def test_colours_of_every_depth_are_the_same_in_every_role(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.img"
    COLOUR_FILES[name](file)
    assert np.abs(np.asarray(read_image(file), int) - COLOURS).max() <= 1
    labels = read_labels(file, Palette(((0, DARK, 255), (255, LIGHT, 0))))
    assert (labels.select("#0055ff") > 0).tolist() == LAND.tolist()
    with pytest.raises(GuidedStyleError, match="100% of this mask is painted in colour"):
        read_grey(file)


def write_bmp(file: Path) -> None:
    """Write a BMP of version 4, with alpha; Pillow writes none."""
    pixels = np.dstack([COLOURS[::-1, :, ::-1], LEVELS[::-1]]).tobytes()
    header = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    file.write_bytes(b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + masks + pixels)


ALPHAS: dict[str, Write] = {
    "PNG 8": png(8, 6, np.dstack([COLOURS, LEVELS])),
    "PNG 16": png(16, 6, np.dstack([deepen(COLOURS), deepen(LEVELS)])),
    "PNG grey 8": png(8, 4, np.dstack([LEVELS, LEVELS])),
    "PNG grey 16": png(16, 4, np.dstack([deepen(LEVELS), deepen(LEVELS)])),
    "PNG palette 1": png(1, 3, 1 - LAND, (b"PLTE", CODES), (b"tRNS", bytes((DARK, LIGHT)))),
    "BMP": write_bmp,
    "WebP": pillow(Image.fromarray(np.dstack([COLOURS, LEVELS])), "WEBP", lossless=True),
    "TIFF 8": tiff(np.dstack([COLOURS, LEVELS]), photometric="rgb", extrasamples=["unassalpha"]),
    "TIFF 16": tiff(
        np.dstack([COLOURS, LEVELS]).astype(np.uint16) * 257, photometric="rgb", extrasamples=["assocalpha"]
    ),
    "TIFF float": tiff(np.dstack([COLOURS, LEVELS]).astype(np.float32) / 255, photometric="rgb", extrasamples=[2]),
    "TIFF grey 16": tiff(np.dstack([deepen(LEVELS), deepen(LEVELS)]), extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("name", ALPHAS)
def test_opacity_of_every_depth_is_the_same(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.img"
    ALPHAS[name](file)
    alpha = read_alpha(file)
    assert np.abs(alpha / (255 if alpha.dtype == np.uint8 else 1) - LEVELS / 255).max() < 1e-6


KEYS: dict[str, Write] = {
    "PNG grey 1": png(1, 0, ~LAND, (b"tRNS", b"\0\0")),
    "PNG grey 2": png(2, 0, THIRDS, (b"tRNS", b"\0\1")),
    "PNG grey 8": png(8, 0, LEVELS, (b"tRNS", bytes((0, DARK)))),
    "PNG grey 16": png(16, 0, deepen(LEVELS), (b"tRNS", bytes((DARK, DARK)))),
    "PNG colours 8": png(8, 2, RGB, (b"tRNS", bytes((0, DARK) * 3))),
    "PNG colours 16": png(16, 2, deepen(RGB), (b"tRNS", bytes((DARK, DARK) * 3))),
    "PNG palette": png(1, 3, 1 - LAND, (b"PLTE", TABLE), (b"tRNS", b"\0")),
    "GIF": pillow(Image.fromarray(1 - LAND.astype(np.uint8), "P"), "GIF", transparency=0),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_colour_that_means_transparent_is_so_in_every_role(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.img"
    KEYS[name](file)
    alpha = read_alpha(file)
    assert ((alpha / (255 if alpha.dtype == np.uint8 else 1)) == ~LAND).all()
    if name != "GIF":
        light = 255 if name == "PNG grey 1" else LIGHT
        assert (np.asarray(read_image(file)) == np.where(LAND, 255, light)[..., None]).all()
        assert (read_grey(file)[LAND] == 0).all()


def test_deep_alpha_times_grey_is_a_product(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, LAND.size).astype(np.uint16).reshape(LAND.shape)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(np.dstack([levels, levels[::-1]]))))
    expected = (levels / 65535) * (levels[::-1] / 65535)
    assert np.abs(read_grey(tmp_path / "a.png") - expected).max() < 1e-6


def test_depth_beyond_8_bits_is_kept_in_masks_and_samples(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, LAND.size).astype(np.uint16).reshape(LAND.shape)
    colours = np.repeat(levels[..., None], 3, 2)
    ppm = portable(f"P6 {WIDTH} {HEIGHT} 65535", colours.astype(">u2").tobytes())
    plain = portable(f"P3 # a comment\n{WIDTH} {HEIGHT}\n65535", spell(colours))
    for write in (png(16, 0, levels), tiff(levels), png(16, 2, colours), ppm, plain):
        write(tmp_path / "a.img")
        assert (read_samples(tmp_path / "a.img").values[..., 0] == levels).all()
        assert np.abs(read_grey(tmp_path / "a.img") - levels / 65535).max() < 1e-6


@pytest.mark.parametrize("what", ["cut", "changed"])
@pytest.mark.parametrize("tenth", range(2, 9))
def test_a_damaged_deep_png_is_refused(tmp_path: Path, tenth: int, what: str) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3))
    png(16, 2, noise)(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    place = len(content) * tenth // 10
    content[place] ^= 0x55
    (tmp_path / "a.png").write_bytes(content[:place] if what == "cut" else content)
    with pytest.raises(GuidedStyleError, match="the image is damaged"):
        read_samples(tmp_path / "a.png")


def test_a_mask_may_have_a_thumbnail_but_not_two_pages(tmp_path: Path) -> None:
    small = np.ascontiguousarray(LEVELS[::2, ::2])
    for pages in ([(small, 1), (LEVELS, 0)], [(LEVELS, 0), (small, 1)], [(LEVELS, 0), (LEVELS, 0)]):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for values, kind in pages:
                writer.write(values, photometric="minisblack", subfiletype=kind, metadata=None)
        if all(kind == 0 for _, kind in pages):
            with pytest.raises(GuidedStyleError, match="it holds 2 images"):
                read_grey(tmp_path / "a.tif")
        else:
            assert (read_grey(tmp_path / "a.tif") == LEVELS).all()


@pytest.mark.parametrize("name", ["PNG 16", "TIFF 12", "TIFF float", "PPM 16", "PNG palette 1"])
def test_a_recipe_takes_such_files_in_every_role(tmp_path: Path, name: str) -> None:
    GREYS[name](tmp_path / "grey.img")
    Image.fromarray(COLOURS).resize((96, 72), Image.Resampling.NEAREST).save(tmp_path / "photo.png")
    recipe = tmp_path / "a.yaml"
    code = f"#{DARK:02x}{DARK:02x}{DARK:02x}"
    recipe.write_text(f"""
content: grey.img
styles: {{ink: {{image: grey.img, mask: grey.img}}}}
init: {{file: grey.img}}
regions:
  - {{name: rest, mask: rest, style: ink}}
  - {{name: land, mask: {{file: grey.img, colour: '{code}'}}, style: ink}}
""")
    found = check(load_recipe(recipe))
    assert found.size == (WIDTH, HEIGHT)
    assert found.shares["land"] == pytest.approx(LAND.mean(), abs=1e-6)


def test_read_framed_agrees_with_the_samples(tmp_path: Path) -> None:
    """A turned 16-bit TIFF with alpha, shown on white by arithmetic."""
    levels = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
    tags = [(274, "H", 1, 6)]
    tiff(levels, photometric="rgb", extrasamples=["unassalpha"], extratags=tags)(tmp_path / "a.tif")
    samples = read_samples(tmp_path / "a.tif")
    picture, frame = read_framed(tmp_path / "a.tif")
    assert frame == samples.frame
    assert samples.alpha is not None
    alpha = samples.alpha[..., None] / 65535
    shown = samples.values / 65535 * alpha + 1 - alpha
    assert np.abs(np.asarray(picture) / 255 - shown).max() <= 1.5 / 255
