"""Thin regions and soft seams: where they are covered, where guides fall back, and that no style is ever lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.grams import sum_squares
from support.images import draw_image
from support.renders import find_term, paint

from guidedstyle.encoders.architecture import Layer
from guidedstyle.encoders.vgg import LITE
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.losses.guides import Guides
from guidedstyle.losses.propagation import MOSTLY, average_to_grid, cover_grid, erode_to_grid, halve_shape, propagate
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.check import collect_warnings, measure_coverage
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE, Scene
from guidedstyle.types import Setting

PHOTO = (400, 300)


def open_line(folder: Path, width: int, guides: str, size: int = 400) -> tuple[Path, Scene]:
    """Write the recipe of a content image with a line of `width` px in another style."""
    for name, seed, shape in (("photo", 1, PHOTO), ("ink", 2, (300, 300)), ("oil", 3, (300, 200))):
        draw_image(*shape, seed).save(folder / f"{name}.png")
    line = np.zeros(PHOTO[::-1], np.uint8)
    line[140 : 140 + width] = 255
    Image.fromarray(line).save(folder / "line.png")
    file = folder / "recipe.yaml"
    file.write_text(
        f"content: photo.png\nsize: {size}\nstyles: {{ink: ink.png, oil: oil.png}}\nregions:\n"
        "  - {name: ground, mask: rest, style: ink}\n"
        f"  - {{name: line, mask: line.png, style: oil, guides: {guides}}}\n"
        "solver: {steps: 6}\n"
    )
    return file, open_scene(read_recipe(file))


def list_warnings(scene: Scene) -> list[str]:
    return list(collect_warnings(scene, measure_coverage(scene)))


def aim(scene: Scene, stage: int = -1) -> Objective:
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    return Objective(scene, encoder, plan, plan.stages[stage])


def find_least(weights: np.ndarray, grid: tuple[int, int], layer: Layer) -> np.ndarray:
    return find_in_fields(weights, grid, layer, np.min)


def find_in_fields(
    weights: np.ndarray, grid: tuple[int, int], layer: Layer, choose: Callable[..., np.ndarray]
) -> np.ndarray:
    """Choose a weight (R, H, W) in the receptive field of every position, one by one: (R, h, w)."""
    found = np.empty((len(weights), *grid))
    reach = (layer.receptive_field - layer.stride) // 2
    for row, column in np.ndindex(*grid):
        top, left = row * layer.stride - reach, column * layer.stride - reach
        bottom, right = top + layer.receptive_field, left + layer.receptive_field
        found[:, row, column] = choose(weights[:, max(top, 0) : bottom, max(left, 0) : right], axis=(1, 2))
    return found


def average_blocks(weights: np.ndarray, size: int) -> np.ndarray:
    """Average weights (R, H, W) over blocks of `size` x `size`."""
    regions, height, width = weights.shape
    return weights.reshape(regions, height // size, size, width // size, size).mean((2, 4))


@pytest.mark.parametrize(("height", "width"), [(60, 80), (63, 83), (83, 63)])
def test_convention_inside_asks_for_the_whole_receptive_field(height: int, width: int) -> None:
    """The oracle counts, position by position, with the fields of the literature; the rest of a stride is cut."""
    noise = np.random.default_rng(0)
    weights = np.ones((1, height, width), np.float32)
    weights[0, noise.integers(0, height, 3), noise.integers(0, width, 3)] = 0
    fields = {"relu1_1": (1, 3), "relu2_1": (2, 10), "relu3_1": (4, 24), "relu3_4": (4, 48)}
    for name, (stride, extent) in fields.items():
        layer, grid = LITE.layers[name], (height // stride, width // stride)
        assert (layer.stride, layer.receptive_field) == (stride, extent)
        assert (erode_to_grid(weights, grid, layer) == find_least(weights, grid, layer)).all(), name


@pytest.mark.parametrize("name", LITE.style_layers)
def test_convention_all_asks_for_any_pixel_of_the_receptive_field(name: str) -> None:
    weights = np.zeros((2, 60, 80), np.float32)
    weights[0, 31, 43], weights[1, 7:9] = 1, 0.75
    layer = LITE.layers[name]
    grid = layer.grid((60, 80))
    found = cover_grid(weights, grid, layer, image=(60, 80), mode="all")
    assert (found == find_in_fields(weights, grid, layer, np.max)).all()
    assert found.max() == 1


def test_halves_are_rounded_down_to_at_least_a_pixel() -> None:
    assert [halve_shape((37, 5), octave) for octave in range(5)] == [(37, 5), (18, 2), (9, 1), (4, 1), (2, 1)]
    assert halve_shape((5, 37), 4) == (1, 2)


def test_cells_are_averages_between_the_least_and_the_most_weight() -> None:
    weights = np.random.default_rng(0).random((2, 48, 64), np.float32)
    assert average_to_grid(weights, (48, 64)) is weights
    np.testing.assert_allclose(average_to_grid(weights, (12, 16)), average_blocks(weights, 4), atol=1e-6)
    even = np.stack([np.full((50, 70), 0.3, np.float32), np.ones((50, 70), np.float32)])
    cells = average_to_grid(even, (7, 11))
    assert cells.shape == (2, 7, 11)
    assert (cells == even[:, :1, :1]).all()
    split = (np.indices((50, 70))[1] < 33).astype(np.float32)[None]
    assert (average_to_grid(split, (7, 11)).min(), average_to_grid(split, (7, 11)).max()) == (0, 1)


def test_every_region_has_its_own_kind_of_guides_which_sum_to_1() -> None:
    """At the second octave, where a pixel is the average of four; `inside` needs half of a position to hold it."""
    weights, layer = np.zeros((5, 96, 128), np.float32), LITE.layers["relu2_1"]
    weights[:2, :, :72] = np.random.default_rng(0).uniform(0.6, 1, (96, 72))
    weights[2, 20:70, 30:100] = MOSTLY
    weights[3, 20:70, 30:100] = MOSTLY - 0.01
    weights[4, 40:42, 50:52] = MOSTLY - 0.01  # however faint: only `inside` falls back
    found = propagate(weights, layer, octave=1, modes=["simple", "inside", "inside", "inside", "all"])
    simple, octave = average_blocks(weights, 4), average_blocks(weights, 2)
    inside, touched = (find_in_fields(octave, (24, 32), layer, choose) for choose in (np.min, np.max))
    expected = np.stack([simple[0], inside[1], inside[2], simple[3], touched[4]])
    np.testing.assert_allclose(found, expected / expected.sum((1, 2), keepdims=True), rtol=1e-5, atol=1e-7)
    assert found.dtype == np.float32


def test_the_receptive_field_holds_all_pixels_that_change_a_feature() -> None:
    """Against the network itself: only pixels within it change the feature."""
    encoder = load_encoder_once()
    image = torch.rand(1, 3, 96, 96).requires_grad_()
    for name in LITE.style_layers:
        layer = LITE.layers[name]
        feature = encoder.encode(image, [name])[name]
        row = feature.shape[2] // 2
        (gradient,) = torch.autograd.grad(feature[0, :, row, row].sum(), image)
        rows = torch.nonzero(gradient[0].abs().sum((0, 2)))[:, 0]
        first = row * layer.stride - (layer.receptive_field - layer.stride) // 2
        assert rows.min() >= first
        assert rows.max() < first + layer.receptive_field
        assert rows.max() - rows.min() >= layer.receptive_field // 2


def load_encoder_once() -> torch.nn.Module:
    from guidedstyle.recipe.model import EncoderChoice

    return load_encoder(EncoderChoice()).float()


@pytest.mark.parametrize("guides", ["simple", "inside", "all"])
@pytest.mark.parametrize("width", [1, 6, 40])
def test_a_thin_line_always_has_guides_targets_and_losses(tmp_path: Path, width: int, guides: str) -> None:
    """At every size, octave and layer its guides sum to 1, and its target and loss are finite and not zero."""
    _, scene = open_line(tmp_path, width, guides)
    for stage in range(2):
        objective = aim(scene, stage)
        image = torch.from_numpy(scene.content)
        losses = objective.measure(torch.nn.functional.interpolate(image, objective.canvas.content.shape[2:]))
        assert torch.isfinite(losses.total)
        assert (losses.style > 0).all()
        for term in objective.style_terms:
            assert torch.isfinite(term.targets).all()
            assert (term.norms > 1e-6).all()
            assert sum_squares(term.statistic.guides[0]).tolist() == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize("guides", ["simple", "inside", "all"])
def test_a_thin_line_is_painted(tmp_path: Path, guides: str) -> None:
    file, scene = open_line(tmp_path, 6, guides)
    image = paint(file).image
    assert np.isfinite(image).all()
    assert np.abs(image - scene.content)[:, :, 140:146].mean() > 0.02


def test_the_coverage_and_warnings_of_a_thin_line(tmp_path: Path) -> None:
    """6 px are 6, 3 and 1.5 at the three octaves, where cells are 1, 2 and 4 px wide."""
    _, scene = open_line(tmp_path, 6, "simple")
    assert [str(coverage) for coverage in measure_coverage(scene).regions[1]] == [
        "all",
        "all",
        "to relu2_1",
        "to relu1_1",
    ]
    assert list_warnings(scene) == []
    _, scene = open_line(tmp_path, 1, "simple")
    assert [str(coverage) for coverage in measure_coverage(scene).regions[1]] == [
        "to relu2_1",
        "to relu1_1",
        "none",
        "none",
    ]
    assert list_warnings(scene) == [
        "line is too thin at 100 px: its larger strokes will resemble its surroundings "
        "(widen it with grow, or render it larger)"
    ]
    _, scene = open_line(tmp_path, 6, "inside")
    assert list_warnings(scene) == [
        "line is too narrow for inside guides at relu2_1, relu3_1, relu3_4 at 400 px; relu2_1, relu3_1, relu3_4 at "
        "200 px; relu1_1, relu2_1, relu3_1, relu3_4 at 100 px; relu1_1, relu2_1, relu3_1, relu3_4 at 50 px: "
        "simple guides are used there"
    ]


@pytest.mark.parametrize("guides", ["simple", "inside", "all"])
@pytest.mark.parametrize("width", [3, 6, 14, 30, 60, 120])
def test_the_coverage_is_that_of_the_engine(tmp_path: Path, width: int, guides: str) -> None:
    """At every stage: the guides are those of `simple` exactly where it says that `inside` falls back."""
    _, scene = open_line(tmp_path, width, guides)
    found = measure_coverage(scene).regions[1]
    assert [coverage.longest for coverage in found] == [400, 200, 100, 50]
    for stage in range(2):
        weights = aim(scene, stage).canvas.weights[1:2].numpy()
        for coverage, octave in zip(found[1 - stage :], range(3), strict=False):
            for name in coverage.used:
                layer, shape = LITE.layers[name], halve_shape(weights.shape[1:], octave)
                grid = (shape[0] // layer.stride, shape[1] // layer.stride)
                cells = cover_grid(weights, grid, layer, image=shape, mode=guides)
                assert (cells.max() >= MOSTLY) == (name in coverage.covered)
                weighed = propagate(weights, layer, octave=octave, modes=[guides])
                simple = propagate(weights, layer, octave=octave, modes=["simple"])
                falls_back = guides == "inside" and name in coverage.lost
                assert (weighed == simple).all() == (guides == "simple" or falls_back)


def test_a_faint_region_is_not_called_thin(tmp_path: Path) -> None:
    file, _ = open_line(tmp_path, 6, "simple")
    Image.fromarray(np.full(PHOTO[::-1], 100, np.uint8)).save(tmp_path / "line.png")
    assert list_warnings(open_scene(read_recipe(file))) == [
        "line is at most 39% opaque: it takes most of its style from the regions around it"
    ]


def test_the_fall_back_of_a_style_images_mask_is_a_warning(tmp_path: Path) -> None:
    file, _ = open_line(tmp_path, 300 - 140, "inside")
    text = file.read_text().replace("oil: oil.png", "oil: {image: oil.png, mask: {rectangle: [0, 0, 0.05, 1]}}")
    file.write_text(text)
    (warning,) = [warning for warning in list_warnings(open_scene(read_recipe(file))) if "oil" in warning]
    assert warning.startswith("the mask of style oil is too narrow for inside guides at ")


@pytest.mark.parametrize(("one", "other"), [("simple", "all"), ("inside", "all"), ("inside", "simple")])
def test_the_strictest_guides_decide_how_a_shared_style_is_covered(tmp_path: Path, one: str, other: str) -> None:
    """Whatever the order of its regions."""
    file, _ = open_line(tmp_path, 40, one)
    text = file.read_text().replace("oil: oil.png", "oil: {image: oil.png, mask: {rectangle: [0, 0, 0.01, 1]}}")
    text, found = text.replace("style: ink", f"style: oil, guides: {other}").replace("ink: ink.png, ", ""), []
    for written in (text, text.replace(one, "?").replace(other, one).replace("?", other)):
        file.write_text(written)
        found.append([str(each) for each in measure_coverage(open_scene(read_recipe(file))).style_images["oil"]])
    assert found[0] == found[1]
    assert found[0][-1] != "all"


def test_a_seam_at_half_opacity_keeps_its_weight_at_every_octave(tmp_path: Path) -> None:
    """Two soft masks that meet: in every cell of every grid their weights sum to 1."""
    ramp = np.tile(np.clip(np.linspace(-1, 2, PHOTO[0]), 0, 1), (PHOTO[1], 1)).astype(np.float32)
    weights = np.stack([1 - ramp, ramp])
    for octave in range(3):
        for layer in (LITE.layers[name] for name in LITE.style_layers):
            shape = halve_shape(PHOTO[::-1], octave)
            grid = (shape[0] // layer.stride, shape[1] // layer.stride)
            np.testing.assert_allclose(
                cover_grid(weights, grid, layer, image=shape, mode="simple").sum(0), 1, atol=1e-5
            )


def test_inside_guides_keep_the_neighbours_edge_out_of_the_style(tmp_path: Path) -> None:
    """A style image that is flat within its mask and full of edges outside: `inside` sees only the flat part."""
    pixels = np.full((200, 200, 3), 120, np.uint8)
    pixels[:, 100:] = np.random.default_rng(0).integers(0, 255, (200, 100, 3))
    Image.fromarray(pixels).save(tmp_path / "oil.png")
    mask = np.zeros((200, 200), np.uint8)
    mask[:, :100] = 255
    Image.fromarray(mask).save(tmp_path / "flat.png")
    draw_image(200, 200, 1).save(tmp_path / "photo.png")
    errors = {}
    for guides in ("simple", "inside"):
        text = (
            "content: photo.png\nstyles: {oil: {image: oil.png, mask: flat.png}, all: {image: plain.png}}\nregions:\n"
        )
        Image.new("RGB", (200, 200), (120, 120, 120)).save(tmp_path / "plain.png")
        text += f"  - {{name: a, mask: {{rectangle: [0, 0, 0.5, 1]}}, style: oil, guides: {guides}}}\n"
        (tmp_path / "a.yaml").write_text(text + "  - {name: b, mask: rest, style: all}\n")
        objective = aim(open_scene(read_recipe(tmp_path / "a.yaml")))
        expected = [find_term(objective, (0, layer)).targets for layer in LITE.style_layers]
        errors[guides] = max(float((own - plain).norm() / plain.norm()) for own, plain in expected)
    assert errors["inside"] < 0.1 * errors["simple"]


def count_positions(guides: Guides) -> tuple[int, ...]:
    """Count the positions of each region."""
    assert guides.rows
    padding = torch.ones_like(guides.rows.positions)
    padding[guides.rows.mixed :] = guides.rows.roots[:, 0] > 0
    counts = padding.view(len(guides.owners), -1).sum(1)
    return tuple(int(counts[guides.owners == region].sum()) for region in range(len(guides.scales)))


def test_a_region_can_set_guides_of_its_own(tmp_path: Path) -> None:
    """On the output too: no position near its border is counted, or all whose field of 24 px touches it."""
    counts = {}
    for guides in ("simple", "inside", "all"):
        _, scene = open_line(tmp_path, 120, guides)
        objective = aim(scene)
        terms = {term.key: term for term in objective.style_terms}
        counts[guides] = count_positions(terms[0, "relu3_1"].statistic.guides[0])
    cells = 400 // 4
    assert counts["simple"] == (300 // 4 * cells - 120 // 4 * cells, 120 // 4 * cells)
    assert counts["inside"] == (counts["simple"][0], (120 - 24) // 4 * cells)
    assert counts["all"] == (counts["simple"][0], (120 + 24) // 4 * cells)


def test_hard_masks_that_fit_together_leave_no_gap(tmp_path: Path) -> None:
    """Also at a working size at which their edges are soft."""
    draw_image(1500, 90, 1).save(tmp_path / "photo.png")
    draw_image(90, 90, 2).save(tmp_path / "ink.png")
    left = (np.arange(1500) % 7 < 3) * np.full((90, 1), 255)
    for name, mask in (("one", left), ("other", 255 - left)):
        Image.fromarray(np.uint8(mask)).save(tmp_path / f"{name}.png")
    regions = "".join(f"  - {{name: {name}, mask: {name}.png, style: ink}}\n" for name in ("one", "other"))
    (tmp_path / "a.yaml").write_text(f"content: photo.png\nstyles: {{ink: ink.png}}\nregions:\n{regions}")
    scene = open_scene(read_recipe(tmp_path / "a.yaml"), CHECK_SIZE)
    assert scene.weights.shape[2] == CHECK_SIZE
    assert ((scene.weights[0] > 0.1) & (scene.weights[0] < 0.9)).mean() > 0.2
    assert scene.weights[2].max() == 0
    assert scene.overlaps == (0, 0)


def test_octaves_and_layers_without_weight_are_left_out(tmp_path: Path) -> None:
    """The coverage of a region that is matched at one octave and one layer lists no others."""
    file, _ = open_line(tmp_path, 6, "inside")
    settings = [
        Setting("regions.line.octaves", [0, 1, 0], "here"),
        Setting("regions.line.style_layers", {"relu1_1": 1, "relu3_4": 0}, "here"),
    ]
    scene = open_scene(read_recipe(file, settings), CHECK_SIZE)
    found = measure_coverage(scene).regions[1]
    assert [coverage.used for coverage in found[:3]] == [(), ("relu1_1",), ()]
    assert str(found[0]) == "-"
    assert not any("relu3_4" in warning or "400 px" in warning for warning in list_warnings(scene))
