"""The effect of each control on renders of real images with VGG-19."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from support.cases import DATA, needs_data, vgg19, write_recipe
from support.grams import encode_octaves

from guidedstyle.encoders.encoder import Encoder
from guidedstyle.engine.objective.colour import extract_luminance
from guidedstyle.engine.plan import make_plan
from guidedstyle.engine.progress import Rendering, load_encoder
from guidedstyle.engine.render import make_style_images_for, render
from guidedstyle.io.images.reading import read_image, to_array
from guidedstyle.io.images.writing import to_pillow
from guidedstyle.losses.gram import STATISTICS
from guidedstyle.losses.guides import make_guides
from guidedstyle.losses.propagation import OctaveLayer
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array, SolverMethod, Statistic

pytestmark = [needs_data, pytest.mark.slow]

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu3_4")
PLACES = [(octave, layer) for octave in range(3) for layer in LAYERS]
IMAGES = DATA / "images"
TUBINGEN, STARRY = IMAGES / "nspt_tubingen.jpg", IMAGES / "nspt_starry_night.jpg"
WHEAT, CANDY, WAVE = IMAGES / "gor_vg_wheat_field.jpg", IMAGES / "jfns_candy.jpg", IMAGES / "titu_wave_kanagawa.jpg"
TILES = Path(__file__).parents[2] / "recipes" / "images" / "tiles.jpg"
LEFT = {"rectangle": [0, 0, 0.5, 1]}
SIZE, STEPS = 192, 60


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(read_encoder())


def read_encoder():
    from guidedstyle.recipe.model import EncoderChoice

    return EncoderChoice(**vgg19())


def open_(folder: Path, *settings: str, **keys: object) -> Scene:
    keys = {"size": SIZE, "encoder": vgg19(), "solver": {"steps": STEPS}, **keys}
    file = write_recipe(folder / "recipe.yaml", **keys)
    return open_scene(read_recipe(file, [parse_setting(setting) for setting in settings]))


def paint(encoder: Encoder, folder: Path, *settings: str, **keys: object) -> Rendering:
    scene = open_(folder, *settings, **keys)
    return render(scene, encoder, make_plan(scene, encoder, "cpu"))


def two_regions(left: dict[str, object], **keys: object) -> dict[str, object]:
    """Write a recipe whose left half has its own controls."""
    regions = [
        {"name": "right", "mask": "rest", "style": "wheat"},
        {"name": "left", "mask": LEFT, "style": "starry", **left},
    ]
    styles = {"wheat": str(WHEAT), "starry": str(STARRY)}
    return {"content": TUBINGEN, "styles": styles, "regions": regions, **keys}


def measure(
    encoder: Encoder, image: Array, statistic: Statistic = "gram", part: slice = slice(None)
) -> dict[OctaveLayer, torch.Tensor]:
    """Measure statistics of some columns of an image (1, 3, h, w) at every octave and layer."""
    encoder = encoder.float()
    with torch.no_grad():
        features = encode_octaves(encoder, torch.from_numpy(np.ascontiguousarray(image[..., part])), PLACES)
        return {
            place: STATISTICS[statistic](f, make_guides(torch.full_like(f[:, 0], 1 / f[0, 0].numel())))[0]
            for place, f in features.items()
        }


def compare(
    one: dict[OctaveLayer, torch.Tensor], other: dict[OctaveLayer, torch.Tensor], octaves: range = range(3)
) -> float:
    """Measure the distance between statistics, relative to the other's, over some octaves."""
    places = [place for place in one if place[0] in octaves]
    return float(np.mean([float((one[p] - other[p]).square().sum() / other[p].square().sum()) for p in places]))


def read(file: Path, longest: int) -> Array:
    return to_array(read_image(file, longest))


def moments(image: Array, part: slice) -> tuple[np.ndarray, np.ndarray]:
    colours = image[0][..., part].reshape(3, -1).astype(float)
    return colours.mean(1), np.cov(colours)


