"""The commands around a render: what a recipe comes to, what the machine does, where to begin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guidedstyle import options
from guidedstyle.options import collect_overrides, whole

aid_app = typer.Typer()


@aid_app.command("bench")
def bench_command(
    size: Annotated[
        int, typer.Option(parser=whole("--size", 128, 8192), metavar="PX", help="Side of the pictures of noise.")
    ] = 512,
    largest: Annotated[
        int,
        typer.Option(parser=whole("--largest", 512, 16384), metavar="PX", help="Growth is measured up to this side."),
    ] = 2048,
    repeats: Annotated[
        int,
        typer.Option(parser=whole("--repeats", 3, 1000), metavar="NUMBER", help="Each time is the median of so many."),
    ] = 9,
    device: options.Device = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Measure VGG-19 with these weights instead of lite."),
    ] = None,
) -> None:
    """Measure this machine: a step against the bare encoder, over regions, pixels and tiles, and what size fits.

    Example: guidedstyle bench --largest 4096
    """
    from guidedstyle.session import run_bench

    run_bench(size, largest, repeats, device, weights)


@aid_app.command("doctor")
def doctor_command(as_json: options.AsJson = False) -> None:
    """Examine this machine: versions, devices, memory, weights, extras, folders; with a remedy for every problem.

    Example: guidedstyle doctor
    """
    from guidedstyle.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json))


@aid_app.command("check")
def check_command(
    recipe: options.RecipeFile, settings: options.Settings = None, sandbox: options.Sandbox = False
) -> None:
    """Check a recipe, its pictures and masks without rendering.

    Example: guidedstyle check recipe.yaml
    """
    from guidedstyle.recipe.loading.loader import read_recipe
    from guidedstyle.report import print_scene
    from guidedstyle.scene.check import check_reading

    checked = check_reading(read_recipe(recipe, collect_overrides(settings), sandbox))
    print_scene(checked.scene, checked.notes)


@aid_app.command("masks")
def masks_command(
    recipe: options.RecipeFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The sheet to write: a picture.")] = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
) -> None:
    """Show what was understood of a recipe's masks: a table, and a sheet with every region tinted and named.

    Example: guidedstyle masks recipe.yaml -o sheet.png
    """
    from guidedstyle.recipe.loading.loader import read_recipe
    from guidedstyle.report import print_masks
    from guidedstyle.scene.check import check_reading

    scene = check_reading(read_recipe(recipe, collect_overrides(settings), sandbox)).scene
    if output:
        from guidedstyle.mask_sheet import save_sheet

        save_sheet(scene, recipe, output)
    print_masks(scene)
    if output:
        typer.echo(output)


@aid_app.command("schema")
def schema_command(
    table: Annotated[bool, typer.Option("--table", help="Print every key as a table instead.")] = False,
) -> None:
    """Print the JSON schema of recipes for editors.

    Example: guidedstyle schema > recipe.schema.json
    """
    import json

    from guidedstyle.recipe.schema import make_schema, write_table

    typer.echo(write_table() if table else json.dumps(make_schema(), indent=2))


@aid_app.command("init")
def init_command(folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Make a folder with a commented recipe and sample pictures.

    Example: guidedstyle init my-folder
    """
    import shlex

    from guidedstyle.starter import write_starter

    typer.echo(f"Made {folder}. Next:\n  guidedstyle render {shlex.quote(str(write_starter(folder)))}")
