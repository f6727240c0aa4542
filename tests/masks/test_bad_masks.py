"""Invalid masks of every kind that people and programs produce: each gives its complete error, none a traceback."""

# ruff: noqa: E501  (whole messages, one a line)

from __future__ import annotations

import io
import os
import re
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.opening import open_scene

Maker = Callable[[Path], object]  # writes one file

SIZE = (96, 64)  # of the content image
PATIENCE = 20  # seconds after which a recipe counts as hung


# Makers of bad files


def hold(content: bytes) -> Maker:
    return lambda file: file.write_bytes(content)


def paint(mode: str, colour: object = 0, size: tuple[int, int] = SIZE) -> Maker:
    return lambda file: Image.new(mode, size, colour).save(file)  # type: ignore[arg-type]


def deepen(kind: type[np.generic], value: float) -> Maker:
    """Make a TIFF of one type of number, 0 except for one pixel."""
    values = np.zeros(SIZE[::-1], kind)
    values[5, 5] = value
    return lambda file: Image.fromarray(values).save(file)


def animate(count: int) -> Maker:
    frames = [Image.new("L", SIZE, 80 * index) for index in range(count)]
    return lambda file: frames[0].save(file, save_all=True, append_images=frames[1:])


def cut(make: Maker, share: float = 0.6) -> Maker:
    """Cut a file off, as a broken download does."""

    def make_and_cut(file: Path) -> None:
        make(file)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])

    return make_and_cut


def noise(mode: str = "L") -> Image.Image:
    grey = np.random.default_rng(7).integers(0, 256, SIZE[::-1], np.uint8)
    return Image.fromarray(grey).convert(mode)


def save_noise(file: Path) -> None:
    noise().save(file)


