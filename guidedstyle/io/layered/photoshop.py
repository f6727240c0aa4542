"""Photoshop documents, which GIMP writes too, read and written with psd-tools."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.layered.base import DAMAGED, check_size, place
from guidedstyle.io.layered.layer import (
    LayeredDocument,
    PaintLayer,
    invert,
    list_layers,
    make_group,
    multiply,
    scale,
)
from guidedstyle.types import Pixels, Size

FILLS = ("solidcolorfill", "gradientfill", "patternfill")  # kinds of layers that have no pixels of their own
OUTSIDE = {"DropShadow": "a drop shadow", "OuterGlow": "an outer glow"}  # effects that cover more than the layer
RASTERISE = "rasterise the layer and its style, or switch that off, and save again"
MERGE = "merge it onto an empty layer, or switch that off, and save again"
APPLY = "apply the mask to the layer, or remove it, and save again"


def open_photoshop(file: Path) -> LayeredDocument:
    """Open a .psd or .psb; raises GuidedStyleError if it is damaged."""
    from psd_tools import PSDImage

    logging.getLogger("psd_tools").setLevel(logging.CRITICAL)  # its warnings are about blocks that are not used
    with file.open("rb") as stream:
        header = stream.read(26)
    if len(header) < 26 or header[:4] != b"8BPS":
        raise GuidedStyleError.of(file, "this is not a Photoshop document", DAMAGED)
    size = check_size(file, int.from_bytes(header[18:22], "big"), int.from_bytes(header[14:18], "big"))
    with _report_damage(file, "the document"):
        document = PSDImage.open(file)
        return LayeredDocument(file, size, list_layers(_list(file, size, document), front_first=False))


@contextmanager
def _report_damage(file: Path, part: str) -> Iterator[None]:
    """Raise GuidedStyleError that `part` is damaged if anything fails while it is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except GuidedStyleError:
        raise
    except Exception as error:  # a parser of so large a format can raise anything
        raise GuidedStyleError.of(file, f"{part} is damaged ({_first_line(error)})", DAMAGED) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:80]


def _list(file: Path, size: Size, group: Any) -> tuple[PaintLayer, ...]:
    """List the layers of a group, from back to front; clipped ones with the layer below that they are clipped to."""
    listed: list[PaintLayer] = []
    base: Any = None
    for layer in group:
        described = _describe(file, size, layer)
        if layer.clipping and base is not None:
            described = replace(described, clipped_to=(_describe(file, size, base),))
            if _is_set(base, "BLEND_CLIPPING_ELEMENTS", 1) == 0 and base.opacity * base.fill_opacity < 255**2:
                problem = f"clipped to {base.name!r}, which is blended apart from what is clipped to it"
                described = replace(described, problem=problem, remedy=MERGE)
        elif not layer.clipping:
            base = layer
        listed.append(described)
    return tuple(listed)


def _is_set(layer: Any, tag: str, default: int) -> int:
    """Return a number that a layer's blending options hold."""
    from psd_tools.constants import Tag

    return int(layer.tagged_blocks.get_data(getattr(Tag, tag), default))


def _describe(file: Path, size: Size, layer: Any) -> PaintLayer:
    shown = (layer.name.rstrip("\0"), layer.opacity / 255, layer.visible)  # Krita ends names with a zero
    fill = min(max(_is_set(layer, "BLEND_FILL_OPACITY", 255), 0), 255) / 255
    problem, remedy = _find_problem(layer, fill)
    knockout = _is_set(layer, "KNOCKOUT_SETTING", 0)
    if layer.is_group():
        described = make_group(*shown, _list(file, size, layer))
        described = replace(
            described,
            masks=(partial(_read_masks, file, layer, size),),
            passes=layer.blend_mode.value == b"pass",
            problem=problem or described.problem,
            remedy=remedy or described.remedy,
        )
    else:
        read = None if problem else partial(_read, file, layer, size)
        described = PaintLayer(*shown, read, problem, remedy, covers=not _adjusts(layer))
    if knockout:
        described = replace(described, effect="unread", problem=described.problem or "it knocks out", remedy=MERGE)
    return replace(described, fill=fill)


