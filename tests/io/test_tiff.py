"""TIFF files by their tags: every layout, depth, colour space and direction is read exactly, or refused.

The files are written by tifffile, with the arrays that must come back; OpenCV and Pillow write some too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_framed, read_image
from guidedstyle.io.images.samples import Samples, read_frame, read_samples, turn_upright

HEIGHT, WIDTH = 40, 56
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
RAMP = np.stack([X / (WIDTH - 1), Y / (HEIGHT - 1), (X + Y) / (X + Y).max()], 2)
DEEP = (RAMP * 65535 + 0.5).astype(np.uint16)
PLAIN = (RAMP * 255 + 0.5).astype(np.uint8)
GREY = PLAIN[..., 0]
VOLUME = np.stack([GREY] * 16)


def write(folder: Path, values: np.ndarray, **options: Any) -> Path:
    file = folder / "a.tif"
    options = {"photometric": "rgb" if values.ndim == 3 and len(values) != len(VOLUME) else "minisblack", **options}
    tifffile.imwrite(file, values, **options)
    return file


def read(folder: Path, values: np.ndarray, **options: Any) -> Samples:
    return read_samples(write(folder, values, **options))


def refuse(file: Path) -> str:
    with pytest.raises(GuidedStyleError) as caught:
        read_samples(file)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"compression": "packbits", "byteorder": ">"},
        {"compression": "zstd", "bigtiff": True},
        {"compression": "lzma", "rowsperstrip": 3},
        {"compression": "jpeg2000"},
        {"tile": (16, 16), "compression": "lzw", "predictor": True},
        {"tile": (32, 16), "byteorder": ">"},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "tile": (16, 32), "compression": "zlib"},
        {"bigtiff": True, "byteorder": ">", "rowsperstrip": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("values", [PLAIN, DEEP], ids=["8", "16"])
def test_every_layout_is_read_exactly(tmp_path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
    planes = np.moveaxis(values, 2, 0) if options.get("planarconfig") else values
    samples = read(tmp_path, np.ascontiguousarray(planes), **options)
    assert samples.values.dtype == values.dtype
    assert (samples.values == values).all()
    assert samples.alpha is None
    assert samples.frame.warnings == ()


@pytest.mark.parametrize("predictor", [None, True])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_are_read_exactly(tmp_path: Path, kind: type[np.floating[Any]], predictor: bool | None) -> None:
    values = RAMP.astype(kind)
    samples = read(tmp_path, values, compression="zlib", predictor=predictor if kind == np.float32 else None)
    assert (samples.values == values.astype(np.float32)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_packed_depths_fill_the_whole_range(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    levels = (RAMP[..., 0] * top + 0.5).astype(np.uint8 if bits < 8 else np.uint16)
    values = levels.astype(bool) if bits == 1 else levels
    samples = read(tmp_path, values, bitspersample=bits)
    whole = 255 if bits < 8 else 65535
    assert (samples.values[..., 0] == np.floor(levels / top * whole + 0.5)).all()
    assert {samples.values.min(), samples.values.max()} == {0, whole}


def test_whole_numbers_of_32_bits_fill_the_whole_range(tmp_path: Path) -> None:
    values = (RAMP[..., 0] * (2**32 - 1)).astype(np.uint32)
    assert np.abs(read(tmp_path, values).values[..., 0] / 65535 - RAMP[..., 0]).max() < 1 / 65535


@pytest.mark.parametrize("values", [GREY, DEEP[..., 0], RAMP[..., 0].astype(np.float32)], ids=["8", "16", "float"])
def test_white_is_zero_is_turned_round(tmp_path: Path, values: np.ndarray) -> None:
    samples = read(tmp_path, values, photometric="miniswhite")
    top = 1 if values.dtype == np.float32 else np.iinfo(values.dtype).max
    assert np.allclose(samples.values[..., 0], top - values.astype(np.float64))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(0, 256, (3, 256), np.uint16)
    file = write(tmp_path, GREY, photometric="palette", colormap=table * 257)
    assert (read_samples(file).values == table.T[GREY]).all()
    Image.fromarray(PLAIN).quantize(2).save(tmp_path / "two.tif")  # one bit a pixel
    expected = np.asarray(Image.open(tmp_path / "two.tif").convert("RGB"))
    assert (read_samples(tmp_path / "two.tif").values == expected).all()


@pytest.mark.parametrize("values", [PLAIN, DEEP], ids=["8", "16"])
@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_alpha_is_straight(tmp_path: Path, values: np.ndarray, kind: str) -> None:
    """Associated alpha is divided out, within half a level of the product; it is nowhere 0 here."""
    top = np.iinfo(values.dtype).max
    alpha = ((0.25 + 0.75 * RAMP[..., 1]) * top).astype(values.dtype)
    stored = values if kind == "unassalpha" else (values * (alpha[..., None] / top) + 0.5).astype(values.dtype)
    samples = read(tmp_path, np.dstack([stored, alpha]), extrasamples=[kind])
    assert samples.alpha is not None
    assert (samples.alpha == alpha).all()
    assert np.abs(samples.values.astype(int) - values).max() <= (0 if kind == "unassalpha" else 2)


def test_grey_with_alpha(tmp_path: Path) -> None:
    samples = read(tmp_path, np.dstack([GREY, PLAIN[..., 1]]), photometric="minisblack", extrasamples=["unassalpha"])
    assert (samples.values[..., 0] == GREY).all()
    assert samples.alpha is not None
    assert (samples.alpha == PLAIN[..., 1]).all()


def test_a_channel_that_is_not_opacity_is_named(tmp_path: Path) -> None:
    """Programs keep selections there; painted as opacity, they would cut the photograph."""
    samples = read(tmp_path, np.dstack([PLAIN, GREY, GREY]), extrasamples=["unspecified", "unspecified"])
    assert samples.alpha is None
    assert "2 of its channels are neither colours nor opacity" in samples.frame.warnings[0]


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_the_orientation_turns_the_pixels_once(tmp_path: Path, orientation: int, compression: str | None) -> None:
    """By the definition of TIFF 6.0: where the stored first row and first column are seen."""
    seen = {
        **dict.fromkeys((1, 9), PLAIN),  # 9 is not defined
        2: PLAIN[:, ::-1],
        3: PLAIN[::-1, ::-1],
        4: PLAIN[::-1],
        5: PLAIN.transpose(1, 0, 2),
        6: np.rot90(PLAIN, -1),
        7: np.rot90(PLAIN, 2).transpose(1, 0, 2),
        8: np.rot90(PLAIN),
    }[orientation]
    file = write(tmp_path, PLAIN, extratags=[(274, "H", 1, orientation)], compression=compression)
    samples = read_samples(file)
    assert (samples.values == seen).all()
    assert samples.frame.size == read_frame(file).size == (seen.shape[1], seen.shape[0])
    assert samples.frame.stored == (WIDTH, HEIGHT)
    assert (np.asarray(read_image(file)) == seen).all()


def test_cmyk_is_converted(tmp_path: Path) -> None:
    """Without a profile by the usual formula, (1 - ink) (1 - black), as Pillow does; with a warning."""
    inks = np.dstack([PLAIN, GREY // 2])
    samples = read(tmp_path, inks, photometric="separated")
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"), int)
    assert np.abs(samples.values - expected).max() <= 1
    assert "CMYK without a colour profile" in samples.frame.warnings[0]


@pytest.mark.parametrize("bits", [8, 16])
def test_lab_is_converted(tmp_path: Path, bits: int) -> None:
    """By OpenCV's formula for D65; a and b are stored signed."""
    lab = cv2.cvtColor(RAMP.astype(np.float32), cv2.COLOR_RGB2Lab)
    scale = 2 ** (bits - 8)
    kind = np.uint8 if bits == 8 else np.uint16
    lightness = np.round(lab[..., :1] / 100 * (2**bits - 1)).astype(kind)
    signed = np.round(lab[..., 1:] * scale).astype(np.int8 if bits == 8 else np.int16).view(kind)
    white = (31270, 100000, 32900, 100000)
    tags = [(318, "2I", 2, white)]
    samples = read(tmp_path, np.dstack([lightness, signed]), photometric="cielab", extratags=tags)
    assert np.abs(samples.values / 65535 - RAMP).max() < (0.06 if bits == 8 else 0.003)


