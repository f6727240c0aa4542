"""Train a student encoder to predict the features and Gram matrices of a teacher."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.device.precision import choose_precision
from guidedstyle.device.threads import sharing_cores
from guidedstyle.encoders.encoder import ConvEncoder, Features
from guidedstyle.encoders.vgg import IMAGENET, LITE
from guidedstyle.encoders.weights import load_by_name
from guidedstyle.engine.plan import choose_device
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import make_folder, write_file
from guidedstyle.io.ownership import protect
from guidedstyle.training.data import Crops, Pool, find_images
from guidedstyle.training.descent import Descent, load_checkpoint, name_checkpoint
from guidedstyle.training.reduction import Heads, reduce, reduce_to_metric
from guidedstyle.types import Convention

FORMAT = 3  # of checkpoints
BATCH = 8  # crops per step; as many images are optimised, and as many crops are their style images
STEPS = 4200
LEARNING_RATE = 5e-4
GRAM_WEIGHT = 5.0
MAX_NORM = 0.3  # of the gradient
SAVE_EVERY = 200  # steps
CARD = {
    "what": "a small encoder for guidedstyle that approximates VGG-19 to relu3_4, with Gram metrics",
    "input": "RGB 0..1, ImageNet mean and deviation",
}


class Student(nn.Module):
    """An encoder, and linear heads that predict the teacher's features from its own."""

    def __init__(self, encoder: ConvEncoder, heads: Heads) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        self.heads = nn.ParameterDict(heads)

    def predict(self, images: Tensor, precision: torch.dtype) -> Features:
        """Predict the teacher's features of images (B, 3, H, W) in [0, 1]: {layer: (B, C, h, w)}."""
        with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
            found = self.encoder.encode(images, self.heads.keys())
            return {
                layer: functional.conv2d(found[layer], head[:, :, None, None]) for layer, head in self.heads.items()
            }


@dataclass(frozen=True)
class Progress:
    """The errors after a step, by layer: of features and of Gram matrices, relative to the teacher's energy."""

    step: int
    features: dict[str, float]
    grams: dict[str, float]

    @property
    def values(self) -> dict[str, float]:
        """All errors by name."""
        return self.features | {f"G {layer}": error for layer, error in self.grams.items()}


