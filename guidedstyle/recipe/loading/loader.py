"""Load a recipe from YAML or from a rendered PNG, and write one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.recipe.files import find_escapes, list_files, list_masks, share_masks
from guidedstyle.recipe.loading.document import Document, lies_within, read_document, read_value, write_yaml
from guidedstyle.recipe.loading.rules import find_violations
from guidedstyle.recipe.loading.validation import validate
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.shorthand import expand
from guidedstyle.types import KeyPath, Setting, Violation

PHOTOGRAPHS = (".jpg", ".jpeg", ".tif", ".tiff", ".webp")
MOST_BYTES = 2**20  # of a recipe
RECIPE_KEY = "guidedstyle recipe"  # of the PNG's text that carries the recipe


class Reading(NamedTuple):
    """A recipe as far as it could be understood, and all that is wrong with it so far."""

    recipe: Recipe
    document: Document
    broken: frozenset[KeyPath]
    mistaken: set[KeyPath]  # paths of errors that were found later, in what is right by itself

    def examine(self, source: Path | None = None) -> Reading:
        """Note what is wrong between the keys of what stands in `source`, and the files that are not there."""
        self.report(find_violations(self.recipe, source))
        self.report(_find_missing_files(self.recipe))
        return self

    def report(self, mistakes: Iterable[Violation]) -> None:
        """Note errors with their places, leaving out those that follow from a key already reported."""
        for path, rule, remedy in mistakes:
            if not self.is_broken(path):
                self.document.problems.append(Problem(self.document.locate(path), rule, remedy))
                self.mistaken.add(path)

    def is_broken(self, path: KeyPath) -> bool:
        """Tell whether an error at `path`, or above it, has been reported already."""
        return lies_within(path, self.broken)

    def is_mistaken(self, path: KeyPath) -> bool:
        """Tell whether an error has been reported at `path`, above it, or in a part of it."""
        return self.is_broken(path) or any(key[: len(path)] == path for key in self.mistaken)


def load_recipe(file: Path | str, settings: Sequence[Setting] = (), sandbox: bool = False) -> Recipe:
    """Read a recipe from YAML, or from a PNG that `render` wrote.

    Raises GuidedStyleError with all problems.
    """
    reading = read_recipe(Path(file), settings, sandbox)
    if reading.document.problems:
        raise GuidedStyleError(reading.document.problems)
    return reading.recipe


def read_recipe(file: Path, settings: Sequence[Setting] = (), sandbox: bool = False) -> Reading:
    """Read a recipe with its errors noted in the document; raises where nothing can be made of it.

    In a `sandbox` it may name nothing outside its folder; `settings` may.
    """
    if not file.is_file():
        raise GuidedStyleError.of(file, "there is no such file", "name a recipe (.yaml)")
    document = read_document(str(file), _recipe_text(file))
    if not isinstance(document.data, dict):
        raise GuidedStyleError.of(file, "it holds no keys", "start with content: PHOTO and style: PAINTING")
    if default_output(file) != file.with_suffix(".png"):  # an image's own recipe must not overwrite it
        document.data.pop("output", None)
    document.data.setdefault("output", default_output(file).name)
    for setting in settings:
        if _is_short(setting.key):
            document.apply(setting)
    document.data = expand(document.data)
    if ("style",) in document.places:
        derived = dict.fromkeys([("styles", "style"), ("regions",)], document.places["style",])
        document.places = derived | document.places
    for setting in settings:
        if not _is_short(setting.key):
            document.apply(setting)
    recipe, broken = validate(document)
    reading = Reading(share_masks(_anchor(recipe, file.parent)), document, frozenset(broken), set()).examine(file)
    if sandbox:
        _confine(reading, file.parent, settings)
    if ("masks",) in reading.mistaken and (shared := reading.recipe.masks):
        reading.mistaken.update(path for path, mask in list_masks(reading.recipe) if mask.file == shared.file)
    return reading


def _confine(reading: Reading, folder: Path, settings: Sequence[Setting]) -> None:
    """Report what leads out of a folder, but for what was said elsewhere than in the recipe."""
    said = {setting.place for setting in settings}
    reading.report(find_escapes(reading.recipe, folder, lambda path: reading.document.find_place(path) in said))


def check_settings(file: Path, settings: Sequence[Setting]) -> None:
    """Raise GuidedStyleError with what is wrong with settings alone: no change of the recipe mends that."""
    try:
        problems: Sequence[Problem] = read_recipe(file, settings).document.problems
    except GuidedStyleError as error:
        problems = error.problems
    said = {setting.place for setting in settings}
    if wrong := [one for one in problems if any(f"{one.place}: ".startswith(f"{place}: ") for place in said)]:
        raise GuidedStyleError(wrong)


def _is_short(key: str) -> bool:
    """Tell whether a key stands only in the short form of a recipe: there it must be set before that is rewritten."""
    return key.split(".")[0] == "style"


def wrap_recipe(recipe: Recipe) -> Reading:
    """Take a recipe that was made or changed by a program, its paths relative to the working folder, as read."""
    return Reading(share_masks(recipe), Document("recipe"), frozenset(), set()).examine()


def parse_setting(text: str) -> Setting:
    """Parse `KEY=VALUE` of the command line, the value written as in YAML."""
    key, equals, value = text.partition("=")
    place = f"--set {text}"
    if not key or not equals:
        raise GuidedStyleError.of(place, "there is no KEY=VALUE here", "write, for example, --set smoothness=2")
    return Setting(key.strip(), read_value(place, value) if value else None, place)


def default_output(file: Path) -> Path:
    """Name the image of a recipe; one that is itself an image is not overwritten."""
    return file.with_name(f"{file.stem}-again.png") if file.suffix.lower() == ".png" else file.with_suffix(".png")


def _recipe_text(file: Path) -> str:
    if file.suffix.lower() in PHOTOGRAPHS:
        remedy = "name a recipe (.yaml); content images go with --content, patterns of them in quotes: 'photos/*.jpg'"
        raise GuidedStyleError.of(file, "this is a content image, not a recipe", remedy)
    if file.suffix.lower() != ".png":
        return _read_text(file)
    from guidedstyle.io.images import read_note

    text = read_note(file, RECIPE_KEY)
    if text is None:
        remedy = "name a recipe (.yaml) or a PNG that guidedstyle rendered"
        raise GuidedStyleError.of(file, "this image carries no recipe", remedy)
    return text


def _read_text(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            remedy = f"name a recipe of at most {MOST_BYTES:,} bytes"
            raise GuidedStyleError.of(file, f"{size:,} bytes are too large for a recipe", remedy)
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GuidedStyleError.of(file, "it is not UTF-8 text", "save the recipe as UTF-8 text") from error
    except OSError as error:
        raise GuidedStyleError.of(file, f"it cannot be read: {error.strerror}", "name an existing recipe") from error


def _anchor(recipe: Recipe, base: Path) -> Recipe:
    """Make the recipe's paths relative to the working folder instead of to the recipe file."""
    return move_paths(recipe, lambda path: Path(os.path.normpath(base / path)))


