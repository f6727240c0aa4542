"""Slips in a recipe: the error names the line, and its remedy, obeyed as it is written, mends the recipe."""

from __future__ import annotations

import re
import time
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command_server import write_images

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.types import Setting

FLOW = """\
content: photo.png
size: 64
styles: {ink: ink.png, oil: oil.png}
regions:
  - {name: ground, mask: rest, style: ink}
  - {name: sky, mask: {file: left.png, colour: '#ffffff'}, style: {ink: 0.7, oil: 0.3}}
strength: 2
"""
BLOCK = """\
content: photo.png
size: 64
styles:
  ink: ink.png
  oil: oil.png
regions:
  - name: ground
    mask: rest
    style: ink
  - name: sky
    mask:
      file: left.png
      colour: '#ffffff'
    style:
      ink: 0.7
      oil: 0.3
strength: 2
"""
SLIPS = {  # what is written instead of what, in which of the two
    "a Windows path in double quotes": (FLOW, "content: photo.png", 'content: ".\\photo.png"'),
    "a Windows path in double quotes that hides a line break": (FLOW, "ink: ink.png", 'ink: ".\\ink.png"'),
    "a Windows path that ends in a backslash": (BLOCK, "content: photo.png", 'content: "./photo.png\\"'),
    "a colour without quotes": (BLOCK, "'#ffffff'", "#ffffff"),
    "a colour without quotes, in braces": (FLOW, "'#ffffff'", "#ffffff"),
    "a short colour without quotes, in braces": (FLOW, "'#ffffff'", "#fff"),
    "commas as decimal signs": (FLOW, "{ink: 0.7, oil: 0.3}", "{ink: 0,7, oil: 0,3}"),
    "a comma as decimal sign": (BLOCK, "ink: 0.7", "ink: 0,7"),
    "a comma as decimal sign at the end": (FLOW, "strength: 2", "strength: 2,5"),
    "a percentage": (FLOW, "0.7", "70%"),
    "a percentage with a space": (BLOCK, "0.7", "70 %"),
    "a percentage with a comma": (BLOCK, "0.7", "70,5 %"),
    "a fraction": (BLOCK, "0.7", "1/2"),
    "a number in quotes": (BLOCK, "0.7", "'0.7'"),
    "a number with its unit": (BLOCK, "64", "64px"),
    "a number with a space and its unit": (BLOCK, "64", "64 px"),
    "a number with times": (BLOCK, "strength: 2", "strength: 2x"),
    "a size of both sides": (BLOCK, "64", "64x48"),
    "a size as a list": (BLOCK, "64", "[64, 48]"),
    "a size with a fraction": (BLOCK, "64", "64.0"),
    "no space after a colon": (BLOCK, "size: 64", "size:64"),
    "no space after the first colon": (BLOCK, "content: photo", "content:photo"),
    "no space after the last colon": (BLOCK, "strength: 2", "strength:2"),
    "no space after a colon in braces": (FLOW, "mask: rest", "mask:rest"),
    "no space after any colon in braces": (FLOW, "{name: ground, mask: rest, style: ink}", "{name:ground, mask:rest, style:ink}"),
    "no space after a dash": (FLOW, "- {name: ground", "-{name: ground"),
    "no space after a dash, in a block": (BLOCK, "- name: sky", "-name: sky"),
    "a space before the colon only": (BLOCK, "size: 64", "size :64"),
    "an equals sign": (BLOCK, "size: 64", "size = 64"),
    "an equals sign without spaces": (BLOCK, "    mask: rest", "    mask=rest"),
    "an equals sign in braces": (FLOW, "mask: rest", "mask = rest"),
    "a plus": (BLOCK, "size: 64", "size + 64"),
    "an arrow": (BLOCK, "size: 64", "size => 64"),
    "no colon": (BLOCK, "size: 64", "size 64"),
    "no colon after the first key": (BLOCK, "content: photo", "content photo"),
    "a semicolon for a colon": (BLOCK, "size: 64", "size; 64"),
    "tabs": (BLOCK, "  ink: ink.png\n  oil: oil.png", "\tink: ink.png\n\toil: oil.png"),
    "a tab": (BLOCK, "    mask: rest", "\tmask: rest"),
    "a tab in braces": (FLOW, "mask: rest", "\tmask: rest"),
    "a tab after a colon": (BLOCK, "size: 64", "size:\t64"),
    "a space that does not break": (BLOCK, "size: 64", "size:\u00a064"),
    "spaces that do not break, as indents": (BLOCK, "    mask: rest", "\u00a0\u00a0\u00a0\u00a0mask: rest"),
    "a letter of no width": (BLOCK, "content", "\u200bcontent"),
    "a letter of no width in a file's name": (BLOCK, "photo.png", "photo\u200b.png"),
    "an ideographic space": (BLOCK, "size: 64", "size:\u300064"),
    "a colon of full width": (BLOCK, "size: 64", "size：64"),
    "a comma of full width": (FLOW, "ground, ", "ground，"),
    "braces of full width": (FLOW, "{ink: ink.png, oil: oil.png}", "｛ink: ink.png, oil: oil.png｝"),
    "curly double quotes": (BLOCK, "photo.png", "“photo.png”"),
    "curly single quotes": (FLOW, "'#ffffff'", "‘#ffffff’"),
    "German quotes": (BLOCK, "photo.png", "„photo.png“"),
    "French quotes": (BLOCK, "photo.png", "«photo.png»"),
    "a dash of a word processor": (BLOCK, "- name: sky", "– name: sky"),
    "a bullet": (BLOCK, "- name: sky", "• name: sky"),
    "an asterisk": (BLOCK, "- name: sky", "* name: sky"),
    "a quote that is not closed": (BLOCK, "photo.png", '"photo.png'),
    "a quote that is not closed, in braces": (FLOW, "mask: rest", "mask: 'rest"),
    "a quote that is not opened": (BLOCK, "photo.png", 'photo.png"'),
    "a quote that is not closed, later": (BLOCK, "name: sky", "name: 'sky"),
    "an apostrophe in single quotes": (FLOW, "name: sky", "name: 'Ann's sky'"),
    "a brace that is not closed": (FLOW, "style: ink}", "style: ink"),
    "a brace that is not closed, in the last region": (FLOW, "oil: 0.3}}", "oil: 0.3}"),
    "a brace that is not closed, of styles": (FLOW, "oil.png}", "oil.png"),
    "an inner brace that is not closed": (FLOW, "'#ffffff'}", "'#ffffff'"),
    "a brace too many": (FLOW, "style: ink}", "style: ink}}"),
    "a bracket for a brace": (FLOW, "style: ink}", "style: ink]"),
    "a bracket that is not closed": (BLOCK, "strength: 2", "octaves: [1, 0.5"),
    "no comma in braces": (FLOW, "ground, mask", "ground mask"),
    "a semicolon for a comma": (FLOW, "ground, mask", "ground; mask"),
    "no comma at the end of a line": ('{\n  "content": "photo.png",\n  "style": "ink.png"\n}\n', '",\n', '"\n'),
    "comments of JSON": ('{\n  "content": "photo.png", # mine\n  "style": "ink.png"\n}\n', "#", "//"),
    "JSON with tabs": ('{\n  "content": "photo.png",\n  "style": "ink.png"\n}\n', "  ", "\t"),
    "no space before a comment": (BLOCK, "size: 64", "size: 64# px"),
    "a comment of a program": (BLOCK, "size: 64", "size: 64 // px"),
    "a comment line of a program": (BLOCK, "size: 64", "// small\nsize: 64"),
    "a comment with a semicolon": (BLOCK, "size: 64", "; small\nsize: 64"),
    "a colon in a value": (BLOCK, "name: sky", "name: sky: blue"),
    "a colon in a value, in braces": (FLOW, "name: sky", "name: sky: blue"),
    "a comma in a value, in braces": (FLOW, "name: ground", "name: ground, near"),
    "a number sign in a name": (BLOCK, "name: sky", "name: #1 sky"),
    "a percent sign first": (BLOCK, "name: sky", "name: %sky"),
    "an at sign first": (BLOCK, "name: sky", "name: @sky"),
    "a backtick first": (BLOCK, "name: sky", "name: `sky`"),
    "an asterisk first": (BLOCK, "name: sky", "name: *sky"),
    "an ampersand first": (BLOCK, "name: sky", "name: &sky"),
    "an exclamation mark first": (BLOCK, "name: sky", "name: !sky"),
    "a bar first": (BLOCK, "name: sky", "name: |sky"),
    "a greater-than sign first": (BLOCK, "name: sky", "name: >sky"),
    "a bracket first": (BLOCK, "name: sky", "name: [sky] blue"),
    "a brace first": (BLOCK, "name: sky", "name: {sky} blue"),
    "a quoted word first": (BLOCK, "name: sky", 'name: "sky" blue'),
    "a dash first": (BLOCK, "name: sky", "name: - sky"),
    "a name that is nothing": (BLOCK, "name: sky", "name: null"),
    "a tilde as a name": (BLOCK, "name: sky", "name: ~"),
    "a number as a name": (BLOCK, "name: sky", "name: 1"),
    "a number with an exponent as a name": (BLOCK, "name: sky", "name: 1e3"),
    "a number of 16s as a name": (FLOW, "name: sky", "name: 0x10"),
    "a flag as a name": (FLOW, "name: sky", "name: true"),
    "a flag in quotes": (BLOCK, "    style: ink", "    style: ink\n    keep: 'false'"),
    "y as a flag": (BLOCK, "    style: ink", "    style: ink\n    keep: y"),
    "1 as a flag": (BLOCK, "    style: ink", "    style: ink\n    keep: 1"),
    "two documents": (BLOCK, "size: 64", "---\nsize: 64"),
    "a fence of Markdown": (BLOCK, "strength: 2", "strength: 2\n```"),
    "a fence of Markdown first": (BLOCK, "content: photo.png", "```yaml\ncontent: photo.png"),
    "a list after its key": (BLOCK, "regions:\n  - name: ground", "regions: - name: ground"),
    "a space too many": (BLOCK, "    mask: rest", "     mask: rest"),
    "a space too few": (BLOCK, "    mask: rest", "   mask: rest"),
    "a key of a region one level out": (BLOCK, "    style: ink", "  style: ink"),
    "a key of a region at the top": (BLOCK, "    style: ink", "style: ink"),
    "a key of a mask one level out": (BLOCK, "      colour", "    colour"),
    "a style one level out": (BLOCK, "  oil: oil.png", "oil: oil.png"),
    "a key of the top one level in": (BLOCK, "strength: 2", "  strength: 2"),
    "a key of the top one level in, in the middle": (BLOCK, "size: 64", "  size: 64"),
    "a region one level in": (BLOCK, "  - name: sky", "    - name: sky"),
    "no dash": (BLOCK, "  - name: sky", "    name: sky"),
    "no dash, and less indented": (BLOCK, "  - name: sky", "  name: sky"),
    "a dash too many": (BLOCK, "    style: ink", "  - style: ink"),
    "capitals": (BLOCK, "content", "Content"),
    "all capitals": (BLOCK, "regions:", "REGIONS:"),
    "a singular": (BLOCK, "regions:", "region:"),
    "a singular of styles": (BLOCK, "styles:", "style:"),
    "a plural": (BLOCK, "    style: ink", "    styles: ink"),
    "a plural of a mask": (BLOCK, "    mask: rest", "    masks: rest"),
    "a misspelt key": (BLOCK, "content", "contnet"),
    "a misspelt key within": (BLOCK, "      colour", "      coluor"),
    "a misspelt needed key": (BLOCK, "    mask: rest", "    maks: rest"),
    "a key with a hyphen": (BLOCK, "strength: 2", "content-strength: 2"),
    "a key with a space": (BLOCK, "strength: 2", "content strength: 2"),
    "a key in camel case": (BLOCK, "strength: 2", "contentStrength: 2"),
    "a key as in settings": (BLOCK, "strength: 2", "solver.steps: 2"),
    "a key of the solver at the top": (BLOCK, "strength: 2", "steps: 20"),
    "a key of the encoder at the top": (BLOCK, "strength: 2", "weights: left.png"),
    "a misspelt style": (BLOCK, "    style: ink", "    style: inkk"),
    "capitals of a style": (FLOW, "style: ink}", "style: Ink}"),
    "a space after a style": (FLOW, "style: ink}", "style: 'ink '}"),
    "a mix as a list": (FLOW, "{ink: 0.7, oil: 0.3}", "[ink, oil]"),
    "a mix as a list of keys": (FLOW, "{ink: 0.7, oil: 0.3}", "[ink: 0.7, oil: 0.3]"),
    "a mix as words": (FLOW, "{ink: 0.7, oil: 0.3}", "'ink, oil'"),
    "a mix without braces": (BLOCK, "    style: ink", "    style: ink: 0.7, oil: 0.3"),
    "a file's other suffix": (BLOCK, "photo.png", "photo.jpg"),
    "capitals of a file": (BLOCK, "photo.png", "Photo.PNG"),
    "a misspelt file": (BLOCK, "photo.png", "phto.png"),
    "a file in another folder": (BLOCK, "photo.png", "pictures/photo.png"),
    "a backslash": (BLOCK, "photo.png", ".\\photo.png"),
    "a backslash in single quotes": (BLOCK, "photo.png", "'.\\photo.png'"),
    "a space after a file": (BLOCK, "photo.png", "'photo.png '"),
    "quotes within quotes": (BLOCK, "photo.png", "'\"photo.png\"'"),
    "a file's address": (BLOCK, "photo.png", "file:photo.png"),
    "a space written as in addresses": (BLOCK, "photo.png", "my%20photo.png"),
    "a pattern": (BLOCK, "photo.png", "phot*.png"),
    "a colour without its sign": (BLOCK, "'#ffffff'", "ffffff"),
    "a colour as numbers": (BLOCK, "'#ffffff'", "[255, 255, 255]"),
    "a colour as numbers in words": (BLOCK, "'#ffffff'", "255, 255, 255"),
    "a misspelt colour": (BLOCK, "'#ffffff'", "whit"),
    "one colour as a palette": (BLOCK, "strength: 2", "colour: {palette: red}"),
    "colours of a palette in words": (BLOCK, "strength: 2", "colour: {palette: 'red, blue'}"),
    "colours of a palette without quotes": (BLOCK, "strength: 2", "colour: {palette: [#ff0000, #00ff00]}"),
    "one octave": (BLOCK, "strength: 2", "octaves: 1"),
    "octaves in words": (BLOCK, "strength: 2", "octaves: 1, 0.5"),
    "a percentage in a shape": (BLOCK, "    mask: rest", "    mask: {rectangle: [0, 0, 50%, 1]}"),
    "a shape in words": (BLOCK, "    mask: rest", "    mask: {rectangle: '0, 0, 1, 1'}"),
    "px of a length": (BLOCK, "      colour: '#ffffff'", "      feather: 8px"),
    "a comma in a length": (BLOCK, "      colour: '#ffffff'", "      feather: 2,5%"),
    "a list of masks": (BLOCK, "    mask: rest", "    mask: [left.png, ink.png]"),
    "styles as a list": (FLOW, "{ink: ink.png, oil: oil.png}", "[ink: ink.png, oil: oil.png]"),
    "styles as a list of files": (FLOW, "{ink: ink.png, oil: oil.png}", "[ink.png, oil.png]"),
    "parentheses for a list": (BLOCK, "    mask: rest", "    mask: {rectangle: (0, 0, 1, 0.5)}"),
    "parentheses for keys": (FLOW, "{ink: 0.7, oil: 0.3}", "(ink: 0.7, oil: 0.3)"),
    "a colour as in CSS": (BLOCK, "strength: 2", "colour: {palette: [rgb(255, 0, 0), blue]}"),
    "a comma at the end": (BLOCK, "size: 64", "size: 64,"),
    "a semicolon at the end": (BLOCK, "content: photo.png", "content: photo.png;"),
    "a comma after a quoted text": (BLOCK, "content: photo.png", '"content": "photo.png",'),
    "no colon, and nothing after it": (BLOCK, "styles:", "styles"),
    "a comma as decimal sign in a list": (BLOCK, "    mask: rest", "    mask: {rectangle: [0, 0, 1, 0,5]}"),
    "a point between thousands": (BLOCK, "size: 64", "size: 1.024"),
    "the content as other tools call it": (BLOCK, "content: ", "content_image: "),
    "a region's name as other tools call it": (BLOCK, "- name: sky", "- id: sky"),
    "a style's file as other tools call it": (FLOW, "ink: ink.png", "ink: {path: ink.png}"),
    "a mask's file as other tools call it": (FLOW, "{file: left.png", "{path: left.png"),
    "a weight as other tools call it": (BLOCK, "strength: 2", "style_weight: 2"),
    "an encoder as papers write it": (BLOCK, "strength: 2", "save: {depth: 16bit}"),
    "a percentage of quality": (BLOCK, "strength: 2", "save: {quality: 90%}"),
    "rest in capitals": (BLOCK, "mask: rest", "mask: Rest"),
    "another word for rest": (BLOCK, "mask: rest", "mask: background"),
    "a mask that is not another": (BLOCK, "mask: rest", "mask: not left.png"),
    "an apostrophe in a name in single quotes": (BLOCK, "photo.png", "'Ann's photo.png'"),
    "a file with a number sign": (BLOCK, "photo.png", "photo #2.png"),
    "an escaped space": (BLOCK, "photo.png", "my\\ photo.png"),
    "weights with colons": (FLOW, "{ink: 0.7, oil: 0.3}", "ink:0.7 oil:0.3"),
    "weights as pairs": (FLOW, "{ink: 0.7, oil: 0.3}", "[[ink, 0.7], [oil, 0.3]]"),
}  # fmt: skip
EVERYWHERE = {  # recipes with one slip in several lines, and the right recipe
    "capitals": ("Content: photo.png\nStyle: ink.png\nSIZE: 64\n", "content: photo.png\nstyle: ink.png\nsize: 64\n"),
    "marks of a quotation": ("> content: photo.png\n> style: ink.png\n", "content: photo.png\nstyle: ink.png\n"),
    "numbers of lines": ("1  content: photo.png\n2  styles:\n3    ink: ink.png\n", " content: photo.png\n styles:\n   ink: ink.png\n"),
    "bullets": ("• content: photo.png\n• style: ink.png\n", "content: photo.png\nstyle: ink.png\n"),
    "commas at the ends": ("content: photo.png,\nstyle: ink.png,\nsize: 64,\n", "content: photo.png\nstyle: ink.png\nsize: 64\n"),
    "no dashes": (BLOCK.replace("  - name", "    name"), BLOCK),
    "a dash for every key": (BLOCK.split("regions")[0] + "regions:\n  - name: a\n  - mask: all\n  - style: ink\n", BLOCK.split("regions")[0] + "regions:\n  - name: a\n    mask: all\n    style: ink\n"),
    "German keys": ("inhalt: photo.png\nstil: ink.png\ngröße: 64\n", "content: photo.png\nstyle: ink.png\nsize: 64\n"),
    "styles forgotten": (BLOCK.replace("styles:\n  ink: ink.png\n  oil: oil.png", "ink: ink.png\noil: oil.png"), BLOCK),
}  # fmt: skip
WRITE = re.compile(r"write (?:one file, such as )?`(.+?)`(?: instead of `(.+?)`|, and below it `(.*)`)?(?:[;,] .*)?$")
VALUE = r"""(?:\{[^{}]*\}|\[(?:[^][]|\[[^][]*\])*\]|'[^']*'|"[^"]*"|[^{},\n]*?)(?=\s*(?:[,}\n]|$))"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one folder of images for all tests, which only write recipes into it."""
    folder = write_images(tmp_path_factory.mktemp("project"))
    for name, copied in (("oil", "ink"), ("my photo", "photo"), ("photo #2", "photo"), ("Ann's photo", "photo")):
        (folder / f"{name}.png").write_bytes((folder / f"{copied}.png").read_bytes())
    (folder / "recipe.yaml").write_text("content: photo.png\nstyle: ink.png\n")
    return folder


