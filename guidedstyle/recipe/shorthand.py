"""Shorthand of recipes and the canonical form it stands for; presets; old names of keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guidedstyle.encoders.registry import list_encoders
from guidedstyle.recipe.controls import OCTAVES
from guidedstyle.recipe.mask import COMBINATIONS, Mask
from guidedstyle.recipe.values import compose
from guidedstyle.types import DRAFT, KeyPath

Pattern = tuple[str | type, ...]  # of key paths; `str` is any name, `int` any entry of a list

RENAMED: dict[Pattern, str] = {  # old names, which are still read, and the new ones
    ("solver", "rate"): "learning_rate",
    ("init", "picture"): "image",
    ("regions", int, "init", "picture"): "image",
}


AMOUNT = re.compile(r"[-+]?[\d.,/ ½¼¾⅓⅔]+\s*(%|percent|x)?")  # a weight that is written wrongly, not a mask's file
SPELLINGS = {"color": "colour", "color_strength": "colour_strength"}  # read without a warning
NAMES: tuple[Pattern, ...] = (("styles",), ("style",), ("regions", int, "style"))  # entries whose keys are names


def find_new_name(path: KeyPath) -> str | None:
    """Find the new name of the key at a path; None where it has no other."""
    return next((name for pattern, name in RENAMED.items() if _matches(path, pattern)), None)


def spell(path: KeyPath) -> str | int:
    """Spell the last key of a path as it is spelled here: in British English, names in composed Unicode."""
    key = path[-1]
    if not isinstance(key, str):
        return key
    return compose(key) if any(_matches(path[:-1], pattern) for pattern in NAMES) else SPELLINGS.get(key, key)


def _matches(path: KeyPath, pattern: Pattern) -> bool:
    return len(path) == len(pattern) and all(
        isinstance(key, part) if isinstance(part, type) else key == part
        for key, part in zip(path, pattern, strict=True)
    )


@dataclass(frozen=True)
class Shorthand:
    """Shorter ways to write a value: how they are expanded, which leaves any other value as it is; their schema."""

    expand: Callable[[Any], Any]
    forms: tuple[Mapping[str, Any], ...]


def _entry(key: str) -> Callable[[Any], Any]:
    """Expand a text to an entry with one key."""
    return lambda value: {key: value} if isinstance(value, str) else value


def expand_mask(mask: object) -> object:
    """Expand the shorthand of a mask and of those it combines: a file's name, `rest` or `all`."""
    if isinstance(mask, str):
        return {mask: True} if mask in ("rest", "all") else {"file": mask}
    if not isinstance(mask, dict):
        return mask
    combined = {key: mask[key] for key in COMBINATIONS if isinstance(mask.get(key), list | tuple)}
    return mask | {key: [expand_mask(part) for part in parts] for key, parts in combined.items()}


def _expand_layers(layers: object) -> object:
    if isinstance(layers, str):
        return {layers: 1.0}
    if isinstance(layers, list) and all(isinstance(layer, str) for layer in layers):
        return dict.fromkeys(layers, 1.0)
    return layers


def _expand_octaves(octaves: object) -> object:
    return list(OCTAVES[octaves]) if isinstance(octaves, str) and octaves in OCTAVES else octaves


COLOURS: dict[str, dict[str, Any]] = {
    "style": {"style": True},
    "match": {"match": "symmetric"},
    "content": {"content": True},
}


def _expand_colour(colour: object) -> object:
    return COLOURS.get(colour, {colour: True}) if isinstance(colour, str) else colour


STARTS = ("matched", "content", "noise", "style")


def _expand_start(start: object) -> object:
    if isinstance(start, str):
        return {start: 1.0} if start in STARTS else {"file": start, "image": 1.0}
    if isinstance(start, dict) and "file" in start:
        return {"image": 1.0, **start}
    return start


def _expand_styles(styles: object) -> object:
    return {compose(styles): 1.0} if isinstance(styles, str) else styles


def _expand_use(use: object) -> object:
    """Expand a style's weight, or the mask that its weight follows, whose keys may be given next to `weight`."""
    if isinstance(use, str):
        return {"weight": use} if AMOUNT.fullmatch(use.strip()) else {"where": expand_mask(use)}
    if isinstance(use, int | float) and not isinstance(use, bool):
        return {"weight": use}
    if not isinstance(use, dict) or "where" in use:  # mask keys next to `where` are an error
        return use
    mask = {key: value for key, value in use.items() if key in MASK_KEYS}
    others = {key: value for key, value in use.items() if key not in MASK_KEYS}
    return others | {"where": mask} if mask else others


TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
MASK_KEYS = {field.alias or key for key, field in Mask.model_fields.items()}
MASK = Shorthand(expand_mask, (TEXT,))
CONTROLS = {
    "style_layers": Shorthand(_expand_layers, (TEXT, TEXTS)),
    "content_layers": Shorthand(_expand_layers, (TEXT, TEXTS)),
    "octaves": Shorthand(_expand_octaves, ({"enum": list(OCTAVES)},)),
    "colour": Shorthand(_expand_colour, ({"enum": list(COLOURS)},)),
    "init": Shorthand(_expand_start, (TEXT,)),
}
SHORTHAND: dict[Pattern, Shorthand] = {  # every key that has one; entries come before the keys within them
    ("encoder",): Shorthand(_entry("name"), ({"enum": [*list_encoders()]},)),
    ("masks",): Shorthand(_entry("file"), (TEXT,)),
    **{(key,): shorthand for key, shorthand in CONTROLS.items()},
    **{("regions", int, key): shorthand for key, shorthand in CONTROLS.items()},
    ("styles", str): Shorthand(_entry("image"), (TEXT,)),
    ("styles", str, "mask"): MASK,
    ("regions", int, "mask"): MASK,
    ("regions", int, "style"): Shorthand(_expand_styles, (TEXT,)),
    ("regions", int, "style", str): Shorthand(_expand_use, ({"type": "number"}, TEXT)),
    ("regions", int, "style", str, "where"): MASK,
}
CANVAS = {"content_strength": 0.0}  # there is no content image to keep
CLASSIC_ENCODER = "vgg19"
CLASSIC = {  # Gatys et al. 2016 and the authors' own code
    "encoder": {"name": CLASSIC_ENCODER},
    "style_layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    "content_layers": "relu4_2",
    "octaves": [1.0],
    "smoothness": 0.0,
    "init": "content",
    "solver": {"method": "lbfgs", "steps": 500, "sizes": 1, "tolerance": 0.0},
}
PRESETS: Mapping[str, Mapping[str, Any]] = {  # by `method`
    "classic": CLASSIC,
    "draft": {"solver": {key: value for key, value in DRAFT.items() if value is not None}},
}


def expand(data: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the shorthand of a recipe, and fill in the defaults of its preset where nothing else is given."""
    found = combine_styles(expand_style(data))
    if found.get("canvas"):
        found = CANVAS | found
    method = found.get("method")
    if isinstance(method, str):
        found = _fill_in(found, PRESETS.get(method, {}))
    for pattern, shorthand in SHORTHAND.items():
        found = _expand_all(found, pattern, shorthand.expand)
    return found


def expand_at(path: KeyPath, value: Any) -> Any:
    """Expand the value at a path of a recipe."""
    for pattern, shorthand in SHORTHAND.items():
        if _matches(path, pattern):
            return shorthand.expand(value)
    return value


def _expand_all(data: Any, pattern: Pattern, expand: Callable[[Any], Any]) -> Any:
    """Expand the values at all paths that match a pattern."""
    if not pattern:
        return expand(data)
    key, within = pattern[0], pattern[1:]
    if key is int and isinstance(data, list | tuple):
        return [_expand_all(value, within, expand) for value in data]
    if key is str and isinstance(data, dict):
        return {name: _expand_all(value, within, expand) for name, value in data.items()}
    if isinstance(key, str) and isinstance(data, dict) and key in data:
        return {**data, key: _expand_all(data[key], within, expand)}
    return data


def expand_style(data: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the smallest recipe, `style:` and no regions, to one region that covers the image.

    `style` is a file, the name of one of `styles`, or a mix of their names. A recipe with a single one of `styles`
    needs no `style`; with `strength: 0` nothing is painted, and no style is needed.
    """
    found = dict(data)
    styles = found.get("styles", {})
    if not isinstance(styles, dict) or found.get("regions") or found.get("style", "") is None:
        return found
    style = found.pop("style", None)
    if isinstance(style, str) and compose(style) not in styles:
        name = next(name for name in ("style", *(f"style{number}" for number in range(2, 99))) if name not in styles)
        found["styles"], style = {**styles, name: style}, name
    if style is None and len(styles) == 1:
        (style,) = styles
    if style or found.get("strength") == 0:
        found["regions"] = [{"name": "picture", "mask": "rest", "style": style or {}}]
    return found


def combine_styles(data: dict[str, Any]) -> dict[str, Any]:
    """Expand `style: {fine: A, coarse: B}` of regions to a style of its own, made of the two."""
    regions, styles = data.get("regions"), data.get("styles", {})
    if not isinstance(regions, list | tuple) or not isinstance(styles, dict):
        return data
    found, pairs = [], dict[str, Any]()
    for region in regions:
        style = region.get("style") if isinstance(region, dict) else None
        mix = style if isinstance(style, dict) else {}
        pair = {key: compose(mix[key]) for key in ("fine", "coarse") if isinstance(mix.get(key), str)}
        if len(pair) == 2:
            name = f"{pair['fine']} on {pair['coarse']}"
            pairs[name] = pair
            region = {**region, "style": {name: 1.0} | {key: use for key, use in mix.items() if key not in pair}}
        found.append(region)
    new = {name: pair for name, pair in pairs.items() if name not in styles}
    return data | {"styles": styles | new, "regions": found}


def _fill_in(given: dict[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in missing values, and keys without a value, also within entries."""
    given = {key: value for key, value in given.items() if value is not None or key not in preset}
    both = {
        key: _fill_in(given[key], preset[key])
        for key in given
        if isinstance(preset.get(key), dict)
        if isinstance(given[key], dict)
    }
    return {**preset, **given, **both}
