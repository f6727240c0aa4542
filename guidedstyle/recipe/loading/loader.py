"""Load a recipe from YAML or from a rendered PNG, and write one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from guidedstyle.errors import GuidedStyleError, Problem, Warned
from guidedstyle.io.images.formats.cameras import HEIF_SUFFIXES, RAW_SUFFIXES
from guidedstyle.io.memory import InMemoryImage, is_image_name
from guidedstyle.io.ownership import RECIPE_KEY
from guidedstyle.recipe.inputs import find_escapes, find_spelled, list_files, list_masks, share_masks
from guidedstyle.recipe.loading.document import Document, NotYamlError, read_document, take_document, write_yaml
from guidedstyle.recipe.loading.effects import find_keys_without_effect
from guidedstyle.recipe.loading.keys import lies_within, name_key
from guidedstyle.recipe.loading.rules import find_violations
from guidedstyle.recipe.loading.settings import apply_setting, expand_document, rename_keys, sort_settings
from guidedstyle.recipe.loading.validation import validate
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.remedies.files import suggest_file, suggest_mask
from guidedstyle.recipe.remedies.lines import find_decimal_commas
from guidedstyle.recipe.remedies.repairs import Mender, Verdict
from guidedstyle.recipe.remedies.texts import decode
from guidedstyle.recipe.remedies.values import read_mix
from guidedstyle.types import KeyPath, Setting, Violation

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", *HEIF_SUFFIXES, *RAW_SUFFIXES)
QUICK = "without a recipe: guidedstyle quick PHOTO PAINTING"
FOLLOWING = {"no style": ["style"], "is missing": ["canvas"]}  # errors, and the invalid keys they follow from
MOST_BYTES = 2**20  # of a recipe


@dataclass
class Reading:
    """A recipe as far as it is valid; all errors found so far are in the document."""

    recipe: Recipe
    document: Document
    invalid: frozenset[KeyPath] = frozenset()  # keys that were left out, or replaced by a placeholder
    wrong: set[KeyPath] = field(default_factory=set)  # valid keys that break a rule

    def report(self, violations: Iterable[Violation]) -> None:
        """Add errors with their places, except those that follow from an invalid key."""
        for path, rule, remedy in violations:
            if not self.is_invalid(path) and not any(
                (*path, key) in self.invalid for key in FOLLOWING.get(" ".join(rule.split()[-2:]), ())
            ):
                self.document.problems.append(Problem(self.document.locate(path), rule, remedy))
                self.wrong.add(path)

    def warn(self, violations: Iterable[Violation]) -> None:
        """Add warnings with their places, except those of keys that have errors."""
        for path, rule, remedy in violations:
            if not self.has_errors(path):
                problem = Problem(self.document.locate(path), rule, remedy)
                self.document.warnings.append(Warned.of(problem))

    def is_invalid(self, path: KeyPath) -> bool:
        """Whether the key at `path`, or one above it, is invalid."""
        return lies_within(path, self.invalid)

    def has_errors(self, path: KeyPath) -> bool:
        """Whether an error has been reported at `path`, above it, or within it."""
        return self.is_invalid(path) or any(key[: len(path)] == path for key in self.wrong)


Source = Mapping[str, object] | str | os.PathLike[str]


def load_recipe(source: Source, settings: Sequence[Setting] = (), sandbox: bool = False) -> Recipe:
    """Read a recipe from YAML, from a PNG that `render` wrote, or from a mapping.

    Raises GuidedStyleError with all problems.
    """
    reading = read_source(source, settings, sandbox)
    if reading.document.problems:
        raise GuidedStyleError(reading.document.problems)
    return reading.recipe


def read_source(source: Source, settings: Sequence[Setting] = (), sandbox: bool = False) -> Reading:
    """Read a recipe, as `read_recipe` does, also from a mapping; raises GuidedStyleError for anything else."""
    if isinstance(source, Mapping):
        return read_mapping(source, settings, sandbox)
    if isinstance(source, str | os.PathLike):
        return read_recipe(Path(source), settings, sandbox)
    remedy = "give the path of a recipe, or a mapping with its keys"
    if isinstance(source, Recipe):
        remedy = "it is loaded already: give settings where you load it, load_recipe(FILE, {KEY: VALUE})"
    raise GuidedStyleError.of("recipe", f"{type(source).__name__} is not a source of recipes", remedy)


def read_recipe(file: Path, settings: Sequence[Setting] = (), sandbox: bool = False) -> Reading:
    """Read a recipe and collect its errors; raises GuidedStyleError if no part of it is valid.

    With `sandbox` it may name no files outside its folder; settings may.
    """
    text = _read_source(file)
    reading, verdict = _attempt(file, text, settings, sandbox)
    if verdict.problems:
        problems = Mender(str(file), text, lambda other: _attempt(file, other, settings, sandbox)[1]).mend(verdict)
        if not reading:
            raise GuidedStyleError(problems)
        reading.document.problems[:] = problems
    assert reading
    reading.document.warnings += _find_decimal_commas(text, file)
    return reading


def _find_decimal_commas(text: str, file: Path) -> Iterator[Warned]:
    """Find numbers with a decimal comma that are read as two; the values that were read do not show it any more."""
    for number, line in enumerate(text.split("\n"), 1):
        if written := find_decimal_commas(line):
            remedy = f"write {written.replace(',', '.')}, or a space after every comma"
            yield Warned.of(Problem(f"{file}:{number}: octaves", f"{written} is read as two numbers", remedy))


def _attempt(file: Path, text: str, settings: Sequence[Setting], sandbox: bool) -> tuple[Reading | None, Verdict]:
    """Read a recipe's text, as far as it is valid, and find its errors."""
    try:
        reading = _read(_read_document(file, text), settings, file=file, sandbox=sandbox)
        return reading, Verdict(tuple(reading.document.problems))
    except GuidedStyleError as error:
        return None, Verdict(error.problems, error.stops if isinstance(error, NotYamlError) else (), readable=False)


