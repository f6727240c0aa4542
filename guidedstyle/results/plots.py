"""Plots and palettes of the report page; plots are SVG in the colour of the surrounding text."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import RGB, Array

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
COLOURS = 8
MOST_PIXELS = 20_000  # sampled
ROUNDS, CLOSE = 30, 0.1  # of k-means: the most iterations, and the shift of the centres at which it ends
LIGHTNESS = (50.0, 55.0)  # in this range a line contrasts with white and with black

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


@dataclass(frozen=True)
class Palette:
    """The main colours of an image, darkest first, with their shares, and its mean lightness and chroma."""

    colours: tuple[tuple[RGB, float], ...]
    lightness: float
    chroma: float


def measure_palette(image: Array, weights: Array) -> Palette:
    """Cluster the colours of an image (1, 3, h, w) where weights (h, w) are at least half their maximum."""
    lab = to_lab(pick_pixels(image, weights))
    count = min(COLOURS, len(lab))
    ranks = (
        lab[:, 0].argsort().argsort()
    )  # start from equal parts by lightness: the same image always has the same palette
    start = np.asarray(ranks * count // len(lab), np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, ROUNDS, CLOSE)
    _, labels, middles = cv2.kmeans(lab, count, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares = np.bincount(labels[:, 0], minlength=count) / len(lab)
    colours = Counter[RGB]()  # flat images have fewer than `count`
    for index in middles[:, 0].argsort():
        colours[_to_rgb(middles[index])] += shares[index]
    found = tuple((colour, float(share)) for colour, share in colours.items() if share)
    return Palette(found, float(lab[:, 0].mean()), float(measure_chroma(lab).mean()))


def pick_pixels(image: Array, weights: Array) -> Array:
    """Sample pixels (N, 3) evenly where weights (h, w) of an image (1, 3, h, w) are at least half their maximum."""
    part = image[0][:, weights >= weights.max() / 2].T
    return np.ascontiguousarray(part[:: -(-len(part) // MOST_PIXELS)], np.float32)


def to_lab(pixels: Array) -> Array:
    """Convert sRGB colours (N, 3) in [0, 1] to CIELAB: lightness 0 to 100, a and b."""
    return np.asarray(cv2.cvtColor(pixels[None], cv2.COLOR_RGB2Lab)[0], np.float32)


def measure_chroma(lab: Array) -> Array:
    """Measure the chroma (N,) of CIELAB colours (N, 3)."""
    return np.asarray(np.hypot(lab[:, 1], lab[:, 2]), np.float32)


def make_legible(colour: RGB) -> RGB:
    """Return a colour of the same hue that contrasts with light and with dark backgrounds."""
    lab = to_lab(np.array([colour], np.float32) / np.float32(255))[0]
    return _to_rgb(np.array([np.clip(lab[0], *LIGHTNESS), *lab[1:]], np.float32))


def _to_rgb(lab: Array) -> RGB:
    red, green, blue = np.rint(255 * cv2.cvtColor(lab[None, None], cv2.COLOR_Lab2RGB)[0, 0].clip(0, 1)).astype(int)
    return int(red), int(green), int(blue)