def halve(left: str, right: str, mode: str = "RGB") -> Maker:
    """Paint the left and the right half in two colours."""
    picture = Image.new(mode, SIZE, right)
    picture.paste(Image.new(mode, (SIZE[0] // 2, SIZE[1]), left))
    return lambda file: picture.save(file)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def photoshop_header(width: int, height: int) -> bytes:
    return struct.pack(">4sH6xHIIHH", b"8BPS", 1, 4, height, width, 8, 3) + bytes(12)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def zipped(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def openraster(layers: str, size: str = 'w="96" h="64"', **parts: bytes) -> Maker:
    """Make an .ora from the XML of its layers; its part `sky.png` is opaque on its left half, unless given."""
    sky = Image.new("RGBA", SIZE)
    sky.paste("blue", (0, 0, 48, 64))
    held = {"sky.png": png(sky), "blank.png": png(Image.new("RGBA", SIZE))}
    held |= {f"{name}.png": content for name, content in parts.items()}
    return hold(zipped({"stack.xml": f"<image {size}><stack>{layers}</stack></image>".encode()} | held))


def stack_xml(content: bytes) -> Maker:
    return hold(zipped({"stack.xml": content}))


SKY = '<layer name="sky" src="sky.png"/>'
LAYERS = f"""
{SKY}<layer name="blank" src="blank.png"/><layer name="unseen" src="sky.png" visibility="hidden"/>
<layer name="clear" src="sky.png" opacity="0"/><layer name="twin" src="sky.png"/><layer name="twin" src="sky.png"/>
<stack name="group" visibility="hidden"><layer name="inner" src="sky.png"/></stack><stack name="bare"/>
<stack name="left"><layer name="tree" src="sky.png"/></stack><stack name="right"><layer name="tree" src="sky.png"/></stack>
<stack name="pale" opacity="0"><layer name="ghost" src="sky.png"/></stack>
<layer name="far" src="sky.png" x="96"/>
"""
LAUGHS = '<!DOCTYPE image [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><image w="96" h="64"><stack name="&b;"/></image>'


def krita(layers: str, **parts: bytes) -> Maker:
    """Make a .kra from the XML of its layers and the parts of its folder of layers."""
    image = f'<IMAGE width="96" height="64"><layers>{layers}</layers></IMAGE>'
    xml = f'<DOC xmlns="http://www.calligra.org/DTD/krita">{image}</DOC>'.encode()
    return hold(zipped({"maindoc.xml": xml} | {f"a/layers/{name.replace('_', '.')}": parts[name] for name in parts}))


def tiles(tile: bytes, header: str = "VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 4\nDATA 1\n") -> bytes:
    return header.encode() + b"0,0,LZF,%d\n" % len(tile) + tile


PAINT = '<layer name="sky" nodetype="paintlayer" filename="sky" x="0" y="0" opacity="255" visible="1"/>'
WHOLE = b"\0" + b"\xff" * (64 * 64 * 4)


def photoshop(file: Path) -> None:
    sky = Image.new("RGBA", SIZE)
    sky.paste("blue", (0, 0, 48, 64))
    write_photoshop(file, [("photograph", noise("RGBA")), ("sky", sky), ("blank", Image.new("RGBA", SIZE))])


def photoshop_tree(file: Path) -> None:
    """Write a .psd with a hidden layer, a transparent one, and a hidden group."""
    from psd_tools import PSDImage

    document = PSDImage.new("RGBA", SIZE)
    square = Image.new("RGBA", (40, 40), "red")
    document.create_pixel_layer(square, name="unseen").visible = False
    document.create_pixel_layer(square, name="clear").opacity = 0
    document.create_pixel_layer(square, name="twin")
    document.create_pixel_layer(square, name="twin")
    document.create_group([document.create_pixel_layer(square, name="inner")], name="group").visible = False
    document.save(file)


def write_noisy_openraster(file: Path) -> None:
    write_openraster(file, [("sky", noise("RGBA"))], noise())


def encrypted(file: Path) -> None:
    """Set the flag of all parts that they are encrypted."""
    openraster(SKY)(file)
    content = bytearray(file.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    file.write_bytes(content)


def spoilt(file: Path) -> None:
    """Change a letter of a part, which makes its checksum wrong."""
    openraster(SKY)(file)
    file.write_bytes(file.read_bytes().replace(b"<stack>", b"<stuck>"))


def damage(offset: int, value: int) -> Maker:
    """Change one byte of a TIFF's directory."""

    def make_and_damage(file: Path) -> None:
        save_noise(file)
        content = bytearray(file.read_bytes())
        content[offset] = value
        file.write_bytes(content)

    return make_and_damage


def link_to(name: str) -> Maker:
    return lambda file: file.symlink_to(name)


PNG = png(Image.new("L", SIZE, 255))
GIANT = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(bytes(9)))
)
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(2000)

FILES: dict[str, Maker] = {
    "cut.png": cut(save_noise),
    "cut.jpg": cut(save_noise),
    "cut.tif": cut(save_noise),
    "head.tif": cut(save_noise, 0.001),
    "untagged.tif": damage(11, 9),
    "typed.tif": damage(72, 2),
    "cut.webp": cut(save_noise),
    "cut.gif": cut(save_noise),
    "cut.bmp": cut(save_noise),
    "head.png": cut(save_noise, 0.01),
    "cut.psd": cut(photoshop, 0.2),
    "head.psd": hold(b"8BPS\0\1"),
    "cut.ora": cut(write_noisy_openraster),
    "cut.kra": cut(krita(PAINT, sky=tiles(WHOLE), sky_defaultpixel=bytes(4))),
    "empty.png": hold(b""),
    "empty.psd": hold(b""),
    "empty.ora": hold(b""),
    "empty.kra": hold(b""),
    "words.png": hold(b"This is where the sky is.\n"),
    "words.txt": hold(b"This is where the sky is.\n"),
    "film.mp4": hold(MP4),
    "film.png": hold(MP4),
    "drawing.svg": hold(b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"/>'),
    "page.pdf": hold(b"%PDF-1.7\n"),
    "png.psd": hold(PNG),
    "png.ora": hold(PNG),
    "png.kra": hold(PNG),
    "ora.png": openraster(SKY),
    "folder": Path.mkdir,
    "pipe.png": os.mkfifo,
    "pipe.ora": os.mkfifo,
    "loop.png": link_to("loop.png"),
    "dangling.png": link_to("gone.png"),
    "giant.png": hold(GIANT),
    "giant.ora": openraster(SKY, 'w="100000" h="100000"'),
    "giant.psd": hold(photoshop_header(30_000, 30_000)),
    "giant.kra": hold(zipped({"maindoc.xml": b'<DOC xmlns="http://www.calligra.org/DTD/krita"><IMAGE width="99999" height="99999"/></DOC>'})),
    "giant_layer.ora": openraster('<layer name="sky" src="giant.png"/>', giant=GIANT),
    "nan.tif": deepen(np.float32, np.nan),
    "inf.tif": deepen(np.float32, np.inf),
    "minus.tif": deepen(np.float32, -0.5),
    "above.tif": deepen(np.float32, 255),
    "int.tif": deepen(np.int32, 70_000),
    "int_minus.tif": deepen(np.int32, -1),
    "film.gif": animate(3),
    "film.webp": animate(3),
    "pages.tif": animate(2),
    "coloured.png": halve("red", "white"),
    "coloured.jpg": halve("red", "blue"),
    "ink_on_glass.png": halve("#000000ff", "#00000000", "RGBA"),
    "black.png": paint("L"),
    "glass.png": paint("RGBA", (255, 255, 255, 0)),
    "white.png": paint("L", 255),
    "square.png": paint("L", 255, (80, 80)),
    "portrait.png": paint("L", 255, (64, 96)),
    "ribbon.png": paint("L", 255, (96, 1)),
    "dot.png": paint("L", 255, (1, 1)),
    "labels.png": halve("red", "white"),
    "three.png": halve("red", "lime"),
    "picture.xcf": hold(b"gimp xcf v011\0"),
    "picture.clip": hold(b"CSFCHUNK"),
    "good.ora": openraster(LAYERS),
    "good.psd": photoshop,
    "tree.psd": photoshop_tree,
    "good.kra": krita(PAINT, sky=tiles(WHOLE), sky_defaultpixel=bytes(4)),
    "no_stack.ora": hold(zipped({"data/a.png": PNG})),
    "no_layers.ora": openraster(""),
    "broken_xml.ora": stack_xml(b"<image w='96' h='64'><stack>"),
    "laughs.ora": stack_xml(LAUGHS.encode()),
    "binary_xml.ora": stack_xml(bytes(range(256))),
    "no_part.ora": openraster('<layer name="sky" src="data/gone.png"/>'),
    "no_source.ora": openraster('<layer name="sky"/>'),
    "bad_part.ora": openraster('<layer name="sky" src="bad.png"/>', bad=b"broken"),
    "cut_part.ora": openraster('<layer name="sky" src="cut.png"/>', cut=png(noise("RGBA"))[:4000]),
    "abc.ora": openraster(SKY, 'w="abc" h="64"'),
    "zero.ora": openraster(SKY, 'w="0" h="64"'),
    "minus.ora": openraster(SKY, 'w="-96" h="-64"'),
    "no_size.ora": openraster(SKY, ""),
    "square.ora": openraster(SKY, 'w="64" h="64"'),
    "nan_x.ora": openraster('<layer name="sky" src="sky.png" x="nan"/>'),
    "inf_x.ora": openraster('<layer name="sky" src="sky.png" x="inf"/>'),
    "minus_opacity.ora": openraster('<layer name="sky" src="sky.png" opacity="-0.5"/>'),
    "deep.ora": openraster("<stack>" * 3000 + SKY + "</stack>" * 3000),
    "encrypted.ora": encrypted,
    "spoilt.ora": spoilt,
    "lzma.ora": hold(zipped({"stack.xml": b"<image/>" * 100}, zipfile.ZIP_LZMA).replace(b"\x5d\0\0", b"\xff\xff\xff")),
    "name.ora": hold(zipped({"stack.xml": b"<image/>", "é.png": b""}).replace("é".encode(), b"\xff\xff")),
    "no_maindoc.kra": hold(zipped({"a/layers/sky": b""})),
    "no_image.kra": hold(zipped({"maindoc.xml": b"<DOC/>"})),
    "vector.kra": krita('<layer name="sky" nodetype="shapelayer" filename="sky"/>'),
    "float.kra": krita('<layer name="sky" nodetype="paintlayer" filename="sky" colorspacename="RGBAF32"/>'),
    "bad_tile.kra": krita(PAINT, sky=tiles(b"\1\xff\xff\xff"), sky_defaultpixel=bytes(4)),
    "no_tiles.kra": krita(PAINT),
    "no_default.kra": krita(PAINT, sky=tiles(WHOLE)),
    "empty_default.kra": krita(PAINT, sky=tiles(WHOLE), sky_defaultpixel=b""),
    "old.kra": krita(PAINT, sky=b"KRITA 2\n", sky_defaultpixel=bytes(4)),
    "large_tile.kra": krita(PAINT, sky=tiles(WHOLE, "VERSION 2\nTILEWIDTH 99999\nTILEHEIGHT 64\nPIXELSIZE 4\nDATA 1\n"), sky_defaultpixel=bytes(4)),
    "opacity.kra": krita(PAINT.replace('"255"', '"abc"'), sky=tiles(WHOLE), sky_defaultpixel=bytes(4)),
    "x.kra": krita(PAINT.replace('x="0"', 'x="abc"'), sky=tiles(WHOLE), sky_defaultpixel=bytes(4)),
    "zero_pixel.kra": krita(PAINT, sky=tiles(WHOLE, "VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 0\nDATA 1\n"), sky_defaultpixel=bytes(4)),
    "deep.kra": krita('<layer nodetype="grouplayer"><layers>' * 3000 + PAINT + "</layers></layer>" * 3000),
}  # fmt: skip

DAMAGED = "open it in its program and save it again"
NOT_AN_IMAGE = "this is not an image that can be read | save it as PNG, JPEG, TIFF or WebP"
NO_ZIP = f"the document is damaged (File is not a zip file) | {DAMAGED}"
NO_PHOTOSHOP = f"this is not a Photoshop document | {DAMAGED}"
TRUNCATED = "the image is damaged (image file is truncated) | save it again"
NOT_PROCESSED = "the image is damaged (image file is truncated (N bytes not processed)) | save it again"
PATHS = "paths are relative to the recipe file; check the name and the folder"
NOT_PLAIN = f"is not a regular file | {PATHS}"
LINK = f"is a broken link | {PATHS}"
NO_FILE = "is not valid | file must be a file name"
TOO_LARGE = "px is too large | scale it to at most 400,000,000 pixels"
ONE_FLOAT = "its values are not all between 0 and 1 | save the mask as a grey image of 8 or 16 bits"
ONE_INT = (
    "its 32-bit values are signed or complex numbers | export it as an RGB or grey image of 8 or 16 bits, unsigned"
)
SHAPE = "its image 96 x 64 | paint it over the image itself, or crop it to the same shape"
IN_COLOUR = "of this mask is painted in colour | paint white where the region is and black elsewhere, or name a colour: {file: ..., colour: CODE}"
NOTHING = "region 'a' covers nothing: its mask is black or empty, or regions in front of it hide it | repaint the mask or remove the region"
EMPTY = "is empty | paint where the region is, in any colour, and save again"
ALL_LAYERS = "sky, blank, unseen, clear, twin, twin, group/inner, left/tree, right/tree, pale/ghost, far"
NAMES_NOTHING = "this mask has no source | give it file, rest, all, a shape, or any, both or except"
WHICH_FILE = "needs `file:` | add file: to the mask, or masks: {file: ...} at the top for all regions"
KINDS = "is not valid | a mask is a file, rest, all, or keys such as {file: labels.png, colour: red}"
KEEP_ONE = "at the same time | keep one, or combine them: {any: [...]}, {both: [...]}, {except: [..., ...]}"
REST = "rest is everything that no other region covers: it can only be a region's whole mask | use all, or {except: [all, ...]}"
NO_REST = "rest cannot be modified: it is everything that no other region covers | modify the other masks instead"
NO_AREA = "has no area | give [left, top, right, bottom] with left < right and top < bottom"
LENGTH = "px, such as 8, or a percentage of the longest side, such as 2%"
BOX = "must be [left, top, right, bottom], four numbers from -10 to 10"
CORNERS = "is not valid | polygon must be three or more corners, [[x, y], ...], of numbers from -10 to 10"
POINT = "must be [x, y], two numbers from -10 to 10"
ONE_LINE = ".polygon: its corners lie on a line | move a corner"
COLOUR = "must be a colour in quotes, such as '#ff0000', or a CSS name such as red"
NO_VALUE = "it has no value | give it one, or remove the key; colours need quotes, '#ff0000', since # starts a comment"
LONG_NAME = "... is not valid | file must be a path whose names have at most 200 bytes"
WITHIN_ITSELF = ".any[0]: this alias refers to a value that contains it | write the value out instead"
TOO_DEEP = "a.yaml: it is nested too deeply | use fewer levels"
FINITE = "is not finite | tolerance must be a finite number"

IMAGES = [
    ("cut.png", f": cut.png: {TRUNCATED}"),
    ("head.png", f": head.png: {TRUNCATED}"),
    ("cut.jpg", f": cut.jpg: {NOT_PROCESSED}"),
    ("cut.tif", ": cut.tif: the image is damaged (some of its pixels are missing) | save it again"),
    ("cut.gif", f": cut.gif: {NOT_PROCESSED}"),
    ("cut.bmp", f": cut.bmp: {NOT_PROCESSED}"),
    ("head.tif", f": head.tif: {NOT_AN_IMAGE}"),
    ("untagged.tif", ": untagged.tif: the image is damaged (it has no pixels) | save it again"),
    ("typed.tif", ": typed.tif: the image is damaged (its tags are damaged) | save it again"),
    ("cut.webp", ": cut.webp: the image is damaged (could not create decoder object) | save it again"),
    ("empty.png", ": empty.png: the file is empty | save it again, or download it again"),
    ("words.png", f": words.png: {NOT_AN_IMAGE}"),
    ("words.txt", f": words.txt: {NOT_AN_IMAGE}"),
    ("film.mp4", f": film.mp4: {NOT_AN_IMAGE}"),
    ("film.png", f": film.png: {NOT_AN_IMAGE}"),
    ("drawing.svg", f": drawing.svg: {NOT_AN_IMAGE}"),
    ("page.pdf", f": page.pdf: {NOT_AN_IMAGE}"),
    ("ora.png", f": ora.png: {NOT_AN_IMAGE}"),
    ("folder", f": folder is a folder | {PATHS}"),
    ("gone.png", f": there is no file gone.png | {PATHS}"),
    ("restt", f": there is no file restt | {PATHS}"),
    ("//server/share/mask.png", f": there is no file //server/share/mask.png | {PATHS}"),
    ("~/mask.png", f": there is no file ~/mask.png | {PATHS}"),
    ("/dev/null", f": /dev/null {NOT_PLAIN}"),
    ("/dev/zero", f": /dev/zero {NOT_PLAIN}"),
    ("loop.png", f": loop.png {LINK}"),
    ("dangling.png", f": dangling.png {LINK}"),
    ("pipe.png", f": pipe.png {NOT_PLAIN}"),
    ("{file: pipe.png, colour: red}", f": pipe.png {NOT_PLAIN}"),
    ("{file: pipe.ora, layer: sky}", f": pipe.ora {NOT_PLAIN}"),
    ("{any: [pipe.png]}", f".any[0]: pipe.png {NOT_PLAIN}"),
    ("{any: [gone.png]}", f".any[0]: there is no file gone.png | {PATHS}"),
    ("{any: [folder, left.png]}", f".any[0]: folder is a folder | {PATHS}"),
    ("http://example.com/mask.png", ": web addresses are not supported | download the image, and write the name of its file"),
    ('"a\\0b.png"', f".file: 'a\\x00b.png' {NO_FILE}"),
    ('""', f".file: '' {NO_FILE}"),
    ("giant.png", f": giant.png: 100000 x 100000 {TOO_LARGE}"),
    ("{file: giant.png, colour: red}", f": giant.png: 100000 x 100000 {TOO_LARGE}"),
    ("{file: giant.png, channel: alpha}", f": giant.png: 100000 x 100000 {TOO_LARGE}"),
    ("nan.tif", f": nan.tif: {ONE_FLOAT}"),
    ("inf.tif", f": inf.tif: {ONE_FLOAT}"),
    ("minus.tif", f": minus.tif: {ONE_FLOAT}"),
    ("above.tif", f": above.tif: {ONE_FLOAT}"),
    ("int.tif", f": int.tif: {ONE_INT}"),
    ("int_minus.tif", f": int_minus.tif: {ONE_INT}"),
    ("film.gif", ": film.gif: it holds 3 images | save the mask as an image of its own"),
    ("film.webp", ": film.webp: it holds 3 images | save the mask as an image of its own"),
    ("pages.tif", ": pages.tif: it holds 2 images | save the mask as an image of its own"),
    ("coloured.png", f": coloured.png: 50% {IN_COLOUR}".replace("CODE", "'#ff0000'")),
    ("coloured.jpg", f": coloured.jpg: 100% {IN_COLOUR}".replace("CODE", "'#0000fe'")),
    ("ink_on_glass.png", ": ink_on_glass.png: its paint is black: only its alpha channel shows a shape | use the alpha channel: {file: ..., channel: alpha}"),
    ("black.png", f": {NOTHING}"),
    ("glass.png", f": {NOTHING}"),
    ("square.png", f": square.png: the mask is 80 x 80 px, {SHAPE}"),
    ("portrait.png", f": portrait.png: the mask is 64 x 96 px, {SHAPE}"),
    ("ribbon.png", f": ribbon.png: the mask is 96 x 1 px, {SHAPE}"),
    ("{file: left.png, channel: alpha}", ": left.png: it has no alpha channel | remove channel: alpha, or save it with one"),
    ("{file: labels.png, colour: blue}", ": labels.png: none of its pixels is #0000ff (blue) | name a colour that it has: #ff0000 (red) 50.0%, #ffffff (white) 50.0%"),
    ("{file: labels.png, colour: '#ff0001', tolerance: 0}", ": labels.png: none of its pixels is #ff0001 | name a colour that it has: #ff0000 (red) 50.0%, #ffffff (white) 50.0%"),
    ("{file: left.png, colour: red}", ": left.png: none of its pixels is #ff0000 (red) | name a colour that it has: #000000 (black) 50.0%, #ffffff (white) 50.0%"),
]  # fmt: skip

LAYERS_NAMED = [
    ("{file: left.png, layer: sky}", ": left.png: it has no layers | remove layer:, or name a .psd, .ora or .kra"),
    ("{any: [left.png, {file: left.png, layer: sky}]}", ": left.png: it has no layers | remove layer:, or name a .psd, .ora or .kra"),
    ("good.ora", f": good.ora: it is a layered document | name one of its layers: layer: {ALL_LAYERS}"),
    ("good.psd", ": good.psd: it is a layered document | name one of its layers: layer: photograph, sky, blank"),
    ("good.kra", ": good.kra: it is a layered document | name one of its layers: layer: sky"),
    ("{file: good.kra, colour: red}", ": good.kra: it is a layered document | name one of its layers: layer: sky"),
    ("no_layers.ora", ": no_layers.ora: it is a layered document | paint a layer in it, and name that"),
    ("{file: no_layers.ora, layer: sky}", ": no_layers.ora: there is no layer 'sky' | its layers are: none"),
    ("{file: good.ora, layer: ski}", f": good.ora: there is no layer 'ski' | its layers are: {ALL_LAYERS}"),
    ("{file: good.psd, layer: ski}", ": good.psd: there is no layer 'ski' | its layers are: photograph, sky, blank"),
    ("{file: good.kra, layer: ski}", ": good.kra: there is no layer 'ski' | its layers are: sky"),
    ("{file: good.ora, layer: group}", ": good.ora: layer 'group' is a group | name one of its layers: group/inner"),
    ("{file: tree.psd, layer: group}", ": tree.psd: layer 'group' is a group | name one of its layers: group/inner"),
    ("{file: good.ora, layer: bare}", ": good.ora: layer 'bare' is a group | it is empty: name a layer"),
    ("{file: good.ora, layer: blank}", f": good.ora: layer 'blank' {EMPTY}"),
    ("{file: good.psd, layer: blank}", f": good.psd: layer 'blank' {EMPTY}"),
    ("{file: good.ora, layer: clear}", f": good.ora: layer 'clear' {EMPTY}"),
    ("{file: tree.psd, layer: clear}", f": tree.psd: layer 'clear' {EMPTY}"),
    ("{file: good.ora, layer: ghost}", f": good.ora: layer 'ghost' {EMPTY}"),
    ("{file: good.ora, layer: far}", f": good.ora: layer 'far' {EMPTY}"),
    ("{file: good.ora, layer: tree}", ": good.ora: 2 layers are called 'tree': left/tree, right/tree | rename one, or write its group too: group/layer"),
    ("{file: good.ora, layer: twin}", ": good.ora: 2 layers are called 'twin': twin, twin | rename one"),
    ("{file: tree.psd, layer: twin}", ": tree.psd: 2 layers are called 'twin': twin, twin | rename one"),
    ("{file: picture.xcf, layer: sky}", ": picture.xcf: layers of GIMP's own files cannot be read | export it as .psd or .ora, or the layer as .png"),
    ("picture.xcf", ": picture.xcf: layers of GIMP's own files cannot be read | export it as .psd or .ora, or the layer as .png"),
    ("picture.clip", ": picture.clip: layers of Clip Studio Paint's own files cannot be read | export it as .psd or .ora, or the layer as .png"),
    ("{file: good.ora, layer: sky, colour: red}", ": a mask cannot use colour and layer of a file at the same time | keep one"),
    ("{file: good.ora, layer: sky, channel: alpha}", ": a mask cannot use channel and layer of a file at the same time | keep one"),
    ("png.psd", f": png.psd: {NO_PHOTOSHOP}"),
]  # fmt: skip

DOCUMENTS = [  # the layer `sky` of each
    ("cut.psd", f"the document is damaged (Invalid data section size: 22032) | {DAMAGED}"),
    ("head.psd", NO_PHOTOSHOP),
    ("empty.psd", NO_PHOTOSHOP),
    ("png.psd", NO_PHOTOSHOP),
    ("giant.psd", f"30000 x 30000 {TOO_LARGE}"),
    ("cut.ora", NO_ZIP),
    ("empty.ora", NO_ZIP),
    ("png.ora", NO_ZIP),
    ("giant.ora", f"100000 x 100000 {TOO_LARGE}"),
    ("giant_layer.ora", "layer 'sky': 100000 x 100000 px is too large | scale it to at most 400,000,000 pixels"),
    ("no_stack.ora", f"its part stack.xml is missing | {DAMAGED}"),
    ("broken_xml.ora", f"its stack.xml cannot be read (no element found: line 1, column 28) | {DAMAGED}"),
    ("binary_xml.ora", f"its stack.xml cannot be read (not well-formed (invalid token): line 1, column 0) | {DAMAGED}"),
    ("laughs.ora", f"its stack.xml uses entities, which are not read | {DAMAGED}"),
    ("no_part.ora", f"layer 'sky': its part data/gone.png is missing | {DAMAGED}"),
    ("cut_part.ora", f"layer 'sky': the image is damaged (image file is truncated) | {DAMAGED}"),
    ("bad_part.ora", f"layer 'sky': this is not an image that can be read | {DAMAGED}"),
    ("no_source.ora", f"layer 'sky' has no image | {DAMAGED}"),
    ("abc.ora", f"it does not state its size | {DAMAGED}"),
    ("zero.ora", f"0 x 64 px is not a size | {DAMAGED}"),
    ("minus.ora", f"-96 x -64 px is not a size | {DAMAGED}"),
    ("no_size.ora", f"it does not state its size | {DAMAGED}"),
    ("square.ora", f"the mask is 64 x 64 px, {SHAPE}"),
    ("minus_opacity.ora", f"layer 'sky' {EMPTY}"),
    ("deep.ora", "its groups are nested too deeply | flatten some of them"),
    ("encrypted.ora", f"the document is damaged (File 'stack.xml' is encrypted, password required for extraction) | {DAMAGED}"),
    ("spoilt.ora", f"the document is damaged (Bad CRC-32 for file 'stack.xml') | {DAMAGED}"),
    ("lzma.ora", f"the document is damaged (Invalid or unsupported options) | {DAMAGED}"),
    ("name.ora", f"its stack.xml cannot be read ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte) | {DAMAGED}"),
    ("cut.kra", NO_ZIP),
    ("empty.kra", NO_ZIP),
    ("png.kra", NO_ZIP),
    ("giant.kra", f"99999 x 99999 {TOO_LARGE}"),
    ("no_maindoc.kra", f"its part maindoc.xml is missing | {DAMAGED}"),
    ("no_image.kra", f"its maindoc.xml names no image | {DAMAGED}"),
    ("vector.kra", "layer 'sky' is a shapelayer | convert it to a paint layer, and save again"),
    ("float.kra", "layer 'sky' is painted in floating point | convert the image to 8 or 16 bits, and save again"),
    ("bad_tile.kra", f"its part sky is damaged | {DAMAGED}"),
    ("no_tiles.kra", f"its part layers/sky is missing | {DAMAGED}"),
    ("no_default.kra", f"its part layers/sky.defaultpixel is missing | {DAMAGED}"),
    ("empty_default.kra", f"its part sky is damaged | {DAMAGED}"),
    ("old.kra", f"its part sky is not a layer of Krita 3 or later | {DAMAGED}"),
    ("large_tile.kra", f"its part sky has tiles of 99999 x 64 px | {DAMAGED}"),
    ("zero_pixel.kra", f"its part sky is damaged | {DAMAGED}"),
    ("opacity.kra", f"its maindoc.xml cannot be read (invalid literal for int() with base 10: 'abc') | {DAMAGED}"),
    ("x.kra", f"its part sky is damaged | {DAMAGED}"),
    ("deep.kra", "its groups are nested too deeply | flatten some of them"),
]  # fmt: skip

KEYS = [
    ("3", f": 3 {KINDS}"),
    ("true", f": true {KINDS}"),
    ("", f": {NO_VALUE}"),
    ("[left.png, left.png]", f": ['left.png', 'left.png'] {KINDS}: write `mask: {{any: [left.png, left.png]}}`"),
    ("{}", f": {NAMES_NOTHING}"),
    ("{rest: false}", f": {NAMES_NOTHING}"),
    ("{feather: 3}", f": {NAMES_NOTHING}"),
    ("{file: left.png, rectangle: [0, 0, 1, 1]}", f": a mask cannot be file and rectangle {KEEP_ONE}"),
    ("{any: [left.png], both: [left.png]}", f": a mask cannot be any and both {KEEP_ONE}"),
    ("{colour: red}", f": `colour` {WHICH_FILE}"),
    ("{layer: sky}", f": `layer` {WHICH_FILE}"),
    ("{channel: alpha}", f": `channel` {WHICH_FILE}"),
    ("{all: true, colour: red}", ": `colour` needs a file, not all | remove colour, or all"),
    ("{rectangle: [0, 0, 1, 1], layer: sky}", ": `layer` needs a file, not rectangle | remove layer, or rectangle"),
    ("{rest: true, feather: 3}", f": {NO_REST}"),
    ("{rest: true, invert: true}", f": {NO_REST}"),
    ("{any: [rest, left.png]}", f".any[0]: {REST}"),
    ("{both: [left.png, rest]}", f".both[1]: {REST}"),
    ("{any: [{}]}", f".any[0]: {NAMES_NOTHING}"),
    ("{file: left.png, channel: red}", ".channel: 'red' is not one of the choices | channel must be 'alpha'"),
    ("{file: [left.png, left.png]}", ".file: ['left.png', 'left.png'] is not valid | file must be a file name"),
    ("{file: left.png, fether: 3}", ".fether: there is no key 'fether' here | did you mean 'feather'?"),
    ("{file: left.png, invret: true}", ".invret: there is no key 'invret' here | did you mean 'invert'?"),
    ("{file: left.png, blur: 3}", ".blur: there is no key 'blur' here | use one of rest, all, file, channel, colour, ignore, tolerance, layer, layer_opacity, rectangle, ellipse, polygon, gradient, any, both, except, invert, threshold, grow, shrink, feather"),
    ("{file: labels.png, colour: crimsonish}", f".colour: 'crimsonish' is not valid | colour {COLOUR}: write `colour: crimson`"),
    ("{file: labels.png, colour: 16711680}", f".colour: 16711680 is not valid | colour {COLOUR}"),
    ("{file: labels.png, colour: [255, 0, 0]}", f".colour: [255, 0, 0] is not valid | colour {COLOUR}: write `colour: '#ff0000'`"),
    ("{file: labels.png, colour: 'rgb(300, 0, 0)'}", f".colour: 'rgb(300, 0, 0)' is not valid | colour {COLOUR}"),
    ("{file: labels.png, colour: }", f".colour: {NO_VALUE}"),
    ("{any: [left.png, {file: labels.png, colour: }]}", f".any[1].colour: {NO_VALUE}"),
    ("{file: left.png, feather: }", f".feather: {NO_VALUE}"),
    ("{file: good.ora, layer: 3}", ".layer: 3 is not valid | layer must be text: write `- {name: a, mask: {file: good.ora, layer: '3'}, style: ink}` instead of `- {name: a, mask: {file: good.ora, layer: 3}, style: ink}`"),
    ("{file: 3}", f".file: 3 {NO_FILE}"),
    ("{file: left.png, colour: ff0000}", f".colour: 'ff0000' is not valid | colour {COLOUR}: write `colour: '#ff0000'`"),
    ("{file: left.png, layer: 3}", ".layer: 3 is not valid | layer must be text: write `- {name: a, mask: {file: left.png, layer: '3'}, style: ink}` instead of `- {name: a, mask: {file: left.png, layer: 3}, style: ink}`"),
    ("{file: labels.png, colour: red, ignore: [white, pruple]}", f".ignore[1]: 'pruple' is not valid | ignore[1] {COLOUR}: write `purple`"),
    ("{file: labels.png, colour: red, ignore: white}", ".ignore: 'white' is not valid | ignore must be a list: write `ignore: [white]`"),
    ("{file: labels.png, colour: red, tolerance: -1}", ".tolerance: -1 is too small | tolerance must be at least 0"),
    ("{file: labels.png, colour: red, tolerance: 500}", ".tolerance: 500 is too large | tolerance must be at most 442"),
    ("{file: labels.png, colour: red, tolerance: .nan}", f".tolerance: nan {FINITE}"),
    ("{rectangle: [1, 0, 0, 1]}", f".rectangle: [1, 0, 0, 1] {NO_AREA}"),
    ("{rectangle: [0, 1, 1, 0]}", f".rectangle: [0, 1, 1, 0] {NO_AREA}"),
    ("{ellipse: [0.5, 0, 0.5, 1]}", f".ellipse: [0.5, 0, 0.5, 1] {NO_AREA}"),
    ("{rectangle: [0, 0, 1, 1, 1]}", f".rectangle: [0, 0, 1, 1, 1] is not valid | rectangle {BOX}"),
    ("{rectangle: [0, 0, 1, .nan]}", f".rectangle: [0, 0, 1, nan] is not valid | rectangle {BOX}"),
    ("{rectangle: [0, 0, .inf, 1]}", f".rectangle: [0, 0, inf, 1] is not valid | rectangle {BOX}"),
    ("{rectangle: [0, 0, 96, 1]}", f".rectangle: [0, 0, 96, 1] is not valid | rectangle {BOX}"),
    ("{rectangle: [0, 0, one, 1]}", f".rectangle: [0, 0, 'one', 1] is not valid | rectangle {BOX}"),
    ("{rectangle: {left: 0}}", f".rectangle: {{'left': 0}} is not valid | rectangle {BOX}"),
    ("{rectangle: [2, 2, 3, 3]}", f": {NOTHING}"),
    ("{ellipse: [-3, -3, -2, -2]}", f": {NOTHING}"),
    ("{rectangle: [0, 0, 1]}", f".rectangle: [0, 0, 1] is not valid | rectangle {BOX}"),
    ("{ellipse: [0, 0, 1]}", f".ellipse: [0, 0, 1] is not valid | ellipse {BOX}"),
    ("{rectangle: []}", f".rectangle: [] is not valid | rectangle {BOX}"),
    ("{rectangle: 0 0 1 1}", f".rectangle: '0 0 1 1' is not valid | rectangle {BOX}: write `rectangle: [0, 0, 1, 1]`"),
    ("{polygon: []}", f".polygon: [] {CORNERS}"),
    ("{polygon: [[0, 0], [1, 1]]}", f".polygon: [[0, 0], [1, 1]] {CORNERS}"),
    ("{polygon: [[0, 0], [1, 1], [0.5]]}", f".polygon: [[0, 0], [1, 1], [0.5]] {CORNERS}"),
    ("{polygon: [[0, 0], [1, 0], [0, 11]]}", f".polygon: [[0, 0], [1, 0], [0, 11]] {CORNERS}"),
    ("{polygon: [0, 0, 1, 1, 0, 1]}", f".polygon: [0, 0, 1, 1, 0, 1] {CORNERS}: write `polygon: [[0, 0], [1, 1], [0, 1]]`"),
    ("{polygon: [[0, 0], [1, 1], [2, 2]]}", ONE_LINE),
    ("{gradient: [[0, 0]]}", ".gradient: [[0, 0]] is not valid | gradient must be keys with values"),
    ("{gradient: {from: [0, 0], to: [0, 1], over: 3}}", ".gradient.over: there is no key 'over' here | use one of from, to"),
    ("{gradient: {from: [5, 0], to: [6, 0]}}", f": {NOTHING}"),
    ("{gradient: {from: [0, 0]}}", ".gradient.to: to is missing | add to:"),
    ("{gradient: {to: [0, 0]}}", ".gradient.from: from is missing | add from:"),
    ("{gradient: {from: [0, 0], to: [1]}}", f".gradient.to: [1] is not valid | to {POINT}"),
    ("{gradient: {from: [0, 0], to: [0, 0]}}", ".gradient: from and to are the same point | give two different points"),
    ("{any: []}", ".any: [] has too few entries | any must have at least 1"),
    ("{both: []}", ".both: [] has too few entries | both must have at least 1"),
    ("{any: [left.png, {any: []}]}", ".any[1].any: [] has too few entries | any must have at least 1"),
    ("{any: [3]}", f".any[0]: 3 {KINDS}"),
    ("{any: [left.png, {fyle: left.png}]}", ".any[1].fyle: there is no key 'fyle' here | did you mean 'file'?"),
    ("{except: [left.png, 3]}", f".except[1]: 3 {KINDS}"),
    ("{any: left.png}", ".any: 'left.png' is not valid | any must be a list: write `any: [left.png]`"),
    ("{except: [left.png]}", ".except: [{'file': 'left.png'}] has too few entries | except must have at least 2"),
    ("{except: []}", ".except: [] has too few entries | except must have at least 2"),
    ("{except: [all, all, all]}", ".except: [{'all': true}, {'all': true}, {'all': true}] has too many entries | except must have at most 2"),
    ("{except: [left.png, left.png]}", f": {NOTHING}"),
    ("{both: [left.png, {file: left.png, invert: true}]}", f": {NOTHING}"),
    ("{all: true, invert: true}", f": {NOTHING}"),
    ("{file: left.png, threshold: 0}", ".threshold: 0 is too small | threshold must be above 0"),
    ("{file: left.png, threshold: 2}", ".threshold: 2 is too large | threshold must be at most 1"),
    ("{file: left.png, threshold: half}", ".threshold: 'half' is not valid | threshold must be a number"),
    ("{file: left.png, grow: 3, shrink: 3}", ": a mask cannot both grow and shrink | remove one"),
    ("{file: left.png, shrink: 60}", f": {NOTHING}"),
    ("{file: left.png, grow: 1e9}", f".grow: 1000000000.0 is not valid | grow must be {LENGTH}"),
    ("{file: left.png, feather: -3}", f".feather: -3 is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: 200%}", f".feather: '200%' is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: abc}", f".feather: 'abc' is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: 5 px}", f".feather: '5 px' is not valid | feather must be {LENGTH}: write `feather: 5`"),
    ("{file: left.png, feather: '%'}", f".feather: '%' is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: true}", f".feather: true is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: .nan}", f".feather: nan is not valid | feather must be {LENGTH}"),
    ("{file: left.png, feather: [3]}", f".feather: [3] is not valid | feather must be {LENGTH}"),
    (f"{'x' * 201}.png", f".file: '{'x' * 56}{LONG_NAME}"),
]  # fmt: skip

HEAD = "content: photo.png\nstyles: {ink: ink.png}\n"
REGION = "regions:\n  - {name: a, mask: left.png, style: ink}\n"
COLOURS = "regions:\n  - {name: a, mask: {colour: red}, style: ink}\n  - {name: b, mask: {any: [{colour: white}]}, style: ink}\n"
RECIPES = {  # whole recipes, and all their errors
    "a region of nothing else": (
        HEAD + "regions:\n  - {name: a, style: ink}\n",
        "a.yaml:4: regions[0].mask: mask is missing | add mask:",
    ),
    "guides": (
        HEAD + "regions:\n  - {name: a, mask: left.png, guides: outside, style: ink}\n",
        "a.yaml:4: regions[0].guides: 'outside' is not one of the choices | guides must be 'simple', 'inside' or 'all'",
    ),
    "border": (
        HEAD + "regions:\n  - {name: a, mask: left.png, border: x, style: ink}\n",
        f"a.yaml:4: regions[0].border: 'x' is not valid | border must be {LENGTH}",
    ),
    "an operation next to the mask": (
        HEAD + "regions:\n  - {name: a, mask: left.png, feather: 3, style: ink}\n",
        "a.yaml:4: regions[0].feather: there is no key 'feather' here | write it under mask: mask: {feather: ...}",
    ),
    "two masks": (
        HEAD + "regions:\n  - {name: a, mask: left.png, mask: all, style: ink}\n",
        "a.yaml:4: regions[0].mask: this key appears twice | remove one; the other is in line 4",
    ),
    "rest hidden by white": (
        HEAD + "regions:\n  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: white.png, style: ink}\n",
        "a.yaml:4: regions[0].mask: region 'a' covers nothing: the other regions cover the whole image | repaint the mask or remove the region",
    ),
    "a region hidden by all": (
        HEAD + "regions:\n  - {name: a, mask: left.png, style: ink}\n  - {name: b, mask: all, style: ink}\n",
        f"a.yaml:4: regions[0].mask: {NOTHING}",
    ),
    "two rests": (
        HEAD + "regions:\n  - {name: a, mask: rest, style: ink}\n  - {name: b, mask: rest, style: ink}\n",
        "a.yaml:4: regions[0].mask: 2 regions have mask: rest | keep it for one region\n"
        "a.yaml:5: regions[1].mask: 2 regions have mask: rest | keep it for one region",
    ),
    "masks with an unknown key": (
        HEAD + "masks: {file: labels.png, fyle: 3}\n" + REGION,
        "a.yaml:3: masks.fyle: there is no key 'fyle' here | did you mean 'file'?",
    ),
    "masks without a file": (
        HEAD + "masks: {ignore: [white]}\n" + REGION,
        "a.yaml:3: masks.file: file is missing | add file:",
    ),
    "masks with a negative tolerance": (
        HEAD + "masks: {file: labels.png, tolerance: -1}\n" + REGION,
        "a.yaml:3: masks.tolerance: -1 is too small | tolerance must be at least 0",
    ),
    "masks that ignore one colour": (
        HEAD + "masks: {file: labels.png, ignore: white}\n" + REGION,
        "a.yaml:3: masks.ignore: 'white' is not valid | ignore must be a list: write `ignore: [white]`",
    ),
    "masks: 3": (
        HEAD + "masks: 3\n" + REGION,
        "a.yaml:3: masks: 3 is not valid | masks must be a file, or {file: labels.png}",
    ),
    "masks: []": (
        HEAD + "masks: []\n" + REGION,
        "a.yaml:3: masks: [] is not valid | masks must be a file, or {file: labels.png}",
    ),
    "wrong masks that regions use": (
        HEAD + "masks: 3\n" + COLOURS,
        "a.yaml:3: masks: 3 is not valid | masks must be a file, or {file: labels.png}",
    ),
    "shared masks that no region uses": (
        HEAD + "masks: gone.png\n" + REGION,
        f"a.yaml:3: masks: there is no file gone.png | {PATHS}",
    ),
    "shared masks that are a pipe": (
        HEAD + "masks: pipe.png\n" + COLOURS,
        f"a.yaml:3: masks: pipe.png {NOT_PLAIN}",
    ),
    "shared masks that are not there": (
        HEAD + "masks: gone.png\n" + COLOURS,
        f"a.yaml:3: masks: there is no file gone.png | {PATHS}",
    ),
    "shared layers that are not there": (
        HEAD + "masks: good.psd\nregions:\n  - {name: a, mask: {layer: ski}, style: ink}\n  - {name: b, mask: {layer: sea}, style: ink}\n",
        "a.yaml:5: regions[0].mask: good.psd: there is no layer 'ski' | its layers are: photograph, sky, blank\n"
        "a.yaml:6: regions[1].mask: good.psd: there is no layer 'sea' | its layers are: photograph, sky, blank",
    ),
    "a missing colour and one that exists": (
        HEAD + "masks: three.png\n" + COLOURS,
        "a.yaml:6: regions[1].mask: three.png: none of its pixels is #ffffff (white) | name a colour that it has: #ff0000 (red) 50.0%, #00ff00 (lime) 50.0%",
    ),
    "a number of a colour without quotes, in a block": (
        HEAD + "regions:\n  - name: a\n    mask:\n      file: labels.png\n      colour: #ff0000\n    style: ink\n",
        "a.yaml:7: regions[0].mask.colour: it has no value | # begins a comment, so the number of a colour needs quotes: write `colour: '#ff0000'` instead of `colour: #ff0000`",
    ),
    "a number of a colour without quotes": (
        HEAD + "regions:\n  - {name: a, mask: {file: labels.png, colour: #ff0000}, style: ink}\n",
        "a.yaml:4: this is not YAML: expected the node content, but found '<stream end>' | # begins a comment, so the number of a colour needs quotes: write `colour: '#ff0000'` instead of `colour: #ff0000`",
    ),
    "a style's mask of no such colour": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: {file: square.png, colour: blue}}}\n" + REGION,
        "a.yaml:2: styles.ink.mask: square.png: none of its pixels is #0000ff (blue) | name a colour that it has: #ffffff (white) 100.0%",
    ),
    "a style's mask of the rest": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: rest}}\n" + REGION,
        f"a.yaml:2: styles.ink.mask: {REST}",
    ),
    "a style's mask of another shape": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: left.png}}\n" + REGION,
        "a.yaml:2: styles.ink.mask: left.png: the mask is 96 x 64 px, its image 80 x 80 | paint it over the image itself, or crop it to the same shape",
    ),
    "a style's mask of nothing": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: {rectangle: [2, 2, 3, 3]}}}\n" + REGION,
        "a.yaml:2: styles.ink.mask: the mask is all black: no part of the style image is used | paint it white",
    ),
    "a style's mask that is a pipe": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: pipe.png}}\n" + REGION,
        f"a.yaml:2: styles.ink.mask: pipe.png {NOT_PLAIN}",
    ),
    "a style's mask of the shared file": (
        "content: photo.png\nstyles: {ink: {image: ink.png, mask: {colour: red}}}\nmasks: labels.png\n" + REGION,
        "a.yaml:2: styles.ink.mask: `colour` needs `file:` | add file: to the mask",
    ),
    "a style's mask of a long name": (
        f"content: photo.png\nstyles: {{ink: {{image: ink.png, mask: {'x' * 201}.png}}}}\n" + REGION,
        f"a.yaml:2: styles.ink.mask.file: '{'x' * 56}{LONG_NAME}",
    ),
}  # fmt: skip