def read_mapping(data: Mapping[str, object], settings: Sequence[Setting] = (), sandbox: bool = False) -> Reading:
    """Read a recipe from a mapping as `read_recipe` reads one from a file; paths are relative to the working folder."""
    return _read(take_document(data), settings, file=None, sandbox=sandbox)


def _read(document: Document, settings: Sequence[Setting], *, file: Path | None, sandbox: bool) -> Reading:
    folder = file.parent if file else Path()
    rename_keys(document)
    for setting in sort_settings(settings):
        apply_setting(document, setting)
    expand_document(document)
    recipe, invalid = validate(document)
    recipe = move_paths(recipe, lambda path: _find_path(path, folder, document))
    reading = Reading(share_masks(recipe), document, frozenset(invalid))
    reading.report(_check(reading, file))
    reading.warn(find_keys_without_effect(reading.recipe))
    if sandbox:
        reading.report(_find_escapes(reading, folder, settings))
    if ("masks",) in reading.wrong and (shared := reading.recipe.masks):  # the masks that need it are not opened
        reading.wrong.update(path for path, mask in list_masks(reading.recipe) if mask.file == shared.file)
    return reading


def wrap_recipe(recipe: Recipe) -> Reading:
    """Check a recipe that a program made or changed, its paths relative to the working folder."""
    reading = Reading(share_masks(recipe), Document("recipe", places={(): "recipe"}))
    reading.report(_check(reading, None))
    reading.warn(find_keys_without_effect(reading.recipe))
    return reading


def _find_path(path: Path, folder: Path, document: Document) -> Path:
    """Find a file that is named relative to a folder, or the image in memory of this name."""
    held = document.images.get(str(path))
    if isinstance(held, InMemoryImage):
        return held
    return path if is_image_name(path) else find_spelled(Path(os.path.normpath(folder / path)))


def check_settings(file: Path, settings: Sequence[Setting]) -> None:
    """Raise GuidedStyleError with the errors of the settings only, which no change of the recipe can fix."""
    try:
        problems: Sequence[Problem] = read_recipe(file, settings).document.problems
    except GuidedStyleError as error:
        problems = error.problems
    places = {setting.place for setting in settings}
    if wrong := [one for one in problems if any(f"{one.place}: ".startswith(f"{place}: ") for place in places)]:
        raise GuidedStyleError(wrong)


def _check(reading: Reading, source: Path | None) -> Iterator[Violation]:
    yield from find_violations(reading.recipe, source)
    for path, file in list_files(reading.recipe):
        refused = reading.document.images.get(str(file))
        if isinstance(refused, Problem):
            yield path, refused.rule, refused.remedy
        elif not file.is_file():
            coded = bool(reading.recipe.masks)
            mask = suggest_mask(file, coded=coded) if {"mask", "where"} & {*path[-2:]} else None
            rule, remedy = _describe_absence(file, name_key(path, reading.document.data), source)
            mix = read_mix(file.name, reading.recipe.styles) if path[0] == "styles" else None
            yield path, rule, mask or (f"several styles are a mix: write `style: {mix}`" if mix else remedy)


