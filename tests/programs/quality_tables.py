"""LossHistory of style distance over time as Markdown tables: when each way of style image gets how far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from statistics import median
from typing import Any, NamedTuple

OURS = "guidedstyle"
ENDS = "where ours ends"

Results = dict[str, Any]
Curve = Sequence[Sequence[float]]  # iteration, seconds, style distance, seconds of work of all cores together


class Between(NamedTuple):
    """A value that is known to lie between two others; where they are equal it is known exactly."""

    low: float
    high: float

    def over(self, other: Between) -> Between:
        """Divide by another."""
        return Between(self.low / other.high, self.high / other.low if other.low else inf)

    def write(self, unit: str = "") -> str:
        """Write it with as many digits as matter, `>` before the least and `<` before the most it can be."""
        low, high = (f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in self)
        if self.low == self.high:
            return low + unit
        if self.high == inf:
            return f">{low}{unit}" if self.low else "?"
        return f"{low}-{high}{unit}" if self.low else f"<{high}{unit}"


Ratios = dict[str, dict[str, Between]]  # by distance and way


def find_time(curve: Curve, level: float) -> Between:
    """Find when a curve first comes down to a level: between two of its points along the line that joins them."""
    if curve[0][2] <= level:
        return Between(0, curve[0][1])
    for (_, before, above, *_), (_, after, below, *_) in pairwise(curve):
        if below <= level:
            moment = before + (after - before) * (above - level) / (above - below)
            return Between(moment, moment)
    return Between(curve[-1][1], inf)


def choose_levels(found: Results, reach: Sequence[float]) -> dict[str, float]:
    """Name the distances to be reached in a pair."""
    return {f"{level:g}": level for level in reach} | {ENDS: found["curves"][OURS][-1][2]}


def find_ratios(found: Results, reach: Sequence[float]) -> Ratios:
    """Find how many times as long as ours every other way takes to each distance."""
    curves = found["curves"]
    return {
        name: {way: find_time(curves[way], level).over(find_time(curves[OURS], level)) for way in curves if way != OURS}
        for name, level in choose_levels(found, reach).items()
    }


def take_medians(values: Sequence[Between]) -> Between:
    """Take the median of values that are not all known exactly."""
    return Between(median(value.low for value in values), median(value.high for value in values))


def describe(results: Results, reach: Sequence[float]) -> Iterator[str]:
    """Describe all pairs, and the medians over them, as Markdown tables."""
    yield "{size} px, {iterations} iterations, torch {torch}, {threads} threads, {cpu}, ours in {precision}".format(
        **results
    )
    pairs = {pair: found for pair, found in results["pairs"].items() if OURS in found["curves"]}
    for pair, found in pairs.items():
        yield from describe_pair(pair, found, reach)
    most = max((len(found["curves"]) for found in pairs.values()), default=0)
    if whole := [found for found in pairs.values() if len(found["curves"]) == most]:
        yield from describe_medians([find_ratios(found, reach) for found in whole])


def describe_medians(ratios: Sequence[Ratios]) -> Iterator[str]:
    """Describe the medians of the ratios of several pairs."""
    others = list(ratios[0][ENDS])
    yield f"\n**Medians over {len(ratios)} of the pairs**\n"
    yield from head(["style distance", *(f"{way} / {OURS}" for way in others)])
    for name in ratios[0]:
        cells = [take_medians([of_pair[name][way] for of_pair in ratios]).write() for way in others]
        yield format_row([name, *cells])


def describe_pair(pair: str, found: Results, reach: Sequence[float]) -> Iterator[str]:
    """Describe when every way gets how far, and where it ends."""
    curves, ratios = found["curves"], find_ratios(found, reach)
    yield f"\n**{pair}**, the content image itself: {found['photograph']:.4f}\n"
    yield from head(["style distance", *curves, *(f"{way} / {OURS}" for way in curves if way != OURS)])
    for name, level in choose_levels(found, reach).items():
        times = [find_time(curve, level).write(" s") for curve in curves.values()]
        named = name if name != ENDS else f"{level:.4f}, {ENDS}"
        yield format_row([named, *times, *(ratio.write() for ratio in ratios[name].values())])
    yield format_row(["at the end", *map(describe_end, curves.values()), *[""] * (len(curves) - 1)])


def describe_end(curve: Curve) -> str:
    """Describe how far a way came, and how many cores it kept busy."""
    _, seconds, distance, work = curve[-1]
    return f"{distance:.4f} at {seconds:.1f} s ({work / seconds:.1f} cores)"


def head(titles: Sequence[str]) -> Iterator[str]:
    """Begin a Markdown table."""
    yield format_row(titles)
    yield format_row(["---"] * len(titles))


def format_row(cells: Sequence[str]) -> str:
    """Format a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
