"""Extreme images and settings give finite numbers."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from support.images import draw_image

import guidedstyle
from guidedstyle.results.result import Result
from guidedstyle.types import SolverMethod, Statistic

FLAT = {"grey": (120, 110, 100), "black": (0, 0, 0), "white": (255, 255, 255)}


@pytest.fixture
def gallery(project: Path) -> Path:
    """Add flat images, square and wide, to the project."""
    for name, colour in FLAT.items():
        Image.new("RGB", (48, 48), colour).save(project / f"{name}.png")
    draw_image(48, 48, 1).save(project / "square.png")
    return project


def render(folder: Path, **keys: object) -> Result:
    """Render a few steps of a recipe, and check that every number is finite."""
    given = {"content": "square.png", "style": "ink.png", "size": 32, "solver": "{steps: 6}"} | keys
    (folder / "a.yaml").write_text("".join(f"{key}: {value}\n" for key, value in given.items() if value))
    result = guidedstyle.render(folder / "a.yaml", device="cpu")
    losses = result.rendering.losses
    assert np.isfinite(result.rendering.image).all()
    assert result.rendering.history.total.isfinite().all()
    assert all(isfinite(number) for terms in (losses.style, losses.content) for number in terms.tolist())
    assert 0 <= result.rendering.image.min() <= result.rendering.image.max() <= 1
    return result


@pytest.mark.parametrize("statistics", get_args(Statistic))
@pytest.mark.parametrize(("content", "style"), [("grey", "square"), ("square", "grey"), ("black", "white")])
def test_flat_content_and_style_images(gallery: Path, content: str, style: str, statistics: str) -> None:
    result = render(gallery, content=f"{content}.png", style=f"{style}.png", statistics=statistics)
    assert result.rendering.finished


@pytest.mark.parametrize(
    "colour",
    ["content", "match", "{match: pca}", "{match: cholesky}", "{match: histogram}", "{palette: [red, '#000000']}"],
)
@pytest.mark.parametrize(("content", "style"), [("grey", "ink"), ("square", "black"), ("white", "white")])
def test_colours_of_flat_and_grey_images(gallery: Path, content: str, style: str, colour: str) -> None:
    assert render(gallery, content=f"{content}.png", style=f"{style}.png", colour=colour).rendering.finished


def test_an_image_in_its_own_style_is_unchanged(gallery: Path) -> None:
    result = render(gallery, style="square.png", size=48, smoothness=0, solver="{steps: 20}")
    before = np.asarray(Image.open(gallery / "square.png"), float)
    assert np.abs(np.asarray(result.picture, float) - before).mean() < 4


def test_a_flat_image_in_its_own_style_converges_at_once(gallery: Path) -> None:
    result = render(gallery, content="grey.png", style="grey.png", solver="{steps: 20}")
    assert np.abs(np.asarray(result.picture, float) - FLAT["grey"]).max() <= 1


@pytest.mark.parametrize("method", get_args(SolverMethod))
@pytest.mark.parametrize("key", ["strength", "content_strength", "smoothness"])
def test_strengths_of_zero_and_of_a_million(gallery: Path, key: str, method: str) -> None:
    for strength in ("0", "1e6"):
        result = render(gallery, **{key: strength}, solver=f"{{steps: 20, method: {method}}}")
        assert result.rendering.finished
        least = result.rendering.history.total.min()
        assert float(result.rendering.losses.total) <= 2 * least + 1e-6


@pytest.mark.parametrize("size", [16, 17, 19, 23, 33])
def test_sizes_from_sixteen_px(gallery: Path, size: int) -> None:
    assert render(gallery, size=size).picture.size == (size, size)


@pytest.mark.parametrize("rate", ["1", "10"])
def test_gradient_descent_with_too_large_a_learning_rate_still_lowers_the_loss(gallery: Path, rate: str) -> None:
    result = render(gallery, solver=f"{{steps: 60, method: sgd, rate: {rate}, sizes: 1, tolerance: 0}}")
    totals = result.rendering.history.total
    assert max(totals) > 2 * totals[0]  # the loss jumped
    assert float(result.rendering.losses.total) < totals[0] / 2


def test_a_stage_that_diverges_gives_a_warning_with_a_hint(gallery: Path) -> None:
    """With a content strength of a million, every step away from the content image raises the loss."""
    solver = "{steps: 6, method: lbfgs, rate: 1}"
    result = render(gallery, content_strength="1e6", init="content", solver=solver)
    content = np.asarray(Image.open(gallery / "square.png").resize((32, 32), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(result.picture, float) - content).max() <= 1
    (note,) = result.rendering.notes
    assert note.startswith("at 32 px the loss diverged: the best image so far is kept; a smaller")
    assert note in result.record.notes


def test_black_masks_are_errors_before_the_render(gallery: Path) -> None:
    Image.new("L", (48, 48)).save(gallery / "none.png")
    regions = "[{name: a, mask: none.png, style: ink}, {name: b, mask: rest, style: ink}]"
    with pytest.raises(guidedstyle.GuidedStyleError, match="region 'a' covers nothing"):
        render(gallery, style=None, styles="{ink: ink.png}", regions=regions)
    Image.new("L", (80, 80)).save(gallery / "none.png")
    with pytest.raises(guidedstyle.GuidedStyleError, match=r"styles\.ink\.mask"):
        render(gallery, style="ink", styles="{ink: {image: ink.png, mask: none.png}}")
