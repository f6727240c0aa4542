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

CROP = 96
LONGEST = 2048  # larger images are reduced: all are held in memory
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def find_images(folders: Sequence[Path], hold_out: Sequence[str]) -> list[Path]:
    """List the images in folders, without those whose file names contain one of `hold_out`.

    Raises GuidedStyleError for what is no folder, for a `hold_out` that no name contains, and where none is left.
    """
    problems = [
        Problem(f"--images {folder}", "it is no folder", "name folders") for folder in folders if not folder.is_dir()
    ]
    files = sorted(file for folder in folders for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    for part in hold_out:
        if not any(part in file.name for file in files):
            problems.append(Problem(f"--hold-out {part}", "no image has that in its name", "mend or leave it out"))
    kept = [file for file in files if not any(part in file.name for part in hold_out)]
    if not kept:
        remedy = f"name folders with images ({', '.join(sorted(PICTURES))}) that are not held out"
        problems.append(Problem("--images", f"no image to learn from, {len(files)} held out", remedy))
    if problems:
        raise GuidedStyleError(problems)
    return kept


class Crops:
    """Cut crops at random places, sizes, contrasts and colours: the same ones for the same seed."""

    def __init__(self, files: Sequence[Path], seed: int) -> None:
        self.pictures = [read_image(file, LONGEST, enlarge=False) for file in files]
        self.dice = random.Random(seed)

    def cut(self, count: int) -> Tensor:
        """Cut `count` crops: (count, 3, CROP, CROP) in [0, 1]."""
        return torch.stack([self._vary(self._cut(self.dice.choice(self.pictures))) for _ in range(count)])

    def _cut(self, picture: Image.Image) -> Tensor:
        side = min(int(CROP * self.dice.uniform(1, 4)), *picture.size)
        left, top = (self.dice.randint(0, size - side) for size in picture.size)
        cut = picture.resize((CROP, CROP), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        return torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8).view(CROP, CROP, 3).permute(2, 0, 1) / 255

    def _vary(self, crop: Tensor) -> Tensor:
        crop = crop.flip(2) if self.dice.random() < 0.5 else crop
        crop = crop[self.dice.sample(range(3), 3)] if self.dice.random() < 0.2 else crop
        contrast, brightness = self.dice.uniform(0.6, 1.4), self.dice.uniform(-0.15, 0.15)
        return ((crop - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