def _adjusts(layer: Any) -> bool:
    """Whether a layer changes the colours of others and covers nothing."""
    from psd_tools.api.layers import AdjustmentLayer

    return isinstance(layer, AdjustmentLayer)


def _find_problem(layer: Any, fill: float) -> tuple[str, str]:
    """Find what keeps a layer, or what is in a group, from being read as it is shown, and its remedy."""
    if effect := _find_effect(layer, fill):
        return f"shown with {effect}", RASTERISE
    ranges = layer._record.blending_ranges
    pairs = [*(ranges.composite_ranges or ()), *(pair for one in ranges.channel_ranges or () for pair in one)]
    if any(tuple(pair) != (0, 65535) for pair in pairs):
        return "shown only where it, or what lies below, has some brightness (Blend If)", MERGE
    if layer.tagged_blocks.get_data(b"brst"):
        return "shown in some colour channels only", MERGE
    if layer.blend_mode.value == b"diss":
        return "scattered in dots (the blending mode Dissolve)", "choose the mode Normal, and save again"
    if problem := _find_mask_problem(layer):
        return problem, APPLY
    if layer.is_group() or layer.has_pixels():
        return "", ""
    return _find_fill_problem(layer)


def _find_fill_problem(layer: Any) -> tuple[str, str]:
    """Find why a layer without pixels cannot be read; one that is empty can, and so can a colour in its masks."""
    if layer.has_stroke() and layer.stroke.enabled:
        return "a shape with a stroke", RASTERISE
    if layer.kind == "patternfill" or (layer.kind == "gradientfill" and _is_transparent(layer)):
        return f"a {layer.kind.removesuffix('fill')} that may be transparent", RASTERISE
    if layer.kind in ("pixel", "shape", *FILLS) or (layer.has_mask() and _adjusts(layer)):
        return "", ""
    return f"a {layer.kind} layer, which has no pixels", "rasterise it and save again"


def _is_transparent(layer: Any) -> bool:
    """Whether the gradient of a layer is transparent anywhere, or does not say."""
    stops = getattr(layer.data, "get", lambda _: None)(b"Trns") or ()
    return not stops or any(float(stop.get(b"Opct")) < 100 for stop in stops)


def _find_effect(layer: Any, fill: float) -> str | None:
    """Name an effect that changes what a layer covers; colours over a faded fill do, too."""
    for effect in layer.effects if layer.effects.enabled else ():
        if not effect.enabled:
            continue
        if effect.name in OUTSIDE:
            return OUTSIDE[effect.name]
        if effect.name == "Stroke" and getattr(effect.position, "name", "") != "INSIDE":
            return "a stroke around it"
        if effect.name == "BevelEmboss" and getattr(effect.bevel_style, "name", "") != "INNER_BEVEL":
            return "a bevel around it"
        if fill < 1:
            return f"its fill at {fill:.0%} and an effect ({effect.name}) that is not"
    return None


def _find_mask_problem(layer: Any) -> str | None:
    """Name what keeps the masks of a layer from being read."""
    mask = layer.mask
    if mask is None:
        return None
    if mask.flags.invert_mask and not mask.disabled:
        return "masked by an inverted mask of an old kind"
    parameters = mask.parameters
    if parameters and (parameters.user_mask_feather or parameters.vector_mask_feather):
        return "masked by a feathered mask"
    vector = layer.vector_mask
    if mask.has_real() and vector is not None and vector.disabled and not mask.disabled:
        return "masked, with a vector mask that is switched off"
    return None


def _read(file: Path, layer: Any, size: Size) -> Pixels:
    """Read the alpha of a layer: its own transparency times its masks."""
    with _report_damage(file, f"layer {layer.name!r}"):
        shape = _read_shape(layer, size)
    return multiply([shape, _read_masks(file, layer, size)])


