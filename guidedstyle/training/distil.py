"""Train an encoder to predict a teacher's features and Gram matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoders.encoder import Encoder, Features
from guidedstyle.training.data import Crops
from guidedstyle.training.pool import Pool
from guidedstyle.training.reduction import Heads

BATCH = 8  # still crops of a step; as many are being painted, and as many are the styles they are painted in
RATE = 5e-4
WARM_UP = 200
AVERAGE = 0.998
GRAM_WEIGHT = 5.0
CLIP = 0.3


class Pupil(nn.Module):
    """A student and the heads that predict the teacher's features from its own."""

    def __init__(self, student: Encoder, heads: Heads) -> None:
        super().__init__()
        self.student = student.requires_grad_(True)
        self.heads = nn.ParameterDict(heads)

    def predict(self, images: Tensor, precision: torch.dtype) -> Features:
        """Predict the teacher's features of images (B, 3, H, W)."""
        with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
            seen = self.student.encode(images, self.heads.keys())
            return {layer: functional.conv2d(seen[layer], head[:, :, None, None]) for layer, head in self.heads.items()}


@dataclass(frozen=True)
class Progress:
    """The errors after a step, relative to the teacher's energy: of features and Gram matrices, by layer."""

    step: int
    features: dict[str, float]
    grams: dict[str, float]


class Training:
    """The state of a training, which can be saved and taken up again."""

    def __init__(
        self, pupil: Pupil, teacher: Encoder, crops: Crops, steps: int, device: torch.device, precision: torch.dtype
    ) -> None:
        self.pupil, self.average = pupil.to(device), deepcopy(pupil).to(device).requires_grad_(False)
        self.teacher = teacher.to(device, precision).to(memory_format=torch.channels_last)
        self.crops, self.pool, self.steps, self.step = crops, Pool(crops, BATCH), steps, 0
        self.device, self.precision = device, precision
        self.optimiser = torch.optim.Adam(self.pupil.parameters(), betas=(0.9, 0.999))

    def run(self) -> Iterator[Progress]:
        """Train to the end, a step at a time."""
        while self.step < self.steps:
            for group in self.optimiser.param_groups:
                group["lr"] = RATE * schedule(self.step, self.steps)
            features, grams = self._learn()
            self.step += 1
            yield Progress(self.step, features, grams)

    def _learn(self) -> tuple[dict[str, float], dict[str, float]]:
        images = torch.cat([self.crops.cut(BATCH), self.pool.images, self.pool.styles]).to(self.device)
        with torch.no_grad():
            truth = self.teacher.encode(images, self.pupil.heads.keys())
        found = self.pupil.predict(images, self.precision)
        features = {layer: feature_error(found[layer], truth[layer]) for layer in found}
        grams = {layer: gram_error(found[layer], truth[layer]) for layer in found}
        loss = torch.stack(list(features.values())).sum() + GRAM_WEIGHT * torch.stack(list(grams.values())).sum()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.pupil.parameters(), CLIP)
        self.optimiser.step()
        self._follow()
        self._paint({layer: compute_grams(value.detach()[-BATCH:]) for layer, value in found.items()})
        return read(features), read(grams)

    def _follow(self) -> None:
        """Move the average towards the pupil; fast at first."""
        pace = 1 - min(AVERAGE, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.pupil.parameters(), strict=True):
            mean.lerp_(value.detach(), pace)

    def _paint(self, wanted: dict[str, Tensor]) -> None:
        def measure(images: Tensor) -> Tensor:
            found = self.pupil.predict(images.to(self.device), self.precision)
            errors = [relative_distance(compute_grams(found[layer]), wanted[layer]) for layer in found]
            return torch.stack(errors).sum(0).cpu()

        self.pool.advance(measure)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {
            "pupil": self.pupil.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "pool": self.pool.state_dict(),
            "dice": self.crops.dice.getstate(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, now to as many steps as this training has."""
        self.pupil.load_state_dict(state["pupil"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.pool.load_state_dict(state["pool"])
        self.step = state["step"]
        self.crops.dice.setstate(state["dice"])


def read(errors: dict[str, Tensor]) -> dict[str, float]:
    """Bring errors () to plain numbers."""
    return {layer: float(error.detach()) for layer, error in errors.items()}


def schedule(step: int, steps: int) -> float:
    """Rise over WARM_UP steps, then fall as a half cosine: the share of RATE."""
    return min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def compute_grams(features: Tensor) -> Tensor:
    """Compute the Gram matrices (B, C, C) of features (B, C, h, w), per position."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)
    return (rows.mT @ rows).float() / rows.shape[1]


def relative_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Compute |G - G'|^2 / |G'|^2 (B,) of matrices (B, C, C)."""
    return (found - wanted).square().sum((1, 2)) / wanted.square().sum((1, 2))


def feature_error(found: Tensor, truth: Tensor) -> Tensor:
    """Compute the energy of the error relative to the truth's ()."""
    return (found - truth).square().sum(dtype=torch.float32) / truth.square().sum(dtype=torch.float32)


def gram_error(found: Tensor, truth: Tensor) -> Tensor:
    """Compute how far distances between Gram matrices are from the teacher's ().

    The batch holds still crops, painted ones and their styles: the first are to have the teacher's Gram
    matrices, the others its difference from painted to style, which is what a render drives to zero.
    """
    still, painted, styles = compute_grams(found).chunk(3)
    true_still, true_painted, true_styles = compute_grams(truth).chunk(3)
    size = true_styles.square().sum((1, 2)) + true_painted.square().sum(
        (1, 2)
    )  # not of the style alone: it may be flat
    missed = (painted - styles) - (true_painted - true_styles)
    return relative_distance(still, true_still).mean() + (missed.square().sum((1, 2)) / size).mean()


def save_checkpoint(training: Training, file: Path) -> None:
    """Save the state of a training, replacing the file at once."""
    part = file.with_name(file.name + ".part")
    torch.save(training.state_dict(), part)
    part.replace(file)
