"""Plots of the report page, as SVG in the colour of the surrounding text."""

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


INK = "#010203"  # a placeholder for the colour of the surrounding text
CURRENT = "currentColor"
WIDTH, HEIGHT = 4.6, 3.1  # inches of 72 px
LINE = 1.6  # px
DASHES = ((), (5, 1.5), (1.2, 1.2), (7, 1.5, 1.2, 1.5), (2.5, 1.2), (7, 1.5, 1.2, 1.5, 1.2, 1.5))  # in line widths
NARROW = 0.12  # of all steps; a stage of fewer has no room for a label
BINS = 50
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text
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
    """Values (N,), one per step, and their line: a CSS colour, and dashes in line widths."""

    name: str
    values: Values
    colour: str
    dashes: tuple[float, ...]


def require_matplotlib() -> None:
    """Raise GuidedStyleError where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        rule = f"it needs the library {error.name}, which is not installed"
        raise GuidedStyleError.of("--report", rule, "pip install matplotlib") from error


def plot_curves(curves: Sequence[Curve], stages: Values, sizes: Sequence[int], *, logarithmic: bool, name: str) -> str:
    """Plot curves over N steps as SVG; `stages` (N,) are the numbers of their stages, which have `sizes` in px."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for curve in curves:
            _draw_curve(axes, curve, stages, logarithmic=logarithmic)
        _mark_sizes(axes, stages, sizes)
        axes.set_xlabel("step")
        axes.set_xlim(0.5, len(stages) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            _scale(axes)
        else:
            axes.set_ylim(bottom=0)

    return _plot(draw, HEIGHT, name)


def _draw_curve(axes: Axes, curve: Curve, stages: Values, *, logarithmic: bool) -> None:
    """Draw one line per stage: losses at different sizes are not comparable."""
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


def plot_distributions(samples: Sequence[Array], *, most: float, ends: tuple[str, str], name: str) -> str:
    """Plot the distributions of one or two samples (N,) of values from 0 to `most`: first a line, then an area.

    `ends` are the labels of 0 and `most`.
    """

    def draw(axes: Axes) -> None:
        edges = np.linspace(0, most, BINS + 1)
        for values, area in zip(samples, (False, True), strict=False):
            shares = np.histogram(values.clip(0, most), edges)[0] / len(values)
            axes.stairs(shares, edges, color=INK, fill=area, alpha=0.22 if area else 1, lw=0 if area else LINE)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, most)
        axes.set_xticks([0, most], list(ends))
        least, largest = axes.get_xticklabels()
        least.set_horizontalalignment("left")
        largest.set_horizontalalignment("right")

    return _plot(draw, HEIGHT * 0.6, name)


def _plot(draw: Callable[[Axes], None], height: float, name: str) -> str:
    """Draw a plot; its ids begin with `name`, so that they are unique on a page of several plots."""
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
