"""Read TIFF files as their tags say: which of their images, in which layout, depth, colour space and direction.

Read exactly:

- NewSubfileType, SubIFDs: the largest image that is neither a thumbnail nor a mask; a warning counts the others.
- PhotometricInterpretation: WhiteIsZero, BlackIsZero, RGB, palette, mask, CMYK, CIELab, ICCLab, and YCbCr in a JPEG.
- BitsPerSample, SampleFormat: 1 to 16 and 32 bits unsigned, and floats of 16, 24, 32 and 64 bits.
- ExtraSamples: the first alpha channel, associated or not.
- Orientation: 1 to 8; other values mean 1; an image within another (SubIFDs) without one has that of the outer one.
- PlanarConfiguration, strips and tiles, FillOrder, Predictor, byte order, BigTIFF.
- Compression: none, LZW, Deflate (ZIP), PackBits, CCITT, JPEG, JPEG 2000, LZMA, Zstandard and WebP.

Everything else is refused.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.limits import check_pixels, explaining_damage, open_unlimited, read_orientation
from guidedstyle.types import Size

Space = Literal["grey", "rgb", "cmyk", "lab", "lab of D65"]
REDUCED, MASK = 1, 4  # bits of NewSubfileType
OLD_REDUCED = 2  # the value of SubfileType
WHITE_IS_ZERO, PALETTE, YCBCR, CIELAB = 0, 3, 6, 8  # values of PhotometricInterpretation
UNREAD = {10: "ITU Lab", 32803: "camera raw", 34892: "camera raw", 32844: "LogL", 32845: "LogLuv"}
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
SEPARATE = 2  # the value of PlanarConfiguration
FAX = (2, 3, 4)  # compressions of black and white
JPEG = (7, 34892)
COMPRESSIONS = (
    *(1, *FAX, 5, 7, 8, 32773, 32946, 34892),  # none, CCITT, LZW, JPEG, Deflate, PackBits
    *(34712, 34925, 50000, 50001),  # JPEG 2000, LZMA, Zstandard, WebP
)
IMAGES = (*JPEG, 34712, 50001)  # compressions whose strips and tiles are images with a size of their own
MOST_CHANNELS, MOST_IMAGES = 64, 1000
D65 = (0.3127, 0.3290)  # x, y

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
    images: int
    warnings: tuple[str, ...] = ()


def read_tiff(file: Path, check: Callable[[Size], None]) -> TiffImage:
    """Read the image of a TIFF file; `check` is called with its stored size first.

    Raises GuidedStyleError if it is damaged, too large, or of a kind that is not read exactly.
    """
    with _opening(file) as document:
        images = _find_images(document)
        reader = TiffReader(images[0], file, len(images))
        check((images[0].imagewidth, images[0].imagelength))
        return reader.read()


def read_tiff_frame(file: Path) -> tuple[Size, int]:
    """Read the stored (width, height) and the orientation of a TIFF's image, without decoding it."""
    with _opening(file) as document:
        page = _find_images(document)[0]
        return (page.imagewidth, page.imagelength), _find_orientation(page)


@contextmanager
def _opening(file: Path) -> Iterator[tifffile.TiffFile]:
    with explaining_damage(file):
        try:
            with tifffile.TiffFile(file) as document:
                yield document
        except (TypeError, LookupError, AttributeError, ArithmeticError) as error:  # a value is not of its tag's type
            raise ValueError("its tags are damaged") from error


