"""The command line: every command, how errors are shown, and exit codes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from guidedstyle import __version__
from guidedstyle.cli import options
from guidedstyle.cli.render import render_app
from guidedstyle.cli.research import evaluate_app
from guidedstyle.cli.terminal.messages import print_count, print_error
from guidedstyle.cli.tools import mask_app, tools_app
from guidedstyle.cli.train import networks_app, train_app
from guidedstyle.errors import ExitCode, GuidedStyleError, RenderFailedError, find_error_code, has_long_name

HELP = """Paint where each style goes, write down how strongly, and get the image.

Example: guidedstyle quick photo.jpg painting.jpg
"""


class Commands(TyperGroup):
    """The commands; a file in place of one is answered with the command that takes it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; raises GuidedStyleError for the name of a file."""
        if Path(args[0]).is_file() and args[0] not in self.commands:
            name, recipe = shlex.quote(args[0]), Path(args[0]).suffix.lower() in (".yaml", ".yml")
            taker = f"render {name}" if recipe else f"quick {name} painting.jpg"
            raise GuidedStyleError.of("guidedstyle", f"{args[0]!r} is not a command", f"write guidedstyle {taker}")
        return super().resolve_command(ctx, args)


def print_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"guidedstyle {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="guidedstyle",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.add_typer(render_app)
app.add_typer(tools_app)
app.add_typer(mask_app, name="mask", rich_help_panel=options.FIRST)
app.add_typer(train_app, name="train", rich_help_panel=options.RESEARCH)
app.add_typer(networks_app)
app.add_typer(evaluate_app)


@app.callback(help=HELP)
def begin(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> None:
    """Run the command line and exit.

    The codes: 0 done, 1 a bug, 2 wrong input or a machine that cannot do it, 130 interrupted, 141 output pipe closed.
    """
    try:
        with exit_on_error():
            app()
    except SystemExit as end:  # typer exits where the reader of a pipe has closed it
        sys.exit(ExitCode.PIPE_CLOSED if isinstance(end.__context__, BrokenPipeError) else end.code)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error, and exit with its code."""
    try:
        _check_working_folder()
        yield
    except Exception as error:
        print_error(error)
        if _is_early(error):
            print_count(error)
        sys.exit(find_error_code(error))


def _is_early(error: Exception) -> bool:
    """Whether an error was found before anything was written."""
    if isinstance(error, GuidedStyleError):
        return not isinstance(error, RenderFailedError)
    return isinstance(error, PermissionError) or has_long_name(error)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # libraries would end the program without a reason
        raise GuidedStyleError.of("the working folder", "it was removed", "change to another one (cd)") from None
