"""Train an encoder to see as a larger one does (feature distillation with on-policy crops).

    python -m guidedstyle.distil --images photos/ --teacher vgg19.safetensors --out lite.safetensors

The student learns to predict the teacher's features through one linear head per depth. Half of every
batch are crops that are themselves half-way through being painted under the current student, so that it
has no blind spots for a render to exploit. At the end each head A is reduced to the metric
M = (A'A)^1/2, in which the student's Gram distance is the teacher's: |A X A'| = |M X M'|.
"""

from __future__ import annotations

import argparse
import copy
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoder import IMAGENET_MEAN, IMAGENET_STD, LITE, Encoder
from guidedstyle.weights import load_vgg19

PAIRS = {"relu1_1": "relu1_1", "relu2_1": "relu2_1", "relu3_1": "relu3_1", "relu3_3": "relu3_4"}  # student: teacher
CROP = 96
POOL = 128
BATCH = 8
LEARNING_RATE = 4e-3


class Student(nn.Module):
    """A small encoder with one linear head per depth that predicts the teacher's features."""

    def __init__(self, teacher: Encoder, spread: dict[str, Tensor]) -> None:
        super().__init__()
        self.encoder = Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD)
        self.spread = spread
        self.heads = nn.ParameterDict()
        for mine, theirs in PAIRS.items():
            columns, rows = LITE.layers[mine].channels, teacher.layers[theirs].channels
            self.heads[mine] = nn.Parameter(torch.randn(rows, columns) / columns**0.5)

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's features, each channel in units of its spread: {layer: (B, C, N)}."""
        features = self.encoder.encode(image, PAIRS)
        return {name: self.heads[name] @ x.flatten(2) for name, x in features.items()}

    def fold(self) -> dict[str, Tensor]:
        """Return the weights to ship: convolutions and, per depth, the metric of the head."""
        state = {name: value for name, value in self.encoder.state_dict().items()}
        for name in PAIRS:
            head = self.heads[name].detach() * self.spread[name][:, None]
            values, vectors = torch.linalg.eigh(head.T @ head)
            root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
            state[f"metric.{name}"] = root / root.norm() * root.shape[0] ** 0.5
        return {name: value.half().contiguous() for name, value in state.items()}


def gram(features: Tensor) -> Tensor:
    """Gram matrices (B, C, C) of features (B, C, N)."""
    return features @ features.mT / features.shape[-1]


