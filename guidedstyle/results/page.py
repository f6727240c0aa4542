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

from guidedstyle.io.images import fit_size, to_pillow
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.results.palette import Palette, make_legible, measure_chroma, measure_palette, pick_pixels, to_lab
from guidedstyle.results.plots import CURRENT, DASHES, Curve, plot_curves, plot_distributions, require_matplotlib
from guidedstyle.results.record import Record
from guidedstyle.results.sheets import cut_out, draw_overview, tint
from guidedstyle.scene.check import describe_controls, describe_style
from guidedstyle.scene.scene import Scene
from guidedstyle.types import RGB, Array

if TYPE_CHECKING:
    from guidedstyle.engine.rendering import LossHistory, Rendering


LONGEST, CARD = 1600, 640  # px, of the images, and of all others
QUALITY = 90  # of JPEG
VIVID = 100.0  # the chroma of the purest colours


class Plot(NamedTuple):
    """A plot, what it shows, and the curves in it."""

    title: str
    svg: Markup
    curves: Sequence[Curve] = ()


def write_page(scene: Scene, rendering: Rendering, record: Record) -> str:
    """Write the report of a render as HTML that loads nothing; raises GuidedStyleError without matplotlib.

    `record` is what `describe_render` returns.
    """
    require_matplotlib()
    script = _read("page.js")
    return _open_template().render(
        scene=scene,
        recipe=scene.recipe,
        record=record,
        plan=record.plan,
        ended=record.result,
        result=_embed(to_pillow(rendering.image)),
        photograph=_embed(to_pillow(scene.content)) if scene.recipe.content else None,
        overview=_embed(draw_overview(scene, CARD)),
        painted=[region for region in scene.recipe.regions if not region.keep],
        colours=list(_compare_colours(scene, rendering.image)),
        tones=list(_plot_tones(scene, rendering.image)),
        losses=list(_plot_losses(scene, rendering)),
        yaml=write_yaml(record.recipe),
        css=Markup(_read("page.css")),
        script=Markup(script),
        policy=_write_policy(script),
    )


def _open_template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"hex": _write_colour, "embed": _embed, "describe_style": describe_style}
    environment.filters |= {"describe_controls": describe_controls, "palette": measure_palette}
    environment.globals |= {"tint": tint, "cut_out": _cut_out, "zip": zip, "zip_longest": zip_longest}
    return environment.from_string(_read("page.html"))


def _read(name: str) -> str:
    return files("guidedstyle.results").joinpath("templates", name).read_text("utf-8")


def _write_policy(script: str) -> str:
    """Write what the page may load: its own images, styles and script, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; {rest}"


def _embed(picture: Image.Image) -> str:
    """Write an image, at most LONGEST px, as an address that holds it."""
    size = fit_size(picture.size, min(LONGEST, max(picture.size)))
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _cut_out(image: Array, weight: Array) -> Image.Image:
    return cut_out(to_pillow(image), weight, CARD)


def _write_colour(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _compare_colours(scene: Scene, result: Array) -> Iterator[tuple[str, dict[str, Palette]]]:
    """Measure the colours of the image, then of every painted region: before, of its style images, after."""
    before = {"photograph": scene.content} if scene.recipe.content else {}
    if len(scene.recipe.regions) > 1:
        everywhere = np.ones_like(scene.weights[0])
        pictures = before | {"result": result}
        yield "Whole image", {label: measure_palette(image, everywhere) for label, image in pictures.items()}
    for region, weights in zip(scene.recipe.regions, scene.weights, strict=False):
        if not region.keep:
            parts = {label: (image, weights) for label, image in before.items()}
            style_images = {f"style {name}": scene.style_images[name] for name in region.style}
            parts |= {label: (style_image.image, style_image.mask) for label, style_image in style_images.items()}
            parts["result"] = (result, weights)
            yield region.name, {label: measure_palette(*part) for label, part in parts.items()}


def _plot_tones(scene: Scene, result: Array) -> Iterator[Plot]:
    """Plot how light and how vivid the image was and is."""
    everywhere = np.ones_like(scene.weights[0])
    pictures = [result, scene.content] if scene.recipe.content else [result]
    labs = [to_lab(pick_pixels(image, everywhere)) for image in pictures]
    tones = plot_distributions([lab[:, 0] for lab in labs], 100, "tones", ("black", "white"))
    yield Plot("Tones", Markup(tones))
    vividness = plot_distributions([measure_chroma(lab) for lab in labs], VIVID, "saturation", ("grey", "vivid"))
    yield Plot("Saturation", Markup(vividness))


def _plot_losses(scene: Scene, rendering: Rendering) -> Iterator[Plot]:
    """Plot every term of the loss, and where there are several regions, those of each."""
    curves = rendering.history
    stages, sizes = curves.stages.numpy(), [max(stage.size) for stage in rendering.plan.stages]
    plots = {"Every term": _trace_terms(curves)}
    if curves.style.shape[1] > 1:
        plots["Style, by region"] = _trace_regions(scene, curves.style.numpy())
        plots["Drawing, by region"] = _trace_regions(scene, curves.content.numpy())
    for number, (title, found) in enumerate(plots.items()):
        shown = [curve for curve in found if (curve.values > 0).any()]
        if shown:  # the drawing sets out from 0
            svg = plot_curves(shown, stages, sizes, f"losses{number}", logarithmic=not title.startswith("Drawing"))
            yield Plot(title, Markup(svg), shown)


def _trace_terms(curves: LossHistory) -> list[Curve]:
    """Trace the terms of the image, of regions the mean, in lines told apart by their dashes."""
    terms = {"total": curves.total, "style": curves.style.mean(1), "drawing": curves.content.mean(1)}
    terms["smoothness"] = curves.smoothness
    pairs = zip(terms.items(), DASHES, strict=False)
    return [Curve(name, values.numpy(), CURRENT, dashes) for (name, values), dashes in pairs]


def _trace_regions(scene: Scene, values: Array) -> list[Curve]:
    """Trace every painted region in the colour in which it is shown, as far as that is legible."""
    painted = [(index, region) for index, region in enumerate(scene.recipe.regions) if not region.keep]
    colours = [_write_colour(make_legible(tint(index, region.mask))) for index, region in painted]
    return [
        Curve(region.name, values[:, column], colours[column], DASHES[column % len(DASHES)])
        for column, (_, region) in enumerate(painted)
    ]
