"""The objective of a stage, control by control, against plain formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.images import draw_image

from guidedstyle.encoders.architecture import Normalisation
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.vgg import VGG19
from guidedstyle.engine.objective.canvas import resize
from guidedstyle.engine.objective.colour import match_colours, take_swatch
from guidedstyle.engine.objective.objective import Objective
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import load_encoder
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import to_array
from guidedstyle.losses.propagation import OctaveLayer
from guidedstyle.losses.statistics import build_octaves
from guidedstyle.losses.terms import StyleTerm
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import ColourMethod

HEAD = "content: photo.png\nstyles: {ink: ink.png}\n"
TWO = HEAD + "regions:\n  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: left.png, style: ink, %s}\n"


def aim(project: Path, text: str, *settings: str, stage: int = -1) -> Objective:
    """Return the objective of one stage of a render."""
    (project / "a.yaml").write_text(text)
    scene = open_scene(read_recipe(project / "a.yaml", [parse_setting(setting) for setting in settings]))
    encoder = load_encoder(scene.recipe.encoder)
    plan = make_plan(scene, encoder, "cpu")
    return Objective(scene, encoder, plan, plan.stages[stage])


def find(objective: Objective, key: OctaveLayer) -> StyleTerm:
    (term,) = (term for term in objective.style_terms if (term.key, term.statistic.statistic) == (key, "gram"))
    return term


def weights_of(objective: Objective, part: int) -> dict[OctaveLayer, float]:
    """Return the weights of all octaves and layers for one part."""
    return {
        term.key: float(weight)
        for term in objective.style_terms
        for index, weight in zip(term.indices, term.weights, strict=True)
        if index == part
    }


def content_of(objective: Objective) -> torch.Tensor:
    return objective.canvas.content


def test_layers_and_octaves_have_their_weights_and_others_are_not_computed(project: Path) -> None:
    settings = ("style_layers={relu1_1: 3, relu2_1: 1}", "octaves=[2, 1, 0]")
    objective = aim(project, TWO % "style_layers: relu3_1, octaves: [0, 1]", *settings)
    whole = weights_of(objective, 0)
    assert whole == pytest.approx(
        {
            (0, "relu1_1"): 3 / 4 * 2 / 3,
            (0, "relu2_1"): 1 / 4 * 2 / 3,
            (1, "relu1_1"): 3 / 4 * 1 / 3,
            (1, "relu2_1"): 1 / 4 * 1 / 3,
        }
    )
    assert weights_of(objective, 1) == pytest.approx({(1, "relu3_1"): 1})
    found = [
        [
            {term.layer.name for term in octave.terms if isinstance(term, StyleTerm) == styled}
            for octave in objective.octaves
        ]
        for styled in (True, False)
    ]
    assert found[0] == [{"relu1_1", "relu2_1"}, {"relu1_1", "relu2_1", "relu3_1"}]
    assert found[1] == [{"relu3_1", "pixels"}, set()]


def test_equal_weights_make_a_mean_over_octaves_and_layers(project: Path) -> None:
    assert list(weights_of(aim(project, TWO % "strength: 1"), 0).values()) == pytest.approx([1 / 12] * 12)


def test_octaves_are_counted_from_the_size_of_the_output(project: Path) -> None:
    """The finest octave of the second stage is the second octave of the output; coarser ones weigh as the last."""
    settings = ("octaves=[8, 4, 1]", "size=560", "style_layers=relu1_1")
    stages = [weights_of(aim(project, TWO % "strength: 1", *settings, stage=stage), 0) for stage in (2, 1, 0)]
    found = [[stage[octave, "relu1_1"] * 13 for octave in range(3)] for stage in stages]
    assert found == [pytest.approx([8, 4, 1]), pytest.approx([4, 1, 1]), pytest.approx([1, 1, 1])]


def test_a_regions_loss_is_the_weighted_sum_of_its_distances_in_its_own_statistic(project: Path) -> None:
    objective = aim(project, TWO % "statistics: mean, style_layers: {relu2_1: 1, relu3_1: 3}, octaves: [1]")
    losses = objective(content_of(objective))
    features = objective.encoder.encode(content_of(objective), ("relu2_1", "relu3_1"))
    style_image = objective.target_builder.scene.style_images["ink"]
    image = resize(torch.from_numpy(style_image.image), style_image.fit(max(objective.stage.size)))
    style = objective.encoder.encode(image, ("relu2_1", "relu3_1"))
    total = 0.0
    for layer, weight in (("relu2_1", 1 / 4), ("relu3_1", 3 / 4)):
        height, width = features[layer].shape[2:]
        metric = objective.encoder.metrics[layer]
        inside = torch.zeros(height, width)
        inside[:, : width // 2] = 1
        mean = (features[layer][0] * inside).sum((1, 2)) / inside.sum()
        expected = style[layer][0].mean((1, 2))
        distance = (metric @ (mean - expected)).square().sum() / (metric @ expected).square().sum()
        total += weight * float(distance)
    assert float(losses.style[1]) == pytest.approx(total, rel=1e-4)


def test_a_metric_gives_the_same_distance_wherever_it_is_applied(project: Path) -> None:
    """To the features where the grid is small, and to the Gram matrices elsewhere: |M (G - G') M^T|^2 by hand."""
    text = "content: photo.png\nstyles: {ink: ink.png}\nregions:\n  - {name: a, mask: rest, style: ink}\n"
    objective, applied = aim(project, text), set()
    images = build_octaves(content_of(objective), 3)
    for term in objective.style_terms:
        features = objective.encoder.encode(images[term.octave], [term.layer.name])[term.layer.name]
        flat, metric = features[0].flatten(1).double(), objective.encoder.metrics[term.layer.name].double()
        apart = metric @ (flat @ flat.T / flat.shape[1] - term.targets[0].double()) @ metric.T
        whole = metric @ term.targets[0].double() @ metric.T
        found = term.measure_distances(term.read(features, objective.octaves[term.octave].tiles[0], 0)[0])
        assert float(found) == pytest.approx(float(apart.square().sum() / whole.square().sum()), rel=1e-4)
        applied.add(term.statistic.metric is not None)
    assert applied == {False, True}


def test_a_varying_mix_has_the_mixed_gram_in_the_middle_and_pure_ones_at_the_ends(project: Path) -> None:
    gradient = "{gradient: {from: [%d, 0], to: [%d, 0]}}"
    text = "content: photo.png\nstyles: {ink: ink.png, oil: oil.png}\nregions:\n  - {name: a, mask: rest, style: %s}\n"
    varying = aim(project, text % f"{{ink: {gradient % (1, 0)}, oil: {gradient % (0, 1)}}}")
    ink, oil = (aim(project, text % f"{{{name}: 1, {other}: 0}}") for name, other in (("ink", "oil"), ("oil", "ink")))
    mixes = [part.mix for part in varying.canvas.parts]
    assert sorted(mix[1] for mix in mixes) == [0, 0.25, 0.5, 0.75, 1]
    for place in ((0, "relu1_1"), (2, "relu3_4")):
        one, other = (find(end, place).targets[0] for end in (ink, oil))
        for index, mix in enumerate(mixes):
            torch.testing.assert_close(find(varying, place).targets[index], mix[0] * one + mix[1] * other)
    middle = varying.canvas.parts[mixes.index((0.5, 0.5))].weights
    assert abs(np.average(np.arange(96), weights=middle[30]) - 47.5) < 1
    assert middle[:, :20].max() < 1e-5


def test_a_regions_loss_is_the_mean_of_its_parts_by_area(project: Path) -> None:
    text = "content: photo.png\nstyles: {ink: ink.png, oil: oil.png}\nregions:\n  - {name: a, mask: rest, style: %s}\n"
    gradient = "{gradient: {from: [0, 0], to: [1, 0]}}"
    objective = aim(project, text % f"{{ink: 1, oil: {gradient}}}")
    losses = objective(content_of(objective))
    parts = torch.zeros(len(objective.canvas.parts))
    features = {key: objective.encoder.encode(image, [key[1]])[key[1]] for key, image in octaves_of(objective)}
    for term in objective.style_terms:
        sums = term.read(features[term.key], objective.octaves[term.octave].tiles[0], 0)[0]
        parts[term.indices] += term.weights * term.measure_distances(sums)
    areas = torch.tensor([part.weights.sum() for part in objective.canvas.parts])
    assert float(losses.style[0]) == pytest.approx(float((areas * parts).sum() / areas.sum()), rel=1e-4)


def octaves_of(objective: Objective) -> list[tuple[OctaveLayer, torch.Tensor]]:
    octaves = build_octaves(content_of(objective), 3)
    return [(key, octaves[key[0]]) for key in {term.key for term in objective.style_terms}]


@pytest.mark.parametrize("method", ["symmetric", "pca", "cholesky", "histogram"])
def test_colours_are_matched_to_the_pixels_of_the_region_alone(project: Path, method: ColourMethod) -> None:
    """The target of one region is that of the style image recoloured by hand to the pixels of the left half."""
    objective = aim(project, TWO % f"colour: {{match: {method}}}")
    content, left = to_array(Image.open(project / "photo.png")), np.zeros((64, 96), np.float32)
    left[:, :48] = 1
    style_image = objective.target_builder.scene.style_images["ink"]
    image = resize(torch.from_numpy(style_image.image), style_image.fit(96)).numpy()
    matched = match_colours(image, np.ones(image.shape[2:], np.float32), take_swatch(content, left), method).clip(0, 1)
    found = find(objective, (0, "relu1_1")).targets
    for index, expected in ((0, image), (1, matched)):
        features = objective.encoder.encode(torch.from_numpy(expected), ["relu1_1"])["relu1_1"][0].flatten(1)
        torch.testing.assert_close(found[index], features @ features.T / features.shape[1], rtol=1e-3, atol=1e-4)
    assert (found[0] - found[1]).norm() > 0.1 * found[0].norm()


@pytest.mark.parametrize("colour", ["match", "{match: histogram}", "{palette: [red, navy]}", "content"])
def test_colour_strength_interpolates(project: Path, colour: str) -> None:
    """At 0 the target is that of the original colours; at one half it is in between."""
    expected = [
        find(aim(project, TWO % f"colour: {colour}, colour_strength: {strength}"), (0, "relu1_1")).targets[1]
        for strength in (0, 0.5, 1)
    ]
    plain = find(aim(project, TWO % "colour: style"), (0, "relu1_1")).targets[1]
    torch.testing.assert_close(expected[0], plain)
    whole = float((expected[2] - expected[0]).norm())
    assert 0.1 * whole < float((expected[1] - expected[0]).norm()) < 0.9 * whole


def test_scale_in_a_region_is_local(project: Path) -> None:
    text = HEAD + "regions:\n  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: left.png, style: %s}\n"
    here = aim(project, text % "{ink: {scale: 2}}")
    everywhere = aim(project, text % "ink", "styles.ink.scale=2")
    plain = aim(project, text % "ink")
    for place in ((0, "relu1_1"), (1, "relu3_1")):
        first, second = find(here, place).targets
        unchanged = find(plain, place).targets[0]
        assert (first - unchanged).norm() < 0.02 * unchanged.norm()
        assert (second - unchanged).norm() > 0.05 * unchanged.norm()
        torch.testing.assert_close(second, find(everywhere, place).targets[1])


def test_a_pixel_at_the_limit_of_its_luminance_has_a_gradient(project: Path) -> None:
    """Deep blue limits the luminance; white paint over it still has a gradient."""
    Image.new("RGB", (96, 64), (40, 40, 250)).save(project / "photo.png")
    objective = aim(project, TWO % "colour: content", "colour=content")
    white = torch.ones(1, 3, 64, 96, requires_grad=True)
    objective(white).total.backward()
    assert (white.grad.abs().sum(1) > 0).float().mean() > 0.9


def test_content_layers_of_each_region_have_their_weights(project: Path) -> None:
    objective = aim(project, TWO % "content_layers: {relu1_2: 1, relu2_2: 3}", "content_layers=relu3_1")
    image = content_of(objective).roll(3, 3)
    losses = objective(image)
    found = objective.encoder.encode(image, ("relu1_2", "relu2_2"))
    kept = objective.encoder.encode(content_of(objective), ("relu1_2", "relu2_2"))
    total = 0.0
    for layer, weight in (("relu1_2", 1 / 4), ("relu2_2", 3 / 4)):
        error = (found[layer] - kept[layer]).square().sum(1)[0]
        total += weight * float(error[:, : error.shape[1] // 2].mean() / kept[layer].square().sum(1).mean())
    assert float(losses.content[1]) == pytest.approx(total, rel=1e-4)
    assert {term.layer.name for term in objective.content_terms} == {"relu1_2", "relu2_2", "relu3_1"}


def test_smoothness_of_a_region_is_local(project: Path) -> None:
    smooth, plain = (aim(project, TWO % f"smoothness: {smoothness}") for smoothness in (50, 1))
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradients = [torch.autograd.grad(objective(image).total, image)[0] for objective in (smooth, plain)]
    apart = (gradients[0] - gradients[1]).abs().amax((0, 1, 2))
    assert apart[:48].min() > 0
    assert apart[50:].max() < 1e-9


CONTROLS = [
    "strength: 5",
    "content_strength: 5",
    "smoothness: 500",
    "guides: inside",
    "statistics: covariance",
    "style_layers: relu2_1",
    "content_layers: relu1_1, content_strength: 5",
    "octaves: [0, 1]",
    "colour: match",
    "colour: {palette: [red, gold]}",
    "colour: content",
    "init: noise",
]


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_of_a_region_leave_the_gradient_beyond_the_seam_unchanged(project: Path, control: str) -> None:
    """A control of the left half changes the gradient there, and not beyond the receptive fields of the features.

    What is left is the rounding of sums over other numbers of rows; a region without chroma is also seen from across
    the seam, which moves the neighbour's Gram matrix a little.
    """
    draw_image(320, 64, 4).save(project / "photo.png")
    half = np.zeros((64, 320), np.uint8)
    half[:, :80] = 255
    Image.fromarray(half).save(project / "left.png")
    settings = ("solver.sizes=1", "octaves=[1, 1]")
    changed, plain = (aim(project, TWO % one, *settings) for one in (control, "strength: 1"))
    image = torch.rand(1, 3, 64, 320, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradients = [torch.autograd.grad(objective(image).total, image)[0] for objective in (changed, plain)]
    apart, size = (gradients[0] - gradients[1]).abs().amax((0, 1, 2)), gradients[1].abs().max()
    if not control.startswith("init"):
        assert apart[:80].max() > 1e-3 * size
    assert apart[80 + 2 * 48 + 8 :].max() < (5e-3 if control == "colour: content" else 1e-5) * size


def test_octaves_that_a_small_image_lacks_are_errors(project: Path) -> None:
    with pytest.raises(
        GuidedStyleError, match=r"regions\[1\].octaves: an image of 96 x 64 px has 3, and none of them has weight"
    ):
        aim(project, TWO % "octaves: [0, 0, 0, 1]")


def test_layers_of_weight_0_need_not_be_in_the_weights_file(deep: Path) -> None:
    state = {key: value for key, value in load_file(deep / "deep.safetensors").items() if int(key.split(".")[1]) < 10}
    save_file(state, deep / "short.safetensors")
    text = (
        "content: photo.png\nstyle: ink.png\nencoder: {name: vgg19, weights: short.safetensors, convention: original}\n"
    )
    settings = ("content_layers=relu2_2", "style_layers={relu1_1: 1, relu4_1: 0}")
    assert list(aim(deep, text, *settings).plan.style_layers) == ["relu1_1"]
    with pytest.raises(GuidedStyleError, match="the weights end before relu4_1"):
        aim(deep, text, settings[0], "style_layers={relu1_1: 1, relu4_1: 1}")


@pytest.fixture
def deep(project: Path) -> Path:
    """Write random weights of all of VGG-19, scaled so that features neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    encoder = ConvEncoder(VGG19, Normalisation((0.0,) * 3, (1.0,) * 3))
    state = {key: value for key, value in encoder.state_dict().items() if key.startswith("features")}
    for key, value in state.items():
        fan = value[0].numel() if value.ndim == 4 else 1
        state[key] = torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5 * (value.ndim == 4)
    save_file(state, project / "deep.safetensors")
    return project


@pytest.mark.parametrize("convention", ["original", "torchvision"])
def test_classic_is_the_published_loss(deep: Path, convention: str) -> None:
    """Gatys et al. 2016 by hand: layers, weights 1e3 / C^2 and 1, means over C^2 and C N, on inputs of 0..255."""
    text = "content: photo.png\nstyle: ink.png\nmethod: classic\n"
    encoder = f"encoder={{name: vgg19, weights: deep.safetensors, convention: {convention}}}"
    objective = aim(deep, text, encoder, "size=224")
    image = content_of(objective).flip(3)
    style_image = objective.target_builder.scene.style_images["style"]
    style = resize(torch.from_numpy(style_image.image), style_image.fit(224))
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2")
    unit = 1.0 if convention == "original" else 255 * (0.229 + 0.224 + 0.225) / 3
    found, expected, kept = (
        {name: f.double() * unit for name, f in objective.encoder.encode(one, layers).items()}
        for one in (image, style, content_of(objective))
    )
    loss = (found["relu4_2"] - kept["relu4_2"]).square().mean()
    for layer in layers[:5]:
        one, other = (
            f[layer][0].flatten(1) @ f[layer][0].flatten(1).T / f[layer][0, 0].numel() for f in (found, expected)
        )
        loss = loss + 1e3 / len(one) ** 2 * (one - other).square().mean()
    assert float(objective(image).total) == pytest.approx(float(loss), rel=1e-3)
    assert len(objective.style_terms) == 5


def test_classic_renders_with_deep_layers(deep: Path) -> None:
    from guidedstyle.engine.render import render

    text = "content: photo.png\nstyle: ink.png\nmethod: classic\nsolver: {steps: 3}\nsize: 224\n"
    objective = aim(deep, text, "encoder={name: vgg19, weights: deep.safetensors, convention: original}")
    scene: Scene = objective.target_builder.scene
    rendering = render(scene, objective.encoder, objective.plan)
    assert rendering.finished
    assert len(rendering.endings) == 1
    before = objective(content_of(objective)).total
    assert float(rendering.losses.total) < float(before)
