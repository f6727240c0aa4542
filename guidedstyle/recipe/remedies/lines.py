"""Slips in lines of YAML: how each line may have been meant, one slip at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from guidedstyle.recipe.model import IMAGE_SUFFIXES
from guidedstyle.recipe.remedies.keys import find_alike, find_homes, is_known


class Rewrite(NamedTuple):
    """A line as it may have been meant, and what is wrong with the line as it is written."""

    line: str
    why: str


Rewriter = Callable[[str], Iterator[Rewrite]]

KEY = r"""(?:"[^"]*"|'[^']*'|[^\s:=#,{}\[\]'"&*!|>%@`][^:=#,{}\[\]'"]*?)"""
START = r"^(?P<start>\s*(?:- +)*)"
BLOCK_VALUE = re.compile(rf"{START}(?P<key>{KEY}\s*:\s+|)(?P<value>\S.*?)(?P<end>\s*|\s+#.*)$")
FLOW_VALUE = re.compile(rf"(?P<key>[{{,]\s*{KEY}\s*:\s+)(?P<value>[^\s,{{}}\[\]'\"][^,{{}}\[\]'\"]*?)(?=\s*[,}}])")
AWKWARD = re.compile(r"""^[%@`&*!|>{\["'-]|: |:$| #|[\\,\[\]{}]""")
COLOUR = re.compile(r"(?<=[\s:,\[{])(#[0-9A-Fa-f]{8}|#[0-9A-Fa-f]{6}|#[0-9A-Fa-f]{3,4})(?![\w'\"])")
ESCAPED = re.compile(r'"([^"\n]*\\[^"\n]*)"')
LOOKALIKES = str.maketrans({"：": ": ", "，": ", ", "｛": "{", "｝": "}", "［": "[", "］": "]", "﹕": ": ", "；": ", "})
SPACES = {letter for letter in map(chr, range(0x3001)) if unicodedata.category(letter) == "Zs"} - {" "}
NO_WIDTH = set("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f")
CURLY = re.compile(r"[“”„‟«»]([^“”„‟«»]*)[“”„‟«»]|[‘‚‛‹]([^‘’‚‛‹›]*)[’›]|(?<!\w)’([^’]*)’")
PAIRS = {"{": "}", "[": "]"}
LONGEST_LINE = 1000  # letters of a line that is looked at
RGB = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})[^()]*\)", re.IGNORECASE)
NUMBERS = re.compile(r"\[[^\[\]]*\d,\s+[-+]?\d[^\[\]]*\]")  # a list of them, with spaces between some
BRACKETED = re.compile(r"\{.*:\s.*\}|\[.*\]|\(.*[,:].*\)")


def _offer(line: str, rewritten: str, why: str) -> Iterator[Rewrite]:
    """Yield a rewritten line if it differs from the line."""
    if rewritten != line:
        yield Rewrite(rewritten, why)


def _replace_invisible(line: str) -> Iterator[Rewrite]:
    plain = "".join("" if one in NO_WIDTH else " " if one in SPACES else one for one in line)
    found = [f"U+{ord(one):04X}" for one in dict.fromkeys(line) if one in NO_WIDTH or one in SPACES]
    if found:
        yield Rewrite(plain, f"{' and '.join(found)} cannot be seen, and YAML does not take it for a space")


def _replace_tabs(line: str) -> Iterator[Rewrite]:
    if "\t" in line:
        for width in (2, 4, 8):
            yield Rewrite(line.expandtabs(width).replace("\t", " "), "indent with spaces, not tabs")


def _replace_lookalikes(line: str) -> Iterator[Rewrite]:
    plain = re.sub(r"([:,]) +", r"\1 ", line.translate(LOOKALIKES)).rstrip()
    if plain != line.rstrip():
        yield Rewrite(plain, "colons, commas and brackets of full width are letters in YAML")
    dashed = re.sub(r"^(\s*)[–—−•·*+]\s*(?=\S)", r"\1- ", line)
    yield from _offer(line, dashed, "an entry of a list begins with a hyphen and a space")
    minus = re.sub(r"[−–](?=[\d.])", "-", line)
    yield from _offer(line, minus, "a negative number begins with a hyphen")


def _straighten_quotes(line: str) -> Iterator[Rewrite]:
    straight = CURLY.sub(lambda found: quote(next(part for part in found.groups() if part is not None)), line)
    yield from _offer(line, straight, "curly quotes are letters in YAML: straight ones are quotes")


