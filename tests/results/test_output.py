"""A photographer's files: depth, colour profile, transparency and EXIF of the content image are those of the output."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

import guidedstyle
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.profiles import make_profile
from guidedstyle.results.output import Output
from guidedstyle.results.result import Result

BORDER = 4  # px
RECIPE = f"""\
content: CONTENT
styles: {{ink: ink.png}}
regions:
  - {{name: back, mask: rest, style: ink}}
  - {{name: left, mask: left.png, keep: true, border: {BORDER}}}
solver: {{steps: 3, sizes: 1}}
"""
KEPT = np.s_[:, :48]
PAINTED = np.s_[:, 48 + BORDER + 1 :]
ADOBE_RGB = imagecodecs.cms_profile("adobergb")


@pytest.fixture
def render(project: Path) -> Callable[..., Result]:
    def render_content(content: str, **settings: object) -> Result:
        (project / "shot.yaml").write_text(RECIPE.replace("CONTENT", content))
        given = {key.replace("__", "."): value for key, value in settings.items()}
        return guidedstyle.render(guidedstyle.load_recipe(project / "shot.yaml", given), device="cpu")

    return render_content


def draw_levels(kind: type = np.uint16, channels: int = 3) -> np.ndarray:
    """Draw gradients (64, 96): of 16 bits each channel has 4096 levels, one in the half that is kept too."""
    levels = 4096 if kind is np.uint16 else 256
    ramp = np.arange(64 * 96) % levels * ((np.iinfo(kind).max + 1) // levels)
    one = ramp.reshape(96, 64).T  # each column has 64 levels
    return np.dstack([np.roll(one, 7 * index, 0) for index in range(channels)]).astype(kind, order="C")


def write(file: Path, pixels: np.ndarray, profile: bytes | None = None) -> None:
    """Write a content image with other libraries than ours; a PNG gets its profile from Pillow or imagecodecs."""
    if file.suffix == ".tif":
        extra = ["unassalpha"] if pixels.shape[2] == 4 else None
        tifffile.imwrite(file, pixels, photometric="rgb", iccprofile=profile, extrasamples=extra)
    elif pixels.dtype == np.uint16:
        assert profile is None
        file.write_bytes(imagecodecs.png_encode(pixels))
    else:
        Image.fromarray(pixels).save(file, icc_profile=profile)


def read(file: Path) -> np.ndarray:
    """Read all bits of an image with another library than ours."""
    if file.suffix == ".tif":
        return tifffile.imread(file)
    stored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    return stored[..., [2, 1, 0, 3][: stored.shape[2]]]


def find_profile(file: Path) -> bytes | None:
    with Image.open(file) as picture:
        return picture.info.get("icc_profile")


@pytest.mark.parametrize("content", ["deep.png", "deep.tif"])
def test_4096_levels_pass_a_kept_region_to_the_bit(project: Path, render: Callable[..., Result], content: str) -> None:
    pixels = draw_levels()
    assert len(np.unique(pixels[KEPT])) > 3000
    write(project / content, pixels)
    result = render(content)
    for output in ("out.png", "out.tif"):
        saved = read(result.save(project / output))
        assert saved.dtype == np.uint16
        assert (saved[KEPT] == pixels[KEPT]).all()
        assert (saved[PAINTED] % 257 != 0).any(1).mean() > 0.9  # the paint too has more than 8 bits
        record = json.loads((project / f"{output}.json").read_text())
        assert record["saved"] == {"depth": 16, "profile": "sRGB", "alpha": False}


@pytest.mark.parametrize("profile", [make_profile("Display P3"), ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_wide_photograph_keeps_profile_and_pixels(
    project: Path, render: Callable[..., Result], kind: type, profile: bytes
) -> None:
    pixels = draw_levels(kind)
    write(project / "wide.tif", pixels, profile)
    result = render("wide.tif")
    for output in ("out.png", "out.tif"):
        saved = read(result.save(project / output))
        assert saved.dtype == kind and (saved[KEPT] == pixels[KEPT]).all()
        assert find_profile(project / output) == profile


def convert(pixels: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """Convert colours of 8 bits as Pillow does."""
    profiles = (ImageCms.ImageCmsProfile(io.BytesIO(profile)) for profile in (source, target))
    options = {"renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC, "outputMode": "RGB"}
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), *profiles, **options), int)


def test_paint_is_converted_to_the_profile_that_is_kept(project: Path, render: Callable[..., Result]) -> None:
    wide = make_profile("Display P3")
    write(project / "wide.png", draw_levels(np.uint8), wide)
    result = render("wide.png")
    saved = read(result.save(project / "out.png"))
    shown = convert(np.ascontiguousarray(saved), wide, make_profile("sRGB"))
    paint = np.asarray(result.picture, int)
    assert np.abs(shown - paint)[PAINTED].max() <= 3  # two roundings, in a steep part of the tone curve
    assert np.abs(shown - paint)[PAINTED].mean() < 0.3
    assert np.abs(saved - paint)[PAINTED].max() > 10  # the numbers themselves are others


@pytest.mark.parametrize("target", ["sRGB", "Display P3"])
def test_the_profile_is_converted_on_request(project: Path, render: Callable[..., Result], target: str) -> None:
    pixels = np.random.default_rng(0).integers(90, 160, (64, 96, 3), np.uint8)  # in every gamut
    write(project / "wide.png", pixels, ADOBE_RGB)
    saved = read(render("wide.png", save__profile=target).save(project / "out.png"))
    assert find_profile(project / "out.png") == make_profile(target)
    expected = convert(pixels, ADOBE_RGB, make_profile(target))
    assert np.abs(saved - expected)[KEPT].max() <= 1
    assert np.abs(saved.astype(int) - pixels)[KEPT].max() > 5


@pytest.mark.parametrize(("written", "name"), [("p3", "Display P3"), ("display-p3", "Display P3"), ("SRGB", "sRGB")])
def test_profiles_are_found_as_people_write_them(
    project: Path, render: Callable[..., Result], written: str, name: str
) -> None:
    result = render("photo.png", save__profile=written)
    assert result.record.saved and result.record.saved.profile == name


def test_an_image_without_profile_becomes_one_with_that_of_srgb(project: Path, render: Callable[..., Result]) -> None:
    result = render("photo.png")
    for output in ("out.png", "out.tif", "out.jpg", "out.webp", "out.avif"):
        result.save(project / output)
        assert find_profile(project / output) == make_profile("sRGB")
    assert (read(project / "out.png")[KEPT] == np.asarray(Image.open(project / "photo.png"))[KEPT]).all()


def test_no_seam_lies_where_the_border_begins(project: Path, render: Callable[..., Result]) -> None:
    """Colours beyond sRGB are not clipped in the border: it fades from the photograph's own pixels."""
    pixels = np.full((64, 96, 3), 0, np.uint16)
    pixels[..., 1] = 65535  # a green that sRGB does not have
    write(project / "green.tif", pixels, make_profile("Display P3"))
    result = render("green.tif")
    output = Output(result.scene, result.rendering, project / "out.tif")
    saved, faint = output.compose().astype(int), (result.rendering.opacity > 0) & (result.rendering.opacity < 0.2)
    assert faint.any()
    assert np.abs(saved - pixels)[faint].max() < 0.25 * 65535
    clipped = 65535 * np.abs(result.scene.content[0].transpose(1, 2, 0) - [0, 1, 0]).max()
    assert clipped < 1000  # in sRGB it is the purest green


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_transparency_is_that_of_the_content_image(project: Path, render: Callable[..., Result], kind: type) -> None:
    pixels = draw_levels(kind, 4)
    pixels[:20, :, 3], pixels[20:30, :, 3] = 0, np.iinfo(kind).max
    write(project / "cut.png", pixels)
    result = render("cut.png")
    for output in ("out.png", "out.tif"):
        saved = read(result.save(project / output))
        assert saved.dtype == kind and (saved[..., 3] == pixels[..., 3]).all()
        assert (saved[KEPT] == pixels[KEPT]).all()  # also the hidden colours
    assert result.picture.mode == "RGBA" and result.record.saved and result.record.saved.alpha