def read(file: Path, text: str) -> list[Problem]:
    file.write_text(text, encoding="utf-8")
    try:
        return read_recipe(file).document.problems
    except GuidedStyleError as error:
        return list(error.problems)


def find_line(problem: Problem) -> int:
    return int(re.findall(r":(\d+)", problem.place.split(": ")[0])[-1]) - 1


def obey(problem: Problem, text: str) -> str:
    """Do what a remedy says, as it is written."""
    lines, number = text.split("\n"), find_line(problem)
    line = lines[number]
    if "remove this line" in problem.remedy:
        lines[number] = ""
    elif found := re.search(r"indent it by (\d+) space", problem.remedy):
        also = re.search(r"; likewise lines? ([\d, ]+)$", problem.remedy)
        shift = int(found[1]) - (len(line) - len(line.lstrip()))
        for at in (number, *(int(at) - 1 for at in (also[1].split(", ") if also else ()))):
            spaces = len(lines[at]) - len(lines[at].lstrip())
            lines[at] = " " * (spaces + shift) + lines[at].lstrip()
    elif found := re.search(r"did you mean `(.*)`\?", problem.remedy):
        lines[number] = write(line, problem, found[1], "", "")
    elif found := re.search(r"did you mean '(.*)'\?$", problem.remedy):
        lines[number] = line.replace(re.findall(r"no key '(.*)' here", problem.rule)[0], found[1], 1)
    else:
        lines[number] = write(line, problem, *WRITE.findall(problem.remedy)[0])
    return "\n".join(lines)


