"""Plain data of a YAML document by key path: lines, settings, differences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.types import KeyPath, Setting

MOST_NODES = 20_000
TOO_MANY = f"it holds more than {MOST_NODES:,} values"
SIMPLIFY = "write less: shapes with fewer corners, or masks in files"


class _TooManyValuesError(Exception):
    """Of the line where they became too many."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which, as in YAML 1.2, 1e-3 is a number, and 1:30, 0512 and 2020-01-01 are texts."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        if self.nodes > MOST_NODES:  # told before hours are spent on them
            raise _TooManyValuesError(self.line + 1)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` and others read: what any of them would take for a number is quoted."""


TAG = "tag:yaml.org,2002:"
WORDS = {f"{TAG}null", f"{TAG}bool"}
PLAIN = {*WORDS, *(f"{TAG}{kind}" for kind in ("int", "float", "str", "seq", "map"))}
INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
FLOAT = re.compile(
    r"^([-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
)

_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag in WORDS]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(f"{TAG}int", INT, list("-+0123456789"))
    _kind.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+.0123456789"))


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Quote what YAML takes for the end of a line, which would come back as another."""
    style = '"' if {"\x85", "\u2028", "\u2029"} & set(text) else None
    return dumper.represent_scalar(f"{TAG}str", text, style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(data: object, in_line: bool = False) -> str:
    """Write plain data as YAML; `in_line` as it stands within brackets, on one line."""
    flow = True if in_line else None
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10**6)
    return str(text)


@dataclass
class Document:
    """Data read from `source`, with the place of every key and the problems met on the way."""

    source: str
    data: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def locate(self, path: KeyPath) -> str:
        """Say where `path` stands, or the nearest key above it: `recipe.yaml:12: regions[1].mask`."""
        place = self.find_place(path)
        return f"{place}: {name_key(path)}".removesuffix(": ") if place else self.source

    def find_place(self, path: KeyPath) -> str | None:
        """Find the place of `path`, or of the nearest key above it: `recipe.yaml:12`, or where it was set instead."""
        return next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), None)

    def apply(self, setting: Setting) -> None:
        """Set a key, or remove it (None)."""
        key, value, place = setting
        parents, last = self._descend(key.split("."), place)
        if isinstance(last, list):
            last[_index(last, parents[-1])] = deepcopy(value)  # others may be set within it
        elif value is None:
            last.pop(parents[-1], None)
        else:
            last[parents[-1]] = deepcopy(value)
        self.places = {path: at for path, at in self.places.items() if path[: len(parents)] != tuple(parents)}
        for length in range(1, len(parents) + 1):  # also of entries that it makes
            self.places.setdefault(tuple(parents[:length]), place)

    def resolve(self, key: str, place: str) -> KeyPath:
        """Find the path of the key `a.b.0.c`, whose entries of lists may go by their names."""
        return tuple(self._descend(key.split("."), place)[0])

    def _descend(self, keys: Sequence[str], place: str) -> tuple[list[str | int], Any]:
        node, path = self.data, []
        for depth, key in enumerate(keys):
            step: str | int = _index(node, key) if isinstance(node, list) else key
            if not isinstance(node, dict | list) or step == -1:
                remedy = "use a key of the recipe, such as regions.sky.strength"
                raise GuidedStyleError.of(place, f"{'.'.join(keys)} leads nowhere at {key!r}", remedy)
            path.append(step)
            if depth == len(keys) - 1:
                return path, node
            if isinstance(node, dict) and node.get(key) is None:
                node[key] = {}
            node = node[step]
        raise AssertionError(keys)


def _index(entries: list[Any], key: object) -> int:
    """Find an entry of a list by number or by name; -1 where there is none."""
    numbers = [str(number) for number in range(len(entries))]
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    known = numbers if str(key).isdecimal() else names
    return known.index(str(key)) if str(key) in known else -1


def lies_within(path: KeyPath, keys: Set[KeyPath]) -> bool:
    """Tell whether a path is one of some keys, or leads into one."""
    return any(path[:end] in keys for end in range(len(path) + 1))


def name_key(path: KeyPath) -> str:
    """Write a path as people do: `regions[1].mask`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def read_document(source: str, text: str) -> Document:
    """Read YAML `text`; raises GuidedStyleError where it is not YAML at all."""
    document = Document(source)
    try:
        node = yaml.compose(text, Loader=_Loader)
        document.data = _Reader(document).read(node, ()) if node else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise GuidedStyleError.of(place, f"this is not YAML: {error.problem}", _yaml_remedy(error)) from error
    except yaml.reader.ReaderError as error:
        place = f"{source}:{text.count(chr(10), 0, error.position) + 1}"
        rule = f"this is not YAML: the character U+{error.character:04X} cannot stand in it"
        raise GuidedStyleError.of(place, rule, "remove it, and save the recipe as UTF-8 text") from error
    except _TooManyValuesError as error:
        raise GuidedStyleError.of(f"{source}:{error}", TOO_MANY, SIMPLIFY) from error
    except RecursionError as error:
        raise GuidedStyleError.of(source, "it is nested too deeply", "write it with fewer levels") from error
    except (yaml.YAMLError, ValueError) as error:
        raise GuidedStyleError.of(source, f"this is not YAML: {error}", "write it as plain UTF-8 text") from error
    return document


def read_value(place: str, text: str) -> Any:
    """Read a value that stands alone, as on a command line; raises GuidedStyleError with all that is wrong in it."""
    document = read_document(place, text)
    if document.problems:
        raise GuidedStyleError(document.problems)
    return document.data


def _yaml_remedy(error: yaml.MarkedYAMLError) -> str:
    if "\\t" in str(error.problem):
        return "indent with spaces, not tabs"
    return "check the indentation, colons and brackets of this line and the one before"


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.loader = _Loader("")
        self.nodes = 0
        self.above = list[yaml.Node]()  # all that hold the one that is read

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        self.document.places.setdefault(path, f"{self.document.source}:{node.start_mark.line + 1}")
        if self.nodes > MOST_NODES:  # aliases can make a short text endless
            raise _TooManyValuesError(node.start_mark.line + 1)
        if node in self.above:
            rule = "this alias stands within what it repeats"
            raise GuidedStyleError.of(self.document.locate(path), rule, "write out what is meant")
        self.above.append(node)
        value = self._read(node, path)
        self.above.pop()
        return value

    def _read(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag not in PLAIN:
            rule = f"the tag {node.tag.replace(TAG, '!!')} is not understood"
            raise GuidedStyleError.of(self.document.locate(path), rule, "write the value without it")
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        _spell(node)
        try:
            return self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
            rule = f"{node.value[:60]!r} cannot be read as {node.tag.removeprefix(TAG)}"
            raise GuidedStyleError.of(self.document.locate(path), rule, "write a plain text or number") from error

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            place = f"{self.document.source}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(Problem(place, "this key is not a plain word", "write a word"))
                continue
            key = _spell(key_node)
            if key == "<<" and not key_node.style:  # within quotes it is a word
                self.document.problems.append(Problem(place, "keys cannot be merged (<<)", "write them out"))
                continue
            if key in seen:
                name = name_key((*path, key))
                self.document.problems.append(Problem(f"{place}: {name}", "this key stands here twice", "remove one"))
                continue
            seen.add(key)
            self.document.places[*path, key] = place
            yield key, self.read(value_node, (*path, key))


def _spell(node: yaml.Node) -> str:
    """Return a scalar as it is written; raises where it holds half of a letter, which nothing can write or show."""
    try:
        node.value.encode()
        return str(node.value)
    except UnicodeEncodeError as error:
        rule = f"{node.value!r} holds half of a letter"
        raise yaml.MarkedYAMLError(None, None, rule, node.start_mark) from error


class Difference(NamedTuple):
    """A key path whose value was one thing and is another; None: it is not there."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key} {_show(self.old)} -> {_show(self.new)}"


def _show(value: Any) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[:14]
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def list_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """List what differs between plain data, by key path."""
    before, after = flatten(old), flatten(new)
    keys = dict.fromkeys([*before, *after])
    found = [Difference(key, before.get(key), after.get(key)) for key in keys]
    return [difference for difference in found if difference.old != difference.new]


def flatten(data: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten plain data to values by key path; of entries that go by their names, their order is a value too."""
    orders = {key: [entry["name"] for entry in value] for key, value in data.items() if _is_named(value)}
    return orders | {name_entry(data, path): value for path, value in walk(data) if not _is_name(path)}


def _is_named(value: object) -> bool:
    entries = value if isinstance(value, list) else []
    return bool(entries) and all(isinstance(entry, dict) and "name" in entry for entry in entries)


def _is_name(path: KeyPath) -> bool:
    """Tell whether a path leads to the name of an entry of a list."""
    return len(path) > 1 and path[-1] == "name" and isinstance(path[-2], int)


def walk(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """List the values of plain data with the keys that lead to each; a list of plain values is one value."""
    if isinstance(data, dict):
        entries: Iterable[tuple[str | int, Any]] = data.items()
    elif isinstance(data, list) and all(isinstance(entry, dict) for entry in data):  # an empty one says nothing
        entries = enumerate(data)
    else:
        yield path, data
        return
    for key, value in entries:
        yield from walk(value, (*path, key))


def name_entry(data: Any, path: KeyPath) -> str:
    """Write a path with the names of entries that have one: `regions.sky.strength`."""
    keys = []
    for key in path:
        data = data[key]
        keys.append(str(data.get("name", key) if isinstance(key, int) and isinstance(data, dict) else key))
    return ".".join(keys)
