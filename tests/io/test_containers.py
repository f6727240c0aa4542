"""What lies beside the pixels never costs the picture: damaged, mismatched or long profiles, texts and metadata."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_framed
from guidedstyle.io.images.samples import read_frame, read_samples
from guidedstyle.io.images.writing import read_note
from guidedstyle.masks.files import read_grey

NOISE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILE = "its colour profile"


def encode(kind: str, picture: np.ndarray = NOISE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encode("JPEG", quality=95)
SHOWN = np.asarray(Image.open(io.BytesIO(JPEG)))
PNG = encode("PNG")
WEBP = encode("WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0", icc_profile=SRGB, xmp=b"abc")


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def rejfif(content: bytes) -> bytes:
    """Replace the JFIF segment."""
    return JPEG[:2] + segment(0xE0, content) + JPEG[20:]


def exif(content: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + content)


def icc(*pieces: bytes) -> bytes:
    return b"".join(segment(0xE2, b"ICC_PROFILE\0" + piece) for piece in pieces)


LOOP = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0"
FRAMES = b"II*\0\x08\0\0\0\x01\0\x01\xb0\x04\0\x01\0\0\0\x02\0\0\0\0\0\0\0"
JPEGS: dict[str, tuple[bytes, str]] = {
    "EXIF garbage": (jpeg(exif(b"garbage")), "EXIF data are damaged"),
    "EXIF empty": (jpeg(exif(b"")), ""),
    "EXIF endless": (jpeg(exif(LOOP)), ""),
    "EXIF of 65 kB": (jpeg(exif(b"\xff" * 65_000)), "EXIF data are damaged"),
    "XMP garbage": (jpeg(segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="99" \xff')), ""),
    "IPTC garbage": (jpeg(segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff")), ""),
    "IPTC cut": (jpeg(segment(0xED, b"Photoshop 3.0\x008BIM\x04")), ""),
    "MPF garbage": (jpeg(segment(0xE2, b"MPF\0garbage")), ""),
    "MPF of two images": (jpeg(segment(0xE2, b"MPF\0" + FRAMES)), ""),
    "JFIF cut": (rejfif(b"JFIF\0"), ""),
    "JFIF cut in its name": (rejfif(b"JFIF"), ""),
    "JFIF of no density": (rejfif(b"JFIF\0\1\1\1\0\0\0\0\0\0"), ""),
    "Adobe cut": (jpeg(segment(0xEE, b"Adobe")), ""),
    "comment of 65 kB": (jpeg(*[segment(0xFE, b"\xff" * 65_000)] * 3), ""),
    "unknown, empty": (jpeg(*(segment(0xE0 + index, b"") for index in range(16))), ""),
    "ICC empty": (jpeg(icc(b"")), PROFILE),
    "ICC without a number": (jpeg(icc(b"\1")), PROFILE),
    "ICC part missing": (jpeg(icc(b"\1\2" + SRGB)), PROFILE),
    "ICC parts mixed up": (jpeg(icc(b"\2\2" + SRGB[200:], b"\1\2" + SRGB[:200])), ""),
    "ICC of nothing": (jpeg(icc(b"\1\1")), PROFILE),
    "ICC garbage": (jpeg(icc(b"\1\1" + b"x" * 500)), PROFILE),
    "ICC cut": (jpeg(icc(b"\1\1" + SRGB[:200])), PROFILE),
    "bytes behind it": (JPEG + b"x" * 1000, ""),
    "an image behind it": (JPEG + encode("JPEG", NOISE[::-1].copy()), ""),
    "fill bytes": (JPEG[:2] + b"\xff\xff\xff" + JPEG[2:], ""),
}


@pytest.mark.parametrize("name", JPEGS)
def test_what_lies_beside_the_pixels_of_a_jpeg(tmp_path: Path, name: str) -> None:
    content, warning = JPEGS[name]
    check(tmp_path / "a.jpg", content, warning, SHOWN)


def check(file: Path, content: bytes, warning: str, shown: np.ndarray) -> None:
    """Check that an image is read exactly, with a warning that names the file, or none."""
    file.write_bytes(content)
    picture, frame = read_framed(file)
    assert np.abs(np.asarray(picture).astype(int) - shown).max() <= 1  # sRGB to sRGB rounds
    assert bool(frame.warnings) == bool(warning)
    assert all(found.startswith(f"{file.name}: ") and warning in found for found in frame.warnings)


def chunk(kind: bytes, content: bytes, *, valid: bool = True) -> bytes:
    checksum = zlib.crc32(kind + content) ^ (not valid)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*chunks: bytes, late: bytes = b"") -> bytes:
    return PNG[:33] + b"".join(chunks) + PNG[33:-12] + late + PNG[-12:]


SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_PRIMARIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
EMPTY = (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD")
BOMB = zlib.compress(bytes(3_000_000))
XMP = b"XML:com.adobe.xmp\0\1\0\0\0"
PNGS: dict[str, tuple[bytes, str]] = {
    "text of 3 MB": (png(chunk(b"zTXt", b"a\0\0" + BOMB)), ""),
    "70 texts of 1 MB": (png(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 70), ""),
    "plain text of 3 MB": (png(chunk(b"tEXt", b"a\0" + b"x" * 3_000_000)), ""),
    "XMP of 3 MB": (png(chunk(b"iTXt", XMP + BOMB)), ""),
    "XMP garbage": (png(chunk(b"iTXt", XMP + b"garbage")), ""),
    "long text behind the pixels": (png(late=chunk(b"zTXt", b"a\0\0" + BOMB)), ""),
    "texts cut": (png(chunk(b"tEXt", b""), chunk(b"zTXt", b"a"), chunk(b"iTXt", b"a\0")), ""),
    "text with a wrong checksum": (png(chunk(b"tEXt", b"a\0b", valid=False)), ""),
    "the same behind the pixels": (png(late=chunk(b"tEXt", b"a\0b", valid=False)), ""),
    "cut within a text at the end": (PNG[:-12] + chunk(b"tEXt", b"a\0b" * 100)[:50], ""),
    "no end": (PNG[:-12], ""),
    "bytes behind it": (PNG + b"x" * 1000, ""),
    "a wrong checksum of the end": (PNG[:-1] + b"x", ""),
    "chunks too short": (
        png(*(chunk(kind, b"") for kind in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD"))),
        "",
    ),
    "animation too short": (png(chunk(b"acTL", b""), chunk(b"fcTL", b"")), ""),
    "animation garbage": (
        png(chunk(b"acTL", struct.pack(">II", 5, 0)), chunk(b"fcTL", b"0" * 26)),
        "it holds 5 images",
    ),
    "unknown": (png(chunk(b"abCd", b"x" * 100), chunk(b"te\0t", b"x")), ""),
    "EXIF garbage": (png(chunk(b"eXIf", b"garbage")), "EXIF data are damaged"),
    "transparency empty": (png(chunk(b"tRNS", b"")), "its transparency is damaged"),
    "transparency with a wrong checksum": (png(chunk(b"tRNS", bytes(6), valid=False)), "its transparency is damaged"),
    "ICC garbage": (png(chunk(b"iCCP", b"a\0\0garbage")), PROFILE),
    "ICC empty": (png(chunk(b"iCCP", b"")), PROFILE),
    "ICC with a wrong checksum": (png(chunk(b"iCCP", b"a\0\0" + zlib.compress(SRGB), valid=False)), PROFILE),
    "ICC of 3 MB of nothing": (png(chunk(b"iCCP", b"a\0\0" + BOMB)), PROFILE),
    "ICC with 3 MB behind it": (png(chunk(b"iCCP", b"a\0\0" + zlib.compress(SRGB + bytes(3_000_000)))), ""),
    "gamma of sRGB": (png(chunk(b"gAMA", struct.pack(">I", 45455))), ""),
    "gamma 1": (png(chunk(b"gAMA", struct.pack(">I", 100000))), "its gamma or primaries"),
    "gamma 1, but sRGB": (png(chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"sRGB", b"\0")), ""),
    "primaries of sRGB": (png(chunk(b"cHRM", struct.pack(">8I", *SRGB_PRIMARIES))), ""),
    "primaries of P3": (png(chunk(b"cHRM", struct.pack(">8I", *P3_PRIMARIES))), "its gamma or primaries"),
    "pixels with a wrong checksum": (PNG[:-16] + b"abcd" + PNG[-12:], ""),
    "HDR": (png(chunk(b"cICP", b"\x09\x10\0\1")), "marked by a cICP chunk"),
}


@pytest.mark.parametrize("name", PNGS)
def test_what_lies_beside_the_pixels_of_a_png(tmp_path: Path, name: str) -> None:
    content, warning = PNGS[name]
    check(tmp_path / "a.png", content, warning, NOISE)


@pytest.mark.parametrize("name", ["text of 3 MB", "ICC garbage", "texts cut", "no end"])
def test_a_mask_has_no_need_of_it_either(tmp_path: Path, name: str) -> None:
    grey = encode("PNG", NOISE[..., 0].copy())
    content = PNGS[name][0]
    beside = content[33 : len(content) - len(PNG) + 33]
    (tmp_path / "a.png").write_bytes(grey[:33] + beside + (grey[33:] if name != "no end" else grey[33:-12]))
    assert (read_grey(tmp_path / "a.png") == NOISE[..., 0]).all()


def list_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, start = [], 12
    while start < len(content):
        kind, length = struct.unpack("<4sI", content[start : start + 8])
        found.append((kind, content[start + 8 : start + 8 + length]))
        start += 8 + length + length % 2
    return found


def webp(change: dict[bytes, bytes] | None = None, *more: tuple[bytes, bytes]) -> bytes:
    parts = [*((kind, (change or {}).get(kind, content)) for kind, content in list_chunks(WEBP)), *more]
    body = b"".join(kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


WEBPS: dict[str, tuple[bytes, str]] = {
    "EXIF garbage": (webp({b"EXIF": b"\xff" * 99}), "EXIF data are damaged"),
    "EXIF empty": (webp({b"EXIF": b""}), ""),
    "ICC garbage": (webp({b"ICCP": b"x" * 99}), PROFILE),
    "ICC cut": (webp({b"ICCP": SRGB[:200]}), PROFILE),
    "XMP of 3 MB": (webp({b"XMP ": bytes(3_000_000)}), ""),
    "unknown": (webp({}, (b"junk", b"123")), ""),
    "bytes behind it": (WEBP + b"x" * 99, ""),
    "cut within the XMP": (WEBP[:-3], ""),
}


@pytest.mark.parametrize("name", WEBPS)
def test_what_lies_beside_the_pixels_of_a_webp(tmp_path: Path, name: str) -> None:
    content, warning = WEBPS[name]
    check(tmp_path / "a.webp", content, warning, NOISE)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PPM", "TIFF"])
def test_bytes_behind_other_images(tmp_path: Path, kind: str) -> None:
    content = encode(kind)
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    check(tmp_path / "a.img", content + b"x" * 99, "", shown)


def patch(place: int, text: bytes) -> bytes:
    return SRGB[:place] + text + SRGB[place + len(text) :]


MISFITS = {
    "grey": (patch(16, b"GRAY"), "is for grey images"),
    "CMYK": (patch(16, b"CMYK"), "is for cmyk images"),
    "Lab": (patch(16, b"Lab "), "is for other images"),
    "device link": (patch(12, b"link"), "is not that of a device"),
    "abstract": (patch(12, b"abst"), "is not that of a device"),
    "named colours": (patch(12, b"nmcl"), "is not that of a device"),
    "no profile": (b"x" * 500, "is damaged"),
    "a header only": (SRGB[:128], "is damaged"),
    "no signature": (patch(36, b"xxxx"), "is damaged"),
    "no curves": (SRGB.replace(b"rTRC", b"xTRC"), "is damaged"),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", MISFITS)
def test_a_profile_that_cannot_be_used_is_a_warning(tmp_path: Path, kind: str, name: str) -> None:
    profile, warning = MISFITS[name]
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    content = encode(kind, icc_profile=profile, **options)
    check(
        tmp_path / "a.img",
        content,
        f"{PROFILE} {warning}: its colours are taken as sRGB",
        SHOWN if options.get("quality") else NOISE,
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_grey_photograph_keeps_the_profile_it_had_in_colour(tmp_path: Path, kind: str) -> None:
    """Programs leave it there when they remove colour."""
    grey = np.ascontiguousarray(NOISE[..., 0])
    shown = np.asarray(Image.open(io.BytesIO(encode(kind, grey))).convert("RGB"))
    check(tmp_path / "a.img", encode(kind, grey, icc_profile=SRGB), "", shown)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_a_grey_profile_is_applied(tmp_path: Path, gamma: float, kind: type[np.generic]) -> None:
    """By the formula of sRGB, IEC 61966-2-1, of the light that the profile's power gives."""
    top = np.iinfo(kind).max
    grey = np.linspace(0, top, 32 * 32).astype(kind).reshape(32, 32)
    profile = imagecodecs.cms_profile("gray", gamma=gamma)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", iccprofile=profile)
    light = (grey / top) ** gamma
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(read_framed(tmp_path / "a.tif")[0]) - expected[..., None] * 255).max() <= 1.01


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_orientation_of_a_png_is_found_without_decoding_it(tmp_path: Path, place: str) -> None:
    turned = chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    (tmp_path / "a.png").write_bytes(png(turned) if place == "first" else png(late=turned))
    assert read_frame(tmp_path / "a.png").size == (32, 48)
    assert (read_samples(tmp_path / "a.png").values == np.rot90(NOISE, -1)).all()


