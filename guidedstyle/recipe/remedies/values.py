"""What to write instead of a value that is almost valid: numbers with units, lists in words, colours without quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from PIL import ImageColor

from guidedstyle.errors import HIDDEN
from guidedstyle.recipe.mask import COMBINATIONS
from guidedstyle.recipe.remedies.lines import quote

UNIT = r"\s*(?:px|pixels?|x|×|times|steps?|°|deg(?:rees)?)?"
NUMBER = re.compile(rf"([-+−]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?)\s*(%|percent)?{UNIT}", re.IGNORECASE)
LONGEST_MIX = 1000  # letters
LARGEST, MOST_FRACTION = 1e5, 10  # of lengths in px, of places in fractions of the image
FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
YES, NO = {"true", "yes", "y", "on", "1", "ja", "oui", "si", "sí"}, {"false", "no", "n", "off", "0", "nein", "non"}
ESCAPES = dict(zip("\0\a\b\t\n\v\f\r\x1b\x85\u2028\u2029", "0abtnvfreNLP", strict=True))  # what \\n and such stand for
PLAIN = re.compile(r"[A-Za-z_À-￿][\w À-￿./-]*")


def suggest_value(kind: str, value: object, key: str) -> str | None:
    """Write, as YAML, what may have been meant by a value that is invalid; `kind` is pydantic's type of the error."""
    match kind:
        case "int_type" | "int_from_float":
            return _suggest_integer(value, shares=key == "quality")
        case "float_type" if isinstance(value, str):
            return _write_number(read_number(value))
        case "bool_type":
            word = str(value).lower()
            return "true" if word in YES else "false" if word in NO else None
        case "string_type":
            return quote(str(value).lower() if isinstance(value, bool) else str(value)) if _is_scalar(value) else None
        case "length":
            return _suggest_length(value)
        case "colour":
            return _suggest_colour(value)
        case "tuple_type":
            return _suggest_list(value, key)
        case "box" | "point" | "corners":
            return _suggest_numbers(value, {"box": 4, "point": 2}.get(kind))
        case "dict_type" | "model_type":
            return _suggest_entry(value, key)
        case "hidden" if key in ("content", "image", "file", "output", "weights", "masks"):
            path = "".join(f"/{ESCAPES[one]}" if one in ESCAPES else one for one in str(value))
            return None if HIDDEN.search(path) else quote(path)
    return None


def read_number(value: object) -> float | None:
    """Read a number that is written with a percent sign, a comma, a unit or as a fraction; None if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15:
        return float(value)
    text = str(value).strip().replace("−", "-") if isinstance(value, str) else ""
    text = FRACTIONS.get(text, text)
    if parts := re.fullmatch(r"(\d+)\s*/\s*([1-9]\d*)", text):
        return int(parts[1]) / int(parts[2])
    found = NUMBER.fullmatch(text)
    if not found:
        return None
    number = float(found[1].replace(",", "."))
    return number / 100 if found[2] else number


def write_value(value: object) -> str:
    """Write plain data as YAML on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{write_value(key)}: {write_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_value, value))}]"
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "null")
        return value if plain and not value.endswith(" ") else quote(value)
    return _write_number(float(value)) or "" if isinstance(value, float) else json.dumps(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float)


def _write_number(number: float | None) -> str | None:
    return None if number is None else f"{number:.10g}"


def read_mix(text: str, known: Collection[str]) -> str | None:
    """Write a mix of known names that is written in words: `ink, oil`, `ink 0.7 + oil 30%`; None if it is none."""
    if len(text) > LONGEST_MIX:
        return None
    parts = [part for part in re.split(r"\s*(?:[,;+&]|\band\b)\s*", text) if part]
    if len(parts) == 1 and all(word in known for word in text.split()):
        parts = text.split()
    if len(parts) == 1 and (weighed := re.findall(r"[^\s:=]+\s*[:=]\s*[\d.,]+%?", text)):
        parts = weighed
    mix = dict[str, object]()
    for part in parts:
        found = re.fullmatch(r"(?P<before>[\d.,]+%?)?[\s*x]*(?P<name>\D*?)[\s:=*]*(?P<after>[\d.,]+%?)?", part.strip())
        weight = read_number((found["before"] or found["after"]) if found else None)
        mix[found["name"].strip() if found else part] = 1 if weight is None else weight
    return write_value(mix) if len(parts) > 1 and all(name in known for name in mix) else None


