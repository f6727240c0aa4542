"""The losses of batches of painted images: guided style of every region, content and total variation.

They are those of a render (`engine.objective`), measured for several images at once, each with regions of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.encoders.passes import AddGradient, Reader, Readers
from guidedstyle.losses.gram import STATISTICS, RegionStatistic, squared_norms
from guidedstyle.losses.guides import Guides, make_guides
from guidedstyle.losses.propagation import OctaveLayer, count_octaves
from guidedstyle.losses.statistics import TINY, build_octaves
from guidedstyle.losses.terms import CONTENT_WEIGHTS, TOTAL_VARIATION_WEIGHT, relative_norms
from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import FORMAT

CONTENT_WEIGHT = 4 * CONTENT_WEIGHTS[FORMAT]  # a render starts from the content, and needs less to keep its drawing
LEAST = 1e-3  # added to losses before their logarithm
CONTENT: OctaveLayer = (0, "")  # of what all content layers read


@dataclass(frozen=True)
class Batch:
    """Content images (B, 3, H, W), the weights (B, R, H, W) of their regions, and mixes (B, R, S) of styles."""

    content: Tensor
    regions: Tensor
    mixes: Tensor


@dataclass(frozen=True)
class BatchLosses:
    """The style (B, R) of every region, the content (B, R), and the total variation (B,) of painted images."""

    style: Tensor
    content: Tensor
    variation: Tensor


class Criterion:
    """Measures painted images of `side` px against style images and content, with the controls of a whole image.

    `style_images` are images (1, 3, h, w) with masks (1, h, w), at the sizes at which their strokes are wanted.
    """

    def __init__(
        self, encoder: Encoder, controls: Controls, style_images: Sequence[tuple[Tensor, Tensor]], *, side: int
    ) -> None:
        self.encoder, self.controls = encoder, controls
        self.octaves = controls.octaves[: count_octaves((side, side), len(controls.octaves))]
        self.statistic = STATISTICS[controls.statistics]
        self.layers = _weigh(encoder.architecture.weigh_style(controls.style_layers))
        self.content_layers = _weigh(encoder.architecture.weigh_content(controls.content_layers))
        device = style_images[0][0].device
        self.metrics = {layer: (metric.T @ metric).to(device) for layer, metric in encoder.metrics.items()}
        with torch.no_grad():
            found = [self._measure(image, mask[None]) for image, mask in style_images]
            self.targets = {key: torch.cat([one[key] for one in found]) for key in found[0]}

    def __call__(self, painted: Tensor, batch: Batch) -> BatchLosses:
        """Measure painted images (B, 3, H, W) in [0, 1] of a batch."""
        with torch.no_grad():
            content = self.encoder.encode(batch.content, self.content_layers)
        shape = batch.regions.shape[:2]
        kept = list(self._read_content(content, batch.regions))
        found = self._measure(painted, batch.regions, kept)
        style: Tensor = sum(self._compare(key, found[key], batch.mixes) for key in self.targets)  # type: ignore
        drawn = found.get(CONTENT, painted.new_zeros(shape))
        return BatchLosses(style.view(shape), drawn, measure_variation(painted))

    def weigh(self, losses: BatchLosses, regions: Tensor) -> Tensor:
        """Weigh losses to the scalar that is minimised: the mean over images of each region's logarithm, by its area.

        With the logarithm every region and every image counts alike, however far it is from its styles, so that no
        weight depends on the paintings or photographs. `strength` does not count: it blends what is painted.
        """
        controls, areas = self.controls, regions.mean((2, 3))
        region = losses.style + CONTENT_WEIGHT * controls.content_strength * losses.content
        variation = TOTAL_VARIATION_WEIGHT * controls.smoothness * losses.variation
        logarithms = torch.log(region + variation[:, None] + LEAST)
        return (areas / areas.sum(1, keepdim=True) * logarithms).sum(1).mean()

    def _measure(self, images: Tensor, regions: Tensor, kept: Readers = ()) -> Mapping[OctaveLayer, Tensor]:
        """Measure the statistics (B * R, ...) of regions by octave and layer; what `kept` read is summed as CONTENT."""
        found = dict[OctaveLayer, Tensor]()
        for octave, image in enumerate(build_octaves(images, len(self.octaves))):
            names = [*self.layers] if self.octaves[octave] else []
            sums = self.encoder.measure(image, [*self._read_style(image, regions, names), *(() if octave else kept)])
            found |= {(octave, name): self.statistic.finish(one) for name, one in zip(names, sums, strict=False)}
            if drawn := sums[len(names) :]:
                found[CONTENT] = torch.stack(list(drawn)).sum(0)
        return found

    def _read_style(self, image: Tensor, regions: Tensor, names: Sequence[str]) -> Iterator[tuple[str, Reader]]:
        known = dict[tuple[int, int], Guides]()
        for name in names:
            grid = self.encoder.layers[name].grid((image.shape[2], image.shape[3]))
            if grid not in known:
                known[grid] = guide_batch(average_to_grid(regions, grid))
            yield name, partial(read_batch, statistic=self.statistic, guides=known[grid])

    def _read_content(self, content: Mapping[str, Tensor], regions: Tensor) -> Iterator[tuple[str, Reader]]:
        for name, weight in self.content_layers.items():
            target = content[name]
            weights = average_to_grid(regions, (target.shape[2], target.shape[3]))
            power = target.square().sum(1, dtype=torch.float32).mean((1, 2)).clamp(min=TINY)
            shares = weights * (weight / power)[:, None, None, None]
            yield name, partial(read_content, target=target, shares=shares)

    def _compare(self, key: OctaveLayer, found: Tensor, mixes: Tensor) -> Tensor:
        """Measure the weighted distances (B * R,) of statistics to the mixes (B, R, S) of those of the styles."""
        targets, metric = self.targets[key], self.metrics.get(key[1])
        mixed = torch.tensordot(mixes.flatten(0, 1), targets, 1)
        distances = squared_norms(found - mixed, metric) / relative_norms(mixed, metric)
        return self.layers[key[1]] * self.octaves[key[0]] / sum(self.octaves) * distances


def _weigh(layers: Mapping[str, float]) -> dict[str, float]:
    """Weigh layers to a sum of 1."""
    return {name: weight / sum(layers.values()) for name, weight in layers.items()}


def average_to_grid(regions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average the weights (B, R, H, W) of regions over a grid (h, w), to a sum of 1 for each: (B, R, h, w)."""
    weights = functional.adaptive_avg_pool2d(regions, grid)
    return weights / weights.sum((2, 3), keepdim=True).clamp(min=TINY)