LEFT_HALF, RIGHT_HALF = slice(0, SIZE // 2), slice(SIZE // 2, SIZE)


def test_match_restores_the_colours_of_a_region(encoder: Encoder, tmp_path: Path) -> None:
    content = open_(tmp_path, **two_regions({})).content
    found = {
        colour: moments(paint(encoder, tmp_path, **two_regions({"colour": colour})).image, LEFT_HALF)
        for colour in ("match", "style")
    }
    mean, covariance = moments(content, LEFT_HALF)
    off = {
        key: (np.abs(m - mean).max(), np.linalg.norm(c - covariance) / np.linalg.norm(covariance))
        for key, (m, c) in found.items()
    }
    print("match: mean, covariance off by", off)
    assert off["match"][0] < 0.03
    assert off["match"][1] < 0.25
    assert off["style"][0] > 3 * off["match"][0]


def test_a_palette_determines_the_colours_of_a_region(encoder: Encoder, tmp_path: Path) -> None:
    palette = ["#2b0f54", "#ab1f65", "#ff4f69", "#ff8142", "#ffda45"]
    colours = ({"palette": palette}, "style")
    images = [paint(encoder, tmp_path, **two_regions({"colour": colour})).image for colour in colours]
    expected = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in palette])
    off = [
        np.linalg.norm(image[0, :, :, LEFT_HALF].reshape(3, -1, 1) - expected.T[:, None], axis=0).min(1).mean()
        for image in images
    ]
    mean = moments(images[0], LEFT_HALF)[0]
    print("palette: mean off by", np.abs(mean - expected.mean(0)).max(), "nearest colour, and as painted, off by", off)
    assert np.abs(mean - expected.mean(0)).max() < 0.05
    assert off[0] < 0.7 * off[1]


def test_content_keeps_chroma_exactly_in_its_region_alone(encoder: Encoder, tmp_path: Path) -> None:
    recipe = two_regions({"colour": "content"})
    image, before = (
        torch.from_numpy(paint(encoder, tmp_path, **recipe).image),
        torch.from_numpy(open_(tmp_path, **recipe).content),
    )
    chroma, expected = (one - extract_luminance(one) for one in (image, before))
    apart = (chroma - expected).abs().amax((0, 1, 2))
    levels = np.abs(np.int16(to_pillow(chroma.numpy() + 0.5)) - np.int16(to_pillow(expected.numpy() + 0.5))).max((0, 2))
    assert apart[: SIZE // 2 - 2].max() < 1e-6  # away from the edge, which is soft
    assert levels[: SIZE // 2 - 2].max() <= 1
    assert apart[RIGHT_HALF].mean() > 0.1
    changed = (extract_luminance(image) - extract_luminance(before)).abs()[..., LEFT_HALF]
    assert changed.mean() > 0.05


def wavelength(image: Array) -> float:
    """Measure the wavelength, in pixels, at which the spectrum of an image has most energy per octave."""
    grey = image[0].mean(0)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])
    power = np.square(np.abs(np.fft.fft2((grey - grey.mean()) * window)))
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in grey.shape), indexing="ij"))
    edges = np.geomspace(1 / 48, 1 / 2, 28)
    energy = np.histogram(frequency, edges, weights=power)[0]
    return float(1 / np.sqrt(edges[energy.argmax()] * edges[energy.argmax() + 1]))


