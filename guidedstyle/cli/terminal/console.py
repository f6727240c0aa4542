"""Printed text: scenes, plans, masks, outcomes, comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from guidedstyle.errors import ExitCode
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.results.comparison import ComparedImage, Comparison, Source
from guidedstyle.run.speeds import write_duration
from guidedstyle.scene.check import LayerCoverage, collect_warnings, describe_controls, measure_coverage
from guidedstyle.scene.scene import Scene, Stage

if TYPE_CHECKING:
    from guidedstyle.engine.plan import Plan
    from guidedstyle.evaluation.bench import Line

KEYS, COLUMN = 28, 13  # characters for keys, and at least for the values of each image
SHORT_HASH = 15  # characters
SOURCES: dict[Source | None, str] = {
    "record": "",
    "picture": "  no record next to it; recipe read from the image",
    None: "  no recipe",
}


def _console() -> Console:
    return Console(highlight=False, soft_wrap=not Console().is_terminal, emoji=False)


def print_scene(scene: Scene, warnings: Sequence[str]) -> None:
    """Print the regions with their styles and controls, and the warnings."""
    console = _console()
    own = [describe_controls(region) for region in scene.recipe.regions]
    heads = ("region", "share", "style", "strength", "content", *(["own controls"] if any(own) else []))
    table = Table(*heads, box=None, title_justify="left")
    shares = scene.shares[:-1]  # the last is of no region
    for region, controls, share, given in zip(scene.recipe.regions, scene.recipe.controls, shares, own, strict=True):
        strengths = ("", "") if region.keep else (f"{controls.strength:g}", f"{controls.content_strength:g}")
        cells = (region.name, f"{share:.1%}", region.describe_style(), *strengths, given)
        table.add_row(*map(escape, cells[: len(heads)]))
    console.print(table)
    print_warnings(warnings)
    console.print(f"content {scene.full_size[0]} x {scene.full_size[1]} px -> {escape(str(scene.recipe.output))}")


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings as part of the requested output."""
    console = _console()
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def print_masks(scene: Scene) -> None:
    """Print the coverage of every region, and the sizes and layers at which it is lost."""
    console, coverage = _console(), measure_coverage(scene)
    regions = {
        region.name: (f"{scene.shares[index]:.1%}", "-" if region.mask.rest else f"{scene.overlaps[index]:.1%}")
        for index, region in enumerate(scene.recipe.regions)
    }
    octaves = scene.stages[-1].octaves
    table = _tabulate_coverage(("region", "share", "overlap"), regions, coverage.regions, octaves)
    table.add_row("no region", f"{scene.shares[-1]:.1%}", style="dim")
    console.print(table)
    console.print(f"pixels of colours that no mask names: {scene.unnamed_pixels:,}")
    if coverage.style_images:
        style_images = {name: (f"{scene.style_images[name].mask.mean():.1%}",) for name in coverage.style_images}
        console.print(
            _tabulate_coverage(
                ("style", "share of its style image"), style_images, list(coverage.style_images.values()), octaves
            )
        )
    print_warnings(collect_warnings(scene, coverage))


def _tabulate_coverage(
    heads: tuple[str, ...], rows: Mapping[str, tuple[str, ...]], coverages: list[list[LayerCoverage]], octaves: int
) -> Table:
    """Tabulate the layers at which regions are covered, for each octave; coarser scales only where one is lost."""
    sizes = max(coverages, key=len)
    lossy = {index for found in coverages for index, coverage in enumerate(found) if coverage.lost}
    shown = [index for index in range(len(sizes)) if index < octaves or index in lossy]
    table = Table(*heads, *(f"{sizes[i].longest} px" for i in shown), box=None)
    for (name, cells), found in zip(rows.items(), coverages, strict=True):
        table.add_row(escape(name), *cells, *(str(found[i]) for i in shown if i < len(found)))
    return table


def print_time(seconds: float | None, what: str = "time    ") -> None:
    """Print about how long a render, or several, will take on this machine."""
    _console().print(f"{what}{write_duration(seconds)}")


