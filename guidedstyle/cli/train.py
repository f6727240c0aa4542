"""The command line of the distillation."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
import time
from pathlib import Path
from typing import get_args

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from guidedstyle.cli.main import exit_on_error, whole_number
from guidedstyle.device.precision import choose_precision
from guidedstyle.encoders.architecture import LITE
from guidedstyle.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from guidedstyle.encoders.weights import load_vgg19
from guidedstyle.engine.plan import choose_device
from guidedstyle.errors import INTERRUPTED, GuidedStyleError
from guidedstyle.io.files import make_folder, write_file
from guidedstyle.training.data import Crops, find_images
from guidedstyle.training.distil import Progress, Pupil, Training, save_checkpoint
from guidedstyle.training.reduction import Heads, reduce, reduce_to_metric
from guidedstyle.types import Convention

EVERY = 25  # steps between two lines of progress
SAVED_EVERY = 200  # steps between two checkpoints
CARD = {
    "what": "a small encoder for guidedstyle that sees as VGG-19 to relu3_4 does, with Gram metrics",
    "input": "RGB 0..1, ImageNet mean and deviation",
}


def main() -> None:
    """Distil a teacher into a student's weights."""
    asked = parse_arguments()
    checkpoint = asked.out.with_suffix(".ckpt")
    with exit_on_error():
        training = prepare(asked)
        card = CARD | {"teacher": describe_teacher(asked.teacher)}
        if asked.resume:
            take_up(training, checkpoint)
    try:
        train(training, asked.out, checkpoint, card)
    except KeyboardInterrupt:
        print(f"interrupted at step {training.step}; --resume goes on from there")
        sys.exit(INTERRUPTED)
    finally:
        save_checkpoint(training, checkpoint)
        save_weights(training, asked.out, card)
    print(f"wrote {asked.out}")


def train(training: Training, out: Path, checkpoint: Path, card: dict[str, str]) -> None:
    """Train to the end, telling how it goes and saving now and then."""
    report = Report(training.step)
    for progress in training.run():
        report.add(progress, training.steps)
        if progress.step % SAVED_EVERY == 0:
            save_checkpoint(training, checkpoint)
            save_weights(training, out, card)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.distil", description="Train an encoder like lite.")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of images to learn from")
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights (safetensors)")
    parser.add_argument("--convention", choices=get_args(Convention), help="input of the teacher's weights")
    parser.add_argument("--out", type=Path, required=True, help="where the weights go; checkpoints beside them")
    parser.add_argument("--hold-out", nargs="*", default=[], help="parts of file names that are not looked at")
    parser.add_argument("--steps", type=whole_number, default=4200)
    parser.add_argument("--stills", type=whole_number, default=600, help="crops it is reduced on before training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint beside --out, to --steps in all"
    )
    return parser.parse_args()


def prepare(asked: argparse.Namespace) -> Training:
    """Make the student and everything it learns from."""
    if asked.out.suffix != ".safetensors":
        raise GuidedStyleError.of("--out", f"{asked.out} is no .safetensors file", "name one")
    device, files = choose_device(asked.device), find_images(asked.images, asked.hold_out)
    teacher, student = load_vgg19(asked.teacher, asked.convention), Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD)
    if not set(student.layers) <= set(teacher.layers):
        raise GuidedStyleError.of("--teacher", f"it ends before {list(student.layers)[-1]}", "name deeper weights")
    make_folder(asked.out.parent)
    crops = Crops(files, asked.seed)
    print(f"{len(files)} images", flush=True)
    shapes = {layer: (teacher.layers[layer].channels, student.layers[layer].channels) for layer in LITE.style_layers}
    heads: Heads = {layer: torch.zeros(shape) for layer, shape in shapes.items()}
    if not asked.resume:
        heads = reduce(student, teacher, crops.cut(asked.stills), asked.seed)
        print("reduced by least squares; training", flush=True)
    return Training(Pupil(student, heads), teacher, crops, asked.steps, device, choose_precision(device))


def describe_teacher(file: Path) -> str:
    """Name the teacher as its own file does, and by its hash."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if file.suffix != ".safetensors":
        return f"{file.name}, SHA-256 {digest}"
    with safe_open(file, "pt") as stored:
        return f"{(stored.metadata() or {}).get('source', file.name)}, SHA-256 {digest}"


def take_up(training: Training, checkpoint: Path) -> None:
    """Go on from a checkpoint; what it holds comes to the CPU first, where the pool lives."""
    try:
        training.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except (OSError, pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError) as error:
        rule = f"{checkpoint} is no checkpoint of such a training"
        raise GuidedStyleError.of("--resume", rule, "begin without --resume") from error


class Report:
    """Lines of progress, each the mean over the steps since the last."""

    def __init__(self, step: int) -> None:
        self.began, self.first = time.monotonic(), step
        self.rows: list[list[float]] = []
        layers = " ".join(f"{layer:>8}" for layer in LITE.style_layers)
        print(f"{'step':>6}  features {layers}  Grams {layers}  left", flush=True)

    def add(self, progress: Progress, steps: int) -> None:
        """Take in a step."""
        self.rows.append([*progress.features.values(), *progress.grams.values()])
        if progress.step % EVERY:
            return
        means = [f"{sum(column) / len(self.rows):8.4f}" for column in zip(*self.rows, strict=True)]
        self.rows, half = [], len(means) // 2
        left = (time.monotonic() - self.began) / (progress.step - self.first) * (steps - progress.step)
        features, grams = " ".join(means[:half]), " ".join(means[half:])
        print(f"{progress.step:6}           {features}        {grams}  {left / 60:.0f} min", flush=True)


def save_weights(training: Training, file: Path, card: dict[str, str]) -> None:
    """Write the averaged student's weights and metrics in half precision, with a card."""
    pupil = training.average
    state: dict[str, Tensor] = dict(pupil.student.state_dict())
    state |= {f"metric.{layer}": reduce_to_metric(head.detach().cpu()) for layer, head in pupil.heads.items()}
    card = card | {"training": f"{training.step} steps on crops of {len(training.crops.pictures)} images"}
    write_file(file, save({name: value.half().cpu().contiguous() for name, value in state.items()}, card))


if __name__ == "__main__":
    main()