def _unescape(line: str) -> Iterator[Rewrite]:
    if ESCAPED.search(line):
        why = "in double quotes a backslash means something else"
        slashed = ESCAPED.sub(lambda found: '"' + found[1].replace("\\", "/") + '"', line)
        single = ESCAPED.sub(lambda found: quote(found[1]), line)
        is_path = re.search(r"\\[^\"\\]*\.\w+\"|:\\", line)
        for rewritten in (slashed, single) if is_path else (single, slashed):
            yield Rewrite(rewritten, why)
    elif '"' in line and line.rstrip().endswith('\\"'):
        yield Rewrite(line.replace("\\", "/"), "a backslash before a quote does not end the text: write /")


def _quote_colours(line: str) -> Iterator[Rewrite]:
    quoted = COLOUR.sub(r"'\1'", line)
    yield from _offer(line, quoted, "# begins a comment, so the number of a colour needs quotes")


def _replace_parentheses(line: str) -> Iterator[Rewrite]:
    coloured = RGB.sub(lambda found: "'#{:02x}{:02x}{:02x}'".format(*map(int, found.groups())), line)
    yield from _offer(line, coloured, "the number of a colour is written as '#ff0000'")
    before, plain = "", line
    while plain != before:
        before = plain
        plain = re.sub(r"(?<=[\s\[{(])\(([^()]*[,:][^()]*)\)", _write_brackets, before)
    yield from _offer(line, plain, "YAML has brackets for lists and braces for keys, no parentheses")


def _write_brackets(found: re.Match[str]) -> str:
    return f"{{{found[1]}}}" if re.search(r":\s", found[1]) else f"[{found[1]}]"


def _strip_ends(line: str) -> Iterator[Rewrite]:
    if found := re.match(rf"({START}{KEY}\s*:\s+.*?)\s*([,;])(\s*|\s+#.*)$", line):
        mark = "comma" if found[3] == "," else "semicolon"
        yield Rewrite(found[1] + found[4].rstrip(), f"a line ends without a {mark}")


def _separate_comments(line: str) -> Iterator[Rewrite]:
    separated = re.sub(r"(?<=[^\s#'\"])#(?=\s)", " #", line)
    yield from _offer(line, separated, "a comment needs a space before #")
    for mark in (r"//", r"/\*", r";", r"--", r"%", r"<!--"):
        commented = re.sub(rf"(^|\s){mark}(?=\s|\w)(.*?)(?:\*/|-->)?\s*$", r"\1#\2", line)
        if commented != line:
            yield Rewrite(commented, "a comment begins with #")


def _space_colons(line: str) -> Iterator[Rewrite]:
    spaced = re.sub(rf"{START}({KEY})\s*:(?=[^\s/\\:])", r"\g<start>\2: ", line)
    spaced = re.sub(rf"([{{,]\s*{KEY})\s*:(?=[^\s/\\:,}}])", r"\1: ", spaced)
    yield from _offer(line, spaced, "a space is missing after the colon")


def _space_dashes(line: str) -> Iterator[Rewrite]:
    spaced = re.sub(r"^(\s*)-(?=[^\s\d.-])", r"\1- ", line)
    yield from _offer(line, spaced, "a space is missing after the dash")


def _write_colons(line: str) -> Iterator[Rewrite]:
    sign = r"\s*(?::=|=>|->|==?|\+)\s*"
    written = re.sub(rf"{START}({KEY}){sign}(?=\S)", r"\g<start>\2: ", line)
    written = re.sub(rf"([{{,]\s*{KEY}){sign}(?=[^\s,}}])", r"\1: ", written)
    yield from _offer(line, written, "a colon and a space stand between a key and its value")
    written = re.sub(rf"{START}(\w+)(?:\s*[;,.]\s+|\s+)(?=\S)(?!\w*\s*:\s)", r"\g<start>\2: ", line)
    written = re.sub(rf"{START}(\w+)\s*$", r"\g<start>\2:", written)
    yield from _offer(line, written, "a colon is missing after the key")


def _point_decimals(line: str) -> Iterator[Rewrite]:
    pointed = re.sub(r"(:\s*[-+]?\d+),(?=\d+\s*(?:[,}%\]#]|$))", r"\1.", line)
    yield from _offer(line, pointed, "the decimal sign is a point")
    pointed = NUMBERS.sub(lambda found: re.sub(r"(?<=\d),(?=\d)", ".", found[0]), line)
    yield from _offer(line, pointed, "the decimal sign is a point")


