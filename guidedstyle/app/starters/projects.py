"""What to begin with: a recipe next to its image, or a folder with samples or a person's own images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from guidedstyle.app.starters.recipes import PAINTED, check_images, check_name, make_name, name_styles
from guidedstyle.app.starters.recipes import write_first_recipe as write_text
from guidedstyle.errors import GuidedStyleError, RenderFailedError
from guidedstyle.io.files import check_folder_path, making_folders, write_file
from guidedstyle.io.images.samples import read_frame
from guidedstyle.io.ownership import add_mark, protect, write_marked
from guidedstyle.recipe.model import OUTPUT_SUFFIXES
from guidedstyle.recipe.schema import EDITOR_LINE
from guidedstyle.types import Setting

SAMPLE = "harbour.yaml"  # the recipe of a sample folder
FIRST_SIZE = 640  # px: of a first image, which takes seconds


@dataclass(frozen=True)
class FirstRecipe:
    """A new recipe: its file and text, the image it renders, and the options that its values come from."""

    file: Path
    text: str
    output: Path
    settings: Sequence[Setting] = ()

    @property
    def is_free(self) -> bool:
        """Whether neither the recipe nor the image exists."""
        return not self.file.exists() and not self.output.exists()

    @property
    def is_written(self) -> bool:
        """Whether the recipe exists, word for word."""
        return self.file.is_file() and self.file.read_bytes() == add_mark(self.text.encode(), self.file.suffix)

    @contextmanager
    def writing(self, *, overwrite: bool = False) -> Iterator[Path]:
        """Write the recipe, and restore what was there before if its render cannot begin.

        Raises GuidedStyleError where, unless `overwrite`, a file would be replaced that guidedstyle did not make.
        """
        check_folder_path(self.file.parent, "--output")
        protect([self.file, self.output], overwrite=overwrite)
        before = self.file.read_bytes() if self.file.is_file() else None
        with making_folders([self.file]):
            write_marked(self.file, self.text.encode(), overwrite=overwrite)
            try:
                yield self.file
            except RenderFailedError:
                raise
            except Exception:
                self._restore(before)
                raise

    def _restore(self, content: bytes | None) -> None:
        if content is None:
            self.file.unlink(missing_ok=True)
        else:
            write_file(self.file, content)


def make_first_recipe(
    content: Path,
    styles: Sequence[Path],
    *,
    output: Path | None = None,
    mask: Path | None = None,
    settings: Sequence[Setting] = (),
    resume: bool = False,
) -> FirstRecipe:
    """Make a recipe that renders a content image in the style of one or several images, next to its `output`.

    Without `output`, or where that is a folder, a free name is found; with `resume` also that of the same recipe.
    `mask` is an image that is white where the styles go. Raises GuidedStyleError if an image cannot be read.
    """
    check_images([content, *styles], remedy="check the name and the folder; the image to write goes with -o")
    values = {"size": min(FIRST_SIZE, max(read_frame(content).size))} | _nest(settings)
    if mask:
        check_images([mask], "--mask")
        settings = [*settings, Setting(f"regions.{PAINTED}.mask", str(mask.absolute()), "--mask")]

    def make(image: Path) -> FirstRecipe:
        recipe = image.with_suffix(".yaml")
        text = write_text(recipe, content=content, styles=styles, mask=mask, output=image, values=values)
        return FirstRecipe(recipe, text, image, settings)

    if output and not output.is_dir():
        _check_output(output)
        return make(output)
    name = "-".join([make_name(content.stem, "photo"), *name_styles(styles)])[:100]
    names = (f"{name}.png" if number == 1 else f"{name}-{number}.png" for number in count(1))
    recipes = (make((output or Path()) / name) for name in names)
    return next(recipe for recipe in recipes if recipe.is_free or (resume and recipe.is_written))


def _nest(settings: Sequence[Setting]) -> dict[str, object]:
    """Return the values of settings as a recipe has them."""
    values = dict[str, object]()
    for setting in settings:
        key, _, inner = setting.key.partition(".")
        values[key] = {inner: setting.value} if inner else setting.value
    return values


def _check_output(output: Path) -> None:
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        rule = f"{output.name!r} does not have the suffix of an image"
        raise GuidedStyleError.of("--output", rule, f"use one of {', '.join(OUTPUT_SUFFIXES)}")
    check_name(output)


def write_starter(folder: Path, content: Path | None = None, styles: Sequence[Path] = ()) -> Path:
    """Fill a new or empty folder, and return its recipe; raises GuidedStyleError if that fails.

    It gets copies of a content image and of style images, or samples where none are given.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        rule = "it is not empty" if folder.is_dir() else "it is a file"
        raise GuidedStyleError.of(folder, rule, "name a new folder")
    check_folder_path(folder, str(folder))
    if content or styles:
        return _write_own(folder, content, styles)
    samples = _find_samples()
    try:
        shutil.copytree(samples / "recipes" / "images", folder / "images")
        shutil.copytree(samples / "masks", folder / "masks", ignore=shutil.ignore_patterns("*.md"))
        text = (samples / "recipes" / SAMPLE).read_text(encoding="utf-8")
        text = f"{EDITOR_LINE}\n{text.replace('../masks/', 'masks/')}"
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise _explain(folder, error) from error
    return folder / "recipe.yaml"


def _write_own(folder: Path, content: Path | None, styles: Sequence[Path]) -> Path:
    """Copy a person's own images into a folder, with a recipe for them."""
    if not content or not styles:
        missing = "--style" if content else "--content"
        rule = f"{missing} is missing"
        raise GuidedStyleError.of("init", rule, f"give both: init {folder} --content photo.jpg --style painting.jpg")
    check_images([content], "--content")
    check_images(styles, "--style")
    size = min(FIRST_SIZE, max(read_frame(content).size))
    copies = _name_copies(folder / "images", [content, *styles])
    recipe = folder / "recipe.yaml"
    own = [copies[style] for style in styles]
    text = write_text(recipe, content=copies[content], styles=own, values={"size": size})
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for file, copy in copies.items():
            shutil.copyfile(file, copy)
        recipe.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _explain(folder, error) from error
    return recipe


def _name_copies(folder: Path, files: Sequence[Path]) -> Mapping[Path, Path]:
    """Name the copies of files in a folder; files of one name from several folders get numbers."""
    names = dict[Path, Path]()
    for file in dict.fromkeys(files):
        taken = {copy.name.casefold() for copy in names.values()}
        numbered = (f"{file.stem}{f'_{number}' if number > 1 else ''}{file.suffix}" for number in count(1))
        names[file] = folder / next(name for name in numbered if name.casefold() not in taken)
    return names


def _explain(folder: Path, error: OSError) -> GuidedStyleError:
    return GuidedStyleError.of(folder, f"it cannot be written: {error}", "name another folder")


def _find_samples() -> Path:
    """Find the samples in the installed package, or next to it in a working copy."""
    package = Path(__file__).parents[2]
    return next(root for root in (package / "starter", package.parent) if (root / "recipes").is_dir())
