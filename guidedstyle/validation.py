"""Plain data to a validated `Recipe`, and what is wrong with it in words that place, forbid and mend."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from guidedstyle.document import Document, name_key
from guidedstyle.errors import GuidedStyleError, KeyPath, Problem
from guidedstyle.recipe import Recipe

PLACEHOLDER = "?"
WANTED = {  # by pydantic's name of the mistake
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_length": "a path whose names have at most 200 bytes",
    "path_type": "the name of a file",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "tuple_type": "a list",
    "string_too_short": "at least one letter",
    "colour": "a colour in quotes, such as '#ff0000', or a CSS name such as red",
    "length": "px, such as 8, or a share of the longest side, such as 2%",
}


def validate(document: Document) -> tuple[Recipe, set[KeyPath]]:
    """Validate, note what is wrong, and validate again without it, so that later checks still run.

    Returns the recipe and the paths that were wrong; raises GuidedStyleError where nothing can be made of the rest.
    """
    data, broken = document.data, set[KeyPath]()
    while True:
        try:
            return Recipe.model_validate(data), broken
        except ValidationError as error:
            details = {_own_path(detail, data): detail for detail in error.errors()}  # one of a union's branches
            document.problems += [_describe(detail, path, document) for path, detail in details.items()]
            mended = [_mend(data, path, detail) for path, detail in details.items()]
            if not all(mended):
                raise GuidedStyleError(document.problems) from error
            broken |= details.keys()


def _own_path(detail: ErrorDetails, data: Any) -> KeyPath:
    """Drop what pydantic adds to a path for the branches of a union."""
    path: list[str | int] = []
    for key in detail["loc"]:
        known = isinstance(key, int) if isinstance(data, list) else isinstance(data, dict) and key in data
        if not known and detail["type"] != "missing":
            break
        path.append(key)
        data = _step_into(data, key)
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
    key = name_key(path[-2:] if isinstance(path[-1], int) else path[-1:]) if path else "the recipe"
    match detail["type"]:
        case "extra_forbidden" if path == ("style",):
            return "style is for the whole picture, and there are regions or no styles", "give it to a region"
        case "extra_forbidden":
            return f"there is no key {key!r} here", _suggest(str(key), known_keys(path[:-1]))
        case "missing":
            return f"{key} is missing", "add style: PAINTING" if path == ("styles",) else f"add {key}:"
        case "greater_than_equal":
            return f"{value} is too small", f"{key} must be at least {context['ge']:g}"
        case "less_than_equal":
            return f"{value} is too large", f"{key} must be at most {context['le']:g}"
        case "too_short":
            return f"{value} is too short", f"{key} must have at least {context['min_length']} entries"
        case "too_long":
            return f"{value} is too long", f"{key} must have at most {context['max_length']} entries"
        case "model_type" if path[-1] == "mask" or path[-2] in ("any", "both", "except"):
            remedy = "a mask is a file, rest, all, or keys such as {file: labels.png, colour: red}"
            return f"{value} does not fit", remedy
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
    keys = [field.alias or key for key, field in model.model_fields.items()]
    return [*keys, *(["style"] if model is Recipe else [])]


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _model_in(part))), None)