def print_plan(plan: Plan, seconds: float | None) -> None:
    """Print the plan of a render, and about how many seconds it will take, None if that is unknown."""
    from guidedstyle.device.precision import name_precision  # a plan needs torch, the other texts do not

    stages = ", ".join(f"{stage.size[0]} x {stage.size[1]} ({_count_steps(stage)})" for stage in plan.stages)
    console = _console()
    console.print(f"sizes   {stages}")
    console.print(f"style   {', '.join(plan.style_layers) or 'none'} over {plan.stages[-1].octaves} octaves")
    console.print(f"content {', '.join(plan.content_layers) or 'none'}")
    console.print(f"device  {plan.device}, {name_precision(plan.precision)}, about {plan.memory / 2**20:,.0f} MiB")
    cut = [stage for stage in plan.stages if plan.is_short(stage)]
    if cut:
        console.print(f"memory  {'; '.join(f'{max(stage.size)} px: {plan.describe(stage)}' for stage in cut)}")
    print_time(seconds)


def _count_steps(stage: Stage) -> str:
    return f"{stage.steps} steps" if stage.steps else "in one pass"


def print_bench(lines: Iterable[Line], title: str) -> None:
    """Print the measurements of a machine as one table."""
    table = Table("measured", "", "ratio", "limit", box=None, title=title, title_justify="left")
    for line in lines:
        table.add_row(line.what, line.value, line.ratio, line.limit)
    _console().print(table)


def print_next(recipe: str) -> None:
    """Print what can be done after the first render."""
    console = _console()
    console.print("\nThis was the first render. Next, see the effect of every change, in a second terminal:")
    console.print(f"  guidedstyle watch {escape(shlex.quote(recipe))}")
    console.print("or start from a content image of your own:")
    console.print("  guidedstyle mask new photo.jpg --regions sky,sea -o scene.ora")


def print_line(head: str, text: str) -> None:
    """Print the outcome of a render in one line."""
    _console().print(f"[bold]{escape(head)}[/]  {escape(text)}")


def print_outcomes(names: Sequence[str], codes: Sequence[ExitCode]) -> None:
    """Print how many of several renders are done, and the names of the others."""
    failed, console = [name for name, code in zip(names, codes, strict=True) if code], _console()
    console.print(f"{len(names) - len(failed)} of {len(names)} are done")
    for name in failed:
        console.print(f"  not done: {escape(name)}")


def print_comparison(comparison: Comparison, sheet: Path) -> None:
    """Print the numbers of the images, and the differences between those that have a recipe."""
    console = _console()
    for number, image in enumerate(comparison.images, 1):
        console.print(f"[bold]{number}[/]  {escape(str(image.file))}[dim]{SOURCES[image.source]}[/]", soft_wrap=True)
    for table in tabulate_differences(comparison, console.width):
        console.print(table)
    if not comparison.sections["recipe"]:
        console.print("The recipes do not differ.")
    console.print(f"[bold]{escape(str(sheet))}[/]")


def tabulate_differences(comparison: Comparison, width: int) -> Iterator[Table]:
    """Tabulate the values of the images that have a recipe, in tables of at most `width` characters."""
    shown = [index for index, image in enumerate(comparison.images) if image.sections]
    across = max(1, (width - KEYS) // COLUMN)
    for start in range(0, len(shown), across):
        yield _tabulate(comparison, shown[start : start + across])


def _tabulate(comparison: Comparison, shown: Sequence[int]) -> Table:
    numbers = [Column(str(index + 1), overflow="fold") for index in shown]
    table = Table(Column(min_width=KEYS - 2, no_wrap=True), *numbers, box=None)
    for section, rows in comparison.sections.items():
        if rows:
            table.add_row(f"[bold]{section}[/]")
        for key, values in rows.items():
            cells = [_describe_value(values[index], section, comparison.images[index]) for index in shown]
            table.add_row(escape(_break_key(key)), *map(escape, cells))
    return table


def _break_key(key: str) -> str:
    """Break a long key after its dots, indented below the name of its section."""
    lines = wrap(key.replace(".", ". "), KEYS - 2, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines).replace(". ", ".")


def _describe_value(value: object, section: str, image: ComparedImage) -> str:
    """Write a value in short: `-` if an image lacks the key, an empty text if it lacks the whole section."""
    if value is None:
        return "-" if section in image.sections else ""
    if section == "files":
        return str(value)[:SHORT_HASH]
    return f"{value:.4g}" if isinstance(value, float) else write_yaml([value], in_line=True).strip()[1:-1]