def write(folder: Path, recipe: str) -> Path:
    """Write a recipe and the `FILES` that it names."""
    for name, make in FILES.items():
        if re.search(rf"(?<![\w./]){re.escape(name)}", recipe):
            make(folder / name)
    file = folder / "a.yaml"
    file.write_text(recipe)
    return file


def refuse(folder: Path, recipe: str) -> str:
    """Return all errors of a recipe, without its folder and parts that vary between versions of Pillow."""
    file = write(folder, recipe)
    with pytest.raises(GuidedStyleError) as caught:
        open_scene(read_recipe(file))
    reported = str(caught.value).replace(f"{folder}/", "")
    return re.sub(r"\d+ bytes not processed", "N bytes not processed", reported)


def refuse_mask(folder: Path, mask: str) -> str:
    reported = refuse(folder, f"{HEAD}regions:\n  - {{name: a, mask: {mask}, style: ink}}\n")
    return reported.removeprefix("a.yaml:4: regions[0].mask")


def unfold(problem: str) -> str:
    """Write a problem in the form in which it is printed."""
    return problem.replace(" | ", "\n    ")


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Fail a test that waits forever, for instance for a pipe without a writer."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"it hangs for {PATIENCE} s"))
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("mask", "problem"), IMAGES)
def test_the_error_of_a_bad_image(project: Path, mask: str, problem: str) -> None:
    assert refuse_mask(project, mask) == unfold(problem)


