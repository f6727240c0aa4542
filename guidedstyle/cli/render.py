"""Commands that render: quick, render, sweep, watch. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.cli.options import QUICK, QUICK_COLOURS, QUICK_SIZE, QUICK_STEPS, collect_settings
from guidedstyle.errors import ExitCode, GuidedStyleError, find_worst

if TYPE_CHECKING:
    from guidedstyle.app.jobs import Failure, Job
    from guidedstyle.app.render import Renderer
    from guidedstyle.app.sweep import Sweep
    from guidedstyle.cli.terminal.reporters import Verbosity
    from guidedstyle.results.result import Result
    from guidedstyle.run.options import RenderOptions

render_app = typer.Typer()


@render_app.command("quick", rich_help_panel=options.FIRST)
def quick_command(
    photo: options.Photo,
    paintings: Annotated[
        list[Path], typer.Argument(metavar="PAINTING...", readable=False, help="Style images; several are mixed.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The image to write, or a folder; default: a new name here."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            parser=options.whole_number("--size"), metavar="PX", help="Longest side in px; default: up to 640."
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            parser=options.read_number("--strength"), metavar="NUMBER", help="Above 1 more of the painting, below less."
        ),
    ] = None,
    colour: Annotated[
        str | None,
        typer.Option(
            "--colour",
            "--color",
            metavar="|".join(QUICK_COLOURS),
            help="Colours: style: the painting's; match: fitted to the photo's; keep: the photo's own.",
            autocompletion=options.offer(*QUICK_COLOURS),
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(readable=False, help="Paint only where this image is white; the rest stays.")
    ] = None,
    steps: options.Steps = None,
    device: options.Device = "auto",
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Paint a photo in the style of a painting, and leave a recipe next to the image to go on with.

    Example: guidedstyle quick photo.jpg painting.jpg -o out.png
    """
    from guidedstyle.app.jobs import Order, make_jobs, protect_outputs
    from guidedstyle.app.starters.projects import make_first_recipe
    from guidedstyle.masks.files import MaskStore
    from guidedstyle.run.options import read_render_options

    given = options.collect_quick_settings(size=size, steps=steps, strength=strength, colour=colour)
    recipe = make_first_recipe(photo, paintings, output=output, mask=mask, settings=given, resume=resume)
    render_options = read_render_options(preview_every="5s", checkpoint_every="30s", resume=resume, overwrite=overwrite)
    with recipe.writing(overwrite=overwrite) as file:
        masks = MaskStore()
        jobs = protect_outputs(make_jobs([Order(file)], recipe.settings, masks=masks), render_options)
        from guidedstyle.app.render import Renderer  # errors are reported before torch is loaded

        renderer = Renderer(device, masks=masks)
        code = run_jobs(jobs, renderer, render_options, verbosity="quiet" if quiet else "bar", dry_run=False)
    if not quiet:
        typer.echo(f"{file}  the recipe: guidedstyle watch {shlex.quote(str(file))} shows every change to it")
    raise typer.Exit(code)


