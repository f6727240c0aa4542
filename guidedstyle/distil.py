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

CROP = 80
POOL = 128
BATCH = 6
LEARNING_RATE = 5e-4


class Student(nn.Module):
    """A small encoder with one linear head per depth that predicts the teacher's features."""

    def __init__(self, teacher: Encoder, images: Tensor) -> None:
        super().__init__()
        self.encoder = Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD)
        truth = _encode(teacher, images)
        heads = prune(self.encoder, teacher, truth, images)
        self.spread = {name: _spread(truth[name]) for name in LITE.style_layers}
        self.heads = nn.ParameterDict({name: heads[name] / self.spread[name][:, None] for name in self.spread})

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's features, each channel in units of its spread: {layer: (B, C, N)}."""
        features = self.encoder.encode(image, LITE.style_layers)
        return {name: self.heads[name] @ x.flatten(2) for name, x in features.items()}

    def fold(self) -> dict[str, Tensor]:
        """Return the weights to ship: convolutions and, per depth, the metric of the head."""
        state = dict(self.encoder.state_dict())
        for name in LITE.style_layers:
            head = self.heads[name].detach() * self.spread[name][:, None]
            values, vectors = torch.linalg.eigh(head.T @ head)
            root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
            state[f"metric.{name}"] = root / root.norm() * root.shape[0] ** 0.5
        return {name: value.half().contiguous() for name, value in state.items()}


def prune(student: Encoder, teacher: Encoder, truth: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """Start the student as the teacher's most telling channels, layer by layer (after He et al. 2017, arXiv:1707.06168).

    Each convolution reads the teacher's features as the layer before predicts them by least squares; returns those
    predictions {layer: (teacher channels, student channels)}.
    """
    heads: dict[str, Tensor] = {}
    before = (student.std / teacher.std).view(3).diag()
    for mine, theirs, layer in zip(student.features.values(), teacher.features.values(), LITE.layers, strict=False):
        chosen = choose_channels(truth[layer], LITE.layers[layer].channels)
        weight, bias = theirs.weight[chosen].float(), theirs.bias[chosen].float()
        if not heads:
            bias = bias + weight.sum((2, 3)) @ ((student.mean - teacher.mean) / teacher.std).view(3)
        mine.weight.data = torch.einsum("ijyx,jk->ikyx", weight, before)
        mine.bias.data = bias
        before = heads[layer] = _predict_linearly(_encode(student, images, layer)[layer], truth[layer])
    return heads


def choose_channels(features: Tensor, count: int) -> list[int]:
    """Choose the `count` channels of (B, C, N) that, one after the other, best explain all others linearly."""
    rows = features.transpose(0, 1).flatten(1)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
    products, chosen = rows @ rows.T, list[int]()
    for _ in range(count):
        left = products.diagonal().clamp(min=1e-6)
        gain = products.square().sum(0) / left
        gain[left < 1e-4] = 0
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        products = products - torch.outer(products[best], products[best]) / left[best]
    return chosen


def _predict_linearly(known: Tensor, wanted: Tensor) -> Tensor:
    x, y = (features.transpose(0, 1).flatten(1) for features in (known, wanted))
    products = x @ x.T
    ridge = 1e-4 * products.diagonal().mean() * torch.eye(len(x))
    return torch.linalg.solve(products + ridge, x @ y.T).T


def _encode(encoder: Encoder, images: Tensor, *layers: str) -> dict[str, Tensor]:
    with torch.no_grad():
        found = encoder.encode(images, layers or LITE.layers)
    return {name: features.float().flatten(2) for name, features in found.items()}


def _spread(features: Tensor) -> Tensor:
    spread = features.square().mean((0, 2)).sqrt()
    return spread.clamp(min=float(spread.median()) / 10)


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
    truth = _encode(teacher, images, *LITE.style_layers)
    guesses, loss, errors = student.predict(images), torch.zeros(()), {}
    for name, guess in guesses.items():
        wanted = truth[name] / student.spread[name][:, None]
        error = functional.mse_loss(guess, wanted) / wanted.square().mean().clamp(min=1e-3)
        distance = gram_error(gram(guess), gram(wanted)).mean()
        loss = loss + error + distance
        errors[name], errors[f"{name} gram"] = float(error.detach()), float(distance.detach())
    return loss, errors


def distil(files: Sequence[Path], teacher: Encoder, out: Path, minutes: float, seed: int) -> None:
    """Train for `minutes`, printing the errors and saving a moving average of the weights to `out`."""
    torch.manual_seed(seed)
    crops = Crops(files, seed)
    student = Student(teacher, crops.draw(64)).to(memory_format=torch.channels_last)
    average, pool = copy.deepcopy(student), Pool(crops)
    adam = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    began, step = time.monotonic(), 0
    while (spent := (time.monotonic() - began) / (60 * minutes)) < 1:
        adam.param_groups[0]["lr"] = LEARNING_RATE * min(1, step / 50) * max(0.02, 1 - spent)
        loss, errors = learn(student, teacher, torch.cat([crops.draw(BATCH), pool.draw(student, BATCH)]))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
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