def write(line: str, problem: Problem, new: str, old: str, below: str) -> str:
    """Write what a remedy says instead of what it names, or of the value of the key, or of the file or style."""
    if below:
        return f"{new}\n{below}"
    if old:
        plain = re.sub(r"<U\+(....)>", lambda found: chr(int(found[1], 16)), old)
        assert plain in line
        return line.replace(plain, new, 1)
    if key := re.match(r"(\w+): ", new):
        value = VALUE if "{" in line.split(key[1])[0] or ": {" in line or ": [" in line else ".*"
        return re.sub(rf"\b{key[1]}: *{value}", lambda _: new, line, count=1)
    named = re.findall(r"there is no (?:file|style) ['\"]?(.*?)['\"]?$", problem.rule)[0]
    return re.sub(rf"(['\"]*){re.escape(named)}\1", lambda _: new, line, count=1)


def find_lines(old: str, new: str) -> set[int]:
    """Find the lines in which two texts differ, and the next one."""
    pairs = enumerate(zip_longest(old.split("\n"), new.split("\n")))
    first = next(number for number, (one, other) in pairs if one != other)
    return {first, first + 1}


@pytest.mark.parametrize("slip", SLIPS)
def test_the_remedy_of_a_slip_mends_it(project: Path, monkeypatch: pytest.MonkeyPatch, slip: str) -> None:
    monkeypatch.chdir(project)
    good, right, wrong = SLIPS[slip]
    text = good.replace(right, wrong)
    assert read(Path("a.yaml"), good) == []
    (problem,) = read(Path("a.yaml"), text)
    assert find_line(problem) in find_lines(good, text), problem
    mended = obey(problem, text)
    assert read(Path("a.yaml"), mended) == [], (problem, mended)


