"""Key paths of plain data: as text, walks over all of them, differences by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

from guidedstyle.recipe.values import compose
from guidedstyle.types import KeyPath


def name_key(path: KeyPath, data: Any = None) -> str:
    """Write a path as text: `regions[1].mask`, or `regions.sky.mask` where `data` has an entry of that name there."""
    text = ""
    for key in path:
        data = step_into(data, key)
        name = data.get("name") if isinstance(key, int) and isinstance(data, dict) else None
        text += f"[{key}]" if isinstance(key, int) and name is None else f".{key if name is None else name}"
    return text.removeprefix(".")


def step_into(data: Any, key: str | int) -> Any:
    """Return the value of a key or an entry of a list; None where there is none."""
    if isinstance(data, dict):
        return data.get(key)
    return data[key] if isinstance(data, list) and isinstance(key, int) and key < len(data) else None


def find_value(data: Any, path: KeyPath) -> Any:
    """Return the value at a path; None where there is none."""
    for key in path:
        data = step_into(data, key)
    return data


def find_entry(entries: list[Any], key: str) -> int | None:
    """Find an entry of a list by its `name` or its number; None where there is none."""
    names, key = [compose(str(step_into(entry, "name"))) for entry in entries], compose(key)
    known = names if key in names else [str(number) for number in range(len(entries))]
    return known.index(key) if key in known else None


def lies_within(path: KeyPath, keys: Set[KeyPath]) -> bool:
    """Whether a path is one of `keys`, or leads into one."""
    return any(path[:end] in keys for end in range(len(path) + 1))


def walk(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """List everything within plain data with its path, outer values first."""
    yield path, data
    for key, value in _list_entries(data):
        yield from walk(value, (*path, key))


def list_values(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """List the values of plain data with their paths; a list without keys in it is one value."""
    if not isinstance(data, dict) and not (isinstance(data, list) and all(isinstance(entry, dict) for entry in data)):
        yield path, data
        return
    for key, value in _list_entries(data):
        yield from list_values(value, (*path, key))


def _list_entries(data: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(data, dict):
        return data.items()
    return enumerate(data) if isinstance(data, list) else ()


class Difference(NamedTuple):
    """A key whose value differs between two recipes; None: it is missing."""

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
    """List the differences between plain data by key."""
    before, after = flatten(old), flatten(new)
    keys = dict.fromkeys([*before, *after])
    found = [Difference(key, before.get(key), after.get(key)) for key in keys]
    return [difference for difference in found if difference.old != difference.new]


def flatten(data: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten plain data to values by key; the order of named entries is a value too."""
    orders = {key: [entry["name"] for entry in value] for key, value in data.items() if _is_named(value)}
    return orders | {name_key(path, data): value for path, value in list_values(data) if not _is_name(path)}


def _is_named(value: object) -> bool:
    entries = value if isinstance(value, list) else []
    return bool(entries) and all(isinstance(entry, dict) and "name" in entry for entry in entries)


def _is_name(path: KeyPath) -> bool:
    """Whether a path leads to the name of an entry of a list."""
    return len(path) > 1 and path[-1] == "name" and isinstance(path[-2], int)
