"""Settings, values for keys of a recipe from the command line or from Python; old names of keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from guidedstyle.errors import GuidedStyleError, Problem, Warned
from guidedstyle.recipe.loading.document import Document, read_value
from guidedstyle.recipe.loading.keys import find_entry, step_into, walk
from guidedstyle.recipe.remedies.keys import find_close
from guidedstyle.recipe.remedies.lines import LONGEST_LINE, rewrite_line
from guidedstyle.recipe.shorthand import combine_styles, expand, expand_at, expand_style, find_new_name, spell
from guidedstyle.recipe.values import compose
from guidedstyle.types import KeyPath, Setting

IMPLIED = ("styles", "regions")  # that `style:` stands for
NOTHING = re.compile(r"\bnull\b|~", re.IGNORECASE)  # a value that says so is not one that was forgotten


def parse_setting(text: str) -> Setting:
    """Parse `KEY=VALUE` of the command line, the value written as in YAML."""
    key, equals, value = text.partition("=")
    place = f"--set {text}"
    if not key or not equals:
        raise GuidedStyleError.of(place, "this is not KEY=VALUE", "write, for example, --set smoothness=2")
    return Setting(key.strip(), _read_value(place, value) if value else None, place)


def _read_value(place: str, text: str) -> Any:
    """Read a value of the command line; raises GuidedStyleError where it is not YAML, or a key in it has no value."""
    try:
        value = read_value(place, text)
        if all(found is not None for _, found in walk(value)) or NOTHING.search(text):
            return value
        problem = Problem(place, "a key in it has no value", "give it one, with a space after the colon")
    except GuidedStyleError as error:
        problem = error.problems[0]
    for rewrite in rewrite_line(text) if len(text) <= LONGEST_LINE else ():
        with suppress(GuidedStyleError):
            if all(found is not None for _, found in walk(read_value(place, rewrite.line))):
                problem = replace(problem, remedy=f"{rewrite.why}: write `{rewrite.line}`")
                break
    raise GuidedStyleError([problem])


def sort_settings(settings: Sequence[Setting]) -> list[Setting]:
    """Sort settings: `style` first, since others may go into it; `styles` last, since regions may combine two."""
    order = {"style": 0, "styles": 2}
    return sorted(settings, key=lambda setting: order.get(setting.key.split(".")[0], 1))


def apply_setting(document: Document, setting: Setting) -> None:
    """Set a key of a recipe, or remove it where the value is None."""
    path, parent = _descend(document, setting)
    if setting.value is None and isinstance(parent, dict):
        parent.pop(path[-1], None)
    else:
        parent[path[-1]] = document.take(setting.value, path)  # a copy: later settings may change it
    document.places = {key: place for key, place in document.places.items() if key[: len(path)] != path}
    for length in range(1, len(path) + 1):  # also of the entries that were added on the way
        document.places.setdefault(path[:length], setting.place)


def find_path(document: Document, setting: Setting) -> KeyPath:
    """Find the path of a setting's key; raises GuidedStyleError where there is no entry to hold it."""
    return _descend(document, setting)[0]


def _descend(document: Document, setting: Setting) -> tuple[KeyPath, Any]:
    """Walk to a setting's key, expanding shorthand on the way; returns its path and the entry that holds it."""
    *above, last = re.sub(r"\[(\d+)\]", r".\1", setting.key).split(".")  # as errors name keys: regions[0].mask
    if (above or [last])[0] in IMPLIED:
        _expand_style(document)
    if above[:1] == ["styles"]:
        _combine_styles(document, name=compose((*above, last)[1]))
    path, node = KeyPath(()), document.data
    for key in above:
        path = _step(document, setting, path, node, key)
        value = step_into(node, path[-1])
        node[path[-1]] = {} if value is None else expand_at(path, value)
        node = node[path[-1]]
    return _step(document, setting, path, node, last), node


def _step(document: Document, setting: Setting, path: KeyPath, node: Any, key: str) -> KeyPath:
    step = find_entry(node, key) if isinstance(node, list) else key if isinstance(node, dict) else None
    if step is None:
        rule = f"{'.'.join(map(str, path))} has no entry {key!r}"
        names = [str(step_into(entry, "name")) for entry in node] if isinstance(node, list) else []
        close = find_close(key, names)
        remedy = "use a key of the recipe, such as regions.sky.strength"
        raise GuidedStyleError.of(setting.place, rule, f"write {close}, of {', '.join(names)}" if close else remedy)
    path = (*path, step)
    if not (name := find_new_name(path)):
        return (*path[:-1], spell(path))
    _warn(document, f"{setting.place}: {setting.key}", key, name)
    return (*path[:-1], name)


def rename_keys(document: Document) -> None:
    """Give the keys of a recipe their own names and spelling, with a warning for each that was renamed."""
    places = dict[KeyPath, str]()
    document.data = _rename_within(document, document.data, (), (), places)
    document.places = places


def _rename_within(document: Document, value: Any, old: KeyPath, new: KeyPath, places: dict[KeyPath, str]) -> Any:
    """Rename the keys within a value, which is at the path `new` now; `places` gets those of all keys."""
    if old in document.places:
        places[new] = document.places[old]
    if isinstance(value, list):
        return [
            _rename_within(document, item, (*old, index), (*new, index), places) for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    found = dict[str, Any]()
    for key, item in value.items():
        if (name := _rename(document, value, key, old=old, new=new)) is not None:
            found[name] = _rename_within(document, item, (*old, key), (*new, name), places)
    return found


def _rename(document: Document, entry: dict[str, Any], key: str, *, old: KeyPath, new: KeyPath) -> str | None:
    """Find a key's name; None where it is given twice, under two names, which is an error."""
    place, spelled = document.locate((*old, key)), str(spell((*new, key)))
    name = find_new_name((*new, key))
    if name:
        _warn(document, place, key, name)
    if (name or spelled) == key or (name or spelled) not in entry:
        return name or spelled
    what = "the old name" if name else "another spelling"
    rule = f"{key} is {what} of {name or spelled}, which is given too"
    document.problems.append(Problem(place, rule, f"remove {key}"))
    return None


def _warn(document: Document, place: str, old: str | int, new: str) -> None:
    rule = f"the key {old} is now called {new}"
    text = f"{place}: {rule}; the old name still works"
    document.warnings.append(Warned.of(Problem(place, rule, f"write {new} instead of {old}"), text))


def expand_document(document: Document) -> None:
    """Expand the shorthand of a recipe."""
    _expand_style(document)
    document.data = expand(document.data)


def _combine_styles(document: Document, *, name: str) -> None:
    """Give the style that two others are combined to an entry, if that is the one with this name."""
    combined = combine_styles(document.data)
    if isinstance(styles := combined.get("styles"), dict) and name in styles:
        document.data = combined


def _expand_style(document: Document) -> None:
    """Expand `style:` to the styles and regions that it stands for; their place is that of `style`."""
    document.data = expand_style(document.data)
    if place := document.places.get(("style",)):
        within = {("regions", 0, *path): at for path, at in document.places.items() if path[0:1] == ("style",)}
        document.places = dict.fromkeys([("styles", "style"), ("regions",)], place) | within | document.places
