"""The command line of the comparison."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import yaml
from PIL import Image

from guidedstyle.cli.main import exit_on_error, whole_number
from guidedstyle.device.memory import keep_freed_memory
from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.weights import load_lite, load_vgg19
from guidedstyle.engine.plan import make_plan
from guidedstyle.errors import GuidedStyleError
from guidedstyle.evaluation.judge import Comparison, Judge
from guidedstyle.evaluation.spectrum import TILE, TINY
from guidedstyle.io.files import make_folder
from guidedstyle.io.images import save_image, to_pillow
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.results.sheets import make_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Convention, Setting

COLUMNS = (
    "pair",
    "teacher",
    "student",
    "ratio",
    "content",
    "grid",
    "step",
    "equal time",
    "teacher's time",
)


def main() -> None:
    """Compare an encoder with its teacher."""
    asked = parse_arguments()
    keep_freed_memory()
    with exit_on_error():
        scenes, teacher, student = prepare(asked)
    judge = Judge(teacher, asked.steps)
    comparisons: list[Comparison] = []
    print(format_line(COLUMNS), format_line(["---"] * len(COLUMNS)), sep="\n", flush=True)
    rows = []
    for name, scene in scenes.items():
        comparisons.append(judge.compare(name, scene, student))
        print(format_line(describe(comparisons[-1])), flush=True)
        rows.append(list(show(comparisons[-1], scene, asked.out)))
        save_image(make_sheet(rows), asked.out / "sheet.png")
    print(format_line(summarise(comparisons)))


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.evaluation", description="Compare encoders.")
    parser.add_argument("recipe", type=Path, nargs="*", help="recipes, with regions and masks if you like")
    parser.add_argument("--pair", type=Path, nargs=2, action="append", default=[], metavar=("CONTENT", "STYLE"))
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 weights (safetensors)")
    parser.add_argument("--convention", choices=get_args(Convention), help="input of the teacher's weights")
    parser.add_argument("--encoder", type=Path, help="weights of an encoder like lite; without, the embedded one")
    parser.add_argument("--size", type=whole_number, default=256, help="longest side in pixels")
    parser.add_argument("--steps", type=whole_number, default=80)
    parser.add_argument("--out", type=Path, required=True, help="folder for images and contact sheet")
    asked = parser.parse_args()
    if not asked.recipe and not asked.pair:
        parser.error("name a recipe, or a --pair of content and style")
    return asked


def prepare(asked: argparse.Namespace) -> tuple[dict[str, Scene], Encoder, Encoder]:
    """Open scenes, teacher and student, and find every error before the long work."""
    scenes = open_scenes(asked)
    teacher, student = load_vgg19(asked.teacher, asked.convention), load_lite(asked.encoder)
    for name, scene in scenes.items():
        _check_size(name, scene)
        for encoder in (teacher, student):
            make_plan(scene, encoder)
    make_folder(asked.out)
    return scenes, teacher, student


def _check_size(name: str, scene: Scene) -> None:
    height, width = scene.content.shape[2:]
    if min(width, height) < TILE:
        rule = f"{name} would be {width} x {height} px; grids are looked for in tiles of {TILE} px"
        raise GuidedStyleError.of("--size", rule, "choose a larger size")


def open_scenes(asked: argparse.Namespace) -> dict[str, Scene]:
    """Open all recipes and pairs, by names that differ."""
    with TemporaryDirectory() as folder:
        recipes = [*asked.recipe, *write_pairs(asked.pair, Path(folder))]
        names = [recipe.stem for recipe in recipes]
        counts = [names[:index].count(name) for index, name in enumerate(names)]
        return {
            f"{name}-{count + 1}" if count else name: open_scene(
                read_recipe(recipe, [Setting("size", asked.size, "--size")])
            )
            for name, count, recipe in zip(names, counts, recipes, strict=True)
        }


def write_pairs(pairs: Sequence[Sequence[Path]], folder: Path) -> Iterator[Path]:
    """Write a recipe for each pair of content and style, each into a folder of its own: names may be equal."""
    for index, (content, style) in enumerate(pairs):
        recipe = folder / str(index) / f"{content.stem[:60]}-{style.stem[:60]}.yaml"
        recipe.parent.mkdir()
        recipe.write_text(yaml.safe_dump({"content": str(content.absolute()), "style": str(style.absolute())}))
        yield recipe


def show(comparison: Comparison, scene: Scene, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Save the images of a comparison and yield them with labels, the inputs first."""
    yield comparison.name, to_pillow(scene.content)
    for name, style_image in scene.style_images.items():
        yield name, to_pillow(style_image.image)
    for label, verdict in (
        ("teacher", comparison.teacher),
        ("student", comparison.student),
        ("student longer", comparison.in_teachers_time),
    ):
        picture = to_pillow(verdict.image)
        save_image(picture, folder / f"{comparison.name}-{label.replace(' ', '-')}.png")
        yield f"{label}: style {verdict.style:.4f}", picture


def rate(comparison: Comparison) -> tuple[float, ...]:
    """Return the ratios student / teacher: style, content, grid, time of a step, and style in equal times.

    The last two are of the time that the student takes for its steps, and of the time that the teacher takes.
    """
    mine, theirs = comparison.student, comparison.teacher
    return (
        _divide(mine.style, theirs.style),
        _divide(mine.content, theirs.content),
        _divide(mine.grid, theirs.grid),
        comparison.step,
        _divide(mine.style, comparison.teacher_in_time.style),
        _divide(comparison.in_teachers_time.style, theirs.style),
    )


def _divide(mine: float, theirs: float) -> float:
    """Divide what may both be zero, as after a first step that changes nothing."""
    return (mine + TINY) / (theirs + TINY)


def describe(comparison: Comparison) -> list[str]:
    """Name a comparison and put it into figures."""
    styles = [f"{verdict.style:.4f}" for verdict in (comparison.teacher, comparison.student)]
    return [comparison.name, *styles, *(f"{value:.2f}" for value in rate(comparison))]


def summarise(comparisons: Sequence[Comparison]) -> list[str]:
    """Average the ratios over all comparisons, geometrically."""
    columns = zip(*(rate(comparison) for comparison in comparisons), strict=True)
    means = [math.exp(sum(map(math.log, column)) / len(column)) for column in columns]
    return ["geometric mean", "", "", *(f"{mean:.2f}" for mean in means)]


def format_line(cells: Sequence[str]) -> str:
    """Format a row of a Markdown table."""
    first, *others = cells
    return f"| {first:40} | " + " | ".join(f"{cell:>8}" for cell in others) + " |"


if __name__ == "__main__":
    main()
