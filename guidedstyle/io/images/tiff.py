"""Read TIFF files as their tags say: which of their images, in which layout, depth, colour space and direction.

Read exactly:

- NewSubfileType, SubIFDs: the first image that is neither a thumbnail nor a mask; a warning counts the others.
- PhotometricInterpretation: WhiteIsZero, BlackIsZero, RGB, palette, mask, CMYK, CIELab, ICCLab, and YCbCr in a JPEG.
- BitsPerSample, SampleFormat: 1 to 16 and 32 bits unsigned, and floats of 16, 24, 32 and 64 bits.
- ExtraSamples: the first alpha channel, associated or not.
- Orientation: 1 to 8; other values mean 1.
- PlanarConfiguration, strips and tiles, FillOrder, Predictor, byte order, BigTIFF.
- Compression: what tifffile and imagecodecs decode, such as LZW, Deflate, PackBits, CCITT, JPEG and Zstandard.

Everything else is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.opening import check_pixels, explaining_damage
from guidedstyle.types import Size

Space = Literal["grey", "rgb", "cmyk", "lab"]
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
REDUCED, MASK = 1, 4  # bits of NewSubfileType
OLD_REDUCED = 2  # the value of SubfileType
WHITE_IS_ZERO, PALETTE = 0, 3
SPACES: dict[int, Space] = {
    0: "grey",
    1: "grey",
    2: "rgb",
    3: "rgb",
    4: "grey",
    5: "cmyk",
    6: "rgb",
    8: "lab",
    9: "lab",
}
CHANNELS: dict[Space, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}
ASSOCIATED, UNASSOCIATED = 1, 2  # values of ExtraSamples
JPEG = (6, 7, 34892)
MOST_CHANNELS = 64

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # damage is reported as an error


@dataclass(frozen=True)
class TiffImage:
    """An image as a TIFF file stores it: values (H, W, C) of a colour space and the straight alpha, not yet turned.

    The values are uint8, uint16 or float32; those of "lab" are float32 in CIE units.
    """

    values: NDArray[Any]
    alpha: NDArray[Any] | None
    space: Space
    profile: bytes | None
    orientation: int
    lossy: bool
    warnings: tuple[str, ...] = ()


def is_tiff(file: Path) -> bool:
    """Return whether a file begins like a TIFF."""
    with explaining_damage(file), file.open("rb") as stream:
        return stream.read(4) in MAGIC


def read_tiff(file: Path, check: Callable[[Size], None]) -> TiffImage:
    """Read the image of a TIFF file; `check` is called with its stored size first.

    Raises GuidedStyleError if it is damaged, too large, or of a kind that is not read exactly.
    """
    with explaining_damage(file), tifffile.TiffFile(file) as document:
        pages = _find_images(document, file)
        check((pages[0].imagewidth, pages[0].imagelength))
        return TiffReader(pages[0], file, len(pages)).read()


def read_tiff_frame(file: Path) -> tuple[Size, int]:
    """Read the stored (width, height) and the orientation of a TIFF's image, without decoding it."""
    with explaining_damage(file), tifffile.TiffFile(file) as document:
        page = _find_images(document, file)[0]
        return (page.imagewidth, page.imagelength), _find_orientation(page)


def count_images(file: Path) -> int:
    """Count the images of a TIFF that are neither thumbnails nor masks."""
    with explaining_damage(file), tifffile.TiffFile(file) as document:
        return len(_find_images(document, file))


def _find_images(document: tifffile.TiffFile, file: Path) -> list[tifffile.TiffPage]:
    """Find the images that are neither thumbnails nor masks: those of the file itself, else those within others."""
    pages = [page for page in document.pages if isinstance(page, tifffile.TiffPage)]
    inner = (child for page in pages for child in page.pages or () if isinstance(child, tifffile.TiffPage))
    whole = list(filter(_is_whole, pages)) or list(filter(_is_whole, inner))
    if not whole:
        raise GuidedStyleError.of(file, "it holds only thumbnails or masks", "export the photograph itself as TIFF")
    return whole


def _is_whole(page: tifffile.TiffPage) -> bool:
    kind, old = page.tags.valueof(254, 0), page.tags.valueof(255, 0)
    return not (isinstance(kind, int) and kind & (REDUCED | MASK)) and old != OLD_REDUCED


def _find_orientation(page: tifffile.TiffPage) -> int:
    asked = page.tags.valueof(274)
    return next((turn for turn in range(1, 9) if turn == asked), 1)