def test_lab_of_the_standards_white_is_converted(tmp_path: Path) -> None:
    """As Pillow writes it, by LittleCMS in 8 bits, whose steps are wide in dark colours."""
    lab = ImageCms.profileToProfile(
        Image.fromarray(PLAIN), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab
    lab.save(tmp_path / "a.tif")
    difference = np.abs(read_samples(tmp_path / "a.tif").values / 65535 - PLAIN / 255)
    assert difference.mean() < 0.005
    assert difference.max() < 0.08


def test_a_jpeg_within_a_tiff_is_read_as_libtiff_does(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(PLAIN, (0, 0), 2)
    Image.fromarray(smooth).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.tif").convert("RGB"), int)
    samples = read_samples(tmp_path / "a.tif")
    assert samples.lossy
    assert np.abs(samples.values - expected).max() <= 2


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "packbits"])
def test_faxes_are_read(tmp_path: Path, compression: str) -> None:
    halves = GREY > 100
    Image.fromarray(halves).save(tmp_path / "a.tif", compression=compression)
    assert (read_samples(tmp_path / "a.tif").values[..., 0] == halves * 255).all()


@pytest.mark.parametrize("values", [DEEP, np.dstack([DEEP, DEEP[..., :1]]), RAMP.astype(np.float32)])
def test_what_opencv_writes_is_read(tmp_path: Path, values: np.ndarray) -> None:
    order = [2, 1, 0, 3][: values.shape[2]]
    cv2.imwrite(str(tmp_path / "a.tif"), values[..., order])
    samples = read_samples(tmp_path / "a.tif")
    assert (samples.values == values[..., :3]).all()
    assert (samples.alpha is not None) == (values.shape[2] == 4)


