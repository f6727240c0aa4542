"""The arguments and options that commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Photo = Annotated[Path, typer.Argument(help="The photograph to paint over.")]
NewDocument = Annotated[Path, typer.Option("-o", "--output", help="The document to make: .ora or .psd.")]
Paintings = Annotated[list[Path] | None, typer.Option("--style", help="A painting; several are given in turn.")]
RecipeFile = Annotated[Path, typer.Argument(help="The recipe (.yaml), or a PNG that guidedstyle rendered.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The picture to write.")]
Size = Annotated[int | None, typer.Option(help="Longest side in px.")]
Steps = Annotated[int | None, typer.Option(help="Steps in all.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the noise.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Tile = Annotated[str, typer.Option(help="Compute in tiles of so many px: auto (where needed), off, or a number.")]
MaxMemory = Annotated[float | None, typer.Option(help="Most memory to take, in GiB; default: what is free.")]
Encoder = Annotated[str | None, typer.Option(help="lite or vgg19.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. regions.sky.strength=2.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but mistakes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]