def test_transparency_is_scaled_with_the_image(project: Path, render: Callable[..., Result]) -> None:
    pixels = np.full((64, 96, 4), 200, np.uint8)
    pixels[:32, :, 3], pixels[:32, :, :3] = 0, 7  # a dark colour is hidden there, and must not bleed into the rest
    for kind in (np.uint8, np.uint16):
        write(project / "cut.png", pixels.astype(kind) * (257 if kind is np.uint16 else 1))
        saved = read(render("cut.png", size=48).save(project / "out.png"))
        shown = saved[..., 3] > np.iinfo(kind).max // 2
        assert saved.shape == (32, 48, 4) and 0.4 < shown.mean() < 0.6
        most = np.iinfo(kind).max
        assert np.abs(saved[:, :20, :3][shown[:, :20]] / most - 200 / 255).max() < 0.02


def test_jpeg_shows_transparency_on_white_with_a_warning(project: Path, render: Callable[..., Result]) -> None:
    pixels = np.full((64, 96, 4), 90, np.uint8)
    pixels[:, :16, 3] = 0
    pixels[:, 16:, 3] = 255
    write(project / "cut.png", pixels)
    (project / "shot.yaml").write_text(RECIPE.replace("CONTENT", "cut.png"))
    recipe = guidedstyle.load_recipe(project / "shot.yaml", {"output": "out.jpg"})
    assert any("holds no transparency" in warning for warning in guidedstyle.check(recipe).warnings)
    render("cut.png").save(project / "out.jpg")
    shown = np.asarray(Image.open(project / "out.jpg"), int)
    assert np.abs(shown[:, :10] - 255).max() < 3 and np.abs(shown[:, 24:44] - 90).max() < 3


