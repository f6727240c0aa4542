"""Images, random crops and a pool of optimised images to train on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images.reading import read_image

CROP = 96  # px
MAX_SIZE = 2048  # px; larger images are reduced, since all are held in memory
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
MAX_AGE = 80  # steps before an image is replaced by a fresh crop
STEP_SIZE = 0.02
MOMENTUM = 0.8


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


class Pool:
    """Crops (B, 3, H, W) on their way from a content crop to a style crop, moved by the student's own gradient.

    The teacher corrects what the student gets wrong on them: a student trained on photos alone has blind spots,
    and the optimiser of a render finds them.
    """

    def __init__(self, crops: Crops, count: int) -> None:
        self.crops = crops
        self.images, self.styles = crops.cut(count), crops.cut(count)
        self.velocity = torch.zeros_like(self.images)
        self.steps_left = torch.tensor([crops.random.randint(1, MAX_AGE) for _ in range(count)])

    def advance(self, measure: Callable[[Tensor], Tensor]) -> None:
        """Move every image one step down `measure`, which returns their losses (B,), and replace the oldest."""
        images = self.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(measure(images).sum(), images)
        gradient = gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        self.velocity = MOMENTUM * self.velocity + (1 - MOMENTUM) * gradient
        self.images = (self.images - STEP_SIZE * self.velocity).clamp(0, 1)
        self.steps_left -= 1
        for index in torch.nonzero(self.steps_left == 0).flatten().tolist():
            self._replace(index)

    def _replace(self, index: int) -> None:
        self.images[index], self.styles[index] = self.crops.cut(2)
        self.velocity[index] = 0
        self.steps_left[index] = self.crops.random.randint(MAX_AGE // 4, MAX_AGE)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that `load_state_dict` needs to continue."""
        return {
            "images": self.images,
            "styles": self.styles,
            "velocity": self.velocity,
            "steps_left": self.steps_left,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a state."""
        self.images, self.styles = state["images"], state["styles"]
        self.velocity, self.steps_left = state["velocity"], state["steps_left"]
