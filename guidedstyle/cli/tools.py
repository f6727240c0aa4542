"""Commands around a render: mask new, suggest and show; check, compare, bench, doctor, schema, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.cli.options import collect_settings, whole_number
from guidedstyle.errors import ExitCode

mask_app = typer.Typer(
    no_args_is_help=True,
    help="Make documents to paint masks in, and show how masks are read.\n\n"
    "Example: guidedstyle mask new photo.jpg --regions sky,sea,boat -o scene.ora",
)


@mask_app.command("new")
def mask_new_command(
    photo: options.Photo,
    regions: Annotated[str, typer.Option(help="The regions' names, from back to front: sky,sea,boat.")],
    output: options.NewDocument,
    style: options.StyleImages = None,
) -> None:
    """Make a layered document to paint masks in, with an empty layer for every region, and its recipe.

    Example: guidedstyle mask new photo.jpg --regions sky,sea,boat -o scene.ora
    """
    from guidedstyle.app.starters.documents import begin_masks

    recipe = begin_masks(photo, regions.split(","), styles=style or (), document=output)
    _print_next(output, recipe, "Paint each region's layer in")


@mask_app.command("suggest")
def mask_suggest_command(
    photo: options.Photo,
    output: options.NewDocument,
    regions: Annotated[int, typer.Option(parser=whole_number("--regions", 2), metavar="NUMBER", help="How many.")] = 4,
    style: options.StyleImages = None,
) -> None:
    """Make a layered document with suggested regions painted in, for you to correct.

    Example: guidedstyle mask suggest photo.jpg --regions 4 -o guess.ora
    """
    from guidedstyle.app.starters.documents import suggest_masks

    _print_next(output, suggest_masks(photo, regions, styles=style or (), document=output), "Correct the layers of")


@mask_app.command("show")
def mask_show_command(
    recipe: options.RecipeFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The sheet to write: an image.")] = None,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Show how a recipe's masks are understood: a table, and a sheet with every region tinted and named.

    Example: guidedstyle mask show recipe.yaml -o sheet.png
    """
    from guidedstyle.cli.terminal.console import print_masks
    from guidedstyle.recipe.loading.loader import read_recipe
    from guidedstyle.scene.check import check_reading

    scene = check_reading(read_recipe(recipe, collect_settings(settings), sandbox)).scene
    if output:
        from guidedstyle.results.sheets import save_mask_sheet

        save_mask_sheet(scene, recipe, output, overwrite=overwrite)
    print_masks(scene)
    if output:
        typer.echo(output)


def _print_next(document: Path, recipe: Path, task: str) -> None:
    import shlex

    typer.echo(f"Made {document} and {recipe}. {task} {document}, name style images in {recipe}; then:")
    typer.echo(f"  guidedstyle mask show {shlex.quote(str(recipe))} -o sheet.png")


tools_app = typer.Typer()
tools_app.command("masks", hidden=True)(mask_show_command)  # its former name


