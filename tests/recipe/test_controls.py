"""Controls: their values in a recipe, contradictions, controls without effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import refuse
from support.images import draw_image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.controls import Controls, RegionControls
from guidedstyle.recipe.inputs import list_files
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe, write_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.opening import open_scene

HEAD = "content: photo.png\nstyles: {ink: ink.png, oil: oil.png}\n"
REGIONS = "regions:\n  - {name: a, mask: rest, style: oil}\n  - {name: b, mask: left.png, style: ink, %s}\n"


def load(project: Path, text: str, *settings: str) -> Recipe:
    (project / "a.yaml").write_text(text)
    return load_recipe(project / "a.yaml", [parse_setting(setting) for setting in settings])


def test_a_region_has_every_control_of_the_image() -> None:
    assert Controls.model_fields.keys() == RegionControls.model_fields.keys()
    for key, field in Controls.model_fields.items():
        alone = RegionControls.model_fields[key]
        assert alone.default is None
        assert (alone.description, alone.json_schema_extra) == (field.description, field.json_schema_extra)


@pytest.mark.parametrize(
    ("key", "top", "own"),
    [
        ("strength", "2", "0.5"),
        ("content_strength", "2", "0"),
        ("smoothness", "0", "3"),
        ("guides", "inside", "simple"),
        ("statistics", "mean", "covariance"),
        ("style_layers", "relu1_1", "{relu2_1: 2, relu3_1: 1}"),
        ("content_layers", "[relu2_1, relu3_1]", "relu1_1"),
        ("octaves", "fine", "[0, 1]"),
        ("colour", "content", "{palette: [red, '#00f']}"),
        ("colour_strength", "0.5", "1"),
        ("opacity", "0.5", "1"),
        ("init", "noise", "{content: 1, noise: 0.5}"),
    ],
)
def test_a_region_has_the_controls_of_the_image_unless_it_has_its_own(
    project: Path, key: str, top: str, own: str
) -> None:
    extra = "colour: match\n" if key == "colour_strength" else ""
    recipe = load(project, f"{HEAD}{extra}{key}: {top}\n" + REGIONS % f"{key}: {own}")
    first, second = (getattr(controls, key) for controls in recipe.controls)
    assert first == getattr(recipe, key) != Controls.model_fields[key].default
    assert second != first
    (project / "again.yaml").write_text(write_recipe(recipe, project))
    assert load_recipe(project / "again.yaml").controls == recipe.controls


def test_shorthand_stands_for_the_canonical_form(project: Path) -> None:
    recipe = load(
        project,
        HEAD
        + """\
style_layers: [relu1_1, relu2_1]
content_layers: relu2_2
octaves: coarse
colour: match
init: photo.png
regions:
  - {name: a, mask: rest, style: {ink: 2, oil: {gradient: {from: [0, 0], to: [1, 0]}, weight: 3, scale: 0.5}}}
  - {name: b, mask: left.png, style: {ink: left.png, oil: {where: {file: left.png, invert: true}}}}
  - {name: c, mask: left.png, style: {fine: ink, coarse: oil}}