class Training:
    """A training run whose state can be saved and restored."""

    def __init__(
        self,
        student: Student,
        teacher: ConvEncoder,
        crops: Crops,
        *,
        steps: int,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.student = student.to(device)
        self.descent = Descent(self.student, steps=steps, learning_rate=LEARNING_RATE, most_norm=MAX_NORM)
        self.teacher = teacher.to(device, precision).to(memory_format=torch.channels_last)
        self.crops, self.pool, self.steps, self.step = crops, Pool(crops, BATCH), steps, 0
        self.device, self.precision = device, precision

    def run(self) -> Iterator[Progress]:
        """Train to the last step; yields the errors of each step."""
        with sharing_cores():
            while self.step < self.steps:
                features, grams = self._learn()
                self.step += 1
                yield Progress(self.step, features, grams)

    def _learn(self) -> tuple[dict[str, float], dict[str, float]]:
        images = torch.cat([self.crops.cut(BATCH), self.pool.images, self.pool.styles]).to(self.device)
        with torch.no_grad():
            truth = self.teacher.encode(images, self.student.heads.keys())
        found = self.student.predict(images, self.precision)
        features = {layer: feature_error(found[layer], truth[layer]) for layer in found}
        grams = {layer: gram_error(found[layer], truth[layer]) for layer in found}
        feature_loss, gram_loss = (torch.stack(list(errors.values())).sum() for errors in (features, grams))
        self.descent.descend(feature_loss + GRAM_WEIGHT * gram_loss)
        self._advance_pool({layer: compute_grams(value.detach()[-BATCH:]) for layer, value in found.items()})
        return _to_floats(features), _to_floats(grams)

    def _advance_pool(self, targets: dict[str, Tensor]) -> None:
        def measure(images: Tensor) -> Tensor:
            found = self.student.predict(images.to(self.device), self.precision)
            errors = [relative_distance(compute_grams(found[layer]), targets[layer]) for layer in found]
            return torch.stack(errors).sum(0).cpu()

        self.pool.advance(measure)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to continue."""
        return {
            "format": FORMAT,
            "descent": self.descent.state_dict(),
            "pool": self.pool.state_dict(),
            "random": self.crops.random.getstate(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; raises ValueError for one of another format."""
        if state.get("format") != FORMAT:
            raise ValueError(f"its format is {state.get('format', 1)}, not {FORMAT}")
        self.descent.load_state_dict(state["descent"])
        self.pool.load_state_dict(state["pool"])
        self.crops.random.setstate(state["random"])
        self.step = state["step"]


def compute_grams(features: Tensor) -> Tensor:
    """Compute the Gram matrices (B, C, C) of features (B, C, h, w), divided by the number of positions."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)
    return (rows.mT @ rows).float() / rows.shape[1]


def relative_distance(found: Tensor, target: Tensor) -> Tensor:
    """Compute |G - G'|^2 / |G'|^2 (B,) of matrices (B, C, C)."""
    return (found - target).square().sum((1, 2)) / target.square().sum((1, 2))


def feature_error(found: Tensor, truth: Tensor) -> Tensor:
    """Compute the energy of the error () relative to the energy of the truth; both (B, C, h, w)."""
    return (found - truth).square().sum(dtype=torch.float32) / truth.square().sum(dtype=torch.float32)


def gram_error(found: Tensor, truth: Tensor) -> Tensor:
    """Compute how far differences of Gram matrices are from the teacher's: () of features (3 B, C, h, w).

    The batch holds crops, optimised images and their style images. Crops should have the teacher's Gram matrices.
    Optimised images should differ from their style images as the teacher says: a render drives this difference to
    zero.
    """
    crops, optimised, styles = compute_grams(found).chunk(3)
    true_crops, true_optimised, true_styles = compute_grams(truth).chunk(3)
    energy = true_styles.square().sum((1, 2)) + true_optimised.square().sum((1, 2))  # only a flat style has almost none
    error = (optimised - styles) - (true_optimised - true_styles)
    return relative_distance(crops, true_crops).mean() + (error.square().sum((1, 2)) / energy).mean()


def _to_floats(errors: dict[str, Tensor]) -> dict[str, float]:
    return {layer: float(error.detach()) for layer, error in errors.items()}


def prepare_training(
    images: Sequence[Path],
    teacher: Path,
    out: Path,
    *,
    convention: Convention | None = None,
    hold_out: Sequence[str] = (),
    steps: int = STEPS,
    stills: int = 600,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> Training:
    """Prepare a training run whose weights go to `out` (.safetensors), checkpoints to a file next to it.

    `images` are folders; files with one of `hold_out` in their names are left out. The student is first reduced from
    the `teacher` on `stills` crops, or with `resume` read from the checkpoint. Raises GuidedStyleError, also where,
    unless `overwrite`, a file of someone else would be replaced.
    """
    if out.suffix != ".safetensors":
        raise GuidedStyleError.of("--out", f"{out} is not a .safetensors file", "choose a name ending in .safetensors")
    if out.exists() and teacher.exists() and out.samefile(teacher):
        raise GuidedStyleError.of("--out", f"{out} would overwrite the teacher", "choose another name")
    protect([out, name_checkpoint(out)], overwrite=overwrite)
    chosen, files = choose_device(device), find_images(images, hold_out)
    large, small = load_by_name("vgg19", teacher, convention), ConvEncoder(LITE, IMAGENET)
    large = large.move(torch.device("cpu"), torch.float32, LITE.padding)
    if not set(small.layers) <= set(large.layers):
        raise GuidedStyleError.of("--teacher", f"it ends before {list(small.layers)[-1]}", "choose deeper weights")
    make_folder(out.parent)
    crops, layers = Crops(files, seed), LITE.style_layers
    heads: Heads = {layer: torch.zeros(large.layers[layer].channels, small.layers[layer].channels) for layer in layers}
    if not resume:
        heads = reduce(small, large, crops.cut(stills), seed)
    precision = choose_precision(chosen)
    training = Training(Student(small, heads), large, crops, steps=steps, device=chosen, precision=precision)
    if resume:
        load_checkpoint(training, name_checkpoint(out))
    return training


def save_weights(training: Training, file: Path, card: dict[str, str]) -> None:
    """Write the averaged student's weights and metrics in half precision, with `card` as metadata."""
    student = cast(Student, training.descent.average.module)
    state: dict[str, Tensor] = dict(student.encoder.state_dict())
    state |= {f"metric.{layer}": reduce_to_metric(head.detach().cpu()) for layer, head in student.heads.items()}
    card = card | {"training": f"{training.step} steps on crops of {len(training.crops.images)} images"}
    write_file(file, save({name: value.half().cpu().contiguous() for name, value in state.items()}, card))


def describe_teacher(file: Path) -> str:
    """Describe the teacher by the source its file states, or its name, and by its hash."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if file.suffix != ".safetensors":
        return f"{file.name}, SHA-256 {digest}"
    with safe_open(file, "pt") as stored:
        return f"{(stored.metadata() or {}).get('source', file.name)}, SHA-256 {digest}"