def _quote_values(line: str) -> Iterator[Rewrite]:
    if hidden := re.match(rf"({START}{KEY}\s*:\s+)(#.*?)\s*$", line):
        yield Rewrite(f"{hidden[1]}{quote(hidden[3])}", "# begins a comment, so a text with it needs quotes")
    found = BLOCK_VALUE.match(line)
    if found and re.search(r"#\S.*\.\w{2,5}\s*$", found["end"]):  # the name of a file with #
        whole = f"{found['value']}{found['end'].rstrip()}"
        yield Rewrite(
            f"{found['start']}{found['key']}{quote(whole)}", "# begins a comment, so a text with it needs quotes"
        )
    if found and AWKWARD.search(found["value"]) and not BRACKETED.fullmatch(found["value"]):
        value = found["value"]
        inner = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
        for quoted in dict.fromkeys((quote(inner), quote(inner.replace("'", "").replace('"', "")))):
            yield Rewrite(f"{found['start']}{found['key']}{quoted}{found['end']}", "such a text needs quotes")
        if re.match(rf"{KEY}: .*, *{KEY}: ", value):
            braces = f"{found['start']}{found['key']}{{{value}}}{found['end']}"
            yield Rewrite(braces, "several keys on one line need braces")
    for one in FLOW_VALUE.finditer(line):
        if AWKWARD.search(one["value"]):
            quoted = f"{line[: one.start('value')]}{quote(one['value'])}{line[one.end('value') :]}"
            yield Rewrite(quoted, "such a text needs quotes")
    for one in re.finditer(
        rf"(?P<key>[{{,]\s*{KEY}\s*:\s+)(?P<value>[^'\"{{}}\[\]]*?,[^:'\"{{}}]*?)(?=\s*}}|,\s*{KEY}:)", line
    ):
        quoted = f"{line[: one.start('value')]}{quote(one['value'])}{line[one.end('value') :]}"
        yield Rewrite(quoted, "a text with a comma needs quotes")


def _correct_keys(line: str) -> Iterator[Rewrite]:
    """Write keys that are known instead of others, and those of an inner entry within it."""
    for found in re.finditer(rf"(?:{START}|[{{,]\s*)(?P<key>{KEY})(?=\s*:(?:\s|$))", line):
        for key in find_alike(found["key"].strip("'\"")):
            yield Rewrite(f"{line[: found.start('key')]}{key}{line[found.end('key') :]}", f"the key is called {key}")
    if alone := re.fullmatch(r"(\s*)(?:(\w+)\.)?(\w+)\s*:\s+(.*?)(\s+#.*)?", line):
        indent, home, key, value, comment = alone.groups()
        homes = [home] if home else [one for one in find_homes(key) if " " not in one]
        for one in homes:
            why = f"{key} is a key of {one}"
            yield Rewrite(f"{indent}{one}: {{{key}: {value}}}{comment or ''}", why)


def _quote_words(line: str) -> Iterator[Rewrite]:
    """Quote a value that YAML reads as a number, a flag or nothing."""
    for one in re.finditer(
        rf"({KEY}\s*:\s+|[\[,]\s*)(~|null|Null|NULL|true|false|[-+.\dx_e]+)(?=\s*(?:[,}}\]]|$|\s#))", line
    ):
        yield Rewrite(f"{line[: one.start(2)]}'{one[2]}'{line[one.end(2) :]}", "this is a text only in quotes")


def _unquote(line: str) -> Iterator[Rewrite]:
    for one in re.finditer(r"""(:\s+|[\[,]\s*)(['"])([-+.\w]+)\2""", line):
        yield Rewrite(f"{line[: one.start(2)]}{one[3]}{line[one.end() :]}", "in quotes this is a text")


def _close_quotes(line: str) -> Iterator[Rewrite]:
    if found := re.match(rf"({START}{KEY}\s*:\s+)'([^\"]*\w'\w[^\"]*)'(\s*|\s+#.*)$", line):
        yield Rewrite(f'{found[1]}"{found[3]}"{found[4]}', "such a text needs double quotes")
    for mark in "\"'":
        if line.count(mark) % 2:
            why = f"a quote is missing: {mark} stands alone"
            at = line.index(mark)
            ends = [found.start() for found in re.finditer(r"\s*(?:[,}\]]|\s#|$)", line) if found.start() > at]
            for end in dict.fromkeys(ends):
                yield Rewrite(line[:end] + mark + line[end:], why)
            opened = re.sub(r"(:\s+|[\[{,]\s*|-\s+)(?=[^\s'\"{\[]+" + mark + ")", rf"\1{mark}", line, count=1)
            yield from (Rewrite(one, why) for one in (opened, line.replace(mark, "")) if one != line)