def write_pages(file: Path, pages: list[tuple[np.ndarray, dict[str, Any]]]) -> Path:
    with tifffile.TiffWriter(file) as writer:
        for values, options in pages:
            writer.write(values, **{"photometric": "rgb", "metadata": None, **options})
    return file


SMALL = np.ascontiguousarray(PLAIN[::2, ::2])
PAGES = {
    "thumbnail first": ([(SMALL, {"subfiletype": 1}), (PLAIN, {})], ""),
    "thumbnail last": ([(PLAIN, {}), (SMALL, {"subfiletype": 1})], ""),
    "thumbnail of the old kind": ([(SMALL, {"extratags": [(255, "H", 1, 2)]}), (PLAIN, {})], ""),
    "mask last": ([(PLAIN, {}), (GREY > 100, {"subfiletype": 4, "photometric": "mask"})], ""),
    "mask first": ([(GREY > 100, {"subfiletype": 4, "photometric": "mask"}), (PLAIN, {})], ""),
    "the photograph within the thumbnail": ([(SMALL, {"subfiletype": 1, "subifds": 1}), (PLAIN, {})], ""),
    "a pyramid": ([(PLAIN, {"subifds": 1}), (SMALL, {"subfiletype": 1})], ""),
    "thumbnails only": ([(SMALL, {"subfiletype": 1}), (PLAIN, {"subfiletype": 1})], "marked as thumbnails"),
    "thumbnail without a mark": ([(SMALL, {}), (PLAIN, {})], "it holds 2 images: the largest, 56 x 40 px, is used"),
    "pages": ([(PLAIN, {"subfiletype": 2}), (PLAIN[::-1].copy(), {"subfiletype": 2})], "it holds 2 images"),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_photograph_is_found_among_pages(tmp_path: Path, name: str) -> None:
    pages, warning = PAGES[name]
    file = write_pages(tmp_path / "a.tif", pages)
    samples = read_samples(file)
    assert (samples.values == PLAIN).all()
    assert read_frame(file).size == (WIDTH, HEIGHT)
    assert bool(samples.frame.warnings) == bool(warning)
    assert warning in "".join(read_framed(file)[1].warnings)


REFUSED: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "int8": (GREY.astype(np.int8), {}, "its 8-bit values are signed or complex numbers"),
    "int16": (GREY.astype(np.int16), {}, "its 16-bit values are signed or complex numbers"),
    "complex": (GREY.astype(np.complex64), {}, "its 64-bit values are signed or complex numbers"),
    "nearly black": (GREY.astype(np.uint32), {}, "its 32-bit values are at most 255: it would be black"),
    "raw": (DEEP[..., 0], {"photometric": "cfa"}, "its pixels are camera raw"),
    "linear raw": (DEEP, {"photometric": "linear_raw"}, "its pixels are camera raw"),
    "LogLuv": (DEEP, {"photometric": "logluv"}, "its pixels are LogLuv"),
    "ITU Lab": (PLAIN, {"photometric": "itulab"}, "its pixels are ITU Lab"),
    "YCbCr": (PLAIN, {"photometric": "ycbcr"}, "its pixels are YCbCr outside a plain JPEG"),
    "volume": (
        np.stack([GREY] * 16),
        {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)},
        "it is a volume of 16 slices",
    ),
    "inks": (
        np.dstack([PLAIN, GREY]),
        {"photometric": "separated", "extratags": [(332, "H", 1, 2)]},
        "its inks are not those of CMYK",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_exactly_is_refused(tmp_path: Path, name: str) -> None:
    values, options, rule = REFUSED[name]
    message = refuse(write(tmp_path, values, **options))
    assert f"{rule}\n    export it as an RGB or grey image of 8 or 16 bits" in message


@pytest.mark.parametrize("compression", ["jpegxl", "jpegxr", "lerc", "png"])
def test_a_compression_that_is_not_read_is_refused(tmp_path: Path, compression: str) -> None:
    message = refuse(write(tmp_path, PLAIN, compression=compression))
    assert "its compression is " in message
    assert "save it with LZW or ZIP compression, or none" in message


def test_values_beyond_white_are_told(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32) * 2
    samples = read(tmp_path, values)
    assert (samples.values == values).all()
    assert f"{(values > 1).mean():.1%} of its values are not between 0 and 1" in samples.frame.warnings[0]


def set_tag(file: Path, code: int, value: int, *, at: int = 8) -> None:
    """Write 2 bytes into the entry of a tag: its value, or at 0 its code."""
    with tifffile.TiffFile(file) as document:
        place = document.pages[0].tags[code].offset + at  # type: ignore[union-attr]
    content = file.read_bytes()
    file.write_bytes(content[:place] + value.to_bytes(2, "little") + content[place + 2 :])


def test_a_tiff_without_photometric_interpretation_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN)
    set_tag(file, 262, 60_000, at=0)
    samples = read_samples(file)
    assert (samples.values == PLAIN).all()
    assert "does not say which colours it holds" in samples.frame.warnings[0]


