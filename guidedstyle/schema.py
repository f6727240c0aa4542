"""The JSON schema of recipes, for editors to complete and check them as they are written."""

from __future__ import annotations

from typing import Any

from guidedstyle.recipe import Recipe

STRING: dict[str, Any] = {"type": "string"}


def make_schema() -> dict[str, Any]:
    """Make the schema of what people may write: the models' own, and the short forms that stand for them."""
    schema = Recipe.model_json_schema()
    keys, parts = schema["properties"], schema["$defs"]
    names = parts["EncoderChoice"]["properties"]["name"]["enum"]
    _shorten(keys["encoder"], {"enum": names})
    keys["styles"]["additionalProperties"] = {"anyOf": [STRING, keys["styles"]["additionalProperties"]]}
    _shorten(parts["Region"]["properties"]["style"], STRING)
    _shorten(keys["masks"], STRING)
    for model in ("StyleImage", "Region"):
        _shorten(parts[model]["properties"]["mask"], STRING)
    for key in ("any", "both", "except"):
        _shorten(parts["Mask"]["properties"][key]["anyOf"][0]["items"], STRING)
    keys["style"] = parts["Region"]["properties"]["style"] | {
        "description": "without regions: a painting's file, or one or several of `styles`, for the whole picture",
    }
    schema["required"] = ["content"]
    schema["anyOf"] = [{"required": ["style"]}, {"required": ["styles"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "guidedstyle recipe"} | schema


def _shorten(entry: dict[str, Any], short: dict[str, Any]) -> None:
    """Let an entry also be written in its short form."""
    about = {key: entry.pop(key) for key in ("description", "default", "title") if key in entry}
    whole = dict(entry)
    entry.clear()
    entry.update(about | {"anyOf": [short, whole]})
