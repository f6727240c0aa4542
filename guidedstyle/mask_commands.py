"""The commands `mask new` and `mask suggest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guidedstyle import options

mask_app = typer.Typer(no_args_is_help=True, help="Make documents to paint masks in.")


@mask_app.command("new")
def mask_new_command(
    photo: options.Photo,
    regions: Annotated[str, typer.Option(help="The regions' names, from back to front: sky,sea,boat.")],
    output: options.NewDocument,
    style: options.Paintings = None,
) -> None:
    """Make a layered document to paint masks in, with an empty layer for every region, and its recipe.

    Example: guidedstyle mask new photo.jpg --regions sky,sea,boat -o scene.ora
    """
    from guidedstyle.editing import begin_masks

    _print_next(output, begin_masks(photo, regions.split(","), style or (), output), "Paint each region's layer in")


@mask_app.command("suggest")
def mask_suggest_command(
    photo: options.Photo,
    output: options.NewDocument,
    regions: Annotated[int, typer.Option(parser=options.whole("--regions", 2), metavar="NUMBER", help="How many.")] = 4,
    style: options.Paintings = None,
) -> None:
    """Make the same with a first guess painted in, to be corrected by hand.

    Example: guidedstyle mask suggest photo.jpg --regions 4 -o scene.ora
    """
    from guidedstyle.editing import suggest_masks

    _print_next(output, suggest_masks(photo, regions, style or (), output), "Correct the layers of")


def _print_next(document: Path, recipe: Path, task: str) -> None:
    import shlex

    typer.echo(f"Made {document} and {recipe}. {task} {document}, name your paintings in {recipe}; then:")
    typer.echo(f"  guidedstyle masks {shlex.quote(str(recipe))} -o sheet.png")