HEAD = "content: photo.png\n"
STYLES = "styles: {ink: ink.png, oil: oil.png}\n"
REGION = "regions:\n  - {name: a, mask: rest, style: %s}\n"
BOTH = REGION % "{ink: 1, oil: 1}"


@pytest.mark.parametrize("slip", EVERYWHERE)
def test_the_same_slip_in_several_lines_is_one_error(project: Path, monkeypatch: pytest.MonkeyPatch, slip: str) -> None:
    """It names all of them: rewritten like the first, the recipe is the right one."""
    monkeypatch.chdir(project)
    wrong, right = EVERYWHERE[slip]
    (problem,) = read(Path("a.yaml"), wrong)
    also = re.search(r"likewise lines? ([\d, ]+)", problem.remedy)
    assert also
    named = {find_line(problem), *(int(number) - 1 for number in also[1].split(", "))}
    new = right.replace("styles:\n", "") if slip == "styles forgotten" else right  # which is above the first
    differing = {at for at, pair in enumerate(zip_longest(wrong.split("\n"), new.split("\n"))) if pair[0] != pair[1]}
    assert named == differing or (slip == "no dashes" and named < differing)  # here the lines keep their indent
    assert read(Path("a.yaml"), right) == []


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("content: photo.png\nstyle: ink.png\nstyles: {style: oil.png}\n", ["no region uses the style 'style'"]),
        ("content: photo.png\nstyle: ink.png\noctaves: [1, 0,5]\n", ["0,5 is read as two numbers"]),
        ("content: photo.png\nstyle: ink.png\noctaves: [1,0,5]\n", []),
        (
            HEAD + STYLES + REGION.replace("rest", "{rectangle: [0, 0, 9, 4]}") % "{ink: 1, oil: 1}",
            ["beyond the image"],
        ),
        (HEAD + STYLES + REGION.replace("rest", "{rectangle: [0, 0, 1.5, 4]}") % "{ink: 1, oil: 1}", []),
    ],
)
def test_what_may_be_meant_otherwise_is_a_warning(project: Path, text: str, rules: list[str]) -> None:
    (project / "a.yaml").write_text(text, encoding="utf-8")
    document = read_recipe(project / "a.yaml").document
    assert document.problems == []
    assert len(document.warnings) == len(rules)
    assert all(rule in warning for rule, warning in zip(rules, document.warnings, strict=True))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("regions.a.mask={file:left.png}", "write `{file: left.png}`"),
        ("colour={palette: [#ff0000]}", "write `{palette: ['#ff0000']}`"),
        ("regions.A.strength=2", "write a, of a"),
        ("steps=5", "write it under solver: `solver.steps=5`"),
    ],
)
def test_the_remedy_of_a_wrong_setting(project: Path, setting: str, expected: str) -> None:
    (project / "b.yaml").write_text(HEAD + STYLES + BOTH)
    with pytest.raises(GuidedStyleError) as caught:
        load_recipe(project / "b.yaml", [parse_setting(setting)])
    assert expected in caught.value.problems[0].remedy