""",
    )
    assert recipe.style_layers == {"relu1_1": 1, "relu2_1": 1}
    assert recipe.content_layers == {"relu2_2": 1}
    assert recipe.octaves[0] < recipe.octaves[1] < recipe.octaves[2]
    assert (recipe.colour.match, recipe.colour.ways) == ("symmetric", ["match"])
    assert (recipe.init.file, recipe.init.image, recipe.init.content) == (project / "photo.png", 1, 0)
    first, second, third = recipe.regions
    assert first.style["ink"].weight == 2
    use = first.style["oil"]
    assert (use.weight, use.scale, use.where and use.where.gradient and use.where.gradient.end) == (3, 0.5, (1, 0))
    assert second.style["ink"].where.file == project / "left.png"
    assert second.style["oil"].where.invert
    assert third.style.keys() == {"ink on oil"}
    assert (recipe.styles["ink on oil"].fine, recipe.styles["ink on oil"].coarse) == ("ink", "oil")
    (project / "again.yaml").write_text(write_recipe(recipe, project))
    assert load_recipe(project / "again.yaml") == recipe
    assert (("init", "file"), project / "photo.png") in list(list_files(recipe))


def test_a_draft_takes_a_few_steps_unless_the_recipe_gives_them(project: Path) -> None:
    text = "content: photo.png\nstyle: ink.png\nmethod: draft\n"
    solver = load(project, text).solver
    assert (solver.steps, solver.sizes, solver.tolerance) == (7, 2, 0)
    solver = load(project, text + "solver: {steps: 12, seed: 3}\n").solver
    assert (solver.steps, solver.sizes, solver.seed) == (12, 2, 3)


def test_classic_has_the_published_settings_as_defaults(project: Path) -> None:
    text = "content: photo.png\nstyle: ink.png\nmethod: classic\n"
    recipe = load(project, text)
    assert recipe.encoder.name == "vgg19"
    assert list(recipe.style_layers) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert list(recipe.content_layers) == ["relu4_2"]
    assert (recipe.octaves, recipe.smoothness) == ((1,), 0)
    assert (recipe.solver.method, recipe.solver.steps, recipe.solver.sizes) == ("lbfgs", 500, 1)
    changed = load(project, text + "solver: {steps: 200}\ncontent_layers: relu2_2\n", "smoothness=2")
    assert (changed.solver.steps, changed.solver.sizes, changed.smoothness) == (200, 1, 2)
    assert list(changed.content_layers) == ["relu2_2"]
    assert load(project, "content: photo.png\nstyle: ink.png\n", "method=classic").encoder.name == "vgg19"
    assert recipe.solver.tolerance == 0
    named = load(project, text + "encoder: {convention: original}\n").encoder
    assert (named.name, named.convention) == ("vgg19", "original")


@pytest.mark.parametrize(("method", "steps"), [("lbfgs", 60), ("adam", 120), ("sgd", 200)])
def test_every_solver_has_its_own_number_of_steps(project: Path, method: str, steps: int) -> None:
    recipe = load(project, f"content: photo.png\nstyle: ink.png\nsolver: {{method: {method}}}\n")
    assert recipe.solver.most_steps == steps
    assert f"{steps} ({method})" in type(recipe.solver).model_fields["steps"].description


def test_a_weight_that_is_a_mask_varies_over_the_region(project: Path) -> None:
    rise = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    Image.fromarray(rise).save(project / "rise.png")
    (project / "a.yaml").write_text(HEAD + "regions:\n  - {name: a, mask: rest, style: {ink: 1, oil: rise.png}}\n")
    (mix,) = open_scene(read_recipe(project / "a.yaml")).mixes
    expected = rise / 255 / (1 + rise / 255)
    np.testing.assert_allclose(mix[1], expected, atol=0.01)
    np.testing.assert_allclose(mix.sum(0), 1, atol=1e-5)


def test_only_the_ratio_of_weights_counts(project: Path) -> None:
    mix = "{ink: {weight: 0.0004, gradient: {from: [0, 0], to: [1, 0]}}, oil: {weight: 0.0004, gradient: {from: [1, 0], to: [0, 0]}}}"
    (project / "a.yaml").write_text(f"{HEAD}regions:\n  - {{name: a, mask: rest, style: {mix}}}\n")
    (mix,) = open_scene(read_recipe(project / "a.yaml")).mixes
    np.testing.assert_allclose(mix[0, 0], (np.arange(96) + 0.5) / 96, atol=1e-4)


def test_a_canvas_needs_no_content_image(project: Path) -> None:
    (project / "a.yaml").write_text("canvas: [80, 48]\nstyle: ink.png\n")
    scene = open_scene(read_recipe(project / "a.yaml"))
    assert scene.content.shape == (1, 3, 48, 80)
    assert scene.recipe.controls[0].content_strength == 0
    assert scene.recipe.controls[0].init.matched == 1


CANVAS = "canvas: [64, 64]\nstyle: ink.png\n"
SMALL = "content: photo.png\nstyle: ink.png\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SMALL + "colour: {match: pca, palette: [red]}\n", "a.yaml:3: colour: colour cannot have match and palette at the same time | give one of style, match, content and palette"),
        (SMALL + "colour: {}\n", "a.yaml:3: colour: no source of colours is given | give one of style, match, content and palette"),
        (SMALL + "colour: gold\n", "a.yaml:3: colour.gold: there is no key 'gold' here | use one of style, content, match, palette"),
        (SMALL + "colour: {match: lab}\n", "a.yaml:3: colour.match: 'lab' is not one of the choices | match must be 'symmetric', 'pca', 'cholesky' or 'histogram'"),
        (SMALL + "colour: {palette: [red, 7]}\n", "a.yaml:3: colour.palette[1]: 7 is not valid | palette[1] must be a colour in quotes, such as '#ff0000', or a CSS name such as red"),
        (SMALL + "colour_strength: 2\n", "a.yaml:3: colour_strength: 2 is too large | colour_strength must be at most 1"),
        (SMALL + "init: {noise: 0}\n", "a.yaml:3: init: its weights sum to 0 | give at least one a weight above 0"),
        (SMALL + "init: {content: 1, image: 1}\n", "a.yaml:3: init.image: `image` needs `file:` | add file:"),
        (SMALL + "init: gone.png\n", "a.yaml:3: init.file: there is no file gone.png | paths are relative to the recipe file; check the name and the folder"),
        (SMALL + "octaves: [0, 0]\n", "a.yaml:3: octaves: its weights sum to 0 | give at least one a weight above 0"),
        (SMALL + "octaves: middle\n", "a.yaml:3: octaves: 'middle' is not valid | octaves must be a list"),
        (SMALL + "octaves: [1, x]\n", "a.yaml:3: octaves[1]: 'x' is not valid | octaves[1] must be a number"),
        (SMALL + "octaves: []\n", "a.yaml:3: octaves: [] has too few entries | octaves must have at least 1"),
        (SMALL + "style_layers: {relu1_1: 0}\n", "a.yaml:3: style_layers: its weights sum to 0 | give at least one a weight above 0"),
        (SMALL + "style_layers: [relu4_1]\n", "a.yaml:3: style_layers.relu4_1: lite has no layer 'relu4_1' | use relu1_1 to relu3_4"),
        (SMALL + "content_layers: conv3\nencoder: vgg19\n", "a.yaml:3: content_layers.conv3: vgg19 has no layer 'conv3' | use relu1_1 to relu5_4"),
        (HEAD + REGIONS.replace("style: ink, ", "") % "smoothness: 2", "a.yaml:5: regions[1]: region 'b' has no style | add style: NAME, or keep: true, or strength: 0"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: {gradient: {from: [0, 0], to: [1, 0]}, threshold: 0.6}}") % "strength: 1", "a.yaml:5: regions[1].style: the weights of its styles sum to 0 over 100.0% of the region | give one of them a weight there, or cut the region's mask"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: rest}") % "strength: 1", "a.yaml:5: regions[1].style.ink.where: rest is everything that no other region covers: it can only be a region's whole mask | use all, or {except: [all, ...]}"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: gone.png}") % "strength: 1", "a.yaml:5: regions[1].style.ink.where: there is no file gone.png | paths are relative to the recipe file; check the name and the folder"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: {weight: -1}}") % "strength: 1", "a.yaml:5: regions[1].style.ink.weight: -1 is too small | weight must be at least 0"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: [1]}") % "strength: 1", "a.yaml:5: regions[1].style.ink: [1] is not valid | ink must be keys with values"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: left.png}") % "strength: 1", "a.yaml:5: regions[1].style: a mask has no effect on a region's only style | add a second style, or use it as the region's mask"),
        (HEAD + REGIONS.replace("style: ink, ", "") % "strength: 0, init: style", "a.yaml:5: regions[1].init: there is no style image to start from | give the region a style"),
        (HEAD + REGIONS.replace("style: ink", "style: {ink: 1, oil: {where: left.png, grow: 2}}") % "strength: 1", "a.yaml:5: regions[1].style.oil.grow: there is no key 'grow' here"),
        (HEAD + REGIONS.replace("style: ink", "style: {fine: ink, coarse: oil, scale: 2}") % "strength: 1", "a.yaml:5: regions[1].style.scale: there is no style 'scale'"),
        (SMALL + "method: classic\nencoder: lite\n", "a.yaml:3: method: method: classic uses layers of vgg19, not of lite | set encoder: vgg19, or remove method"),
        (SMALL + "method: classic\nstatistics: mean\n", "a.yaml:4: statistics: method: classic uses gram, not mean | remove it, or set method: octaves"),
        (CANVAS + "content: photo.png\n", "a.yaml:1: canvas: a recipe cannot have both content and canvas | remove one of the two"),
        (CANVAS + "content_strength: 1\n", "a.yaml:3: content_strength: it needs a content image, but the recipe has only a canvas | change content_strength, or use content: instead of canvas:"),
        (CANVAS + "init: content\n", "a.yaml:3: init: it needs a content image, but the recipe has only a canvas | change init, or use content: instead of canvas:"),
        (CANVAS + "colour: match\n", "a.yaml:3: colour: it needs a content image, but the recipe has only a canvas | change colour, or use content: instead of canvas:"),
        ("canvas: [64]\nstyle: ink.png\n", "a.yaml:1: canvas[1]: canvas[1] is missing | add canvas[1]:"),
        ("canvas: [64, 8]\nstyle: ink.png\n", "a.yaml:1: canvas[1]: 8 is too small | canvas[1] must be at least 16"),
        ("canvas: [64, 64]\nstyles: {ink: ink.png}\nregions:\n  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: {rectangle: [0, 0, 1, 0.5]}, keep: true}\n", "a.yaml:5: regions[1].keep: there is no content image to keep | remove keep, or use content: instead of canvas:"),
        (HEAD + "style: {fine: ink, coarse: ink}\n", "fine and coarse are the same style | give two different styles, or use that style alone"),
        (HEAD + "style: {fine: ink, coarse: inc}\n", "there is no style image 'inc' | use a style that has an image"),
        ("content: photo.png\nstyle: made\nstyles: {ink: ink.png, made: {fine: ink}}\n", "a.yaml:3: styles.made: fine and coarse must both be given | give both: {fine: NAME, coarse: NAME}"),
        ("content: photo.png\nstyle: made\nstyles: {ink: ink.png, oil: oil.png, made: {fine: ink, coarse: oil, flip: both}}\n", "a.yaml:3: styles.made.flip: a style that combines two others has no flip of its own | give flip to one of the two"),
        ("content: photo.png\nstyle: more\nstyles: {ink: ink.png, oil: oil.png, made: {fine: ink, coarse: oil}, more: {fine: made, coarse: oil}}\n", "a.yaml:3: styles.more.fine: 'made' combines two styles itself | use a style that has an image"),
        ("content: photo.png\nstyle: made\nstyles: {ink: ink.png, made: {image: oil.png, fine: ink, coarse: ink}}\n", "a.yaml:3: styles.made: a style cannot have both image and fine or coarse | remove image, or fine and coarse"),
        ("content: photo.png\nstyle: a\nstyles: {ink: ink.png, a: {fine: b, coarse: b}, b: {fine: a, coarse: a}}\n", "a.yaml:3: styles.a.fine: 'b' combines two styles itself | use a style that has an image"),
        ("content: photo.png\nstyle: ink\nstyles: {ink: {scale: 2}}\n", "a.yaml:3: styles.ink: image is missing | add image: IMAGE"),
        (SMALL + "solver: {learning_rate: 0}\n", "a.yaml:3: solver.learning_rate: 0 is too small | learning_rate must be above 0"),
        (SMALL + "solver: {sizes: 0}\n", "a.yaml:3: solver.sizes: 0 is too small | sizes must be at least 1"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(project: Path, text: str, problem: str) -> None:
    draw_image(96, 64, 5).save(project / "again.png")
    found = refuse(project / "a.yaml", text)
    assert any(problem in line for line in found), found
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("setting", ["solver={steps: 3, steps: 5}", "solver={<<: {steps: 3}}", "solver={[a]: 3}"])
def test_a_setting_that_leaves_another_without_effect_is_refused(setting: str) -> None:
    with pytest.raises(GuidedStyleError, match="--set solver="):
        parse_setting(setting)
