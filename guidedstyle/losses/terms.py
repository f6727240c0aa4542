"""Loss terms: style, content, total variation and frame.

Each term is computed from sums over the tiles of an image: `read` computes the summand of one tile. Only the frame
is measured on the whole image, of which it reads the border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from guidedstyle.encoders.architecture import Layer
from guidedstyle.encoders.passes import AddGradient
from guidedstyle.losses.gram import squared_norms
from guidedstyle.losses.propagation import OctaveLayer
from guidedstyle.losses.statistics import PIXELS, TINY, GuidedStatistic
from guidedstyle.losses.tiles import Tile, differentiate

# What strength 1, content_strength 1 and smoothness 1 stand for.
CONTENT_WEIGHTS = {1: 0.03, 2: 0.0225}  # by the format of recipes: as much is kept from a matched start by less
TOTAL_VARIATION_WEIGHT = 0.1
FRAME_WEIGHT = 3.0  # the outermost rows then differ from each other as much as rows inside do
PUBLISHED_STYLE, PUBLISHED_CONTENT = 1e3, 1.0  # of the classic set-up


@dataclass(frozen=True, eq=False)
class StyleTerm:
    """The style of P parts of regions at one octave and layer: |M (G - G') M^T|^2 / norm of each part.

    G is the guided `statistic` of the image, and G' are the `targets` (P, C, C) or (P, C). `metric` (C, C) is
    M^T M, or None where there is none; where the statistic applies it, `seen` are the targets under it. `norms` (P,)
    are what distances are divided by. `indices` (P,) number the parts among all parts of the image, and `weights` (P,)
    say how much this octave and layer counts for each.
    """

    octave: int
    statistic: GuidedStatistic
    targets: Tensor
    norms: Tensor
    indices: Tensor
    weights: Tensor
    metric: Tensor | None = None
    seen: Tensor | None = None

    @property
    def layer(self) -> Layer:
        """The layer whose features are read."""
        return self.statistic.layer

    @property
    def key(self) -> OctaveLayer:
        """The octave and layer."""
        return self.octave, self.layer.name

    def read(self, features: Tensor, tile: Tile, number: int) -> tuple[Tensor, AddGradient]:
        """Compute the summand of a tile, and how to add its gradient."""
        return self.statistic.read(features, tile, number)

    def measure_distances(self, sums: Tensor) -> Tensor:
        """Measure the distances (P,) to the targets from the sums over an image."""
        targets = self.targets if self.seen is None else self.seen
        return squared_norms(self.statistic.finish(sums) - targets, self.metric) / self.norms


def weigh_distances(terms: Sequence[StyleTerm], like: Tensor) -> Tensor:
    """Return the weights (P, D) of the distances of all terms, one after the other, in the loss of each part.

    On the device and in the data type of `like` (P,). As a product with them, losses have one order of sums everywhere.
    """
    matrix = like.new_zeros(len(like), sum(len(term.indices) for term in terms))
    start = 0
    for term in terms:
        columns = torch.arange(start, start := start + len(term.indices), device=like.device)
        matrix[term.indices, columns] = term.weights.to(like)
    return matrix


def measure_style(terms: Iterable[StyleTerm], weights: Tensor, sums: Iterable[Tensor]) -> Tensor:
    """Measure each part's style loss (P,): the sum of its distances over octaves and layers, by `weigh_distances`."""
    distances = [term.measure_distances(found) for term, found in zip(terms, sums, strict=True)]
    return weights @ torch.cat([weights.new_zeros(0), *distances])


def relative_norms(targets: Tensor, metric: Tensor | None) -> Tensor:
    """Return the squared norms (P,) of targets, which style distances are divided by.

    Departs from Gatys et al. 2016, who divide by the number of channels and weigh layers by hand: relative to the
    target's norm the loss has no unit, so that all octaves, layers and encoders weigh the same.
    """
    return squared_norms(targets, metric).clamp(min=TINY)


def published_norms(targets: Tensor, unit: float) -> Tensor:
    """Return C^4 / 1e3 (P,) for features in units of inputs of 0..255, as in the code of Gatys et al. 2016.

    Their weight of a layer is 1e3 / C^2, and their loss a mean over C^2; `unit` converts the features of an encoder.
    """
    channels = targets.shape[-1]
    return torch.full_like(targets[:, 0, 0], channels**4 / PUBLISHED_STYLE / unit**4)


@dataclass(frozen=True, eq=False)
class ContentTerm:
    """The content of R regions at one layer: the mean |F - P|^2 / `norm` over each region.

    `target` returns the content features P of a tile by its number; `grid_weights` (R, h, w) sum to 1 for each
    region. `weights` (R,) say how much the layer counts for each region.
    """

    layer: Layer
    target: Callable[[int], Tensor]
    grid_weights: Tensor
    norm: float
    weights: Tensor

    def read(self, features: Tensor, tile: Tile, number: int) -> tuple[Tensor, AddGradient]:
        """Compute the content losses (R,) of a tile, and how to add their gradient."""
        weights = self.grid_weights[(slice(None), *tile.positions(self.layer))]
        error = tile.take_own(features, self.layer) - self.target(number)

        def add(outer: Tensor, gradient: Tensor) -> None:
            factors = torch.tensordot(2 / self.norm * outer, weights, 1)
            tile.take_own(gradient, self.layer).addcmul_(error, factors.to(error))

        return content_losses(error, weights, self.norm), add


def content_losses(error: Tensor, grid_weights: Tensor, norm: float) -> Tensor:
    """Compute each region's content loss (R,): the weighted sum of |F - P|^2 over positions, divided by `norm`.

    `error` F - P is (1, C, h, w), `grid_weights` are (R, h, w).
    """
    squares = torch.linalg.vecdot(error, error, dim=1)[0].to(grid_weights)
    losses: Tensor = grid_weights.flatten(1) @ squares.flatten() / norm
    return losses


@dataclass(frozen=True, eq=False)
class TotalVariationTerm:
    """The mean total variation of an image: weighted by `smoothness` (H, W), and unweighted."""

    smoothness: Tensor
    layer: Layer = PIXELS

    def read(self, features: Tensor, tile: Tile, number: int) -> tuple[Tensor, AddGradient]:
        """Compute the weighted and the unweighted summand (2,) of a tile, and how to add the gradient of both."""
        weights, count = self.smoothness[tile.own], self.smoothness.numel()
        variation = tile.take_own(total_variation(features)[None, None], PIXELS)[0, 0]
        sums = torch.stack([(weights * variation).sum(), variation.sum()]) / count

        def add(outer: Tensor, gradient: Tensor) -> None:
            factors = torch.zeros_like(features[0, 0])
            tile.take_own(factors[None, None], PIXELS)[0, 0] = (outer[0] * weights + outer[1]) / count
            add_variation_gradient(features, factors, gradient)

        return sums, add


def total_variation(image: Tensor) -> Tensor:
    """Compute the squared differences (h, w) of each pixel (1, C, h, w) to those below and to the right, per channel.

    Their mean, the total variation of an image, does not depend on its size.
    """
    variation = torch.zeros_like(image[0, 0])
    for length, dim in ((image.shape[2], 0), (image.shape[3], 1)):
        difference = image[0].diff(dim=dim + 1)
        variation.narrow(dim, 0, length - 1).add_(torch.linalg.vecdot(difference, difference, dim=0))
    return variation.div_(image.shape[1])


def add_variation_gradient(image: Tensor, factors: Tensor, gradient: Tensor) -> None:
    """Add the gradient of the sum of `factors` (h, w) times the total variation of an image (1, C, h, w) to it."""
    factors = factors * (2 / image.shape[1])
    for length, dim in ((image.shape[2], 1), (image.shape[3], 2)):
        pulled = image[0].diff(dim=dim).mul_(factors.narrow(dim - 1, 0, length - 1))
        gradient[0].narrow(dim, 1, length - 1).add_(pulled)
        gradient[0].narrow(dim, 0, length - 1).sub_(pulled)


FRAME, ALONG = 4, 15  # px across and along the border


@dataclass(frozen=True, eq=False)
class FrameTerm:
    """The frame of a whole image, where `weights` (h, w) are 1: see `measure_frame`."""

    weights: Tensor

    def read(self, image: Tensor) -> tuple[Tensor, AddGradient]:
        """Measure the frame of an image (1, C, h, w), and how to add its gradient: to the border alone."""
        border = [one.requires_grad_() for one in _take_border(image.detach())]
        with torch.enable_grad():
            frame = _measure_border(border, self.weights) / image.numel()

        def add(outer: Tensor, gradient: Tensor) -> None:
            rows, columns = differentiate([frame], border, [outer])
            _add_rows(rows, gradient)
            _add_rows(columns, gradient.mT)

        return frame.detach(), add


def measure_frame(image: Tensor, weights: Tensor) -> Tensor:
    """Measure how much of a frame an image (1, C, h, w) has where `weights` (h, w) are 1: a scalar, 0 for none.

    Where features see the image end they differ, and matching statistics paints lines along the border. These are what
    is left of the differences between neighbouring rows, up to FRAME px from the border, when they are averaged over
    ALONG px; strokes average out. The squares are summed over the border and divided by the number of pixels, so that
    they weigh as much as the style of the same pixels.
    """
    return _measure_border(_take_border(image), weights) / image.numel()


def _take_border(image: Tensor) -> list[Tensor]:
    """Take the outermost rows (2, C, d, w) of an image (1, C, h, w), the outermost first, and columns (2, C, d, h)."""
    return [torch.cat([one[:, :, : FRAME + 1], one[:, :, -FRAME - 1 :].flip(2)]) for one in (image, image.mT)]


def _add_rows(rows: Tensor, image: Tensor) -> None:
    """Add rows as `_take_border` takes them."""
    count = rows.shape[2]
    image[:, :, :count] += rows[:1]
    image[:, :, -count:] += rows[1:].flip(2)


def _measure_border(border: Sequence[Tensor], weights: Tensor) -> Tensor:
    shares = _take_border(weights[None, None])
    lines = [_measure_lines(*both) for both in zip(border, shares, strict=True)]
    return lines[0] + lines[1]


def _measure_lines(rows: Tensor, weights: Tensor) -> Tensor:
    """Sum the squares of the averaged differences between rows (2, C, d, w) from the border inwards."""
    jumps = (rows[:, :, 1:] - rows[:, :, :-1]) * weights[:, :, 1:]
    return _average_along(jumps).square().sum() if jumps.numel() else jumps.sum()


def _average_along(rows: Tensor) -> Tensor:
    """Average rows (2, C, d, n) over ALONG px, or all there are."""
    window = min(ALONG, rows.shape[3])
    return functional.avg_pool2d(rows, (1, window), stride=1)


@dataclass(frozen=True)
class Losses:
    """The weighted sum that is minimised, style and content (R,) of each region, and the image's total variation.

    The sum also counts the frame, which the others leave out.
    """

    total: Tensor
    style: Tensor
    content: Tensor
    smoothness: Tensor

    def detach(self) -> Losses:
        """Return the numbers without the graph that their gradient needs."""
        return Losses(self.total.detach(), self.style.detach(), self.content.detach(), self.smoothness.detach())