def test_a_setting_may_name_a_region_as_errors_do(project: Path) -> None:
    (project / "b.yaml").write_text(HEAD + STYLES + BOTH)
    assert load_recipe(project / "b.yaml", [parse_setting("regions[0].strength=2")]).regions[0].strength == 2


TOLD = {  # the recipe, and the error with a remedy of several steps, or that asks for what only the user knows
    "styles forgotten": (HEAD + REGION % "ink", "a.yaml:3: regions[0].style.ink: there is no style 'ink' | add the line `styles: {ink: ink.png}`"),
    "styles forgotten, of no file": (HEAD + REGION % "inc", "a.yaml:3: regions[0].style.inc: there is no style 'inc' | add the line `styles: {inc: IMAGE}`, with a style image's file for IMAGE"),
    "styles forgotten, a mix": (HEAD + REGION % "{ink: 1, oil: 1}", "a.yaml:3: regions[0].style.ink: there is no style 'ink' | add the line `styles: {ink: ink.png, oil: oil.png}`"),
    "a file in a region": (HEAD + REGION % "ink.png", "a.yaml:3: regions[0].style.ink.png: there is no style 'ink.png' | give the file a name under styles, `styles: {ink: ink.png}`, and write `style: ink` here"),
    "the file of a style in a region": (HEAD + STYLES + REGION % "ink.png", "a.yaml:4: regions[0].style.ink.png: there is no style 'ink.png' | a region names a style, not its file: write `style: ink`"),
    "no line styles": (HEAD + "  ink: ink.png\n  oil: oil.png\n" + BOTH, "a.yaml:2: this is not YAML: mapping values are not allowed here | style images stand under styles: write `styles:`, and below it `  ink: ink.png`"),
    "a style at the top": (HEAD + "ink: ink.png\n" + REGION % "ink", "a.yaml:2: ink: there is no key 'ink' here | style images stand under styles: write `styles: {ink: ink.png}` instead of `ink: ink.png`"),
    "a mix with weights, in words": (HEAD + STYLES + "regions:\n  - name: a\n    mask: rest\n    style: ink 0.7 + oil 30%\n", "a.yaml:6: regions[0].style.ink 0.7 + oil 30%: there is no style 'ink 0.7 + oil 30%' | several styles are a mix: write `style: {ink: 0.7, oil: 0.3}`"),
    "regions by name": (HEAD + STYLES + "regions: {sky: {mask: rest, style: ink}}\n", "a.yaml:3: regions: {'sky': {'mask': 'rest', 'style': 'ink'}} is not valid | regions must be a list: write `regions: [{name: sky, mask: rest, style: ink}]`"),
    "two slips in two lines": ("content photo.png\nsize:64\nstyle: ink.png\n", "a.yaml:1: this is not YAML: mapping values are not allowed here | a colon is missing after the key: write `content: photo.png` instead of `content photo.png`; then line 2: a space is missing after the colon: write `size: 64` instead of `size:64`"),
    "equals signs everywhere": ("content = photo.png\nstyle = ink.png\nsize = 64\n", "a.yaml:1: it contains no keys | a colon and a space stand between a key and its value: write `content: photo.png` instead of `content = photo.png`; likewise lines 2, 3"),
    "curly quotes everywhere": ("content: “photo.png”\nstyle: “ink.png”\n", "a.yaml:1: content: there is no file “photo.png” | curly quotes are letters in YAML: straight ones are quotes: write `content: 'photo.png'` instead of `content: “photo.png”`; likewise line 2"),
    "a path that hides a line break": (HEAD + 'style: "sub\\new.png"\n', "a.yaml:2: styles.style.image: 'sub\\new.png' is not valid | image must be text without control characters: write `style: 'sub/new.png'`"),
    "a key twice": (HEAD + "style: ink.png\nsize: 64\n\nsize: 64\n", "a.yaml:5: size: this key appears twice | remove one; the other is in line 3"),
    "an address": ("content: https://example.org/photo.jpg\nstyle: ink.png\n", "a.yaml:1: content: web addresses are not supported | download the image, and write the name of its file"),
    "a variable": ("content: $HOME/portrait.jpg\nstyle: ink.png\n", "a.yaml:1: content: there is no file $HOME/portrait.jpg | write the path itself: variables of the system are not read in recipes"),
    "a key of a recipe in a region": (HEAD + STYLES + BOTH.replace("rest", "rest, size: 64"), "; size is a key of a recipe"),
    "a key of a region at the top": (HEAD + STYLES + "border: 3\n" + BOTH, "; border is a key of a region"),
    "a list of weights": (HEAD + STYLES + REGION % "[0.7, 0.3]", "style must be keys with values, such as {ink: 0.7, oil: 0.3}"),
    "a gradient as a list": (HEAD + STYLES + BOTH.replace("rest", "{gradient: [[0, 0], [1, 0]]}"), "write `gradient: {from: [0, 0], to: [1, 0]}`"),
    "a polygon without corners": (HEAD + STYLES + BOTH.replace("rest", "{polygon: [0, 0, 1, 0, 1, 1]}"), "write `polygon: [[0, 0], [1, 0], [1, 1]]`"),
    "a colour of figures without its sign": (HEAD + "style: ink.png\ncolour: {palette: [112233]}\n", "write `'#112233'`"),
    "layers as papers call them": (HEAD + "style: ink.png\ncontent_layers: conv3_1\n", "write `relu3_1`"),
    "layers in words": (HEAD + "style: ink.png\nstyle_layers: relu1_1, relu2_1\n", "write `[relu1_1, relu2_1]`"),
    "the name of a colour as colour": (HEAD + "style: ink.png\ncolour: gold\n", "write `colour: {palette: [gold]}`"),
    "a region that stays, in words": (HEAD + STYLES + BOTH + "  - {name: b, mask: left.png, style: none}\n", "write `keep: true` instead of style"),
    "a style that is left empty": (HEAD + STYLES + BOTH + "  - {name: b, mask: left.png, style: }\n", "give it the name of a style, or write keep: true instead"),
    "files in a mix": (HEAD + "style: {ink.png: 1, oil.png: 2}\n", "add the line `styles: {ink: ink.png, oil: oil.png}`, and write `oil` instead of `oil.png`"),
    "styles with names in a list": (HEAD + "styles: [{name: ink, image: ink.png}]\n", "write `styles: {ink: ink.png}`"),
    "a mix in words at the top": (HEAD + STYLES + "style: ink + oil\n", "write `style: {ink: 1, oil: 1}`"),
    "a region at the top": (HEAD + STYLES + "sky: {mask: all, style: ink}\n", "`- {name: sky, mask: all, style: ink}`"),
    "a flag in a recipe": (HEAD + "style: ink.png\ndevice: cuda\n", "remove it, and give the command --device"),
    "a solver of other tools": (HEAD + "style: ink.png\noptimizer: lbfgs\n", "write it under solver: `solver: {method: lbfgs}`"),
    "two entries of a solver": (HEAD + "style: ink.png\nsolver: {steps: 2}\nsolver: {seed: 1}\n", "write all of its keys under one solver; the other is in line 3"),
    "XML": ("<recipe><content>photo.png</content></recipe>\n", "a.yaml: this is XML, not a recipe"),
    "thousands": (HEAD + "style: ink.png\nsize: 1,024\n", "write `size: 1024`"),
}  # fmt: skip