@pytest.mark.parametrize("noise", [GREY, DEEP[..., 0]], ids=["8", "16"])
@pytest.mark.parametrize("compression", [2, 3, 4])
def test_a_fax_of_many_levels_is_refused(tmp_path: Path, noise: np.ndarray, compression: int) -> None:
    file = write(tmp_path, noise)
    set_tag(file, 259, compression)
    assert "its compression holds black and white, its tags tell of" in refuse(file)


@pytest.mark.parametrize(
    ("values", "code", "value", "at"),
    [
        (GREY, 258, 60_000, 0),  # the tag is missing: one bit
        (GREY, 258, 4, 8),
        (DEEP[..., 0], 258, 8, 8),
        (GREY, 257, HEIGHT // 2, 8),
        (PLAIN, 256, WIDTH // 2, 8),
    ],
)
def test_pixels_that_the_tags_do_not_tell_of_are_warned_of(
    tmp_path: Path, values: np.ndarray, code: int, value: int, at: int
) -> None:
    file = write(tmp_path, values)
    assert not read_samples(file).frame.warnings
    set_tag(file, code, value, at=at)
    assert any("far more pixels than its tags tell of" in one for one in read_samples(file).frame.warnings)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_cut_tiff_is_refused(tmp_path: Path, compression: str | None, tenth: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = write(tmp_path, noise, compression=compression, rowsperstrip=8)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * tenth // 10])
    assert "save it again" in refuse(file)


def test_what_lies_behind_a_tiff_is_ignored(tmp_path: Path) -> None:
    file = write(tmp_path, DEEP)
    file.write_bytes(file.read_bytes() + bytes(1000))
    assert (read_samples(file).values == DEEP).all()


def test_a_chain_of_images_that_leads_back_ends(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN)
    content = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as document:
        page = document.pages[0]
        place = page.offset + 2 + 12 * len(page.tags)  # type: ignore[union-attr]
    content[place : place + 4] = page.offset.to_bytes(4, "little")
    file.write_bytes(content)
    assert (read_samples(file).values == PLAIN).all()


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp"])
def test_a_strip_that_is_larger_than_the_tags_say_is_refused(tmp_path: Path, compression: str) -> None:
    """A few bytes could hold gigapixels; and what is larger would be cut wrongly."""
    file = write(tmp_path, PLAIN, compression=compression)
    content = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as document:
        tags = document.pages[0].tags  # type: ignore[union-attr]
        places = [tags[256].valueoffset, tags[257].valueoffset, tags[278].valueoffset]
    for place in places:
        content[place : place + 2] = (20).to_bytes(2, "little")
    file.write_bytes(content)
    assert "its strips or tiles are larger than its tags say" in refuse(file)


def test_a_giant_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN)
    content = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as document:
        tags = document.pages[0].tags  # type: ignore[union-attr]
        places = [tags[256].valueoffset, tags[257].valueoffset]
    for place in places:
        content[place : place + 2] = (40_000).to_bytes(2, "little")
    file.write_bytes(content)
    assert "40000 x 40000 px is too large" in refuse(file)


@pytest.mark.parametrize("turn", range(2, 9))
def test_an_image_within_another_is_turned_as_that_says(tmp_path: Path, turn: int) -> None:
    """As in camera files, whose thumbnail comes first and holds the orientation; its own comes before it."""
    values = np.arange(48 * 32 * 3, dtype=np.uint16).reshape(32, 48, 3) * 13
    outer = {"photometric": "rgb", "subfiletype": 1, "extratags": [(274, "H", 1, turn, True)]}
    for own in ([], [(274, "H", 1, 1, True)]):
        with tifffile.TiffWriter(tmp_path / "a.tif") as document:
            document.write(np.zeros((16, 24, 3), np.uint8), subifds=1, **outer)
            document.write(values, photometric="rgb", subfiletype=0, extratags=own)
        assert read_frame(tmp_path / "a.tif").orientation == (1 if own else turn)
        assert (read_samples(tmp_path / "a.tif").values == (values if own else turn_upright(values, turn))).all()


@pytest.mark.parametrize("tag", [("B", 1, 6), ("I", 1, 6), ("h", 1, 6), ("H", 2, (6, 1))])
def test_an_orientation_of_another_type_counts(tmp_path: Path, tag: tuple[str, int, Any]) -> None:
    kind, count, value = tag
    values = np.zeros((32, 48), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(274, kind, count, value, True)])
    assert read_frame(tmp_path / "a.tif").orientation == 6


@pytest.mark.parametrize("most", [255, 1023, 4095, 4096])
def test_16_bits_that_hold_fewer_are_told(tmp_path: Path, most: int) -> None:
    values = np.linspace(0, most, 48 * 32).astype(np.uint16).reshape(32, 48)
    tifffile.imwrite(tmp_path / "a.tif", values)
    warnings = read_framed(tmp_path / "a.tif")[1].warnings
    assert (f"at most {most} of 65535" in "".join(warnings)) == (most < 4096)
