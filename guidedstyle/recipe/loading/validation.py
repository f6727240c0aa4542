"""Validate plain data against the recipe's models, with the line of every error."""

from __future__ import annotations

import re
from typing import Any

from PIL import ImageColor
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.recipe.controls import RegionControls
from guidedstyle.recipe.loading.document import Document
from guidedstyle.recipe.loading.keys import find_value, lies_within, name_key, step_into, walk
from guidedstyle.recipe.model import Recipe
from guidedstyle.recipe.remedies.keys import find_close, suggest_key
from guidedstyle.recipe.remedies.values import suggest_value, write_value
from guidedstyle.types import KeyPath

PLACEHOLDER = "?"
OPTIONAL = {*RegionControls.model_fields, "where", "canvas"}  # entries that are left out where they are invalid
EXPECTED = {  # by pydantic's error type
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_length": "a path whose names have at most 200 bytes",
    "path_type": "a file name",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "tuple_type": "a list",
    "string_too_short": "at least one character",
    "hidden": "text without control characters",
    "colour": "a colour in quotes, such as '#ff0000', or a CSS name such as red",
    "box": "[left, top, right, bottom], four numbers from -10 to 10",
    "point": "[x, y], two numbers from -10 to 10",
    "corners": "three or more corners, [[x, y], ...], of numbers from -10 to 10",
    "length": "px, such as 8, or a percentage of the longest side, such as 2%",
}


def validate(document: Document) -> tuple[Recipe, set[KeyPath]]:
    """Validate a recipe's data; where it is invalid, collect the errors and validate the rest, for later checks.

    Returns the recipe and the paths that were invalid; raises GuidedStyleError where the rest is not a recipe.
    """
    data, invalid, known = document.data, set[KeyPath](), set[KeyPath]()
    _refuse_empty_keys(document, invalid)
    while True:
        try:
            return Recipe.model_validate(data), invalid
        except ValidationError as error:
            details = _sort_out({_own_path(detail, data): detail for detail in error.errors()})
            document.problems += [_describe(detail, path, document) for path, detail in details.items()]
            repaired = [_repair(data, path, detail["type"], invalid) for path, detail in details.items()]
            if not all(repaired) or details.keys() <= known:
                raise GuidedStyleError(document.problems) from error
            known |= details.keys()


def _refuse_empty_keys(document: Document, invalid: set[KeyPath]) -> None:
    for path in [path for path, value in walk(document.data) if value is None]:
        remedy = "give it one, or remove the key; colours need quotes, '#ff0000', since # starts a comment"
        if path[-1] == "style":
            remedy = "give it the name of a style, or write keep: true instead"
        document.problems.append(Problem(document.locate(path), "it has no value", remedy))
        if not lies_within(path, invalid) and not _repair(document.data, path, "empty", invalid):
            raise GuidedStyleError(document.problems)


def _sort_out(details: dict[KeyPath, ErrorDetails]) -> dict[KeyPath, ErrorDetails]:
    """Leave out what follows: lists too short without their invalid entries, keys missing since they are misspelt."""
    unknown = {path for path, detail in details.items() if detail["type"] == "extra_forbidden"}

    def follows(path: KeyPath) -> bool:
        match details[path]["type"]:
            case "extra_forbidden" if path == ("style",):  # it is not expanded beside invalid styles
                return any(other[:1] == ("styles",) for other in details)
            case "too_short":
                return any(other[: len(path)] == path and other != path for other in details)
            case "missing":
                return any(find_close(str(other[-1]), [str(path[-1])]) for other in unknown if other[:-1] == path[:-1])
        return False

    return {path: detail for path, detail in details.items() if not follows(path)}


def _own_path(detail: ErrorDetails, data: Any) -> KeyPath:
    """Drop the parts that pydantic adds to a path for the branches of a union."""
    path: list[str | int] = []
    for key in detail["loc"]:
        known = isinstance(key, int) if isinstance(data, list) else isinstance(data, dict) and key in data
        if not known and detail["type"] != "missing":
            break
        path.append(key)
        data = step_into(data, key)
    return tuple(path)


def _repair(data: Any, path: KeyPath, kind: str, invalid: set[KeyPath]) -> bool:
    """Remove an invalid value from `data`, or put a placeholder for a missing one; returns whether it was possible."""
    if not path:
        return False
    if path[0] == "masks":
        return _replace_shared_masks(data, invalid)
    if path[0] in ("regions", "styles") and path[2:3] == ("mask",):
        return _replace_mask(data, path[:3], invalid)
    path = _cut_to_control(path)
    invalid.add(path)
    data, last = find_value(data, path[:-1]), path[-1]
    if not isinstance(data, dict):
        return False
    if last in OPTIONAL:
        data.pop(last, None)
    elif kind == "missing":
        data[last] = PLACEHOLDER
    elif path[0] == "regions" and path[-2:-1] == ("style",):  # not a style whose name is style
        data[last] = {"weight": 1.0}
    elif isinstance(data.get(last), dict | list) or last in ("content", "image", "mask", "name"):
        return False
    else:
        data.pop(last, None)
    return True


def _cut_to_control(path: KeyPath) -> KeyPath:
    """Shorten a path to the entry that can be left out as a whole."""
    ends = [index for index, key in enumerate(path, 1) if key in OPTIONAL]
    return path[: ends[0]] if ends else path


