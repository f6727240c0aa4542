"""Masks as paint programs save them: every source, operation and combination against known results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.counting import counting_decodes

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.samples import Frame
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.masks.files import MaskStore, read_grey
from guidedstyle.masks.geometry import (
    fade_outwards,
    feather,
    fill_gradient,
    fill_rectangle,
    grow,
    resize_mask,
    same_shape,
    shrink,
    turn_upright,
)
from guidedstyle.masks.labels import Palette, find_palettes
from guidedstyle.masks.reader import MaskReader
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.mask import Mask
from guidedstyle.recipe.shorthand import expand_mask
from guidedstyle.types import Array

SIZE = (96, 64)


def read(mask: object, size: tuple[int, int] = SIZE, frame: Frame | None = None) -> Array:
    return MaskReader({}).read(Mask.model_validate(expand_mask(mask)), frame or Frame(size), size)


def left_half(width: int = 96, height: int = 64) -> np.ndarray:
    return np.uint8(np.arange(width) < width // 2) * np.full((height, 1), 255, np.uint8)


MODES = {
    ".png": ["1", "L", "P", "RGB", "RGBA", "I;16"],
    ".tif": ["1", "L", "P", "RGB", "RGBA", "I;16"],
    ".bmp": ["1", "L", "P", "RGB", "RGBA"],
    ".webp": ["L", "RGB", "RGBA"],
    ".jpg": ["L", "RGB"],
}


@pytest.mark.parametrize(("suffix", "mode"), [(suffix, mode) for suffix in MODES for mode in MODES[suffix]])
def test_grey_masks_of_every_kind(tmp_path: Path, suffix: str, mode: str) -> None:
    half = Image.fromarray(left_half())
    if mode == "I;16":
        source = Image.fromarray(left_half().astype(np.uint16) * 257)
    else:
        source = half.convert("RGB").convert(mode)
    file = tmp_path / f"a{suffix}"
    source.save(file, **({"lossless": True} if suffix == ".webp" else {}))
    assert (read(str(file)) == left_half() / 255).all()


def test_sixteen_bits_keep_their_steps(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) + 1000
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_grey(tmp_path / "a.png"), values / 65535, rtol=1e-6)


def test_the_opacity_of_a_mask_is_grey_times_alpha(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 2), 255, np.uint8)
    pixels[:8, :, 1] = 0
    pixels[8:, :, 0] = 51
    Image.fromarray(pixels, "LA").save(tmp_path / "a.png")
    mask = read(str(tmp_path / "a.png"), (16, 16))
    assert mask[0, 0] == 0
    assert mask[15, 0] == pytest.approx(0.2)


def test_the_alpha_channel_can_be_the_mask_for_any_colour(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96, 4), np.uint8)
    pixels[:, :48] = (10, 200, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read({"file": str(tmp_path / "a.png"), "channel": "alpha"}) == left_half() / 255).all()


def test_black_and_white_of_a_jpeg_are_0_and_1(tmp_path: Path) -> None:
    """Except at the edge, although JPEG stores values around black and white."""
    away = np.hypot(*(np.indices((64, 96)) - np.array([[[30]], [[45]]]))) - 22
    Image.fromarray(np.uint8(255 * (away < 0))).save(tmp_path / "a.jpg", quality=97)
    stored, mask = np.asarray(Image.open(tmp_path / "a.jpg")), read(str(tmp_path / "a.jpg"))
    assert (stored[away < -2].min(), stored[away > 2].max()) != (255, 0)
    assert (mask[away < -2] == 1).all()
    assert (mask[away > 2] == 0).all()


@pytest.mark.parametrize("size", [(96, 64), (403, 301), (2000, 1500)])
def test_a_shape_that_reaches_the_border_is_opaque_there(size: tuple[int, int]) -> None:
    for box in ([0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]):
        mask = fill_rectangle(box, size)
        corner = mask[:4, :4] if box[0] == 0 else mask[-4:, -4:]
        assert (corner == 1).all()


def test_convention_shapes_are_in_fractions_of_the_image() -> None:
    rectangle = read({"rectangle": [0.25, 0.5, 0.75, 1]})
    assert (rectangle[34:, 26:70] == 1).all()
    assert (rectangle[:30].max(), rectangle[:, :22].max(), rectangle[:, 74:].max()) == (0, 0, 0)
    assert read({"ellipse": [0, 0, 1, 1]}, (400, 300)).mean() == pytest.approx(np.pi / 4, abs=0.004)
    assert read({"polygon": [[0, 0], [1, 0], [0, 1]]}, (400, 300)).mean() == pytest.approx(1 / 2, abs=0.005)
    assert read({"rectangle": [0.1, 0.2, 0.8, 0.7]}, (403, 301)).mean() == pytest.approx(0.35, abs=2e-4)
    assert read("all").min() == 1


def test_a_gradient_rises_evenly_from_one_point_to_the_other() -> None:
    down = read({"gradient": {"from": [0, 0.25], "to": [0, 0.75]}})
    assert np.ptp(down, axis=1).max() == 0
    assert (down[:16].max(), down[48:].min()) == (0, 1)
    assert down[31:33].mean() == pytest.approx(0.5)
    across = fill_gradient((0.2, 0.2), (0.8, 0.8), (300, 100))
    corner = across[99, 0] + across[0, 299]
    assert corner == pytest.approx(1, abs=0.02)  # symmetric about the middle


@pytest.mark.parametrize(("radius", "width"), [(0, 20), (3, 26), (12, 44), (2.5, 25)])
def test_growing_widens_by_the_radius_and_shrinking_undoes_it(radius: float, width: float) -> None:
    bar = np.zeros((60, 100), np.float32)
    bar[:, 40:60] = 1
    grown = grow(bar, radius)
    assert grown[30].sum() == pytest.approx(width, abs=0.51)
    assert shrink(grown, radius)[30].sum() == pytest.approx(20, abs=1.01)
    assert (shrink(np.ones((60, 100), np.float32), radius) == 1).all()


def test_growing_is_by_a_disc() -> None:
    dot = np.zeros((101, 101), np.float32)
    dot[50, 50] = 1
    for radius in (4, 20, 37):
        assert grow(dot, radius).sum() == pytest.approx(np.pi * (radius + 0.5) ** 2, rel=0.12)


@pytest.mark.parametrize("radius", [1, 7, 20])
def test_a_feathered_edge_fades_over_the_radius_to_each_side(radius: int) -> None:
    soft = feather((left_half(160) / 255).astype(np.float32), radius)[32]
    assert (np.diff(soft) <= 1e-5).all()
    assert (soft[: 80 - radius].min(), soft[80 + radius :].max()) == (1, 0)
    assert soft[79] + soft[80] == pytest.approx(1, abs=1e-3)
    assert 0 < soft[80 + radius - 1] < 0.5 < soft[80 - radius] < 1


def test_a_border_is_outside_the_mask() -> None:
    mask = (left_half(160) / 255).astype(np.float32)
    border = fade_outwards(mask, 12)[32]
    assert (border[:80] == 1).all()
    assert (border[92:] == 0).all()
    assert ((border[80:91] > 0) & (border[80:91] < 1)).sum() >= 9
    dot = np.zeros((41, 41), np.float32)
    dot[20, 20] = 1
    assert fade_outwards(dot, 12)[20, 20] == 1


def test_operations_have_an_order_and_lengths_are_those_of_the_image(tmp_path: Path) -> None:
    """Invert, threshold, grow, shrink, feather; px of the image, at any working size."""
    Image.fromarray(left_half(960, 640)).save(tmp_path / "a.png")
    frame = Frame((960, 640))
    wide = read({"file": str(tmp_path / "a.png"), "invert": True, "grow": 96}, (96, 64), frame)
    np.testing.assert_allclose(wide[32].sum(), 48 + 9.6, atol=0.6)
    same = read({"file": str(tmp_path / "a.png"), "invert": True, "grow": "10%"}, (96, 64), frame)
    assert (same == wide).all()
    within = read({"any": [{"file": str(tmp_path / "a.png"), "invert": True, "grow": 96}]}, (96, 64), frame)
    assert (within == wide).all()
    cut = read({"gradient": {"from": [0, 0], "to": [1, 0]}, "threshold": 0.75})
    assert (cut[:, :71].max(), cut[:, 72:].min()) == (0, 1)
    assert read({"gradient": {"from": [0, 0], "to": [1, 0]}, "invert": True, "threshold": 0.75})[0].sum() == 24
    assert (read({"file": str(tmp_path / "a.png"), "threshold": 1}, (96, 64), frame) == left_half() / 255).all()


def test_lengths_of_a_mask_without_an_image_are_px_of_its_own_size() -> None:
    mask = Mask.model_validate({"rectangle": [0.25, 0, 0.75, 1], "threshold": 0.6, "grow": 10})
    bare = Mask.model_validate({"rectangle": [0.25, 0, 0.75, 1], "threshold": 0.6})
    reader = MaskReader({})
    assert (reader.read(mask, None, SIZE) == grow(reader.read(bare, None, SIZE), 10)).all()


def test_combinations_of_masks() -> None:
    left, top = {"rectangle": [0, 0, 0.5, 1]}, {"rectangle": [0, 0, 1, 0.5]}
    assert read({"any": [left, top]}).mean() == pytest.approx(0.75, abs=0.01)
    assert read({"both": [left, top]}).mean() == pytest.approx(0.25, abs=0.01)
    assert read({"except": [left, top]}).mean() == pytest.approx(0.25, abs=0.01)
    assert read({"except": ["all", {"any": [left, top]}]}).mean() == pytest.approx(0.25, abs=0.01)


def test_the_union_of_a_mask_with_itself_is_the_mask_after_any_operation() -> None:
    left = {"rectangle": [0, 0, 0.5, 1], "threshold": 0.6}
    for change in ({"feather": 8}, {"grow": 2.5}, {"shrink": 2.5}, {"invert": True, "feather": 8}):
        assert (read({"any": [left, left, left], **change}) == read({"any": [left], **change})).all()


def test_masks_that_meet_at_a_soft_edge_leave_no_gap(tmp_path: Path) -> None:
    soft = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    Image.fromarray(soft).save(tmp_path / "a.png")
    a = str(tmp_path / "a.png")
    np.testing.assert_allclose(read({"any": [a, {"file": a, "invert": True}]}), 1, atol=1e-6)


def test_shrinking_averages_the_area_of_a_pixel() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[:, :10] = 1
    np.testing.assert_allclose(resize_mask(mask, (2, 1)), [[0.5, 0]], atol=1e-6)
    assert resize_mask(mask, (13, 7)).mean() == pytest.approx(mask.mean(), abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(160, 40), (40, 160), (160, 20), (20, 160)])
def test_shrinking_along_one_axis_averages_along_it(height: int, width: int) -> None:
    mask = np.random.default_rng(0).random((height, width), np.float32)
    narrow, low = mask.reshape(height, -1, 4).mean(2), mask.reshape(-1, 4, width).mean(1)
    np.testing.assert_allclose(resize_mask(mask, (width // 4, height)), narrow, atol=1e-5)
    np.testing.assert_allclose(resize_mask(mask, (width, height // 4)), low, atol=1e-5)


def test_enlarging_is_bilinear_between_pixels_along_each_axis() -> None:
    mask = np.random.default_rng(0).random((6, 9), np.float32)
    for width, height in ((9, 9), (9, 24), (36, 6), (36, 24)):
        down, across = (np.arange(height) + 0.5) * 6 / height - 0.5, (np.arange(width) + 0.5) * 9 / width - 0.5
        tall = np.stack([np.interp(down, np.arange(6), column) for column in mask.T], 1)
        expected = np.stack([np.interp(across, np.arange(9), row) for row in tall])
        np.testing.assert_allclose(resize_mask(mask, (width, height)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mask", "image", "same"),
    [
        ((700, 466), (700, 467), True),
        ((700, 465), (700, 467), False),
        ((1400, 936), (700, 467), True),  # a pixel of the image is two of the mask
        ((1400, 937), (700, 467), False),
        ((350, 232), (700, 467), False),
        ((5, 348), (10, 700), True),  # nearly as wide as it should be, but 2 px too low
        ((348, 5), (700, 10), True),
        ((348, 7), (700, 10), False),
    ],
)
def test_a_scaled_size_has_the_same_shape_to_within_a_pixel_of_the_smaller(
    mask: tuple[int, int], image: tuple[int, int], same: bool
) -> None:
    assert same_shape(mask, image) == same


@pytest.mark.parametrize("size", [(700, 467), (700, 468), (700, 466), (350, 234), (1400, 935), (1050, 701)])
def test_the_same_shape_up_to_rounding_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    assert (read(str(tmp_path / "mask.png"), (70, 47), Frame((700, 467))) == 1).all()


@pytest.mark.parametrize("size", [(467, 700), (700, 460), (700, 525), (690, 467)])
def test_another_shape_is_refused_with_both_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "mask.png"
    Image.new("L", size, 255).save(file)
    with pytest.raises(GuidedStyleError) as caught:
        read(str(file), (70, 47), Frame((700, 467)))
    assert str(caught.value) == (
        f"{file}: the mask is {size[0]} x {size[1]} px, its image 700 x 467\n"
        "    paint it over the image itself, or crop it to the same shape"
    )


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_painted_over_the_stored_image_is_rotated_with_it(tmp_path: Path, orientation: int) -> None:
    """The oracle is Pillow, which rotates an image with the same EXIF."""
    stored = np.zeros((20, 30), np.uint8)
    stored[2:6, 3:20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(read_grey(tmp_path / "turned.png"))
    assert upright.shape == (30, 20)
    frame = Frame((20, 30), orientation)
    assert (turn_upright(stored, frame) == upright).all()
    assert (turn_upright(upright, frame) == upright).all()


@pytest.mark.parametrize(
    ("orientation", "size"), [(2, (30, 20)), (3, (30, 20)), (6, (30, 20)), (6, (20, 30)), (1, (30, 20)), (6, (20, 20))]
)
def test_a_warning_says_how_a_mask_of_a_rotated_image_was_used(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    """If the shape is ambiguous, or the mask was rotated; an upright mask over a rotated image gives none."""
    file = tmp_path / "a.png"
    Image.new("L", size, 255).save(file)
    upright = (20, 20) if size == (20, 20) else (20, 30) if orientation == 6 else (30, 20)
    reader = MaskReader({})
    reader.read(Mask(file=file), Frame(upright, orientation), upright)
    used = "rotated with it" if size != upright else "used as it is"
    warning = f"the image of a.png has an EXIF rotation; the mask was {used}"
    assert reader.warnings == (() if orientation == 1 or size == (20, 30) else (warning,))


def test_a_layer_is_the_same_mask_as_a_file_of_its_own(tmp_path: Path) -> None:
    layer = Image.new("RGBA", SIZE, "red")
    layer.putalpha(Image.fromarray(left_half()))
    write_openraster(tmp_path / "a.ora", [("left", layer), ("all", Image.new("RGBA", SIZE))], Image.new("RGB", SIZE))
    Image.fromarray(left_half()).save(tmp_path / "a.png")
    mask = {"file": str(tmp_path / "a.ora"), "layer": "left"}
    assert (read(mask) == left_half() / 255).all()
    for size in ((48, 32), (192, 128)):
        assert (read(mask, size) == read(str(tmp_path / "a.png"), size)).all()
    with pytest.raises(GuidedStyleError, match=r"a\.ora: the mask is 96 x 64 px, its image 64 x 96"):
        read(mask, (64, 96))


def test_the_edge_of_a_colour_is_a_pixel_soft(tmp_path: Path) -> None:
    """By the formula of a Gaussian of 0.6 px over three pixels."""
    red = np.where(left_half()[..., None] > 0, [255, 0, 0], [0, 0, 255])
    file = tmp_path / "labels.png"
    Image.fromarray(np.uint8(red)).save(file)
    reader = MaskReader({file: Palette(((255, 0, 0), (0, 0, 255)))})
    found = reader.read(Mask(file=file, colour="red"), Frame(SIZE), SIZE)
    aside = np.exp(-1 / (2 * 0.6**2)) / (1 + 2 * np.exp(-1 / (2 * 0.6**2)))
    np.testing.assert_allclose(found[32, 46:50], [1, 1 - aside, aside, 0], atol=1e-5)
    with counting_decodes() as decodes:  # it is decoded once for any number of its colours
        other = reader.read(Mask(file=file, colour="blue"), Frame(SIZE), SIZE)
    assert not decodes
    np.testing.assert_allclose(found + other, 1, atol=1e-5)
    with pytest.raises(GuidedStyleError, match=r"labels\.png: the mask is 96 x 64 px, its image 64 x 96"):
        reader.read(Mask(file=file, colour="red"), Frame(SIZE[::-1]), SIZE)


def test_a_palette_collects_the_keys_of_all_masks_of_its_file(project: Path) -> None:
    """Every colour named or ignored, once; the smallest tolerance; whether other colours are left to `rest`."""
    for name in ("inside", "source"):
        Image.new("RGB", (96, 64), "red").save(project / f"{name}.png")
    head = (
        "content: photo.png\nstyles:\n"
        "  ink: {image: ink.png, mask: {file: source.png, colour: lime}}\n"
        "  oil: {image: oil.png, mask: {file: source.png, colour: white, tolerance: 10}}\n"
    )
    red = "  - {name: a, mask: {file: inside.png, colour: red, tolerance: 30, ignore: [white, blue]}, style: ink}\n"
    blue = "  - {name: b, mask: {file: inside.png, colour: blue, ignore: [white]}, style: oil}\n"
    rest = "  - {name: c, mask: rest, style: oil}\n"
    grey = "  - {name: d, mask: left.png, style: oil}\n"
    inside, source = project / "inside.png", project / "source.png"
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "lime": (0, 255, 0)}

    def find(regions: str) -> dict[Path, Palette]:
        (project / "recipe.yaml").write_text(f"{head}regions:\n{regions}")
        return find_palettes(read_recipe(project / "recipe.yaml").recipe)

    three = tuple(colours[name] for name in ("red", "blue", "white"))
    painted = Palette((colours["lime"], colours["white"]), 10, leave=False)
    assert find(red + blue + grey) == {source: painted, inside: Palette(three, 30, leave=False)}
    assert find(rest + red + blue) == {source: painted, inside: Palette(three, 30, leave=True)}
    alone = "  - {name: a, mask: {file: inside.png, colour: red}, style: ink}\n"
    assert find(alone)[inside] == Palette((colours["red"],), 60, leave=True)


def save_jpeg(file: Path) -> None:
    Image.fromarray(left_half()).save(file, quality=95)


DOUBTFUL = {
    "ones.png": (lambda file: Image.fromarray(left_half() // 255).save(file), 1 / 255, "its brightest pixel is 0.39%"),
    "ones.tif": (lambda file: tifffile.imwrite(file, left_half() // 255), 1 / 255, "its brightest pixel is 0.39%"),
    "deep.tif": (lambda file: tifffile.imwrite(file, np.uint16(left_half())), 255 / 65535, "its brightest pixel"),
    "deep.png": (lambda file: cv2.imwrite(str(file), np.uint16(left_half())), 255 / 65535, "its brightest pixel"),
    "many.tif": (
        lambda file: tifffile.imwrite(
            file, np.dstack([left_half()] * 4), photometric="minisblack", planarconfig="contig"
        ),
        1.0,
        "3 of its channels are neither",
    ),
    "cut.jpg": (
        lambda file: (save_jpeg(file), file.write_bytes(file.read_bytes()[:-2])),
        1.0,
        "its end is missing",
    ),
    "turned.png": (
        lambda file: Image.fromarray(left_half()).save(file, exif=b"Exif\0\0garbage"),
        1.0,
        "its EXIF data are damaged",
    ),
    "whole.jpg": (save_jpeg, 1.0, ""),
    "dark.png": (lambda file: Image.fromarray(left_half() // 85).save(file), 3 / 255, ""),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_doubtful_about_a_mask_is_told(tmp_path: Path, name: str) -> None:
    save, white, warning = DOUBTFUL[name]
    save(tmp_path / name)
    store = MaskStore()
    for reader in (MaskReader({}, store), MaskReader({}, store)):  # the second finds it decoded
        opacity = reader.read(Mask(file=tmp_path / name), Frame(SIZE), SIZE)
        assert np.abs(opacity - left_half() / 255 * white).max() < 0.01
        assert len(reader.warnings) == bool(warning)
        assert all(told.startswith(f"{name}: ") and warning in told for told in reader.warnings)


def test_what_is_doubtful_about_colour_codes_is_told(tmp_path: Path) -> None:
    file, colours = tmp_path / "a.jpg", np.repeat(left_half()[..., None], 3, 2)
    Image.fromarray(colours).save(file, quality=95)
    file.write_bytes(file.read_bytes()[:-2])
    reader = MaskReader({file: Palette(((255, 255, 255), (0, 0, 0)))})
    reader.read(Mask(file=file, colour="white"), Frame(SIZE), SIZE)
    assert reader.warnings == ("a.jpg: its end is missing, but all its pixels are there",)