def _read_shape(layer: Any, size: Size) -> Pixels:
    if not layer.has_pixels():  # empty, or a colour as large as its masks
        return np.full(size[::-1], 255 * (layer.kind != "pixel"), np.uint8)
    alpha = layer.topil(channel=-1)
    pixels = np.full((layer.height, layer.width), 255, np.uint8) if alpha is None else np.asarray(alpha.convert("L"))
    return place(pixels, (layer.left, layer.top), size)


def _read_masks(file: Path, layer: Any, size: Size) -> Pixels:
    """Read the mask and the vector mask of a layer or group, those that are switched on; without one all is 255."""
    with _report_damage(file, f"layer {layer.name!r}"):
        mask, vector = layer.mask, layer.vector_mask
        both = mask is not None and mask.has_real() and not mask.disabled  # drawn into one by the program
        drawn = vector is not None and not vector.disabled and not both
        drawn = drawn and not (layer.has_pixels() and _is_drawn_in(layer))
        masks = [_draw_vector_mask(layer)] if drawn else []
        rendered = drawn and mask is not None and mask.flags.user_mask_from_render
        if mask is not None and not mask.disabled and not rendered and not _repeats(layer):
            masks.append(_read_mask(mask, size))
    return multiply(masks) if masks else np.full(size[::-1], 255, np.uint8)


def _is_drawn_in(layer: Any) -> bool:
    """Whether the pixels of a shape or fill were drawn within its path already."""
    from psd_tools.composite.utils import has_fill

    return bool(has_fill(layer))


def _repeats(layer: Any) -> bool:
    """Whether the mask of a shape or fill is the alpha of its pixels again."""
    if not layer.has_pixels() or layer.kind not in (*FILLS, "shape") or layer.mask.bbox != layer.bbox:
        return False
    shape, mask = layer.numpy("shape"), layer.numpy("mask")
    return shape is not None and mask is not None and np.array_equal(shape, mask)


def _draw_vector_mask(layer: Any) -> Pixels:
    from psd_tools.composite.vector import draw_vector_mask

    density = getattr(layer.mask and layer.mask.parameters, "vector_mask_density", None)
    drawn = np.asarray(np.round(np.clip(draw_vector_mask(layer)[..., 0], 0, 1) * 255), np.uint8)
    return _fade(drawn, density)


def _read_mask(mask: Any, size: Size) -> Pixels:
    picture = mask.topil()
    beyond = np.full(size[::-1], mask.background_color, np.uint8)
    if picture is not None:
        inner, corner = np.asarray(picture.convert("L")), (mask.left, mask.top)
        within = place(np.full(inner.shape, 255, np.uint8), corner, size) > 0
        beyond = np.where(within, place(inner, corner, size), beyond)
    return _fade(beyond, getattr(mask.parameters, "user_mask_density", None))


def _fade(mask: Pixels, density: int | None) -> Pixels:
    """Let a mask hide less: by its density, of 255."""
    return mask if density is None else invert(scale(invert(mask), density / 255))


def write_photoshop(file: Path, layers: Sequence[tuple[str, Image.Image]], opacities: Sequence[float] = ()) -> None:
    """Write RGBA layers, from back to front, all of the size of the first, atomically.

    `opacities` are those of all layers, 0 to 1; without them all are opaque.
    """
    from psd_tools import PSDImage

    document = PSDImage.new("RGBA", layers[0][1].size)  # in RGB, transparency would become a mask
    for (name, picture), opacity in zip(layers, opacities or [1.0] * len(layers), strict=True):
        layer = document.create_pixel_layer(picture, opacity=round(255 * opacity))
        layer.name = name  # as an argument, it would be limited to Latin letters
    buffer = io.BytesIO()
    document.save(buffer)
    write_file(file, buffer.getvalue())