def _balance_brackets(line: str) -> Iterator[Rewrite]:
    body, comment = re.match(r"(.*?)(\s+#.*|\s*)$", line).groups()  # type: ignore[union-attr]
    stack, quoted = list[tuple[str, int]](), ""
    for at, letter in enumerate(body):
        if quoted or letter in "'\"":
            quoted = "" if letter == quoted else quoted or letter
        elif letter in PAIRS:
            stack.append((letter, at))
        elif letter in PAIRS.values():
            if not stack:
                yield Rewrite(body[:at] + body[at + 1 :] + comment, f"there is no bracket that {letter} closes")
                return
            opening, _ = stack.pop()
            if PAIRS[opening] != letter:
                yield Rewrite(
                    body[:at] + PAIRS[opening] + letter + body[at + 1 :] + comment, f"{opening} is not closed"
                )
                yield Rewrite(body[:at] + PAIRS[opening] + body[at + 1 :] + comment, f"{opening} is closed by {letter}")
                return
    if not stack and body.strip():
        yield from (Rewrite(body.rstrip(", ") + closing + comment, "a bracket is not closed") for closing in ("}", "]"))
    if stack:
        closing = "".join(PAIRS[opening] for opening, _ in reversed(stack))
        why = f"{' and '.join(opening for opening, _ in stack)} {'is' if len(stack) == 1 else 'are'} not closed"
        yield Rewrite(body.rstrip(", ") + closing + comment, why)
        for found in re.finditer(rf",\s*{KEY}\s*:", body[stack[-1][1] :]):  # a key that follows the inner entry
            at = stack[-1][1] + found.start()
            yield Rewrite(body[:at] + PAIRS[stack[-1][0]] + body[at:] + closing[1:] + comment, why)


def _separate_entries(line: str) -> Iterator[Rewrite]:
    for found in re.finditer(rf"(?<=[^\s,{{\[:-])(\s*)[;|]?\s+(?={KEY}\s*:\s)", line):
        if "{" in line[: found.start()]:
            yield Rewrite(f"{line[: found.start()]}, {line[found.end() :]}", "a comma is missing between two keys")
    if line.rstrip()[-1:] not in (*",{[:", ""):
        yield Rewrite(f"{line.rstrip()},", "a comma is missing at the end of the line")
    semicolons = line.replace(";", ",")
    yield from _offer(line, semicolons, "commas separate entries")


def _remove_marks(line: str) -> Iterator[Rewrite]:
    if re.fullmatch(r"\s*(---|\.\.\.|```\w*|~~~|%YAML.*|={3,}|-{3,})\s*", line):
        yield Rewrite("", "a recipe is one document, without such marks")
    plain = re.sub(rf"^(?:[>+|]+ ?|\s*\d+[.):|]?\s)(?=\s*(?:{KEY}\s*:|- |#|$))", "", line)
    yield from _offer(line, plain, "a line begins with its key, without a mark or a number before it")


def _move_entry(line: str) -> Iterator[Rewrite]:
    if found := re.match(rf"(\s*(?:- +)*)({KEY}\s*:)\s+(- .*)$", line):
        indent = " " * len(found[1])
        yield Rewrite(
            f"{found[1]}{found[2]}\n{indent}  {found[3]}", "the entries of a list stand on lines of their own"
        )


def _add_styles(line: str) -> Iterator[Rewrite]:
    """Put a file with a name of its own under `styles:`."""
    if found := re.match(rf"(\s*)({KEY}\s*:\s+['\"]?\S+({'|'.join(map(re.escape, IMAGE_SUFFIXES))})['\"]?)\s*$", line):
        if is_known(found[2].split(":")[0].strip("'\" ")):
            return
        why = "style images stand under styles"
        yield Rewrite(f"styles:\n  {found[2]}" if found[1] else f"styles: {{{found[2]}}}", why)


