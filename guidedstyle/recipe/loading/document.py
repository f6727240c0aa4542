"""YAML documents: plain data with the line of every key."""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.io.memory import PREFIX, InMemoryImage, hold_image, is_array, to_numpy
from guidedstyle.recipe.loading.keys import name_key
from guidedstyle.types import KeyPath

MOST_NODES = 20_000
TOO_MANY = f"it has more than {MOST_NODES:,} values"
SIMPLIFY = "use shapes with fewer corners, or masks in files"


class NotYamlError(GuidedStyleError):
    """A text is not YAML; `stops` are the numbers of the lines, from 0, where it stops to be."""

    def __init__(self, problem: Problem, stops: tuple[int, ...]) -> None:
        super().__init__([problem])
        self.stops = stops


class _TooManyValuesError(Exception):
    """The document is too large; its argument is the line where the limit was passed."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which, as in YAML 1.2, 1e-3 is a number, and 1:30, 0512, 2020-01-01, no and off are texts."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > MOST_NODES:  # checked early: composing a huge document takes hours
            raise _TooManyValuesError(self.line + 1)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `_Loader` or another YAML reader would take for a number."""


TAG = "tag:yaml.org,2002:"
NULL, BOOL = f"{TAG}null", f"{TAG}bool"
PLAIN = {NULL, BOOL, *(f"{TAG}{kind}" for kind in ("int", "float", "str", "seq", "map"))}
INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
FLOAT = re.compile(
    r"^([-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
)

FLAG = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")

_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag == NULL]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOL, FLAG, list("tTfF"))
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(f"{TAG}int", INT, list("-+0123456789"))
    _kind.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+.0123456789"))


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Quote line separators, which a reader would replace by others."""
    style = '"' if {"\x85", "\u2028", "\u2029"} & set(text) else None
    return dumper.represent_scalar(f"{TAG}str", text, style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(data: object, in_line: bool = False) -> str:
    """Write plain data as YAML; with `in_line` in brackets, on one line."""
    flow = True if in_line else None
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10**6)
    return str(text)


@dataclass
class Document:
    """Data read from `source`, with the place of every key; errors and warnings are collected here."""

    source: str
    data: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    images: dict[str, InMemoryImage | Problem] = field(default_factory=dict)  # by name; or why one cannot be used

    def take(self, value: Any, path: KeyPath = ()) -> Any:
        """Copy a value from Python as plain data: numbers of NumPy, paths, mappings.

        An image in memory (see `hold_image`) is replaced by its name, as if that were a file, and kept in `images`.
        Keys whose value is None are left out.
        """
        if isinstance(value, Mapping):
            keys = {key: self._take_key(key, path) for key, held in value.items() if held is not None}
            return {name: self.take(value[key], (*path, name)) for key, name in keys.items() if name is not None}
        if isinstance(value, list | tuple):
            return [self.take(entry, (*path, index)) for index, entry in enumerate(value)]
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        if is_array(value):
            return self._take_array(value, path)
        return _take_plain(value)

    def _take_key(self, key: object, path: KeyPath) -> str | None:
        if isinstance(key, str):
            return str(key)
        rule, remedy = f"the key {key!r} is not text", f"write it in quotes: {str(key)!r}"
        self.problems.append(Problem(self.locate(path), rule, remedy))
        return None

    def _take_array(self, value: Any, path: KeyPath) -> Any:
        """Take an array: a number, a list of numbers or texts, or else an image."""
        try:
            dimensions = 2 if hasattr(value, "getexif") else (array := to_numpy(value)).ndim
            if dimensions < 2 or (dimensions == 2 and path[-1:] in (("polygon",), ("palette",))):
                return _take_numbers(array)
            held: InMemoryImage | Problem = hold_image(value)
        except GuidedStyleError as error:
            held = error.problems[0]
        name = str(held) if isinstance(held, InMemoryImage) else f"{PREFIX}{len(self.images)}"
        self.images[name] = held
        return name

    def locate(self, path: KeyPath) -> str:
        """Name the place of `path`, or of the nearest key above it: `recipe.yaml:12: regions[1].mask`."""
        return f"{self.find_place(path) or self.source}: {name_key(path)}".removesuffix(": ")

    def find_place(self, path: KeyPath) -> str | None:
        """Find the place of `path`, or of the nearest key above it: `recipe.yaml:12`, or that of a setting."""
        return next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), None)


def _take_numbers(value: Any) -> Any:
    """Take an array as nested lists; arrays of objects hold plain values."""
    if getattr(value, "ndim", 0):
        return [_take_numbers(part) for part in value]
    return _take_plain(value if isinstance(value, str) or not hasattr(value, "ndim") else value[()])


def _take_plain(value: Any) -> Any:
    """Take a number as Python's own, with the shortest digits that stand for it, and a text as `str`."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(str(value) if hasattr(value, "dtype") else value)
    return str(value) if isinstance(value, str) else value


