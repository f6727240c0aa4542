"""The commands: parse, one call, exit code. Everything heavy is imported only by the command that needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle import options
from guidedstyle.commands import BUG, INTERRUPTED, exit_on_mistake
from guidedstyle.mask_commands import mask_app

if TYPE_CHECKING:
    from guidedstyle.reading import Override

app = typer.Typer(
    name="guidedstyle",
    help="Paint where each style goes, write down how strongly, and get the picture.",
    epilog="Start with: guidedstyle init my-folder",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)

app.add_typer(mask_app, name="mask")


@app.command("render")
def render_command(
    recipe: options.RecipeFile,
    output: options.Output = None,
    size: options.Size = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    tile: options.Tile = "auto",
    max_memory: options.MaxMemory = None,
    encoder: options.Encoder = None,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
) -> None:
    """Render a recipe.

    Example: guidedstyle render recipe.yaml --size 512 --set regions.sky.strength=2
    """
    from guidedstyle.reading import read_recipe
    from guidedstyle.scene import CHECK_SIZE, open_scene

    flags = {"size": size, "solver.steps": steps, "solver.seed": seed, "encoder": encoder}
    overrides = _collect_overrides(settings, flags, output)
    reading = read_recipe(recipe, overrides)
    sketch = open_scene(reading, CHECK_SIZE)  # mistakes are told before torch is loaded
    from guidedstyle.limits import read_limits
    from guidedstyle.session import run_render

    raise typer.Exit(run_render(reading, sketch, device, read_limits(tile, max_memory), dry_run, quiet))


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the variants and stop.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Render a recipe over a grid of values, with a contact sheet and a table. Again: only what is missing.

    Example: guidedstyle sweep recipe.yaml --vary styles.ink.scale=0.5,1,2 --vary content_strength=0.5,2
    """
    from guidedstyle.commands import make_folder
    from guidedstyle.variants import make_variants, open_sketches, parse_axis

    axes, folder = [parse_axis(axis) for axis in vary], output or recipe.with_name(f"{recipe.stem}-sweep")
    flags = {"size": size, "solver.steps": steps, "solver.seed": seed, "encoder": encoder}
    variants = make_variants(recipe, axes, _collect_overrides(settings, flags, None), folder)
    sketches = open_sketches(variants)
    if dry_run:
        typer.echo("\n".join(variant.label for variant in variants))
        return
    from guidedstyle.limits import read_limits
    from guidedstyle.sweep import Sweep

    sweep = Sweep(variants, len(axes[-1][1]), folder, device, read_limits(tile, max_memory), quiet)
    sweep.check(sketches)
    make_folder(folder, "--output")
    raise typer.Exit(sweep.run())


@app.command("compare")
def compare_command(
    pictures: Annotated[list[Path], typer.Argument(help="Two pictures or more: renders, and any others.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet to write: a picture.")] = Path(
        "compare.png"
    ),
    as_json: options.AsJson = False,
) -> None:
    """Lay pictures side by side, and tell what differs in their recipes, files, losses and times.

    Example: guidedstyle compare photo.jpg first.png second.png -o sheet.png
    """
    from guidedstyle.compare import run_compare

    raise typer.Exit(run_compare(pictures, output, as_json))


@app.command("bench")
def bench_command(
    size: Annotated[int, typer.Option(min=128, max=8192, help="Side of the pictures of noise in px.")] = 512,
    largest: Annotated[int, typer.Option(min=512, max=16384, help="Growth is measured up to this side in px.")] = 2048,
    repeats: Annotated[int, typer.Option(min=3, help="Each time is the median of so many.")] = 9,
    device: options.Device = "auto",
    weights: Annotated[Path | None, typer.Option(help="Measure VGG-19 with these weights instead of lite.")] = None,
) -> None:
    """Measure this machine: a step against the bare encoder, over regions, pixels and tiles, and what size fits.

    Example: guidedstyle bench --largest 4096
    """
    from guidedstyle.session import run_bench

    run_bench(size, largest, repeats, device, weights)


@app.command("doctor")
def doctor_command(as_json: options.AsJson = False) -> None:
    """Examine this machine: versions, devices, memory, weights, extras, folders; with a remedy for every problem.

    Example: guidedstyle doctor
    """
    from guidedstyle.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json))


@app.command("check")
def check_command(recipe: options.RecipeFile, settings: options.Settings = None) -> None:
    """Check a recipe, its pictures and masks without rendering.

    Example: guidedstyle check recipe.yaml
    """
    from guidedstyle.reading import read_recipe
    from guidedstyle.report import print_scene
    from guidedstyle.scene import CHECK_SIZE, open_scene
    from guidedstyle.survey import collect_notes, survey_scene

    scene = open_scene(read_recipe(recipe, _collect_overrides(settings, {}, None)), CHECK_SIZE)
    print_scene(scene, collect_notes(scene, survey_scene(scene)))


@app.command("masks")
def masks_command(
    recipe: options.RecipeFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The sheet to write: a picture.")] = None,
    settings: options.Settings = None,
) -> None:
    """Show what was understood of a recipe's masks: a table, and a sheet with every region tinted and named.

    Example: guidedstyle masks recipe.yaml -o sheet.png
    """
    from guidedstyle.reading import read_recipe
    from guidedstyle.report import print_masks
    from guidedstyle.scene import CHECK_SIZE, open_scene

    scene = open_scene(read_recipe(recipe, _collect_overrides(settings, {}, None)), CHECK_SIZE)
    if output:
        from guidedstyle.mask_sheet import save_sheet

        save_sheet(scene, recipe, output)
    print_masks(scene)
    if output:
        typer.echo(output)


@app.command("schema")
def schema_command(
    table: Annotated[bool, typer.Option("--table", help="Print every key as a table instead.")] = False,
) -> None:
    """Print the JSON schema of recipes for editors.

    Example: guidedstyle schema > recipe.schema.json
    """
    import json

    from guidedstyle.schema import make_schema, write_table

    typer.echo(write_table() if table else json.dumps(make_schema(), indent=2))


@app.command("init")
def init_command(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Make a folder with a commented recipe and sample pictures.

    Example: guidedstyle init my-folder
    """
    import shlex

    from guidedstyle.starter import write_starter

    typer.echo(f"Made {folder}. Next:\n  guidedstyle render {shlex.quote(str(write_starter(folder)))}")


def _collect_overrides(settings: list[str] | None, flags: Mapping[str, object], output: Path | None) -> list[Override]:
    from guidedstyle.reading import parse_setting

    found = [parse_setting(setting) for setting in settings or ()]
    found += [(key, value, f"--{key.split('.')[-1]}") for key, value in flags.items() if value is not None]
    if output is not None:
        found.append(("output", str(output.absolute()), "--output"))
    return found


def main() -> None:
    """Run the command line and exit: 0 done, 2 the user's input, 130 interrupted, 1 our bug."""
    try:
        with exit_on_mistake():
            app()
    except KeyboardInterrupt:
        print("interrupted; nothing was written.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(BUG)
    except Exception:
        traceback.print_exc()
        print("\nThis is a bug of guidedstyle, not of your recipe. Please report the lines above.", file=sys.stderr)
        sys.exit(BUG)