def _replace_mask(data: Any, path: KeyPath, invalid: set[KeyPath]) -> bool:
    """Replace an invalid mask by the whole image, once."""
    if path in invalid:
        return False
    invalid.add(path)
    find_value(data, path[:-1])["mask"] = {"all": True}
    return True


def _replace_shared_masks(data: Any, invalid: set[KeyPath]) -> bool:
    """Remove `masks`, and the masks of regions that use it."""
    regions = data["regions"] if isinstance(data.get("regions"), list) else []
    for index, region in enumerate(regions):
        mask = region.get("mask") if isinstance(region, dict) else None
        if isinstance(mask, dict) and "file" not in mask and ("regions", index, "mask") not in invalid:
            _replace_mask(data, ("regions", index, "mask"), invalid)
    invalid.add(("masks",))
    known = "masks" in data
    data.pop("masks", None)
    return known


def _describe(detail: ErrorDetails, path: KeyPath, document: Document) -> Problem:
    rule, remedy = _explain(detail, path)
    if detail["type"] == "extra_forbidden" and path != ("style",):
        remedy = _suggest_key(detail["input"], path, document)
    if path and (advice := suggest_value(detail["type"], detail["input"], str(path[-1]))):
        key = next((path[end - 1] for end in range(len(path), 0, -1) if path[:end] in document.places), path[-1])
        remedy += f": write `{advice}`" if isinstance(key, int) else f": write `{key}: {advice}`"
    return Problem(document.locate(path), rule, remedy)


def _suggest_key(value: object, path: KeyPath, document: Document) -> str:
    if len(path) == 1 and isinstance(value, dict) and value.keys() & {"mask", "keep"}:
        return f"a region is an entry of the list regions: `- {write_value({'name': path[0], **value})}`"
    key = str(path[-1]).lower()
    if path[-2:-1] == ("colour",) and key in ImageColor.colormap:
        return f"{suggest_key(path)}: write `colour: {{palette: [{key}]}}`"
    if path[-2:-1] == ("colour",) and key in ("keep", "original", "preserve", "photo"):
        return "did you mean 'content'?"
    if re.match(r"(preserve|keep|original)_colou?rs?$", key):
        return "write `colour: content`"
    shown = write_value(value) if isinstance(value, str | int | float) else "..."
    return suggest_key(path, shown, dotted=(document.find_place(path) or "").startswith("--"))


def _suggest_choice(written: str, expected: str, path: KeyPath) -> str:
    """Suggest the one of the expected choices with which a written one begins, or nothing."""
    choices = re.findall(r"\w[^',]*\w|\d+", expected.replace(" or ", ", "))
    word = re.sub(r"[\W_]", "", written).lower()
    close = next((one for one in choices if word.startswith(re.sub(r"[\W_]", "", one).lower())), None)
    return f": write `{path[-1]}: {close}`" if close else ""


def _explain(detail: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    value, context = _shorten(detail["input"]), detail.get("ctx", {})
    key = name_key(path[-2:] if isinstance(path[-1], int) else path[-1:]) if path else "the recipe"
    match detail["type"]:
        case "extra_forbidden" if path == ("style",):
            return "style at the top is for recipes without regions", "give each region its own style"
        case "extra_forbidden":
            return f"there is no key {key!r} here", ""
        case "missing":
            return f"{key} is missing", f"add {key}:"
        case "greater_than_equal":
            return f"{value} is too small", f"{key} must be at least {context['ge']:g}"
        case "less_than_equal" if path == ("format",):
            rule = f"this recipe has format {value}, and this version of guidedstyle reads up to {context['le']}"
            return rule, "update guidedstyle"
        case "less_than_equal" if context["le"] == 1 and 2 < detail["input"] <= 100:
            number = detail["input"]
            return f"{value} is too large", f"{key} must be at most 1: for {number:g} % write {number / 100:g}"
        case "less_than_equal":
            return f"{value} is too large", f"{key} must be at most {context['le']:g}"
        case "greater_than":
            return f"{value} is too small", f"{key} must be above {context['gt']:g}"
        case "string_too_long":
            return f"{value} is too long", f"{key} must have at most {context['max_length']} characters"
        case "too_short":
            return f"{value} has too few entries", f"{key} must have at least {context['min_length']}"
        case "too_long":
            return f"{value} has too many entries", f"{key} must have at most {context['max_length']}"
        case "dict_type" if path[-1] == "style":
            return f"{value} is not valid", "style must be keys with values, such as {ink: 0.7, oil: 0.3}"
        case "model_type" if path == ("masks",):
            return f"{value} is not valid", "masks must be a file, or {file: labels.png}"
        case "model_type" if path[-1] in ("mask", "where") or path[-2:-1] in (("any",), ("both",), ("except",)):
            remedy = "a mask is a file, rest, all, or keys such as {file: labels.png, colour: red}"
            return f"{value} is not valid", remedy
        case "literal_error":
            advice = _suggest_choice(str(detail["input"]), context["expected"], path)
            return f"{value} is not one of the choices", f"{key} must be {context['expected']}{advice}"
        case "finite_number":
            return f"{value} is not finite", f"{key} must be a finite number"
    expected = EXPECTED.get(detail["type"])
    return f"{value} is not valid", f"{key} must be {expected}" if expected else f"{key}: {detail['msg']}"


def _shorten(value: object) -> str:
    text = _write(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(value: object) -> str:
    """Write a value as in YAML, text in quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_write(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_write, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
