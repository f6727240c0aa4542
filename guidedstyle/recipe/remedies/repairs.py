"""Remedies that are tried before they are told: rewritten lines with which a recipe has fewer errors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import NamedTuple

from guidedstyle.errors import Problem
from guidedstyle.recipe.remedies.lines import (
    LONGEST_LINE,
    REWRITERS,
    Rewrite,
    list_indents,
    measure_indent,
    rewrite_block,
    rewrite_line,
)

MOST_LETTERS = 150_000  # read in all to try repairs: about a second
MOST_SHOWN = 60  # letters of a line in a remedy
BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Verdict(NamedTuple):
    """The errors of a text, and whether anything can be read in spite of them.

    `stops` are the numbers of the lines, from 0, at which it stops to be YAML, if it does.
    """

    problems: tuple[Problem, ...]
    stops: tuple[int, ...] = ()
    readable: bool = True


MENDABLE = re.compile(  # rules that a slip may break without a trace in YAML
    "no (key|file)|is missing|has no value|appears twice|at the top|the tag|is a folder|not valid|has no"
)
Judge = Callable[[str], Verdict]


@dataclass(frozen=True)
class Repair:
    """Lines to write instead of others, by their numbers from 0; the first is the one to name."""

    lines: Mapping[int, str]
    why: str
    like: int | None = None  # a line with the same indent
    then: Repair | None = None  # another slip, of another line

    @property
    def line(self) -> int:
        """The number of the line to name, from 0."""
        return next(iter(self.lines))

    def apply(self, lines: Sequence[str]) -> str:
        """Return the text of `lines` with this repair."""
        edits = {**(self.then.lines if self.then else {}), **self.lines}
        return "\n".join(edits.get(at, line) for at, line in enumerate(lines))

    def describe(self, lines: Sequence[str]) -> str:
        """Say what is wrong in `lines` and what to write instead."""
        old, new = lines[self.line], self.lines[self.line]
        numbers = ", ".join(str(at + 1) for at in [*self.lines][1:6])
        more = f"; likewise line{'s' * (len(self.lines) > 2)} {numbers}" if numbers else ""
        then = f"; then line {self.then.line + 1}: {self.then.describe(lines)}" if self.then else ""
        return f"{self.why}: {self._instruct(old, new)}{more}{then}"

    def _instruct(self, old: str, new: str) -> str:
        if not new.strip():
            return "remove this line"
        if old.strip() == new.strip():
            like = f", as line {self.like + 1}" if self.like is not None else ""
            return f"indent it by {_count_spaces(new)}{like}"
        if "\n" in new:
            first, second = new.split("\n")
            return f"write `{first.strip()}`, and below it `{second}`"
        if measure_indent(old) != measure_indent(new):
            return f"write `{_show(new)}` instead of `{_show(old)}`"
        before, after = _cut_difference(old, new)
        return f"write `{after}` instead of `{before}`" if before != after else f"write `{after}`"


class Mender:
    """Finds repairs of a recipe's `text`, read from `source`; `judge` reads a text and returns its errors."""

    def __init__(self, source: str, text: str, judge: Judge) -> None:
        self.source, self.lines, self.judge = source, BREAKS.split(text), judge
        self.full = [at for at, line in enumerate(self.lines) if line.strip() and len(line) <= LONGEST_LINE]
        self.left = MOST_LETTERS // max(1, len(text))  # trials

    def mend(self, verdict: Verdict) -> list[Problem]:
        """Return the errors, with better remedies where a repair is found; those it mends too are left out."""
        if verdict.stops:
            (problem,) = verdict.problems
            repair = self._find_for_stop(verdict)
            return [self._describe(problem, repair) if repair else problem]
        told, gone = dict[Problem, Problem](), dict[Problem, set[Problem]]()  # gone: the errors that each repair mends
        known = set[Problem]()  # all in gone
        for problem in verdict.problems:
            if problem in known:
                continue
            told[problem], gone[problem] = problem, {problem}
            if repair := self._find_for_problem(problem, verdict):
                mended = {*verdict.problems} - {*self.judge(repair.apply(self.lines)).problems} | {problem}
                for other in [other for other, own in gone.items() if own <= mended]:
                    del told[other], gone[other]
                told[problem], gone[problem] = self._describe(problem, repair), mended
            known |= gone[problem]
        return [*told.values()]

    def _describe(self, problem: Problem, repair: Repair) -> Problem:
        if problem.remedy.startswith("did you mean") and repair.why.startswith("the key is") and len(repair.lines) == 1:
            return problem  # its remedy is as good
        head, write, _ = problem.remedy.partition(": write `")
        place = f"{self.source}:{repair.line + 1}"
        same = f"{problem.place}: ".startswith(f"{place}: ")
        if write and same:  # it says already what is wrong
            repair = replace(repair, why=head)
        return replace(problem, place=problem.place if same else place, remedy=repair.describe(self.lines))

    def _find_for_stop(self, verdict: Verdict) -> Repair | None:
        """Find the repair with which the text is YAML, or at least further on."""
        if self.left <= 0:
            return None
        best, least = None, (3, 0)
        numbers = self._list_near(verdict.stops, above=2)  # a line without a colon goes on in the next ones
        singles = [[Repair({at: line}, why) for line, why in rewrite_line(self.lines[at])] for at in sorted(numbers)]
        pairs = (
            replace(one, then=other) for some, others in combinations(singles, 2) for one in some for other in others
        )
        for repair in chain(self._list_repairs(numbers), pairs):
            if repair.then and best:
                break
            found = self._try(repair)
            if found is None:
                break
            reaches = min(found.stops, default=0) > max(*verdict.stops, repair.line) + 1 and not repair.then
            score = (2 if found.stops else 0 if found.readable else 1, len(found.problems))
            if (not found.stops or (reaches and not best)) and score < least:
                best, least = repair, score
            if least == (0, 0):
                break
        return best

    def _find_for_problem(self, problem: Problem, verdict: Verdict) -> Repair | None:
        """Find the repair with which this error goes and no other comes."""
        place = re.match(rf"{re.escape(self.source)}(?::(\d+))?(: |$)", problem.place)
        if not place or not MENDABLE.search(problem.rule) or self.left <= 0:
            return None
        best, known = None, {(one.place, one.rule) for one in verdict.problems}
        least = len(known)
        numbers = self._list_near([int(place[1] or 1) - 1])
        unknown = {one.place for one in verdict.problems if one.rule.startswith("there is no key")}
        for repair in self._list_repairs(numbers):
            if self._hides(repair, unknown):
                continue
            found = self._try(repair)
            if found is None:
                break
            rest = {(one.place, one.rule) for one in found.problems}
            if not found.stops and rest <= known - {(problem.place, problem.rule)} and len(rest) < least:
                best, least = repair, len(found.problems)
            if not least:
                break
        return best

    def _hides(self, repair: Repair, unknown: Set[str]) -> bool:
        """Whether a repair only moves a line into an entry whose key is not known, where nothing is checked."""
        old, new = self.lines[repair.line], repair.lines[repair.line]
        above = (at for at in range(repair.line - 1, -1, -1) if measure_indent(self.lines[at]) < measure_indent(new))
        parent = next((at for at in above if self.lines[at].strip()), None)
        place = f"{self.source}:{parent + 1 if parent is not None else 0}: "
        return old.strip() == new.strip() and any(f"{one}: ".startswith(place) for one in unknown)

    def _try(self, repair: Repair) -> Verdict | None:
        """Judge the text with a repair; None where there have been enough trials."""
        self.left -= 1
        return self.judge(repair.apply(self.lines)) if self.left >= 0 else None

    def _list_near(self, numbers: Sequence[int], above: int = 1) -> list[int]:
        """List lines, those `above` each and the one below, without empty ones."""
        found = dict.fromkeys(number for number in numbers if number in self.full)
        for number in numbers:
            before, after = (
                [at for at in self.full if at < number][-above:],
                [at for at in self.full if at > number][:1],
            )
            found |= dict.fromkeys((*reversed(before), *after))
        return list(found)

    def _list_repairs(self, numbers: Sequence[int]) -> Iterator[Repair]:
        """List repairs of each of these lines, then of all lines in the same way, from the first of these on."""
        for number in numbers:
            for line, why in rewrite_line(self.lines[number]):
                yield Repair({number: line}, why)
        for number in numbers:
            yield from self._indent(number)
        for number in numbers:
            yield from (Repair(edits, why) for edits, why in rewrite_block(self.lines, number))
        for rewriter in REWRITERS if numbers else ():
            found = {at: list(rewriter(self.lines[at])) for at in self.full}
            firsts = {at: rewrites[0] for at, rewrites in found.items() if rewrites}
            alike = dict[str, dict[int, Rewrite]]()
            for at, rewrite in ((at, rewrite) for at, rewrites in found.items() for rewrite in rewrites):
                alike.setdefault(rewrite.why, {}).setdefault(at, rewrite)
            for edits in (firsts, *(edits for edits in alike.values() if edits != firsts)):
                yield from _join(edits, numbers)

    def _indent(self, number: int) -> Iterator[Repair]:
        """Indent a line as others near it, alone and with those below that are indented at least as much."""
        line = self.lines[number]
        indent = measure_indent(line)
        end = number + 1
        while end < len(self.lines) and self.lines[end].startswith(" " * (indent or 1)):
            end += 1
        why = f"it is indented by {_count_spaces(line)}"
        for wanted, like in dict(list_indents(self.lines, number)).items():
            same = like if wanted == measure_indent(self.lines[like]) else None
            for last in dict.fromkeys((number + 1, end)) if wanted != indent else ():
                block = enumerate(self.lines[number:last], number)
                moved = {at: " " * max(0, wanted - indent) + one[max(0, indent - wanted) :] for at, one in block}
                yield Repair(moved, why, same)


