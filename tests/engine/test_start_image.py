"""The start image of each region is the one that `init` asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from guidedstyle.engine.objective.canvas import Canvas
from guidedstyle.engine.start_image import make_start
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene

TEXT = "content: photo.png\nstyles: {ink: {image: ink.png, scale: %s}}\nregions:\n"
REGIONS = "  - {name: right, mask: rest, style: ink}\n  - {name: left, mask: left.png, style: ink, init: %s}\n"


def begin(project: Path, *settings: str, left: str = "content", scale: float = 1, size: tuple[int, int] = (96, 64)):
    (project / "a.yaml").write_text(TEXT % scale + REGIONS % left)
    scene = open_scene(read_recipe(project / "a.yaml", [parse_setting(setting) for setting in settings]))
    return make_start(scene, Canvas.at_size(scene, size, torch.device("cpu"))).numpy()


def read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file), np.float32).transpose(2, 0, 1)[None] / 255


def test_each_region_has_its_own_start(project: Path) -> None:
    image = begin(project, "init=noise", left="content")
    np.testing.assert_allclose(image[..., :46], read(project / "photo.png")[..., :46], atol=1e-6)
    right = image[..., 50:]
    assert right.std() == pytest.approx(1 / 12**0.5, rel=0.05)
    assert np.abs(np.corrcoef(right.ravel(), read(project / "photo.png")[..., 50:].ravel())[0, 1]) < 0.1


def test_a_blend_is_the_weighted_mean(project: Path) -> None:
    noise, content = begin(project, "init=noise", left="noise"), read(project / "photo.png")
    blend = begin(project, "init={content: 3, noise: 1}", left="{content: 3, noise: 1}")
    np.testing.assert_allclose(blend, 0.75 * content + 0.25 * noise, atol=1e-5)


def test_noise_depends_on_the_seed(project: Path) -> None:
    one, same, other = (begin(project, "init=noise", f"solver.seed={seed}", left="noise") for seed in (1, 1, 2))
    assert (one == same).all()
    assert np.abs(one - other).mean() > 0.2


def test_noise_has_the_same_variance_at_any_size(project: Path) -> None:
    small = begin(project, "init=noise", left="noise", size=(48, 32))
    assert small.std() == pytest.approx(1 / 12**0.5, rel=0.05)


def test_a_style_image_is_tiled_at_its_scale_by_mirroring(project: Path) -> None:
    Image.fromarray(np.uint8(np.random.default_rng(0).random((24, 48, 3)) * 255)).save(project / "ink.png")
    image = begin(project, "init=style", left="style", scale=0.5)
    style_image = read(project / "ink.png")
    np.testing.assert_allclose(image[..., :24, :48], style_image, atol=1e-6)
    np.testing.assert_allclose(image[..., :24, 48:], style_image[..., ::-1], atol=1e-6)
    np.testing.assert_allclose(image[..., 24:48, :48], style_image[..., ::-1, :], atol=1e-6)


def test_a_start_file_is_stretched_to_the_size(project: Path) -> None:
    Image.new("RGB", (30, 30), (255, 0, 102)).save(project / "plain.png")
    image = begin(project, "init=plain.png", left="{file: plain.png, content: 1}")
    np.testing.assert_allclose(image[0, :, 30, 80], [1, 0, 0.4], atol=1e-6)
    mixed = (read(project / "photo.png")[0, :, 30, 10] + [1, 0, 0.4]) / 2
    np.testing.assert_allclose(image[0, :, 30, 10], mixed, atol=1e-5)


def test_kept_and_uncovered_pixels_start_from_the_content(project: Path) -> None:
    regions = (
        "  - {name: a, mask: {rectangle: [0, 0, 0.25, 1]}, style: ink}\n"
        "  - {name: b, mask: {rectangle: [0.5, 0, 1, 1]}, keep: true}\n"
    )
    text = TEXT % 1 + regions
    (project / "a.yaml").write_text(text + "init: noise\n")
    scene = open_scene(read_recipe(project / "a.yaml"))
    image = make_start(scene, Canvas.at_size(scene, (96, 64), torch.device("cpu"))).numpy()
    np.testing.assert_allclose(image[..., 27:], read(project / "photo.png")[..., 27:], atol=1e-5)
    assert np.abs(image - read(project / "photo.png"))[..., :22].mean() > 0.1