def _find_escapes(reading: Reading, folder: Path, settings: Sequence[Setting]) -> Iterator[Violation]:
    places = {setting.place for setting in settings}
    return find_escapes(reading.recipe, folder, lambda path: reading.document.find_place(path) in places)


def _read_document(file: Path, text: str) -> Document:
    """Read a recipe's data, with the default output."""
    document = read_document(str(file), text)
    if not isinstance(document.data, dict):
        raise GuidedStyleError.of(file, "it contains no keys", "start with content: IMAGE and style: IMAGE")
    output = default_output(file)
    if output != file.with_suffix(".png"):  # an image's own recipe must not overwrite it
        document.data.pop("output", None)
    document.data.setdefault("output", output.name)
    return document


def default_output(file: Path) -> Path:
    """Name the image of a recipe; one that is itself an image is not overwritten."""
    return file.with_name(f"{file.stem}-again.png") if file.suffix.lower() == ".png" else file.with_suffix(".png")


def _read_source(file: Path) -> str:
    """Read the text of a recipe, or that which a rendered PNG carries."""
    if file.is_dir():
        found = sorted(one.name for one in file.glob("*.yaml"))[:1]
        remedy = f"give a recipe in it, such as {file / found[0]}" if found else "give the path of a recipe (.yaml)"
        raise GuidedStyleError.of(file, "this is a folder, not a recipe", remedy)
    if not file.is_file():
        raise GuidedStyleError.of(file, "there is no such file", "give the path of a recipe (.yaml)")
    if file.suffix.lower() in PHOTO_SUFFIXES:
        remedy = f"give a recipe (.yaml); content images go with --content, patterns in quotes: 'photos/*.jpg'; {QUICK}"
        raise GuidedStyleError.of(file, "this is an image, not a recipe", remedy)
    if file.suffix.lower() != ".png":
        return _read_text(file)
    from guidedstyle.io.images.writing import read_note

    text = read_note(file, RECIPE_KEY)
    if text is None:
        remedy = f"give a recipe (.yaml) or a PNG that guidedstyle rendered; {QUICK}"
        raise GuidedStyleError.of(file, "this image contains no recipe", remedy)
    return text


def _read_text(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            remedy = f"a recipe may have at most {MOST_BYTES:,} bytes"
            raise GuidedStyleError.of(file, f"{size:,} bytes are too large for a recipe", remedy)
        return decode(file.read_bytes(), file)
    except OSError as error:
        raise GuidedStyleError.of(file, f"it cannot be read: {error.strerror}", "give an existing recipe") from error


def move_paths(recipe: Recipe, move: Callable[[Path], Path]) -> Recipe:
    """Apply `move` to every path of a recipe; images in memory have none."""
    moved = _move(recipe, move)
    assert isinstance(moved, Recipe)
    return moved


def _move(value: Any, move: Callable[[Path], Path]) -> Any:
    if isinstance(value, Path):
        return value if isinstance(value, InMemoryImage) else move(value)
    if isinstance(value, dict):
        return {key: _move(item, move) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_move(item, move) for item in value)
    if not isinstance(value, BaseModel):
        return value
    moved = {key: _move(item, move) for key, item in value}
    return value.model_copy(update={key: item for key, item in moved.items() if item != getattr(value, key)})


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


def _describe_absence(file: Path, key: str, source: Path | None) -> tuple[str, str]:
    """Describe why a file cannot be used, and what to do."""
    if is_image_name(file):
        call = f"load_recipe({repr(str(source)) if source else 'recipe'}, {{{key!r}: array}})"
        return "it was an image in memory, which is in no file", f"give the same image again from Python: {call}"
    remedy = f"paths are relative to the {'recipe file' if source else 'working folder'}; check the name and the folder"
    return _describe_fault(file), suggest_file(file, source.parent if source else Path(), remedy)


def _describe_fault(file: Path) -> str:
    if file.is_dir():
        return f"{file} is a folder"
    if {"http:", "https:"} & set(file.parts):
        return "web addresses are not supported"
    if file.is_symlink():
        return f"{file} is a broken link"
    return f"{file} is not a regular file" if file.exists() else f"there is no file {file}"
