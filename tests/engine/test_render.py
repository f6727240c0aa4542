"""Properties of whole renders."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from support.images import draw_image
from support.renders import find_term, paint

from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Update, load_encoder
from guidedstyle.engine.render import render
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import plan_stages
from guidedstyle.types import Setting, SolverMethod


def write_and_aim(project: Path, regions: str, **settings: object) -> Objective:
    """Return the objective of the last stage of a render of these regions."""
    settings = [Setting(key.replace("__", "."), value, "here") for key, value in settings.items()]
    scene = open_scene(read_recipe(write(project, regions), settings))
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    return Objective(scene, encoder, plan, plan.stages[-1])


def write(folder: Path, regions: str) -> Path:
    file = folder / "trial.yaml"
    styles = "styles: {ink: ink.png}\n" if "oil" not in regions else "styles: {ink: ink.png, oil: oil.png}\n"
    file.write_text(f"content: photo.png\n{styles}regions:\n{regions}solver: {{steps: 12, tolerance: 0}}\n")
    return file


def test_two_regions_of_half_opacity_give_the_image_of_one(project: Path) -> None:
    Image.new("L", (96, 64), 128).save(project / "half.png")
    one = "  - {name: a, mask: rest, style: ink}\n"
    few = {"solver__steps": 6}  # with more, rounding errors grow, on some processors a thousandfold
    whole = paint(write(project, one), torch.float32, **few)
    halves = paint(write(project, one + "  - {name: b, mask: half.png, style: ink}\n"), torch.float32, **few)
    assert np.abs(halves.image - whole.image).mean() < 1e-3
    assert np.abs(whole.image - paint_nothing(project)).mean() > 0.05


def paint_nothing(project: Path) -> np.ndarray:
    return open_scene(read_recipe(project / "recipe.yaml")).content


def test_strength_and_content_strength_have_opposite_effects(project: Path) -> None:
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    plain = paint(file)
    faithful = paint(file, regions__a__content_strength=100.0)
    weak = paint(file, regions__a__strength=0.02)
    assert faithful.losses.content[0] < 0.5 * plain.losses.content[0]
    assert weak.losses.style[0] > 1.2 * plain.losses.style[0]
    assert weak.losses.content[0] < plain.losses.content[0]


def test_smoothness_lowers_total_variation(project: Path) -> None:
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    assert paint(file, smoothness=500.0).losses.smoothness < 0.7 * paint(file).losses.smoothness


@pytest.mark.parametrize("method", get_args(SolverMethod))
@pytest.mark.parametrize("init", ["content", "noise", "style"])
def test_every_solver_and_start_lowers_the_loss(project: Path, method: str, init: str) -> None:
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    short = paint(file, init=init, solver={"method": method, "steps": 1})
    longer = paint(file, init=init, solver={"method": method, "steps": 30, "tolerance": 0})
    assert longer.losses.total < 0.6 * short.losses.total


def test_a_render_starts_from_a_file(project: Path) -> None:
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    red = Image.new("RGB", (48, 32), (255, 0, 0))
    red.save(project / "red.png")
    image = paint(file, init="red.png", solver={"steps": 1}).image
    assert image[0, 0].mean() > 0.9
    assert image[0, 1:].mean() < 0.1


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_recipe_gives_the_same_image(project: Path, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    images = [paint(project / "recipe.yaml", init="noise").image for _ in range(2)]
    torch.set_num_threads(before)
    assert (images[0] == images[1]).all()


def test_colour_content_keeps_the_chroma(project: Path) -> None:
    image = paint(project / "recipe.yaml", colour="content").image
    difference = image - paint_nothing(project)
    assert np.abs(difference).mean() > 0.01
    np.testing.assert_allclose(difference[0, 1:], difference[0, [0, 0]], rtol=0, atol=1e-5)
    assert image.min() >= 0
    assert image.max() <= 1


def test_colour_match_takes_the_colours_of_the_content_image(project: Path) -> None:
    grey = Image.fromarray(np.asarray(draw_image(96, 64, 1).convert("L").convert("RGB")))
    grey.save(project / "photo.png")
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    matched, plain = (paint(file, colour=colour, solver__steps=40).image for colour in ("match", "style"))
    assert np.ptp(matched, axis=1).mean() < 0.5 * np.ptp(plain, axis=1).mean()


@pytest.mark.parametrize("size", [(16, 16), (17, 200), (300, 16), (33, 31), (101, 77)])
def test_any_size_and_shape(project: Path, size: tuple[int, int]) -> None:
    draw_image(*size, 4).save(project / "photo.png")
    image = paint(write(project, "  - {name: a, mask: rest, style: ink}\n")).image
    assert image.shape == (1, 3, size[1], size[0])
    assert np.isfinite(image).all()


def test_thirty_regions(project: Path) -> None:
    lines = ""
    for index in range(30):
        stripe = np.zeros((64, 96), np.uint8)
        stripe[:, 3 * index : 3 * index + 3] = 255
        Image.fromarray(stripe).save(project / f"{index}.png")
        lines += f"  - {{name: r{index}, mask: {index}.png, style: {('ink', 'oil')[index % 2]}}}\n"
    rendering = paint(write(project, lines))
    assert np.isfinite(rendering.image).all()
    assert rendering.losses.style.shape == (30,)


@pytest.mark.parametrize("name", ["photo", "ink"])
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_flat_images_give_no_nan(project: Path, name: str, colour: int) -> None:
    Image.new("RGB", (96, 64), (colour,) * 3).save(project / f"{name}.png")
    rendering = paint(write(project, "  - {name: a, mask: rest, style: ink}\n"))
    assert rendering.finished
    assert np.isfinite(rendering.image).all()


def test_balance_by_area_or_equally(project: Path) -> None:
    """By area each pixel counts the same; with equal regions the style of a small one is matched better."""
    small = np.zeros((64, 96), np.uint8)
    small[:16, :24] = 255
    Image.fromarray(small).save(project / "small.png")
    file = write(project, "  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: small.png, style: oil}\n")
    by_area, equal = (paint(file, balance=balance, solver__steps=30).losses.style[1] for balance in ("area", "equal"))
    assert equal < by_area


@pytest.mark.parametrize(
    ("size", "steps", "expected"),
    [
        ((384, 288), 150, [((192, 144), 100), ((384, 288), 50)]),
        ((1024, 768), 150, [((128, 96), 80), ((256, 192), 40), ((512, 384), 20), ((1024, 768), 10)]),
        ((100, 80), 7, [((100, 80), 7)]),
        ((512, 512), 1, [((512, 512), 1)]),
    ],
)
def test_stages_run_from_coarse_to_fine(size: tuple[int, int], steps: int, expected: list[object]) -> None:
    stages = plan_stages(size, steps, 3)
    assert [(stage.size, stage.steps) for stage in stages] == expected


@pytest.mark.parametrize("steps", range(1, 40))
def test_stages_take_all_steps_and_no_more(steps: int) -> None:
    stages = plan_stages((2000, 1500), steps, 3)
    assert sum(stage.steps for stage in stages) == steps
    assert all(stage.steps >= 1 for stage in stages)


def test_the_target_of_a_mix_is_the_weighted_mean_of_its_styles(project: Path) -> None:
    regions = "".join(
        f"  - {{name: {name}, mask: left.png, style: {style}}}\n"
        for name, style in (("a", "ink"), ("b", "oil"), ("c", "{ink: 1, oil: 3}"))
    )
    Image.new("L", (96, 64), 100).save(project / "left.png")
    terms = write_and_aim(project, regions).style_terms
    assert len(terms) == 4 * 3
    for term in terms:
        assert term.indices.tolist() == [0, 1, 2]
        ink, oil, mix = term.targets
        torch.testing.assert_close(mix, 0.25 * ink + 0.75 * oil)
        assert (ink - oil).norm() > 0.01 * ink.norm()


def test_only_the_masked_part_of_a_style_image_is_its_style(project: Path) -> None:
    """A mask over the red half gives nearly the target of a style image that is all red."""
    halves = np.asarray(draw_image(80, 80, 2)).copy()
    halves[:, 40:] = (255, 0, 0)
    Image.fromarray(halves).save(project / "ink.png")
    mask = np.zeros((80, 80), np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save(project / "part.png")
    one = "  - {name: a, mask: rest, style: ink}\n"
    masked = find_term(write_and_aim(project, one, styles__ink__mask="part.png"), (0, "relu1_1")).targets
    whole = find_term(write_and_aim(project, one), (0, "relu1_1")).targets
    Image.new("RGB", (80, 80), (255, 0, 0)).save(project / "ink.png")
    red = find_term(write_and_aim(project, one), (0, "relu1_1")).targets
    off = [float((expected - red).norm() / red.norm()) for expected in (masked, whole)]
    assert off[0] < 0.2 * off[1]


def test_scale_makes_the_strokes_larger(project: Path) -> None:
    """An enlarged style image has less total variation, and so has the render."""
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    fine, coarse = (
        paint(file, styles__ink__scale=scale, regions__a__content_strength=0.0, solver__steps=60).losses.smoothness
        for scale in (0.5, 2.0)
    )
    assert coarse < 0.7 * fine


def test_the_last_stage_has_the_full_size(project: Path) -> None:
    file = write(project, "  - {name: a, mask: rest, style: ink}\n")
    rendering = paint(file, size=280)
    assert rendering.image.shape == (1, 3, 187, 280)
    assert [ending.steps for ending in rendering.endings] == [8, 4]
    alone = paint(file, size=280, solver__sizes=1)
    assert [ending.steps for ending in alone.endings] == [12]


def test_the_loss_of_a_recipe_with_mixes_hardly_jumps() -> None:
    """Without a trust radius, two of three steps of L-BFGS after the first pair were too large and were undone."""
    recipe = Path(__file__).parents[2] / "recipes" / "harbour.yaml"
    settings = {"size": 192, "solver.steps": 30, "solver.sizes": 1, "solver.tolerance": 0}
    scene = open_scene(read_recipe(recipe, [Setting(key, value, key) for key, value in settings.items()]))
    encoder, totals = load_encoder(scene.recipe.encoder), list[float]()

    def watch(update: Update) -> bool:
        totals.append(float(update.step.losses.total))
        return True

    render(scene, encoder, make_plan(scene, encoder, "cpu"), on_update=watch)
    assert max(later / earlier for earlier, later in pairwise(totals)) < 1.2
    assert totals[-1] < 0.3 * totals[0]