def test_an_opaque_alpha_channel_is_none(project: Path, render: Callable[..., Result]) -> None:
    Image.open(project / "photo.png").convert("RGBA").save(project / "opaque.png")
    result = render("opaque.png")
    assert result.picture.mode == "RGB"
    assert (np.asarray(result.picture) == np.asarray(render("photo.png").picture)).all()


@pytest.mark.parametrize("mode", ["P", "LA", "L", "1"])
def test_other_kinds_of_pixels_become_rgb(project: Path, render: Callable[..., Result], mode: str) -> None:
    picture = Image.open(project / "photo.png").convert("RGBA" if mode == "LA" else "RGB").convert(mode)
    if mode == "LA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(project / "other.png")
    saved = read(render("other.png").save(project / "out.png"))
    expected = np.asarray(picture.convert("RGBA" if mode == "LA" else "RGB"))
    assert (saved[KEPT] == expected[KEPT]).all()


def test_a_grey_photograph_of_16_bits_keeps_its_levels(project: Path, render: Callable[..., Result]) -> None:
    grey = draw_levels()[..., 0]
    tifffile.imwrite(project / "grey.tif", grey)
    saved = read(render("grey.tif").save(project / "out.tif"))
    assert (saved[KEPT] == grey[KEPT][..., None]).all()


def test_floats_are_stored_with_16_bits(project: Path, render: Callable[..., Result]) -> None:
    values = np.random.default_rng(0).random((64, 96, 3), np.float32)
    tifffile.imwrite(project / "float.tif", values, photometric="rgb")
    saved = read(render("float.tif").save(project / "out.tif"))
    assert saved.dtype == np.uint16 and np.abs(saved / 65535 - values)[KEPT].max() < 1e-5


def test_depth_is_chosen(project: Path, render: Callable[..., Result]) -> None:
    write(project / "deep.png", draw_levels())
    assert read(render("deep.png", save__depth=8).save(project / "out.png")).dtype == np.uint8
    saved = read(render("photo.png", save__depth=16).save(project / "out.png"))
    photo = np.asarray(Image.open(project / "photo.png"), np.uint16) * 257
    assert saved.dtype == np.uint16 and (saved[KEPT] == photo[KEPT]).all()
    with pytest.raises(GuidedStyleError, match="holds 8 bits"):
        render("photo.png", save__depth=16, output="out.jpg")


