"""Images and random crops to train on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images import read_image

CROP = 96  # px
MAX_SIZE = 2048  # px; larger images are reduced, since all are held in memory
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def find_images(folders: Sequence[Path], hold_out: Sequence[str] = ()) -> list[Path]:
    """List the images in folders, except those whose file names contain one of `hold_out`.

    Raises GuidedStyleError for anything that is not a folder, for a `hold_out` that no name contains, and if no image
    is left.
    """
    problems = [
        Problem(f"--images {folder}", "it is not a folder", "give folders") for folder in folders if not folder.is_dir()
    ]
    files = sorted(file for folder in folders for file in folder.glob("*") if file.suffix.lower() in SUFFIXES)
    for part in hold_out:
        if not any(part in file.name for file in files):
            problems.append(
                Problem(f"--hold-out {part}", "no image has that in its name", "correct it or leave it out")
            )
    kept = [file for file in files if not any(part in file.name for part in hold_out)]
    if not kept:
        rule = f"there is no image to train on; {len(files)} are held out"
        problems.append(Problem("--images", rule, f"give folders with more images ({', '.join(sorted(SUFFIXES))})"))
    if problems:
        raise GuidedStyleError(problems)
    return kept


class Crops:
    """Cut random crops of varying size, contrast and colour; equal seeds give equal crops."""

    def __init__(self, files: Sequence[Path], seed: int) -> None:
        self.images = [read_image(file, MAX_SIZE, enlarge=False) for file in files]
        self.random = random.Random(seed)

    def cut(self, count: int) -> Tensor:
        """Cut `count` crops: (count, 3, CROP, CROP) in [0, 1]."""
        return torch.stack([self._vary(self._cut(self.random.choice(self.images))) for _ in range(count)])

    def _cut(self, image: Image.Image) -> Tensor:
        side = min(int(CROP * self.random.uniform(1, 4)), *image.size)
        left, top = (self.random.randint(0, size - side) for size in image.size)
        crop = image.resize((CROP, CROP), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        pixels = torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8)
        return pixels.view(CROP, CROP, 3).permute(2, 0, 1) / 255

    def _vary(self, crop: Tensor) -> Tensor:
        crop = crop.flip(2) if self.random.random() < 0.5 else crop
        crop = crop[self.random.sample(range(3), 3)] if self.random.random() < 0.2 else crop
        contrast, brightness = self.random.uniform(0.6, 1.4), self.random.uniform(-0.15, 0.15)
        return ((crop - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
