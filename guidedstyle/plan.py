"""What a render will do, decided before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from guidedstyle.device.distributed import count_processes, share_least
from guidedstyle.device.limits import Limits, check_device
from guidedstyle.device.memory import measure_memory
from guidedstyle.device.precision import choose_precision
from guidedstyle.encoder import Encoder
from guidedstyle.errors import GuidedStyleError
from guidedstyle.memory import SIDES, Needs, Tiling, choose_tiling, find_needs, shrink_tiling
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import Scene, Stage

ANYTHING = Limits()
LEAST_SHARE = 192  # px a side; for less, sharing costs more than it saves


@dataclass(frozen=True)
class Plan:
    """The sizes, layers, device and precision of a render, how each size is computed, and the memory it takes."""

    stages: tuple[Stage, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    published: bool  # losses and weights of Gatys et al. 2016 instead of relative ones
    device: torch.device
    precision: torch.dtype
    limits: Limits
    tilings: tuple[Tiling, ...]
    memory: int  # bytes, estimated

    @property
    def tiled(self) -> bool:
        """Whether a size is computed in tiles."""
        return any(tiling.side for tiling in self.tilings)

    def tiling(self, stage: Stage) -> Tiling:
        """Return how a size is computed."""
        return self.tilings[self.stages.index(stage)]

    def tell_smaller(self, planned: Plan) -> Iterator[str]:
        """Tell which sizes did not fit as they were planned."""
        for stage in self.stages:
            if self.tiling(stage) != planned.tiling(stage):
                yield f"memory did not suffice at {max(stage.size)} px: computed in {self.tiling(stage)}"

    def shrink(self, stage: Stage) -> Plan | None:
        """Plan smaller tiles for a size that did not fit in memory after all; None: there are none."""
        smaller = shrink_tiling(self.tiling(stage), stage)
        pairs = zip(self.stages, self.tilings, strict=True)
        if smaller is None:
            return None
        return replace(self, tilings=tuple(smaller if one == stage else tiling for one, tiling in pairs))


def make_plan(scene: Scene, encoder: Encoder, device: str = "auto", limits: Limits = ANYTHING) -> Plan:
    """Plan the render of a scene; raises GuidedStyleError where the device is not there or has too little memory."""
    chosen, recipe = choose_device(device), scene.recipe
    style_layers, content_layers = _find_layers(recipe, encoder)
    precision = choose_precision(chosen)
    needs = find_needs(scene, encoder.architecture, style_layers, content_layers, precision.itemsize)
    there = limits.memory or share_least(measure_memory(chosen))
    tilings = tuple(_choose_tiling(needs, stage, limits.tile, there) for stage in scene.stages)
    memory = max(needs.estimate(stage, tiling) for stage, tiling in zip(scene.stages, tilings, strict=True))
    published = recipe.method == "classic"
    return Plan(scene.stages, style_layers, content_layers, published, chosen, precision, limits, tilings, memory)


def _choose_tiling(needs: Needs, stage: Stage, tile: int | str, there: int) -> Tiling:
    """Choose how a size is computed within the bytes that are there; raises GuidedStyleError where it cannot be."""
    whole = [] if isinstance(tile, int) else [Tiling(_share_side(stage))]
    sides = {"off": (), "auto": SIDES}[tile] if isinstance(tile, str) else (tile,)
    tiled = [Tiling(side, content=content) for content in (True, False) for side in sides]
    return _fit(needs, stage, [*whole, *tiled], there)


def _share_side(stage: Stage) -> int | None:
    """Choose tiles that give every process its share; None, the whole picture, where there is but one, or no need."""
    side = round((math.prod(stage.size) / count_processes()) ** 0.5)
    return side if count_processes() > 1 and side >= LEAST_SHARE else None


def _fit(needs: Needs, stage: Stage, tilings: Sequence[Tiling], there: int) -> Tiling:
    """Choose the first tiling that fits; raises GuidedStyleError where none does."""
    if found := choose_tiling(needs, stage, tilings, there):
        return found
    least = min(needs.estimate(stage, tiling) for tiling in tilings)
    rule = f"the render takes at least {least / 2**30:.2f} GiB, and {there / 2**30:.2f} may be taken"
    remedy = "choose a smaller size (--size), solver.method: sgd, which remembers least, or raise --max-memory"
    raise GuidedStyleError.of("size", rule, remedy)


def _find_layers(recipe: Recipe, encoder: Encoder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the layers at which the painted regions match style and content, in the order of computation."""
    architecture, painted = encoder.architecture, [region.over(recipe) for region in recipe.regions if not region.keep]
    matched = [architecture.weigh_style(one.style_layers) for one in painted if one.strength]
    drawn = [architecture.weigh_content(one.content_layers) for one in painted if one.content_strength]
    style, content = ({layer for layers in found for layer in layers} for found in (matched, drawn))
    missing = sorted((style | content) - encoder.layers.keys())
    if missing:
        rule = f"the weights end before {', '.join(missing)}"
        raise GuidedStyleError.of(f"encoder: {architecture.name}", rule, "name weights that go at least as deep")
    return tuple(filter(style.__contains__, encoder.layers)), tuple(filter(content.__contains__, encoder.layers))


def choose_device(name: str) -> torch.device:
    """Choose `auto` (the GPU where there is one), or the device named; raises GuidedStyleError if it is not there."""
    if check_device(name) == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        rule = f"{name!r} is no device that can be used here"
        raise GuidedStyleError.of(
            "--device", rule, "use auto, cpu, or a GPU that is there: cuda, cuda:1, mps"
        ) from error
    return device