class TiffReader:
    """Reads one image of a TIFF file."""

    def __init__(self, page: tifffile.TiffPage, file: Path, images: int = 1) -> None:
        self.page, self.file, self.images = page, file, images
        self.photometric = self._find_photometric()
        self.space = SPACES.get(self.photometric, "grey")
        self.bits, self.kind = int(page.bitspersample), page.dtype.kind if page.dtype else "?"

    def read(self) -> TiffImage:
        """Decode the image; raises GuidedStyleError if that is not possible exactly."""
        self._check()
        stored = self._decode()
        colours = 1 if self.photometric == PALETTE else CHANNELS[self.space]
        values, extra = self._convert(stored[..., :colours]), self._find_alpha(stored.shape[2] - colours)
        alpha = None if extra is None else self._scale(stored[..., colours + extra[0]])
        if alpha is not None and extra and extra[1] == ASSOCIATED:
            values = _divide_by_alpha(values, alpha)
        profile = self.page.tags.valueof(34675)
        return TiffImage(
            values,
            alpha,
            self.space,
            bytes(profile) if isinstance(profile, bytes) else None,
            _find_orientation(self.page),
            self.page.compression in JPEG,
            tuple(self._describe()),
        )

    def _find_photometric(self) -> int:
        found = self.page.tags.valueof(262)
        if isinstance(found, int):
            return found
        return 2 if self.page.samplesperpixel >= 3 else 1

    def _check(self) -> None:
        """Raise GuidedStyleError if the image is too large, or of a kind that is not read."""
        page, size = self.page, (self.page.imagewidth, self.page.imagelength)
        check_pixels(size, self.file)
        if self.photometric not in SPACES:
            kinds = {32803: "camera raw", 34892: "camera raw", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}
            named = kinds.get(self.photometric, f"of photometric interpretation {self.photometric}")
            raise self._refuse(f"its pixels are {named}")
        if page.imagedepth != 1:
            raise self._refuse(f"it is a volume of {page.imagedepth} slices")
        if self.kind not in "ubf":
            raise self._refuse(f"its {self.bits}-bit values are signed or complex numbers")
        if not 0 < page.samplesperpixel <= MOST_CHANNELS or min(size) < 1:
            raise ValueError(f"{page.samplesperpixel} channels of {size[0]} x {size[1]} px")
        if page.is_tiled:
            check_pixels((page.tilewidth, page.tilelength), self.file)

    def _refuse(self, rule: str) -> GuidedStyleError:
        return GuidedStyleError.of(self.file, rule, "export it as an RGB or grey image of 8 or 16 bits")

    def _decode(self) -> NDArray[Any]:
        """Decode the image (H, W, C) as it is stored."""
        page = self.page
        end = page.parent.filehandle.size
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if not segments or any(not count or offset + count > end for offset, count in segments):
            raise ValueError("some of its pixels are missing")
        stored = page.asarray(squeeze=False, maxworkers=1)
        return stored[:, 0].transpose(1, 2, 0, 3).reshape(page.imagelength, page.imagewidth, -1)

    def _convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        if self.photometric == PALETTE:
            return _look_up(self.page.colormap, stored[..., 0])
        if self.space == "lab":
            return self._convert_lab(stored)
        values = self._scale(stored)
        return _invert(values) if self.photometric == WHITE_IS_ZERO else values

    def _scale(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Scale unsigned values of any depth to the whole range of 8 or 16 bits; floats become float32."""
        if self.kind == "f":
            return check_numbers(stored.astype(np.float32))
        if self.bits in (8, 16):
            return stored
        if self.bits == 32:
            return (stored.astype(np.float64) * (65535 / (2**32 - 1)) + 0.5).astype(np.uint16)
        top, kind = (255, np.uint8) if self.bits < 8 else (65535, np.uint16)
        return np.asarray(stored * (top / (2**self.bits - 1)) + 0.5).astype(kind)

    def _convert_lab(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Convert CIELab, whose a and b are signed, or ICCLab, whose a and b have an offset, to CIE units."""
        if self.kind == "f" or self.bits not in (8, 16):
            raise self._refuse(f"its pixels are Lab of {self.bits} bits")
        unit = 2 ** (self.bits - 8)
        lab = stored.astype(np.float32)
        lab[..., 0] *= 100 / (2**self.bits - 1)
        if self.photometric == 8:
            lab[..., 1:] = stored[..., 1:].astype(f"i{self.bits // 8}") / np.float32(unit)
        else:
            lab[..., 1:] = lab[..., 1:] / np.float32(unit) - 128
        return lab

    def _find_alpha(self, extras: int) -> tuple[int, int] | None:
        """Return which extra channel is the alpha, and its kind; without the tag, a single extra channel is."""
        kinds = [int(kind) for kind in self.page.extrasamples] if 338 in self.page.tags else []
        if extras == 1 and not kinds:
            return 0, UNASSOCIATED
        return next(((i, kind) for i, kind in enumerate(kinds[:extras]) if kind in (ASSOCIATED, UNASSOCIATED)), None)

    def _describe(self) -> Iterator[str]:
        if self.images > 1:
            yield f"{self.file.name} holds {self.images} images; the first is used (export another by itself)"


def _look_up(table: Any, indices: NDArray[Any]) -> NDArray[Any]:
    """Look up palette entries: 8 bits if the table's 16 are only repeated, or hold 8."""
    colours = np.asarray(table, np.uint16).T
    if (colours < 256).all():
        return np.asarray(colours.astype(np.uint8)[indices])
    if (colours % 257 == 0).all() or not (colours & 255).any():
        return np.asarray((colours >> 8).astype(np.uint8)[indices])
    return np.asarray(colours[indices])


def _invert(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 - values, np.float32) if values.dtype == np.float32 else ~values


def _divide_by_alpha(values: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Make premultiplied values straight; where alpha is 0 they are 0."""
    top = 1 if values.dtype == np.float32 else np.iinfo(values.dtype).max
    share = np.maximum(alpha, 1 if top > 1 else 1e-6)[..., None].astype(np.float64)
    straight = values * (top / share) if top == 1 else np.minimum(values * (top / share) + 0.5, top)
    return np.asarray(straight * (alpha > 0)[..., None]).astype(values.dtype)


def check_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return float values; raises ValueError if some of them are not numbers."""
    if np.isnan(values).any():
        raise ValueError("some of its values are not numbers")
    return values
