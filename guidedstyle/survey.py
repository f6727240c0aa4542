"""Where the regions of a scene survive: at which octaves and layers a position of the features is their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from guidedstyle.architecture import LITE, VGG19, Architecture, Layer
from guidedstyle.guidance import MOSTLY, Kind, cover_cells, halve
from guidedstyle.images import Array, Size, fit_size
from guidedstyle.scene import Scene
from guidedstyle.stages import count_octaves, plan_stages

MOST_STEPS = 1000  # enough for every size to be a stage

ARCHITECTURES = {architecture.name: architecture for architecture in (LITE, VGG19)}


@dataclass(frozen=True)
class Survival:
    """What is left of a region at one size of the picture, and which of the style layers it has a share in there.

    A region survives at a layer where some position is mostly its own: by area, or for `inside` guides with all
    that it sees. Where it does not, `inside` guides fall back to `simple` ones.
    """

    longest: int
    layers: tuple[str, ...]
    of: tuple[str, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """The layers at which it does not survive."""
        return tuple(layer for layer in self.of if layer not in self.layers)

    def __str__(self) -> str:
        if not self.lost or not self.layers:
            return "none" if self.lost else "all"
        return f"to {self.layers[-1]}" if self.of[: len(self.layers)] == self.layers else ", ".join(self.layers)


def survey_regions(scene: Scene) -> list[list[Survival]]:
    """Survey every region at every size that a render sees: the octaves of the final size, then of coarser stages."""
    architecture = ARCHITECTURES[scene.recipe.encoder.name]
    pairs = zip(scene.weights, scene.recipe.regions, strict=False)
    return [list(_survey(weights, scene.size, architecture, region.guides)) for weights, region in pairs]


def survey_paintings(scene: Scene) -> dict[str, list[Survival]]:
    """Survey the used part of every masked painting, at its own size."""
    architecture, recipe = ARCHITECTURES[scene.recipe.encoder.name], scene.recipe
    found = {}
    for name, painting in scene.paintings.items():
        size = fit_size(painting.size, max(16, round(recipe.styles[name].scale * max(scene.size))))
        kinds = {region.guides for region in recipe.regions if name in region.style}
        if recipe.styles[name].mask:
            found[name] = list(_survey(painting.mask, size, architecture, min(kinds)))  # inside, if any asks for it
    return found


def _survey(weights: Array, size: Size, architecture: Architecture, kind: Kind) -> Iterator[Survival]:
    """Survey weights (h, w), which may be coarser than the picture of (width, height) that they are of."""
    names = architecture.style_layers
    for octave in range(len(plan_stages(size, MOST_STEPS)) - 1 + count_octaves(size)):
        shape = halve(size[::-1], octave)
        alive = tuple(name for name in names if _survives(weights, shape, architecture.layers[name], kind))
        yield Survival(max(shape), alive, names)


def _survives(weights: Array, shape: Sequence[int], layer: Layer, kind: Kind) -> bool:
    coarse = min(1.0, max(weights.shape) / max(shape))
    seen = replace(
        layer,
        stride=max(1, round(layer.stride * coarse)),
        receptive_field=max(1, round(layer.receptive_field * coarse)),
    )
    grid = (max(1, round(shape[0] * coarse) // seen.stride), max(1, round(shape[1] * coarse) // seen.stride))
    picture = (round(shape[0] * coarse), round(shape[1] * coarse))
    cells = cover_cells(weights[None], picture, grid, seen, kind)
    return bool(np.max(cells) >= MOSTLY)


def describe_survival(scene: Scene) -> Iterator[str]:
    """Say in a painter's words which regions are too faint or thin, or fall back from `inside` to `simple` guides."""
    for weights, region, found in zip(scene.weights, scene.recipe.regions, survey_regions(scene), strict=False):
        if region.keep:
            continue
        if (most := weights.max()) < MOSTLY:
            yield f"{region.name} is nowhere more than {most:.0%} opaque: most of its paint is what lies around it"
        elif region.guides == "simple":
            yield from _describe_thinness(region.name, found[: count_octaves(scene.size)])
        else:
            yield from _describe_fall_back(region.name, found)
    for name, found in survey_paintings(scene).items():
        if any(region.guides == "inside" for region in scene.recipe.regions if name in region.style):
            yield from _describe_fall_back(f"the mask of style {name}", found)


def _describe_thinness(name: str, found: Sequence[Survival]) -> Iterator[str]:
    gone = [f"{survival.longest} px" for survival in found if not survival.layers]
    if gone:
        yield (
            f"{name} is so thin that nothing of it is left at {' and '.join(gone)}: its larger strokes will take after "
            f"its surroundings (widen it with grow, or render larger)"
        )


def _describe_fall_back(name: str, found: Sequence[Survival]) -> Iterator[str]:
    lost = [f"{', '.join(survival.lost)} at {survival.longest} px" for survival in found if survival.lost]
    if lost:
        yield f"{name} is too narrow for inside guides at {'; '.join(lost)}: there its guides are simple"