@tools_app.command("compare", rich_help_panel=options.LOOK)
def compare_command(
    images: Annotated[list[Path], typer.Argument(readable=False, help="Two images or more: renders, and any others.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet to write: an image.")] = Path("compare.png"),
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Put images side by side, and show how their recipes, files, losses and times differ.

    Example: guidedstyle compare photo.jpg out.png -o sheet.png
    """
    from guidedstyle.cli.terminal.console import print_comparison
    from guidedstyle.cli.terminal.messages import print_json
    from guidedstyle.results.comparison import compare_images, describe_comparison, save_comparison

    comparison = compare_images(images)
    save_comparison(comparison, output, overwrite=overwrite)
    if as_json:
        print_json(describe_comparison(comparison, output))
    else:
        print_comparison(comparison, output)


@tools_app.command("bench", rich_help_panel=options.LOOK)
def bench_command(
    size: Annotated[
        int, typer.Option(parser=whole_number("--size", 128, 8192), metavar="PX", help="Side of the images of noise.")
    ] = 512,
    largest: Annotated[
        int,
        typer.Option(
            parser=whole_number("--largest", 512, 16384), metavar="PX", help="Growth is measured up to this side."
        ),
    ] = 2048,
    repeats: Annotated[
        int,
        typer.Option(
            parser=whole_number("--repeats", 3, 1000),
            metavar="NUMBER",
            help="Number of measurements; each time is their median.",
        ),
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
    import torch

    from guidedstyle.app.render import Renderer
    from guidedstyle.cli.terminal.console import print_bench
    from guidedstyle.device.precision import name_precision
    from guidedstyle.evaluation.bench import Bench
    from guidedstyle.recipe.model import EncoderChoice

    choice = EncoderChoice(name="vgg19", weights=weights) if weights else EncoderChoice()
    bench = Bench(Renderer(device).load(choice), device=device, size=size, repeats=repeats)
    precision = name_precision(bench.plan.precision)
    title = f"{choice.name} on {bench.plan.device}, {precision}, {torch.get_num_threads()} threads"
    print_bench(bench.run(largest), title)


@tools_app.command("doctor", rich_help_panel=options.LOOK)
def doctor_command(as_json: options.AsJson = False) -> None:
    """Examine this machine: versions, devices, memory, weights, extras, folders; with a remedy for every problem.

    Example: guidedstyle doctor
    """
    from guidedstyle.app.doctor.examination import can_render, describe_findings, examine_machine
    from guidedstyle.cli.terminal.messages import print_findings, print_json

    findings = list(examine_machine())
    if as_json:
        print_json(describe_findings(findings))
    else:
        print_findings(findings)
    if not can_render(findings):  # the user can fix it, like an error in a recipe
        raise typer.Exit(ExitCode.USER_ERROR)


@tools_app.command("check", rich_help_panel=options.LOOK)
def check_command(
    recipe: options.RecipeFile,
    settings: options.Settings = None,
    sandbox: options.Sandbox = False,
    strict: options.Strict = False,
) -> None:
    """Check a recipe, its images and masks without rendering.

    Example: guidedstyle check recipe.yaml
    """
    from guidedstyle.cli.terminal.console import print_scene, print_time, print_warnings
    from guidedstyle.io.ownership import find_foreign
    from guidedstyle.recipe.loading.loader import read_recipe
    from guidedstyle.run.options import RenderOptions
    from guidedstyle.run.speeds import Work, estimate_works
    from guidedstyle.scene.check import check_reading

    checked = check_reading(read_recipe(recipe, collect_settings(settings), sandbox), strict=strict)
    print_scene(checked.scene, checked.warnings)
    files = find_foreign(RenderOptions().list_files(checked.scene.recipe.output))
    print_warnings(f"{file} exists, and guidedstyle did not make it: render needs --overwrite, or -o" for file in files)
    print_time(estimate_works([Work.of(checked.scene)]))


@tools_app.command("schema", rich_help_panel=options.LOOK)
def schema_command(
    table: Annotated[bool, typer.Option("--table", help="Print every key as a table instead.")] = False,
) -> None:
    """Print the JSON schema of recipes for editors.

    Example: guidedstyle schema > recipe.schema.json
    """
    from guidedstyle.recipe.schema import write_schema, write_table

    typer.echo((write_table() if table else write_schema()).removesuffix("\n"))


@tools_app.command("init", rich_help_panel=options.FIRST)
def init_command(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    content: Annotated[
        Path | None, typer.Option(readable=False, help="Your photo, instead of the samples; it is copied.")
    ] = None,
    style: Annotated[
        list[Path] | None, typer.Option(readable=False, help="Your painting; several are mixed; they are copied.")
    ] = None,
) -> None:
    """Make a folder with a commented recipe, and sample images or copies of your own.

    Example: guidedstyle init my-folder --content photo.jpg --style painting.jpg
    """
    import shlex

    from guidedstyle.app.starters.projects import write_starter

    recipe = write_starter(folder, content, style or ())
    typer.echo(f"Made {folder}. Next:\n  guidedstyle render {shlex.quote(str(recipe))}")
