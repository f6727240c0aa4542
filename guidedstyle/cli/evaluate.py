"""The command that compares an encoder with its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from guidedstyle.cli import options
from guidedstyle.errors import GuidedStyleError

evaluate_app = typer.Typer()


@evaluate_app.command("evaluate")
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
    size: Annotated[
        int, typer.Option(parser=options.whole_number("--size", 1), metavar="PX", help="Longest side in px.")
    ] = 256,
    steps: Annotated[
        int, typer.Option(parser=options.whole_number("--steps", 1), metavar="NUMBER", help="Steps.")
    ] = 80,
) -> None:
    """Compare an encoder with VGG-19: render recipes or pairs with both and print a table of ratios.

    Example: guidedstyle evaluate --teacher vgg19.safetensors --pair photo.jpg,painting.jpg --out compared
    """
    if not recipes and not pair:
        rule, remedy = "there is nothing to compare on", "give a recipe, or --pair CONTENT,STYLE"
        raise GuidedStyleError.of("evaluate", rule, remedy)
    from guidedstyle.device.memory import keep_freed_memory
    from guidedstyle.encoders.weights import load_by_name
    from guidedstyle.evaluation.encoders import (
        COLUMNS,
        check_plans,
        compare_encoders,
        describe,
        open_scenes,
        summarise,
    )
    from guidedstyle.io.files import make_folder

    keep_freed_memory()
    scenes = open_scenes(recipes or (), [read_pair(text) for text in pair or ()], size=size)
    reference, student = (
        load_by_name("vgg19", teacher, options.read_convention(convention)),
        load_by_name("lite", encoder),
    )
    check_plans(scenes, [reference, student])
    make_folder(out)
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    comparisons = []
    for comparison in compare_encoders(scenes, reference, student, steps=steps, folder=out):
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
