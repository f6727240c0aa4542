"""What to write instead of a key that is not known where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from guidedstyle.recipe.model import Recipe
from guidedstyle.types import KeyPath

SAME = 0.7  # likeness of two words from which one may be meant by the other


def suggest_key(path: KeyPath) -> str:
    """Suggest a key with a similar name, the entry that has this key, or all keys that are known here."""
    key, model = str(path[-1]), find_model(path[:-1])
    known = list_keys(model)
    fields = [(name, field.annotation) for name, field in model.model_fields.items()]
    inner = [
        name for name, kind in fields if get_origin(kind) not in (dict, tuple) and key in list_keys(model_in(kind))
    ]
    if len(inner) == 1:
        return f"write it under {inner[0]}: {inner[0]}: {{{key}: ...}}"
    outer = [name for name, *_ in (key.split("."),) if name in known]
    if "." in key and outer:
        return f"write it under {outer[0]}: {outer[0]}: {{{key.split('.', 1)[1]}: ...}}"
    if close := find_close(key, known):
        return f"did you mean {close!r}?"
    homes = list(find_homes(key))
    where = f"; {key} is a key of {' or '.join(homes[:3])}" if homes else ""
    return f"use one of {', '.join(known)}{where}"


def find_close(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that may be meant: another spelling of it, or one with most of its letters."""
    names = {_simplify(name): name for name in known}
    plain = _simplify(word)
    close = plain if plain in names else next(iter(get_close_matches(plain, names, 1, SAME)), None)
    return names[close] if close else None


def find_alike(word: str) -> list[str]:
    """Find the keys of any entry that may be meant by a word, without the word itself."""
    names = {_simplify(name): name for name in list_all_keys()}
    return [names[close] for close in get_close_matches(_simplify(word), names, 3, SAME) if names[close] != word]


def _simplify(word: str) -> str:
    """Write a word in small letters, with `_` between its parts, however they are joined."""
    return re.sub(r"[\s.-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", word.strip())).lower()


@cache
def find_homes(key: str) -> tuple[str, ...]:
    """Find the entries of a recipe that have a key: `a region`, `solver`."""
    places: dict[str, type[BaseModel]] = {
        "a recipe": Recipe,
        "a region": find_model(("regions", 0)),
        "a style": find_model(("styles", "NAME")),
    }
    places |= {name: model for name in ("solver", "encoder") if (model := find_model((name,)))}
    places |= {
        "a mask": find_model(("regions", 0, "mask")),
        "a style in a mix": find_model(("regions", 0, "style", "N")),
    }
    return tuple(name for name, model in places.items() if key in list_keys(model))


@cache
def list_all_keys() -> tuple[str, ...]:
    """List the keys of all entries of a recipe."""
    return tuple(dict.fromkeys(key for model in _walk(Recipe) for key in list_keys(model)))


def _walk(model: type[BaseModel], seen: tuple[type[BaseModel], ...] = ()) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        within = model_in(field.annotation)
        if within and within not in (*seen, model):
            yield from _walk(within, (*seen, model))


def find_model(path: KeyPath) -> type[BaseModel]:
    """Find the model of the entry at a path, or of the nearest one above it."""
    model: type[BaseModel] = Recipe
    for key in path:
        kind = model.model_fields[key].annotation if isinstance(key, str) and key in model.model_fields else None
        model = model_in(kind) or model
    return model


def list_keys(model: type[BaseModel] | None) -> list[str]:
    """List the keys of a model as they are written."""
    keys = [field.alias or key for key, field in model.model_fields.items()] if model else []
    return [*keys, *(["style"] if model is Recipe else [])]


def model_in(kind: Any) -> type[BaseModel] | None:
    """Find the first model in an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := model_in(part))), None)
