"""Previews and numbered frames, written while a render runs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from guidedstyle.engine.rendering import Update
from guidedstyle.io.images import fit_size, save_image, to_pillow
from guidedstyle.run.options import Every, Throttle
from guidedstyle.types import Size

LARGEST_PREVIEW = 2048  # px


def list_frames(folder: Path) -> list[Path]:
    """List the frames in a folder in the order of their numbers; links are left out, as we write none."""
    return sorted(
        file for file in folder.glob("*.png") if file.stem.isdecimal() and file.is_file() and not file.is_symlink()
    )


class Previews:
    """Writes the image so far, as large as the output, up to LARGEST_PREVIEW."""

    def __init__(self, file: Path, *, size: Size, every: Every) -> None:
        self.file, self.throttle = file, Throttle(every)
        self.size = fit_size(size, min(max(size), LARGEST_PREVIEW))

    def __call__(self, update: Update) -> None:
        """Write it if it is due."""
        self.throttle.run(update.done, lambda: self.write(update))

    def write(self, update: Update) -> None:
        """Write it in any case."""
        save_image(draw_update(update, self.size), self.file)


class Frames:
    """Writes images numbered by their steps, as large as the output."""

    def __init__(self, folder: Path, *, size: Size, every: Every) -> None:
        self.folder, self.size, self.throttle = folder, size, Throttle(every)

    def __call__(self, update: Update) -> None:
        """Write a frame if one is due."""
        file = self.folder / f"{update.done:06d}.png"
        self.throttle.run(update.done, lambda: save_image(draw_update(update, self.size), file))


def draw_update(update: Update, size: Size) -> Image.Image:
    """Draw the image so far at (width, height)."""
    return to_pillow(update.preview(max(size))).resize(size, Image.Resampling.BICUBIC)