def _add_dash(line: str) -> Iterator[Rewrite]:
    indent = measure_indent(line)
    if re.match(rf"\s*{KEY}\s*:(\s|$)", line):
        why = "a dash is missing: every entry of the list begins with one"
        yield Rewrite(f"{' ' * max(0, indent - 2)}- {line.lstrip()}", why)
        yield Rewrite(f"{' ' * indent}- {line.lstrip()}", why)
    if found := re.match(r"(\s*)- +(.*)$", line):
        why = "the dash begins a new entry of the list, and this key belongs to the one above"
        yield Rewrite(f"{found[1]}  {found[2]}", why)
        yield Rewrite(f"{found[1]}{found[2]}", "only entries of a list begin with a dash")


REWRITERS: tuple[Rewriter, ...] = (  # the surest first
    _replace_invisible,
    _replace_tabs,
    _replace_lookalikes,
    _straighten_quotes,
    _unescape,
    _quote_colours,
    _replace_parentheses,
    _strip_ends,
    _point_decimals,
    _space_colons,
    _space_dashes,
    _separate_comments,
    _close_quotes,
    _balance_brackets,
    _separate_entries,
    _write_colons,
    _correct_keys,
    _quote_values,
    _quote_words,
    _unquote,
    _remove_marks,
    _move_entry,
    _add_styles,
    _add_dash,
)


def rewrite_line(line: str) -> Iterator[Rewrite]:
    """List how a line may have been meant, the likeliest first."""
    for rewriter in REWRITERS:
        yield from rewriter(line)


def list_indents(lines: Sequence[str], number: int) -> Iterator[tuple[int, int]]:
    """List (indent, number) of the lines above and below line `number`, the nearest first: it may belong to one.

    Of a line that begins an entry of a list, also the indent of its first key.
    """
    above = [(measure_indent(lines[at]), at) for at in range(number - 1, -1, -1) if lines[at].strip()]
    below = [(measure_indent(lines[at]), at) for at in range(number + 1, len(lines)) if lines[at].strip()]
    for indent, at in (*above[:6], *below[:1]):
        if entry := re.match(r"\s*(?:- +)+", lines[at]):
            yield len(entry[0]), at
        yield indent, at
        if lines[at].rstrip().endswith(":"):
            yield indent + 2, at


def rewrite_block(lines: Sequence[str], number: int) -> Iterator[tuple[dict[int, str], str]]:
    """List how line `number` and those like it may have been meant: entries of a list or of `styles`, together."""
    line = lines[number]
    indent = measure_indent(line)
    block = list(range(number, len(lines)))
    block = block[
        : next((at for at in block if lines[at].strip() and measure_indent(lines[at]) < indent), len(lines)) - number
    ]
    if found := re.match(rf"\s*(?P<dash>- +)?(?P<key>{KEY})\s*:", line):
        like = re.compile(rf"{line[:indent]}{found['dash'] or ''}{re.escape(found['key'])}\s*:")
        firsts = [at for at in block if like.match(lines[at])]
        if not found["dash"] and len(firsts) > 1:
            dashed = {at: f"{' ' * max(0, indent - 2)}- {lines[at].lstrip()}" for at in firsts}
            if indent < 2:
                dashed |= {at: f"  {lines[at]}" for at in block if at not in firsts}
            yield dashed, "a dash is missing: every entry of the list begins with one"
        others = [at for at in block if re.match(rf"{line[:indent]}- ", lines[at]) and at not in firsts]
        if found["dash"] and others:
            yield (
                {at: lines[at].replace("- ", "  ", 1) for at in others},
                "the dash begins a new entry of the list, and this key belongs to the one above",
            )
    images = [at for at in block if any(_add_styles(lines[at])) and measure_indent(lines[at]) == indent]
    if not indent and len(images) > 1 and images == list(range(images[0], images[-1] + 1)):
        moved = {at: f"  {lines[at]}" for at in images[1:]}
        yield {images[0]: f"styles:\n  {line}"} | moved, "style images stand under styles"


def find_decimal_commas(line: str) -> str | None:
    """Find a number with a decimal comma in a list of weights, where it is read as two numbers."""
    found = len(line) <= LONGEST_LINE and re.search(rf"octaves\s*:\s*({NUMBERS.pattern})", line)
    number = re.search(r"\d+,\d+", found[1]) if found else None
    return number[0] if number else None


def measure_indent(line: str) -> int:
    """Count the spaces at the start of a line."""
    return len(line) - len(line.lstrip())


def quote(text: str) -> str:
    """Write a text in quotes: single ones, in which only they need care."""
    return f'"{text}"' if "'" in text and not {"\\", '"'} & set(text) else "'" + text.replace("'", "''") + "'"
