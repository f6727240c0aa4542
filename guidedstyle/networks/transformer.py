"""An image transformation network with styles per region (Johnson et al. 2016; Dumoulin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.networks.normalisation import (
    CHANNELS,
    EVERYTHING,
    PERIOD,
    Factors,
    Layout,
    Place,
    StyleNormalisation,
    join_bands,
)

PUBLISHED_WIDTH = 32  # channels of the first convolution
WIDTH = PUBLISHED_WIDTH // 2
STRIDES = (1, 2, 4, 8, 16)  # of the grids of features
COARSEST = STRIDES[-1]
HALO = 192  # px that a pixel depends on, besides statistics: 9x9 and 3x3 convolutions on all grids, four at stride 16
NOISE_SEED = 5
FAINT = 0.2  # of the kernels of the last convolution at first


class Convolution(nn.Module):
    """A convolution that sees the border replicated; with `enlarge`, features are first doubled, linearly.

    Its weights are a matrix (after, before * kernel * kernel), as which they are trained. Departs from Johnson et al.
    2016, whose transposed convolutions leave a chequered pattern; repeated positions leave streaks.
    """

    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, enlarge: bool = False, bias: bool = False
    ) -> None:
        super().__init__()
        self.before, self.after, self.kernel = before, after, kernel
        self.stride, self.factor, self.border, self.precision = stride, 1 + enlarge, kernel // 2, torch.float32
        self.weight = nn.Parameter(torch.empty(after, before * kernel**2))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # as torch's own

    def forward(self, x: Tensor) -> Tensor:
        """Convolve features (B, C, h, w)."""
        x = x.to(self.precision)
        height = x.shape[2] * self.factor // self.stride
        values = max(self.before, self.after) * x.shape[3] * self.factor
        return join_bands(partial(self._convolve, x), height, values)

    def _convolve(self, x: Tensor, rows: slice) -> Tensor:
        """Compute some rows of the result."""
        part, above, below = self._take(x, rows)
        part = functional.pad(part, (self.border, self.border, above, below), mode="replicate")
        kernels = self.weight.view(self.after, self.before, self.kernel, self.kernel).to(self.precision)
        bias = None if self.bias is None else self.bias.to(self.precision)
        return functional.conv2d(part, kernels.contiguous(memory_format=torch.channels_last), bias, self.stride)

    def _take(self, x: Tensor, rows: slice) -> tuple[Tensor, int, int]:
        """Take the enlarged rows that some rows of the result see, and count those beyond the border on either side."""
        if rows == EVERYTHING:
            return self._enlarge(x), self.border, self.border
        height = x.shape[2] * self.factor
        first, last = rows.start * self.stride - self.border, (rows.stop - 1) * self.stride + self.border + 1
        inside = slice(max(0, first), min(height, last))
        begin = max(0, inside.start // self.factor - 1)  # a linear mean is of two rows
        part = self._enlarge(x[:, :, begin : -(-inside.stop // self.factor) + 1])
        skipped = begin * self.factor
        return part[:, :, inside.start - skipped : inside.stop - skipped], inside.start - first, last - inside.stop

    def _enlarge(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2, mode="bilinear") if self.factor > 1 else x


class Layer(nn.Module):
    """A convolution, and the normalisation of its features on the grid of a stride."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        styles: int,
        grid: int,
        stride: int = 1,
        enlarge: bool = False,
        noise: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = Convolution(before, after, kernel, stride=stride, enlarge=enlarge)
        self.normalisation = StyleNormalisation(after, styles, noise=noise)
        self.grid = grid

    def forward(self, x: Tensor, layout: Layout, noise: Tensor) -> Tensor:
        """Compute features (B, C, h, w)."""
        found: Tensor = self.normalisation(self.convolution(x), layout, self.grid, noise)
        return found


class Residual(nn.Module):
    """Two layers whose result is added to what they read (Johnson et al. 2016); the first adds noise."""

    def __init__(self, channels: int, *, styles: int, grid: int) -> None:
        super().__init__()
        self.first = Layer(channels, channels, 3, styles=styles, grid=grid, noise=True)
        self.second = Layer(channels, channels, 3, styles=styles, grid=grid)

    def forward(self, x: Tensor, layout: Layout, noise: Tensor) -> Tensor:
        """Compute features (B, C, h, w)."""
        change: Tensor = self.second(functional.relu(self.first(x, layout, noise), inplace=True), layout, noise)
        return x + change


