"""Write films from the frames of a render."""

from __future__ import annotations

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
LARGEST = 1920  # px
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def check_timelapse(file: Path) -> None:
    """Raise GuidedStyleError if the suffix is not that of a film."""
    if file.suffix.lower() not in CODECS:
        rule = f"{file.name!r} does not have the suffix of a film"
        raise GuidedStyleError.of("--timelapse", rule, f"use {' or '.join(CODECS)}")


def write_timelapse(frames: Sequence[Path], last: Image.Image, file: Path, *, overwrite: bool = False) -> None:
    """Write a film of frames that ends with the `last` image.

    Raises GuidedStyleError if it cannot be written, or, unless `overwrite`, would replace a file of someone else.
    """
    frame_rate = min(FASTEST, max(SLOWEST, len(frames) / SECONDS))
    with tempfile.TemporaryDirectory(dir=find_scratch(file.parent)) as folder:
        film = Path(folder) / f"film{file.suffix.lower()}"
        size = _make_even(fit_size(last.size, min(LARGEST, max(last.size))))
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*CODECS[file.suffix.lower()]), frame_rate, size)
        if not writer.isOpened():
            raise GuidedStyleError.of(file, "this OpenCV cannot write this format", "use .avi")
        for picture in chain(map(read_image, frames), [last] * round(frame_rate * LAST)):
            writer.write(cv2.cvtColor(np.asarray(picture.resize(size)), cv2.COLOR_RGB2BGR))
        writer.release()
        write_marked(file, film.read_bytes(), overwrite=overwrite)


def _make_even(size: Size) -> Size:
    """Make both sides even, as codecs require."""
    width, height = (side - side % 2 for side in size)
    return width, height
