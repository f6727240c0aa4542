"""The commands. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.cli.commands import aid_app, mask_app
from guidedstyle.cli.evaluate import evaluate_app
from guidedstyle.cli.options import collect_settings
from guidedstyle.cli.train import train_app
from guidedstyle.errors import (
    BUG,
    CUT_OFF,
    OURS,
    USER_ERROR,
    GuidedStyleError,
    RenderFailedError,
    explain_fault,
    has_long_name,
)
from guidedstyle.types import Setting

if TYPE_CHECKING:
    from guidedstyle.cli.reporters import Verbosity


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Tell what the user can mend, without a traceback, and exit with 2."""
    try:
        _check_working_folder()
        yield
    except Exception as error:
        if not (fault := explain_fault(error)):
            raise
        told_before = isinstance(error, GuidedStyleError | PermissionError) or has_long_name(error)
        told_before &= not isinstance(error, RenderFailedError)
        print(f"{fault}\n{_count(fault)}; nothing was written." if told_before else fault, file=sys.stderr)
        sys.exit(USER_ERROR)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries would end the program without a word on why
        raise GuidedStyleError.of("the working folder", "it was removed", "change to another one (cd)") from None


def _count(error: GuidedStyleError) -> str:
    return f"{len(error.problems)} {'error' if len(error.problems) == 1 else 'errors'}"


app = typer.Typer(
    name="guidedstyle",
    help="Paint where each style goes, write down how strongly, and get the image.",
    epilog="Start with: guidedstyle init my-folder",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)

WATCH = "guidedstyle watch"
QUICK = (Setting("size", 384, WATCH), Setting("solver.steps", 60, WATCH))

app.add_typer(mask_app, name="mask")
app.add_typer(aid_app)
app.add_typer(evaluate_app)
app.add_typer(train_app, name="train")


@app.command("render")
def render_command(
    recipes: options.RecipeFiles,
    output: options.Output = None,
    contents: options.Contents = None,
    size: options.Size = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    tile: options.Tile = "auto",
    max_memory: options.MaxMemory = None,
    encoder: options.Encoder = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    resume: options.Resume = False,
    preview_every: options.PreviewEvery = "5s",
    checkpoint_every: options.CheckpointEvery = "30s",
    save_every: options.SaveEvery = None,
    timelapse: options.Timelapse = None,
    report: options.Report = None,
    json_progress: options.JsonProgress = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Render recipes. Ctrl-C finishes the step and saves the image; --resume goes on from there.

    Example: guidedstyle render recipe.yaml --size 512 --set regions.sky.strength=2
    """
    from guidedstyle.app.jobs import leaving_no_empty, make_jobs
    from guidedstyle.device.environment import read_limits
    from guidedstyle.masks.files import MaskStore
    from guidedstyle.run.options import read_render_options

    given = collect_settings(settings, size, steps, seed, encoder)
    limits = read_limits(tile, max_memory)
    render_options = read_render_options(preview_every, checkpoint_every, save_every, timelapse, report, resume)
    masks = MaskStore()
    with leaving_no_empty(output):
        jobs = make_jobs(recipes, contents or (), output, given, sandbox, masks)
        if len(jobs) > 1 and (timelapse or report):
            rule = f"there are {len(jobs)} images, and a film or a report is of one"
            raise GuidedStyleError.of("render", rule, "leave --timelapse and --report out, or name one recipe")
        from guidedstyle.app.render import Renderer  # errors are reported before torch is loaded
        from guidedstyle.cli.commands import run_jobs

        verbosity: Verbosity = "quiet" if quiet else "json" if json_progress else "bar"
        raise typer.Exit(
            run_jobs(jobs, Renderer(device, limits, masks), render_options, verbosity=verbosity, dry_run=dry_run)
        )


@app.command("sweep")
def sweep_command(
    recipe: options.RecipeFile,
    vary: Annotated[list[str], typer.Option(help="KEY=A,B,C; several make a grid, the last from left to right.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder; default: the recipe's name + -sweep.")
    ] = None,
    size: options.Size = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    tile: options.Tile = "auto",
    max_memory: options.MaxMemory = None,
    encoder: options.Encoder = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the variants and stop.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Render a recipe over a grid of values, with a contact sheet and a table. Again: only what is missing.

    Example: guidedstyle sweep recipe.yaml --vary styles.ink.scale=0.5,1,2 --vary content_strength=0.5,2
    """
    from guidedstyle.app.variants import check_variants, make_variants, parse_axis
    from guidedstyle.device.environment import read_limits
    from guidedstyle.io.files import check_folder_path
    from guidedstyle.io.paths import name_sweep
    from guidedstyle.masks.files import MaskStore

    limits = read_limits(tile, max_memory)
    axes, folder = [parse_axis(axis) for axis in vary], output or name_sweep(recipe)
    given = collect_settings(settings, size, steps, seed, encoder)
    check_folder_path(folder, "--output")
    variants = make_variants(recipe, axes, given, folder, sandbox)
    masks = MaskStore()
    check_variants(variants, masks)
    if dry_run:
        typer.echo("\n".join(variant.label for variant in variants))
        return
    from guidedstyle.app.render import Renderer
    from guidedstyle.cli.commands import run_sweep

    raise typer.Exit(run_sweep(variants, len(axes[-1][1]), folder, Renderer(device, limits, masks), quiet=quiet))


@app.command("watch")
def watch_command(
    recipe: options.RecipeFile,
    size: options.Size = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    encoder: options.Encoder = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
) -> None:
    """Render a quick preview (384 px, 60 steps), and another whenever the recipe, a mask or an image is saved.

    Ctrl-C ends it. Example: guidedstyle watch recipe.yaml
    """
    from guidedstyle.recipe.loading.loader import check_settings

    if recipe.exists() and not recipe.is_file():  # one that is not there yet is waited for
        raise GuidedStyleError.of(recipe, "it is no file", "name a recipe (.yaml)")
    given = [*QUICK, *collect_settings(settings, size, steps, seed, encoder)]  # the last one of a key counts
    check_settings(recipe, given)
    from guidedstyle.app.render import Renderer
    from guidedstyle.app.watch import Watcher
    from guidedstyle.cli.reporters import WatchReporter
    from guidedstyle.run.interrupts import interruptible

    reporter = WatchReporter()
    with interruptible(reporter.noted) as stop:
        Watcher(recipe, given, Renderer(device), sandbox=sandbox, reporter=reporter, stop=stop).run()


@app.command("compare")
def compare_command(
    pictures: Annotated[
        list[Path], typer.Argument(readable=False, help="Two images or more: renders, and any others.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet to write: an image.")] = Path("compare.png"),
    as_json: options.AsJson = False,
) -> None:
    """Lay images side by side, and tell what differs in their recipes, files, losses and times.

    Example: guidedstyle compare photo.jpg first.png second.png -o sheet.png
    """
    from guidedstyle.cli.commands import run_compare

    raise typer.Exit(run_compare(pictures, output, as_json))


def main() -> None:
    """Run the command line and exit: 0 done, 1 our bug, 2 the user's input or machine, 130 stop, 141 unread."""
    try:
        with exit_on_error():
            app()
    except SystemExit as end:  # typer makes it of a reader that has left
        sys.exit(CUT_OFF if isinstance(end.__context__, BrokenPipeError) else end.code)
    except Exception:
        traceback.print_exc()
        print(f"\n{OURS}", file=sys.stderr)
        sys.exit(BUG)
