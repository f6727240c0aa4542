"""Opacity: after the render the photograph shows through a region; weights and losses do not know of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import guidedstyle
from guidedstyle.engine.objective.canvas import overlay
from guidedstyle.errors import GuidedStyleError
from guidedstyle.masks.compositing import stack_weights, unstack_weights
from guidedstyle.recipe.loading.loader import dump_recipe
from guidedstyle.results.result import Result
from guidedstyle.run.options import Every, RenderOptions

SOFT = """\
content: photo.png
styles: {ink: ink.png, oil: oil.png}
regions:
  - {name: back, mask: rest, style: ink%s}
  - {name: left, mask: {file: left.png, feather: 6}, style: oil%s}
  - {name: corner, mask: {rectangle: [0.7, 0, 1, 0.4]}, keep: true, border: 5%%}
solver: {steps: 4, sizes: 1}
"""


def render(project: Path, back: str = "", left: str = "", **settings: object) -> Result:
    (project / "soft.yaml").write_text(SOFT % (back, left))
    return guidedstyle.render(guidedstyle.load_recipe(project / "soft.yaml", settings), device="cpu")


def test_the_photograph_shows_through_by_exactly_the_weights(project: Path) -> None:
    """The image is photo + opacity x (paint - photo), computed here in float64 from the weights of the regions."""
    result = render(project, ", opacity: 0.25", ", opacity: 0.7")
    scene, found = result.scene, result.rendering
    photo = np.asarray(Image.open(project / "photo.png"), np.float64).transpose(2, 0, 1) / 255
    assert 0.1 < np.mean((scene.weights[1] > 0.01) & (scene.weights[1] < 0.99)) < 0.4  # the soft edge
    opacity = 0.25 * scene.weights[0].astype(float) + 0.7 * scene.weights[1]
    expected = photo + opacity * (found.paint[0].astype(float) - photo)
    np.testing.assert_allclose(found.image[0], expected, atol=3e-7)
    np.testing.assert_allclose(found.opacity, opacity, atol=3e-7)
    kept = scene.weights[2] == 1
    assert kept.any() and np.array_equal(
        np.asarray(result.picture)[kept], np.asarray(Image.open(project / "photo.png"))[kept]
    )


def test_opacity_1_gives_the_same_bits_as_none(project: Path) -> None:
    plain, full = render(project), render(project, ", opacity: 1", ", opacity: 1.0", opacity=0.5)
    assert np.array_equal(plain.rendering.image, full.rendering.image)


def test_opacity_0_gives_the_photograph_to_the_bit_and_leaves_the_rest(project: Path) -> None:
    plain, clear = render(project), render(project, "", ", opacity: 0")
    photo = np.asarray(Image.open(project / "photo.png"))
    inside, outside = plain.scene.weights[1] == 1, plain.scene.weights[1] == 0
    assert inside.mean() > 0.2 and outside.mean() > 0.2
    assert np.array_equal(np.asarray(clear.picture)[inside], photo[inside])
    assert np.array_equal(np.asarray(clear.picture)[outside], np.asarray(plain.picture)[outside])
    everywhere = render(project, opacity=0)
    assert np.array_equal(np.asarray(everywhere.picture), photo)
    assert any("opacity is 0 in every region" in note for note in everywhere.record.notes)


def test_weights_and_losses_do_not_know_of_it(project: Path) -> None:
    plain, faint = render(project), render(project, ", opacity: 0.1", ", opacity: 0.4")
    assert np.array_equal(plain.rendering.paint, faint.rendering.paint)
    assert torch.equal(plain.rendering.history.total, faint.rendering.history.total)
    assert plain.record.losses == faint.record.losses


def test_it_holds_for_the_whole_image_of_a_short_recipe(project: Path) -> None:
    (project / "short.yaml").write_text(
        "content: photo.png\nstyle: ink.png\nopacity: 0.6\nsolver: {steps: 3, sizes: 1}\n"
    )
    found = guidedstyle.render(project / "short.yaml", device="cpu").rendering
    photo = np.asarray(Image.open(project / "photo.png"), np.float64).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(found.image[0], photo + 0.6 * (found.paint[0] - photo), atol=3e-7)


def test_the_image_so_far_shows_the_same_blend(project: Path) -> None:
    shown: list[np.ndarray] = []
    (project / "soft.yaml").write_text(SOFT % ("", ", opacity: 0"))
    recipe = guidedstyle.load_recipe(project / "soft.yaml")
    guidedstyle.render(recipe, lambda update: bool(shown.append(update.preview(96))) or True, device="cpu")
    photo = np.asarray(Image.open(project / "photo.png"), np.float32).transpose(2, 0, 1) / 255
    assert len(shown) == 4
    for image in shown:
        assert np.array_equal(image[0, :, :, :36], photo[:, :, :36])
    assert np.abs(shown[-1][0, :, 40:, 60:] - photo[:, 40:, 60:]).max() > 0.05


def test_layers_carry_it_and_stack_to_the_image(project: Path) -> None:
    """The layers of an .ora, composited in float as OpenRaster says, are the image; the opacity stands at the layer."""
    result = render(project, ", opacity: 0.25", ", opacity: 0.7")
    with zipfile.ZipFile(result.save(project / "out.ora")) as archive:
        stack = ElementTree.fromstring(archive.read("stack.xml"))[0]
        merged = np.asarray(Image.open(archive.open("mergedimage.png")).convert("RGB"), float)
        image = np.zeros((64, 96, 3))
        for layer in reversed(stack):
            pixels = np.asarray(Image.open(archive.open(layer.get("src", ""))), float)
            alpha = pixels[..., 3:] / 255 * float(layer.get("opacity", ""))
            image += alpha * (pixels[..., :3] - image)
    named = {layer.get("name"): layer.get("opacity") for layer in stack}
    assert (named["back"], named["left"], named["corner"]) == ("0.25", "0.7", "1.0")
    assert np.abs(image - merged).max() < 2


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (0.5, 0.25, 1.0), (0.0, 0.7, 0.0)])
def test_unstacked_weights_times_factors_stack_to_weights_times_factors(factors: tuple[float, ...]) -> None:
    noise = np.random.default_rng(1).random((3, 5, 4), np.float32)
    weights = stack_weights([None, *noise[1:]], (4, 5))
    layers = unstack_weights(weights, factors)
    assert all(layer.min() >= 0 and layer.max() <= 1 for layer in layers)
    stacked = stack_weights([factor * layer for factor, layer in zip(factors, layers, strict=True)], (4, 5))
    np.testing.assert_allclose(stacked[:3], weights[:3] * np.reshape(factors, (3, 1, 1)), atol=1e-6)


def test_a_changed_opacity_resumes_to_the_same_paint(project: Path) -> None:
    whole = render(project, left=", opacity: 0.5")
    (project / "soft.yaml").write_text(SOFT % ("", ", opacity: 0.9"))
    options = RenderOptions(checkpoints=Every(steps=1), resume=True)
    guidedstyle.render(project / "soft.yaml", lambda update: update.done < 2, options=options, device="cpu")
    (project / "soft.yaml").write_text(SOFT % ("", ", opacity: 0.5"))
    resumed = guidedstyle.render(project / "soft.yaml", options=options, device="cpu")
    assert resumed and np.array_equal(resumed.rendering.image, whole.rendering.image)
    assert any("resumes from step 2 of 4" in note for note in resumed.record.notes)
    (project / "soft.yaml").write_text(SOFT % ("", ", opacity: 0.2"))
    again = guidedstyle.render(project / "soft.yaml", options=options, device="cpu")
    assert again and again.record.recipe["regions"][1]["opacity"] == 0.2  # the finished image is another one


def test_recipes_without_it_are_written_as_before(project: Path) -> None:
    recipe = guidedstyle.load_recipe(project / "recipe.yaml")
    assert "opacity" not in repr(dump_recipe(recipe, project))
    half = guidedstyle.load_recipe(project / "recipe.yaml", {"opacity": 0.5})
    assert dump_recipe(half, project)["opacity"] == 0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("70", "70 is too large | opacity must be at most 1: for 70 % write 0.7"),
        ("2.5", "2.5 is too large | opacity must be at most 1: for 2.5 % write 0.025"),
        ("1.2", "1.2 is too large | opacity must be at most 1"),
        ("200", "200 is too large | opacity must be at most 1"),
        ("-0.5", "-0.5 is too small | opacity must be at least 0"),
        (".nan", "nan is not finite | opacity must be a finite number"),
    ],
)
def test_a_value_out_of_range_says_what_to_write(project: Path, value: str, message: str) -> None:
    for back, left in ((f", opacity: {value}", ""), ("", f", opacity: {value}")):
        with pytest.raises(GuidedStyleError) as raised:
            render(project, back, left)
        (problem,) = raised.value.problems
        assert f"{problem.rule} | {problem.remedy}" == message


def test_it_needs_a_photograph_and_has_no_effect_on_a_kept_region(project: Path) -> None:
    (project / "a.yaml").write_text("canvas: [64, 64]\nstyle: ink.png\nopacity: 0.5\n")
    with pytest.raises(GuidedStyleError, match=r"a\.yaml:3: opacity: it needs a content image"):
        guidedstyle.check(project / "a.yaml")
    (project / "a.yaml").write_text((SOFT % ("", "")).replace("keep: true", "keep: true, opacity: 0.5"))
    warnings = guidedstyle.check(project / "a.yaml").warnings
    assert any("opacity" in warning and "a kept region is not painted" in warning for warning in warnings)


def test_overlay_is_exact_at_both_ends_and_in_between() -> None:
    content, image = (torch.rand(1, 3, 7, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    opacity = torch.rand(7, 5, generator=torch.Generator().manual_seed(3))
    opacity[0], opacity[1] = 0, 1
    found = overlay(content, image, opacity)
    assert torch.equal(found[:, :, 0], content[:, :, 0]) and torch.equal(found[:, :, 1], image[:, :, 1])
    expected = content.double() + opacity.double() * (image.double() - content.double())
    torch.testing.assert_close(found.double(), expected, atol=1e-7, rtol=0)
