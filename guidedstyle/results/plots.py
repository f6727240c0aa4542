"""Plots of a report as SVG that takes the colour of the text around it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INK = "#010203"  # stands for the colour of the text around
CURRENT = "currentColor"
WIDTH, HEIGHT = 4.6, 3.1  # inches of 72 px
LINE = 1.6  # px
DASHES = ((), (5, 1.5), (1.2, 1.2), (7, 1.5, 1.2, 1.5), (2.5, 1.2), (7, 1.5, 1.2, 1.5, 1.2, 1.5))  # in widths
NARROW = 0.12  # of all steps; a size that took fewer is not named at the plot
BINS = 50
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.6,
    "grid.alpha": 0.2,
    "lines.linewidth": LINE,
    "figure.constrained_layout.use": True,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK
    ),
}

Values = NDArray[np.floating]


class Curve(NamedTuple):
    """Numbers (N,), one a step, and the line that shows them: a colour of CSS, and dashes in widths of the line."""

    name: str
    values: Values
    colour: str
    dashes: tuple[float, ...]


def require_matplotlib() -> None:
    """Raise GuidedStyleError where the library that plots is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        rule = f"it needs the library {error.name}, which is not installed"
        raise GuidedStyleError.of("--report", rule, "pip install matplotlib") from error


def plot_curves(curves: Sequence[Curve], stages: Values, sizes: Sequence[int], name: str, logarithmic: bool) -> str:
    """Plot curves over steps (N,) whose `stages` number the `sizes`, px, at which they were taken."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for curve in curves:
            _draw_curve(axes, curve, stages, logarithmic)
        _mark_sizes(axes, stages, sizes)
        axes.set_xlabel("step")
        axes.set_xlim(0.5, len(stages) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            _scale(axes)
        else:
            axes.set_ylim(bottom=0)

    return _plot(name, draw)


def _draw_curve(axes: Axes, curve: Curve, stages: Values, logarithmic: bool) -> None:
    """Draw a line for each size: losses of different sizes do not follow on each other."""
    values = np.where(np.isfinite(curve.values) & ((curve.values > 0) | (not logarithmic)), curve.values, np.nan)
    colour = INK if curve.colour == CURRENT else curve.colour
    for stage in np.unique(stages):
        (steps,) = np.nonzero(stages == stage)
        axes.plot(steps + 1, values[steps], color=colour, ls=(0, curve.dashes), marker="o" if len(steps) == 1 else "")


def _mark_sizes(axes: Axes, stages: Values, sizes: Sequence[int]) -> None:
    for stage in np.unique(stages):
        (steps,) = np.nonzero(stages == stage)
        if steps[0]:
            axes.axvline(steps[0] + 0.5, color=INK, lw=0.8, alpha=0.6)
        if len(steps) >= NARROW * len(stages):
            middle = (steps[0] + steps[-1]) / 2 + 1
            axes.text(
                middle, 1.01, f"{sizes[int(stage)]} px", ha="center", va="bottom", transform=axes.get_xaxis_transform()
            )


def _scale(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def plot_distributions(pictures: Sequence[Array], most: float, name: str, ends: tuple[str, str]) -> str:
    """Plot how often values (N,) from 0 to `most` occur in images: a line of the first, an area of a second.

    `ends` say in words what the least and the largest mean.
    """

    def draw(axes: Axes) -> None:
        edges = np.linspace(0, most, BINS + 1)
        for values, area in zip(pictures, (False, True), strict=False):
            shares = np.histogram(values.clip(0, most), edges)[0] / len(values)
            axes.stairs(shares, edges, color=INK, fill=area, alpha=0.22 if area else 1, lw=0 if area else LINE)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, most)
        axes.set_xticks([0, most], list(ends))
        least, largest = axes.get_xticklabels()
        least.set_horizontalalignment("left")
        largest.set_horizontalalignment("right")

    return _plot(name, draw, HEIGHT * 0.6)


def _plot(name: str, draw: Callable[[Axes], None], height: float = HEIGHT) -> str:
    """Draw a plot; its ids begin with `name`, so that several can stand on one page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    text = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure((WIDTH, height))
        axes = figure.add_subplot()
        axes.grid(axis="y")
        draw(axes)
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=empty)
    svg = text.getvalue()
    named = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])
    return named.replace(INK, CURRENT)
