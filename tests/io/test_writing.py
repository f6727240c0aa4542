"""Images are written at 8 and 16 bits with profile, EXIF, XMP and note; other libraries read all of it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from guidedstyle.io.images.metadata import (
    EXIF,
    GPS,
    WIDTHS,
    Directory,
    Entry,
    carry_exif,
    carry_xmp,
    read_directories,
    read_exif,
    write_directories,
)
from guidedstyle.io.images.profiles import convert, is_rgb, is_srgb, make_profile, name_profile
from guidedstyle.io.images.writing import Attached, read_note, save_pixels

NOTE = ("guidedstyle recipe", "content: 港.jpg\nname: <ñ & ü>")
SUFFIXES = (".png", ".tif", ".jpg", ".webp", ".avif")
RIGHTS = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 exif:GPSLatitude="50,30N" tiff:Orientation="6" xmpRights:Marked="True">
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Jürgen</rdf:li></rdf:Alt></dc:rights>
<exif:GPSLongitude>1,1E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def draw(kind: type, channels: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    noise = np.random.default_rng(channels)
    return noise.integers(0, np.iinfo(kind).max + 1, (*size, channels)).astype(kind)


def photograph() -> Image.Exif:
    """EXIF as a camera writes it, with a position, a thumbnail's directory left out by Pillow, and a MakerNote."""
    exif = Image.Exif()
    for tag, value in {
        0x010F: "Maker", 0x0110: "Model 1", 0x0112: 6, 0x0131: "Editor", 0x0132: "2024:05:06 07:08:09",
        0x013B: "Somebody", 0x8298: "(c) Somebody", 0x011A: 300.0, 0x011B: 300.0, 0x0128: 2, 0x0213: 1,
    }.items():  # fmt: skip
        exif[tag] = value
    inner = exif.get_ifd(EXIF)
    for tag, value in {
        0x829A: 0.004, 0x829D: 2.8, 0x8827: 400, 0x9003: "2024:05:06 07:08:09", 0x920A: 35.0, 0x9204: -1 / 3,
        0x927C: b"maker's own" * 20, 0xA001: 65535, 0xA002: 9000, 0xA003: 6000, 0xA434: "Lens 35mm",
        0x9286: b"ASCII\0\0\0a comment", 0x9000: b"0232",
    }.items():  # fmt: skip
        inner[tag] = value
    position = exif.get_ifd(GPS)
    position[1], position[2] = "N", (50.0, 30.0, 1.5)
    return exif


