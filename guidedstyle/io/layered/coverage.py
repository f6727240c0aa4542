"""What a layer covers, as its program shows it: its alpha, opacity, groups, clipping, and layers that erase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.layer import (
    VIEW_OPACITY,
    LayeredDocument,
    ListedLayer,
    PaintLayer,
    expand,
    invert,
    multiply,
    scale,
)
from guidedstyle.types import LayerOpacity, Pixels, Size

MERGE = "merge the two in your program, or remove it, and save again"


@dataclass(frozen=True)
class LayerReading:
    """The coverage (H, W) of a layer, 8 bits, and warnings about it."""

    alpha: Pixels
    warnings: tuple[str, ...]

    @cached_property
    def empty(self) -> bool:
        """Whether it covers nothing."""
        return not self.alpha.any()


def read_coverage(document: LayeredDocument, listed: ListedLayer, opacity: LayerOpacity | None) -> LayerReading:
    """Read what a layer covers; `opacity` says whether the opacities of layers and groups count.

    By default they do, but in documents that `mask new` made. A layer that is hidden counts as if it were shown, and
    those it is clipped to as well. Raises GuidedStyleError if something that changes its coverage is not read.
    """
    counted = not document.marked if opacity is None else opacity == "count"
    reader = CoverageReader(document.file, document.size, counted)
    return LayerReading(reader.read(listed), tuple(reader.warn(listed, told=opacity is None)))


@dataclass(frozen=True)
class CoverageReader:
    """Reads the layers of a document of (width, height); opacities are 1 unless they are `counted`."""

    file: Path
    size: Size
    counted: bool

    def read(self, listed: ListedLayer) -> Pixels:
        """Read the coverage (H, W) of a layer, limited by its groups, what they are clipped to, and erasers."""
        assert listed.layer.read  # a layer without a problem
        alpha = multiply([listed.layer.read(), *(read() for one in listed.chain for read in one.masks)])
        if self.counted:
            alpha = scale(alpha, np.prod([one.opacity * one.fill for one in listed.chain]))
        bases = [self.cover(base, f"what {listed.name!r} is clipped to") for base in listed.bases]
        return multiply([alpha, *bases, *(self._leave(one, listed.name) for one in listed.removers)])

    def _leave(self, remover: PaintLayer, name: str) -> Pixels:
        """Read what a layer above `name` leaves of those below it."""
        if remover.effect == "unread":
            rule = f"layer {remover.name!r}, above {name!r}, changes what that covers ({remover.problem})"
            raise GuidedStyleError.of(self.file, rule, remover.remedy or MERGE)
        alpha = scale(self._read_own(remover, f"what erases {name!r}"), remover.opacity * remover.fill)
        return invert(alpha) if remover.effect == "erase" else alpha

    def cover(self, layers: Sequence[PaintLayer], role: str) -> Pixels:
        """Read what layers, from back to front, cover together; `role` says what for, in messages."""
        covered = np.zeros(self.size[::-1], np.uint8)
        for layer in layers:
            if layer.clipped or (layer.effect != "cover" and not layer.visible) or not layer.covers:
                continue
            if layer.effect == "cover":
                alpha = self._read_own(layer, role)
                alpha = scale(alpha, layer.opacity * layer.fill) if self.counted else alpha
                covered = invert(multiply([invert(covered), invert(alpha)]))
            elif covered.any():
                covered = multiply([covered, self._leave(layer, role)])
        return covered

    def _read_own(self, layer: PaintLayer, role: str) -> Pixels:
        """Read the alpha of a layer, or of all members of a group, with its masks but without its opacity."""
        if layer.read:
            own = layer.read()
        elif not layer.joined:
            rule = f"layer {layer.name!r}, part of {role}, is {layer.problem}"
            raise GuidedStyleError.of(self.file, rule, layer.remedy)
        else:
            own = self.cover(expand(layer.members), role)
        return multiply([own, *(read() for read in layer.masks)])

    def warn(self, listed: ListedLayer, *, told: bool) -> Iterator[str]:
        """Warn of hidden layers and, if `told`, of opacities, of a layer, its groups and what it is clipped to."""
        name, where = listed.name, self.file.name
        for one in listed.chain:
            if not one.visible:
                what = f"layer {name!r}" if one is listed.layer else f"the group {one.name!r} of layer {name!r}"
                yield f"{where}: {what} is hidden; it counts as if it were shown"
        for one in self._find_bases(listed, hidden=True):
            yield f"{where}: layer {name!r} is clipped to {one.name!r}, which is hidden; it counts as if it were shown"
        if told:
            for one in (*listed.chain, *self._find_bases(listed, hidden=False)):
                yield from self._describe_opacity(one, where)

    def _find_bases(self, listed: ListedLayer, *, hidden: bool) -> Iterator[PaintLayer]:
        """Find the layers, hidden or lowered ones, that change what a layer is clipped to."""
        for base in listed.bases:
            for one in base:
                if one.clipped or one.effect != "cover" or (one.visible if hidden else _is_solid(one)):
                    continue
                others = [other for other in base if other is not one]
                if (self.cover(others, "") != self.cover([*others, one], "")).any():
                    yield one

    def _describe_opacity(self, layer: PaintLayer, where: str) -> Iterator[str]:
        """Warn of a lowered opacity: that it counts, or does not; that of new documents is known."""
        if _is_solid(layer):
            return
        shown = [f"{one:.0%} {kind}" for one, kind in ((layer.opacity, "opacity"), (layer.fill, "fill")) if one < 1]
        what = f"{where}: {layer.name!r} is at {' and '.join(shown)}"
        if self.counted:
            yield f"{what} and counts so (if only to see the photograph: raise it, or set layer_opacity: ignore)"
        elif abs(layer.opacity - VIEW_OPACITY) > 0.005 or layer.fill < 1:
            yield f"{what}, which does not count in a document of mask new (if it should: set layer_opacity: count)"


def _is_solid(layer: PaintLayer) -> bool:
    return layer.opacity * layer.fill >= 1
