"""Jobs: which recipe is rendered on which content into which file."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.formats.cameras import HEIF_SUFFIXES, RAW_SUFFIXES, is_raw
from guidedstyle.io.images.formats.limits import FORMATS
from guidedstyle.io.paths import PREVIEW, WATCHED, list_output_files
from guidedstyle.masks.files import MaskStore
from guidedstyle.recipe.inputs import Given, find_overwritten, identify, list_given
from guidedstyle.recipe.loading.loader import Reading, read_recipe
from guidedstyle.recipe.model import OUTPUT_SUFFIXES
from guidedstyle.results.record import find_record
from guidedstyle.run.options import RenderOptions
from guidedstyle.scene.check import Check, check_reading
from guidedstyle.types import Setting


@dataclass(frozen=True)
class Order:
    """What to render: a recipe, a content image instead of its own, an output instead of the one in the recipe."""

    recipe: Path
    content: Path | None = None
    output: Path | None = None

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.recipe} of {self.content}" if self.content else str(self.recipe)

    @property
    def settings(self) -> list[Setting]:
        """The keys of the recipe that it replaces."""
        keys = (("output", self.output), ("content", self.content))
        return [Setting(key, str(file.absolute()), f"--{key}") for key, file in keys if file]


@dataclass(frozen=True)
class Job:
    """An image to render, with its recipe and its check.

    Of several jobs the checks are not kept, since together they would take more memory than a render.
    """

    name: str
    reading: Reading
    check: Check | None

    def find_check(self, masks: MaskStore) -> Check:
        """Return the check, or check again."""
        return self.check or check_reading(self.reading, masks)

    @property
    def output(self) -> Path:
        """The image to write."""
        return self.reading.recipe.output


@dataclass(frozen=True)
class Failure:
    """An image that cannot be rendered, and why."""

    name: str
    error: GuidedStyleError
    reading: Reading | None = None


def list_orders(recipes: Sequence[Path], contents: Sequence[str] = (), output: Path | None = None) -> list[Order]:
    """List every recipe, with every content image that `contents` name instead of its own.

    `contents` are files, folders, or patterns such as `photos/*.jpg`. `output` is the image, or for several of them
    a folder. Raises GuidedStyleError if `contents` match no image.
    """
    images = list(dict.fromkeys(file for content in contents for file in _find_images(content)))
    none: Sequence[Path | None] = (None,)
    pairs = [(recipe, image) for recipe in recipes for image in images or none]
    if len(pairs) == 1 and (not contents or _is_image(output)):
        return [Order(*pairs[0], output)]
    if _is_image(output):
        rule = f"{output} is an image's name, and there are {len(pairs)} images"
        raise GuidedStyleError.of("--output", rule, "name a folder")
    alone = len(recipes) == 1
    return [Order(recipe, image, _name_output(recipe, image, output, alone)) for recipe, image in pairs]


def _name_output(recipe: Path, image: Path | None, folder: Path | None, alone: bool) -> Path | None:
    """Name the output of one of several images; None: the one in its recipe."""
    if not image:
        return folder / f"{recipe.stem}.png" if folder else None
    name = image.stem if alone and folder else f"{recipe.stem}-{image.stem}"
    return (folder or recipe.parent) / f"{name}.png"


def make_jobs(
    orders: Sequence[Order],
    settings: Sequence[Setting] = (),
    *,
    sandbox: bool = False,
    masks: MaskStore | None = None,
) -> list[Job | Failure]:
    """Read and check the recipe of every order; `masks` keeps decoded masks for the render.

    Raises GuidedStyleError where the only image cannot be rendered.
    """
    jobs = [_make_job(order, settings, sandbox=sandbox, masks=masks) for order in orders]
    if len(jobs) == 1:
        if isinstance(jobs[0], Failure):
            raise jobs[0].error
    else:
        jobs = [replace(job, check=None) if isinstance(job, Job) else job for job in jobs]
    first = {os.path.realpath(job.output): job for job in reversed(jobs) if isinstance(job, Job)}
    inputs = dict.fromkeys(file for order in orders for file in (order.recipe, order.content) if file)
    given = [(f"{file}, which is named too", file) for file in inputs]
    given += [one for job in jobs if job.reading for one in list_given(job.reading.recipe)]
    return [_refuse_clash(job, first, identify(given)) for job in jobs]


def _make_job(order: Order, settings: Sequence[Setting], *, sandbox: bool, masks: MaskStore | None) -> Job | Failure:
    reading = None
    try:
        reading = read_recipe(order.recipe, [*settings, *order.settings], sandbox)
        return Job(order.name, reading, check_reading(reading, masks))
    except GuidedStyleError as error:
        return Failure(order.name, error, reading)


def _refuse_clash(job: Job | Failure, first: Mapping[str, Job], given: Given) -> Job | Failure:
    """Refuse an image that would overwrite an input of any job, or the output of an earlier one."""
    if isinstance(job, Failure):
        return job
    rule = find_overwritten(given, list_output_files(job.output))
    if not rule and (other := first[os.path.realpath(job.output)]) is not job:
        rule = f"{job.output}: {other.name} is written there already"
    if not rule:
        return job
    error = GuidedStyleError.of("output", rule, "give the files other names, or name a folder: -o")
    return Failure(job.name, error, job.reading)


def refuse_written(job: Job | Failure, written: Sequence[tuple[str, Path]]) -> Job | Failure:
    """Refuse a job whose output is a file that was written under another name."""
    if isinstance(job, Job) and (rule := find_overwritten(identify(written), [job.output])):
        return Failure(job.name, GuidedStyleError.of("output", rule, "give the files other names"), job.reading)
    return job


def protect_outputs(jobs: Sequence[Job | Failure], options: RenderOptions) -> list[Job | Failure]:
    """Refuse the jobs that would replace files that guidedstyle did not make; raises GuidedStyleError for a single one.

    Images that `resume` finds finished are not replaced.
    """
    if len(jobs) == 1 and isinstance(jobs[0], Job):
        _protect(jobs[0], options)
    return [_refuse_foreign(job, options) for job in jobs]


def _refuse_foreign(job: Job | Failure, options: RenderOptions) -> Job | Failure:
    try:
        if isinstance(job, Job):
            _protect(job, options)
        return job
    except GuidedStyleError as error:
        return Failure(job.name, error, job.reading)


def _protect(job: Job, options: RenderOptions) -> None:
    if not (options.resume and find_record(job.reading.recipe)):
        options.check_files(job.reading.recipe, job.reading.document.source)


def _find_images(content: str) -> list[Path]:
    """Find the images that a file, folder or pattern names; raises GuidedStyleError where there are none."""
    path = Path(content)
    if content and path.is_dir():
        found = _leave_out_raw(sorted(filter(_is_content, path.iterdir())))
    else:
        found = [path] if path.is_file() else sorted(map(Path, glob.glob(content, recursive=True)))  # noqa: PTH207
    if not found:
        raise GuidedStyleError.of(
            "--content", f"{content or 'an empty name'} names no image", "name a file, a folder or 'photos/*.jpg'"
        )
    return found


def _is_content(file: Path) -> bool:
    """Whether a file of a folder is a content image: readable, neither hidden nor a preview."""
    suffix = file.suffix.lower()
    known = Image.registered_extensions().get(suffix) in FORMATS or suffix in (*HEIF_SUFFIXES, *RAW_SUFFIXES)
    return known and not file.name.startswith(".") and not file.name.endswith((PREVIEW, WATCHED))


def _leave_out_raw(images: Sequence[Path]) -> list[Path]:
    """Leave out camera raw data beside which there is an image of the same name, as cameras write both."""
    developed = {file.stem for file in images if not is_raw(file)}
    return [file for file in images if not is_raw(file) or file.stem not in developed]


def _is_image(output: Path | None) -> bool:
    return bool(output and output.suffix.lower() in OUTPUT_SUFFIXES)
