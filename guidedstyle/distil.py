"""Make the embedded encoder: a small network that sees as a larger one does.

    python -m guidedstyle.distil --images photos/ --teacher vgg19.safetensors --out lite.safetensors

The student is the teacher's most telling channels, layer by layer, each layer reading the teacher's features
as the layer before predicts them by least squares (after He et al. 2017, arXiv:1707.06168). At the layers a
render matches, the prediction A is reduced to the metric M = (A'A)^1/2, in which the student's Gram distance
is the teacher's: |A X A'| = |M X M'|.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from guidedstyle.encoder import IMAGENET_MEAN, IMAGENET_STD, LITE, Encoder
from guidedstyle.weights import load_vgg19

CROP = 96
CROPS = 400
CARD = {
    "what": "guidedstyle lite: VGG-19 to relu3_4 reduced to half its channels, with Gram metrics",
    "teacher": "VGG-19, Simonyan & Zisserman 2014 (arXiv:1409.1556), CC BY 4.0",
    "input": "RGB 0..1, ImageNet mean and deviation",
}

Heads = dict[str, Tensor]  # {layer: (teacher channels, student channels)}


def cut_crops(files: Sequence[Path], seed: int) -> Tensor:
    """Cut crops (CROPS, 3, CROP, CROP) in [0, 1] from pictures, at random places, sizes and contrasts."""
    dice = random.Random(seed)
    pictures = [Image.open(file).convert("RGB") for file in files]
    crops = torch.empty(CROPS, 3, CROP, CROP)
    for crop in crops:
        crop.copy_(_cut(dice.choice(pictures), dice))
    return crops


def _cut(picture: Image.Image, dice: random.Random) -> Tensor:
    side = min(int(CROP * dice.uniform(1, 4)), *picture.size)
    left, top = (dice.randint(0, size - side) for size in picture.size)
    cut = picture.resize((CROP, CROP), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8).view(CROP, CROP, 3).permute(2, 0, 1) / 255
    return ((pixels - 0.5) * dice.uniform(0.5, 1.5) + 0.5 + dice.uniform(-0.2, 0.2)).clamp(0, 1)


def prune(student: Encoder, teacher: Encoder, images: Tensor) -> Heads:
    """Set the student's weights from the teacher's; returns how each layer predicts the teacher's features."""
    heads: Heads = {}
    before = (student.std / teacher.std).view(3).diag()
    for mine, theirs, layer in zip(student.features.values(), teacher.features.values(), LITE.layers, strict=True):
        truth = encode_rows(teacher, images, layer)
        chosen = choose_channels(truth, LITE.layers[layer].channels)
        weight, bias = (theirs.get_parameter(part)[chosen] for part in ("weight", "bias"))
        if not heads:
            bias = bias + weight.sum((2, 3)) @ ((student.mean - teacher.mean) / teacher.std).view(3)
        mine.get_parameter("weight").data = torch.einsum("ijyx,jk->ikyx", weight, before)
        mine.get_parameter("bias").data = bias
        before = heads[layer] = predict_linearly(encode_rows(student, images, layer), truth)
    return heads


def encode_rows(encoder: Encoder, images: Tensor, layer: str) -> Tensor:
    """Encode images (B, 3, H, W) into one row per channel, (C, B * h * w)."""
    with torch.no_grad():
        features = [encoder.encode(part, [layer])[layer] for part in images.split(16)]
    return torch.cat(features).transpose(0, 1).flatten(1)


def choose_channels(rows: Tensor, count: int) -> list[int]:
    """Choose the `count` of the rows (C, N) that, one after the other, explain most of all rows linearly."""
    products, chosen = rows @ rows.T / rows.square().sum(), list[int]()
    for _ in range(count):
        left = products.diagonal().clamp(min=1e-12)
        gain = products.square().sum(0) / left
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        products = products - torch.outer(products[best], products[best]) / left[best]
    return chosen


def predict_linearly(known: Tensor, wanted: Tensor) -> Tensor:
    """Return A (D, C) of the least squares A @ known (C, N) = wanted (D, N), with a little ridge."""
    products = known @ known.T
    ridge = 1e-4 * products.diagonal().mean() * torch.eye(len(known))
    solved: Tensor = torch.linalg.solve(products + ridge, known @ wanted.T)
    return solved.T


def reduce_to_metric(head: Tensor) -> Tensor:
    """Return M (C, C) = (A'A)^1/2 of a head A (D, C), scaled to a mean square of 1 / C."""
    values, vectors = torch.linalg.eigh(head.T @ head)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    metric: Tensor = root / root.norm() * len(root) ** 0.5
    return metric


def distil(images: Tensor, teacher: Encoder) -> dict[str, Tensor]:
    """Distil a `lite` encoder on images (B, 3, H, W) in [0, 1]; returns its weights in half precision."""
    student = Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD).requires_grad_(False)
    heads = prune(student, teacher, images)
    state = dict(student.state_dict())
    state |= {f"metric.{layer}": reduce_to_metric(heads[layer]) for layer in LITE.style_layers}
    return {name: value.half().contiguous() for name, value in state.items()}


def main() -> None:
    """Parse the command line and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.distil", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="a folder of JPEG or PNG pictures")
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights (safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="where the student's weights go")
    parser.add_argument("--hold-out", nargs="*", default=[], help="parts of file names that are not looked at")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = [file for file in sorted(asked.images.iterdir()) if file.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    files = [file for file in files if not any(part in file.name for part in asked.hold_out)]
    save_file(distil(cut_crops(files, asked.seed), load_vgg19(asked.teacher)), asked.out, CARD)


if __name__ == "__main__":
    main()