def _join(edits: Mapping[int, Rewrite], numbers: Sequence[int]) -> Iterator[Repair]:
    """Join the rewritten lines to one repair, the first of those `numbers` in it as the one to name."""
    first = next((at for at in (*numbers[:1], *sorted(numbers), *edits) if at in edits), None)
    if first is not None and len(edits) > 1:
        others = {at: rewrite.line for at, rewrite in edits.items() if at != first}
        yield Repair({first: edits[first].line} | others, edits[first].why)


def _count_spaces(line: str) -> str:
    spaces = measure_indent(line)
    return f"{spaces} space{'s' * (spaces != 1)}"


def _cut_difference(old: str, new: str) -> tuple[str, str]:
    """Return the parts in which two lines differ, from one comma or bracket to another, or the whole short lines."""
    if max(len(old.strip()), len(new.strip())) <= MOST_SHOWN:
        return _show(old.strip()), _show(new.strip())
    start = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
    end = next((at for at, pair in enumerate(zip(reversed(old), reversed(new), strict=False)) if pair[0] != pair[1]), 0)
    end = min(end, len(old) - start, len(new) - start)
    begin = max(old.rfind(mark, 0, start) + 1 for mark in ",{[")
    stops = [at for mark in ",}]" if (at := old.find(mark, len(old) - end)) >= 0]
    rest = len(old) - min(stops, default=len(old))
    before, after = old[begin : len(old) - rest].strip(), new[begin : len(new) - rest].strip()
    if old.count(before) != 1:
        before, after = old.strip(), new.strip()
    return _show(before), _show(after)


def _show(text: str) -> str:
    """Show the letters that cannot be seen by their numbers."""
    return "".join(
        f"<U+{ord(one):04X}>" if one != " " and unicodedata.category(one) in ("Zs", "Cf") else one for one in text
    )