class StyleNetwork(nn.Module):
    """Paints images in one pass, in the styles that it was trained for, of which every region has its mix.

    The network of Johnson et al. 2016 (arXiv:1603.08155) with the normalisation of `StyleNormalisation`; `width` is
    the number of channels of its first convolution, there 32. Departs from theirs, which has five residual blocks at
    stride 4: here there are one at stride 4, one at stride 8 and two at stride 16, whose features are enlarged and
    added to the finer ones (as in Ronneberger et al. 2015, arXiv:1505.04597). At the same cost a pixel then depends on
    a wider part of the image, as the largest strokes need. What they paint is added to the image itself, in colours
    that are normalised like features: without it the drawing would have to pass through all of the network.
    """

    def __init__(self, styles: Sequence[str], *, width: int = WIDTH) -> None:
        super().__init__()
        self.styles, self.width, self.precision = tuple(styles), width, torch.float32
        count, deep = len(styles), 4 * width
        self.down = nn.ModuleList(
            Layer(before, after, kernel, styles=count, grid=grid, stride=stride, noise=grid >= 4)
            for before, after, kernel, grid, stride in (
                (3, width, 9, 1, 1),
                (width, 2 * width, 3, 2, 2),
                (2 * width, deep, 3, 4, 2),
                (deep, deep, 3, 8, 2),
                (deep, deep, 3, 16, 2),
            )
        )
        self.blocks = nn.ModuleList(Residual(deep, styles=count, grid=grid) for grid in (16, 16, 8, 4))
        self.up = nn.ModuleList(
            Layer(before, after, 3, styles=count, grid=grid, enlarge=True)
            for before, after, grid in (
                (deep, deep, 8),
                (deep, deep, 4),
                (deep, 2 * width, 2),
                (2 * width, width, 1),
            )
        )
        self.colours = Layer(3, 3, 1, styles=count, grid=1)
        self.last = Convolution(width, 3, 9, bias=True)
        with torch.no_grad():  # training begins with the content in colours of its own
            self.colours.convolution.weight.copy_(torch.eye(3))
            self.last.weight.mul_(FAINT)
        generator = torch.Generator().manual_seed(NOISE_SEED)
        self.register_buffer("noise", torch.randn(CHANNELS, PERIOD, PERIOD, generator=generator))

    def forward(
        self,
        image: Tensor,
        regions: Tensor,
        mixes: Tensor,
        *,
        origin: Place = (0, 0),
        factors: Factors | None = None,
    ) -> Tensor:
        """Paint images (B, 3, H, W) in [0, 1], with the weights (B, R, H, W) and mixes (B, R, S) of regions.

        `factors` of regions that an earlier pass has noted there take the place of this image's own statistics;
        `origin` is then the place of the image in that one, a multiple of COARSEST.
        """
        height, width = image.shape[2:]
        padding = (0, -width % COARSEST, 0, -height % COARSEST)
        image, regions = (functional.pad(one, padding, mode="replicate") for one in (image, regions))
        layout = Layout.of(regions, mixes, STRIDES, origin=origin, factors=factors)
        drawn = self.colours(image - 0.5, layout, self.noise).float()
        painted = drawn + self.last(self._compute(image - 0.5, layout)).float()
        return torch.sigmoid(painted)[:, :, :height, :width]

    def _compute(self, x: Tensor, layout: Layout) -> Tensor:
        """Compute the features (B, C, H, W) of the last convolution's input."""
        finer = []
        for layer in self.down:
            x = functional.relu(layer(x, layout, self.noise), inplace=True)
            finer.append(x)
        del finer[:2], finer[-1]  # only those at strides 4 and 8 are added again
        first, second, *others = self.blocks
        x = second(first(x, layout, self.noise), layout, self.noise)
        for block, layer in zip(others, self.up, strict=False):
            x = block(finer.pop() + layer(x, layout, self.noise), layout, self.noise)
        for layer in self.up[len(others) :]:
            x = functional.relu(layer(x, layout, self.noise), inplace=True)
        return x

    def compute_in(self, precision: torch.dtype) -> StyleNetwork:
        """Compute convolutions in a precision from now on; weights, statistics and the drawing keep theirs."""
        self.precision = precision
        for module in self.modules():
            if isinstance(module, Convolution) and module is not self.colours.convolution:
                module.precision = precision
        return self

    @property
    def style_weights(self) -> dict[str, nn.Parameter]:
        """The weights (S, ...) of which each style has its own, by name."""
        modules = {name: module for name, module in self.named_modules() if isinstance(module, StyleNormalisation)}
        return {f"{name}.{key}": own for name, module in modules.items() for key, own in module.named_parameters()}

    def list_matrices(self) -> list[nn.Parameter]:
        """List the kernels of all convolutions but those that make colours."""
        colours = (self.last, self.colours.convolution)
        return [one.weight for one in self.modules() if isinstance(one, Convolution) and one not in colours]

    def with_styles(self, styles: Sequence[str]) -> StyleNetwork:
        """Return a copy for these styles: those that it knows keep their weights, others begin with the mean of all."""
        other = StyleNetwork(styles, width=self.width)
        state = self.state_dict()
        rows = [self.styles.index(style) if style in self.styles else None for style in styles]
        for name, own in self.style_weights.items():
            mean = own.detach().mean(0)
            state[name] = torch.stack([mean if row is None else own.detach()[row] for row in rows])
        other.load_state_dict(state)
        return other

    def train_styles_only(self) -> None:
        """Train what styles have of their own: those that no mix uses have no gradient, and stay as they are too."""
        self.requires_grad_(False)
        for weights in self.style_weights.values():
            weights.requires_grad_()