@pytest.mark.parametrize(("mask", "problem"), LAYERS_NAMED)
def test_the_error_of_a_bad_layer(project: Path, mask: str, problem: str) -> None:
    assert refuse_mask(project, mask) == unfold(problem)


@pytest.mark.parametrize(("document", "problem"), DOCUMENTS)
def test_the_error_of_a_bad_document(project: Path, document: str, problem: str) -> None:
    assert refuse_mask(project, f"{{file: {document}, layer: sky}}") == unfold(f": {document}: {problem}")


@pytest.mark.parametrize(("mask", "problem"), KEYS)
def test_the_error_of_bad_keys_of_a_mask(project: Path, mask: str, problem: str) -> None:
    assert refuse_mask(project, mask) == unfold(problem)


@pytest.mark.parametrize("name", RECIPES)
def test_the_errors_of_a_bad_recipe_of_masks(project: Path, name: str) -> None:
    recipe, problems = RECIPES[name]
    assert refuse(project, recipe) == unfold(problems)


@pytest.mark.parametrize("depth", [3, 100])
def test_nested_masks_are_read(project: Path, depth: int) -> None:
    mask = "{any: [" * depth + "left.png" + "]}" * depth
    scene = open_scene(read_recipe(write(project, f"{HEAD}regions:\n  - {{name: a, mask: {mask}, style: ink}}\n")))
    assert scene.shares == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("mask", "problem"),
    [("{any: [" * 1000 + "left.png" + "]}" * 1000, TOO_DEEP), ("&a {any: [*a]}", WITHIN_ITSELF)],
    ids=["deep", "endless"],
)
def test_the_error_of_masks_nested_too_deeply(project: Path, mask: str, problem: str) -> None:
    assert refuse_mask(project, mask) == unfold(problem)


