"""Colour-coded masks: every pixel goes to the nearest named colour, and unnamed colours are reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.cases import DATA, NAMED, needs_data

from guidedstyle.errors import GuidedStyleError
from guidedstyle.masks.files import read_labels
from guidedstyle.masks.labels import UNNAMED, Labels, Palette, UnnamedColour
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import Scene

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
NAMES = {"black": "black", "white": "white", "red": "red", "green": "lime", "blue": "blue"}
NAMES |= {name: name for name in ("yellow", "cyan", "magenta")}
CASES = sorted(DATA.glob("cases/pair*_content_mask.png"))


def count_nearest(file: Path, names: list[str]) -> dict[str, float]:
    """Count pixels by their nearest colour, computing each pixel's distance to every colour."""
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float64).reshape(-1, 3)
    nearest = np.array([np.linalg.norm(pixels - np.array(NAMED[name]), axis=1) for name in names]).argmin(0)
    return {name: float((nearest == index).mean()) for index, name in enumerate(names)}


def find_colours(file: Path) -> list[str]:
    """Find the colours that were painted: those with more pixels than an edge."""
    return [name for name, share in count_nearest(file, list(NAMED)).items() if share >= 0.001]


@needs_data
@pytest.mark.parametrize("mask", CASES, ids=lambda file: file.name.split("_")[0])
def test_every_pixel_of_a_painted_pair_is_assigned(mask: Path, tmp_path: Path) -> None:
    """The shares of all its colours, content and style, are those of a plain count."""
    content, style_image = (mask.with_name(mask.name.replace("content_mask", part)) for part in ("content", "style"))
    source = mask.with_name(mask.name.replace("content_mask", "style_mask"))
    inside, outside = find_colours(mask), find_colours(source)
    styles = {
        name: {"image": str(style_image), "mask": {"file": str(source), "colour": NAMES[name]}} for name in outside
    }
    regions = [
        {"name": name, "mask": {"colour": NAMES[name]}, "style": name if name in outside else outside[0]}
        for name in inside
    ]
    unused = [name for name in outside if name not in inside]
    mix = {inside[0] if inside[0] in outside else outside[0]: 1.0} | dict.fromkeys(unused, 1.0)
    regions[0]["style"] = mix
    recipe = {"content": str(content), "masks": str(mask), "styles": styles, "regions": regions}
    recipe["styles"] = {name: style for name, style in styles.items() if any(name in r["style"] for r in regions)}
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(recipe))
    scene = open_scene(read_recipe(tmp_path / "pair.yaml"))
    counted = count_nearest(mask, inside)
    assert scene.shares[:-1] == pytest.approx([counted[name] for name in inside], abs=2e-5)
    assert scene.shares[-1] < 1e-5
    for name, share in count_nearest(source, list(recipe["styles"])).items():
        if set(recipe["styles"]) == set(outside):
            assert scene.style_images[name].mask.mean() == pytest.approx(share, abs=2e-5)


@needs_data
@pytest.mark.parametrize("name", ["city", "wolf"])
def test_a_jpeg_mask_is_black_and_white(name: str, tmp_path: Path) -> None:
    """All pixels except those of edges are black or white, and the share of white is that of a plain count."""
    images = DATA / "images"
    styles = f"a: {images / 'jfns_candy.jpg'}, b: {images / 'gor_vg_wheat_field.jpg'}"
    text = f"content: {DATA / 'cases' / name}_content.jpg\nstyles: {{{styles}}}\nregions:\n"
    text += "  - {name: back, mask: rest, style: a}\n"
    mask = DATA / "cases" / f"{name}_mask.jpg"
    (tmp_path / "grey.yaml").write_text(text + f"  - {{name: front, mask: {mask}, style: b}}\n")
    white = count_nearest(mask, ["black", "white"])["white"]
    scene = open_scene(read_recipe(tmp_path / "grey.yaml"))
    assert scene.shares == pytest.approx([1 - white, white, 0], abs=0.002)
    assert ((scene.weights[1] > 0) & (scene.weights[1] < 1)).mean() < 0.1
    coded = f"  - {{name: front, mask: {{file: {mask}, colour: white, ignore: [black]}}, style: b}}\n"
    (tmp_path / "coded.yaml").write_text(text + coded)
    assert open_scene(read_recipe(tmp_path / "coded.yaml")).shares == pytest.approx([1 - white, white, 0], abs=2e-5)


