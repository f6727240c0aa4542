"""Write previews, frames and checkpoints while a render runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Update
from guidedstyle.io.images import fit_size, save_image, to_pillow
from guidedstyle.run.checkpoint import Checkpoint, write_checkpoint
from guidedstyle.run.interrupts import StopRequest
from guidedstyle.run.options import Every, Throttle
from guidedstyle.types import Size

LARGEST_PREVIEW = 2048  # px


def list_frames(folder: Path) -> list[Path]:
    """List the frames in a folder, the first first; a link is none of ours."""
    return sorted(
        file for file in folder.glob("*.png") if file.stem.isdecimal() and file.is_file() and not file.is_symlink()
    )


class Previews:
    """Keeps the image so far on disk, as large as the finished one, or as LARGEST_PREVIEW."""

    def __init__(self, file: Path, size: Size, every: Every) -> None:
        self.file, self.throttle = file, Throttle(every)
        self.size = fit_size(size, min(max(size), LARGEST_PREVIEW))

    def __call__(self, update: Update) -> None:
        """Write it if it is time."""
        self.throttle.run(update.done, lambda: self.write(update))

    def write(self, update: Update) -> None:
        """Write the image so far."""
        save_image(draw_update(update, self.size), self.file)


class Frames:
    """Keeps numbered images of the way, as large as the finished one."""

    def __init__(self, folder: Path, size: Size, every: Every) -> None:
        self.folder, self.size, self.throttle = folder, size, Throttle(every)

    def __call__(self, update: Update) -> None:
        """Write one if it is time."""
        file = self.folder / f"{update.done:06d}.png"
        self.throttle.run(update.done, lambda: save_image(draw_update(update, self.size), file))


class States:
    """Keeps on disk all it takes to go on, also when a `stop` is requested."""

    def __init__(self, file: Path, identity: Mapping[str, Any], plan: Plan, every: Every, stop: StopRequest) -> None:
        self.file, self.identity, self.plan, self.stop = file, identity, plan, stop
        self.throttle = Throttle(every)

    def __call__(self, update: Update) -> None:
        """Write it if it is time."""
        if self.stop.is_set():
            self.write(update)
        else:
            self.throttle.run(update.done, lambda: self.write(update))

    def write(self, update: Update) -> None:
        """Write the state after an update."""
        write_checkpoint(self.file, Checkpoint.at(self.identity, self.plan, update.snapshot(), update.done))


def draw_update(update: Update, size: Size) -> Image.Image:
    """Draw the image so far at (width, height)."""
    return to_pillow(update.preview(max(size))).resize(size, Image.Resampling.BICUBIC)