def gram_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Relative squared distance of two stacks of Gram matrices, one value per picture."""
    return (found - wanted).square().sum((1, 2)) / wanted.square().sum((1, 2))


class Crops:
    """Endless augmented crops of the pictures in a folder."""

    def __init__(self, files: Sequence[Path], seed: int) -> None:
        self.random = random.Random(seed)
        self.pictures = [Image.open(file).convert("RGB") for file in files]

    def draw(self, count: int) -> Tensor:
        """Draw `count` crops (count, 3, CROP, CROP) at random places, sizes and colours."""
        crops = torch.empty(count, 3, CROP, CROP)
        for crop in crops:
            crop.copy_(self._crop())
        return crops

    def _crop(self) -> Tensor:
        picture = self.random.choice(self.pictures)
        side = min(int(CROP * self.random.uniform(1, 4)), *picture.size)
        left, top = (self.random.randint(0, size - side) for size in picture.size)
        crop = picture.resize((CROP, CROP), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        pixels = torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(CROP, CROP, 3)
        return self._augment(pixels.permute(2, 0, 1) / 255)

    def _augment(self, image: Tensor) -> Tensor:
        image = image.flip(2) if self.random.random() < 0.5 else image
        image = image[torch.randperm(3)] if self.random.random() < 0.2 else image
        contrast, lightness = self.random.uniform(0.5, 1.5), self.random.uniform(-0.2, 0.2)
        noise = torch.randn_like(image) * self.random.choice([0, 0, 0.02, 0.1])
        return ((image - 0.5) * contrast + 0.5 + lightness + noise).clamp(0, 1)


class Pool:
    """Crops on their way from a content to a style, painted a little further each time they are drawn."""

    def __init__(self, crops: Crops) -> None:
        self.crops = crops
        self.images, self.styles = crops.draw(POOL), crops.draw(POOL)

    def draw(self, student: Student, count: int) -> Tensor:
        """Paint `count` crops one step further under `student` and return them; some start afresh."""
        chosen = torch.randperm(POOL)[:count]
        fresh = chosen[torch.rand(count) < 0.03]
        self.images[fresh], self.styles[fresh] = self.crops.draw(len(fresh)), self.crops.draw(len(fresh))
        self.images[chosen] = _paint(student, self.images[chosen], self.styles[chosen])
        return self.images[chosen]


def _paint(student: Student, images: Tensor, styles: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    with torch.no_grad():
        wanted = {name: gram(x) for name, x in student.predict(styles).items()}
    found = student.predict(images)
    loss = torch.stack([gram_error(gram(x), wanted[name]).sum() for name, x in found.items()]).sum()
    (slope,) = torch.autograd.grad(loss, images)
    step = slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    return (images - 0.03 * step.clamp(-3, 3)).clamp(0, 1).detach()


def learn(student: Student, teacher: Encoder, images: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of `student` on `images` and, per layer, its feature error and Gram error."""
    with torch.no_grad():
        truth = teacher.encode(images, PAIRS.values())
    guesses, loss, errors = student.predict(images), torch.zeros(()), {}
    for mine, theirs in PAIRS.items():
        wanted = truth[theirs].float().flatten(2) / student.spread[mine][:, None]
        error = functional.mse_loss(guesses[mine], wanted)
        distance = gram_error(gram(guesses[mine]), gram(wanted)).mean()
        loss = loss + error + distance
        errors[mine], errors[f"{mine} gram"] = float(error.detach()), float(distance.detach())
    return loss, errors


def measure_spread(teacher: Encoder, crops: Crops) -> dict[str, Tensor]:
    """Root mean square of each channel of the teacher, by the student's layer."""
    with torch.no_grad():
        truth = teacher.encode(crops.draw(32), PAIRS.values())
    return {m: truth[t].float().square().mean((0, 2, 3)).sqrt().clamp(min=1e-3) for m, t in PAIRS.items()}


def distil(files: Sequence[Path], teacher: Encoder, out: Path, minutes: float, seed: int) -> None:
    """Train for `minutes`, printing the errors and saving a moving average of the weights to `out`."""
    torch.manual_seed(seed)
    crops = Crops(files, seed)
    student = Student(teacher, measure_spread(teacher, crops)).to(memory_format=torch.channels_last)
    average, pool = copy.deepcopy(student), Pool(crops)
    adam = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    began, step = time.monotonic(), 0
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        adam.param_groups[0]["lr"] = LEARNING_RATE * min(1, step / 50) * max(0.02, 1 - spent)
        loss, errors = learn(student, teacher, torch.cat([crops.draw(BATCH), pool.draw(student, BATCH)]))
        adam.zero_grad()
        loss.backward()
        adam.step()
        step += 1
        _average(average, student, min(0.998, step / (step + 10)))
        if step % 50 == 0:
            print(step, f"{spent:.0%}", {name: round(value, 3) for name, value in errors.items()}, flush=True)
            save_file(average.fold(), out)


def _average(average: nn.Module, student: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), student.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.distil", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="a folder of JPEG or PNG pictures")
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights (safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="where the student's weights go")
    parser.add_argument("--hold-out", nargs="*", default=[], help="parts of file names never trained on")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = [file for file in sorted(asked.images.iterdir()) if file.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    files = [file for file in files if not any(part in file.name for part in asked.hold_out)]
    teacher = load_vgg19(asked.teacher).to(torch.bfloat16).to(memory_format=torch.channels_last)  # only ever a target
    distil(files, teacher, asked.out, asked.minutes, asked.seed)


if __name__ == "__main__":
    main()
