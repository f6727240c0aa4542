"""Commands that train networks, and one that exports them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import typer

from guidedstyle.cli import options
from guidedstyle.errors import ExitCode

PRINT_EVERY = 25  # steps
COLUMN = 8  # characters, at least

train_app = typer.Typer(no_args_is_help=True)
networks_app = typer.Typer()

Images = Annotated[list[Path], typer.Option(help="A folder of images to train on; can be repeated.")]
HoldOut = Annotated[
    list[str] | None, typer.Option(help="Leave out images with this text in their names; can be repeated.")
]
TrainingSteps = Annotated[
    int | None,
    typer.Option(parser=options.whole_number("--steps", 1), metavar="NUMBER", help="Training steps in all."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint next to the file to write.")]


@train_app.callback()
def train() -> None:
    """Train networks of your own.

    Example: guidedstyle train distil --images photos --teacher vgg19.pth --out mine.safetensors
    """


@train_app.command("distil")
def distil_command(
    images: Images,
    teacher: options.Teacher,
    out: Annotated[Path, typer.Option(help="The weights to write (.safetensors); checkpoints go next to them.")],
    convention: options.TeacherConvention = None,
    hold_out: HoldOut = None,
    steps: TrainingSteps = None,
    stills: Annotated[
        int, typer.Option(parser=options.whole_number("--stills", 1), metavar="NUMBER", help="Crops for the reduction.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the random crops.")] = 0,
    device: options.Device = "auto",
    resume: Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train an encoder like lite on images of your own, to replace VGG-19. Ctrl-C saves a checkpoint.

    Example: guidedstyle train distil --images photos --teacher vgg19.pth --out mine.safetensors
    """
    from guidedstyle.training.descent import name_checkpoint, save_checkpoint
    from guidedstyle.training.distil import CARD, SAVE_EVERY, STEPS, describe_teacher, prepare_training, save_weights

    training = prepare_training(
        images,
        teacher,
        out,
        convention=options.read_convention(convention),
        hold_out=hold_out or (),
        steps=steps or STEPS,
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

    heading = f"{len(training.crops.images)} images; errors of features, and of Gram matrices (G)"
    run_training(training, save, every=SAVE_EVERY, out=out, heading=heading)
    typer.echo(f"Wrote {out}.")


@train_app.command("fast")
def fast_command(
    recipe: options.RecipeFile,
    images: Images,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The network to write (.safetensors); its files go next to it.")
    ],
    base: Annotated[Path | None, typer.Option(help="Begin with the weights of this network, of any styles.")] = None,
    add_to: Annotated[
        Path | None, typer.Option(help="Add the recipe's new styles to this network, whose other styles stay.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=options.read_number("--minutes"), metavar="NUMBER", help="Train for about so many minutes."
        ),
    ] = None,
    steps: TrainingSteps = None,
    width: Annotated[
        int | None,
        typer.Option(
            parser=options.whole_number("--width", 4, 128),
            metavar="NUMBER",
            help="Channels of the first layer; default: 16, half of what was published.",
        ),
    ] = None,
    hold_out: HoldOut = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and regions.")] = 0,
    size: options.Size = None,
    encoder: options.Encoder = None,
    device: options.Device = "auto",
    settings: options.Settings = None,
    resume: Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a network that paints the styles of a recipe in one pass. Ctrl-C saves a checkpoint.

    Example: guidedstyle train fast recipe.yaml --images photos --minutes 60 -o styles.safetensors
    """
    from guidedstyle.device.free_memory import keep_freed_memory
    from guidedstyle.training.feedforward import SAVE_EVERY, STEPS, name_sheet, prepare_run

    keep_freed_memory()
    run = prepare_run(
        recipe,
        images,
        output,
        settings=options.collect_settings(settings, size=size, encoder=encoder),
        hold_out=hold_out or (),
        base=base,
        add_to=add_to,
        width=width,
        steps=steps or STEPS,
        minutes=minutes,
        seed=seed,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )
    for note in run.notes:
        typer.echo(f"warning: {note}", err=True)
    heading = f"{run.card.images} images; styles: {', '.join(run.card.styles)}"
    run_training(run.training, run.save, every=SAVE_EVERY, out=output, heading=heading)
    typer.echo(f"{output}  {name_sheet(output)}")


class Progress(Protocol):
    """A step that was taken, and its losses or errors by name."""

    @property
    def step(self) -> int:
        """The number of the step, from 1."""

    @property
    def values(self) -> Mapping[str, float]:
        """What is printed of it."""


class Trainable(Protocol):
    """A training run."""

    step: int

    @property
    def steps(self) -> int:
        """The number of steps in all."""

    def run(self) -> Iterator[Progress]:
        """Train to the last step."""


def run_training(training: Trainable, save: Callable[[], None], *, every: int, out: Path, heading: str) -> None:
    """Train to the end and save `every` so many steps; after Ctrl-C save, and exit.

    Raises GuidedStyleError where another process trains into the same file.
    """
    from guidedstyle.io.files import lock_output
    from guidedstyle.run.interrupts import interruptible

    with lock_output(out), interruptible(lambda text: typer.echo(text, err=True)) as stop:
        typer.echo(heading)
        log = TrainingLog(training)
        for progress in training.run():
            log.add(progress)
            if stop.is_set() or progress.step == training.steps:
                break
            if progress.step % every == 0:
                save()
        save()
    if stop.is_set():
        typer.echo(f"Interrupted at step {training.step}. --resume continues from there.")
        raise typer.Exit(ExitCode.INTERRUPTED)


class TrainingLog:
    """Print a line every few steps: the means since the last line, and the time left."""

    def __init__(self, training: Trainable) -> None:
        self.training, self.first_step, self.started = training, training.step, time.monotonic()
        self.rows: list[Sequence[float]] = []

    def add(self, progress: Progress) -> None:
        """Add a step."""
        names = [f"{name:>{COLUMN}}" for name in progress.values]
        if not self.rows and progress.step == self.first_step + 1:
            typer.echo(f"{'step':>6}  {'  '.join(names)}  left")
        self.rows.append([*progress.values.values()])
        if progress.step % PRINT_EVERY:
            return
        means = [sum(column) / len(self.rows) for column in zip(*self.rows, strict=True)]
        numbers = "  ".join(f"{mean:{len(name)}.4f}" for name, mean in zip(names, means, strict=True))
        pace = (time.monotonic() - self.started) / (progress.step - self.first_step)
        self.rows = []
        typer.echo(f"{progress.step:6}  {numbers}  {pace * (self.training.steps - progress.step) / 60:.0f} min")


@networks_app.command("export", rich_help_panel=options.RESEARCH)
def export_command(
    network: Annotated[Path, typer.Argument(readable=False, help="A network (.safetensors) of `train fast`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write (.onnx).")],
    overwrite: options.Overwrite = False,
) -> None:
    """Write a network as ONNX, to paint without torch: on a phone, in a browser, in another program.

    Example: guidedstyle export styles.safetensors -o styles.onnx
    """
    from guidedstyle.networks.export import export_network

    export_network(network, output, overwrite=overwrite)
    typer.echo(output)