@pytest.mark.parametrize(
    "mask",
    [
        "{file: nan_x.ora, layer: sky}",
        "{file: inf_x.ora, layer: sky}",
        "{file: left.png, feather: '0'}",
        "{any: [left.png,]}",
    ],
)
def test_unusual_but_unambiguous_masks_are_read(project: Path, mask: str) -> None:
    scene = open_scene(read_recipe(write(project, f"{HEAD}regions:\n  - {{name: a, mask: {mask}, style: ink}}\n")))
    assert scene.shares == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("masks", "problems"),
    [
        (["gone.png"], f"a.yaml:4: regions[0].mask: there is no file gone.png | {PATHS}\n1 error"),
        (["pipe.png"], f"a.yaml:4: regions[0].mask: pipe.png {NOT_PLAIN}\n1 error"),
        (
            ["{file: no_stack.ora, layer: sky}", "{file: left.png, grow: -1}", "square.png"],
            f"a.yaml:5: regions[1].mask.grow: -1 is not valid | grow must be {LENGTH}\n"
            f"a.yaml:4: regions[0].mask: no_stack.ora: its part stack.xml is missing | {DAMAGED}\n"
            f"a.yaml:6: regions[2].mask: square.png: the mask is 80 x 80 px, {SHAPE}\n3 errors",
        ),
        (
            ["/proc/self/mem"],
            "a.yaml:4: regions[0].mask: /proc/self/mem: it cannot be read: Input/output error | change its permissions, or name another file\n1 error",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [["check", "a.yaml"], ["masks", "a.yaml", "-o", "sheet.png"]])
def test_the_commands_report_the_error_and_write_nothing(
    project: Path, command: list[str], masks: list[str], problems: str
) -> None:
    regions = [f"  - {{name: {name}, mask: {mask}, style: ink}}\n" for name, mask in zip("abc", masks, strict=False)]
    write(project, HEAD + "regions:\n" + "".join(regions))
    before = sorted(project.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "guidedstyle", *command], cwd=project, capture_output=True, text=True, timeout=PATIENCE
    )
    expected = re.sub(r"^(.*) \| (.*)$", r"error: \1\n    hint: \2", problems, flags=re.MULTILINE)
    expected += ". Nothing was written.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert sorted(project.iterdir()) == before
