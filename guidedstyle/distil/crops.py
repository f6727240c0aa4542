"""Crops of pictures to learn from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from guidedstyle.errors import GuidedStyleError

CROP = 96
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def find_pictures(folders: Sequence[Path], hold_out: Sequence[str]) -> list[Path]:
    """List the pictures in folders, without those whose file names contain one of `hold_out`.

    Raises GuidedStyleError where none is left.
    """
    files = sorted(file for folder in folders for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    kept = [file for file in files if not any(part in file.name for part in hold_out)]
    if not kept:
        raise GuidedStyleError.of(
            "--images " + " ".join(map(str, folders)),
            f"there is nothing to learn from ({len(files)} pictures, all held out)" if files else "there is no picture",
            f"name folders with pictures ({', '.join(sorted(PICTURES))}) that are not held out",
        )
    return kept


class Crops:
    """Cut crops at random places, sizes, contrasts and colours: the same ones for the same seed."""

    def __init__(self, files: Sequence[Path], seed: int) -> None:
        self.pictures = [Image.open(file).convert("RGB") for file in files]
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
