"""What a layer covers: as psd-tools composites it, as Porter and Duff have it, or refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, Knockout, Tag
from psd_tools.psd.descriptor import Bool, Descriptor, DescriptorBlock2
from psd_tools.psd.layer_and_mask import LayerBlendingRanges, MaskParameters
from psd_tools.psd.vector import (
    ClosedKnotUnlinked,
    ClosedPath,
    InitialFillRule,
    PathFillRule,
    VectorMaskSetting,
)
from psd_tools.psd.vector import (
    Path as VectorPath,
)
from support.krita import DISC, SIZE

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.coverage import LayerReading
from guidedstyle.io.layered.formats import inspect_layer, open_layered
from guidedstyle.types import LayerOpacity

RAMP = np.uint8(np.linspace(0, 255, SIZE[0]) * np.ones((SIZE[1], 1)))
WHOLE = np.full(SIZE[::-1], 255, np.uint8)
CIRCLE = 0.5523  # length of the handles of a quarter of a circle

Build = Callable[[PSDImage], None]


def paint(alpha: np.ndarray, colour: str = "white") -> Image.Image:
    """Paint with an alpha (H, W)."""
    layer = Image.new("RGBA", (alpha.shape[1], alpha.shape[0]), colour)
    layer.putalpha(Image.fromarray(alpha))
    return layer


def add(group: Any, name: str, alpha: np.ndarray = WHOLE, **settings: Any) -> Any:
    """Add a layer with an alpha, white if it is the sky, and set attributes of it."""
    layer = group.create_pixel_layer(paint(alpha, "white" if name == "sky" else "black"), name=name)
    for key, value in settings.items():
        setattr(layer, key, value)
    return layer


def inspect(file: Path, name: str = "sky", opacity: LayerOpacity | None = None) -> LayerReading:
    return inspect_layer(open_layered(file), name, opacity)


def corner(x: float, y: float) -> ClosedKnotUnlinked:
    return ClosedKnotUnlinked((y, x), (y, x), (y, x))


def rectangle(left: float, top: float, right: float, bottom: float, operation: int = 1) -> ClosedPath:
    corners = [corner(left, top), corner(right, top), corner(right, bottom), corner(left, bottom)]
    return ClosedPath(corners, operation=operation)


def ellipse(x: float, y: float, across: float, down: float) -> ClosedPath:
    """Draw an ellipse as four curves, around (x, y) in fractions of the image."""
    knots = []
    for angle in np.arange(4) * np.pi / 2:
        point, turn = np.array([np.sin(angle), np.cos(angle)]), CIRCLE * np.array([np.cos(angle), -np.sin(angle)])
        centre, radii = np.array([y, x]), np.array([down, across])
        before, at, after = (tuple(centre + radii * where) for where in (point - turn, point, point + turn))
        knots.append(ClosedKnotUnlinked(before, at, after))
    return ClosedPath(knots, operation=1)


def set_path(layer: Any, *paths: ClosedPath, fill: int = 0, **flags: int) -> None:
    path = VectorPath([PathFillRule(), InitialFillRule(fill), *paths])
    bits = sum(bit for name, bit in (("invert", 1), ("disable", 4)) if flags.get(name))
    layer.tagged_blocks.set_data(Tag.VECTOR_MASK_SETTING1, version=3, flags=bits, path=path)
    assert isinstance(layer.tagged_blocks.get_data(Tag.VECTOR_MASK_SETTING1), VectorMaskSetting)


def fill(document: PSDImage) -> None:
    add(document, "sky", RAMP, fill_opacity=128)


def fill_and_opacity(document: PSDImage) -> None:
    add(document, "sky", RAMP, fill_opacity=100, opacity=200)


def vector(*paths: ClosedPath, **settings: int) -> Build:
    return lambda document: set_path(add(document, "sky", RAMP), *paths, **settings)


def masked(**flags: Any) -> Build:
    """Mask the sky; what is beyond the mask, of 40 x 30 px, has its default colour."""

    def build(document: PSDImage) -> None:
        layer = add(document, "sky")
        layer.create_mask(Image.fromarray(RAMP[:30, :40]), top=20, left=30)
        data = layer.mask._data
        data.background_color = flags.pop("beyond", 0)
        if "density" in flags:
            data.flags.parameters_applied = True
            data.parameters = MaskParameters(user_mask_density=flags.pop("density"))
        for name, value in flags.items():
            setattr(data.flags, name, value)

    return build


def clipped(document: PSDImage) -> None:
    add(document, "base", 255 * np.uint8(DISC), opacity=128, fill_opacity=200)
    add(document, "between", RAMP, clipping=True)
    add(document, "sky", clipping=True)


def clipped_to_masked(document: PSDImage) -> None:
    set_path(add(document, "base", RAMP), rectangle(0, 0, 0.5, 1))
    add(document, "sky", clipping=True)


def clipped_to_group(document: PSDImage) -> None:
    group = document.create_group(name="base", opacity=180, blend_mode=BlendMode.NORMAL)
    group.extend([add(document, "disc", 255 * np.uint8(DISC)), add(document, "ramp", RAMP, opacity=100)])
    add(document, "sky", clipping=True)


def clipped_within_group(document: PSDImage) -> None:
    group = document.create_group(name="land", opacity=128, blend_mode=BlendMode.PASS_THROUGH)
    group.extend([add(document, "base", RAMP), add(document, "sky", clipping=True)])


def in_masked_groups(document: PSDImage) -> None:
    outer = document.create_group(name="outer", opacity=200, blend_mode=BlendMode.NORMAL)
    inner = document.create_group(name="inner", opacity=150, blend_mode=BlendMode.NORMAL)
    inner.append(add(document, "sky", RAMP))
    outer.append(inner)
    set_path(outer, ellipse(0.5, 0.5, 0.4, 0.3))


SHOWN: dict[str, Build] = {
    "fill": fill,
    "fill and opacity": fill_and_opacity,
    "a path": vector(rectangle(0.1, 0.2, 0.63, 0.81)),
    "an ellipse": vector(ellipse(0.4, 0.5, 0.3, 0.4)),
    "two paths, one cut out": vector(rectangle(0, 0, 1, 0.6), rectangle(0.2, 0.2, 0.5, 0.9, operation=2)),
    "two paths, where both are": vector(rectangle(0, 0, 1, 0.6), rectangle(0.2, 0.2, 0.5, 0.9, operation=3)),
    "two paths, where one is": vector(rectangle(0, 0, 1, 0.6), rectangle(0.2, 0.2, 0.5, 0.9, operation=0)),
    "a path switched off": vector(rectangle(0, 0, 0.5, 1), disable=1),
    "a mask beside the layer's corner": masked(),
    "a mask that hides nothing beyond it": masked(beyond=255),
    "a mask of less density": masked(density=100),
    "a mask switched off": masked(mask_disabled=True),
    "an unlinked mask": masked(pos_relative_to_layer=True),
    "clipped to a layer with fill and opacity": clipped,
    "clipped to a layer with a path": clipped_to_masked,
    "clipped to a group": clipped_to_group,
    "clipped within a group": clipped_within_group,
    "in groups with paths and opacities": in_masked_groups,
}


def save(folder: Path, build: Build, *, depth: int = 8) -> Path:
    """Save a document twice: psd-tools sets some things only in one that it opened."""
    document = PSDImage.new("RGBA", SIZE, depth=depth)
    build(document)
    document.save(folder / "a.psd")
    return folder / "a.psd"


@pytest.mark.parametrize("case", SHOWN)
@pytest.mark.parametrize("depth", [8, 16])
def test_photoshop_layers_cover_what_psd_tools_shows(tmp_path: Path, case: str, depth: int) -> None:
    """The sky is white, all else black: what is shown of it is its colour times the alpha of all."""
    file = save(tmp_path, SHOWN[case], depth=depth)
    colour, _, alpha = _composite(file)
    shown = 255 * (colour[..., 0] * alpha[..., 0])
    read = inspect(file, opacity="count").alpha
    assert np.abs(read - shown).max() <= 2
    assert read.any()


def _composite(file: Path) -> tuple[Any, Any, Any]:
    from psd_tools.composite import composite

    return composite(PSDImage.open(file), color=0.0, alpha=0.0, force=True)


def test_areas_of_paths(tmp_path: Path) -> None:
    """By arithmetic: a rectangle, an ellipse, and one cut out of the other."""
    for paths, area in (
        ([rectangle(0.1, 0.2, 0.6, 0.8)], 0.3),
        ([ellipse(0.5, 0.5, 0.3, 0.4)], np.pi * 0.12),
        ([rectangle(0, 0, 1, 1), ellipse(0.5, 0.5, 0.3, 0.4)], 1.0),
    ):
        file = save(tmp_path, lambda document, paths=paths: set_path(add(document, "sky"), *paths))
        assert inspect(file).alpha.mean() / 255 == pytest.approx(area, abs=0.003)


def test_a_base_that_is_soft_limits_a_faded_layer_by_the_product(tmp_path: Path) -> None:
    def build(document: PSDImage) -> None:
        add(document, "base", RAMP)
        add(document, "sky", clipping=True, opacity=102)

    file = save(tmp_path, build)
    assert np.abs(inspect(file).alpha - RAMP * 0.4).max() <= 1
    assert (inspect(file, opacity="ignore").alpha == RAMP).all()


def effect(key: bytes, kind: bytes, **values: object) -> Build:
    """Give the sky a layer effect that is switched on."""

    def build(document: PSDImage) -> None:
        layer = add(document, "sky", RAMP, **({"fill_opacity": 100} if values.pop("faded", False) else {}))
        described = Descriptor(classID=kind)
        described.update({b"enab": Bool(True), b"present": Bool(True), **values})
        block = DescriptorBlock2(classID=b"null")
        block.update({b"masterFXSwitch": Bool(True), key: described})
        layer.tagged_blocks.set_data(Tag.OBJECT_BASED_EFFECTS_LAYER_INFO, **{})
        layer.tagged_blocks[Tag.OBJECT_BASED_EFFECTS_LAYER_INFO].data = block

    return build


def blend_if(document: PSDImage) -> None:
    layer = add(document, "sky")
    layer._record.blending_ranges = LayerBlendingRanges(composite_ranges=[(0, 65535), (0, 30000)])


def knocked_out(document: PSDImage) -> None:
    add(document, "sky")
    add(document, "hole", 255 * np.uint8(DISC), fill_opacity=0).tagged_blocks.set_data(
        Tag.KNOCKOUT_SETTING, int(Knockout.SHALLOW)
    )


def feathered(document: PSDImage) -> None:
    layer = add(document, "sky")
    layer.create_mask(Image.fromarray(RAMP))
    layer.mask._data.flags.parameters_applied = True
    layer.mask._data.parameters = MaskParameters(user_mask_density=255, user_mask_feather=3.0)


REFUSED: dict[str, tuple[Build, str]] = {
    "a drop shadow": (effect(b"DrSh", b"DrSh"), "a drop shadow"),
    "an outer glow": (effect(b"OrGl", b"OrGl"), "an outer glow"),
    "a stroke": (effect(b"FrFX", b"FrFX"), "a stroke around it"),
    "a bevel": (effect(b"ebbl", b"ebbl"), "a bevel around it"),
    "an overlay over a faded fill": (effect(b"SoFi", b"SoFi", faded=True), "its fill at 39%"),
    "blend if": (blend_if, "Blend If"),
    "dissolve": (lambda document: add(document, "sky", blend_mode=BlendMode.DISSOLVE), "Dissolve"),
    "a knockout above": (knocked_out, "layer 'hole', above 'sky'"),
    "a feathered mask": (feathered, "a feathered mask"),
    "an inverted mask": (masked(invert_mask=True), "an inverted mask of an old kind"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_photoshop_settings_that_are_not_read_are_refused_by_name(tmp_path: Path, case: str) -> None:
    build, named = REFUSED[case]
    with pytest.raises(GuidedStyleError, match=named) as caught:
        inspect(save(tmp_path, build))
    assert "save again" in str(caught.value)


def test_an_overlay_on_a_full_fill_changes_nothing(tmp_path: Path) -> None:
    assert (inspect(save(tmp_path, effect(b"SoFi", b"SoFi"))).alpha == RAMP).all()


def write_ora(folder: Path, stack: str) -> Path:
    """Write a document whose parts are `ramp`, `disc` and `whole`."""
    import io

    file = folder / "a.ora"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("stack.xml", f'<image w="{SIZE[0]}" h="{SIZE[1]}"><stack>{stack}</stack></image>')
        for name, alpha in (("ramp", RAMP), ("disc", 255 * np.uint8(DISC)), ("whole", WHOLE)):
            buffer = io.BytesIO()
            paint(alpha).save(buffer, "PNG")
            archive.writestr(f"{name}.png", buffer.getvalue())
    return file


def above(operation: str, **attributes: str) -> str:
    """Write a layer with the disc above the sky, which is a ramp."""
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<layer name="x" src="disc.png" composite-op="{operation}"{written}/><layer name="sky" src="ramp.png"/>'


HALF = 0.5 * DISC
SKY_ONLY = '<layer name="sky" src="ramp.png"/>'
OPERATIONS: list[tuple[str, Any]] = [
    (above("svg:src-over"), 1),
    (above("svg:multiply"), 1),
    (above("svg:dst-out"), 1 - DISC),
    (above("svg:dst-out", opacity="0.5"), 1 - HALF),
    (above("svg:dst-out", visibility="hidden"), 1),
    (above("svg:dst-in"), DISC),
    (above("svg:dst-in", opacity="0.5"), HALF),
    (above("svg:dst-atop"), DISC),
    (above("krita:erase"), 1 - DISC),
    (above("svg:src-atop"), 1),
    ('<stack isolation="isolate"><layer src="disc.png" composite-op="svg:dst-out"/></stack>' + above("svg:plus"), 1),
    (
        '<stack isolation="auto"><layer src="disc.png" composite-op="svg:dst-out"/></stack>' + above("svg:plus"),
        1 - DISC,
    ),
    (
        '<layer src="disc.png" composite-op="svg:dst-out"/><stack name="g"><layer name="sky" src="ramp.png"/></stack>',
        1 - DISC,
    ),
    ('<layer name="sky" src="ramp.png" composite-op="svg:src-atop"/><layer src="disc.png"/>', DISC),
    ('<layer name="sky" src="ramp.png" composite-op="svg:src-atop"/><layer src="disc.png" opacity="0.5"/>', HALF),
    ('<layer name="sky" src="ramp.png" composite-op="svg:src-atop"/>', 0),
    (
        '<stack isolation="isolate"><layer name="sky" src="ramp.png" composite-op="svg:src-atop"/></stack>'
        '<layer src="whole.png"/>',
        0,
    ),
    ('<stack><layer name="sky" src="ramp.png" composite-op="svg:src-atop"/></stack><layer src="disc.png"/>', DISC),
    (
        '<layer name="sky" src="ramp.png" composite-op="svg:src-atop"/>'
        '<layer src="whole.png" composite-op="svg:src-atop"/><layer src="disc.png"/>',
        DISC,
    ),
]


SPELLINGS = {
    **dict.fromkeys(("SVG:DST-OUT", " svg:dst-out ", "dst-out", "svg:destination-out", "gimp:erase"), 1 - DISC),
    **dict.fromkeys(("destination-in", "svg:dst_in", "krita:destination-atop"), DISC),
}
OPERATIONS += [(above(operation), share) for operation, share in SPELLINGS.items()]
ISOLATED = '<stack isolation="isolate" composite-op="{}" opacity="{}"><layer src="disc.png"/></stack>'
OPERATIONS += [
    (ISOLATED.format(operation, opacity) + SKY_ONLY, share)
    for operation, opacity, share in (
        ("svg:dst-out", 1, 1 - DISC),
        ("svg:dst-out", 0.5, 1 - HALF),
        ("svg:dst-in", 1, DISC),
        ("krita:erase", 1, 1 - DISC),
    )
]


@pytest.mark.parametrize(("stack", "share"), OPERATIONS, ids=range(len(OPERATIONS)))
def test_openraster_operations_of_porter_and_duff(tmp_path: Path, stack: str, share: Any) -> None:
    """The sky, a ramp, times what other layers leave of it."""
    assert np.abs(inspect(write_ora(tmp_path, stack)).alpha - RAMP * share).max() <= 1


@pytest.mark.parametrize(
    ("stack", "rule"),
    [
        ('<layer name="sky" src="ramp.png" composite-op="svg:dst-out"/>', "blended by svg:dst-out"),
        ('<layer name="sky" src="ramp.png" composite-op="krita:dissolve"/>', "blended by dissolve"),
        (above("svg:xor"), "layer 'x', above 'sky', changes what that covers"),
        (above("krita:copy"), "layer 'x', above 'sky', changes what that covers"),
        ('<text name="sky"/>', "a text, which has no pixels"),
        ('<filter name="blur"/><layer name="sky" src="ramp.png"/>', "layer 'blur', above 'sky'"),
        (above("SVG:Src-In"), "layer 'x', above 'sky', changes what that covers"),
        (above("gimp:color_erase"), "layer 'x', above 'sky', changes what that covers"),
        ('<stack name="g" composite-op="svg:dst-out"/>' + above("svg:plus"), "'g', .*is blended by svg:dst-out"),
        (f'<stack name="g" x="5">{SKY_ONLY}</stack>', "layer 'sky' is in 'g', which is a group at 5, 0"),
        ('<layer name="sky" src="ramp.png" opacity="50%"/>', "opacity '50%' of layer 'sky' is not a number"),
        ('<layer name="sky" src="ramp.png" opacity="0,5"/>', "opacity '0,5' of layer 'sky' is not a number"),
        ('<layer name="sky" src="ramp.png" x="3px"/>', "x '3px' of layer 'sky' is not a number"),
    ],
)
def test_openraster_operations_that_are_refused(tmp_path: Path, stack: str, rule: str) -> None:
    with pytest.raises(GuidedStyleError, match=rule):
        inspect(write_ora(tmp_path, stack))


SKY = '<layer name="sky" src="ramp.png"'
BASE = '<layer name="base" src="disc.png"'


@pytest.mark.parametrize(
    ("stack", "covered", "warnings"),
    [
        (f'{SKY} visibility="hidden"/>', 1, ["a.ora: layer 'sky' is hidden"]),
        (f'<stack name="g" visibility="hidden">{SKY}/></stack>', 1, ["a.ora: the group 'g' of layer 'sky' is hidden"]),
        (
            f'{SKY} composite-op="svg:src-atop"/>{BASE} visibility="hidden"/>',
            DISC,
            ["'sky' is clipped to 'base', which"],
        ),
        (f'{SKY} opacity="0.5"/>', 0.5, ["'sky' is at 50% opacity and counts so"]),
        (f'<stack name="g" opacity="0.5">{SKY} opacity="0.8"/></stack>', 0.4, ["'g' is at 50%", "'sky' is at 80%"]),
        (f'{SKY} composite-op="svg:src-atop"/>{BASE} opacity="0.5"/>', HALF, ["'base' is at 50%"]),
        (f'{SKY} composite-op="svg:src-atop"/>{BASE} opacity="0.5"/><layer src="whole.png"/>', 1, []),
        (f'{SKY} opacity="0.6"/>{BASE} opacity="0.5"/>', 0.6, ["'sky' is at 60%"]),
    ],
)
def test_hidden_layers_count_and_opacities_are_told(
    tmp_path: Path, stack: str, covered: Any, warnings: list[str]
) -> None:
    read = inspect(write_ora(tmp_path, stack))
    assert np.abs(read.alpha - RAMP * covered).max() <= 1
    assert len(read.warnings) == len(warnings)
    assert all(text in warning for text, warning in zip(warnings, read.warnings, strict=True))


MARKED = '<layer name="photograph (guidedstyle mask new)" src="whole.png"/>'


@pytest.mark.parametrize(
    ("opacity", "choice", "counts", "told"),
    [("0.6", None, 1, 0), ("0.5", None, 1, 1), ("0.6", "count", 0.6, 0), ("0.5", "ignore", 1, 0), ("1", None, 1, 0)],
)
def test_opacities_do_not_count_in_documents_of_mask_new(
    tmp_path: Path, opacity: str, choice: LayerOpacity | None, counts: float, told: int
) -> None:
    file = write_ora(tmp_path, f'<stack name="g" opacity="{opacity}">{SKY}/></stack>{MARKED}')
    read = inspect(file, opacity=choice)
    assert np.abs(read.alpha - RAMP * counts).max() <= 1
    assert len(read.warnings) == told


KRA_SKY = '<layer name="sky" nodetype="paintlayer" filename="ramp" colorspacename="RGBA"'
MASK = '<masks><mask nodetype="{}" filename="m" visible="{}"/></masks></layer>'


def write_kra(folder: Path, layers: str) -> Path:
    """Write a document of Krita with layers; the part `ramp` has one tile: a ramp from left to right."""
    tile = np.zeros((64, 64, 4), np.uint8)
    tile[..., 3] = RAMP[:64, :64]
    file, header = folder / "a.kra", "VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 4\nDATA 1\n0,0,LZF,16385\n"
    image = f'<IMAGE width="64" height="64"><layers>{layers}</layers></IMAGE>'
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("maindoc.xml", f'<DOC xmlns="http://www.calligra.org/DTD/krita">{image}</DOC>')
        archive.writestr("x/layers/ramp", header.encode() + b"\0" + tile.tobytes())
        archive.writestr("x/layers/ramp.defaultpixel", bytes(4))
    return file


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        (KRA_SKY + ">" + MASK.format("filtermask", 1), "shown with a filter mask"),
        (KRA_SKY + ">" + MASK.format("transformmask", 1), "shown with a transform mask"),
        (KRA_SKY + ">" + MASK.format("colorizemask", 1), "shown with a colorize mask"),
        (KRA_SKY + ' layerstyle="{1}"/>', "shown with a layer style"),
        (KRA_SKY + ' keyframes="ramp.keyframes.xml"/>', "animated"),
        (KRA_SKY + ' compositeop="erase"/>', "blended by erase"),
        (KRA_SKY + ' compositeop="dissolve"/>', "blended by dissolve"),
        (KRA_SKY.replace("RGBA", "RGBAF16") + "/>", "painted in floating point"),
        (
            '<layer name="x" nodetype="adjustmentlayer" filtername="gaussian blur"/>' + KRA_SKY + "/>",
            "'x', above 'sky'",
        ),
        ('<layer name="sky" nodetype="generatorlayer"/>', "a generatorlayer"),
        ('<layer name="sky" nodetype="clonelayer"/>', "a clonelayer"),
        ('<layer name="sky" nodetype="filelayer"/>', "a filelayer"),
        (
            KRA_SKY + ' channelflags="1110"/><layer name="v" nodetype="shapelayer"/>',
            "layer 'v', part of what 'sky' is clipped to",
        ),
        (
            f'<layer name="g" nodetype="grouplayer" layerstyle="{{1}}"><layers>{KRA_SKY}/></layers></layer>',
            "layer 'sky' is in 'g', which is shown with a layer style",
        ),
    ],
)
def test_krita_settings_that_are_not_read_are_refused_by_name(tmp_path: Path, layers: str, rule: str) -> None:
    with pytest.raises(GuidedStyleError, match=rule) as caught:
        inspect(write_kra(tmp_path, layers))
    assert "save again" in str(caught.value)


@pytest.mark.parametrize(
    "layers",
    [
        KRA_SKY + ">" + MASK.format("filtermask", 0),
        KRA_SKY + ">" + MASK.format("selectionmask", 1),
        KRA_SKY + ' channellockflags="1110" locked="1"/>',
        KRA_SKY + ' channelflags="1101" compositeop="multiply"/>',
        '<layer name="x" nodetype="adjustmentlayer" filtername="levels"/>' + KRA_SKY + "/>",
        '<layer name="x" nodetype="adjustmentlayer" filtername="blur" visible="0"/>' + KRA_SKY + "/>",
        '<layer name="x" nodetype="shapelayer"/>' + KRA_SKY + "/>",
    ],
)
def test_krita_settings_that_change_no_coverage_are_read(tmp_path: Path, layers: str) -> None:
    assert (inspect(write_kra(tmp_path, layers)).alpha == RAMP[:64, :64]).all()


def grouped(members: str, **settings: str) -> str:
    written = "".join(f' {key}="{value}"' for key, value in settings.items())
    return f'<layer name="g" nodetype="grouplayer"{written}><layers>{members}</layers></layer>'


HIDE = '<mask nodetype="transparencymask" filename="m"/>'  # it has no selection: it hides all
KRA_DISC = KRA_SKY.replace("sky", "x") + "/>"  # the ramp, too


@pytest.mark.parametrize(
    ("layers", "share"),
    [
        (grouped(HIDE + KRA_SKY + "/>"), 0),
        (grouped(HIDE + grouped(KRA_SKY + "/>")), 0),
        (grouped(HIDE.replace("/>", ' visible="0"/>') + KRA_SKY + "/>"), 1),
        (grouped(HIDE + KRA_SKY + "/>", passthrough="1"), 1),
        (grouped(KRA_SKY + "/>", passthrough="1", channelflags="1110"), 1),
        (grouped(KRA_DISC, passthrough="1", compositeop="erase") + KRA_SKY + "/>", 1),
        (grouped(KRA_DISC, compositeop="erase") + KRA_SKY + "/>", 1 - RAMP[:64, :64] / 255),
        (grouped(KRA_DISC, compositeop="erase", opacity="51") + KRA_SKY + "/>", 1 - RAMP[:64, :64] / 255 / 5),
        (grouped(KRA_DISC, compositeop="destination-in") + KRA_SKY + "/>", RAMP[:64, :64] / 255),
        (grouped(HIDE + KRA_DISC, compositeop="erase") + KRA_SKY + "/>", 1),
    ],
)
def test_krita_groups_with_masks_and_modes(tmp_path: Path, layers: str, share: Any) -> None:
    """As Krita shows them: masks of a group lie among its layers; one that passes through has only its opacity."""
    assert np.abs(inspect(write_kra(tmp_path, layers)).alpha - RAMP[:64, :64] * share).max() <= 1


@pytest.mark.parametrize("kind", ["filtermask", "transformmask", "colorizemask"])
def test_krita_masks_of_groups_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    file = write_kra(tmp_path, grouped(f'<mask nodetype="{kind}" filename="m"/>' + KRA_SKY + "/>"))
    with pytest.raises(GuidedStyleError, match="layer 'sky' is in 'g', which is shown with a "):
        inspect(file)


@pytest.mark.parametrize("written", ["sky ", " sky", "\u00a0sky\t"])
def test_spaces_around_a_layers_name_do_not_matter_unless_they_distinguish(tmp_path: Path, written: str) -> None:
    assert (inspect(write_ora(tmp_path, f'<layer name="{written}" src="ramp.png"/>')).alpha == RAMP).all()
    both = f'<layer name="{written}" src="disc.png"/>{SKY_ONLY}'
    assert (inspect(write_ora(tmp_path, both)).alpha == RAMP).all()
    twice = f'<layer name="{written}" src="disc.png"/><layer name="  sky" src="ramp.png"/>'
    with pytest.raises(GuidedStyleError, match="2 layers are called 'sky'"):
        inspect(write_ora(tmp_path, twice))


def test_a_transparency_mask_without_a_selection_hides_all(tmp_path: Path) -> None:
    """As in Krita's loader: what is not selected is transparent."""
    assert not inspect(write_kra(tmp_path, KRA_SKY + ">" + MASK.format("transparencymask", 1))).alpha.any()