def test_doubling_scale_doubles_the_wavelength_of_the_strokes(encoder: Encoder, tmp_path: Path) -> None:
    """The style image has one dominant wavelength, which doubles when it is resized; so do the strokes."""
    styles = {"tiles": {"image": str(TILES)}}
    found = {
        scale: wavelength(
            paint(encoder, tmp_path, f"styles.tiles.scale={scale}", canvas=[256, 256], size=256, styles=styles).image
        )
        for scale in (1, 2, 4)
    }
    style_image = {scale: wavelength(read(TILES, 256 * scale)[..., :256, :256]) for scale in (1, 2)}
    print("wavelengths", found, "of the style image", style_image)
    for scale in (2, 4):
        assert found[scale] / found[scale // 2] == pytest.approx(2, rel=0.15)
    for scale in (1, 2):
        assert found[scale] == pytest.approx(style_image[scale], rel=0.15)


def test_fine_on_coarse_matches_each_at_its_octaves(encoder: Encoder, tmp_path: Path) -> None:
    styles = {"candy": str(CANDY), "wave": str(WAVE)}
    scene = open_(tmp_path, content=TUBINGEN, styles=styles, style={"fine": "candy", "coarse": "wave"}, size=384)
    plan = make_plan(scene, encoder, "cpu")
    made = measure(encoder, make_style_images_for(scene, encoder, plan)["candy on wave"].image)
    fine, coarse = measure(encoder, read(CANDY, 384)), measure(encoder, read(WAVE, 384))
    distances = {
        octave: [compare(made, other, range(octave, octave + 1)) for other in (fine, coarse)] for octave in (0, 2)
    }
    print("fine on coarse: distance to fine, to coarse, by octave", distances)
    assert distances[0][0] < 0.5 * distances[0][1]
    assert distances[2][1] < 0.5 * distances[2][0]


def test_a_varying_mix_changes_from_one_style_through_the_mixture_to_the_other(
    encoder: Encoder, tmp_path: Path
) -> None:
    """In each fifth of the image the nearest of five mixtures is the expected one, or its neighbour."""
    gradient = {"from": [0, 0], "to": [1, 0]}
    mix = {"starry": {"gradient": gradient, "invert": True}, "candy": {"gradient": gradient}}
    styles, width = {"starry": str(STARRY), "candy": str(CANDY)}, 320
    keys = {"content": TUBINGEN, "styles": styles, "style": mix, "size": width, "content_strength": 0.3}
    image = paint(encoder, tmp_path, **keys).image
    one, other = (measure(encoder, read(file, width)) for file in (STARRY, CANDY))
    mixtures = [{place: (1 - t) * one[place] + t * other[place] for place in one} for t in (0, 0.25, 0.5, 0.75, 1)]
    nearest = []
    for fifth in range(5):
        found = measure(encoder, image, part=slice(fifth * width // 5, (fifth + 1) * width // 5))
        distances = [compare(found, mixture) for mixture in mixtures]
        print("mix", fifth, [round(d, 3) for d in distances])
        nearest.append(int(np.argmin(distances)))
    assert nearest == sorted(nearest)
    assert nearest[2] == 2
    assert nearest[0] <= 1
    assert nearest[4] >= 3


SOLVERS = get_args(SolverMethod)


def test_every_solver_gets_near_the_best_loss_with_its_defaults(encoder: Encoder, tmp_path: Path) -> None:
    recipe = {"content": TUBINGEN, "style": str(STARRY)}
    ended = {method: paint(encoder, tmp_path, f"solver.method={method}", solver={}, **recipe) for method in SOLVERS}
    totals = {method: float(rendering.losses.total) for method, rendering in ended.items()}
    print("solvers", totals, {method: rendering.reasons for method, rendering in ended.items()})
    assert max(totals.values()) < 1.1 * min(totals.values())


def test_fine_and_coarse_octaves_change_their_own_frequencies(encoder: Encoder, tmp_path: Path) -> None:
    """`fine` matches the fine octave and leaves the large forms of the content image; `coarse` does the opposite."""
    recipe = {"content": TUBINGEN, "style": str(STARRY), "size": 256}
    style, content = measure(encoder, read(STARRY, 256)), measure(encoder, read(TUBINGEN, 256))
    found = {
        octaves: measure(encoder, paint(encoder, tmp_path, f"octaves={octaves}", **recipe).image)
        for octaves in ("fine", "coarse")
    }
    finest, coarsest = range(0, 1), range(2, 3)
    distances = {key: (compare(found[key], style, finest), compare(found[key], style, coarsest)) for key in found}
    print("octaves: distance to the style at the finest, the coarsest", distances, compare(content, style, coarsest))
    assert distances["fine"][0] < 0.1 * distances["coarse"][0]
    assert distances["coarse"][1] < 0.2 * distances["fine"][1]


STATISTIC_NAMES: tuple[Statistic, ...] = get_args(Statistic)


def test_each_statistic_is_matched_best_when_it_is_chosen(encoder: Encoder, tmp_path: Path) -> None:
    recipe = {"content": TUBINGEN, "style": str(STARRY), "content_strength": 0.1}
    images = {name: paint(encoder, tmp_path, f"statistics={name}", **recipe).image for name in STATISTIC_NAMES}
    for judge in STATISTIC_NAMES:
        expected, before = (measure(encoder, read(file, SIZE), judge) for file in (STARRY, TUBINGEN))
        distances = {name: compare(measure(encoder, image, judge), expected) for name, image in images.items()}
        print(judge, distances, "before", compare(before, expected))
        assert distances[judge] < 0.1 * compare(before, expected)
        assert distances[judge] <= 1.1 * min(distances.values())


def test_the_chosen_layer_is_matched_best(encoder: Encoder, tmp_path: Path) -> None:
    recipe = {"content": TUBINGEN, "style": str(STARRY)}
    expected = measure(encoder, read(STARRY, SIZE))
    off: dict[str, dict[str, float]] = {}
    for layer in ("relu1_1", "relu3_1"):
        found = measure(encoder, paint(encoder, tmp_path, f"style_layers={layer}", **recipe).image)
        off[layer] = {
            judge: compare({p: g for p, g in found.items() if p[1] == judge}, expected)
            for judge in ("relu1_1", "relu3_1")
        }
    print("layers", off)
    assert off["relu1_1"]["relu1_1"] < off["relu3_1"]["relu1_1"]
    assert off["relu3_1"]["relu3_1"] < 0.3 * off["relu1_1"]["relu3_1"]


def test_reconstructions_from_noise_are_better_from_shallow_layers(encoder: Encoder, tmp_path: Path) -> None:
    """Gatys et al. 2015, fig. 1: nearly the content image from relu1_1, and fewer details from deeper layers."""
    recipe = {"content": TUBINGEN, "strength": 0, "init": "noise", "smoothness": 0, "solver": {"steps": 150}}
    errors, content = {}, open_(tmp_path, **recipe).content
    for layer in ("relu1_1", "relu2_1", "relu3_4"):
        image = paint(encoder, tmp_path, f"content_layers={layer}", **recipe).image
        errors[layer] = float(np.sqrt(np.square(image - content).mean()))
    print("reconstructions", errors)
    assert errors["relu1_1"] < 0.08
    assert 2 * errors["relu1_1"] < errors["relu2_1"] < errors["relu3_4"]


def test_a_texture_larger_than_its_style_image_has_its_style(encoder: Encoder, tmp_path: Path) -> None:
    styles = {"starry": {"image": str(STARRY), "scale": 0.5}}
    image = paint(encoder, tmp_path, canvas=[256, 192], size=256, styles=styles).image
    assert image.shape == (1, 3, 192, 256)
    expected, found = measure(encoder, read(STARRY, 128)), measure(encoder, image)
    noise = measure(encoder, np.random.default_rng(0).random((1, 3, 192, 256)).astype(np.float32))
    print("texture", compare(found, expected), "noise", compare(noise, expected))
    assert compare(found, expected) < 0.05
    assert compare(noise, expected) > 0.3


def direction(image: Array) -> float:
    """Measure the direction of the strokes by the structure tensor, in degrees anticlockwise from horizontal."""
    y, x = np.gradient(image[0].mean(0))
    return float(np.degrees(0.5 * np.arctan2(2 * (-x * y).sum(), (x * x - y * y).sum())) + 90) % 180


def test_rotating_a_style_image_rotates_its_strokes(encoder: Encoder, tmp_path: Path) -> None:
    """The style image is a real painting, blurred along one direction so that all strokes are slanted."""
    import cv2

    blurred = cv2.blur(np.asarray(read_image(STARRY, 512)), (61, 1))
    from PIL import Image

    Image.fromarray(blurred).save(tmp_path / "level.png")
    found = {}
    for degrees in (0, 30, 90):
        styles = {"level": {"image": str(tmp_path / "level.png"), "rotate": degrees}}
        found[degrees] = direction(paint(encoder, tmp_path, canvas=[SIZE, SIZE], styles=styles).image)
    print("directions", found)
    for degrees, angle in found.items():
        assert abs((angle - degrees + 90) % 180 - 90) < 8


CHANGES = [
    {"strength": 3.0},
    {"content_strength": 5.0},
    {"colour": "match"},
    {"colour": "content"},
    {"octaves": "coarse"},
    {"statistics": "mean"},
    {"style_layers": "relu1_1"},
    {"style": {"starry": {"scale": 2}}},
    {"init": "noise"},
    {"smoothness": 50.0},
]
SEAM = 24  # px to each side
LEAK = {"lbfgs": 0.08, "adam": 0.05}  # of the range of a pixel, on average


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_controls_change_their_region_alone(encoder: Encoder, tmp_path: Path, method: str) -> None:
    """Beyond the seam the other region hardly changes.

    The bound is on the mean difference of pixels: Adam scales the step of each pixel by itself, L-BFGS couples all
    pixels, so that a little of a change spreads everywhere.
    """
    settings = (f"solver.method={method}", "solver.steps=60", "solver.tolerance=0")
    plain = paint(encoder, tmp_path, *settings, **two_regions({})).image
    for change in CHANGES if method == "lbfgs" else CHANGES[:4]:
        image = paint(encoder, tmp_path, *settings, **two_regions(change)).image
        apart = np.abs(image - plain).mean((0, 1, 2))
        there, elsewhere = apart[: SIZE // 2 - SEAM].mean(), apart[SIZE // 2 + SEAM :].mean()
        print(method, change, f"changed {there:.4f}, elsewhere {elsewhere:.4f}")
        assert there > 0.01
        assert elsewhere < LEAK[method]


def test_a_draft_gives_every_region_its_own_style(encoder: Encoder, tmp_path: Path) -> None:
    """With the embedded encoder, judged by VGG-19: far nearer to its own painting than to the other."""
    scene = open_(tmp_path, **two_regions({}, method="draft", size=256, encoder="lite", solver={}))
    assert [stage.steps for stage in scene.stages] == [5, 2]
    lite = load_encoder(scene.recipe.encoder)
    image = render(scene, lite, make_plan(scene, lite, "cpu")).image
    targets = [measure(encoder, read(file, 256)) for file in (STARRY, WHEAT)]
    for part, own, other in ((slice(0, 128), *targets), (slice(128, 256), *reversed(targets))):
        found = measure(encoder, image, part=part)
        assert compare(found, other) > 3 * compare(found, own)


def test_a_draft_of_a_mix_is_nearest_to_the_mix(encoder: Encoder, tmp_path: Path) -> None:
    scene = open_(
        tmp_path,
        content=TUBINGEN,
        styles={"starry": str(STARRY), "candy": str(CANDY)},
        style={"starry": 1, "candy": 1},
        **{"method": "draft", "size": 256, "encoder": "lite", "solver": {}},
    )
    lite = load_encoder(scene.recipe.encoder)
    found = measure(encoder, render(scene, lite, make_plan(scene, lite, "cpu")).image)
    starry, candy = (measure(encoder, read(file, 256)) for file in (STARRY, CANDY))
    mixed = {place: (starry[place] + candy[place]) / 2 for place in starry}
    assert compare(found, mixed) < 0.6 * min(compare(found, starry), compare(found, candy))
