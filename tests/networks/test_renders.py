"""Recipes with a network: what is painted where, what counts, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support.commands import files, run
from support.images import draw_image
from support.networks import make_card, make_network

import guidedstyle
from guidedstyle.engine.objective.colour import LUMA
from guidedstyle.engine.progress import Rendering
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import hash_file
from guidedstyle.networks.files import save_network
from guidedstyle.networks.painting import paint
from guidedstyle.results.record import identify_recipe
from guidedstyle.types import Array

STYLES = ("wax", "oil", "ink")
RECIPE = """
content: photo.png
content_strength: 2
network: net.safetensors
precision: float32
styles: {ink: ink.png, oil: oil.png}
regions:
  - {name: right, mask: rest, style: oil}
  - {name: left, mask: left.png, style: ink}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for seed, name in enumerate(("photo", "ink", "oil")):
        draw_image(96, 64, seed).save(tmp_path / f"{name}.png")
    Image.fromarray(np.uint8(255 * (np.indices((64, 96))[1] < 48))).save(tmp_path / "left.png")
    inputs = {f"styles.{name}.image": hash_file(tmp_path / f"{name}.png") for name in ("ink", "oil")}
    styles = {name: {"image": f"{name}.png", "scale": 1.0, "rotate": 0.0} for name in ("ink", "oil")}
    card = make_card(STYLES, size=96, inputs=inputs, recipe={"styles": styles, "content_strength": 2.0})
    save_network(make_network(STYLES), card, tmp_path / "net.safetensors")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def render(recipe: Path, **settings: object) -> Rendering:
    given = {key.replace("__", "."): value for key, value in settings.items()}
    return guidedstyle.render(guidedstyle.load_recipe(recipe, given)).rendering


def read(file: Path) -> torch.Tensor:
    with Image.open(file) as image:
        return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]


def paint_alone(recipe: Path) -> Array:
    """Paint the halves in oil and ink with the network itself."""
    left = torch.zeros(64, 96)
    left[:, :48] = 1
    mixes = torch.tensor([[0.0, 1, 0], [0.0, 0, 1]])
    image = read(recipe.parent / "photo.png")
    return paint(make_network(STYLES), image, torch.stack([1 - left, left]), mixes).image.numpy()


def test_regions_get_their_styles_in_one_pass(recipe: Path) -> None:
    rendering = render(recipe)
    np.testing.assert_allclose(rendering.image, paint_alone(recipe), atol=2e-3)
    assert (rendering.steps, rendering.reason, rendering.finished) == (0, "painted in one pass", True)
    assert rendering.losses.style.shape == (2,)


def test_mixes_and_masked_mixes_slide_from_one_style_to_the_other(recipe: Path) -> None:
    whole = [{"name": "all", "mask": "all", "style": {"ink": share, "oil": 1 - share}} for share in (0.0, 0.25, 1.0)]
    oil, mixed, ink = (render(recipe, regions=[region]).image for region in whole)
    near, far = (float(np.abs(mixed - one).mean()) for one in (oil, ink))
    assert 0 < near < far
    gradient = {"gradient": {"from": [0, 0], "to": [1, 0]}}
    slide = render(recipe, regions=[{"name": "all", "mask": "all", "style": {"ink": gradient, "oil": 1}}]).image
    changes = np.abs(np.diff(slide, axis=3)).mean((0, 1, 2))
    assert changes.max() < 4 * np.abs(np.diff(oil, axis=3)).mean((0, 1, 2)).max()  # no edge anywhere


def test_kept_regions_keep_every_bit(recipe: Path) -> None:
    regions = [{"name": "right", "mask": "rest", "style": "oil"}]
    regions += [{"name": "left", "mask": "left.png", "keep": True, "border": 0}]
    guidedstyle.render(guidedstyle.load_recipe(recipe, {"regions": regions})).save(recipe.parent / "kept.png")
    with Image.open(recipe.parent / "kept.png") as kept, Image.open(recipe.parent / "photo.png") as photo:
        assert np.array_equal(np.asarray(kept)[:, :48], np.asarray(photo)[:, :48])
        assert not np.array_equal(np.asarray(kept)[:, 48:], np.asarray(photo)[:, 48:])


