"""What networks are trained on: images, random crops, a pool of optimised images, and random regions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.images.reading import read_image

CROP = 96  # px
MAX_SIZE = 2048  # px; larger images are reduced, since all are held in memory
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
MAX_AGE = 80  # steps before an image is replaced by a fresh crop
MOST_REGIONS = 3  # of a crop
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


def _read_images(files: Sequence[Path], longest: int) -> list[Image.Image]:
    images, problems = list[Image.Image](), list[Problem]()
    for file in files:
        try:
            images.append(read_image(file, longest, enlarge=False))
        except GuidedStyleError as error:
            problems += error.problems
    if problems:
        raise GuidedStyleError(problems)
    return images


class Crops:
    """Cut random crops of varying size, contrast and colour; equal seeds give equal crops.

    A crop of `side` px shows up to `widest` times as much of an image of at most `longest` px a side. Raises
    GuidedStyleError with all files that cannot be read.
    """

    def __init__(
        self, files: Sequence[Path], seed: int, *, side: int = CROP, widest: float = 4, longest: int = MAX_SIZE
    ) -> None:
        self.images = _read_images(files, longest)
        self.random, self.side, self.widest = random.Random(seed), side, widest

    def cut(self, count: int) -> Tensor:
        """Cut `count` crops: (count, 3, side, side) in [0, 1]."""
        return torch.stack([self._vary(self._cut(self.random.choice(self.images))) for _ in range(count)])

    def _cut(self, image: Image.Image) -> Tensor:
        shown = min(int(self.side * self.random.uniform(1, self.widest)), *image.size)
        left, top = (self.random.randint(0, size - shown) for size in image.size)
        crop = image.resize((self.side,) * 2, Image.Resampling.BICUBIC, (left, top, left + shown, top + shown))
        pixels = torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8)
        return pixels.view(self.side, self.side, 3).permute(2, 0, 1) / 255

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


class Layouts:
    """Draws regions and mixes: half of the batches have one region, and 60 % of regions one style."""

    def __init__(self, styles: Sequence[int], count: int, seed: int) -> None:
        """Draw `styles` among `count` of a network."""
        self.styles, self.count = list(styles), count
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, images: int, side: int) -> tuple[Tensor, Tensor]:
        """Draw weights (B, R, side, side), which sum to 1, and mixes (B, R, S)."""
        regions = 1 if self._draw() < 0.5 else self._choose(2, MOST_REGIONS)
        weights = torch.stack([self._draw_regions(regions, side) for _ in range(images)])
        mixes = torch.stack([self._draw_mix() for _ in range(images * regions)])
        return weights, mixes.view(images, regions, -1)

    def draw_noise(self, shape: Sequence[int]) -> Tensor:
        """Draw normal noise."""
        return self._draw(*shape, normal=True)

    def draw_origin(self, step: int, count: int) -> tuple[int, int]:
        """Draw where a network's noise begins, in `count` steps of `step` px: it must not learn it by heart."""
        return step * self._choose(0, count - 1), step * self._choose(0, count - 1)

    def _draw_regions(self, regions: int, side: int) -> Tensor:
        """Draw the weights (R, side, side) of soft or hard regions: blobs, or stripes in any direction."""
        edges = torch.linspace(-1, 1, side)
        if self._draw() < 0.5:
            coarse = self._draw(1, regions, self._choose(2, 4), self._choose(2, 4), normal=True)
            fields = functional.interpolate(coarse, (side, side), mode="bicubic")[0]
        else:
            angles = 2 * torch.pi * self._draw(regions, 1, 1)
            fields = angles.cos() * edges + angles.sin() * edges[:, None] + 0.3 * self._draw(regions, 1, 1, normal=True)
        hardness = (4.0, 20.0, 1000.0)[self._choose(0, 2)]
        return (hardness * fields).softmax(0)

    def _draw_mix(self) -> Tensor:
        """Draw the shares (S,) of styles in a region: of one alone, or of all."""
        shares, own = torch.zeros(self.count), torch.tensor(self.styles)
        if self._draw() < 0.6:
            shares[own[self._choose(0, len(own) - 1)]] = 1
        else:
            shares[own] = self._draw(len(own)).clamp(min=1e-6).log().neg().square()  # mostly one or two of them
        return shares / shares.sum()

    def _draw(self, *shape: int, normal: bool = False) -> Tensor:
        return (torch.randn if normal else torch.rand)(shape, generator=self.generator)

    def _choose(self, least: int, most: int) -> int:
        return int(torch.randint(least, most + 1, (), generator=self.generator))
