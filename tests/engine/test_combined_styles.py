"""Style images synthesised from two: at the right scales, and again only when one of the two has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.engine.render import make_style_images_for, render
from guidedstyle.errors import StoppedEarlyError
from guidedstyle.io.paths import find_cache
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

pytestmark = pytest.mark.slow

TEXT = """\
content: photo.png
styles: {ink: ink.png, oil: {image: oil.png}}
style: {fine: ink, coarse: oil}
solver: {steps: 1}
"""
MADE = "ink on oil"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guidedstyle.engine.combined_styles.STEPS", 4)


def open_(project: Path, *settings: str) -> tuple[Scene, Encoder]:
    (project / "a.yaml").write_text(TEXT)
    scene = open_scene(read_recipe(project / "a.yaml", [parse_setting(setting) for setting in settings]))
    return scene, load_encoder(scene.recipe.encoder)


def make(project: Path, *settings: str, watch=lambda update: True) -> np.ndarray:
    scene, encoder = open_(project, *settings)
    return make_style_images_for(scene, encoder, make_plan(scene, encoder, "cpu"), on_update=watch)[MADE].image


def spy_on_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Record the sizes of the strokes of both style images in every combined_styles."""
    from guidedstyle.engine import combined_styles

    found: list[tuple[float, float]] = []
    made = combined_styles._make_scene

    def note(*arguments):
        scene = made(*arguments)
        fine, coarse = (
            scene.style_images[name].fit(scene.recipe.styles[name].scale * 1000) for name in ("fine", "coarse")
        )
        found.append((max(fine) / scene.style_images["fine"].extent, max(coarse)))
        return scene

    monkeypatch.setattr(combined_styles, "_make_scene", note)
    return found


@pytest.mark.parametrize(
    ("settings", "ratio"),
    [
        ((), 1),
        (("styles.oil.scale=0.5",), 2),
        (("styles.ink.scale=0.5",), 0.5),
        (("styles.ink on oil.scale=2",), 1),
        (("styles.oil.rotate=90",), 1),
    ],
)
def test_both_have_their_own_scales(
    project: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], ratio: float
) -> None:
    """The scale of the synthesised style enlarges both, so that their ratio is unchanged."""
    found = spy_on_sizes(monkeypatch)
    make(project, *settings)
    ((fine, coarse),) = found
    assert fine / coarse == pytest.approx(ratio, rel=0.01)


def test_it_is_synthesised_once_and_then_cached(project: Path, cache: Path) -> None:
    steps = []
    first = make(project, watch=lambda update: steps.append(update) or True)
    count = len(steps)
    again = make(project, watch=lambda update: steps.append(update) or True)
    assert (first == again).all()
    assert 0 < count == len(steps)
    assert len(list(cache.glob("*.png"))) == 1
    assert find_cache() == cache


@pytest.mark.parametrize("change", ["fine", "coarse", "mask", "scale"])
def test_it_is_synthesised_again_after_a_change(project: Path, cache: Path, change: str) -> None:
    before = make(project)
    mask = np.zeros((60, 90), np.uint8)
    mask[:, :30] = 255
    Image.fromarray(mask).save(project / "mask.png")
    settings = {"mask": ("styles.oil.mask=mask.png",), "scale": ("styles.ink.scale=0.5",)}.get(change, ())
    if not settings:
        Image.new("RGB", (90, 60), "red").save(project / ("ink.png" if change == "fine" else "oil.png"))
    after = make(project, *settings)
    assert len(list(cache.glob("*.png"))) == 2
    assert np.abs(after - before).mean() > 1e-3


def test_a_damaged_file_in_the_cache_is_replaced(project: Path, cache: Path) -> None:
    first = make(project)
    (file,) = cache.glob("*.png")
    file.write_bytes(b"broken")
    assert (make(project) == first).all()


def test_an_interrupted_synthesis_is_not_stored(project: Path, cache: Path) -> None:
    with pytest.raises(StoppedEarlyError):
        make(project, watch=lambda update: False)
    assert not cache.exists() or not list(cache.glob("*.png"))


def test_a_cache_that_cannot_be_written_is_ignored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "file").write_text("")
    monkeypatch.setenv("GUIDEDSTYLE_CACHE", str(project / "file"))
    assert make(project).shape[1] == 3


def test_a_small_one_is_large_enough_for_its_octaves(project: Path) -> None:
    image = make(project, "styles.ink on oil.scale=0.1")
    assert min(image.shape[2:]) >= 64


def test_it_can_be_mixed_and_rendered_with_others(project: Path) -> None:
    scene, encoder = open_(
        project,
        "regions=[{name: a, mask: rest, style: {ink on oil: 1, ink: 1}}]",
        f"styles.{MADE}={{fine: ink, coarse: oil}}",
    )
    rendering = render(scene, encoder, make_plan(scene, encoder, "cpu"))
    assert rendering.finished
    assert torch.isfinite(rendering.losses.total)