def test_strength_blends_with_the_content(recipe: Path) -> None:
    photo, full = read(recipe.parent / "photo.png").numpy(), render(recipe).image
    half = render(recipe, strength=0.5).image
    np.testing.assert_allclose(half, (photo + full) / 2, atol=1e-5)
    np.testing.assert_allclose(render(recipe, strength=0).image, photo, atol=1e-6)
    left = render(recipe, regions__left__strength=0).image
    np.testing.assert_allclose(left[..., :46], photo[..., :46], atol=1e-6)


def test_colours_of_the_content_are_kept_exactly(recipe: Path) -> None:
    photo, found = read(recipe.parent / "photo.png").numpy(), render(recipe, colour="content").image
    luma = np.array(LUMA, np.float32)[None, :, None, None]
    chroma = [image - (image * luma).sum(1, keepdims=True) for image in (photo, found)]
    np.testing.assert_allclose(chroma[0], chroma[1], atol=1e-5)
    assert np.abs(photo - found).mean() > 0.01


def test_matched_colours_have_the_moments_of_each_region(recipe: Path) -> None:
    photo = read(recipe.parent / "photo.png").numpy()
    plain, found = (render(recipe, colour=colour).image for colour in ("style", {"match": "symmetric"}))
    for columns in (slice(0, 48), slice(48, 96)):
        mean, before, after = (one[..., columns].mean((0, 2, 3)) for one in (photo, plain, found))
        assert np.abs(after - mean).max() < 0.02 < np.abs(before - mean).max()


def test_steps_refine_what_the_network_paints(recipe: Path) -> None:
    painted, refined = render(recipe), render(recipe, solver__steps=4)
    assert [stage.steps for stage in refined.plan.stages] == [4]
    assert refined.losses.total < 0.9 * painted.losses.total
    history = refined.history.total
    assert float(history[0]) == pytest.approx(float(painted.losses.total), rel=1e-3)


def test_the_flag_the_key_and_the_record_paint_the_same(recipe: Path) -> None:
    (recipe.parent / "plain.yaml").write_text(RECIPE.replace("network: net.safetensors\n", ""))
    done = run("render", "plain.yaml", "--fast", "net.safetensors", folder=recipe.parent)
    assert done.returncode == 0, done.stderr
    assert "painted in one pass" in done.stdout
    assert run("render", "recipe.yaml", folder=recipe.parent).returncode == 0
    assert run("render", "recipe.png", "-o", "again.png", folder=recipe.parent).returncode == 0
    images = [read(recipe.parent / f"{name}.png") for name in ("plain", "recipe", "again")]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    assert not {file for file in files(recipe.parent) if file.endswith((".part", ".lock", ".state"))}


def test_unknown_styles_are_told_before_the_work(recipe: Path) -> None:
    with pytest.raises(GuidedStyleError) as caught:
        guidedstyle.check(
            guidedstyle.load_recipe(recipe, {"styles.gum": "ink.png", "regions.left.style": {"gum": 1, "ink": 1}})
        )
    assert "regions[1].style: the network was not trained for the style 'gum', only for wax, oil, ink" in str(
        caught.value
    )
    with pytest.raises(GuidedStyleError, match=r"network: .*photo.png: it is damaged"):
        guidedstyle.check(guidedstyle.load_recipe(recipe, {"network": str(recipe.parent / "photo.png")}))


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"size": 192}, "the network was trained for images of 96 px: strokes will look 2.0 times smaller"),
        ({"octaves": "fine", "guides": "inside"}, "guides, octaves: the network was trained with others"),
        ({"content_strength": 1}, "content_strength: the network was trained with others"),
        ({"regions.left.strength": 3}, "strength above 1 has no more effect than 1"),
        ({"styles.ink.scale": 2}, "the network was trained with another scale of the style ink"),
        ({"styles.ink.image": "oil.png"}, "the network was trained on another image for the style ink"),
    ],
)
def test_departures_are_warnings(settings: dict[str, object], warning: str, recipe: Path) -> None:
    assert not guidedstyle.check(recipe).warnings
    found = guidedstyle.check(guidedstyle.load_recipe(recipe, settings)).warnings
    assert any(warning in one for one in found), found