@render_app.command("render", rich_help_panel=options.RENDER)
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
    draft: options.Draft = False,
    fast: options.Fast = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    preview_every: options.PreviewEvery = "5s",
    checkpoint_every: options.CheckpointEvery = "30s",
    save_every: options.SaveEvery = None,
    profile: options.Profile = None,
    depth: options.Depth = None,
    quality: options.Quality = None,
    subsampling: options.Subsampled = None,
    keep_gps: options.KeepGPS = False,
    timelapse: options.Timelapse = None,
    report: options.Report = None,
    json_progress: options.JsonProgress = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Render recipes. Ctrl-C finishes the step and saves the image; --resume continues from there.

    Example: guidedstyle render recipe.yaml --size 512 --set strength=2
    """
    from guidedstyle.app.jobs import list_orders, make_jobs, protect_outputs
    from guidedstyle.device.environment import read_limits
    from guidedstyle.io.files import check_folder_path
    from guidedstyle.masks.files import MaskStore
    from guidedstyle.run.options import read_render_options

    save = {"profile": profile, "depth": depth, "quality": quality, "subsampling": subsampling, "keep-gps": keep_gps}
    given = collect_settings(
        settings, size=size, steps=steps, seed=seed, encoder=encoder, draft=draft, fast=fast, save=save
    )
    limits, masks = read_limits(tile, max_memory), MaskStore()
    render_options = read_render_options(
        preview_every=preview_every,
        checkpoint_every=checkpoint_every,
        save_every=save_every,
        timelapse=timelapse,
        report=report,
        resume=resume,
        overwrite=overwrite,
    )
    orders = list_orders(recipes, contents or (), output)
    if draft and not output:  # the finished image and its checkpoint stay
        orders = [replace(order, output=(order.output or order.recipe).with_suffix(".draft.png")) for order in orders]
    if output and orders[0].output != output:  # it is a folder
        check_folder_path(output, "--output")
    jobs = protect_outputs(make_jobs(orders, given, sandbox=sandbox, masks=masks), render_options)
    if len(jobs) > 1 and (timelapse or report):
        rule = f"there are {len(jobs)} images, and a time-lapse or a report shows one"
        raise GuidedStyleError.of("render", rule, "leave --timelapse and --report out, or name one recipe")
    from guidedstyle.app.render import Renderer  # errors are reported before torch is loaded

    verbosity: Verbosity = "quiet" if quiet else "json" if json_progress else "bar"
    renderer = Renderer(device, limits, masks)
    raise typer.Exit(run_jobs(jobs, renderer, render_options, verbosity=verbosity, dry_run=dry_run))


def run_jobs(
    jobs: Sequence[Job | Failure],
    renderer: Renderer,
    render_options: RenderOptions,
    *,
    verbosity: Verbosity,
    dry_run: bool,
) -> ExitCode:
    """Render jobs, or only plan them, and return the exit code; a single one raises GuidedStyleError."""
    from guidedstyle.app.jobs import Job
    from guidedstyle.app.render import attempt_jobs, find_exit_code, render_job, sketch_job
    from guidedstyle.cli.terminal.console import print_outcomes
    from guidedstyle.cli.terminal.reporters import TextReporter, choose_reporter, suggesting_next_steps
    from guidedstyle.device.distributed import join_processes
    from guidedstyle.run.interrupts import interruptible

    reporter = choose_reporter(verbosity)
    with join_processes(), interruptible(reporter.noted) as stop:

        def run(job: Job) -> Result | None:
            if dry_run:
                sketch_job(job, renderer, reporter)
                return None
            with suggesting_next_steps(reporter, job.reading.document.source):
                return render_job(job, renderer, options=render_options, reporter=reporter, stop=stop)

        if len(jobs) == 1 and isinstance(jobs[0], Job):
            return find_exit_code(run(jobs[0]))
        codes = attempt_jobs(jobs, run, reporter=reporter, stop=stop)
        if isinstance(reporter, TextReporter) and not dry_run:
            print_outcomes([job.name for job in jobs], codes)
        return find_worst(codes)


@render_app.command("sweep", rich_help_panel=options.RENDER)
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
    draft: options.Draft = False,
    fast: options.Fast = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    overwrite: options.Overwrite = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the variants and stop.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Render a recipe over a grid of values, with a contact sheet and a table. Run again, it renders missing ones.

    Example: guidedstyle sweep recipe.yaml --vary strength=0.5,1,2
    """
    from guidedstyle.app.variants import check_variants, make_variants, parse_axis, protect_outputs
    from guidedstyle.cli.terminal.console import print_time
    from guidedstyle.device.environment import read_limits
    from guidedstyle.io.files import check_folder_path
    from guidedstyle.io.paths import SHEET, TABLE, name_sweep
    from guidedstyle.masks.files import MaskStore
    from guidedstyle.run.speeds import estimate_works

    limits, masks = read_limits(tile, max_memory), MaskStore()
    axes, folder = [parse_axis(axis) for axis in vary], output or name_sweep(recipe, draft=draft)
    given = collect_settings(settings, size=size, steps=steps, seed=seed, encoder=encoder, draft=draft, fast=fast)
    check_folder_path(folder, "--output")
    variants = make_variants(recipe, axes, given, folder=folder, sandbox=sandbox)
    works = check_variants(variants, masks)
    if not overwrite:
        protect_outputs(variants, folder)
    if dry_run:
        typer.echo("\n".join(variant.label for variant in variants))
        print_time(estimate_works(works), f"{len(works)} of {len(variants)} to render, ")
        return
    from guidedstyle.app.render import Renderer
    from guidedstyle.app.sweep import Sweep
    from guidedstyle.cli.terminal.reporters import QuietReporter, SweepReporter

    reporter = QuietReporter() if quiet else SweepReporter()
    renderer = Renderer(device, limits, masks)
    sweep = Sweep(
        variants,
        columns=len(axes[-1][1]),
        folder=folder,
        renderer=renderer,
        reporter=reporter,
        overwrite=overwrite,
    )
    code = run_sweep(sweep)
    if not code and not quiet:
        typer.echo(f"{folder / SHEET}  {folder / TABLE}")
    raise typer.Exit(code)


def run_sweep(sweep: Sweep) -> ExitCode:
    """Plan and render a sweep, and return the exit code."""
    from guidedstyle.io.files import make_folder
    from guidedstyle.run.interrupts import interruptible

    sweep.plan()
    make_folder(sweep.folder, "--output")
    with interruptible(sweep.reporter.noted) as stop:
        return find_worst(sweep.run(stop))


@render_app.command(
    "watch",
    rich_help_panel=options.RENDER,
    help=f"Render a quick preview (at most {QUICK_SIZE} px, {QUICK_STEPS} steps), and another whenever the recipe, a "
    "mask or an image is saved. Ctrl-C ends it.\n\nExample: guidedstyle watch recipe.yaml",
)
def watch_command(
    recipe: options.RecipeFile,
    size: options.Size = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    encoder: options.Encoder = None,
    fast: options.Fast = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Render a preview whenever a file is saved."""
    from guidedstyle.recipe.loading.loader import check_settings

    if recipe.exists() and not recipe.is_file():  # watch waits for a recipe that does not exist yet
        raise GuidedStyleError.of(recipe, "it is not a file", "name a recipe (.yaml)")
    given = collect_settings(settings, size=size, steps=steps, seed=seed, encoder=encoder, fast=fast)
    check_settings(recipe, given)
    from guidedstyle.app.render import Renderer
    from guidedstyle.app.watch import Watcher
    from guidedstyle.cli.terminal.reporters import WatchReporter
    from guidedstyle.run.interrupts import interruptible

    reporter = WatchReporter()
    with interruptible(reporter.noted) as stop:
        watcher = Watcher(
            recipe,
            given,
            Renderer(device),
            limits=QUICK,
            sandbox=sandbox,
            reporter=reporter,
            stop=stop,
            overwrite=overwrite,
        )
        watcher.run()