def _find_images(document: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Find the images that are neither thumbnails nor masks, the largest first; else the largest."""
    pages = _list_pages(document.pages)
    inner = [child for page in pages for child in _list_pages(page.pages or ())]
    whole = [page for page in pages if not _find_kind(page)] or [page for page in inner if not _find_kind(page)]
    found = whole or [page for page in (*pages, *inner) if not _find_kind(page) & MASK] or pages
    found.sort(key=lambda page: -page.imagewidth * page.imagelength)
    return found if whole else found[:1]


def _list_pages(pages: Iterable[object]) -> list[tifffile.TiffPage]:
    """List the images of a chain, which in a damaged file leads back to one of them."""
    listed = dict[int, tifffile.TiffPage]()
    for page in islice(pages, MOST_IMAGES):
        if not isinstance(page, tifffile.TiffPage) or page.offset in listed:
            break
        listed[page.offset] = page
    return list(listed.values())


def _find_orientation(page: tifffile.TiffPage) -> int:
    """Return the orientation of an image; one within another (SubIFDs), as in camera files, may leave it to that."""
    asked = page.tags.valueof(274)
    if asked is None and len(page.treeindex) > 1:
        outer = page.parent.pages[page.treeindex[0]]
        asked = outer.tags.valueof(274) if isinstance(outer, tifffile.TiffPage) else None
    return read_orientation(asked)


def _find_kind(page: tifffile.TiffPage) -> int:
    """Return whether an image is marked as a thumbnail or a mask, as bits of NewSubfileType."""
    kind, old = page.tags.valueof(254, 0), page.tags.valueof(255, 0)
    return (int(kind) & (REDUCED | MASK) if isinstance(kind, int) else 0) | (REDUCED if old == OLD_REDUCED else 0)


class TiffReader:
    """Reads one image of a TIFF file; raises GuidedStyleError if it is too large, or of a kind that is not read."""

    def __init__(self, page: tifffile.TiffPage, file: Path, images: int = 1) -> None:
        self.page, self.file, self.images = page, file, images
        self.photometric = self._find_photometric()
        self.space = SPACES.get(self.photometric, "grey")
        self.colours = 1 if self.photometric == PALETTE else CHANNELS[self.space]
        self.bits, self.kind = int(page.bitspersample), page.dtype.kind if page.dtype else "?"
        self._check()

    def read(self) -> TiffImage:
        """Decode the image; raises GuidedStyleError if that is not possible exactly."""
        stored = self._decode()
        index, kind = self._find_alpha(extras := stored.shape[2] - self.colours)
        alpha = None if kind is None else self._scale(stored[..., self.colours + index])
        values = self._convert(stored[..., : self.colours], alpha if kind == ASSOCIATED else None)
        profile = self.page.tags.valueof(34675)
        return TiffImage(
            *(values, alpha, "lab of D65" if self.space == "lab" and self._is_white_d65() else self.space),
            profile=profile if isinstance(profile, bytes) else None,
            orientation=_find_orientation(self.page),
            lossy=self.page.compression in JPEG,
            images=self.images,
            warnings=tuple(self._describe(values, extras - (alpha is not None))),
        )

    def _find_photometric(self) -> int:
        found = self.page.tags.valueof(262)
        if isinstance(found, int):
            return int(found)
        return 2 if self.page.samplesperpixel >= 3 else 1

    def _check(self) -> None:
        page, size = self.page, (self.page.imagewidth, self.page.imagelength)
        if min(size) < 1:
            raise ValueError("it has no pixels")
        check_pixels(size, self.file)
        if self.photometric not in SPACES:
            kind = UNREAD.get(self.photometric, f"of photometric interpretation {self.photometric}")
            raise self._refuse(f"its pixels are {kind}")
        if self.photometric == YCBCR and (page.compression not in JPEG or page.planarconfig == SEPARATE):
            raise self._refuse("its pixels are YCbCr outside a plain JPEG")
        if page.compression not in COMPRESSIONS:
            rule = f"its compression is {_name_compression(page.compression)}"
            raise GuidedStyleError.of(self.file, rule, "save it with LZW or ZIP compression, or none")
        if page.compression in FAX and self.bits * page.samplesperpixel != 1:
            raise ValueError(f"its compression holds black and white, its tags tell of {self.bits} bits")
        if page.tags.valueof(332, 1) != 1 and self.space == "cmyk":
            raise self._refuse("its inks are not those of CMYK")
        if page.imagedepth != 1:
            raise self._refuse(f"it is a volume of {page.imagedepth} slices")
        if self.kind not in "ubf":
            raise self._refuse(f"its {self.bits}-bit values are signed or complex numbers")
        if not self.colours <= page.samplesperpixel <= MOST_CHANNELS:
            raise ValueError(f"it has {page.samplesperpixel} channels")
        if page.is_tiled:
            check_pixels((page.tilewidth, page.tilelength), self.file)

    def _refuse(self, rule: str) -> GuidedStyleError:
        return GuidedStyleError.of(self.file, rule, "export it as an RGB or grey image of 8 or 16 bits, unsigned")

    def _decode(self) -> NDArray[Any]:
        """Decode the image (H, W, C) as it is stored."""
        page, end = self.page, self.page.parent.filehandle.size
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if not segments or any(not count or offset + count > end for offset, count in segments):
            raise ValueError("some of its pixels are missing")
        if page.compression in IMAGES:
            self._check_segments(segments)
        try:
            stored = page.asarray(squeeze=False, maxworkers=1)
        except (NotImplementedError, ValueError) as error:
            if "not supported" in str(error) or "COMPRESSION" in str(error):
                raise self._refuse(f"it cannot be decoded ({error})") from error
            raise
        return stored[:, 0].transpose(1, 2, 0, 3).reshape(page.imagelength, page.imagewidth, -1)

    def _holds_more(self) -> bool:
        """Return whether strips without compression are far longer than the pixels that the tags tell of."""
        page = self.page
        if page.compression != 1 or page.is_tiled:
            return False
        apart = page.planarconfig == SEPARATE
        samples, planes = (1, page.samplesperpixel) if apart else (page.samplesperpixel, 1)
        told = -(-page.imagewidth * samples * self.bits // 8) * page.imagelength * planes
        return sum(page.databytecounts) > 1.25 * told

    def _check_segments(self, segments: Iterable[tuple[int, int]]) -> None:
        """Raise ValueError if a strip or tile is larger than the tags say: it would be decoded whole, then cut."""
        page, handle = self.page, self.page.parent.filehandle
        width, height = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
        for offset, count in segments:
            handle.seek(offset)
            with open_unlimited(io.BytesIO(handle.read(count)), ("JPEG", "JPEG2000", "WEBP")) as segment:
                if segment.width > width or segment.height > height:
                    raise ValueError("its strips or tiles are larger than its tags say")

    def _convert(self, stored: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
        """Convert stored colours (H, W, C) to values; with `alpha` they are multiplied with it."""
        if self.photometric == PALETTE:
            return _look_up(self.page.colormap, stored[..., 0].astype(np.uint16))
        if self.space == "lab":
            return self._convert_lab(stored, alpha)
        values = self._scale(stored)
        if alpha is not None:
            values = _divide_by_alpha(values, alpha)
        return _invert(values) if self.photometric == WHITE_IS_ZERO else values

    def _scale(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Scale unsigned values of any depth to the whole range of 8 or 16 bits; floats become float32."""
        if self.kind == "f":
            with np.errstate(over="ignore"):
                return np.asarray(stored, np.float32)
        if self.bits in (8, 16):
            return stored
        if self.bits > 16 and 0 < (most := stored.max()) < 2**16:
            raise self._refuse(f"its {self.bits}-bit values are at most {most}: it would be black")
        top, kind = (255, np.uint8) if self.bits < 8 else (65535, np.uint16)
        return np.asarray(stored * (top / (2**self.bits - 1)) + 0.5).astype(kind)

    def _convert_lab(self, stored: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
        """Convert CIELab, whose a and b are signed, or ICCLab, whose a and b have an offset, to CIE units."""
        if self.kind == "f" or self.bits not in (8, 16) or alpha is not None:
            raise self._refuse(f"its pixels are Lab of {self.bits} bits{'' if alpha is None else ' times its opacity'}")
        unit = np.float32(2 ** (self.bits - 8))
        lab = stored.astype(np.float32)
        lab[..., 0] *= 100 / (2**self.bits - 1)
        signed = stored[..., 1:].astype(f"i{self.bits // 8}") / unit
        lab[..., 1:] = signed if self.photometric == CIELAB else lab[..., 1:] / unit - 128
        return lab

    def _is_white_d65(self) -> bool:
        """Return whether the white of Lab is that of daylight; the standard's is D50."""
        white = self.page.tags.valueof(318)
        if not isinstance(white, tuple) or len(white) != 4:
            return False
        return bool(abs(white[0] / max(white[1], 1) - D65[0]) + abs(white[2] / max(white[3], 1) - D65[1]) < 0.01)

    def _find_alpha(self, extras: int) -> tuple[int, int | None]:
        """Return which extra channel is the alpha, and its kind; without the tag, a single extra channel is."""
        kinds = [int(kind) for kind in self.page.extrasamples] if 338 in self.page.tags else []
        if extras == 1 and not kinds:
            return 0, UNASSOCIATED
        found = ((i, kind) for i, kind in enumerate(kinds[:extras]) if kind in (ASSOCIATED, UNASSOCIATED))
        return next(found, (0, None))

    def _describe(self, values: NDArray[Any], unused: int) -> Iterator[str]:
        """Describe what the file holds besides the image that is read, and what of that is uncertain."""
        used = f"{self.page.imagewidth} x {self.page.imagelength} px"
        if self.images > 1:
            yield f"it holds {self.images} images: the largest, {used}, is used (export another to use it)"
        if _find_kind(self.page):
            yield f"its images are all marked as thumbnails or masks: the largest, {used}, is used"
        if unused:
            yield f"{unused} of its channels are neither colours nor opacity: they are not used"
        if self._holds_more():
            yield "it holds far more pixels than its tags tell of, which may be damaged (look at it, and save it again)"
        if 262 not in self.page.tags:
            yield f"it does not say which colours it holds: they are taken as {self.space}"
        if self.kind == "f" and (outside := float(((values < 0) | (values > 1)).mean())):
            yield f"{outside:.1%} of its values are not between 0 and 1: they are shown as black or white"


def _name_compression(number: int) -> str:
    """Name a compression as the specifications do."""
    try:
        return tifffile.COMPRESSION(number).name.replace("_", " ")
    except ValueError:
        return f"number {number}"


def _look_up(table: Any, indices: NDArray[Any]) -> NDArray[Any]:
    """Look up palette entries: 8 bits if the table's 16 are only repeated, or hold 8."""
    colours = np.asarray(table, np.uint16).T
    if colours.ndim != 2 or colours.shape[1] != 3:
        raise ValueError("its palette is damaged")
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
