"""Small valid files of every kind, as seeds for `fuzz_readers.py`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from psd_tools import PSDImage
from support.krita import pack_planes, write_krita

PART = b"\n--part--\n"  # between the name and the content of each part of a zip

RECIPES = (
    "content: photo.png\nstyle: ink.png\n",
    "content: photo.png\nstyles: {ink: ink.png, oil: {image: oil.png, scale: 2, rotate: 30, flip: both}}\nregions:\n"
    "  - {name: a, mask: rest, style: {fine: ink, coarse: oil}}\n"
    "  - {name: b, mask: {any: [left.png, {ellipse: [0, 0, 1, 1]}], grow: 2%}, style: {oil: 0.7, ink: {where: all}}}\n"
    "  - {name: c, mask: {except: [all, {polygon: [[0, 1], [0.5, 0], [1, 1]]}], feather: 3}, keep: true, border: 4}\n",
    "content: photo.png\nmasks: {file: left.png, ignore: [white], tolerance: 3}\nstyles: {ink: ink.png}\n"
    "encoder: {name: vgg19, convention: original}\nsolver: {method: adam, steps: 3, seed: 1, rate: 0.1}\n"
    "regions: [{name: a, mask: {colour: '#f00'}, style: ink, colour: {palette: [red]}, octaves: fine}]\n",
    "canvas: [64, 32]\nstyle: ink.png\ninit: {noise: 1, file: oil.png}\nstyle_layers: [relu1_1]\nsize: 32\n",
    "content: \"a\\u00e9\"\nsize: !!int '7'\nregions: [{name: !!str a, mask: rest, keep: !!bool true}]\n",
    "method: classic\ncontent: photo.png\nstyle: &a ink.png\noutput: b.tif\ncolour: match\nguides: inside\n",
)
SETTINGS = (
    "smoothness=2\nregions.b.strength=0\nsolver.seed=1,2,3\n",
    "style_layers=[relu1_1],[relu1_1, relu2_1]\nregions.0.mask={gradient: {from: [0, 0], to: [1, 1]}}\n",
    "style=ink\nstyles.ink.scale=2\ncolour={palette: ['#fff']}\n",
)
RECORD = {
    "recipe": {"content": "photo.png", "regions": [{"name": "a", "mask": {"file": "left.png"}}], "output": "a.png"},
    "inputs": {"content": "sha256:12", "regions.0.mask": "sha256:34"},
    "versions": {"torch": "2"},
    "losses": {"total": 1.5, "smoothness": 0.1, "regions": {"a": {"style": 1, "content": 2}}},
    "result": {"steps": 3, "seconds": 1.25, "reason": "all steps are done"},
    "plan": {"device": "cpu", "threads": 2},
}


def make_recipes() -> Iterator[bytes]:
    """Write recipes with most keys."""
    yield from (recipe.encode() for recipe in RECIPES)


def make_settings() -> Iterator[bytes]:
    """Write settings and axes, one per line."""
    yield from (settings.encode() for settings in SETTINGS)


def make_records() -> Iterator[bytes]:
    """Write the record next to an image."""
    yield json.dumps(RECORD).encode()
    yield b'{"recipe": {"content": "a\\u00e9"}}'


TIFFS = (
    {"compression": "lzw", "predictor": True},
    {"tile": (16, 16), "compression": "zlib", "bigtiff": True},
    {"photometric": "cielab", "byteorder": ">"},
    {"planarconfig": "contig", "compression": "zstd", "rowsperstrip": 5},
    {"subfiletype": 1, "extratags": [(274, "H", 1, 6)]},
)


def make_images() -> Iterator[bytes]:
    """Write images of every format and mode, some turned, transparent, in several frames, or compressed."""
    y, x = np.mgrid[0:20, 0:18]
    picture = Image.fromarray(np.uint8(np.stack([x * 14, y * 12, 255 * (x > 8), 255 * (y > 8)], 2)))
    for kind, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "TIFF": ("1", "L", "RGB", "RGBA", "CMYK", "I;16", "F"),
        "WEBP": ("RGB", "RGBA"),
        "BMP": ("1", "L", "P", "RGB"),
        "GIF": ("P",),
        "PPM": ("1", "L", "RGB"),
    }.items():
        for mode in modes:
            source = Image.fromarray(np.uint16(x * 3000)) if mode == "I;16" else picture.convert("RGB").convert(mode)
            yield pack(picture if mode == "RGBA" else source, kind)
    turned = Image.Exif()
    turned[0x0112] = 6
    yield from (pack(picture.convert("RGB"), kind, exif=turned) for kind in ("PNG", "JPEG", "TIFF", "WEBP"))
    yield pack(picture.convert("L"), "GIF", save_all=True, append_images=[picture.convert("L").rotate(90)])
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield pack(picture.convert("RGB"), "TIFF", compression=compression)
    deep = np.uint16(np.stack([x * 3000, y * 3000, x * y], 2))
    yield imagecodecs.png_encode(deep)
    for options in TIFFS:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, deep, **{"photometric": "rgb", **options})
        yield buffer.getvalue()


def pack(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Write an image to bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def make_openrasters() -> Iterator[bytes]:
    """Write OpenRaster with groups, offsets, opacities."""
    stack = b"""<image w="18" h="20"><stack><stack name="land" opacity="0.5"><layer name="a" src="data/a.png" x="-3"/>
    </stack><layer name="b" src="data/b.png" y="2" visibility="visible"/></stack></image>"""
    picture = Image.linear_gradient("L").resize((18, 20)).convert("RGBA")
    yield list_parts({"stack.xml": stack, "data/a.png": pack(picture, "PNG"), "data/b.png": pack(picture, "PNG")})


def pack_copies(pixels: bytes) -> bytes:
    """Pack a tile as its first byte and references to the byte before: valid if all bytes are equal."""
    packed, left = b"\x01\x00" + pixels[:1], len(pixels) - 1
    while left >= 9:
        count = min(264, left)
        packed += bytes([7 << 5, count - 9, 0])
        left -= count
    return packed + (bytes([(left - 2) << 5, 0]) if left else b"")


def make_kritas() -> Iterator[bytes]:
    """Write Krita documents, packed and unpacked, one with a mask."""
    file = Path("seed.kra")
    for pack_tile in (lambda pixels: pack_planes(pixels, 2), pack_copies, lambda pixels: b"\0" + pixels):
        write_krita(file, 2, pack_tile)
        parts = read_parts(file.read_bytes())
        yield list_parts(parts)
    mask = b'<masks><mask nodetype="transparencymask" filename="half" visible="1"/></masks>'
    parts["maindoc.xml"] = parts["maindoc.xml"].replace(b'colorspacename="RGBA"/>', b">" + mask + b"</layer>")
    parts["x/layers/half.pixelselection"] = b"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 1\nDATA 0\n"
    parts["x/layers/half.pixelselection.defaultpixel"] = b"\x80"
    yield list_parts(parts)


def make_photoshops() -> Iterator[bytes]:
    """Write Photoshop documents with a group, a mask, clipping."""
    picture = Image.linear_gradient("L").resize((18, 20)).convert("RGBA")
    document = PSDImage.new("RGBA", (18, 20))
    group = document.create_group(name="land", opacity=128)
    group.append(document.create_pixel_layer(picture, name="hills", opacity=204))
    masked = document.create_pixel_layer(picture.resize((9, 7)), name="masked", top=2, left=-3)
    masked.create_mask(Image.linear_gradient("L").resize((9, 7)), top=2, left=3)
    document.create_pixel_layer(picture, name="clipped").clipping = True
    for mask in (False, True):
        buffer = io.BytesIO()
        document.save(buffer)
        yield buffer.getvalue()
        if not mask:  # a new group accepts one only after it was saved
            document = PSDImage.open(io.BytesIO(buffer.getvalue()))
            document[0].create_mask(Image.linear_gradient("L").resize((18, 20)))


def make_checkpoints() -> Iterator[bytes]:
    """Write a checkpoint of a render at its second scale, in torch's zip."""
    import torch

    from guidedstyle.engine.solvers.minimise import OPTIMISERS
    from guidedstyle.run.checkpoint import FORMAT

    image = torch.zeros(1, 3, 4, 4)
    losses = {name: torch.ones(2, 1) for name in ("style", "content")}
    history = {"stages": torch.zeros(2), "total": torch.ones(2), "smoothness": torch.ones(2), **losses}
    optimiser = OPTIMISERS["sgd"](image, learning_rate=None, steps=2).state_dict()
    snapshot = {
        "endings": [{"steps": 2, "reason": "done"}],
        "image": image,
        "state": {"optimiser": optimiser, "totals": torch.ones(2)},
        "tilings": [{"side": None, "kept": 0.0, "content": True}] * 2,
        "histories": [{"pairs": 10, "bits": 32}] * 2,
        "precision": "float32",
        "history": history,
        "seconds": 1.5,
    }
    data = {"format": FORMAT, "identity": {"stages": [[2, 2, 2], [4, 4, 2]]}, "machine": {}, "steps": 2, "threads": 1}
    buffer = io.BytesIO()
    torch.save(data | {"snapshot": snapshot}, buffer)
    yield list_parts(read_parts(buffer.getvalue()))
    yield buffer.getvalue()


def read_parts(archive: bytes) -> dict[str, bytes]:
    """Read the parts of a zip by name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def list_parts(parts: dict[str, bytes]) -> bytes:
    """List the parts of a zip as plain bytes, so that mutations reach their contents."""
    return PART.join(name.encode() + PART + content for name, content in parts.items())


def join_parts(listed: bytes) -> bytes:
    """Make a zip of listed parts; other bytes are returned as they are."""
    pieces = listed.split(PART)
    if len(pieces) < 2:
        return listed
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in dict(zip(pieces[::2], pieces[1::2], strict=False)).items():
            archive.writestr(name.decode("latin-1").replace("\0", "_") or "_", content)
    return buffer.getvalue()
