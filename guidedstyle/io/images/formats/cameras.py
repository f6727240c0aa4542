"""Images as cameras and phones store them: HEIC, AVIF of more than 8 bits, and camera raw files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import Size

RAW_SUFFIXES = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".rwl", ".iiq", ".3fr", ".fff", ".erf", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".x3f", ".gpr"),
)
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # mif1 may be AVIF too
SRGB_GAMMA = (2.4, 12.92)  # exponent, and slope near black
HIGH_DEPTH, TWELVE = 0x40, 0x20  # bits of the third byte of an AVIF's av1C box: it has 10 bits, or 12
START = 65536  # bytes in which that box lies
DISPLAY_P3, SRGB = 12, 1  # primaries in a HEIC without a profile; 2 means that they are unknown
HDR = (16, 18)  # transfer characteristics: PQ and HLG


def is_raw(file: Path) -> bool:
    """Whether the name of a file is that of camera raw data."""
    return file.suffix.lower() in RAW_SUFFIXES


def find_heif(stream: IO[bytes], file: Path) -> tuple[str, ...]:
    """Return Pillow's name of the format HEIF if a stream may be one; it is left at its start.

    Raises GuidedStyleError if the package that reads it is not installed.
    """
    start = stream.read(12)
    stream.seek(0)
    if start[4:8] != b"ftyp" or start[8:] not in HEIF_BRANDS:
        return ()
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        if start[8:] in (b"mif1", b"msf1"):  # an AVIF, perhaps
            return ()
        remedy = "pip install 'guidedstyle[heic]', or export it as PNG, TIFF or JPEG"
        raise GuidedStyleError.of(file, "this is a HEIC image, and pillow-heif is not installed", remedy) from error
    register_heif_opener()
    return ("HEIF",)


def describe_heif(picture: Image.Image) -> tuple[bool, tuple[str, ...]]:
    """Return whether a HEIC without a profile is marked as Display P3, and warnings about other marks."""
    marks = picture.info.get("nclx_profile") or {}
    primaries, transfer = marks.get("color_primaries", SRGB), marks.get("transfer_characteristics", SRGB)
    if transfer in HDR:
        return False, ("it is an HDR image: its colours are taken as sRGB and will look flat (export it as SDR)",)
    if primaries == DISPLAY_P3:
        return True, ()
    return False, () if primaries in (SRGB, 2) else ("its colours are marked as others than sRGB, and taken as sRGB",)


def decode_deep(picture: Image.Image, file: Path) -> NDArray[np.uint16] | None:
    """Decode an opened HEIC or AVIF of more than 8 bits, which Pillow cuts to 8, to 16; None for any other image."""
    if picture.format == "HEIF" and picture.info.get("bit_depth", 8) > 8:
        from pillow_heif import open_heif

        bits = int(picture.info["bit_depth"])
        return _scale(np.asarray(open_heif(file.read_bytes(), convert_hdr_to_8bit=False)) >> (16 - bits), bits)
    if picture.format == "AVIF" and (bits := _find_depth(file)) > 8:
        from imagecodecs import avif_decode  # slow to import

        return _scale(np.asarray(avif_decode(file.read_bytes())), bits)
    return None


def _find_depth(file: Path) -> int:
    """Find the bits of a channel of an AVIF: 8, 10 or 12."""
    with file.open("rb") as stream:
        start = stream.read(START)
    flags = start[place + 6 : place + 7] if (place := start.find(b"av1C")) >= 0 else b""
    if not flags or not flags[0] & HIGH_DEPTH:
        return 8
    return 12 if flags[0] & TWELVE else 10


def _scale(levels: NDArray[Any], bits: int) -> NDArray[np.uint16]:
    most = 2**bits - 1
    scaled: NDArray[np.uint16] = ((levels.astype(np.uint32) * 65535 + most // 2) // most).astype(np.uint16)
    return np.atleast_3d(scaled)


@contextmanager
def _open_raw(file: Path) -> Iterator[Any]:
    """Open camera raw data; raises GuidedStyleError if rawpy is not installed, or cannot read it."""
    try:
        import rawpy
    except ImportError as error:
        remedy = "pip install 'guidedstyle[raw]', or export it as TIFF of 16 bits"
        raise GuidedStyleError.of(file, "this is a camera raw file, and rawpy is not installed", remedy) from error
    try:
        with file.open("rb") as stream, rawpy.imread(stream) as raw:
            yield raw
    except rawpy.LibRawError as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        remedy = "copy it from the camera again, or export it as TIFF of 16 bits"
        raise GuidedStyleError.of(file, f"this camera raw file cannot be read ({said})", remedy) from error


def _measure(raw: Any) -> Size:
    """Return the upright (width, height) of camera raw data."""
    sizes = raw.sizes
    return (sizes.height, sizes.width) if sizes.flip in (5, 6) else (sizes.width, sizes.height)


def read_raw(file: Path, longest: int | None, check: Callable[[Size], object]) -> tuple[NDArray[np.uint16], Size]:
    """Develop camera raw data to sRGB of 16 bits (H, W, 3), upright; returns it with its full (width, height).

    White balance is the camera's, brightness that of its brightest hundredth. It is developed at half its size if that
    is still `longest` px long. `check` is called with the full size first. Raises GuidedStyleError if the package that
    reads it is not installed, or the file is damaged.
    """
    with _open_raw(file) as raw:
        check(size := _measure(raw))
        small = longest is not None and longest <= max(size) // 2
        developed = raw.postprocess(use_camera_wb=True, half_size=small, gamma=SRGB_GAMMA, output_bps=16)  # in sRGB
        return np.asarray(developed, np.uint16), size


def read_raw_size(file: Path) -> Size:
    """Read the upright (width, height) of camera raw data."""
    with _open_raw(file) as raw:
        return _measure(raw)


def read_raw_preview(file: Path) -> bytes | None:
    """Read the JPEG within camera raw data, which has its EXIF; None: there is none."""
    try:
        with _open_raw(file) as raw:
            data = raw.extract_thumb().data
    except GuidedStyleError:
        return None
    return bytes(data) if isinstance(data, bytes) else None
