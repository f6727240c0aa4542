"""Hypothesis strategies: recipes in which each key is valid by itself, as plain data, and layers of opacity.

A key without a strategy is an error.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from hypothesis.strategies import SearchStrategy
from PIL import ImageColor
from pydantic import BaseModel

from guidedstyle.encoders.registry import list_encoders
from guidedstyle.errors import HIDDEN
from guidedstyle.recipe.controls import OCTAVES, ColourChoice, Controls, RegionControls, Start
from guidedstyle.recipe.mask import Gradient, Mask, SharedMasks
from guidedstyle.recipe.model import (
    FORMAT,
    EncoderChoice,
    Recipe,
    Region,
    SaveChoice,
    SolverChoice,
    StyleChoice,
    StyleUse,
)
from guidedstyle.recipe.values import LONGEST_NAME
from guidedstyle.types import (
    Array,
    Balance,
    ColourMethod,
    Convention,
    Depth,
    Flip,
    LayerOpacity,
    Method,
    Precision,
    ProfileChoice,
    Propagation,
    SolverMethod,
    Statistic,
    Subsampling,
)

settings.register_profile("steady", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("steady")

Strategy = SearchStrategy[Any]
units = st.floats(0, 1, width=32)
AWKWARD = (
    "rest",
    "all",
    "null",
    "1e3",
    "1e-3",
    "- a",
    "a: b",
    "#a",
    "'",
    '"',
    "<<",
    "yes",
    "~",
    "空",
    "a\nb",
    "\t",
    "*a",
)
words = st.sampled_from(AWKWARD) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
weights = st.floats(0, 1e6)
shares = st.floats(0, 1)
sides = st.integers(16, 32768)
fractions = st.floats(-10, 10)
points = st.lists(fractions, min_size=2, max_size=2)
boxes = st.lists(fractions, min_size=4, max_size=4)
lengths = st.floats(0, 1e5) | st.integers(0, 100) | st.floats(0, 100).map(lambda share: f"{share}%") | st.just("2 %")
levels = st.integers(0, 255)
colours = st.one_of(
    st.sampled_from(sorted(ImageColor.colormap)),
    st.from_regex(r"#[0-9a-fA-F]{3}|#[0-9a-fA-F]{6}", fullmatch=True),
    st.tuples(levels, levels, levels).map(lambda colour: f"rgb{colour}"),
)


def _is_name(name: str) -> bool:
    return name not in (".", "..") and not {"/", "\0"} & set(name) and len(name.encode()) <= LONGEST_NAME


names = words.filter(lambda word: not HIDDEN.search(word))
files = names.filter(_is_name) | st.just("/elsewhere/a.png")


def keys(model: type[BaseModel], needed: tuple[str, ...] = (), **values: Strategy) -> Strategy:
    """Make the data of a model; keys that are not `needed` may be missing."""
    assert {name.removesuffix("_") for name in values} == {name.removesuffix("_") for name in model.model_fields}
    aliases = {name: field.alias or name for name, field in model.model_fields.items()}
    named = {aliases[name]: value for name, value in values.items()}
    required = {key: named.pop(key) for key in needed}
    return st.fixed_dictionaries(required, optional=named)


def lists(values: Strategy, least: int = 0, most: int = 3) -> Strategy:
    """Make short lists."""
    return st.lists(values, min_size=least, max_size=most)


def words_of(option: object) -> Strategy:
    """Draw one of the words of an option."""
    return st.sampled_from(get_args(option))


def _extend(masks: Strategy) -> Strategy:
    return _mask(lists(masks, 1), lists(masks, 2, 2))


def _mask(parts: Strategy, pairs: Strategy) -> Strategy:
    return keys(
        Mask,
        rest=st.booleans(),
        all=st.booleans(),
        file=files,
        channel=st.just("alpha"),
        colour=colours,
        ignore=lists(colours),
        tolerance=st.floats(0, 442),
        layer=names,
        layer_opacity=words_of(LayerOpacity),
        rectangle=boxes,
        ellipse=boxes,
        polygon=lists(points, 3, 5),
        gradient=keys(Gradient, ("from", "to"), start=points, end=points),
        any=parts,
        both=parts,
        except_=pairs,
        invert=st.booleans(),
        threshold=st.floats(0, 1, exclude_min=True),
        grow=lengths,
        shrink=lengths,
        feather=lengths,
    )


plain_masks = files | st.sampled_from(["rest", "all"])


masks = st.recursive(plain_masks, _extend, max_leaves=3)
controls: dict[str, Strategy] = {
    "strength": weights,
    "content_strength": weights,
    "smoothness": weights,
    "guides": words_of(Propagation),
    "statistics": words_of(Statistic),
    "style_layers": st.dictionaries(words, weights, min_size=1, max_size=3) | lists(words, 1),
    "content_layers": st.dictionaries(words, weights, min_size=1, max_size=3) | words,
    "octaves": lists(weights, 1, 8) | st.sampled_from(list(OCTAVES)),
    "colour": keys(
        ColourChoice,
        style=st.booleans(),
        content=st.booleans(),
        match=words_of(ColourMethod),
        palette=lists(colours),
    ),
    "colour_strength": shares,
    "opacity": shares,
    "init": files
    | keys(Start, matched=weights, content=weights, noise=weights, style=weights, image=weights, file=files),
}
assert controls.keys() == Controls.model_fields.keys() == RegionControls.model_fields.keys()

uses = weights | masks | keys(StyleUse, weight=weights, where=masks, scale=st.floats(0.1, 10))
regions = keys(
    Region,
    ("name", "mask"),
    name=names,
    mask=masks,
    style=names | st.dictionaries(names, uses, max_size=3),
    keep=st.booleans(),
    border=lengths,
    **controls,
)
styles = files | keys(
    StyleChoice,
    image=files,
    fine=names,
    coarse=names,
    scale=st.floats(0.1, 10),
    rotate=st.floats(-360, 360),
    flip=words_of(Flip),
    mask=masks,
)
solvers = keys(
    SolverChoice,
    method=words_of(SolverMethod),
    steps=st.none() | st.integers(1, 100_000),
    sizes=st.none() | st.integers(1, 12),
    learning_rate=st.none() | st.floats(0, 10, exclude_min=True),
    tolerance=shares,
    seed=st.integers(0, 2**63 - 1),
)
saves = keys(
    SaveChoice,
    depth=st.none() | words_of(Depth),
    profile=words_of(ProfileChoice),
    quality=st.none() | st.integers(1, 100),
    subsampling=st.none() | words_of(Subsampling),
    gps=st.booleans(),
)
recipes = keys(
    Recipe,
    format=st.integers(1, FORMAT),
    content=files,
    canvas=lists(sides, 2, 2),
    output=files,
    save=saves,
    size=sides,
    method=words_of(Method),
    precision=words_of(Precision),
    encoder=st.sampled_from(list_encoders())
    | keys(
        EncoderChoice,
        name=st.sampled_from(list_encoders()),
        weights=files,
        convention=words_of(Convention),
    ),
    network=files,
    styles=st.dictionaries(names, styles, max_size=3),
    masks=files
    | keys(
        SharedMasks,
        ("file",),
        file=files,
        ignore=lists(colours),
        tolerance=st.floats(0, 442),
        layer_opacity=words_of(LayerOpacity),
    ),
    regions=lists(regions),
    balance=words_of(Balance),
    solver=solvers,
    **controls,
)


def opacities(count: int, size: tuple[int, int] = (5, 4)) -> SearchStrategy[list[Array]]:
    """Make `count` layers; many pixels are 0, a half or 1."""
    levels = st.sampled_from([0, 0.5, 1]) | units
    return st.lists(arrays.arrays(np.float32, size[::-1], elements=levels), min_size=count, max_size=count)
