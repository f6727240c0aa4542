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

SYNONYMS = {  # the keys, and what other tools and other languages call them
    "content": "content_image content_path content_img input input_image image photo inhalt contenu contenido",
    "style": "style_image style_path style_img painting stil estilo",
    "styles": "style_images stile estilos",
    "output": "output_path output_image output_file out result ausgabe sortie salida",
    "size": "image_size img_size max_size imsize resolution width größe groesse taille tamaño",
    "strength": "style_weight style_strength weight alpha",
    "content_strength": "content_weight",
    "smoothness": "tv_weight tv tv_loss total_variation",
    "opacity": "blend blend_ratio alpha",
    "colour": "color_mode colour_mode farbe couleur",
    "encoder": "model network backbone vgg",
    "regions": "areas segments zones bereiche régions regiones",
    "masks": "labels segmentation",
    "name": "id label title nom nombre",
    "file": "path src filename image",
    "image": "path src file filename",
    "mask": "file path area maske masque máscara",
    "invert": "inverted negate inverse",
    "init": "start initial",
    "solver.steps": "iterations iteration iters num_iterations num_steps n_steps max_iter epochs schritte",
    "solver.method": "optimizer optimiser algorithm",
    "solver.learning_rate": "lr",
    "keep": "unchanged preserve original",
}
FLAGS = ("device", "resume", "tile", "max_memory", "report", "timelapse", "preview_every", "save_every", "sandbox")
SAME = 0.7  # likeness of two words from which one may be meant by the other


def suggest_key(path: KeyPath, shown: str = "...", *, dotted: bool = False) -> str:
    """Suggest a key with a similar name, the entry that has this key, or all keys that are known here.

    `shown` is its value as YAML; with `dotted` the key was given as a setting, such as solver.steps=20.
    """
    key, model = str(path[-1]), find_model(path[:-1])
    known = list_keys(model)
    fields = [(name, field.annotation) for name, field in model.model_fields.items()]
    inner = [
        (name, own)
        for name, kind in fields
        if get_origin(kind) not in (dict, tuple)
        for own in (key, *find_synonyms(key))
        if own in list_keys(model_in(kind))
    ]
    exact = [(name, own) for name, own in inner if own == key]
    alike = [
        own for own in find_synonyms(key) if own in known and not (model is Recipe and f"solver.{own}" in SYNONYMS)
    ]
    if len(exact) == 1 or (len(inner) == 1 and not alike):
        ((name, own),) = exact or inner
        if own == key and not dotted:
            return f"write it under {name}: {name}: {{{key}: ...}}"
        how = f"{name}.{own}={shown}" if dotted else f"{name}: {{{own}: {shown}}}"
        return f"write it under {name}: `{how}`"
    outer = [name for name, *_ in (key.split("."),) if name in known]
    if "." in key and outer:
        return f"write it under {outer[0]}: {outer[0]}: {{{key.split('.', 1)[1]}: ...}}"
    if close := next(iter(alike), None) or find_close(key, known):
        return f"did you mean {close!r}?"
    if _simplify(key) in FLAGS:
        return f"remove it, and give the command --{_simplify(key).replace('_', '-')}"
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
    return [*find_synonyms(word)] + [
        names[close] for close in get_close_matches(_simplify(word), names, 3, SAME) if names[close] != word
    ]


@cache
def find_synonyms(word: str) -> tuple[str, ...]:
    """Find the keys that other tools or languages call by a word."""
    found = (key for key, words in SYNONYMS.items() if _simplify(word) in words.split())
    return tuple(key.rpartition(".")[2] for key in found)


def is_known(word: str) -> bool:
    """Whether a word is a key of any entry, or means one."""
    return bool(word in list_all_keys() or find_synonyms(word))


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