@pytest.mark.parametrize("slip", TOLD)
def test_the_remedy_of_a_slip_is_told_in_full(project: Path, monkeypatch: pytest.MonkeyPatch, slip: str) -> None:
    monkeypatch.chdir(project)
    text, expected = TOLD[slip]
    found = [f"{problem.place}: {problem.rule} | {problem.remedy}" for problem in read(Path("a.yaml"), text)]
    assert any(expected in problem for problem in found), found


def test_a_windows_path_is_told_apart_from_a_missing_file(project: Path) -> None:
    (problem,) = read(project / "a.yaml", "content: C:\\pics\\photo.jpg\nstyle: ink.png\n")
    assert problem.remedy == "this is a path of Windows; write the path that the file has on this machine"


def test_a_file_of_the_home_folder_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    (project / "deep").mkdir()
    (problem,) = read(project / "deep" / "a.yaml", "content: ~/photo.png\nstyle: ../ink.png\n")
    assert problem.remedy == "write `../photo.png`"


@pytest.mark.parametrize(
    "value", ["gibberish", "-1", ".nan", "[a, 2]", "{a: 1}", "'4 boats'", "1:30", "2024-01-01", "true", "50%"]
)
def test_nothing_is_suggested_where_nothing_can_be_meant(project: Path, value: str) -> None:
    (problem,) = read(project / "a.yaml", f"{HEAD}style: ink.png\nsolver: {{sizes: {value}}}\n")
    assert "`" not in problem.remedy