XMP_TURNED = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("way", ["EXIF", "XMP"])
def test_the_orientation_may_stand_in_exif_or_xmp(tmp_path: Path, kind: str, way: str) -> None:
    tags = Image.Exif()
    tags[0x0112] = 8
    options: dict[str, object] = {"exif": tags} if way == "EXIF" else {"xmp": XMP_TURNED}
    if kind == "PNG" and way == "XMP":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP_TURNED.decode())
        options = {"pnginfo": info}
    if kind == "WEBP":
        options["lossless"] = True
    (tmp_path / "a.img").write_bytes(encode(kind, **options))
    shown = NOISE if kind != "JPEG" else np.asarray(Image.open(io.BytesIO(encode(kind))))
    assert (read_samples(tmp_path / "a.img").values == np.rot90(shown)).all()


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_of_an_animation_the_first_image_is_used(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    file = tmp_path / f"a{suffix}"
    first.save(file, save_all=True, append_images=[second, first], **({} if suffix != ".webp" else {"lossless": True}))
    picture, frame = read_framed(file)
    assert (np.asarray(picture) == (255, 0, 0)).all()
    assert "it holds 3 images: the first is used" in frame.warnings[0]


def test_a_note_is_read_beside_a_long_text(tmp_path: Path) -> None:
    beside = chunk(b"zTXt", b"a\0\0" + BOMB) + chunk(b"iTXt", b"recipe\0\0\0\0\0content: a.jpg")
    (tmp_path / "a.png").write_bytes(png(late=beside))
    assert read_note(tmp_path / "a.png", "recipe") == "content: a.jpg"


def test_pillows_settings_and_warnings_stay_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNGS["text of 3 MB"][0])
    names = ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY")
    before = [getattr(PngImagePlugin, name) for name in names], ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:]
    read_framed(tmp_path / "a.png")
    after = [getattr(PngImagePlugin, name) for name in names], ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:]
    assert after == before


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_cut_image_is_refused_in_programs_that_fill_such_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = encode(kind)
    (tmp_path / "a.img").write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(GuidedStyleError, match="save it"):
        read_samples(tmp_path / "a.img")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_png_that_lacks_its_palette_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).quantize(16).save(buffer, "PNG")
    content = buffer.getvalue()
    start = content.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    (tmp_path / "a.png").write_bytes(content[:start] + content[end:])
    for read in (read_samples, read_grey):
        with pytest.raises(GuidedStyleError, match="the image is damaged"):
            read(tmp_path / "a.png")


