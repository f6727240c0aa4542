"""The commands: parse, one call, exit code. Everything heavy is imported only by the command that needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guidedstyle.commands import BUG, INTERRUPTED, exit_on_mistake

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

RecipeFile = Annotated[Path, typer.Argument(help="The recipe (.yaml), or a PNG that guidedstyle rendered.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The picture to write.")]
Size = Annotated[int | None, typer.Option(help="Longest side in px.")]
Steps = Annotated[int | None, typer.Option(help="Steps in all.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the noise.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Encoder = Annotated[str | None, typer.Option(help="lite or vgg19.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. regions.sky.strength=2.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but mistakes.")]


@app.command("render")
def render_command(
    recipe: RecipeFile,
    output: Output = None,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = "auto",
    encoder: Encoder = None,
    settings: Settings = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
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
    from guidedstyle.session import run_render

    raise typer.Exit(run_render(reading, sketch, device, dry_run, quiet))


@app.command("check")
def check_command(recipe: RecipeFile, settings: Settings = None) -> None:
    """Check a recipe, its pictures and masks without rendering.

    Example: guidedstyle check recipe.yaml
    """
    from guidedstyle.reading import read_recipe
    from guidedstyle.report import print_scene
    from guidedstyle.scene import CHECK_SIZE, open_scene

    print_scene(open_scene(read_recipe(recipe, _collect_overrides(settings, {}, None)), CHECK_SIZE))


@app.command("schema")
def schema_command() -> None:
    """Print the JSON schema of recipes for editors.

    Example: guidedstyle schema > recipe.schema.json
    """
    import json

    from guidedstyle.schema import make_schema

    typer.echo(json.dumps(make_schema(), indent=2))


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
