"""Jobs: which recipe is rendered on which content into which file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import make_folder
from guidedstyle.io.images import FORMATS
from guidedstyle.io.paths import PREVIEW, WATCHED, list_output_files
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.files import Given, find_overwritten, identify, list_given
from guidedstyle.recipe.loading.loader import Reading, read_recipe
from guidedstyle.recipe.model import OUTPUT_SUFFIXES
from guidedstyle.scene.check import Check, check_reading
from guidedstyle.types import Setting


@dataclass(frozen=True)
class Job:
    """An image to render: its recipe, read, and its check; one of several is checked again at its turn.

    The checks of all would take more memory than a render.
    """

    name: str
    reading: Reading
    known: Check | None

    def find_check(self, masks: MaskStore) -> Check:
        """Return the check, or check again."""
        return self.known or check_reading(self.reading, masks)

    @property
    def output(self) -> Path:
        """Where the image goes."""
        return self.reading.recipe.output


@dataclass(frozen=True)
class Failure:
    """An image that cannot be rendered, and why."""

    name: str
    error: GuidedStyleError
    reading: Reading | None = None


@contextmanager
def leaving_no_empty(output: Path | None) -> Iterator[None]:
    """Take away in the end the folders that were made for images of which none came."""
    places = [output, *output.absolute().parents] if output else []
    new = [place for place in places if not place.exists()]
    try:
        yield
    finally:
        for place in new:
            with suppress(OSError):  # it is an image, or not empty
                place.rmdir()


Order = tuple[Path, Path | None]  # a recipe, and a content image instead of its own


def make_jobs(
    recipes: Sequence[Path],
    contents: Sequence[str],
    output: Path | None,
    settings: Sequence[Setting],
    sandbox: bool = False,
    masks: MaskStore | None = None,
) -> list[Job | Failure]:
    """Read every recipe, with every content image that `contents` name instead of its own.

    `contents` are files, folders, or patterns such as `photos/*.jpg`. `output` is the image, or for several of them
    a folder. `masks` keeps decoded masks for the render.

    Raises GuidedStyleError where `contents` name nothing, or where the only image cannot be rendered.
    """
    photographs = list(dict.fromkeys(file for content in contents for file in _find_images(content)))
    none: Sequence[Path | None] = (None,)
    orders: list[Order] = [(recipe, photo) for recipe in recipes for photo in photographs or none]
    many = len(orders) > 1 or bool(contents and not _is_image(output))
    if many and _is_image(output):
        rule = f"{output} is an image's name, and there are {len(orders)} images"
        raise GuidedStyleError.of("--output", rule, "name a folder")
    if many and output:
        make_folder(output, "--output")
    outputs = [_name_output(order, output, recipes) if many else output for order in orders]
    jobs = [_make_job(order, out, settings, sandbox, many, masks) for order, out in zip(orders, outputs, strict=True)]
    if len(jobs) == 1 and isinstance(jobs[0], Failure):
        raise jobs[0].error
    first = {os.path.realpath(job.output): job for job in reversed(jobs) if isinstance(job, Job)}
    named = [(f"{file}, which is named too", file) for file in (*recipes, *photographs)]
    named += [one for job in jobs if job.reading for one in list_given(job.reading.recipe)]
    return [_refuse_clash(job, first, identify(named)) for job in jobs]


def _make_job(
    order: Order,
    output: Path | None,
    settings: Sequence[Setting],
    sandbox: bool,
    many: bool,
    masks: MaskStore | None,
) -> Job | Failure:
    recipe, photograph = order
    name = f"{recipe} of {photograph}" if photograph else str(recipe)
    added: list[Setting] = [Setting("output", str(output.absolute()), "--output")] if output else []
    added += [Setting("content", str(photograph.absolute()), "--content")] if photograph else []
    reading = None
    try:
        reading = read_recipe(recipe, [*settings, *added], sandbox)
        check = check_reading(reading, masks)
        return Job(name, reading, None if many else check)
    except GuidedStyleError as error:
        return Failure(name, error, reading)


def _name_output(order: Order, folder: Path | None, recipes: Sequence[Path]) -> Path | None:
    """Name the image of an order among several; None: as its recipe says."""
    recipe, photograph = order
    if not photograph:
        return folder / f"{recipe.stem}.png" if folder else None
    name = photograph.stem if len(recipes) == 1 and folder else f"{recipe.stem}-{photograph.stem}"
    return (folder or recipe.parent) / f"{name}.png"


def _refuse_clash(job: Job | Failure, first: Mapping[str, Job], given: Given) -> Job | Failure:
    """Refuse an image that would take the place of the `first` one there, or of a file that any is made of."""
    if isinstance(job, Failure):
        return job
    rule = find_overwritten(given, list_output_files(job.output))
    if not rule and (other := first[os.path.realpath(job.output)]) is not job:
        rule = f"{job.output}: {other.name} is written there already"
    if not rule:
        return job
    error = GuidedStyleError.of("output", rule, "give the files other names, or name a folder: -o")
    return Failure(job.name, error, job.reading)


def _find_images(content: str) -> list[Path]:
    """Find the images that a file, a folder or a pattern names; raises GuidedStyleError where there are none."""
    path = Path(content)
    if content and path.is_dir():
        found = sorted(filter(_is_photograph, path.iterdir()))
    else:
        found = [path] if path.is_file() else sorted(map(Path, glob.glob(content, recursive=True)))  # noqa: PTH207
    if not found:
        raise GuidedStyleError.of(
            "--content", f"{content or 'an empty name'} names no image", "name a file, a folder or 'photos/*.jpg'"
        )
    return found


def _is_photograph(file: Path) -> bool:
    """Tell whether a file of a folder is meant: an image that can be read, neither hidden nor a preview of ours."""
    kind = Image.registered_extensions().get(file.suffix.lower())
    return kind in FORMATS and not file.name.startswith(".") and not file.name.endswith((PREVIEW, WATCHED))


def _is_image(output: Path | None) -> bool:
    return bool(output and output.suffix.lower() in OUTPUT_SUFFIXES)
