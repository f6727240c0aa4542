"""Commands for research: compare encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.errors import GuidedStyleError

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
