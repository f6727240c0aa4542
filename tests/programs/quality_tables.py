"""Markdown tables of style distance over time: when each method reaches each distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from statistics import median
from typing import Any, NamedTuple

OURS = "guidedstyle"
ENDS = "our final distance"

Results = dict[str, Any]
Curve = Sequence[Sequence[float]]  # iteration, seconds, style distance, seconds of work of all cores together


class Interval(NamedTuple):
    """A value known to be between two others; exact if they are equal."""

    low: float
    high: float

    def divide_by(self, other: Interval) -> Interval:
        """Divide by another interval."""
        return Interval(self.low / other.high, self.high / other.low if other.low else inf)

    def write(self, unit: str = "") -> str:
        """Format it: one number if exact, `>` before a lower bound, `<` before an upper bound."""
        low, high = (f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in self)
        if self.low == self.high:
            return low + unit
        if self.high == inf:
            return f">{low}{unit}" if self.low else "?"
        return f"{low}-{high}{unit}" if self.low else f"<{high}{unit}"


Ratios = dict[str, dict[str, Interval]]  # by distance and method


def find_time(curve: Curve, level: float) -> Interval:
    """Find when a curve first falls to a level, by linear interpolation."""
    if curve[0][2] <= level:
        return Interval(0, curve[0][1])
    for (_, before, above, *_), (_, after, below, *_) in pairwise(curve):
        if below <= level:
            moment = before + (after - before) * (above - level) / (above - below)
            return Interval(moment, moment)
    return Interval(curve[-1][1], inf)


def choose_levels(found: Results, reach: Sequence[float]) -> dict[str, float]:
    """Name the distances to reach for a pair."""
    return {f"{level:g}": level for level in reach} | {ENDS: found["curves"][OURS][-1][2]}


def find_ratios(found: Results, reach: Sequence[float]) -> Ratios:
    """Find how many times longer than ours every other method takes to each distance."""
    curves = found["curves"]
    return {
        name: {
            method: find_time(curve, level).divide_by(find_time(curves[OURS], level))
            for method, curve in curves.items()
            if method != OURS
        }
        for name, level in choose_levels(found, reach).items()
    }


def take_medians(values: Sequence[Interval]) -> Interval:
    """Return the median of values that are not all exact."""
    return Interval(median(value.low for value in values), median(value.high for value in values))


def describe(results: Results, reach: Sequence[float]) -> Iterator[str]:
    """Write all pairs, and the medians over them, as Markdown tables."""
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
    """Write the medians of the ratios over several pairs."""
    others = list(ratios[0][ENDS])
    yield f"\n**Medians over {len(ratios)} of the pairs**\n"
    yield from head(["style distance", *(f"{method} / {OURS}" for method in others)])
    for name in ratios[0]:
        cells = [take_medians([of_pair[name][method] for of_pair in ratios]).write() for method in others]
        yield format_row([name, *cells])


def describe_pair(pair: str, found: Results, reach: Sequence[float]) -> Iterator[str]:
    """Write when every method reaches which distance, and where it ends."""
    curves, ratios = found["curves"], find_ratios(found, reach)
    yield f"\n**{pair}**, the content itself: {found['content']:.4f}\n"
    yield from head(["style distance", *curves, *(f"{method} / {OURS}" for method in curves if method != OURS)])
    for name, level in choose_levels(found, reach).items():
        times = [find_time(curve, level).write(" s") for curve in curves.values()]
        named = name if name != ENDS else f"{level:.4f}, {ENDS}"
        yield format_row([named, *times, *(ratio.write() for ratio in ratios[name].values())])
    yield format_row(["at the end", *map(describe_end, curves.values()), *[""] * (len(curves) - 1)])


def describe_end(curve: Curve) -> str:
    """Write the final distance of a method, and how many cores it kept busy."""
    _, seconds, distance, work = curve[-1]
    return f"{distance:.4f} at {seconds:.1f} s ({work / seconds:.1f} cores)"


def head(titles: Sequence[str]) -> Iterator[str]:
    """Write the head of a Markdown table."""
    yield format_row(titles)
    yield format_row(["---"] * len(titles))


def format_row(cells: Sequence[str]) -> str:
    """Format a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
