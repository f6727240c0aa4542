"""Short forms of keys and the canonical forms they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from guidedstyle.recipe.controls import OCTAVES
from guidedstyle.recipe.mask import Mask


def expand_mask(mask: object) -> object:
    """Rewrite the short forms of a mask: a file's name, `rest` or `all`."""
    if isinstance(mask, str):
        return {mask: True} if mask in ("rest", "all") else {"file": mask}
    if not isinstance(mask, dict):
        return mask
    combined = {key: mask[key] for key in ("any", "both", "except") if isinstance(mask.get(key), list | tuple)}
    return mask | {key: [expand_mask(part) for part in parts] for key, parts in combined.items()}


def expand_controls(data: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite the short forms of controls, where a word or a list stands for an entry, as the long ones."""
    found = {key: expand(data[key]) for key, expand in LONG_FORMS.items() if key in data}
    return {**data, **found}


def _expand_layers(layers: object) -> object:
    if isinstance(layers, str):
        return {layers: 1.0}
    if isinstance(layers, list) and all(isinstance(layer, str) for layer in layers):
        return dict.fromkeys(layers, 1.0)
    return layers


def _expand_octaves(octaves: object) -> object:
    return list(OCTAVES[octaves]) if isinstance(octaves, str) and octaves in OCTAVES else octaves


def _expand_colour(colour: object) -> object:
    if isinstance(colour, str):
        return {colour: "symmetric" if colour == "match" else True}
    return colour


def _expand_start(start: object) -> object:
    if isinstance(start, str):
        return {start: 1.0} if start in ("content", "noise", "style") else {"file": start, "picture": 1.0}
    if isinstance(start, dict) and "file" in start:
        return {"picture": 1.0, **start}
    return start


LONG_FORMS = {
    "style_layers": _expand_layers,
    "content_layers": _expand_layers,
    "octaves": _expand_octaves,
    "colour": _expand_colour,
    "init": _expand_start,
}


CANVAS = {"init": "noise", "content_strength": 0.0}  # there is no content image to start from, or to keep
CLASSIC_ENCODER = "vgg19"
CLASSIC = {  # Gatys et al. 2016 and the authors' own code
    "encoder": {"name": CLASSIC_ENCODER},
    "style_layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    "content_layers": "relu4_2",
    "octaves": [1.0],
    "smoothness": 0.0,
    "solver": {"method": "lbfgs", "steps": 500, "sizes": 1, "tolerance": 0.0},
}
MASK_KEYS = {field.alias or key for key, field in Mask.model_fields.items()}


def expand(data: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the short forms of a recipe, and fill in the defaults of a preset where nothing else is given."""
    data = _expand_style(data)
    for key, long_form in (("encoder", "name"), ("masks", "file")):
        if isinstance(word := data.get(key), str):
            data[key] = {long_form: word}
    if data.get("canvas"):
        data = CANVAS | data
    if data.get("method") == "classic":
        data = _prefer(data, CLASSIC)
    data = expand_controls(data)
    if isinstance(styles := data.get("styles"), dict):
        data["styles"] = {key: _expand_style_image(style) for key, style in styles.items()}
    if isinstance(regions := data.get("regions"), list | tuple):
        data["regions"] = [_expand_region(region, data.setdefault("styles", {})) for region in regions]
    return data


def _prefer(given: dict[str, Any], preset: dict[str, Any]) -> dict[str, Any]:
    """Fill in what is not given, or given without a value, also within entries."""
    given = {key: value for key, value in given.items() if value is not None or key not in preset}
    both = {
        key: _prefer(given[key], preset[key])
        for key in given
        if isinstance(preset.get(key), dict)
        if isinstance(given[key], dict)
    }
    return preset | given | both


def _expand_style_image(style: object) -> object:
    style = _expand_entry(style, lambda image: {"image": image})
    return {**style, "mask": expand_mask(style["mask"])} if isinstance(style, dict) and "mask" in style else style


def _expand_region(region: object, styles: Any) -> object:
    if not isinstance(region, dict):
        return region
    region = expand_controls(region)
    if "mask" in region:
        region["mask"] = expand_mask(region["mask"])
    if "style" in region:
        style = _expand_entry(region["style"], lambda name: {name: 1.0})
        region["style"] = _expand_mix(style, styles) if isinstance(style, dict) else style
    return region


def _expand_mix(mix: dict[str, Any], styles: Any) -> dict[str, Any]:
    """Rewrite a region's mix; `{fine: A, coarse: B}` becomes a style of its own, made of the two."""
    parts = {key: mix[key] for key in ("fine", "coarse") if isinstance(mix.get(key), str)}
    if len(parts) == 2:
        made = f"{parts['fine']} on {parts['coarse']}"
        if isinstance(styles, dict):
            styles.setdefault(made, parts)
        mix = {made: 1.0, **{name: use for name, use in mix.items() if name not in parts}}
    return {name: _expand_use(use) for name, use in mix.items()}


def _expand_use(use: object) -> object:
    if isinstance(use, str):
        return {"where": expand_mask(use)}
    if isinstance(use, int | float) and not isinstance(use, bool):
        return {"weight": use}
    if not isinstance(use, dict):
        return use
    where = {key: value for key, value in use.items() if key in MASK_KEYS}
    others = {key: value for key, value in use.items() if key not in MASK_KEYS}
    if where and "where" in use:
        return use  # one of the two is too much, and will be told
    mask = where or others.get("where")
    return others | {"where": expand_mask(mask)} if mask is not None else others


def _expand_entry(entry: object, long_form: Callable[[str], object]) -> object:
    return long_form(entry) if isinstance(entry, str) else entry


def _expand_style(data: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the smallest recipe, `style:` and no regions, as one region that covers the image.

    `style` is a file, the name of one of `styles`, or a mix of their names. A recipe with `styles` of which there
    is only one needs no `style` at all; with `strength: 0` nothing is painted, and no style is needed.
    """
    data = dict(data)
    styles = data.get("styles", {})
    if not isinstance(styles, dict) or data.get("regions"):
        return data
    if data.get("style", "") is None:
        return data  # which will be told
    style = data.pop("style", None)
    if isinstance(style, str) and style not in styles:
        data["styles"], style = {**styles, "style": style}, "style"
    if style is None and len(styles) == 1:
        (style,) = styles
    if style or data.get("strength") == 0:
        data["regions"] = [{"name": "picture", "mask": "rest", "style": style or {}}]
    return data