def _suggest_integer(value: object, *, shares: bool) -> str | None:
    """Suggest a whole number; with `shares` one in per cent may be meant."""
    if isinstance(value, float) and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", str(value)):  # a point between thousands
        return str(value).replace(".", "")
    if shares and isinstance(value, str):
        value = value.replace("%", "")
    if isinstance(value, list) and value and all(isinstance(side, int) for side in value):
        return str(max(value))
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(?:[ ,.']\d{3})+", value):
        return re.sub(r"\D", "", value)
    if isinstance(value, str) and (sides := re.fullmatch(r"\s*(\d+)\s*[x×*,]\s*(\d+)\s*(?:px)?\s*", value)):
        return str(max(int(sides[1]), int(sides[2])))
    number = None if isinstance(value, str) and "%" in value else read_number(value)
    return str(int(number)) if number is not None and number.is_integer() else None


def _suggest_length(value: object) -> str | None:
    text = str(value).lower().replace("percent", "%").replace(",", ".").replace(" ", "")
    if found := re.fullmatch(r"(\d+\.?\d*|\.\d+)(%?)(?:px|pixels?)?", text):
        number = float(found[1])
        return f"{number:g}{found[2]}" if number <= (100 if found[2] else LARGEST) else None
    return None


def _suggest_colour(value: object) -> str | None:
    parts: Any = value if isinstance(value, list) else re.findall(r"\d+", str(value)) if "," in str(value) else []
    if len(parts) in (3, 4) and all(str(part).isdecimal() and int(part) <= 255 for part in parts):
        return quote("#{:02x}{:02x}{:02x}".format(*map(int, parts[:3])))
    text = str(value).strip().lower()
    if re.fullmatch(r"(?:0x|#)?(?:[0-9a-f]{3}|[0-9a-f]{6})", text) and (len(text) == 6 or not isinstance(value, int)):
        return quote(f"#{text.removeprefix('0x').removeprefix('#')}")
    close = get_close_matches(re.sub(r"[\s_-]", "", text), ImageColor.colormap, 1, 0.75)
    return close[0] if close else None


def _suggest_list(value: object, key: str) -> str | None:
    if key == "canvas":
        sides = re.findall(r"\d+", str(value))
        return f"[{sides[0]}, {sides[-1]}]" if len(sides) in (1, 2) else None
    if key == "regions":
        named = isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())
        return write_value([{"name": name, **entry} for name, entry in value.items()]) if named and value else None  # type: ignore[attr-defined]
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r"[,;]\s*", value) if part.strip()]
        numbers = [read_number(part) for part in parts]
        if all(number is not None for number in numbers) and key not in ("palette", "ignore"):
            return write_value(numbers)
        return write_value(parts) if key in ("palette", "ignore", *COMBINATIONS) else None
    return write_value([value]) if isinstance(value, int | float | dict) and not isinstance(value, bool) else None


def _suggest_numbers(value: object, count: int | None) -> str | None:
    parts = re.split(r"[,;\s]+", value.strip(" []()")) if isinstance(value, str) else value
    if not isinstance(parts, list):
        return None
    if count is None and len(parts) >= 6 and len(parts) % 2 == 0 and all(_is_scalar(part) for part in parts):
        return write_value([parts[at : at + 2] for at in range(0, len(parts), 2)])
    numbers = [read_number(part) for part in parts]
    if count != len(numbers) or any(number is None or abs(number) > MOST_FRACTION for number in numbers):
        return None
    return write_value(numbers)


def _suggest_entry(value: object, key: str) -> str | None:
    """Suggest keys with values for a list or a word."""
    parts = value if isinstance(value, list) else []
    if key == "gradient" and len(parts) == 2 and all(isinstance(part, list) for part in parts):
        return write_value({"from": parts[0], "to": parts[1]})
    if key in ("mask", "where") and len(parts) > 1:
        return write_value({"any": parts})
    if key in ("mask", "where") and parts:
        return write_value(parts[0])
    if parts and all(isinstance(part, dict) and len(part) == 1 for part in parts):
        return write_value({name: item for part in parts for name, item in part.items()})
    if parts and all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in parts):
        named = {part["name"]: {own: item for own, item in part.items() if own != "name"} for part in parts}
        short = {name: next(iter(held.values())) if len(held) == 1 else held for name, held in named.items()}
        return write_value(short) if all(named.values()) else None
    if parts and all(isinstance(part, list) and len(part) == 2 and isinstance(part[0], str) for part in parts):
        return write_value(dict(parts))
    if not parts or not all(isinstance(part, str) for part in parts):
        return None
    if key == "styles":
        return write_value({re.sub(r"\.\w+$", "", part.rsplit("/")[-1]): part for part in parts})
    return write_value(dict.fromkeys(parts, 1)) if key in ("style", "style_layers", "content_layers") else None
