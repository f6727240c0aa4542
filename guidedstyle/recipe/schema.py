"""The JSON schema of recipes, for editors to complete and check them as they are written, and the table of all keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from guidedstyle.recipe.controls import EVEN, OCTAVES, ColourChoice, Controls, Start
from guidedstyle.recipe.mask import Gradient, Mask, SharedMasks
from guidedstyle.recipe.model import EncoderChoice, Recipe, Region, SolverChoice, StyleChoice, StyleUse

STRING: dict[str, Any] = {"type": "string"}
STRINGS: dict[str, Any] = {"type": "array", "items": STRING}
SHORT_CONTROLS: dict[str, list[dict[str, Any]]] = {
    "style_layers": [STRING, STRINGS],
    "content_layers": [STRING, STRINGS],
    "octaves": [{"enum": list(OCTAVES)}],
    "colour": [{"enum": ["style", "match", "content"]}],
    "init": [STRING],
}


def make_schema() -> dict[str, Any]:
    """Make the schema of what people may write: the models' own, and the short forms that stand for them."""
    schema = Recipe.model_json_schema()
    keys, parts = schema["properties"], schema["$defs"]
    names = parts["EncoderChoice"]["properties"]["name"]["enum"]
    _shorten(keys["encoder"], {"enum": names})
    keys["styles"]["additionalProperties"] = {"anyOf": [STRING, keys["styles"]["additionalProperties"]]}
    style = parts["Region"]["properties"]["style"]
    style["additionalProperties"] = {"anyOf": [{"type": "number"}, STRING, style["additionalProperties"]]}
    parts["StyleUse"]["properties"] |= parts["Mask"]["properties"]
    _shorten(style, STRING)
    _shorten(keys["masks"], STRING)
    for entries in (keys, parts["Region"]["properties"]):
        for key, forms in SHORT_CONTROLS.items():
            _shorten(entries[key], *forms)
    for model in ("StyleChoice", "Region"):
        _shorten(parts[model]["properties"]["mask"], STRING)
    _shorten(parts["StyleUse"]["properties"]["where"], STRING)
    for key in ("any", "both", "except"):
        _shorten(parts["Mask"]["properties"][key]["anyOf"][0]["items"], STRING)
    keys["style"] = style | {"description": STYLE}
    schema["anyOf"] = [{"required": ["content"]}, {"required": ["canvas"]}]
    schema["allOf"] = [{"anyOf": [{"required": [key]} for key in ("style", "styles", "regions", "strength")]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "guidedstyle recipe"} | schema


STYLE = "without regions: a style image's file, or one or several of `styles`, for the whole image"


def _shorten(entry: dict[str, Any], *short: dict[str, Any]) -> None:
    """Let an entry also be written in its short forms."""
    about = {key: entry.pop(key) for key in ("description", "default", "title", "unit") if key in entry}
    whole = dict(entry)
    entry.clear()
    entry.update(about | {"anyOf": [*short, whole]})


class Key(NamedTuple):
    """A key of a recipe: its default, what it may be, and what it means, as a line of a table."""

    name: str
    default: str
    values: str
    meaning: str


GROUPS: dict[str, tuple[str, type[BaseModel]]] = {  # title: the prefix of its keys, and where they are defined
    "Of the image": ("", Recipe),
    "Of the image, or of one region alone (`regions[].KEY`)": ("", Controls),
    "Of a region": ("regions[].", Region),
    "Of a style in a region": ("regions[].style.NAME.", StyleUse),
    "Of a style": ("styles.NAME.", StyleChoice),
    "Of `colour`": ("colour.", ColourChoice),
    "Of `init`": ("init.", Start),
    "Of `solver`": ("solver.", SolverChoice),
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
    """Describe what a key may be: its choices, or its range and unit."""
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
