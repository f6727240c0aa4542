"""The JSON schema of recipes, with which editors complete and check them, and the table of all keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from guidedstyle.recipe.controls import EVEN, ColourChoice, Controls, Start
from guidedstyle.recipe.mask import COMBINATIONS, Gradient, Mask, SharedMasks
from guidedstyle.recipe.model import EncoderChoice, Recipe, Region, SaveChoice, SolverChoice, StyleChoice, StyleUse
from guidedstyle.recipe.shorthand import MASK, SHORTHAND, SPELLINGS, Pattern, Shorthand

FILE = Path(__file__).absolute().with_name("recipe.schema.json")  # `make_schema` as a file, for editors
EDITOR_LINE = f"# yaml-language-server: $schema={FILE.as_uri()}"
STYLE = "without regions: a style image's file, or one or several of `styles`, for the whole image"


def make_schema() -> dict[str, Any]:
    """Make the JSON schema of a recipe as people write it: the models' own, with shorthand."""
    schema = Recipe.model_json_schema()
    models, keys = schema["$defs"], schema["properties"]
    for key in COMBINATIONS:
        _add_forms(models["Mask"]["properties"][key]["anyOf"][0]["items"], MASK)
    for pattern, shorthand in sorted(SHORTHAND.items(), key=lambda item: -len(item[0])):  # inner entries first
        _add_forms(_find_entry(schema, models, pattern), shorthand)
    models["StyleUse"]["properties"] |= models["Mask"]["properties"]
    keys["style"] = models["Region"]["properties"]["style"] | {"description": STYLE}
    for spelling, key in SPELLINGS.items():
        for known in (keys, *(model["properties"] for model in models.values())):
            known |= {spelling: known[key]} if key in known else {}
    schema["anyOf"] = [{"required": ["content"]}, {"required": ["canvas"]}]
    schema["allOf"] = [{"anyOf": [{"required": [key]} for key in ("style", "styles", "regions", "strength")]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "guidedstyle recipe"} | schema


def write_schema() -> str:
    """Write the JSON schema of recipes as text."""
    return json.dumps(make_schema(), indent=2) + "\n"


def _find_entry(entry: dict[str, Any], models: Mapping[str, Any], pattern: Pattern) -> dict[str, Any]:
    """Find the schema of the keys that match a pattern."""
    for key in pattern:
        kind = next((kind for kind in entry.get("anyOf", ()) if kind.get("type") != "null"), entry)
        whole = models[kind["$ref"].rsplit("/", 1)[-1]] if "$ref" in kind else kind
        entry = (
            whole["items"] if key is int else whole["additionalProperties"] if key is str else whole["properties"][key]
        )
    return entry


def _add_forms(entry: dict[str, Any], shorthand: Shorthand) -> None:
    """Allow an entry to be written in shorthand too."""
    about = {key: entry.pop(key) for key in ("description", "default", "title", "unit") if key in entry}
    canonical = dict(entry)
    entry.clear()
    entry.update(about | {"anyOf": [*shorthand.forms, canonical]})


class Key(NamedTuple):
    """A line of the table of keys."""

    name: str
    default: str
    values: str
    meaning: str


GROUPS: dict[str, tuple[str, type[BaseModel]]] = {  # title: the prefix of its keys, and where they are defined
    "Of the image": ("", Recipe),
    "Of the image, or of one region (`regions[].KEY`)": ("", Controls),
    "Of a region": ("regions[].", Region),
    "Of a style in a region": ("regions[].style.NAME.", StyleUse),
    "Of a style": ("styles.NAME.", StyleChoice),
    "Of `colour`": ("colour.", ColourChoice),
    "Of `init`": ("init.", Start),
    "Of `solver`": ("solver.", SolverChoice),
    "Of `save`": ("save.", SaveChoice),
    "Of `encoder`": ("encoder.", EncoderChoice),
    "Of `masks`": ("masks.", SharedMasks),
    "Of a mask": ("mask.", Mask),
    "Of a mask's `gradient`": ("mask.gradient.", Gradient),
}


def list_keys() -> dict[str, list[Key]]:
    """List every key of a recipe, in groups by title."""
    found = {title: list(_list_keys(prefix, model)) for title, (prefix, model) in GROUPS.items()}
    found["Of the image"].append(Key("style", "", "a file, a name, or names with weights", STYLE))
    return found


def write_table() -> str:
    """Write every key as Markdown."""
    lines = []
    for title, keys in list_keys().items():
        lines += [f"**{title}**", "", "| key | default | values | meaning |", "|---|---|---|---|"]
        lines += [f"| `{key.name}` | {key.default} | {key.values} | {key.meaning} |" for key in keys] + [""]
    return "\n".join(lines)


def _list_keys(prefix: str, model: type[BaseModel]) -> Iterator[Key]:
    properties = model.model_json_schema()
    properties = properties.get("properties") or properties["$defs"][model.__name__]["properties"]
    for name, field in model.model_fields.items():
        if model not in (Recipe, Region) or name not in Controls.model_fields:
            key = field.alias or name
            default = "needed" if field.is_required() else _show(field.default)
            yield Key(prefix + key, default, _describe_values(properties[key]), field.description or "")


def _show(default: object) -> str:
    if isinstance(default, BaseModel):
        given = list(default.model_dump(exclude_defaults=True))
        return f"`{given[0]}`" if len(given) == 1 else ""
    if default == EVEN:
        return "`even`"
    if default is None or default in ((), {}) or isinstance(default, Path):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float | int) else f"`{default}`"


def _describe_values(entry: dict[str, Any]) -> str:
    """Describe the values of a key: its choices, or its range and unit."""
    kinds = [kind for kind in entry.get("anyOf", [entry]) if kind.get("type") != "null"]
    kind, unit = kinds[0], entry.get("unit", "")
    if "const" in kind:
        return f"`{kind['const']}`"
    if "enum" in kind:
        return ", ".join(f"`{choice}`" for choice in kind["enum"])
    if kind.get("type") == "boolean":
        return "true, false"
    if kind.get("format") == "path":
        return "a file"
    inner = kind.get("additionalProperties") or kind.get("items") or (kind.get("prefixItems") or [kind])[0]
    least, most = (inner.get(limit, inner.get(f"exclusive{limit.title()}")) for limit in ("minimum", "maximum"))
    limits = f"{least:,} to {most:,}" if least is not None and most is not None else ""
    above = "above " if "exclusiveMinimum" in inner else ""
    return f"{above}{limits} {unit}".strip().replace(".0 ", " ")