def open_exif(exif: Image.Exif | bytes) -> Directory:
    """Let Pillow write EXIF into a JPEG, and read it from there."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", exif=exif)
    with Image.open(buffer) as picture:
        found = read_exif(picture)
    assert found
    return found


def list_exif(file: Path) -> dict[str, dict[int, object]]:
    """List EXIF as Pillow reads it."""
    with Image.open(file) as picture:
        picture.load()
        exif = picture.getexif()
        return {"main": dict(exif), "exif": dict(exif.get_ifd(EXIF)), "gps": dict(exif.get_ifd(GPS))}


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_bit_of_8_and_16_bits_is_written(tmp_path: Path, suffix: str, kind: type, channels: int) -> None:
    pixels, file = draw(kind, channels), tmp_path / f"a{suffix}"
    exif = carry_exif(open_exif(photograph()), size=(32, 24))
    save_pixels(pixels, file, Attached(profile=make_profile("sRGB"), exif=exif, note=NOTE))
    if suffix == ".tif":
        read = tifffile.imread(file)
    else:
        stored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        read = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)
    assert read.dtype == kind and (read == pixels).all()
    assert read_note(file, NOTE[0]) == NOTE[1]
    with Image.open(file) as picture:
        assert kind is np.uint16 or (np.asarray(picture) == pixels).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_profile_and_rights_are_embedded(tmp_path: Path, suffix: str) -> None:
    rights = carry_xmp(RIGHTS.encode())
    save_pixels(draw(np.uint8, 3), tmp_path / f"a{suffix}", Attached(profile=make_profile("Display P3"), xmp=rights))
    with Image.open(tmp_path / f"a{suffix}") as picture:
        picture.load()
        assert picture.info["icc_profile"] == make_profile("Display P3")
        said = picture.info["xmp"].decode()
    assert "© Jürgen" in said and "Marked>True<" in said
    assert "GPS" not in said and "Orientation" not in said


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_is_equal_but_for_what_is_named(tmp_path: Path, suffix: str) -> None:
    pixels, original = draw(np.uint8, 3), tmp_path / "original.jpg"
    Image.fromarray(pixels).save(original, exif=photograph())
    with Image.open(original) as picture:
        exif = read_exif(picture)
    assert exif
    save_pixels(pixels, tmp_path / f"a{suffix}", Attached(exif=carry_exif(exif, size=(32, 24))))
    before, after = list_exif(original), list_exif(tmp_path / f"a{suffix}")
    named = {0x0112, GPS, EXIF, 0x0213}  # the last has a meaning only in JPEG
    assert {tag: after["main"].get(tag) for tag in before["main"].keys() - named} == {
        tag: value for tag, value in before["main"].items() if tag not in named
    }
    assert after["main"].get(0x0112, 1) == 1
    expected = before["exif"] | {0xA002: 32, 0xA003: 24}
    del expected[0x927C]
    assert after["exif"] == expected
    assert not after["gps"]


def test_the_position_is_carried_on_request(tmp_path: Path) -> None:
    exif = carry_exif(open_exif(photograph()), size=(32, 24), gps=True)
    for suffix in SUFFIXES:
        save_pixels(draw(np.uint8, 3), tmp_path / f"a{suffix}", Attached(exif=exif))
        assert list_exif(tmp_path / f"a{suffix}")["gps"] == {1: "N", 2: (50.0, 30.0, 1.5)}


def test_the_colour_space_in_exif_follows_a_conversion() -> None:
    exif = open_exif(photograph())
    spaces = [
        struct.unpack(">H", carry_exif(exif, size=(9, 9), srgb=srgb).within[EXIF].entries[0xA001].data)[0]
        for srgb in (None, True, False)
    ]
    assert spaces == [65535, 1, 65535]


def test_letters_beyond_ascii_are_carried_as_they_are(tmp_path: Path) -> None:
    stored = "© Jürgen Müller".encode() + b"\0"
    exif = Directory("<", {0x8298: Entry(2, len(stored), stored)})
    for suffix in SUFFIXES:
        save_pixels(draw(np.uint8, 3), tmp_path / f"a{suffix}", Attached(exif=carry_exif(exif, size=(9, 9))))
        assert stored in (tmp_path / f"a{suffix}").read_bytes()


def test_types_of_entries_are_carried_as_they_are(tmp_path: Path) -> None:
    """Pillow turns bytes without a type into numbers where it writes EXIF anew."""
    exif = carry_exif(open_exif(photograph()), size=(32, 24))
    for suffix in (".png", ".webp", ".avif"):
        save_pixels(draw(np.uint8, 3), tmp_path / f"a{suffix}", Attached(exif=exif))
        with Image.open(tmp_path / f"a{suffix}") as picture:
            found = read_exif(picture)
        assert found and found.within == exif.within


def test_exif_that_is_too_long_for_a_jpeg_is_shortened(tmp_path: Path) -> None:
    long = b"x" * 70_000
    exif = Directory("<", {0x010F: Entry(2, 3, b"Ab\0")}, {EXIF: Directory("<", {0x9286: Entry(7, len(long), long)})})
    save_pixels(draw(np.uint8, 3), tmp_path / "a.jpg", Attached(exif=exif))
    assert list_exif(tmp_path / "a.jpg")["main"][0x010F] == "Ab"
    save_pixels(draw(np.uint8, 3), tmp_path / "a.png", Attached(exif=exif))
    assert list_exif(tmp_path / "a.png")["exif"][0x9286] == long


ENTRIES = st.dictionaries(
    st.integers(1, 65535).filter(lambda tag: tag not in (EXIF, GPS, 0xA005)),
    st.integers(1, 12).flatmap(
        lambda kind: st.integers(1, 5).flatmap(
            lambda count: st.binary(min_size=WIDTHS[kind] * count, max_size=WIDTHS[kind] * count).map(
                lambda data: Entry(kind, count, data)
            )
        )
    ),
    min_size=1,
    max_size=8,
)


@given(ENTRIES, ENTRIES, st.sampled_from("<>"))
def test_directories_are_read_as_they_were_written(main, inner, order) -> None:
    written = Directory(order, main, {EXIF: Directory(order, inner)})
    assert read_directories(io.BytesIO(write_directories(written))) == written


@given(ENTRIES, st.data())
def test_damaged_exif_never_fails(entries, data) -> None:
    whole = bytearray(write_directories(Directory("<", entries, {EXIF: Directory("<", entries)})))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    if found := read_directories(io.BytesIO(cut)):
        write_directories(carry_exif(found, size=(9, 9)))


def test_a_directory_that_contains_itself_ends() -> None:
    stored = b"II*\0" + struct.pack("<L", 8) + struct.pack("<HHHLLL", 1, EXIF, 4, 1, 8, 0)
    found = read_directories(io.BytesIO(stored))
    assert found is None or found.within


def to_linear(levels: np.ndarray) -> np.ndarray:
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def measure_primaries(corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return the matrix from linear RGB with these primaries, and white D65, to XYZ."""
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners]).T
    return columns * np.linalg.solve(columns, white)


