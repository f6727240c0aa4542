"""Where the regions of a scene survive: at which octaves and layers a position of the features is their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from guidedstyle.architecture import LITE, VGG19, Architecture, Layer
from guidedstyle.guidance import MOSTLY, Kind, cover_cells, halve
from guidedstyle.images import SMALLEST_SIDE, Array, Size, fit_size
from guidedstyle.scene import Scene
from guidedstyle.stages import count_octaves, plan_stages

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


@dataclass(frozen=True)
class Survey:
    """What survives of every region, and of the used part of every masked painting by name, at each size."""

    regions: list[list[Survival]]
    paintings: dict[str, list[Survival]]


def survey_scene(scene: Scene) -> Survey:
    """Survey a scene at every size that its render sees: the octaves of the final size, then of coarser stages."""
    recipe, sizes = scene.recipe, _count_sizes(scene)
    architecture = ARCHITECTURES[recipe.encoder.name]
    regions = [
        _survey(weights, scene.size, sizes, architecture, region.guides)
        for weights, region in zip(scene.weights, recipe.regions, strict=False)
    ]
    paintings = {}
    for name, painting in scene.paintings.items():
        size = fit_size(painting.size, max(SMALLEST_SIDE, round(recipe.styles[name].scale * max(scene.size))))
        kinds = {region.guides for region in recipe.regions if name in region.style}
        if recipe.styles[name].mask:  # inside, if any region asks for it
            paintings[name] = _survey(painting.mask, size, sizes, architecture, min(kinds))
    return Survey(regions, paintings)


def _count_sizes(scene: Scene) -> int:
    """Count the sizes, each half the one before, that the stages and their octaves come to."""
    stages = plan_stages(scene.size, scene.recipe.solver.steps)
    return max(smaller + stage.octaves for smaller, stage in enumerate(reversed(stages)))


def _survey(weights: Array, size: Size, sizes: int, architecture: Architecture, kind: Kind) -> list[Survival]:
    """Survey weights (h, w), which may be coarser than the picture of (width, height) that they are of."""
    names, found = architecture.style_layers, []
    for octave in range(sizes):
        shape = halve(size[::-1], octave)
        alive = tuple(name for name in names if _survives(weights, shape, architecture.layers[name], kind))
        found.append(Survival(max(shape), alive, names))
    return found


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


def collect_notes(scene: Scene, survey: Survey) -> tuple[str, ...]:
    """Collect what a person should know before the render, in words."""
    return (*scene.notes, *_describe_survival(scene, survey))


def _describe_survival(scene: Scene, survey: Survey) -> Iterator[str]:
    """Say in a painter's words which regions are too faint or thin, or fall back from `inside` to `simple` guides."""
    for weights, region, found in zip(scene.weights, scene.recipe.regions, survey.regions, strict=False):
        if region.keep:
            continue
        if (most := weights.max()) < MOSTLY:
            yield f"{region.name} is nowhere more than {most:.0%} opaque: most of its paint is what lies around it"
        elif region.guides == "simple":
            yield from _describe_thinness(region.name, found[: count_octaves(scene.size)])
        else:
            yield from _describe_fall_back(region.name, found)
    for name, found in survey.paintings.items():
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
