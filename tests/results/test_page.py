"""The report page in a real browser: its content, that it is accessible, and that it loads nothing else."""

from __future__ import annotations

import base64
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

import guidedstyle
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Update, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.writing import to_pillow
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.results.page import write_page
from guidedstyle.results.plots import DASHES, Curve, make_legible, measure_palette, plot_curves
from guidedstyle.results.record import identify_recipe
from guidedstyle.results.result import Result
from guidedstyle.results.sheets import TINTS
from guidedstyle.scene.opening import open_scene
from guidedstyle.types import Array

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (apt-get install chromium)")
SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
on_every_screen = pytest.mark.parametrize(("width", "scheme"), SCREENS)

SCRIPT = "<script>alert('region')</script>"
IMAGE = '"><img src=http://127.0.0.1:9/ onerror=alert(1)>'
NOTE = "<b>bold</b> & $x$ {{ 7 * 7 }}"


@dataclass(frozen=True)
class Report:
    """A report, its file, and its result."""

    html: str
    file: Path
    result: Result


def report_on(recipe: dict[str, Any], folder: Path, watch: Callable[[Update], bool] = lambda update: True) -> Report:
    """Render a recipe and write the report."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    scene = open_scene(read_recipe(folder / "recipe.yaml"))
    encoder = load_encoder(scene.recipe.encoder)
    rendering = render(scene, encoder, make_plan(scene, encoder), on_update=watch)
    result = Result(scene, rendering, notes=(NOTE,), identity=identify_recipe(scene.recipe))
    html = write_page(result)
    (folder / "report.html").write_text(html)
    return Report(html, folder / "report.html", result)


def find_image(name: str) -> str:
    return str(ROOT / "recipes" / "images" / name)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Report on the harbour, with names that attempt an injection, a kept region, and a masked style image."""
    recipe = {
        "content": find_image("harbour.jpg"),
        "size": 256,
        "solver": {"steps": 6},
        "styles": {
            IMAGE: find_image("strokes.jpg"),
            "glaze": {"image": find_image("tiles.jpg"), "mask": find_image("tiles_glazed.png"), "scale": 0.8},
        },
        "regions": [
            {"name": "land", "mask": "rest", "style": "glaze", "smoothness": 0.5},
            {"name": SCRIPT, "mask": str(ROOT / "masks" / "harbour_sky.png"), "style": IMAGE},
            {"name": "sea", "mask": str(ROOT / "masks" / "harbour_sea.png"), "style": {"glaze": 0.6, IMAGE: 0.4}},
            {"name": "boat", "mask": str(ROOT / "masks" / "harbour_boat.png"), "keep": True},
        ],
    }
    return report_on(recipe, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Browser, file: Path, width: int = 1280, scheme: str = "light", **options: Any) -> Iterator[Page]:
    """Open a file; the page must request nothing else and write nothing to the console."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options)
    page, said, asked = context.new_page(), list[str](), set[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.add(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


@needs_chromium
@on_every_screen
def test_the_page_fits_the_screen_and_logs_nothing(report: Report, browser: Browser, width: int, scheme: str) -> None:
    with opened(browser, report.file, width, scheme) as page:
        assert page.title() == "recipe.png"
        page.locator("details").evaluate("part => part.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        unfinished = "[...document.images].filter(image => !image.naturalWidth).length"
        assert (page.locator("img").count(), page.evaluate(unfinished)) == (5, 0)
        dark = (
            np.mean([int(part) for part in re.findall(r"\d+", style_of(page.locator("body"), "backgroundColor"))]) < 128
        )
        assert dark == (scheme == "dark")


@needs_chromium
@on_every_screen
def test_axe_finds_no_violations(report: Report, browser: Browser, width: int, scheme: str) -> None:
    with opened(browser, report.file, width, scheme) as page:
        found = Axe().run(page).response
        assert len(found["passes"]) > 20
        violations = {found["id"]: found["nodes"] for found in found["violations"]}
        assert violations == {}


def style_of(part: Locator, name: str) -> str:
    return str(part.evaluate(f"part => getComputedStyle(part).{name}"))


def drag_by_mouse(page: Page, left: float, middle: float, target: float) -> None:
    page.mouse.move(left, middle)
    page.mouse.down()
    page.mouse.move(target, middle, steps=5)
    page.mouse.up()


def drag_by_touch(page: Page, left: float, middle: float, target: float) -> None:
    session = page.context.new_cdp_session(page)
    for kind, x in (("Start", left), ("Move", (left + target) / 2), ("Move", target), ("End", None)):
        points = [] if x is None else [{"x": x, "y": middle}]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def press_arrows(page: Page, left: float, middle: float, target: float) -> None:
    while page.evaluate("document.activeElement.type") != "range":
        page.keyboard.press("Tab")
    for _ in range(25):
        page.keyboard.press("ArrowLeft")


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("move", [drag_by_mouse, drag_by_touch, press_arrows])
def test_the_slider_moves_the_line_between_content_image_and_result(
    report: Report, browser: Browser, move: Callable[[Page, float, float, float], None], width: int
) -> None:
    """With the line at a quarter, the content image is left of it and the result right of it."""
    with opened(browser, report.file, width, has_touch=move is drag_by_touch) as page:
        comparison = page.locator(".comparison")
        comparison.scroll_into_view_if_needed()
        box = comparison.bounding_box()
        assert box is not None
        middle, edge = box["y"] + box["height"] / 2, box["x"]
        move(page, edge + box["width"] / 2, middle, edge + box["width"] / 4)
        assert abs(float(page.locator("#split").input_value()) - 25) < 1
        assert page.locator("#split").get_attribute("aria-valuetext") == "25% content image"
        seen = Image.open(io.BytesIO(comparison.screenshot())).convert("RGB")
        before, after = (to_pillow(image) for image in (report.result.scene.content, report.result.rendering.image))
        assert differ(seen, before, 0.02, 0.22) < differ(seen, after, 0.02, 0.22) / 3
        assert differ(seen, after, 0.28, 0.48) < differ(seen, before, 0.28, 0.48) / 3


def differ(seen: Image.Image, expected: Image.Image, left: float, right: float) -> float:
    """Measure the mean difference of two images between two columns (shares of the width), above handle and labels."""
    one, other = (np.asarray(image.resize((200, 133)), float) for image in (seen, expected))
    columns = slice(round(200 * left), round(200 * right))
    return float(np.abs(one - other)[5:45, columns].mean())


@needs_chromium
def test_keyboard_focus_is_visible(report: Report, browser: Browser) -> None:
    with opened(browser, report.file) as page:
        seen, focused = set(), 0
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "split":
                outline = page.locator(".comparison").evaluate("part => getComputedStyle(part, '::after').outlineStyle")
            else:
                outline = style_of(page.locator(":focus"), "outlineStyle") if page.locator(":focus").count() else None
            if outline is None:
                break
            seen.add(outline)
            focused += 1
        assert (seen, focused) == ({"solid"}, 6 + 1 + 3 + 3)  # links, slider, tables, then button, recipe and details


@needs_chromium
@pytest.mark.parametrize("clipboard", [True, False])
def test_the_button_copies_the_rendered_recipe(report: Report, browser: Browser, clipboard: bool) -> None:
    with opened(browser, report.file) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.evaluate("navigator.clipboard.writeText('nothing')")
        if not clipboard:  # as in browsers that forbid it for local files
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.get_by_role("button", name="Copy the recipe").click()
        page.get_by_role("status").get_by_text("Copied.").wait_for()
        page.evaluate("document.body.append(document.createElement('textarea'))")
        page.locator("textarea").press("Control+v")
        pasted = page.locator("textarea").input_value()
    file = report.file.with_name("pasted.yaml")
    file.write_text(pasted)
    precision = name_precision(report.result.rendering.plan.precision)
    assert load_recipe(file) == report.result.scene.recipe.resolve(precision)


@needs_chromium
def test_headings_landmarks_and_rows_have_names_for_screen_readers(report: Report, browser: Browser) -> None:
    with opened(browser, report.file) as page:
        tags = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("all => all.map(one => one.tagName)")
        levels = [int(tag[1]) for tag in tags]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for role in ("banner", "main", "contentinfo", "navigation"):
            assert page.get_by_role(role).count() == 1, role  # type: ignore[arg-type]
        assert page.get_by_role("slider", name="the content image on its left").count() == 1
        row = page.get_by_role("row", name=re.compile("^sea 34")).locator("td").all_inner_texts()
        assert row[1:] == [f"0.6 glaze + 0.4 {IMAGE}", "1", "1", "\u2013"]
        names = page.locator("nav a").evaluate_all(
            "all => all.map(one => document.querySelector(one.hash).textContent)"
        )
        assert names == page.locator("nav a").all_inner_texts()


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += [data.strip()] if data.strip() else []


def test_names_and_warnings_are_escaped(report: Report) -> None:
    tags = Tags(report.html)
    assert [tag for tag, _ in tags.found].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    addresses = [attributes[key] or "" for _, attributes in tags.found for key in ("src", "href") if key in attributes]
    assert len(addresses) > 10
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert {SCRIPT, IMAGE, NOTE} <= set(tags.text)


def test_large_images_are_scaled_down(report: Report) -> None:
    def enlarge(layers: Array) -> Array:
        return layers.repeat(10, -1).repeat(10, -2)

    scene = replace(
        report.result.scene, content=enlarge(report.result.scene.content), weights=enlarge(report.result.scene.weights)
    )
    rendering = replace(report.result.rendering, image=enlarge(report.result.rendering.image))
    html = write_page(replace(report.result, scene=scene, rendering=rendering))
    sources = [attributes["src"] or "" for tag, attributes in Tags(html).found if tag == "img"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]
    sizes = [picture.size for picture in pictures]
    assert sizes[:2] == [(1600, 1069), (1600, 1069)]
    assert max(max(size) for size in sizes[2:]) == 640
    assert len(html) < 5_000_000


def test_an_interrupted_render_is_reported_as_such(tmp_path: Path) -> None:
    recipe = {"content": find_image("harbour.jpg"), "style": find_image("ink.jpg"), "size": 256}
    report = report_on(recipe, tmp_path, lambda update: False)
    text = " ".join(" ".join(Tags(report.html).text).split())
    assert "Not finished: interrupted (1)." in text
    assert re.search(r"128 \S 86 \d+ interrupted \(1\) \d whole 256 \S 171 \d+ not started \d whole", text)


@needs_chromium
def test_a_texture_has_no_content_image_to_compare_with(tmp_path: Path, browser: Browser) -> None:
    report = report_on({"canvas": [96, 64], "style": find_image("dots.jpg"), "solver": {"steps": 2}}, tmp_path)
    with opened(browser, report.file, 390) as page:
        assert page.get_by_role("slider").count() == 0
        assert page.get_by_alt_text("The result").count() == 1
        assert page.get_by_text("content image").count() == 0
        page.get_by_role("button", name="Copy the recipe").click()


def test_a_missing_matplotlib_is_an_error_with_a_hint(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GuidedStyleError) as raised:
        write_page(report.result)
    rule = "--report: it needs the library matplotlib, which is not installed"
    assert str(raised.value) == f"{rule}\n    pip install matplotlib"


def find_points(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """Find the lines of a colour in a plot, as lists of points."""
    paths = re.findall(rf'<path d="([^"]+)"[^>]*stroke: {colour};', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)] for path in paths]


def test_curves_are_logarithmic_and_separate_for_each_stage() -> None:
    """Equal ratios have equal distances; a mark separates the lines of two stages."""
    values = np.array([1, 10, 100, 0, 100.0, 1000])
    svg = plot_curves(
        [Curve("one", values, "#123456", ())], np.array([0, 0, 0, 1, 1, 1]), [64, 128], logarithmic=True, name="plot"
    )
    first, second = find_points(svg, "#123456")
    assert (len(first), len(second)) == (3, 2)  # nothing is drawn where the loss is 0
    heights = [y for _, y in [*first, *second]]
    assert np.allclose(np.diff(heights), [heights[1] - heights[0], heights[1] - heights[0], 0, heights[1] - heights[0]])
    assert heights[1] < heights[0]
    step = first[1][0] - first[0][0]
    marks = [line for line in find_points(svg, "currentColor") if len(line) == 2 and line[0][0] == line[1][0]]
    assert any(abs(line[0][0] - (first[-1][0] + step / 2)) < 0.01 for line in marks)
    assert re.findall(r">(\d+ px)<", svg) == ["64 px", "128 px"]


def test_curves_differ_in_their_dashes_too(report: Report) -> None:
    assert len(set(DASHES)) == len(DASHES)
    keys = [attributes for tag, attributes in Tags(report.html).found if tag == "line" and attributes.get("y1") == "4"]
    dashes = [key.get("stroke-dasharray") for key in keys]
    assert len(set(dashes[:4])) == 4  # of the terms
    assert [len(set(dashes[start : start + 3])) for start in (4, 7)] == [3, 3]  # of the regions


def measure_luminance(colour: tuple[int, int, int]) -> float:
    """Measure the relative luminance of WCAG 2."""
    channels = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.array(colour) / 255]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))


@pytest.mark.parametrize("colour", [*TINTS, (0, 0, 0), (255, 255, 255), (255, 255, 0), (0, 0, 255), (0, 255, 0)])
def test_lines_contrast_with_light_and_dark_backgrounds(colour: tuple[int, int, int]) -> None:
    css = (Path(guidedstyle.__file__).parent / "results" / "templates" / "page.css").read_text()
    papers = [tuple(bytes.fromhex(found)) for found in re.findall(r"--paper: #(\w{6})", css)]
    assert len(papers) == 2
    line = measure_luminance(make_legible(colour))
    for paper in papers:
        dark, light = sorted((line, measure_luminance(paper)))  # type: ignore[arg-type]
        assert (light + 0.05) / (dark + 0.05) >= 3


def test_a_palette_has_the_colours_and_shares_of_the_weighted_part() -> None:
    colours = {(20, 30, 90): 0.5, (200, 40, 30): 0.2, (240, 230, 200): 0.3}
    rows = np.repeat(np.array(list(colours), np.float32) / 255, [50, 20, 30], axis=0)
    image = np.zeros((1, 3, 100, 80), np.float32)
    image[0, :, :, :40] = rows.T[:, :, None]
    weights = np.zeros((100, 80), np.float32)
    weights[:, :40] = 1
    palette = measure_palette(image, weights)
    assert {colour: round(share, 6) for colour, share in palette.colours} == colours
    assert [colour for colour, _ in palette.colours] == list(colours)  # from dark to light


def test_the_table_has_the_final_losses(report: Report) -> None:
    text = Tags(report.html).text
    losses = report.result.rendering.losses
    for region, style, content in zip(("land", SCRIPT, "sea"), losses.style, losses.content, strict=True):
        assert [f"{style:.4f}", f"{content:.4f}"] in [text[place + 1 : place + 3] for place in find(text, region)]


def find(parts: list[str], expected: str) -> list[int]:
    return [place for place, part in enumerate(parts) if part == expected]