def test_a_value_that_is_only_too_large_gets_no_other_key(project: Path) -> None:
    """colour_strength: 2 would be valid as content_strength."""
    (problem,) = read(project / "a.yaml", f"{HEAD}style: ink.png\ncolour_strength: 2\n")
    assert problem.remedy == "colour_strength must be at most 1"


def test_many_slips_in_a_long_recipe_are_reported_soon(project: Path) -> None:
    regions = "".join(f"  - {{nmae: r{index}, mask: left.jpg, style: {{ink: 70%}}}}\n" for index in range(60))
    began = time.process_time()
    found = read(project / "a.yaml", f"{HEAD}{STYLES}regions:\n{regions}")
    assert time.process_time() - began < 5
    assert len(found) >= 60


def test_a_setting_has_the_same_advice(project: Path) -> None:
    """Without lines of a file."""
    with pytest.raises(GuidedStyleError) as caught:
        load_recipe(project / "recipe.yaml", [Setting("size", "256px", "here"), Setting("strength", "50 %", "there")])
    assert [str(problem).replace("\n    ", " | ") for problem in caught.value.problems] == [
        "there: strength: '50 %' is not valid | strength must be a number: write `strength: 0.5`",
        "here: size: '256px' is not valid | size must be a whole number: write `size: 256`",
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.sampled_from([FLOW, BLOCK]),
    where=st.floats(0, 1, exclude_max=True),
    letter=st.sampled_from(["", *" :-{}[],'\"#\t=*&!|>%@`\\\u00a0”"]),
    keep=st.booleans(),
)
def test_any_letter_may_be_wrong(project: Path, text: str, where: float, letter: str, keep: bool) -> None:
    """A letter is replaced, inserted or left out: no crash, and a remedy that rewrites a line makes things better."""
    at = int(where * len(text))
    wrong = text[:at] + letter + text[at + (not keep) :]
    for problem in read(project / "a.yaml", wrong):
        assert problem.remedy
        if "instead of `" in problem.remedy and "; then" not in problem.remedy and "likewise" not in problem.remedy:
            assert problem not in read(project / "a.yaml", obey(problem, wrong))
            return
