"""A recipe file, or a picture that carries its recipe, to a validated `Recipe`: all mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from guidedstyle.document import Document, read_document, read_text
from guidedstyle.errors import GuidedStyleError, KeyPath, Problem
from guidedstyle.recipe import Mistake, Recipe, find_mistakes, lengthen, list_files

Override = tuple[str, object, str]  # key path, value, where it was said
RECIPE_KEY = "guidedstyle recipe"  # of the PNG's text that carries the recipe
PLACEHOLDER = "?"
WANTED = {  # by pydantic's name of the mistake
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "the name of a file",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "tuple_type": "a list",
    "string_too_short": "at least one letter",
    "too_short": "at least one",
}


class Reading(NamedTuple):
    """A recipe as far as it could be understood, and all that is wrong with it so far."""

    recipe: Recipe
    document: Document
    broken: frozenset[KeyPath]

    def report(self, mistakes: Iterable[Mistake]) -> list[Problem]:
        """Locate mistakes, leaving out those that follow from a key already reported."""
        return [
            Problem(self.document.locate(path), rule, remedy)
            for path, rule, remedy in mistakes
            if not any(path[: len(key)] == key for key in self.broken)
        ]


def load_recipe(file: Path | str, overrides: Sequence[Override] = ()) -> Recipe:
    """Read a recipe from YAML, or from a PNG that `render` wrote.

    `overrides` are (key path, value, where it was said). Raises GuidedStyleError with all problems.
    """
    reading = read_recipe(Path(file), overrides)
    if reading.document.problems:
        raise GuidedStyleError(reading.document.problems)
    return reading.recipe


def read_recipe(file: Path, overrides: Sequence[Override] = ()) -> Reading:
    """Read a recipe with its mistakes noted in the document; raises where nothing can be made of it."""
    document = read_document(str(file), _recipe_text(file))
    if not isinstance(document.data, dict):
        raise GuidedStyleError.of(file, "it holds no keys", "start with content: PHOTO and style: PAINTING")
    if default_output(file) != file.with_suffix(".png"):  # a picture's own recipe must not overwrite it
        document.data.pop("output", None)
    document.data.setdefault("output", default_output(file).name)
    document.data = lengthen(document.data)
    if ("style",) in document.places:
        document.places |= dict.fromkeys([("styles", "style"), ("regions",)], document.places["style",])
    for key, value, place in overrides:
        document.override(key, value, place)
    recipe, broken = _heal(document)
    reading = Reading(_anchor(recipe, file.parent), document, frozenset(broken))
    document.problems += reading.report(find_mistakes(reading.recipe))
    document.problems += reading.report(_find_missing_files(reading.recipe))
    return reading


def parse_setting(setting: str) -> Override:
    """Parse `KEY=VALUE` of the command line, the value written as in YAML."""
    key, equals, value = setting.partition("=")
    place = f"--set {setting}"
    if not key or not equals:
        raise GuidedStyleError.of(place, "there is no KEY=VALUE here", "write, for example, --set smoothness=2")
    return key.strip(), read_document(place, value).data if value else None, place


def default_output(file: Path) -> Path:
    """Name the picture of a recipe; one that is itself a picture is not overwritten."""
    return file.with_name(f"{file.stem}-again.png") if file.suffix.lower() == ".png" else file.with_suffix(".png")


def _recipe_text(file: Path) -> str:
    if file.suffix.lower() != ".png":
        return read_text(file)
    from guidedstyle.images import read_note

    text = read_note(file, RECIPE_KEY)
    if text is None:
        remedy = "name a recipe (.yaml) or a PNG that guidedstyle rendered"
        raise GuidedStyleError.of(file, "this picture carries no recipe", remedy)
    return text


def _heal(document: Document) -> tuple[Recipe, set[KeyPath]]:
    """Validate, note what is wrong, and validate again without it, so that later checks still run."""
    data, broken = document.data, set[KeyPath]()
    while True:
        try:
            return Recipe.model_validate(data), broken
        except ValidationError as error:
            details = [(detail, _own_path(detail, data)) for detail in error.errors()]
            fresh = [(detail, path) for detail, path in details if path not in broken]
            document.problems += [_describe(detail, path, document) for detail, path in fresh]
            mended = [_mend(data, path, detail) for detail, path in fresh]
            if not fresh or not all(mended):
                raise GuidedStyleError(document.problems) from error
            broken |= {path for _, path in fresh}


def _own_path(detail: ErrorDetails, data: Any) -> KeyPath:
    """Drop what pydantic adds to a path for the branches of a union."""
    path: list[str | int] = []
    for key in detail["loc"]:
        if isinstance(data, dict) and key not in data and detail["type"] != "missing":
            break
        path.append(key)
        data = _step_into(data, key)
        if data is None:
            break
    return tuple(path)


def _step_into(data: Any, key: Any) -> Any:
    return data.get(key) if isinstance(data, dict) else data[key] if isinstance(data, list) else None


def _mend(data: Any, path: KeyPath, detail: ErrorDetails) -> bool:
    """Take what is wrong out of `data`, or put a placeholder where something is missing."""
    if not path:
        return False
    for key in path[:-1]:
        data = _step_into(data, key)
    last: Any = path[-1]
    if not isinstance(data, dict):
        return False
    if detail["type"] == "missing":
        data[last] = {"style": {"image": PLACEHOLDER}} if last == "styles" else PLACEHOLDER
    elif path[-2:-1] == ("style",):
        data[last] = 1.0
    elif isinstance(data.get(last), dict | list) or last in ("content", "image", "mask", "name"):
        return False
    else:
        data.pop(last, None)
    return True


def _describe(detail: ErrorDetails, path: KeyPath, document: Document) -> Problem:
    rule, remedy = _explain(detail, path)
    return Problem(document.locate(path), rule, remedy)


def _explain(detail: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    value, context = _shorten(detail["input"]), detail.get("ctx", {})
    key = path[-1] if path else "the recipe"
    match detail["type"]:
        case "extra_forbidden":
            return f"there is no key {key!r} here", _suggest(str(key), known_keys(path[:-1]))
        case "missing":
            return f"{key} is missing", f"add {key}:"
        case "greater_than_equal":
            return f"{value} is too small", f"{key} must be at least {context['ge']:g}"
        case "less_than_equal":
            return f"{value} is too large", f"{key} must be at most {context['le']:g}"
        case "literal_error":
            return f"{value} is none of the choices", f"{key} must be {context['expected']}"
        case "finite_number":
            return f"{value} is not a number one can reckon with", f"give {key} a finite number"
    wanted = WANTED.get(detail["type"])
    return f"{value} does not fit", f"{key} must be {wanted}" if wanted else f"{key}: {detail['msg']}"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _suggest(key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


def known_keys(path: KeyPath) -> list[str]:
    """List the keys that may stand under `path` in a recipe."""
    model: Any = Recipe
    for key in path:
        kind = model.model_fields[key].annotation if isinstance(key, str) and key in model.model_fields else None
        model = _model_in(kind) or model
    return [*model.model_fields, *(["style"] if model is Recipe else [])]


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _model_in(part))), None)


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

    return Recipe.model_validate(walk(recipe.model_dump()))


def write_recipe(recipe: Recipe, base: Path) -> str:
    """Write a recipe as YAML whose paths are relative to the folder `base`: what `load_recipe` reads there."""
    moved = move_paths(recipe, lambda path: _relative(path, base))
    return yaml.safe_dump(moved.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _relative(path: Path, base: Path) -> Path:
    try:
        return Path(os.path.relpath(path, base))
    except ValueError:  # another drive
        return path.absolute()


def _find_missing_files(recipe: Recipe) -> Iterable[Mistake]:
    for path, file in list_files(recipe):
        if not file.is_file():
            rule = f"{file} is a folder" if file.is_dir() else f"there is no file {file}"
            yield path, rule, "paths are relative to the recipe file; check the name and the folder"
