"""Layers of a document: what each covers by itself, and what limits it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from guidedstyle.types import Pixels, Size

MARKER = "(guidedstyle mask new)"  # in the name of a layer, which paint programs keep: opacities are only for the view
VIEW_OPACITY = 0.6  # of the layers of such documents

# What a layer does to those below it: nothing, remove what it covers, keep only that, or something that is not read.
Effect = Literal["cover", "erase", "keep", "unread"]
EFFECTS: dict[str, Effect] = {  # of the blending modes of Krita and OpenRaster that change the alpha of lower layers
    **dict.fromkeys(("erase", "dst-out"), "erase"),
    **dict.fromkeys(("dst-in", "dst-atop"), "keep"),
    **dict.fromkeys(("in", "out", "copy", "clear", "greater", "xor", "src", "src-in", "src-out", "dst"), "unread"),
    **dict.fromkeys(("color-erase", "anti-erase", "replace"), "unread"),
}
SCATTERED = {"dissolve", "bumpmap", "copy-red", "copy-green", "copy-blue"}  # modes that change a layer's own alpha
GROUP = "a group"  # the problem of a group as a mask


@dataclass(frozen=True)
class PaintLayer:
    """A layer of a document: `read` decodes its alpha (H, W), 8 bits, with its own masks, over the whole document.

    A layer that cannot be a mask has a `problem` (GROUP) and a `remedy` instead; a group has `members`, from back
    to front, and `masks`. `clipped_to` are the layers, from back to front, whose alpha limits it; None: it is not
    clipped. One that `inherits` is clipped to all that lies below it. The members of a group that `passes` lie
    directly on what is below the group. An adjustment of colours does not `cover` anything.
    """

    name: str
    opacity: float  # in [0, 1]
    visible: bool
    read: Callable[[], Pixels] | None = None
    problem: str = ""
    remedy: str = ""
    members: tuple[PaintLayer, ...] = ()
    masks: tuple[Callable[[], Pixels], ...] = ()
    fill: float = 1.0  # in [0, 1]: a second opacity
    effect: Effect = "cover"
    covers: bool = True
    clipped_to: tuple[PaintLayer, ...] | None = None
    inherits: bool = False
    passes: bool = False

    @property
    def clipped(self) -> bool:
        """Whether other layers limit it, so that it adds nothing to what they cover together."""
        return self.inherits or self.clipped_to is not None

    @property
    def joined(self) -> bool:
        """Whether it is a group whose members can be read together."""
        return self.problem == GROUP or (bool(self.members) and not self.passes and self.effect in ("erase", "keep"))


@dataclass(frozen=True)
class ListedLayer:
    """A layer with its place in a document: `path` is its name after those of its groups.

    `chain` are its groups and itself. `bases` (tuples of layers, from back to front) and `removers` limit it: all
    those that it and its groups are clipped to, and those above it that erase what is below.
    """

    path: str
    chain: tuple[PaintLayer, ...]
    bases: tuple[tuple[PaintLayer, ...], ...] = ()
    removers: tuple[PaintLayer, ...] = ()

    @property
    def layer(self) -> PaintLayer:
        """The layer itself."""
        return self.chain[-1]

    @property
    def name(self) -> str:
        """Its own name."""
        return self.layer.name

    @property
    def read(self) -> Callable[[], Pixels] | None:
        """What decodes its own alpha, without opacities and groups; None if it cannot be a mask."""
        return self.layer.read

    @property
    def problem(self) -> str:
        """Why it cannot be a mask; empty if it can."""
        return self.layer.problem

    @property
    def visible(self) -> bool:
        """Whether it and its groups are shown."""
        return all(one.visible for one in self.chain)


@dataclass(frozen=True)
class LayeredDocument:
    """A file, its (width, height) and its layers, including groups."""

    file: Path
    size: Size
    layers: tuple[ListedLayer, ...]

    @property
    def marked(self) -> bool:
        """Whether `mask new` made it: the opacities of its layers are only for the view."""
        return any(MARKER in layer.name for layer in self.layers)


def make_group(name: str, opacity: float, visible: bool, members: tuple[PaintLayer, ...]) -> PaintLayer:
    """Make a group, which cannot be a mask itself, of `members` from back to front."""
    named = ", ".join(f"{name}/{member.name}" for member in members)
    remedy = f"name one of its layers: {named}" if named else "it is empty: name a layer"
    return PaintLayer(name, opacity, visible, None, GROUP, remedy, members)


def name_mode(mode: str) -> str:
    """Return the short name of a blending mode of Krita or OpenRaster, which are spelt in several ways."""
    short = mode.strip().lower().rpartition(":")[2].replace("_", "-").replace(" ", "-")
    return short.replace("destination", "dst").replace("source", "src")


def blend(layer: PaintLayer, mode: str) -> PaintLayer:
    """Apply a blending mode of Krita or OpenRaster: one that changes alpha cannot be that of a mask."""
    name = name_mode(mode)
    effect = EFFECTS.get(name, "cover")
    if effect == "cover" and name not in SCATTERED:
        return layer
    if layer.problem not in ("", GROUP):
        return replace(layer, effect="unread")
    return replace(
        layer,
        effect=effect,
        read=None if name in SCATTERED else layer.read,
        problem=f"blended by {mode}, which changes what is covered",
        remedy="choose the mode Normal, and save again",
    )


def list_layers(layers: Sequence[PaintLayer], *, front_first: bool) -> tuple[ListedLayer, ...]:
    """List layers, given from back to front, and the members of groups, each after its group."""
    return tuple(_list(layers, None, (), front_first))


def _list(
    layers: Sequence[PaintLayer], group: ListedLayer | None, beneath: tuple[PaintLayer, ...], front_first: bool
) -> Iterator[ListedLayer]:
    order = range(len(layers))
    for index in reversed(order) if front_first else order:
        layer = layers[index]
        below, over = (*beneath, *expand(layers[:index])), expand(layers[index + 1 :])
        removers = tuple(one for one in over if one.effect != "cover" and one.visible)
        bases = (below,) if layer.inherits else (layer.clipped_to,) if layer.clipped_to is not None else ()
        listed = ListedLayer(layer.name, (layer,), bases, removers)
        if group:
            listed = ListedLayer(
                f"{group.path}/{layer.name}",
                (*group.chain, layer),
                (*group.bases, *bases),
                (*group.removers, *removers),
            )
        yield listed
        yield from _list(layer.members, listed, below if layer.passes else (), front_first)


def expand(layers: Iterable[PaintLayer]) -> tuple[PaintLayer, ...]:
    """Replace groups that pass by their members, which get the opacity, visibility and masks of the group."""
    return tuple(one for layer in layers for one in _expand(layer))


def _expand(layer: PaintLayer) -> Iterator[PaintLayer]:
    if not layer.passes or layer.clipped or layer.effect != "cover":
        yield layer
        return
    for member in expand(layer.members):
        yield replace(
            member,
            opacity=member.opacity * layer.opacity,
            fill=member.fill * layer.fill,
            visible=member.visible and layer.visible,
            masks=(*member.masks, *layer.masks),
        )


def multiply(alphas: Sequence[Pixels]) -> Pixels:
    """Multiply alphas (H, W), 8 bits."""
    product = alphas[0]
    for alpha in alphas[1:]:
        product = scale(product, alpha / np.float32(255))
    return product


def scale(alpha: Pixels, factor: object) -> Pixels:
    """Multiply an alpha (H, W), 8 bits, by a factor in [0, 1], or one for each pixel."""
    return np.round(alpha * np.asarray(factor, np.float32)).astype(np.uint8)


def invert(alpha: Pixels) -> Pixels:
    """Return what an alpha (H, W) leaves over."""
    left: Pixels = np.uint8(255) - alpha
    return left