def take_document(data: Mapping[str, object], source: str = "recipe") -> Document:
    """Read a recipe from a mapping with the keys of YAML; see `Document.take`."""
    document = Document(source, places={(): source})
    try:
        document.data = document.take(data)
    except RecursionError as error:
        raise GuidedStyleError.of(source, "it is nested too deeply", "use fewer levels") from error
    return document


def read_document(source: str, text: str) -> Document:
    """Read YAML `text`; raises GuidedStyleError where it is not YAML at all."""
    document = Document(source)
    try:
        node = yaml.compose(text, Loader=_Loader)
        document.data = _Reader(document).read(node, ()) if node else {}
    except yaml.MarkedYAMLError as error:
        marks = [mark.line for mark in (error.problem_mark, error.context_mark) if mark] or [0]
        problem = Problem(f"{source}:{marks[0] + 1}", f"this is not YAML: {error.problem}", _yaml_remedy(error))
        raise NotYamlError(problem, tuple(dict.fromkeys(marks))) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        rule = f"this is not YAML: the character U+{error.character:04X} is not allowed"
        problem = Problem(f"{source}:{line + 1}", rule, "remove it, and save the recipe as UTF-8 text")
        raise NotYamlError(problem, (line,)) from error
    except _TooManyValuesError as error:
        raise GuidedStyleError.of(f"{source}:{error}", TOO_MANY, SIMPLIFY) from error
    except RecursionError as error:
        raise GuidedStyleError.of(source, "it is nested too deeply", "use fewer levels") from error
    except (ValueError, OverflowError) as error:  # of chr: "\U00110000" and "\UFFFFFFFF" are not characters
        raise GuidedStyleError.of(source, f"this is not YAML: {error}", "write it as plain UTF-8 text") from error
    return document


def read_value(place: str, text: str) -> Any:
    """Read a single value, such as one of the command line; raises GuidedStyleError with all of its errors."""
    document = read_document(place, text)
    if document.problems:
        raise GuidedStyleError(document.problems)
    return document.data


def _yaml_remedy(error: yaml.MarkedYAMLError) -> str:
    if "\\t" in str(error.problem):
        return "indent with spaces, not tabs"
    return "check the indentation, colons and brackets of this line and the one before"


class _Reader:
    """Turns YAML nodes into plain data and notes the line of each."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.loader = _Loader("")
        self.nodes = 0
        self.open = list[yaml.Node]()  # the node being read and all that contain it

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        self.document.places.setdefault(path, f"{self.document.source}:{node.start_mark.line + 1}")
        if self.nodes > MOST_NODES:  # aliases can make a short text endless
            raise _TooManyValuesError(node.start_mark.line + 1)
        if node in self.open:
            rule = "this alias refers to a value that contains it"
            raise GuidedStyleError.of(self.document.locate(path), rule, "write the value out instead")
        self.open.append(node)
        value = self._read(node, path)
        self.open.pop()
        return value

    def _read(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag not in PLAIN:
            rule = f"the tag {node.tag.replace(TAG, '!!')} is not supported"
            raise GuidedStyleError.of(self.document.locate(path), rule, "remove the tag")
        if isinstance(node, yaml.MappingNode):
            return dict(self._list_pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        _read_text(node)
        try:
            return self.loader.construct_object(node)
        except (ValueError, LookupError) as error:  # a tag that the text does not fit, or too many digits
            rule = f"{node.value[:60]!r} cannot be read as {node.tag.removeprefix(TAG)}"
            raise GuidedStyleError.of(self.document.locate(path), rule, "write plain text or a number") from error

    def _list_pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            place = f"{self.document.source}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(Problem(place, "this key is not a plain word", "write one word"))
                continue
            key = _read_text(key_node)
            if key == "<<" and not key_node.style:  # in quotes it is a plain word
                rule = "merged keys (<<) are not supported"
                self.document.problems.append(Problem(place, rule, "write the keys out"))
                continue
            if key in seen:
                name = name_key((*path, key))
                first = self.document.places[*path, key].rsplit(":", 1)[-1]
                remedy = f"remove one; the other is in line {first}"
                if isinstance(value_node, yaml.MappingNode):
                    remedy = f"write all of its keys under one {key}; the other is in line {first}"
                self.document.problems.append(Problem(f"{place}: {name}", "this key appears twice", remedy))
                continue
            seen.add(key)
            self.document.places[*path, key] = place
            yield key, self.read(value_node, (*path, key))


def _read_text(node: yaml.Node) -> str:
    """Return a scalar as written; raises MarkedYAMLError for an unpaired surrogate, which cannot be encoded."""
    try:
        node.value.encode()
        return str(node.value)
    except UnicodeEncodeError as error:
        rule = f"{node.value!r} contains an unpaired surrogate"
        raise yaml.MarkedYAMLError(None, None, rule, node.start_mark) from error
