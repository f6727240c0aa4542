"""Every key of a recipe with every kind of invalid value, and files that are not recipes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command_server import CommandServer, write_images

from guidedstyle.recipe.controls import Controls
from guidedstyle.recipe.model import Recipe, Region
from guidedstyle.recipe.schema import GROUPS, list_keys

CONTENT, STYLES = "content: photo.png", "styles: {ink: ink.png}"
REGIONS = "regions: [{name: a, mask: left.png, style: ink}]"
WHOLE = f"{CONTENT}\n{STYLES}\n{REGIONS}\n"
REGION = f"{CONTENT}\n{STYLES}\nregions:\n-\n  name: a\n  mask: left.png\n  style: ink\n"
MASK = f"{CONTENT}\n{STYLES}\nregions:\n-\n  name: a\n  style: ink\n  mask:\n"
HOMES = {  # by the prefix of a group of keys: a valid recipe that ends where one more key may follow, and its indent
    "": (WHOLE, 0),
    "regions[].": (REGION, 2),
    "regions[].style.NAME.": (REGION.replace("  style: ink\n", "  style:\n    ink:\n      weight: 1\n"), 6),
    "styles.NAME.": (f"{CONTENT}\n{REGIONS}\nstyles:\n  ink:\n    image: ink.png\n", 4),
    "colour.": (f"{WHOLE}colour:\n", 2),
    "init.": (f"{WHOLE}init:\n", 2),
    "solver.": (f"{WHOLE}solver:\n", 2),
    "encoder.": (f"{WHOLE}encoder:\n", 2),
    "save.": (f"{WHOLE}save:\n", 2),
    "masks.": (f"{WHOLE}masks:\n  file: left.png\n", 2),
    "mask.": (f"{MASK}    file: left.png\n", 4),
    "mask.gradient.": (f"{MASK}    gradient:\n      from: [0, 0]\n      to: [0, 1]\n", 6),
}
LAUGHS = "[&a [l, l, l, l, l, l], " + "".join(
    f"&{word} [{f'*{part}, ' * 6}], " for part, word in zip("abcdef", "bcdefg", strict=True)
)
VALUES = {  # as written, and the part of them in the message
    "nothing": ("", "no value"),
    "a word": ("gibberish", "gibberish"),
    "a flag": ("true", "true"),
    "a list": ("[[gibberish]]", "gibberish"),
    "keys": ("{gibberish: 3}", "gibberish"),
    "too little": ("-1e9", "-1000000000"),
    "too much": ("1e300", "1e+300"),
    "not a number": (".nan", "nan"),
    "infinite": ("-.inf", "-inf"),
    "beyond numbers": ("1e999", "inf"),
    "minutes": ("1:30", "1:30"),
    "of eights": ("0512", "0512"),
    "a snowman": ('"\\u2603\\u202e"', "☃\\u202e"),
    "half a letter": ('"\\ud800"', "\\ud800"),
    "an order to the terminal": ('"\\e[31m\\a"', "\\x1b[31m\\x07"),
    "a long text": ("x" * 50_000, "xxx"),
}
NUMBERS = {"too little", "infinite", "beyond numbers", "minutes", "of eights"}
TEXTS = {  # invalid for any key, and a part of the message
    "digits": ("9" * 5000, "'999"),
    "laughs": (f"{LAUGHS}]", "more than 20,000 values"),
    "an alias of itself": ("&a [gibberish, *a]", "this alias refers to a value that contains it"),
    "an alias of nothing": ("*nowhere", "found undefined alias"),
    "a call": ("!!python/object/apply:os.system [id]", "the tag !!python/object/apply:os.system is not supported"),
    "bytes": ("!!binary aGk=", "the tag !!binary is not supported"),
    "no flag": ("!!bool maybe", "'maybe' cannot be read as bool"),
    "merged keys": ("{<<: {gibberish: 3}}", "merged keys (<<) are not supported"),
    "a list as a key": ("{[a]: 3}", "this key is not a plain word"),
    "an open list": ("[1, 2", "this is not YAML"),
    "a tab": ("\n\t- 3", "spaces, not tabs"),
    "a letter that is none": ("\x00", "U+0000"),
}
FREE = {  # texts that need not name anything; regions that are all commented out
    "regions": {"nothing"},
    "regions[].name": {"a word"},
    "mask.layer": {"a word", "a long text"},
}


def list_entries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """List every key: the prefix of its group, its name, and the schema of its values."""
    for prefix, model in GROUPS.values():
        schema = model.model_json_schema(mode="validation")
        properties = schema.get("properties") or schema["$defs"][model.__name__]["properties"]
        yield from ((prefix, key, entry) for key, entry in properties.items())
    yield "", "style", {"type": "object"}


ENTRIES = {f"{prefix}{key}": (prefix, key, entry) for prefix, key, entry in list_entries()}


def find_kinds(entry: dict[str, Any]) -> set[str]:
    return {kind.get("type", "object") for kind in entry.get("anyOf", [entry])}


def may_be(name: str, entry: dict[str, Any], value: str) -> bool:
    """Whether a value is valid for this key, or invalid only together with other keys."""
    kinds = find_kinds(entry)
    length = {"number", "string"} <= kinds and value == "of eights"  # which may be written as text
    return length or ("boolean" in kinds and value == "a flag") or value in FREE.get(name, ())


def is_tried(name: str, entry: dict[str, Any], value: str) -> bool:
    """Whether a value is tested for a key: invalid numbers only for keys that may be numbers."""
    numeric = bool(find_kinds(entry) & {"number", "integer"})
    return not may_be(name, entry, value) and (numeric or value not in NUMBERS)


CASES = [
    pytest.param(name, value, id=f"{name} is {value}")
    for name, (_, _, entry) in ENTRIES.items()
    for value in VALUES
    if is_tried(name, entry, value)
]
FIRST = {prefix: name for name, (prefix, _, _) in reversed(ENTRIES.items())}  # a key of each group


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("project"))


def write_key(name: str, value: str) -> tuple[str, int]:
    """Write a recipe with a value for one of its keys; returns its text and the line of the key."""
    prefix, key, _ = ENTRIES[name]
    home, indent = HOMES[prefix]
    replaced = {"style": ("style", "styles", "regions"), "canvas": ("canvas", "content")}.get(name, (key,))
    lines = [line for line in home.splitlines() if line.strip().split(":")[0] not in replaced]
    return "\n".join([*lines, f"{' ' * indent}{key}: {value}", ""]), len(lines) + 1


def find_line_above(text: str, line: int) -> int:
    """Find the line of the entry that contains a key: a missing file is reported for the whole mask."""
    lines = text.splitlines()
    indents = [len(one) - len(one.lstrip()) for one in lines]
    return max(number for number in range(1, line + 1) if number == 1 or indents[number - 1] < indents[line - 1])


def render(server: CommandServer, folder: Path, text: str) -> list[str]:
    (folder / "a.yaml").write_text(text)
    return server.refuse(folder, "render", "a.yaml")


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_value_that_a_key_cannot_have(server: CommandServer, folder: Path, name: str, value: str) -> None:
    written, seen = VALUES[value]
    text, line = write_key(name, written)
    reported = render(server, folder, text)
    places = (f"a.yaml:{line}: ", f"a.yaml:{find_line_above(text, line)}: ")
    assert any(one.startswith(places) and seen in one for one in reported), (reported, line)


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("prefix", FIRST)
def test_text_that_cannot_be_read_at_all(server: CommandServer, folder: Path, prefix: str, value: str) -> None:
    written, seen = TEXTS[value]
    text, line = write_key(FIRST[prefix], written)
    reported = render(server, folder, text)
    near = re.compile(rf"a\.yaml(:{line}|:{line + 1}|(?=: this is not YAML: it has)): ")
    assert any(near.match(one) and seen in one for one in reported), (reported, line)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_key_that_appears_twice(server: CommandServer, folder: Path, name: str) -> None:
    prefix, key, _ = ENTRIES[name]
    text, line = write_key(name, f"3\n{' ' * HOMES[prefix][1]}{key}: 3")
    reported = render(server, folder, text)
    assert any(one.startswith(f"a.yaml:{line + 1}: ") and f"{key}: this key appears twice" in one for one in reported)


def test_every_key_is_tried() -> None:
    named = {key.name for keys in list_keys().values() for key in keys}
    assert named <= ENTRIES.keys()
    assert {f"regions[].{key}" for key in Controls.model_fields} <= ENTRIES.keys()
    assert {*Recipe.model_fields, *(f"regions[].{key}" for key in Region.model_fields)} <= ENTRIES.keys()
    assert {prefix for prefix, _ in GROUPS.values()} <= HOMES.keys()
