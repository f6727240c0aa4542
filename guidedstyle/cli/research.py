"""Commands for research: train an encoder, compare encoders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.errors import ExitCode, GuidedStyleError

if TYPE_CHECKING:
    from guidedstyle.training.distil import Progress, Training

PRINT_EVERY = 25  # steps

train_app = typer.Typer(no_args_is_help=True)


@train_app.callback()
def train() -> None:
    """Train networks of your own.

    Example: guidedstyle train distil --images photos --teacher vgg19.pth --out mine.safetensors
    """  # a callback keeps `distil` a sub-command while it is the only one


@train_app.command("distil")
def distil_command(
    images: Annotated[list[Path], typer.Option(help="A folder of images to train on; can be repeated.")],
    teacher: options.Teacher,
    out: Annotated[Path, typer.Option(help="The weights to write (.safetensors); checkpoints go next to them.")],
    convention: options.TeacherConvention = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Leave out images with this text in their names; can be repeated.")
    ] = None,
    steps: Annotated[
        int, typer.Option(parser=options.whole_number("--steps", 1), metavar="NUMBER", help="Training steps in all.")
    ] = 4200,
    stills: Annotated[
        int, typer.Option(parser=options.whole_number("--stills", 1), metavar="NUMBER", help="Crops for the reduction.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the random crops.")] = 0,
    device: options.Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint next to --out.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train an encoder like lite on images of your own, to replace VGG-19. Ctrl-C saves a checkpoint.

    Example: guidedstyle train distil --images photos --teacher vgg19.pth --out mine.safetensors
    """
    from guidedstyle.run.interrupts import interruptible
    from guidedstyle.training.distil import (
        CARD,
        SAVE_EVERY,
        describe_teacher,
        name_checkpoint,
        prepare_training,
        save_checkpoint,
        save_weights,
    )

    training = prepare_training(
        images,
        teacher,
        out,
        convention=options.read_convention(convention),
        hold_out=hold_out or (),
        steps=steps,
        stills=stills,
        seed=seed,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )
    card = CARD | {"teacher": describe_teacher(teacher)}

    def save() -> None:
        save_checkpoint(training, name_checkpoint(out))
        save_weights(training, out, card)

    with interruptible(lambda text: typer.echo(text, err=True)) as stop:
        log = TrainingLog(training)
        for progress in training.run():
            log.add(progress)
            if stop.is_set():
                break
            if progress.step % SAVE_EVERY == 0:
                save()
        save()
    if stop.is_set():
        typer.echo(f"Interrupted at step {training.step}. --resume continues from there.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    typer.echo(f"Wrote {out}.")


class TrainingLog:
    """Print a line every few steps: the mean errors since the last line, and the time left."""

    def __init__(self, training: Training) -> None:
        self.steps, self.first_step, self.started = training.steps, training.step, time.monotonic()
        self.rows: list[list[float]] = []
        layers = " ".join(f"{layer:>8}" for layer in training.student.heads)
        typer.echo(f"{len(training.crops.images)} images\n{'step':>6}  features {layers}  Grams {layers}  left")

    def add(self, progress: Progress) -> None:
        """Add the errors of a step."""
        self.rows.append([*progress.features.values(), *progress.grams.values()])
        if progress.step % PRINT_EVERY:
            return
        means = [f"{sum(column) / len(self.rows):8.4f}" for column in zip(*self.rows, strict=True)]
        self.rows, half = [], len(means) // 2
        pace = (time.monotonic() - self.started) / (progress.step - self.first_step)
        features, grams = " ".join(means[:half]), " ".join(means[half:])
        left = f"{pace * (self.steps - progress.step) / 60:.0f} min"
        typer.echo(f"{progress.step:6}           {features}        {grams}  {left}")


evaluate_app = typer.Typer()


@evaluate_app.command("evaluate", rich_help_panel=options.RESEARCH)
def evaluate_command(
    teacher: options.Teacher,
    out: Annotated[Path, typer.Option(help="The folder for the images and the contact sheet.")],
    recipes: Annotated[
        list[Path] | None, typer.Argument(metavar="RECIPE...", readable=False, help="Recipes, with regions or not.")
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTENT,STYLE", help="A content and a style image; can be repeated."),
    ] = None,
    convention: options.TeacherConvention = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Weights that `train distil` wrote; default: the embedded lite.")
    ] = None,
    second_judge: options.SecondJudge = None,
    second_convention: options.SecondConvention = None,
    size: Annotated[
        int, typer.Option(parser=options.whole_number("--size", 1), metavar="PX", help="Longest side in px.")
    ] = 256,
    steps: Annotated[
        int, typer.Option(parser=options.whole_number("--steps", 1), metavar="NUMBER", help="Steps.")
    ] = 80,
    overwrite: options.Overwrite = False,
) -> None:
    """Compare an encoder with VGG-19: render recipes or pairs with both and print a table of ratios.

    Example: guidedstyle evaluate --teacher vgg19.pth --pair photo.jpg,ink.jpg --out new
    """
    if not recipes and not pair:
        rule, remedy = "there is nothing to compare on", "give a recipe, or --pair CONTENT,STYLE"
        raise GuidedStyleError.of("evaluate", rule, remedy)
    input_of_teacher = options.read_convention(convention)
    input_of_second = options.read_convention(second_convention, options.SECOND)
    from guidedstyle.device.free_memory import keep_freed_memory
    from guidedstyle.encoders.weights import load_by_name
    from guidedstyle.evaluation.comparison import (
        check_plans,
        compare_encoders,
        describe,
        list_columns,
        list_outputs,
        open_scenes,
        summarise,
    )
    from guidedstyle.evaluation.second_judge import SecondJudge
    from guidedstyle.io.files import make_folder
    from guidedstyle.io.ownership import protect

    keep_freed_memory()
    scenes = open_scenes(recipes or (), [read_pair(text) for text in pair or ()], size=size)
    reference, student = (
        load_by_name("vgg19", teacher, input_of_teacher),
        load_by_name("lite", encoder),
    )
    second = SecondJudge(load_by_name("squeezenet", second_judge, input_of_second)) if second_judge else None
    check_plans(scenes, [reference, student], second)
    protect(list_outputs(scenes, out), overwrite=overwrite)
    make_folder(out)
    print_row(columns := list_columns(second))
    print_row(["---"] * len(columns))
    comparisons = []
    for comparison in compare_encoders(
        scenes, reference, student, steps=steps, folder=out, overwrite=overwrite, second=second
    ):
        comparisons.append(comparison)
        print_row(describe(comparison))
    print_row(summarise(comparisons))


def read_pair(text: str) -> tuple[Path, Path]:
    """Read a pair of files; raises GuidedStyleError unless there is one comma."""
    if text.count(",") != 1:
        raise GuidedStyleError.of("--pair", f"{text!r} is not two files", "write --pair CONTENT,STYLE")
    content, style = text.split(",")
    return Path(content), Path(style)


def print_row(cells: Sequence[str]) -> None:
    """Print a row of a Markdown table."""
    first, *others = cells
    typer.echo(f"| {first:40} | " + " | ".join(f"{cell:>8}" for cell in others) + " |")