def test_display_p3_is_that_of_its_primaries() -> None:
    srgb = measure_primaries(((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)))
    wide = measure_primaries(((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)))
    colours = np.random.default_rng(0).random((8, 8, 3))
    linear = to_linear(colours) @ (np.linalg.inv(wide) @ srgb).T
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)
    found = convert(np.float32(colours), make_profile("sRGB"), make_profile("Display P3"))
    assert np.abs(found - expected).max() < 5e-4
    assert name_profile(make_profile("Display P3")) == "Display P3"
    assert not is_srgb(make_profile("Display P3")) and is_srgb(make_profile("sRGB"))


@pytest.mark.parametrize("damage", [b"", b"ICC", make_profile("sRGB")[:300], make_profile("sRGB")[:128] + bytes(400)])
def test_damaged_profiles_are_not_used(damage: bytes) -> None:
    assert not is_rgb(damage)
    assert name_profile(damage) == "unnamed"


def test_profiles_of_other_colours_are_not_those_of_rgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert is_rgb(make_profile("Display P3")) and not is_rgb(lab)


def test_quality_and_subsampling_are_those_asked_for(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(draw(np.uint8, 3, (64, 64)), (0, 0), 2)
    sizes = []
    for quality in (30, 95):
        save_pixels(smooth, tmp_path / "a.jpg", quality=quality)
        with Image.open(tmp_path / "a.jpg") as picture:
            sizes.append(sum(picture.quantization[0]))
    assert sizes[0] > 5 * sizes[1]  # coarse and fine steps of the coefficients
    for subsampling, expected in (("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))):
        save_pixels(smooth, tmp_path / "a.jpg", subsampling=subsampling)
        with Image.open(tmp_path / "a.jpg") as picture:
            assert picture.layer[0][1:3] == expected
    save_pixels(smooth, tmp_path / "a.webp")
    assert (np.asarray(Image.open(tmp_path / "a.webp")) == smooth).all()
    lossless = (tmp_path / "a.webp").stat().st_size
    save_pixels(smooth, tmp_path / "a.webp", quality=50)
    assert (tmp_path / "a.webp").stat().st_size < lossless


def test_hidden_colours_stay_where_pixels_are_transparent(tmp_path: Path) -> None:
    pixels = draw(np.uint8, 4)
    pixels[:8, :, 3] = 0
    for suffix in (".png", ".tif", ".webp"):
        save_pixels(pixels, tmp_path / f"a{suffix}")
        with Image.open(tmp_path / f"a{suffix}") as picture:
            assert (np.asarray(picture) == pixels).all()
