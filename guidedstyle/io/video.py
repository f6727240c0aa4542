"""Write films and animations from the frames of a render."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import find_scratch
from guidedstyle.io.images.reading import fit_size, read_image
from guidedstyle.io.ownership import write_marked
from guidedstyle.types import Size

SECONDS, FASTEST, SLOWEST = 10, 30, 4  # a film's intended length; frames per second
LAST = 1.5  # seconds that the last frame is shown
LARGEST, LARGEST_ANIMATION = 1920, 960  # px
MOST_FRAMES = 100  # of an animation, which is held in memory
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}  # which browsers and messengers play by themselves
SUFFIXES = (*CODECS, *ANIMATIONS)


def check_timelapse(file: Path) -> None:
    """Raise GuidedStyleError if the suffix is not that of a film or animation."""
    if file.suffix.lower() not in SUFFIXES:
        rule = f"{file.name!r} does not have the suffix of a film"
        raise GuidedStyleError.of("--timelapse", rule, f"use one of {', '.join(SUFFIXES)}")


def write_timelapse(frames: Sequence[Path], last: Image.Image, file: Path, *, overwrite: bool = False) -> None:
    """Write a film, or an animation that repeats, of frames that ends with the `last` image.

    Raises GuidedStyleError if it cannot be written, or, unless `overwrite`, would replace a file of someone else.
    """
    write = _animate if file.suffix.lower() in ANIMATIONS else _film
    write_marked(file, write(frames, _show_on_white(last), file), overwrite=overwrite)


def _show_on_white(picture: Image.Image) -> Image.Image:
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _find_rate(frames: Sequence[Path]) -> float:
    """Find the number of frames a second."""
    return min(FASTEST, max(SLOWEST, len(frames) / SECONDS))


def _film(frames: Sequence[Path], last: Image.Image, file: Path) -> bytes:
    suffix, rate = file.suffix.lower(), _find_rate(frames)
    with tempfile.TemporaryDirectory(dir=find_scratch(file.parent)) as folder:
        film = Path(folder) / f"film{suffix}"
        size = _make_even(fit_size(last.size, min(LARGEST, max(last.size))))
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*CODECS[suffix]), rate, size)
        if not writer.isOpened():
            raise GuidedStyleError.of(file, "this OpenCV cannot write this format", "use .avi")
        for picture in chain(map(read_image, frames), [last] * round(rate * LAST)):
            writer.write(cv2.cvtColor(np.asarray(picture.resize(size)), cv2.COLOR_RGB2BGR))
        writer.release()
        return film.read_bytes()


def _animate(frames: Sequence[Path], last: Image.Image, file: Path) -> bytes:
    shown = frames[:: 1 + len(frames) // MOST_FRAMES]
    size = fit_size(last.size, min(LARGEST_ANIMATION, max(last.size)))
    first, *others = (picture.resize(size) for picture in chain(map(read_image, shown), [last]))
    times = [*[round(1000 / _find_rate(shown))] * len(shown), round(1000 * LAST)]
    buffer = io.BytesIO()
    kind = ANIMATIONS[file.suffix.lower()]
    first.save(buffer, kind, save_all=True, append_images=others, duration=times if others else times[-1], loop=0)
    return buffer.getvalue()


def _make_even(size: Size) -> Size:
    """Make both sides even, as codecs require."""
    width, height = (side - side % 2 for side in size)
    return width, height
