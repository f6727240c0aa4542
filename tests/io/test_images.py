"""Files to images and back: orientation, alpha, depth, colour profiles, damaged files."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.images.opening import open_image
from guidedstyle.io.images.reading import fit_size, read_image, to_array
from guidedstyle.io.images.samples import Frame, read_frame
from guidedstyle.io.images.writing import read_note, save_image, to_pillow
from guidedstyle.scene.original import read_original

CORNERS = np.zeros((20, 30, 3), np.uint8)
CORNERS[:10, :15] = (255, 0, 0)
CORNERS[10:, 15:] = (0, 0, 255)


def test_an_image_round_trips_exactly(tmp_path: Path) -> None:
    every_value = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    picture = to_pillow(to_array(Image.fromarray(every_value)))
    save_image(picture, tmp_path / "a.png")
    assert (np.asarray(read_image(tmp_path / "a.png")) == every_value).all()


def test_convention_arrays_are_rgb_rows_from_the_top() -> None:
    array = to_array(Image.fromarray(CORNERS))
    assert array.shape == (1, 3, 20, 30)
    assert array.dtype == np.float32
    assert array[0, :, 0, 0].tolist() == [1, 0, 0]
    assert array[0, :, 19, 29].tolist() == [0, 0, 1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """For every stored orientation, the image is the one that a viewer shows."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # by tag: Pillow's transposition that undoes it
    stored = Image.fromarray(CORNERS)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "held.png", exif=exif)
    assert read_frame(tmp_path / "held.png").size == (30, 20)
    assert (np.asarray(read_image(tmp_path / "held.png")) == CORNERS).all()


@pytest.mark.parametrize(("kind", "turn"), [(3, 9), (3, 0), (12, math.inf), (11, math.nan), (2, "6")])
def test_an_invalid_orientation_rotates_neither_image_nor_frame(tmp_path: Path, kind: int, turn: object) -> None:
    """Stored as a short, a float or a text, as in damaged or unusual EXIF."""
    tags = ImageFileDirectory_v2()
    tags.tagtype[0x0112] = kind
    tags[0x0112] = turn
    exif = b"Exif\0\0II*\0\x08\0\0\0" + tags.tobytes(8)
    Image.new("RGB", (30, 20)).save(tmp_path / "held.jpg", exif=exif)
    assert read_frame(tmp_path / "held.jpg") == Frame((30, 20))
    assert read_image(tmp_path / "held.jpg").size == (30, 20)