def guide_batch(weights: Tensor) -> Guides:
    """Make the guides of the regions (B, R, h, w) of all images of a batch, whose rows are those of one image."""
    count, regions, height, width = weights.shape
    apart = weights.new_zeros(count, regions, count, height, width)
    each = torch.arange(count)
    apart[each, :, each] = weights
    return make_guides(apart.view(count * regions, count * height, width).cpu()).to(weights.device)


def stack_rows(features: Tensor) -> Tensor:
    """Lay features (B, C, h, w) out as those of one image (1, C, B * h, w), with the channels last."""
    rows = features.permute(0, 2, 3, 1)
    return rows.reshape(1, -1, *rows.shape[2:]).permute(0, 3, 1, 2)


def read_batch(features: Tensor, *, statistic: RegionStatistic, guides: Guides) -> tuple[Tensor, AddGradient]:
    """Read the sums (B * R, ...) of a statistic over features (B, C, h, w), and how to add their gradient."""
    sums, add_to_rows = statistic.read(stack_rows(features), guides)

    def add(outer: Tensor, gradient: Tensor) -> None:
        own = torch.zeros_like(gradient, memory_format=torch.channels_last)  # the gradient may be part of a larger one
        add_to_rows(outer, stack_rows(own))
        gradient.add_(own)

    return sums, add


def read_content(features: Tensor, *, target: Tensor, shares: Tensor) -> tuple[Tensor, AddGradient]:
    """Read the content losses (B, R) of features (B, C, h, w) by shares (B, R, h, w), and how to add their gradient."""
    error = features - target
    squares = torch.linalg.vecdot(error, error, dim=1).float()

    def add(outer: Tensor, gradient: Tensor) -> None:
        factors = 2 * (outer[:, :, None, None] * shares).sum(1, keepdim=True)
        gradient.addcmul_(error, factors.to(error))

    return (shares * squares[:, None]).sum((2, 3)), add


def measure_variation(images: Tensor) -> Tensor:
    """Measure the total variation (B,) of images (B, 3, H, W), as `losses.terms.total_variation` does of one."""
    pixels = images[0].numel()
    return torch.stack([images.diff(dim=dim).square().sum((1, 2, 3)) for dim in (2, 3)]).sum(0) / pixels