def write_labels(file: Path, *columns: tuple[tuple[int, int, int], int]) -> Path:
    """Write an image of columns of colours, given with their widths in px, 100 px high."""
    row = np.concatenate([np.full((width, 3), colour, np.uint8) for colour, width in columns])
    Image.fromarray(np.tile(row, (100, 1, 1))).save(file)
    return file


def share(labels: Labels, colour: tuple[int, int, int]) -> float:
    return float(labels.select("#{:02x}{:02x}{:02x}".format(*colour)).mean() / 255)


def test_the_pixels_of_a_soft_edge_get_the_nearest_colour(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "a.png", (RED, 40), ((190, 0, 65), 1), ((65, 0, 190), 1), (BLUE, 58))
    labels = read_labels(file, Palette((RED, BLUE)))
    assert [share(labels, colour) for colour in (RED, BLUE)] == [0.41, 0.59]
    assert labels.unnamed == ()


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_indexed_images_are_read_as_colours(tmp_path: Path, mode: str) -> None:
    file = write_labels(tmp_path / "a.png", (RED, 30), (BLUE, 70))
    with Image.open(file) as picture:
        picture.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "b.png")
    assert share(read_labels(tmp_path / "b.png", Palette((RED, BLUE))), RED) == 0.3


def test_transparent_pixels_have_no_label(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[:5] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    labels = read_labels(tmp_path / "a.png", Palette((RED, (0, 0, 0)), leave=False))
    assert share(labels, RED) == 0.5
    with pytest.raises(GuidedStyleError, match="none of its pixels is #000000"):
        labels.select("black")


def test_an_unnamed_colour_goes_to_the_nearest_and_is_reported(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "a.png", (RED, 40), (BLUE, 40), ((255, 140, 0), 20))
    labels = read_labels(file, Palette((RED, BLUE)))
    assert labels.unnamed == (UnnamedColour((255, 140, 0), 2000, 0.2, RED),)
    assert share(labels, RED) == 0.6
    assert list(labels.warnings) == [
        "a.png: 2,000 pixels (20.0%) are #ff8c00 (darkorange), which no mask names; "
        "they are added to #ff0000 (red), the nearest (name it in a mask, or under ignore)"
    ]
    assert read_labels(file, Palette((RED, BLUE), tolerance=150)).unnamed == ()


def test_with_a_rest_region_an_unnamed_colour_is_left_to_it(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "a.png", (RED, 40), (BLUE, 40), (WHITE, 20))
    labels = read_labels(file, Palette((RED, BLUE), leave=True))
    assert labels.unnamed == (UnnamedColour(WHITE, 2000, 0.2, None),)
    assert [share(labels, colour) for colour in (RED, BLUE)] == [0.4, 0.4]
    assert "they are in no region" in next(labels.warnings)
    assert (labels.indices == UNNAMED).mean() == 0.2


def write_scene(folder: Path, regions: str, masks: str = "masks: labels.png\n") -> Scene:
    (folder / "a.yaml").write_text(f"content: photo.png\nstyles: {{ink: ink.png}}\n{masks}regions:\n{regions}")
    return open_scene(read_recipe(folder / "a.yaml"))


def test_labels_in_a_recipe_with_rest_without_and_with_a_single_colour(project: Path) -> None:
    write_labels(project / "labels.png", (RED, 75), (BLUE, 30), (WHITE, 45))
    red, blue = (f"  - {{name: {name}, mask: {{colour: {name}}}, style: ink}}\n" for name in ("red", "blue"))
    rest = "  - {name: back, mask: rest, style: ink}\n"
    assert write_scene(project, rest + red + blue).shares == pytest.approx([0.3, 0.5, 0.2, 0], abs=1e-3)
    assert write_scene(project, red + blue).shares == pytest.approx(
        [0.8, 0.2, 0], abs=1e-3
    )  # white is as near to red as to blue
    assert write_scene(project, red).shares == pytest.approx([0.5, 0.5], abs=1e-3)
    ignoring = "masks: {file: labels.png, ignore: [white]}\n"
    scene = write_scene(project, red + blue, ignoring)
    assert scene.shares == pytest.approx([0.5, 0.2, 0.3], abs=1e-3)
    assert (scene.opening_warnings, scene.unnamed_pixels) == ((), 0)
    assert write_scene(project, red + blue).unnamed_pixels == 4500
    assert write_scene(project, red + blue, "masks: {file: labels.png, tolerance: 362}\n").unnamed_pixels == 0


@pytest.mark.parametrize("feather", [0, 5, 20])
def test_neighbouring_colours_with_soft_edges_leave_no_gap(project: Path, feather: int) -> None:
    write_labels(project / "labels.png", (RED, 75), (BLUE, 30), (WHITE, 45))
    scene = write_scene(
        project,
        "".join(
            f"  - {{name: {name}, mask: {{colour: {name}, feather: {feather}}}, style: ink}}\n"
            for name in ("red", "white", "blue")
        ),
    )
    assert scene.weights[3].max() < 1e-3
    np.testing.assert_allclose(scene.weights.sum(0), 1, atol=1e-4)


@pytest.mark.parametrize("leave", [True, False])
def test_a_mixture_of_colours_is_an_edge_only_where_it_is_thin(tmp_path: Path, leave: bool) -> None:
    """Purple between red and blue is an unnamed colour where it is painted flat, and an edge where it is thin."""
    purple = (128, 0, 128)
    file = write_labels(tmp_path / "a.png", (RED, 40), (purple, 1), (BLUE, 29), (purple, 30))
    labels = read_labels(file, Palette((RED, BLUE), leave=leave))
    (unnamed,) = labels.unnamed
    assert (unnamed.colour, unnamed.share) == (purple, 0.31)


@pytest.mark.parametrize("width", [3, 20, 60])
@pytest.mark.parametrize("leave", [True, False])
def test_a_wide_soft_edge_is_not_an_unnamed_colour(tmp_path: Path, width: int, leave: bool) -> None:
    fade = [tuple(map(int, colour)) for colour in np.linspace(RED, BLUE, width + 2)[1:-1]]
    file = write_labels(tmp_path / "a.png", (RED, 40), *((colour, 1) for colour in fade), (BLUE, 40))
    assert read_labels(file, Palette((RED, BLUE), leave=leave)).unnamed == ()


def test_a_thin_line_of_an_unnamed_colour_is_reported(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "a.png", (RED, 50), (GREEN, 5), (BLUE, 45))
    assert [unnamed.colour for unnamed in read_labels(file, Palette((RED, BLUE))).unnamed] == [GREEN]


def test_an_unnamed_colour_is_one_colour_though_jpeg_blurs_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (100, 150, 3))
    flat = np.repeat([RED, BLUE, (255, 140, 0)], 50, 0) * np.ones((100, 1, 1))
    Image.fromarray(np.uint8(np.clip(flat + noise, 0, 255))).save(tmp_path / "a.jpg", quality=80)
    (unnamed,) = read_labels(tmp_path / "a.jpg", Palette((RED, BLUE))).unnamed
    assert np.abs(np.array(unnamed.colour) - (255, 140, 0)).max() < 16
    assert unnamed.share == pytest.approx(1 / 3, abs=0.02)