def test_masks_and_parts_of_styles_count_by_their_content(recipe: Path) -> None:
    folder = recipe.parent
    styles = {"oil": {"image": "oil.png", "mask": {"file": "left.png"}}, "ink": {"fine": "oil", "coarse": "dots"}}
    draw_image(96, 64, 5).save(folder / "dots.png")
    styles["dots"] = {"image": "dots.png"}
    (folder / "recipe.yaml").write_text(json.dumps({**yaml.safe_load(RECIPE), "styles": styles}))
    reading = guidedstyle.load_recipe(recipe)
    identity = identify_recipe(reading.model_copy(update={"network": None}))
    card = make_card(STYLES, size=96, inputs=identity.inputs, recipe=identity.recipe)
    save_network(make_network(STYLES), card, folder / "net.safetensors")
    (folder / "elsewhere").mkdir()
    moved = guidedstyle.load_recipe(recipe, {"output": str(folder / "elsewhere" / "out.png")})
    assert not [one for one in guidedstyle.check(moved).warnings if "network" in one]
    draw_image(96, 64, 6).save(folder / "dots.png")
    found = guidedstyle.check(guidedstyle.load_recipe(recipe)).warnings
    assert [one for one in found if "another image for the style ink" in one]
    Image.fromarray(np.uint8(255 * (np.indices((64, 96))[1] < 50))).save(folder / "left.png")
    found = guidedstyle.check(guidedstyle.load_recipe(recipe)).warnings
    assert [one for one in found if "another image for the style oil" in one]


def test_kept_pixels_move_no_paint(recipe: Path) -> None:
    regions = [{"name": "right", "mask": "rest", "style": "oil"}]
    regions += [{"name": "left", "mask": "left.png", "keep": True, "border": 0}]
    before = render(recipe, regions=regions).image
    with Image.open(recipe.parent / "photo.png") as photo:
        pixels = np.array(photo)
    pixels[:, :8] = 255 - pixels[:, :8]
    Image.fromarray(pixels).save(recipe.parent / "photo.png")
    after = render(recipe, regions=regions).image
    whole = [render(recipe, regions=[{"name": "all", "mask": "all", "style": "oil"}]).image]
    Image.fromarray(255 - pixels).save(recipe.parent / "photo.png")
    whole.append(render(recipe, regions=[{"name": "all", "mask": "all", "style": "oil"}]).image)
    assert np.abs(before - after)[..., 56:].mean() < 0.2 * np.abs(whole[0] - whole[1])[..., 56:].mean()


def test_reports_show_what_was_painted_in_one_pass(recipe: Path) -> None:
    done = run("render", "recipe.yaml", "--report", "page.html", "--timelapse", "film.gif", folder=recipe.parent)
    assert done.returncode == 0, done.stderr
    assert "painted in one pass in" in (recipe.parent / "page.html").read_text()
    assert (recipe.parent / "film.gif").exists()


def test_the_steps_of_a_recipe_do_not_count_with_the_flag(recipe: Path) -> None:
    (recipe.parent / "steps.yaml").write_text(RECIPE.replace("network: net.safetensors", "solver: {steps: 30}"))
    done = run("render", "steps.yaml", "--fast", "net.safetensors", "--dry-run", folder=recipe.parent)
    assert "(in one pass)" in done.stdout
    done = run("render", "steps.yaml", "--fast", "net.safetensors", "--steps", "3", "--dry-run", folder=recipe.parent)
    assert "(3 steps)" in done.stdout


def test_short_memory_is_noted_in_the_record(recipe: Path) -> None:
    done = run("render", "recipe.yaml", "--max-memory", "1", "--size", "512", folder=recipe.parent)
    assert done.returncode == 0, done.stderr
    assert "those of" not in done.stderr
    done = run("render", "recipe.yaml", "--max-memory", "1", "--size", "1536", folder=recipe.parent)
    assert "not enough memory for the statistics of the whole image" in done.stdout + done.stderr
    assert "not enough memory for the statistics of the whole image" in (recipe.parent / "recipe.png.json").read_text()
