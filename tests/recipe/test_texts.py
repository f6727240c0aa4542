"""Files of recipes: every encoding that editors save, and files that are no text."""

from __future__ import annotations

import codecs
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from support.command_server import CommandServer

from guidedstyle.errors import GuidedStyleError, Problem
from guidedstyle.recipe.loading.loader import load_recipe

TEXT = "# für Zoë 한\ncontent: photo.png\nstyle: ink.png\nsolver: {steps: 7}\n"
REMEDY = "save the recipe as UTF-8 text; in the encoding of Windows this line reads `content: phötö.png`"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_recipe_in_an_encoding_with_its_mark(project: Path, encoding: str, mark: bytes, end: str) -> None:
    (project / "a.yaml").write_bytes(mark + TEXT.replace("\n", end).encode(encoding))
    assert load_recipe(project / "a.yaml").solver.steps == 7


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_plain_recipe_in_utf_16_without_a_mark(project: Path, encoding: str) -> None:
    (project / "a.yaml").write_bytes("content: photo.png\nstyle: ink.png\n".encode(encoding))
    assert load_recipe(project / "a.yaml").content == project / "photo.png"


def refuse(file: Path) -> Problem:
    with pytest.raises(GuidedStyleError) as caught:
        load_recipe(file)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_that_is_in_another_encoding_is_shown(project: Path, encoding: str, end: str) -> None:
    (project / "a.yaml").write_bytes(f"style: ink.png{end}content: phötö.png{end}".encode(encoding))
    problem = refuse(project / "a.yaml")
    assert problem.place == f"{project / 'a.yaml'}:2"
    assert (problem.rule, problem.remedy) == ("it is not UTF-8 text: byte 0xF6", REMEDY)


def write_docx(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")


STARTS = {
    "an old Word document": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "word processor"),
    "rich text": (rb"{\rtf1\ansi content: photo.png}", "word processor"),
    "a PDF": (b"%PDF-1.7\n", "a PDF"),
    "a web page": (b"\n<!DOCTYPE html><html>", "a web page"),
    "a packed file": (b"\x1f\x8b\x08" + bytes(50), "a packed file"),
    "random bytes": (bytes(range(256)), "not UTF-8 text"),
}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("suffix", ["yaml", "txt"])
def test_a_file_that_is_no_text_is_called_what_it_is(project: Path, kind: str, suffix: str) -> None:
    content, what = STARTS[kind]
    (project / f"a.{suffix}").write_bytes(content)
    problem = refuse(project / f"a.{suffix}")
    assert what in problem.rule
    assert "UTF-8 text" in problem.remedy


def test_a_word_document_is_called_so(project: Path) -> None:
    write_docx(project / "a.yaml")
    assert refuse(project / "a.yaml").rule == "this is a zipped document, such as .docx or .odt, not a recipe"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"])
def test_an_image_with_the_name_of_a_recipe_is_called_so(project: Path, kind: str) -> None:
    Image.new("RGB", (9, 9)).save(project / "a.yaml", kind)
    problem = refuse(project / "a.yaml")
    assert problem.rule == "this is an image, not a recipe"
    assert "--content" in problem.remedy


def test_a_folder_is_not_a_recipe(server: CommandServer, project: Path) -> None:
    (problem,) = server.refuse(project, "check", ".")
    assert "this is a folder, not a recipe\n    give a recipe in it, such as recipe.yaml" in problem
    (project / "empty").mkdir()
    (problem,) = server.refuse(project, "check", "empty")
    assert "this is a folder, not a recipe\n    give the path of a recipe (.yaml)" in problem