def test_any_number_of_unnamed_colours_are_counted(tmp_path: Path) -> None:
    colours = [(r, g, b) for r in (0, 120, 240) for g in (0, 120, 240) for b in (0, 240)]
    file = write_labels(tmp_path / "a.png", *((colour, 10) for colour in colours))
    labels = read_labels(file, Palette((colours[0], colours[1]), leave=True))
    assert len(labels.unnamed) == 16
    assert sum(unnamed.pixels for unnamed in labels.unnamed) == 16 * 10 * 100
    assert len(list(labels.warnings)) == 7
    assert "10,000 more pixels are of other colours that no mask names" in list(labels.warnings)[-1]
    assert (labels.indices == UNNAMED).mean() == pytest.approx(16 / 18)


def test_a_small_unnamed_patch_is_left_to_rest_with_its_edges(tmp_path: Path) -> None:
    pixels = np.full((400, 600, 3), RED, np.uint8)
    pixels[:, 300:] = BLUE
    pixels[100:114, 100:114] = GREEN
    pixels[100:114, 99] = (128, 64, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    labels = read_labels(tmp_path / "a.png", Palette((RED, BLUE), leave=True))
    assert [unnamed.colour for unnamed in labels.unnamed] == [GREEN]
    assert 196 <= (labels.indices == UNNAMED).sum() <= 196 + 14


def test_colours_of_transparent_pixels_do_not_count(tmp_path: Path) -> None:
    pixels = np.zeros((60, 60, 4), np.uint8)
    pixels[:30] = (255, 0, 0, 255)
    pixels[:30, 30:] = (0, 0, 255, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    labels = read_labels(tmp_path / "a.png", Palette((RED, BLUE)))
    assert labels.unnamed == ()
    assert [share(labels, colour) for colour in (RED, BLUE)] == [0.25, 0.25]