def test_transparent_pixels_are_shown_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:8] = (0, 255, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = np.asarray(read_image(tmp_path / "a.png"))
    assert shown[0, 0].tolist() == [0, 255, 0]
    assert shown[15, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.uint8(np.indices((16, 16)).sum(0) > 15) * 255)
    if mode == "I;16":
        source = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        source = grey.convert("RGB").convert(mode)
    source.save(tmp_path / "a.tif")
    assert (np.asarray(read_image(tmp_path / "a.tif")) == np.asarray(grey)[:, :, None]).all()


def make_linear_profile() -> bytes:
    """Make an ICC profile with sRGB's primaries and linear light."""

    def number(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + b"".join(map(number, values))

    tags = {b"wtpt": xyz(0.9642, 1, 0.8249), b"rXYZ": xyz(0.4361, 0.2225, 0.0139)}
    tags |= {b"gXYZ": xyz(0.3851, 0.7169, 0.0971), b"bXYZ": xyz(0.1431, 0.0606, 0.7141)}
    tags |= {curve: b"curv" + bytes(8) for curve in (b"rTRC", b"gTRC", b"bTRC")}  # no entries: the identity
    table, content, start = len(tags).to_bytes(4, "big"), b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + (start + len(content)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        content += value + bytes(-len(value) % 4)
    header = (start + len(content)).to_bytes(4, "big") + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12)
    header += b"acsp" + bytes(28) + number(0.9642) + number(1) + number(0.8249)
    return header.ljust(128, b"\0") + table + content


@pytest.mark.parametrize(("linear", "shown"), [(0, 0), (55, 128), (128, 188), (255, 255)])
def test_colour_profiles_are_applied(tmp_path: Path, linear: int, shown: int) -> None:
    """Linear light becomes sRGB by the formula of IEC 61966-2-1."""
    Image.new("RGB", (16, 16), (linear,) * 3).save(tmp_path / "tagged.png", icc_profile=make_linear_profile())
    assert np.abs(np.asarray(read_image(tmp_path / "tagged.png"), int) - shown).max() <= 1


@pytest.mark.parametrize("gamma", [1.8, 2.2, 2.4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_greys_with_a_profile_stay_neutral(tmp_path: Path, kind: type, gamma: float) -> None:
    levels = np.arange(64 * 64).reshape(64, 64) * (1 if kind is np.uint8 else 16)
    profile = imagecodecs.cms_profile("gray", gamma=gamma)
    tifffile.imwrite(tmp_path / "a.tif", levels.astype(kind), photometric="minisblack", iccprofile=profile)
    pixels = read_original(tmp_path / "a.tif").pixels
    assert pixels.dtype == kind and len(np.unique(pixels)) > 200
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(
    ("size", "longest", "expected"), [((30, 20), 15, (15, 10)), ((3, 900), 90, (1, 90)), ((7, 5), None, (7, 5))]
)
def test_sizes_keep_their_shape(size: tuple[int, int], longest: int | None, expected: tuple[int, int]) -> None:
    assert fit_size(size, longest) == expected


def test_reading_small_equals_reading_and_shrinking(tmp_path: Path) -> None:
    y, x = np.mgrid[0:600, 0:800]
    smooth = np.uint8(127 + 60 * np.sin(x / 40)[..., None] + 60 * np.cos(y / 60)[..., None] * [1, 0.5, 0.2])
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    small = np.asarray(read_image(tmp_path / "a.jpg", 100), np.int16)
    expected = np.asarray(Image.fromarray(smooth).resize((100, 75), Image.Resampling.LANCZOS), np.int16)
    assert np.abs(small - expected).max() <= 6


def fail(file: Path, reader=read_image) -> str:
    with pytest.raises(GuidedStyleError) as caught:
        reader(file)
    return str(caught.value)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("longest", [96, 110, 120, 128, 200, 256, 300, 512, 700])
def test_a_jpeg_read_small_has_the_shape_of_the_whole(tmp_path: Path, longest: int, orientation: int) -> None:
    """JPEG decoders shrink to a half, a quarter or an eighth, rounded up."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (1025, 682), "red").save(tmp_path / "a.jpg", exif=exif)
    expected = fit_size((682, 1025) if orientation == 6 else (1025, 682), longest)
    assert read_image(tmp_path / "a.jpg", longest).size == expected


def test_a_long_jpeg_is_read_small(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 16), "red").save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg", 64).size == (64, 1)


def test_the_errors_of_bad_files(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    assert fail(tmp_path / "text.png") == (
        f"{tmp_path / 'text.png'}: this is not an image that can be read\n    save it as PNG, JPEG, TIFF or WebP"
    )
    Image.new("RGB", (8, 40)).save(tmp_path / "small.png")
    assert "8 x 40 px is too small\n    use an image of at least 16 px a side" in fail(tmp_path / "small.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("tenth", range(10))
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, tenth: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole{suffix}")
    content = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[: len(content) * tenth // 10])
    assert "save it" in fail(tmp_path / f"cut{suffix}")


def test_a_gigapixel_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (16, 16)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    assert "40000 x 40000 px is too large\n    scale it to at most" in fail(tmp_path / "a.png")


def test_pillows_pixel_limit_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that Pillow would refuse is read, since our own limit is higher; also if an error follows."""
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("not an image")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_image(tmp_path / "a.png").size == (64, 64)
    fail(tmp_path / "b.png")
    assert Image.MAX_IMAGE_PIXELS == 1000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")


def test_a_png_stores_text_in_any_script(tmp_path: Path) -> None:
    save_image(Image.new("RGB", (16, 16)), tmp_path / "a.png", ("recipe", "content: 港.jpg\nname: ñ"))
    assert read_note(tmp_path / "a.png", "recipe") == "content: 港.jpg\nname: ñ"
    assert read_note(tmp_path / "a.png", "other") is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GuidedStyleError, match="cannot be written: No space left on device"):
        write_file(file, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.png", b"old")]


def test_writing_replaces_the_file_instead_of_changing_it(tmp_path: Path) -> None:
    """A process that has the old file open keeps reading it whole."""
    file = tmp_path / "a.png"
    file.write_bytes(b"old")
    with file.open("rb") as reader:
        write_file(file, b"new")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"


def test_threads_that_read_images_leave_pillows_settings_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends while another still reads must neither set them back for that one nor for good."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.fromarray(CORNERS).save(tmp_path / "a.png")
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(open_image(tmp_path / "a.png"))
        second.enter_context(open_image(tmp_path / "a.png"))
        first.close()
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert ImageFile.LOAD_TRUNCATED_IMAGES
