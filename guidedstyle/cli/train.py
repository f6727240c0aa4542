"""Commands that train networks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.errors import ExitCode

if TYPE_CHECKING:
    from guidedstyle.training import feedforward
    from guidedstyle.training.distil import Progress, Training

PRINT_EVERY = 25  # steps

train_app = typer.Typer(no_args_is_help=True)


@train_app.callback()
def train() -> None:
    """Train networks of your own.

    Example: guidedstyle train distil --images photos --teacher vgg19.pth --out mine.safetensors
    """


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
    from guidedstyle.training.descent import name_checkpoint, save_checkpoint
    from guidedstyle.training.distil import CARD, SAVE_EVERY, describe_teacher, prepare_training, save_weights

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


@train_app.command("fast")
def fast_command(
    recipe: options.RecipeFile,
    images: Annotated[list[Path], typer.Option(help="A folder of photographs to train on; can be repeated.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The network to write (.safetensors); its files go next to it.")
    ],
    base: Annotated[
        Path | None, typer.Option(help="Begin with this network, of any styles: the same quality in less time.")
    ] = None,
    add_to: Annotated[
        Path | None, typer.Option(help="Add the recipe's new styles to this network, whose other styles stay.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            parser=options.read_number("--minutes"), metavar="NUMBER", help="Train for about so many minutes."
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(parser=options.whole_number("--steps", 1), metavar="NUMBER", help="Training steps in all.")
    ] = 16_000,
    width: Annotated[
        int | None,
        typer.Option(
            parser=options.whole_number("--width", 4, 128),
            metavar="NUMBER",
            help="Channels of the first layer; default: 16, half of what was published.",
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Leave out images with this text in their names; can be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and regions.")] = 0,
    size: options.Size = None,
    encoder: options.Encoder = None,
    device: options.Device = "auto",
    settings: options.Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint next to the output.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a network that paints the styles of a recipe in one pass. Ctrl-C saves a checkpoint.

    Example: guidedstyle train fast recipe.yaml --images photos --minutes 60 -o styles.safetensors
    """
    from guidedstyle.device.free_memory import keep_freed_memory
    from guidedstyle.run.interrupts import interruptible
    from guidedstyle.training.feedforward import SAVE_EVERY, name_sheet, prepare_run

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
        steps=steps,
        minutes=minutes,
        seed=seed,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )
    for note in run.notes:
        typer.echo(f"warning: {note}", err=True)
    with interruptible(lambda text: typer.echo(text, err=True)) as stop:
        log = FastLog(run)
        for progress in run.training.run():
            log.add(progress)
            if stop.is_set():
                break
            if progress.step % SAVE_EVERY == 0:
                run.save()
        run.save()
    if stop.is_set():
        typer.echo(f"Interrupted at step {run.training.step}. --resume continues from there.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    typer.echo(f"{output}  {name_sheet(output)}")


networks_app = typer.Typer()


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
    typer.echo(f"{output}")


class FastLog:
    """Print a line every few steps: the mean losses since the last line, and the time left."""

    def __init__(self, run: feedforward.Run) -> None:
        self.training, self.first_step, self.started = run.training, run.training.step, time.monotonic()
        self.rows: list[tuple[float, float, float]] = []
        names = ", ".join(run.training.network.styles)
        typer.echo(f"{run.card.images} images; styles: {names}\n{'step':>6}    loss   style  content  left")

    def add(self, progress: feedforward.Progress) -> None:
        """Add the losses of a step."""
        self.rows.append((progress.loss, progress.style, progress.content))
        if progress.step % PRINT_EVERY:
            return
        loss, style, content = (sum(column) / len(self.rows) for column in zip(*self.rows, strict=True))
        self.rows = []
        pace = (time.monotonic() - self.started) / (progress.step - self.first_step)
        left = f"{pace * (self.training.steps - progress.step) / 60:.0f} min"
        typer.echo(f"{progress.step:6}  {loss:6.3f}  {style:6.4f}  {content:7.4f}  {left}")
