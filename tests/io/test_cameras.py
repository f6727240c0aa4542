"""HEIC, AVIF and camera raw files, made here with other libraries, are read at full depth, upright, with their EXIF."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import rawpy
import tifffile
from PIL import Image, ImageCms

import guidedstyle
from guidedstyle.app.jobs import list_orders
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.profiles import make_profile, name_profile
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.images.samples import read_frame, read_samples
from guidedstyle.scene.original import read_original

XYZ_TO_CAMERA = (3240454, -1537138, -498531, -969266, 1876010, 41556, 55643, -204025, 1057225)  # of sRGB, millionths


def draw(size: tuple[int, int] = (64, 96)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.dstack([x * 2, y * 3, 255 - x - y]).clip(0, 255).astype(np.uint8)


def make_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x8298], exif[0x0112] = "Maker", "(c) Somebody", orientation
    exif.get_ifd(0x8769)[0xA434] = "Lens 35mm"
    return exif


def write_heic(file: Path, pixels: np.ndarray, **options: object) -> None:
    mode, size = ("RGB;16" if pixels.dtype == np.uint16 else "RGB"), pixels.shape[1::-1]
    pillow_heif.from_bytes(mode, size, np.ascontiguousarray(pixels).tobytes()).save(file, quality=95, **options)


def write_dng(file: Path, orientation: int = 1, size: tuple[int, int] = (64, 96)) -> None:
    """Write the mosaic of a camera whose colours are those of sRGB, in light that is white."""
    colours = draw(size).astype(np.uint16) * 200 + 2000
    mosaic = np.empty(size, np.uint16)
    for channel, (row, column) in zip((0, 1, 1, 2), ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        mosaic[row::2, column::2] = colours[row::2, column::2, channel]
    matrix = [number for entry in XYZ_TO_CAMERA for number in (entry, 10**6)]
    tags = [
        (271, 2, 0, "Maker", True),
        (272, 2, 0, "Model", True),
        (274, 3, 1, orientation, True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, (0, 1, 1, 2), True),
        (33432, 2, 0, "(c) Somebody", True),
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "Maker Model", True),
        (50721, 10, 9, matrix, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50778, 3, 1, 21, True),
    ]
    tifffile.imwrite(file, mosaic, photometric="cfa", extratags=tags, metadata=None, software=False)


def test_heic_is_read_as_its_own_library_decodes_it(tmp_path: Path) -> None:
    write_heic(tmp_path / "a.heic", draw())
    expected = np.asarray(pillow_heif.open_heif(tmp_path / "a.heic"))
    assert (read_samples(tmp_path / "a.heic").values == expected).all()
    assert np.abs(expected.astype(int) - draw()).mean() < 3
    (tmp_path / "a.heic").rename(tmp_path / "telephone.jpg")  # as messengers name them
    assert (np.asarray(read_image(tmp_path / "telephone.jpg")) == expected).all()


@pytest.mark.parametrize("bits", [10, 12])
def test_heic_of_more_than_8_bits_is_read_at_full_depth(tmp_path: Path, bits: int) -> None:
    ramp = np.dstack([np.linspace(0, 65535, 96 * 64).reshape(64, 96)] * 3).astype(np.uint16)
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        write_heic(tmp_path / "a.heic", ramp)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    values = read_samples(tmp_path / "a.heic").values
    assert values.dtype == np.uint16 and values.shape == (64, 96, 3)
    assert len(np.unique(values)) > 400 and values.max() > 65000
    assert np.abs(values.astype(int) - ramp).mean() < 300


def test_heic_is_upright_and_carries_its_exif(tmp_path: Path) -> None:
    picture = Image.fromarray(draw())
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic", exif=make_exif(6).tobytes(), quality=95)
    frame = read_frame(tmp_path / "a.heic")
    with Image.open(tmp_path / "a.heic") as opened:
        upright = opened.convert("RGB")
    original = read_original(tmp_path / "a.heic")
    assert original.size == upright.size == frame.size
    assert np.abs(original.pixels.astype(int) - np.asarray(upright)).max() == 0
    assert original.metadata.exif and original.metadata.exif.entries[0x8298].data == b"(c) Somebody\0"


def test_the_colours_of_a_heic_are_those_it_is_marked_with(tmp_path: Path) -> None:
    write_heic(tmp_path / "a.heic", draw(), color_primaries=12, transfer_characteristics=13, matrix_coefficients=1)
    assert name_profile(read_samples(tmp_path / "a.heic").profile or b"") == "Display P3"
    write_heic(tmp_path / "a.heic", draw(), color_primaries=9, transfer_characteristics=16)
    assert any("HDR" in warning for warning in read_original(tmp_path / "a.heic").frame.warnings)
    pillow_heif.from_pillow(Image.fromarray(draw())).save(tmp_path / "a.heic", icc_profile=make_profile("Display P3"))
    assert read_samples(tmp_path / "a.heic").profile == make_profile("Display P3")


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_is_read_at_full_depth(tmp_path: Path, bits: int) -> None:
    levels = np.random.default_rng(0).integers(0, 2**bits, (64, 96, 3))
    pixels = levels.astype(np.uint8 if bits == 8 else np.uint16)
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(pixels, level=100, bitspersample=bits))
    values = read_samples(tmp_path / "a.avif").values
    expected = levels if bits == 8 else np.rint(levels / (2**bits - 1) * 65535)
    assert np.abs(values - expected).max() <= (0 if bits > 8 else 3)  # Pillow's decoder rounds otherwise


@pytest.mark.parametrize(("orientation", "size"), [(1, (96, 64)), (3, (96, 64)), (6, (64, 96)), (8, (64, 96))])
def test_camera_raw_is_developed_upright(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    write_dng(tmp_path / "a.dng", orientation)
    samples = read_samples(tmp_path / "a.dng")
    assert read_frame(tmp_path / "a.dng").size == samples.frame.size == size
    assert samples.values.dtype == np.uint16 and samples.values.shape[1::-1] == size
    assert len(np.unique(samples.values)) > 300
    turned = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    upright = np.rot90(draw(), turned)
    for channel in range(3):
        assert np.corrcoef(samples.values[..., channel].ravel(), upright[..., channel].ravel())[0, 1] > 0.9


def test_camera_raw_is_developed_as_libraw_does_in_srgb(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng")
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        linear = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=(1, 1)).astype(float) / 65535
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read_samples(tmp_path / "a.dng").values / 65535 - expected).max() < 2e-3


def test_a_check_develops_camera_raw_at_half_its_size(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", size=(128, 192))
    samples = read_samples(tmp_path / "a.dng", longest=96)
    assert samples.values.shape == (64, 96, 3) and samples.frame.size == (192, 128)
    assert read_original(tmp_path / "a.dng", largest=64).size == (64, 43)


@pytest.mark.parametrize("content", ["a.heic", "a.dng"])
def test_phone_and_camera_files_are_rendered(project: Path, content: str) -> None:
    if content == "a.dng":
        write_dng(project / content)
    else:
        pillow_heif.from_pillow(Image.fromarray(draw())).save(project / content, exif=make_exif().tobytes())
    (project / "shot.yaml").write_text(
        f"content: {content}\nstyles: {{ink: ink.png}}\nsolver: {{steps: 2}}\nregions:\n"
        "  - {name: back, mask: rest, style: ink}\n  - {name: left, mask: left.png, keep: true, border: 0}\n"
    )
    file = guidedstyle.render(project / "shot.yaml", device="cpu").save(project / "out.tif")
    saved, own = tifffile.imread(file), read_samples(project / content).values
    assert saved.dtype == own.dtype and (saved[:, :48] == own[:, :48]).all()
    with tifffile.TiffFile(file) as document:
        assert document.pages[0].tags[0x8298].value == "(c) Somebody"


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [("a.heic", "pillow_heif", r"guidedstyle\[heic\]"), ("a.dng", "rawpy", r"guidedstyle\[raw\]")],
)
def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, name: str, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_heic(tmp_path / "a.heic", draw())
    write_dng(tmp_path / "a.dng")
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    for read in (read_samples, read_frame):
        with pytest.raises(GuidedStyleError, match=words):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.cr2", "a.NEF", "a.dng", "a.arw", "a.heic", "a.avif"])
@pytest.mark.parametrize("content", [b"", b"no image", b"\0\0\0\x18ftypheic" + bytes(40)])
def test_damaged_files_are_errors(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    for read in (read_samples, read_frame):
        with pytest.raises(GuidedStyleError, match=name):
            read(tmp_path / name)


def test_a_folder_lists_them_but_raw_data_only_without_their_jpeg(tmp_path: Path) -> None:
    for name in ("a.heic", "b.dng", "c.CR2", "c.jpg", "d.avif", "e.txt", ".f.heic"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "out").mkdir()
    orders = list_orders([Path("r.yaml")], [str(tmp_path)], tmp_path / "out")
    assert [order.content and order.content.name for order in orders] == ["a.heic", "b.dng", "c.jpg", "d.avif"]


@pytest.mark.parametrize(
    ("space", "mark", "expected"),
    [
        (65535, "R03", "Adobe RGB (compatible)"),
        (None, "R03", "Adobe RGB (compatible)"),
        (2, None, "Adobe RGB (compatible)"),
        (2, "R98", "Adobe RGB (compatible)"),
        (1, "R98", None),
        (1, "R03", None),
        (65535, None, None),
        (65535, 3, None),
        (None, None, None),
    ],
)
def test_adobe_rgb_of_cameras_is_known_by_exif(tmp_path: Path, space: int, mark: object, expected: str) -> None:
    """The colours are those that Pillow finds with Adobe's profile, and a profile that is embedded wins."""
    exif = make_exif()
    inner = exif.get_ifd(0x8769)
    inner.update({0xA001: space} if space else {})
    inner.update({0xA005: {1: mark}} if mark else {})
    Image.fromarray(draw()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    Image.fromarray(draw()).save(tmp_path / "p3.jpg", exif=exif, icc_profile=make_profile("Display P3"))
    profile = read_samples(tmp_path / "a.jpg").profile
    assert (profile and name_profile(profile)) == expected
    assert read_samples(tmp_path / "p3.jpg").profile == make_profile("Display P3")
    with Image.open(tmp_path / "a.jpg") as picture:
        adobe = ImageCms.ImageCmsProfile(io.BytesIO(imagecodecs.cms_profile("adobergb")))
        converted = ImageCms.profileToProfile(picture, adobe, ImageCms.createProfile("sRGB"), renderingIntent=1)
        seen = converted if expected else picture
        assert np.abs(np.asarray(read_image(tmp_path / "a.jpg"), int) - np.asarray(seen, int)).max() <= 1


def test_adobe_rgb_of_a_camera_is_embedded_in_what_is_written(tmp_path: Path) -> None:
    exif = make_exif()
    exif.get_ifd(0x8769).update({0xA001: 65535, 0xA005: {1: "R03"}})
    Image.fromarray(draw()).save(tmp_path / "a.jpg", exif=exif)
    data = {"content": tmp_path / "a.jpg", "styles": {"s": draw()}, "solver": {"steps": 1, "sizes": 1}}
    data["regions"] = [{"name": "k", "mask": {"rectangle": [0, 0, 1, 0.5]}, "keep": True}]
    data["regions"].append({"name": "s", "mask": "rest", "style": "s"})
    with Image.open(tmp_path / "a.jpg") as picture:
        own = np.asarray(picture)
    for choice, space, mark in (("keep", 65535, "R03"), ("sRGB", 1, None), ("Display P3", 65535, None)):
        result = guidedstyle.render(guidedstyle.load_recipe({**data, "save": {"profile": choice}}))
        with Image.open(result.save(tmp_path / "out.png", overwrite=True)) as picture:
            picture.load()
            found = picture.getexif()
            assert (found.get_ifd(0x8769)[0xA001], found.get_ifd(0xA005).get(1)) == (space, mark)
            named = "Adobe RGB (compatible)" if choice == "keep" else choice
            assert name_profile(picture.info["icc_profile"]).removesuffix(" built-in") == named
            assert choice != "keep" or (np.asarray(picture)[:30] == own[:30]).all()
