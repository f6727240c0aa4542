"""The report of a render as one HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from guidedstyle.io.images.reading import fit_size
from guidedstyle.io.images.writing import to_pillow
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.results.plots import (
    CURRENT,
    DASHES,
    Curve,
    Palette,
    make_legible,
    measure_chroma,
    measure_palette,
    pick_pixels,
    plot_curves,
    plot_distributions,
    require_matplotlib,
    to_lab,
)
from guidedstyle.results.sheets import cut_out, draw_overview, tint
from guidedstyle.scene.check import describe_controls
from guidedstyle.scene.scene import NEGLIGIBLE_SHARE, Scene
from guidedstyle.types import RGB, Array

if TYPE_CHECKING:
    from guidedstyle.engine.progress import LossHistory, Rendering
    from guidedstyle.results.result import Result


LONGEST, CARD = 1600, 640  # longest side, px: of content image and result, and of other images
JPEG_QUALITY = 90
MOST_CHROMA = 100.0  # that is plotted; hardly any sRGB colour has more


class Plot(NamedTuple):
    """An SVG plot, its title, and its curves for the key."""

    title: str
    svg: Markup
    curves: Sequence[Curve] = ()


def write_page(result: Result) -> str:
    """Write the report of a render as one HTML file that loads nothing else.

    Raises GuidedStyleError where matplotlib is missing.
    """
    require_matplotlib()
    script, scene, rendering, record = _read("page.js"), result.scene, result.rendering, result.record
    return _open_template().render(
        scene=scene,
        recipe=scene.recipe,
        record=record,
        plan=record.plan,
        ended=record.result,
        result=_embed(to_pillow(rendering.image)),
        content=_embed(to_pillow(scene.content)) if scene.recipe.content else None,
        faint=NEGLIGIBLE_SHARE,
        overview=_embed(draw_overview(scene, CARD)),
        painted=[scene.recipe.regions[index] for index in scene.painted],
        colours=list(_compare_colours(scene, rendering.image)),
        distributions=list(_plot_distributions(scene, rendering.image)),
        losses=list(_plot_losses(scene, rendering)),
        yaml=write_yaml(record.recipe),
        css=Markup(_read("page.css")),
        script=Markup(script),
        policy=_write_policy(script),
    )


def _open_template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"hex": _write_colour, "embed": _embed}
    environment.filters |= {"describe_controls": describe_controls, "palette": measure_palette}
    environment.globals |= {"tint": tint, "cut_out": _cut_out, "zip": zip, "zip_longest": zip_longest}
    return environment.from_string(_read("page.html"))


def _read(name: str) -> str:
    return files("guidedstyle.results").joinpath("templates", name).read_text("utf-8")


def _write_policy(script: str) -> str:
    """Write the content security policy: the page may load only its own images, styles and script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; {rest}"


def _embed(image: Image.Image) -> str:
    """Write an image as a data URL, scaled down to at most LONGEST px."""
    size = fit_size(image.size, min(LONGEST, max(image.size)))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _cut_out(image: Array, weight: Array) -> Image.Image:
    return cut_out(to_pillow(image), weight, CARD)


def _write_colour(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _compare_colours(scene: Scene, result: Array) -> Iterator[tuple[str, dict[str, Palette]]]:
    """Measure the palettes of the whole image and of every painted region: content image, style images, result."""
    before = {"content": scene.content} if scene.recipe.content else {}
    if len(scene.recipe.regions) > 1:
        whole = np.ones_like(scene.weights[0])
        images = before | {"result": result}
        yield "Whole image", {label: measure_palette(image, whole) for label, image in images.items()}
    for index in scene.painted:
        region, weights = scene.recipe.regions[index], scene.weights[index]
        parts = {label: (image, weights) for label, image in before.items()}
        style_images = {f"style {name}": scene.style_images[name] for name in region.style}
        parts |= {label: (style_image.image, style_image.mask) for label, style_image in style_images.items()}
        parts["result"] = (result, weights)
        yield region.name, {label: measure_palette(*part) for label, part in parts.items()}


def _plot_distributions(scene: Scene, result: Array) -> Iterator[Plot]:
    """Plot the distributions of lightness and chroma in the result and the content image."""
    whole = np.ones_like(scene.weights[0])
    images = [result, scene.content] if scene.recipe.content else [result]
    labs = [to_lab(pick_pixels(image, whole)) for image in images]
    lightness = plot_distributions([lab[:, 0] for lab in labs], most=100, ends=("black", "white"), name="lightness")
    yield Plot("Lightness", Markup(lightness))
    chroma = plot_distributions(
        [measure_chroma(lab) for lab in labs], most=MOST_CHROMA, ends=("grey", "vivid"), name="chroma"
    )
    yield Plot("Chroma", Markup(chroma))


def _plot_losses(scene: Scene, rendering: Rendering) -> Iterator[Plot]:
    """Plot every loss term, and where there are several regions, style and content of each."""
    curves = rendering.history
    if not len(curves.stages):
        return  # a network painted it
    stages, sizes = curves.stages.numpy(), [max(stage.size) for stage in rendering.plan.stages]
    plots = {"Every term": _trace_terms(curves)}
    if curves.style.shape[1] > 1:
        plots["Style, by region"] = _trace_regions(scene, curves.style.numpy())
        plots["Content, by region"] = _trace_regions(scene, curves.content.numpy())
    for number, (title, found) in enumerate(plots.items()):
        shown = [curve for curve in found if (curve.values > 0).any()]
        if shown:  # the content loss starts at 0
            svg = plot_curves(shown, stages, sizes, logarithmic=not title.startswith("Content"), name=f"losses{number}")
            yield Plot(title, Markup(svg), shown)


def _trace_terms(curves: LossHistory) -> list[Curve]:
    """Trace the total and the terms, each the mean over regions, in lines of different dashes."""
    terms = {"total": curves.total, "style": curves.style.mean(1), "content": curves.content.mean(1)}
    terms["smoothness"] = curves.smoothness
    pairs = zip(terms.items(), DASHES, strict=False)
    return [Curve(name, values.numpy(), CURRENT, dashes) for (name, values), dashes in pairs]


def _trace_regions(scene: Scene, values: Array) -> list[Curve]:
    """Trace every painted region in its tint, made dark or light enough to be legible."""
    painted = [(index, scene.recipe.regions[index]) for index in scene.painted]
    colours = [_write_colour(make_legible(tint(index, region.mask))) for index, region in painted]
    return [
        Curve(region.name, values[:, column], colours[column], DASHES[column % len(DASHES)])
        for column, (_, region) in enumerate(painted)
    ]
