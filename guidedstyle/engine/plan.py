"""Plan a render: scales, tiles, precision, and the memory it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch.nn import functional

from guidedstyle.device.distributed import count_processes, divide_memory
from guidedstyle.device.environment import Limits, check_device, refuse_device
from guidedstyle.device.free_memory import measure_memory
from guidedstyle.device.precision import choose_precision
from guidedstyle.encoders.architecture import Architecture, Convolution, is_max_pooling
from guidedstyle.encoders.encoder import Described, Encoder
from guidedstyle.engine.solvers.lbfgs import FULL, SHORTER, History
from guidedstyle.errors import GuidedStyleError
from guidedstyle.losses.propagation import halve_shape
from guidedstyle.losses.tiles import Tiling
from guidedstyle.masks.compositing import ROUNDING
from guidedstyle.networks.card import Card
from guidedstyle.networks.painting import estimate_memory
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import Scene, Stage
from guidedstyle.types import Array, Padding, Size, SolverMethod

# Measured on CPUs with glibc, whose fragmented free memory counts as used.
RUNTIME = 700 * 2**20  # bytes that torch and its libraries take
SHAPES = 100 * 2**20  # bytes of kernels for tiles of several shapes
PASSING = 10.0  # times the largest layer: features and gradients that are there only while layers are computed
PIXEL = 12  # bytes of three float32
GUIDES = 10 * 4 / 3  # bytes of two indices of int32 for every position of three grids
SIDES = (1024, 512, 256, 128)  # px
INDEX = 8  # bytes of an index of max pooling
HALVED = 0.5  # images less, where L-BFGS keeps the best one in 16 bits
STATE: dict[SolverMethod, float] = {"lbfgs": 4.8, "adam": 6, "sgd": 4.8}  # images that a step holds, besides pairs


@dataclass(frozen=True)
class Needs:
    """The quantities that determine the memory of a render of any size; in bytes per pixel unless stated otherwise."""

    images: float  # of the optimiser, the content image, region weights
    weights: Array  # of regions (R + 1, h, w), at any size
    pair: float  # of a pair of L-BFGS in 32 bits
    fixed: float  # of style images and of the content image's own pixels, in bytes in all
    features: float  # stored for the backward pass, with their difference to the content image's
    passing: float  # of features and gradients while layers are computed
    content: float  # the content image's features
    halo: int  # px around a tile

    @property
    def shorter(self) -> tuple[History, ...]:
        """The shorter histories there are: none where there are no pairs."""
        return SHORTER if self.pair else ()

    def estimate(self, stage: Stage, tiling: Tiling, history: History = FULL) -> int:
        """Estimate the bytes that a stage needs."""
        pixels, octaves = math.prod(stage.size), sum(0.25**octave for octave in range(stage.octaves))
        guides = GUIDES * _share_mixed(self.weights, stage, tiling)
        pairs = self.pair * history.count_bits(stage.steps) / 32
        halved = HALVED * PIXEL * (history.bits < 32)
        images = self.images - halved + guides + pairs + self.content * tiling.content
        kept, passing = octaves * pixels, pixels
        if tiling.side:
            passing = min(pixels, (tiling.side + 2 * self.halo) ** 2)
            around = passing / min(pixels, tiling.side**2)
            whole = sum(0.25**octave for octave in range(1, stage.octaves) if max(stage.size) >> octave <= tiling.side)
            kept = passing + tiling.kept * octaves * pixels * around + (1 - tiling.kept) * whole * pixels
        runtime = RUNTIME + (SHAPES if tiling.side else 0)
        return round(runtime + self.fixed + images * pixels + self.features * kept + self.passing * passing)


def find_needs(
    scene: Scene, architecture: Architecture, *, style: Sequence[str], content: Sequence[str], itemsize: int
) -> Needs:
    """Find what a scene needs with these style and content layers and features of `itemsize` bytes."""
    recipe, count = scene.recipe, len(scene.recipe.regions)
    kept, read = [architecture.layers[name] for name in content], {*style, *content}
    error = sum(layer.channels / layer.stride**2 for layer in kept) * itemsize  # as large as the features
    return Needs(
        images=PIXEL * STATE[recipe.solver.method] + 4 * (count + 1),
        weights=scene.weights,
        pair=2 * PIXEL if recipe.solver.method == "lbfgs" else 0,
        fixed=sum(_measure_style_images(scene)) + _measure_original(scene),
        features=_count_features(architecture, read, guided=style if count > 1 else (), itemsize=itemsize) + error,
        passing=PASSING * _find_largest(architecture) * itemsize,
        content=error,
        halo=max([architecture.layers[name].receptive_field // 2 for name in read], default=0),
    )


def _share_mixed(weights: Array, stage: Stage, tiling: Tiling) -> float:
    """Measure the fraction of tiles that belong to more than one region."""
    across, down = (-(-length // (tiling.side or length)) for length in stage.size)
    tiles = functional.adaptive_avg_pool2d(torch.from_numpy(weights), (down, across))
    return float((tiles.amax(0) < 1 - ROUNDING).float().mean())


def _count_features(architecture: Architecture, read: Set[str], *, guided: Sequence[str], itemsize: int) -> float:
    """Count the bytes per pixel stored for the backward pass: features, indices of max pooling, rows of guides.

    Before max pooling only the indices are needed, unless the features are read.
    """
    total, missing, traced = 0.0, set(read), list(architecture.trace())
    for (block, _, layer), following in zip(traced, [*(one for one, _, _ in traced[1:]), None], strict=True):
        if not missing:
            break
        stored = layer.name in read or not (isinstance(block, Convolution) and is_max_pooling(following))
        copies = stored + (layer.name in guided)
        indices = layer.channels * INDEX if is_max_pooling(block) else 0
        total += (copies * layer.channels * itemsize + indices) / layer.stride**2
        missing.discard(layer.name)
    return total


def _find_largest(architecture: Architecture) -> float:
    """Find the most values per pixel that a layer has."""
    return max(layer.channels / layer.stride**2 for _, _, layer in architecture.trace())


def _measure_style_images(scene: Scene) -> Iterator[float]:
    """Compute the bytes of each opened style image and its mask."""
    for name, style_image in scene.style_images.items():
        shown = math.prod(style_image.fit(scene.recipe.largest_scale(name) * max(scene.size)))
        yield (PIXEL + 4.0) * min(shown, math.prod(style_image.size))


def _measure_original(scene: Scene) -> float:
    """Compute the bytes of the content image's own pixels, at the size of the output."""
    each = scene.original.pixel_bytes if scene.original else 0
    return each * math.prod(scene.size)