def move_paths(recipe: Recipe, move: Any) -> Recipe:
    """Apply `move` to every path of a recipe."""

    def walk(value: Any) -> Any:
        if isinstance(value, Path):
            return move(value)
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        return tuple(map(walk, value)) if isinstance(value, tuple) else value

    return Recipe.model_validate(walk(recipe.model_dump(by_alias=True)))


def write_recipe(recipe: Recipe, base: Path) -> str:
    """Write a recipe as YAML whose paths are relative to the folder `base`: what `load_recipe` reads there."""
    return write_yaml(dump_recipe(recipe, base))


def dump_recipe(recipe: Recipe, base: Path) -> dict[str, Any]:
    """Return a recipe as plain data, as `write_recipe` writes it."""
    moved = move_paths(recipe, lambda path: relate_path(path, base))
    return {"format": moved.format} | moved.model_dump(mode="json", exclude_none=True, by_alias=True)


def relate_path(path: Path, base: Path) -> Path:
    """Write a path relative to the folder `base`."""
    try:
        return Path(os.path.relpath(path, base))
    except ValueError:  # another drive
        return path.absolute()


def _find_missing_files(recipe: Recipe) -> Iterable[Violation]:
    for path, file in list_files(recipe):
        if not file.is_file():
            yield path, _describe_absence(file), "paths are relative to the recipe file; check the name and the folder"


def _describe_absence(file: Path) -> str:
    if file.is_dir():
        return f"{file} is a folder"
    if {"http:", "https:"} & set(file.parts):
        return "addresses of the web are not read"
    if file.is_symlink():
        return f"{file} is a link that leads nowhere"
    return f"{file} is no plain file" if file.exists() else f"there is no file {file}"