def test_a_png_whose_pixels_changed_is_refused(tmp_path: Path) -> None:
    """A flipped bit either leaves the image as it was, or is damage; never other pixels."""
    start = PNG.index(b"IDAT") + 4
    refused = 0
    for place in range(start, len(PNG) - 12, 41):
        (tmp_path / "a.png").write_bytes(PNG[:place] + bytes([PNG[place] ^ 16]) + PNG[place + 1 :])
        try:
            assert (np.asarray(read_framed(tmp_path / "a.png")[0]) == NOISE).all()
        except GuidedStyleError as error:
            assert "the image is damaged" in str(error)
            refused += 1
    assert refused > 100


WITHOUT_END = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {},
    "CMYK": {},
}


@pytest.mark.parametrize("name", WITHOUT_END)
def test_a_jpeg_that_lacks_only_its_end_is_painted(tmp_path: Path, name: str) -> None:
    """Cut anywhere before its end, it is refused, also if zeros fill it up, as unfinished downloads have them."""
    mode = {"grey": "L", "CMYK": "CMYK"}.get(name, "RGB")
    buffer, file = io.BytesIO(), tmp_path / "a.jpg"
    Image.fromarray(NOISE).convert(mode).save(buffer, "JPEG", quality=90, **WITHOUT_END[name])
    content = buffer.getvalue()
    file.write_bytes(content)
    shown = np.asarray(read_framed(file)[0])
    for end in (content[:-2], content[:-1], content[:-2] + bytes(4096)):
        file.write_bytes(end)
        picture, frame = read_framed(file)
        assert (np.asarray(picture) == shown).all()
        assert "a.jpg: its end is missing, but all its pixels are there" in frame.warnings
    for left in (*range(len(content) - 24, len(content) - 4, 2), len(content) // 2):
        for filled in (b"", bytes(4096)):
            file.write_bytes(content[:left] + filled)
            with pytest.raises(GuidedStyleError, match="the image is damaged"):
                read_framed(file)


def test_a_progressive_jpeg_that_lacks_a_scan_is_refused(tmp_path: Path) -> None:
    content = encode("JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(content[: content.rindex(b"\xff\xda")])
    with pytest.raises(GuidedStyleError, match="the image is damaged"):
        read_framed(tmp_path / "a.jpg")


def test_the_scans_of_a_thumbnail_are_not_those_of_the_image(tmp_path: Path) -> None:
    content = encode("JPEG", progressive=True)
    cut = content[: content.rindex(b"\xff\xda")]
    (tmp_path / "a.jpg").write_bytes(cut[:2] + exif(b"II*\0\x08\0\0\0\0\0" + JPEG) + cut[2:])
    with pytest.raises(GuidedStyleError, match="the image is damaged"):
        read_framed(tmp_path / "a.jpg")


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_a_flat_jpeg_that_lacks_its_end_is_painted(tmp_path: Path, options: dict[str, bool]) -> None:
    """Its pixels may end with many zeros, which are not what fills up a broken download."""
    content = encode("JPEG", np.full((256, 256, 3), 255, np.uint8), **options)
    (tmp_path / "a.jpg").write_bytes(content[:-2])
    assert (np.asarray(read_framed(tmp_path / "a.jpg")[0]) == 255).all()
    (tmp_path / "a.jpg").write_bytes(content[:-8])
    with pytest.raises(GuidedStyleError, match="the image is damaged"):
        read_framed(tmp_path / "a.jpg")


STRANGERS = {
    "nothing": (b"", "the file is empty"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "a page": (b"\n<!DOCTYPE HTML><html></html>", "a web page"),
    "zeros before it": (bytes(5000) + JPEG, "not an image that can be read"),
    "a text": (b"Hello, I am an image.", "not an image that can be read"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_image_is_named(tmp_path: Path, name: str) -> None:
    content, rule = STRANGERS[name]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(GuidedStyleError, match=rule):
        read_framed(tmp_path / "a.png")