def choose_way(
    needs: Needs, stage: Stage, ways: Iterable[tuple[Tiling, History]], *, limit: float
) -> tuple[Tiling, History] | None:
    """Choose the first tiling and history of a stage that fit within `limit` bytes; None if none do.

    The memory that is left stores the graphs of tiles, which then need not be computed twice.
    """
    for tiling, history in ways:
        if (taken := needs.estimate(stage, tiling, history)) <= limit:
            each = needs.estimate(stage, replace(tiling, kept=1.0), history) - taken
            kept = min(1.0, (limit - taken) / each) if tiling.side else tiling.kept
            return replace(tiling, kept=kept), history
    return None


def shrink_tiling(tiling: Tiling, stage: Stage) -> Tiling | None:
    """Choose a tiling that needs less memory than one that did not fit; None if there is none."""
    if tiling.kept:
        return replace(tiling, kept=0.0)
    if side := next((side for side in SIDES if side < (tiling.side or max(stage.size))), None):
        return replace(tiling, side=side)
    return replace(tiling, content=False) if tiling.content else None


T = TypeVar("T")
ANYTHING = Limits()
LEAST_SHARE = 192  # px a side; smaller tiles are not worth dividing between processes


@dataclass(frozen=True)
class Plan:
    """The stages, layers, device and precision of a render, how each stage fits into memory, and what it needs.

    `padding` is what the encoder sees beyond the border; None: what its architecture says.
    """

    stages: tuple[Stage, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    published: bool  # losses and weights of Gatys et al. 2016 instead of relative ones
    padding: Padding | None
    device: torch.device
    precision: torch.dtype
    limits: Limits
    limit: int  # bytes that there are
    tilings: tuple[Tiling, ...]
    histories: tuple[History, ...]
    shorter: tuple[History, ...]  # that may be tried where memory runs out
    memory: int  # bytes, estimated

    def place(self, encoder: Encoder) -> Encoder:
        """Return an encoder as this plan uses it: on its device, in its precision, with its padding."""
        return encoder.move(self.device, self.precision, self.padding)

    @property
    def tiled(self) -> bool:
        """Whether any stage is computed in tiles."""
        return any(tiling.side for tiling in self.tilings)

    def tiling(self, stage: Stage) -> Tiling:
        """Return the tiling of a stage."""
        return self.tilings[self.stages.index(stage)]

    def history(self, stage: Stage) -> History:
        """Return the history that L-BFGS keeps in a stage."""
        return self.histories[self.stages.index(stage)]

    def describe(self, stage: Stage) -> str:
        """Describe how a stage is computed."""
        tiling, history = self.tiling(stage), self.history(stage)
        return str(tiling) if history == FULL else f"{tiling}, {history}"

    def is_short(self, stage: Stage) -> bool:
        """Whether memory is too short to compute a stage whole, with the full history."""
        side = self.tiling(stage).side
        return self.history(stage) != FULL or (side is not None and side < max(stage.size))

    def describe_changes(self, planned: Plan) -> Iterator[str]:
        """Describe the stages that did not fit in memory as planned."""
        for stage in self.stages:
            if self.describe(stage) != planned.describe(stage):
                yield f"not enough memory at {max(stage.size)} px: computed in {self.describe(stage)}"

    def shrink(self, stage: Stage) -> Plan | None:
        """Plan smaller tiles, or else a shorter history, for a stage that did not fit in memory; None: none is left."""
        index = self.stages.index(stage)
        if smaller := shrink_tiling(self.tilings[index], stage):
            return replace(self, tilings=_replace_at(self.tilings, index, smaller))
        taken = self.histories[index].count_bits(stage.steps)
        left = [one for one in self.shorter if one.count_bits(stage.steps) < taken]
        return replace(self, histories=_replace_at(self.histories, index, left[0])) if left else None


def make_plan(
    scene: Scene, encoder: Described, device: str = "auto", *, limits: Limits = ANYTHING, store: bool = True
) -> Plan:
    """Plan the render of a scene; with `store`, what is measured for it is kept in the cache.

    Raises GuidedStyleError if the device is missing or has too little memory.
    """
    chosen, recipe = choose_device(device), scene.recipe
    style_layers, content_layers = _find_layers(recipe, encoder)
    _check_grids(scene, encoder.architecture, style_layers, content_layers)
    precision = choose_precision(chosen, recipe.precision, store=store)
    needs = find_needs(
        scene, encoder.architecture, style=style_layers, content=content_layers, itemsize=precision.itemsize
    )
    limit = limits.memory or divide_memory(measure_memory(chosen))
    chosen_ways = [_choose_way(needs, stage, tile=limits.tile, limit=limit) for stage in scene.stages]
    memory = max(needs.estimate(stage, *way) for stage, way in zip(scene.stages, chosen_ways, strict=True))
    if scene.card:
        memory = max(memory, min(limit, _estimate_painting(scene, scene.card, precision)))
    tilings, histories = zip(*chosen_ways, strict=True)
    return Plan(
        stages=scene.stages,
        style_layers=style_layers,
        content_layers=content_layers,
        published=recipe.method == "classic",
        padding=_choose_padding(recipe),
        device=chosen,
        precision=precision,
        limits=limits,
        limit=limit,
        tilings=tilings,
        histories=histories,
        shorter=needs.shorter,
        memory=memory,
    )


def _estimate_painting(scene: Scene, card: Card, precision: torch.dtype) -> int:
    """Estimate the bytes that a network needs to paint the image as a whole."""
    regions, itemsize = len(scene.painted), precision.itemsize
    return RUNTIME + estimate_memory(card.width, scene.stages[0].size, regions=regions, itemsize=itemsize)


def _choose_padding(recipe: Recipe) -> Padding | None:
    """Choose what an encoder sees beyond the border.

    Departs from the published networks, which see zeros there: an image has no frame of zeros, and its outermost pixels
    would be painted to make up for it. `classic` keeps them, as do recipes of format 1.
    """
    if recipe.method == "classic":
        return None
    return "zeros" if recipe.format == 1 else "replicate"


def _replace_at(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _choose_way(needs: Needs, stage: Stage, *, tile: int | str, limit: int) -> tuple[Tiling, History]:
    """Choose the tiling and the history of a stage within `limit` bytes; raises GuidedStyleError if none fit.

    Where the full history fits in any tiles it is kept: how much memory is free then does not change it.
    """
    whole = [] if isinstance(tile, int) else [Tiling(_share_side(stage))]
    sides = {"off": (), "auto": SIDES}[tile] if isinstance(tile, str) else (tile,)
    tiled = [Tiling(side, content=content) for content in (True, False) for side in sides]
    ways = [(tiling, history) for history in (FULL, *needs.shorter) for tiling in (*whole, *tiled)]
    return _fit(needs, stage, ways, limit=limit)


def _share_side(stage: Stage) -> int | None:
    """Choose tiles that give each process a share; None for the whole image: one process, or a small image."""
    side = round((math.prod(stage.size) / count_processes()) ** 0.5)
    return side if count_processes() > 1 and side >= LEAST_SHARE else None


def _fit(needs: Needs, stage: Stage, ways: Sequence[tuple[Tiling, History]], *, limit: int) -> tuple[Tiling, History]:
    """Choose the first tiling and history that fit; raises GuidedStyleError if none do."""
    if found := choose_way(needs, stage, ways, limit=limit):
        return found
    least = min(needs.estimate(stage, *way) for way in ways)
    rule = f"the render needs at least {least / 2**30:.2f} GiB, and {limit / 2**30:.2f} GiB are available"
    remedy = "choose a smaller size (--size), solver.method: sgd, which needs least, or raise --max-memory"
    raise GuidedStyleError.of("size", rule, remedy)


def _find_layers(recipe: Recipe, encoder: Described) -> tuple[tuple[str, ...], tuple[str, ...]]:
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


def _check_grids(scene: Scene, architecture: Architecture, style: Sequence[str], content: Sequence[str]) -> None:
    """Raise GuidedStyleError where an image, or its coarsest octave, is too small to have features at a layer."""
    for stage in scene.stages:
        looked_at = [
            (name, halve_shape(size[::-1], stage.octaves - 1)) for size in _list_sizes(scene, stage) for name in style
        ]
        for name, shape in [*looked_at, *((name, stage.size[::-1]) for name in content)]:
            if 0 in architecture.layers[name].grid(shape):
                rule = f"{shape[1]} x {shape[0]} px, at its coarsest, is too small for layer {name}"
                raise GuidedStyleError.of(
                    "size", rule, "choose a larger size, fewer octaves or sizes, or earlier layers"
                )


def _list_sizes(scene: Scene, stage: Stage) -> Iterator[Size]:
    """List the sizes of the image and of all style images at a stage."""
    yield stage.size
    for region in scene.recipe.regions:
        for name, use in region.mix.items():
            yield scene.style_images[name].fit(scene.recipe.scale(name, use) * max(stage.size))


def choose_device(name: str) -> torch.device:
    """Choose the named device, or for `auto` a GPU if there is one; raises GuidedStyleError if it is missing."""
    if (name := check_device(name)) == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise refuse_device(name) from error
    return device
