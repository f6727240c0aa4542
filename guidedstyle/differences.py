"""Plain data laid out by key path, and what differs between two such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from guidedstyle.types import KeyPath


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
