"""Compare an encoder with its teacher on recipes, or on pairs of a content and a style image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from PIL import Image

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.plan import make_plan
from guidedstyle.errors import GuidedStyleError
from guidedstyle.evaluation.judge import TILE, EncoderComparison, Judge
from guidedstyle.evaluation.second_judge import SecondJudge, check_scene
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.io.paths import SHEET
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.results.sheets import make_sheet
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Setting

COLUMNS = ("pair", "teacher", "student", "ratio", "content", "grid", "step", "equal time", "teacher's time")
SECOND_COLUMN = "second judge"
LABELS = ("teacher", "student", "student longer")


def open_scenes(recipes: Sequence[Path], pairs: Sequence[tuple[Path, Path]] = (), *, size: int) -> dict[str, Scene]:
    """Open recipes, and pairs of content and style, at a longest side of `size` px, by unique names.

    Raises GuidedStyleError for what cannot be read or is too small.
    """
    with TemporaryDirectory() as folder:
        files = [*recipes, *_write_pairs(pairs, Path(folder))]
        scenes = {
            name: open_scene(read_recipe(file, [Setting("size", size, "--size")]))
            for name, file in zip(_name_uniquely(files), files, strict=True)
        }
    for name, scene in scenes.items():
        _check_size(name, scene)
    return scenes


def _write_pairs(pairs: Sequence[tuple[Path, Path]], folder: Path) -> Iterator[Path]:
    """Write a recipe for each pair, each in its own folder, since names may repeat."""
    for index, (content, style) in enumerate(pairs):
        recipe = folder / str(index) / f"{content.stem[:60]}-{style.stem[:60]}.yaml"
        recipe.parent.mkdir()
        recipe.write_text(yaml.safe_dump({"content": str(content.absolute()), "style": str(style.absolute())}))
        yield recipe


def _name_uniquely(files: Sequence[Path]) -> list[str]:
    """Name files by their stems; repeated ones get a number."""
    stems = [file.stem for file in files]
    counts = [stems[:index].count(stem) for index, stem in enumerate(stems)]
    return [f"{stem}-{count + 1}" if count else stem for stem, count in zip(stems, counts, strict=True)]


def _check_size(name: str, scene: Scene) -> None:
    height, width = scene.content.shape[2:]
    if min(width, height) < TILE:
        rule = f"{name} would be {width} x {height} px; grid artefacts are measured in tiles of {TILE} px"
        raise GuidedStyleError.of("--size", rule, "choose a larger size")


def check_plans(scenes: Mapping[str, Scene], encoders: Sequence[Encoder], second: SecondJudge | None = None) -> None:
    """Raise GuidedStyleError if a scene cannot be rendered with one of the encoders, or judged by the second judge."""
    for scene in scenes.values():
        for encoder in encoders:
            make_plan(scene, encoder)
        if second:
            check_scene(scene, second.encoder)


def compare_encoders(
    scenes: Mapping[str, Scene],
    teacher: Encoder,
    student: Encoder,
    *,
    steps: int,
    folder: Path,
    overwrite: bool = False,
    second: SecondJudge | None = None,
) -> Iterator[EncoderComparison]:
    """Compare a student with its teacher on each scene; writes the images and `sheet.png` into `folder`.

    A `second` judge measures every result too. Raises GuidedStyleError where, unless `overwrite`, that would replace a
    file that guidedstyle did not make.
    """
    judge, rows = Judge(teacher, steps, second=second), []
    for name, scene in scenes.items():
        comparison = judge.compare(name, scene, student)
        rows.append([*_label_inputs(name, scene), *_save_results(comparison, folder, overwrite)])
        save_image(make_sheet(rows), folder / SHEET, overwrite=overwrite)
        yield comparison


def _label_inputs(name: str, scene: Scene) -> Iterator[tuple[str, Image.Image]]:
    yield name, to_pillow(scene.content)
    for style, style_image in scene.style_images.items():
        yield style, to_pillow(style_image.image)


def list_outputs(scenes: Mapping[str, Scene], folder: Path) -> list[Path]:
    """List the files that a comparison of these scenes writes into a folder."""
    return [folder / SHEET, *(_name_result(folder, name, label) for name in scenes for label in LABELS)]


def _name_result(folder: Path, name: str, label: str) -> Path:
    return folder / f"{name}-{label.replace(' ', '-')}.png"


def _save_results(comparison: EncoderComparison, folder: Path, overwrite: bool) -> Iterator[tuple[str, Image.Image]]:
    """Save the results of a comparison and yield them with their labels."""
    verdicts = (comparison.teacher, comparison.student, comparison.student_in_teacher_time)
    for label, verdict in zip(LABELS, verdicts, strict=True):
        image = to_pillow(verdict.image)
        save_image(image, _name_result(folder, comparison.name, label), overwrite=overwrite)
        yield f"{label}: style {verdict.style:.4f}", image


def list_columns(second: SecondJudge | None = None) -> list[str]:
    """List the columns of the table, the last one that of the second judge if there is one."""
    return [*COLUMNS, SECOND_COLUMN] if second else [*COLUMNS]


def describe(comparison: EncoderComparison) -> list[str]:
    """Return the cells of a comparison's row, as `list_columns` names them."""
    styles = [f"{verdict.style:.4f}" for verdict in (comparison.teacher, comparison.student)]
    return [comparison.name, *styles, *(f"{value:.2f}" for value in comparison.ratios)]


def summarise(comparisons: Sequence[EncoderComparison]) -> list[str]:
    """Return the last row: the geometric means of the ratios."""
    columns = zip(*(comparison.ratios for comparison in comparisons), strict=True)
    means = [math.exp(sum(map(math.log, column)) / len(column)) for column in columns]
    return ["geometric mean", "", "", *(f"{mean:.2f}" for mean in means)]
