"""YAML text to plain data that remembers its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from guidedstyle.errors import GuidedStyleError, KeyPath, Problem

MOST_NODES = 20_000


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number, as in YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: what it would take for a number is quoted."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


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
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return f"{self.places[path[:length]]}: {name_key(path)}".removesuffix(": ")
        return self.source

    def override(self, key: str, value: object, place: str) -> None:
        """Set the key `a.b.0.c`; entries of a list go by number or by their `name`."""
        parents, last = self._descend(key.split("."), place)
        if isinstance(last, list):
            last[_index(last, parents[-1])] = value
        else:
            last[parents[-1]] = value
        self.places = {path: at for path, at in self.places.items() if path[: len(parents)] != tuple(parents)}
        self.places[tuple(parents)] = place

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
    if str(key).isdigit():
        return int(str(key)) if int(str(key)) < len(entries) else -1
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    return names.index(key) if key in names else -1


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
    except RecursionError as error:
        raise GuidedStyleError.of(source, "it is nested too deeply", "write it with fewer levels") from error
    except (yaml.YAMLError, ValueError) as error:
        raise GuidedStyleError.of(source, f"this is not YAML: {error}", "write it as plain UTF-8 text") from error
    return document


def _yaml_remedy(error: yaml.MarkedYAMLError) -> str:
    if "\\t" in str(error.problem):
        return "indent with spaces, not tabs"
    return "check the indentation, colons and brackets of this line and the one before"


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.loader = _Loader("")
        self.nodes = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:  # aliases can make a short text endless
            raise ValueError(f"it holds more than {MOST_NODES} values")
        self.document.places.setdefault(path, f"{self.document.source}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            place = f"{self.document.source}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(Problem(place, "this key is not a plain word", "write a word"))
                continue
            key = str(key_node.value)
            if key in seen:
                name = name_key((*path, key))
                self.document.problems.append(Problem(f"{place}: {name}", "this key stands here twice", "remove one"))
                continue
            seen.add(key)
            self.document.places[*path, key] = place
            yield key, self.read(value_node, (*path, key))


def read_text(file: Path) -> str:
    """Read a text file; raises GuidedStyleError where there is none or it is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GuidedStyleError.of(file, "it is not UTF-8 text", "save the recipe as UTF-8 text") from error
    except OSError as error:
        raise GuidedStyleError.of(file, f"it cannot be read: {error.strerror}", "name an existing recipe") from error