def test_a_scaled_photograph_of_16_bits_has_no_steps_of_8(project: Path, render: Callable[..., Result]) -> None:
    ramp = np.linspace(20000, 21000, 192)
    write(project / "deep.png", (ramp[None, :, None] * np.ones((128, 1, 3))).astype(np.uint16))
    kept = read(render("deep.png", size=96).save(project / "out.png"))[:, 4:44, 1].astype(float)
    assert np.abs(kept - ramp.reshape(96, 2).mean(1)[4:44]).max() < 8  # 8 bits would round by up to 128


def make_exif() -> Image.Exif:
    exif = Image.Exif()
    for tag, value in {0x010F: "Maker", 0x0110: "Model", 0x0112: 6, 0x8298: "(c) Somebody", 0x013B: "Somebody"}.items():
        exif[tag] = value
    inner = exif.get_ifd(0x8769)
    for tag, value in {0x9003: "2024:05:06 07:08:09", 0x829A: 0.004, 0xA434: "Lens 35mm", 0x8827: 400}.items():
        inner[tag] = value
    position = exif.get_ifd(0x8825)
    position[1], position[2] = "N", (50.0, 30.0, 1.5)
    return exif


@pytest.mark.parametrize("content", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_exif_passes_from_every_format_to_every_other(
    project: Path, render: Callable[..., Result], content: str
) -> None:
    Image.open(project / "photo.png").resize((64, 96)).save(project / content, exif=make_exif())
    with Image.open(project / content) as picture:
        picture.load()
        before = picture.getexif()
        expected = {tag: before[tag] for tag in (0x010F, 0x0110, 0x8298, 0x013B)} | dict(before.get_ifd(0x8769))
    result = render(content)
    for output in ("out.jpg", "out.png", "out.tif", "out.webp", "out.avif"):
        with Image.open(result.save(project / output)) as picture:
            picture.load()
            found = picture.getexif()
            assert picture.size == (96, 64) and found.get(0x0112, 1) == 1
            assert {**found, **found.get_ifd(0x8769)}.items() >= expected.items()
            assert not found.get_ifd(0x8825)


def test_the_position_is_kept_on_request(project: Path, render: Callable[..., Result]) -> None:
    Image.open(project / "photo.png").save(project / "a.jpg", exif=make_exif())
    render("a.jpg", save__gps=True).save(project / "out.jpg")
    with Image.open(project / "out.jpg") as picture:
        assert dict(picture.getexif().get_ifd(0x8825)) == {1: "N", 2: (50.0, 30.0, 1.5)}


def test_equal_images_are_equal_files(project: Path, render: Callable[..., Result]) -> None:
    result = render("photo.png")
    for output in ("out.png", "out.tif", "out.jpg"):
        assert result.save(project / output).read_bytes() == result.save(project / output).read_bytes()


def test_records_of_recipes_without_save_are_as_before(project: Path, render: Callable[..., Result]) -> None:
    assert "save" not in render("photo.png").record.recipe
    assert render("photo.png", save__quality=80).record.recipe["save"] == {"quality": 80}


@pytest.mark.parametrize(
    ("key", "value", "output", "words"),
    [
        ("quality", 80, "out.png", "save.quality has no effect on .png"),
        ("subsampling", "4:2:0", "out.webp", "save.subsampling has no effect on .webp"),
        ("profile", "Display P3", "out.ora", "the layers of .ora are in sRGB"),
    ],
)
def test_choices_without_effect_are_warnings(project: Path, key: str, value: object, output: str, words: str) -> None:
    (project / "shot.yaml").write_text(RECIPE.replace("CONTENT", "photo.png"))
    recipe = guidedstyle.load_recipe(project / "shot.yaml", {f"save.{key}": value, "output": output})
    assert any(words in warning for warning in guidedstyle.check(recipe).warnings)
