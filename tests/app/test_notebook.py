"""Notebooks: a bar and the image so far while a render runs, short texts and tables for recipes and checks."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import guidedstyle
from guidedstyle.app.notebook import choose_reporter, is_notebook
from guidedstyle.errors import GuidedStyleError
from guidedstyle.run.reporter import SILENT

DATA = """\
import numpy as np, guidedstyle
from PIL import Image
photo = np.asarray(Image.open("photo.png"))
region = {"name": "sky <b>", "mask": photo[..., 0] > 128, "style": "ink"}
data = {"content": photo, "styles": {"ink": "ink.png"}, "regions": [region], "solver": {"steps": 6}}
recipe = guidedstyle.load_recipe(data)
"""
CELLS = (
    DATA + "recipe",
    "guidedstyle.check(recipe)",
    "result = guidedstyle.render(recipe, device='cpu'); result",
    "silent = guidedstyle.render(recipe, device='cpu', reporter=guidedstyle.SilentReporter())",
)


@pytest.mark.slow
def test_a_notebook_shows_a_bar_the_image_so_far_and_the_result(project: Path) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(project)}}).execute()
    recipe, check, render, silent = ([output.get("data", {}) for output in cell.outputs] for cell in book.cells)
    assert "sky &lt;b&gt;" in recipe[0]["text/html"] and recipe[0]["text/plain"].startswith("<recipe of array:sha256:")
    assert "is in no region" in check[0]["text/html"]
    assert "warning: " in render[0]["text/plain"]
    (bar,) = (data["text/html"] for data in render if "<progress" in data.get("text/html", ""))
    assert "value='6' max='6'" in bar and "6 of 6 steps done" in bar
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(bar.split("base64,")[1].split("'")[0]))), float)
    final = np.asarray(Image.open(io.BytesIO(base64.b64decode(render[-1]["image/png"]))), float)
    assert shown.shape == final.shape and np.abs(shown - final).mean() < 12  # of JPEG and one step
    assert not silent


def test_elsewhere_nothing_is_shown(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own = guidedstyle.SilentReporter()
    assert not is_notebook() and choose_reporter(None) is SILENT and choose_reporter(own) is own
    guidedstyle.render(
        {"content": str(project / "photo.png"), "style": str(project / "ink.png"), "solver": {"steps": 1}}
    )
    assert capfd.readouterr() == ("", "")


def test_without_ipython_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(GuidedStyleError, match=r"IPython is not installed\n.*pip install ipython"):
        guidedstyle.NotebookReporter()


def test_recipes_and_checks_have_short_texts_and_escaped_tables(project: Path) -> None:
    text = (project / "recipe.yaml").read_text().replace("name: left", "name: '<script>&'")
    (project / "recipe.yaml").write_text(text.replace("ink.png", "'<i>.png'", 1))
    (project / "<i>.png").write_bytes((project / "ink.png").read_bytes())
    recipe = guidedstyle.load_recipe(project / "recipe.yaml")
    check = guidedstyle.check(recipe)
    assert (
        repr(recipe) == str(recipe) == f"<recipe of {project / 'photo.png'}: regions right, <script>&; styles ink, oil>"
    )
    assert repr(check).startswith("<96 x 64 px: right 50.0%, <script>& 50.0%; warnings: ")
    for html in (recipe._repr_html_(), check._repr_html_()):
        assert "&lt;script&gt;&amp;" in html and "0.75 oil + 0.25 ink" in html
        assert "<script>" not in html and "<i>" not in html
    texture = guidedstyle.load_recipe({"canvas": [64, 48], "style": str(project / "ink.png")})
    assert repr(texture).startswith("<recipe of canvas of 64 x 48 px: regions picture")
    small = {"content": str(project / "photo.png"), "styles": {"<em>": np.zeros((16, 16, 3))}}
    warned = guidedstyle.check(small | {"size": 256})
    assert "style <em> is enlarged" in str(warned.warnings) and "style &lt;em&gt; is enlarged" in warned._repr_html_()
