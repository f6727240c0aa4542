"""The command line of the distillation."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from guidedstyle.distil.crops import Crops, find_pictures
from guidedstyle.distil.reduction import Heads, reduce, reduce_to_metric
from guidedstyle.distil.training import Progress, Pupil, Training, save_checkpoint
from guidedstyle.encoder import IMAGENET_MEAN, IMAGENET_STD, LITE, Encoder
from guidedstyle.errors import GuidedStyleError, exit_on_mistake
from guidedstyle.plan import choose_device, choose_precision
from guidedstyle.weights import load_vgg19

EVERY = 25  # steps between two lines of progress
SAVED_EVERY = 200  # steps between two checkpoints
CARD = {
    "what": "a small encoder for guidedstyle that sees as VGG-19 to relu3_4 does, with Gram metrics",
    "teacher": "VGG-19 by Karen Simonyan and Andrew Zisserman, 2014 (arXiv:1409.1556), CC BY 4.0",
    "input": "RGB 0..1, ImageNet mean and deviation",
}


def main() -> None:
    """Distil a teacher into a student's weights."""
    asked = parse_arguments()
    checkpoint = asked.out.with_suffix(".ckpt")
    with exit_on_mistake():
        training = prepare(asked)
        if asked.resume:
            take_up(training, checkpoint)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    report = Report(training.step)
    for progress in training.run():
        report.add(progress, training.steps)
        if progress.step % SAVED_EVERY == 0:
            save_checkpoint(training, checkpoint)
            save_weights(training, asked.out)
    save_weights(training, asked.out)
    print(f"wrote {asked.out}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.distil", description="Train an encoder like lite.")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of pictures to learn from")
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights (safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="where the weights go; checkpoints beside them")
    parser.add_argument("--hold-out", nargs="*", default=[], help="parts of file names that are not looked at")
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--stills", type=int, default=600, help="crops that it is reduced on before the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint beside --out, to --steps in all"
    )
    return parser.parse_args()


def prepare(asked: argparse.Namespace) -> Training:
    """Make the student and everything it learns from."""
    files = find_pictures(asked.images, asked.hold_out)
    print(f"{len(files)} pictures, {len(asked.hold_out)} names held out")
    teacher, student = load_vgg19(asked.teacher), Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD)
    crops = Crops(files, asked.seed)
    shapes = {layer: (teacher.layers[layer].channels, student.layers[layer].channels) for layer in LITE.style_layers}
    heads: Heads = {layer: torch.zeros(shape) for layer, shape in shapes.items()}
    if not asked.resume:
        heads = reduce(student, teacher, crops.cut(asked.stills), asked.seed)
        print("reduced by least squares; training", flush=True)
    device = choose_device(asked.device)
    return Training(Pupil(student, heads), teacher, crops, asked.steps, device, choose_precision(device))


def take_up(training: Training, checkpoint: Path) -> None:
    """Go on from a checkpoint."""
    if not checkpoint.is_file():
        raise GuidedStyleError.of("--resume", f"there is no checkpoint {checkpoint}", "begin without --resume")
    training.load_state_dict(torch.load(checkpoint, map_location=training.device, weights_only=False))


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


def save_weights(training: Training, file: Path) -> None:
    """Write the averaged student's weights and metrics in half precision, with a card."""
    pupil = training.average
    state: dict[str, Tensor] = dict(pupil.student.state_dict())
    state |= {f"metric.{layer}": reduce_to_metric(head.detach().cpu()) for layer, head in pupil.heads.items()}
    card = CARD | {"training": f"{training.step} steps on crops of {len(training.crops.pictures)} pictures"}
    save_file({name: value.half().cpu().contiguous() for name, value in state.items()}, file, card)


if __name__ == "__main__":
    main()
