"""Damaged files of every kind are refused; unusual but intact ones are read correctly."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_server import CommandServer, write_images

from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.layered.photoshop import write_photoshop

Maker = Callable[[Path], object]
SIZE = (96, 64)
WHOLE = "styles: {ink: ink.png}\nregions:\n"
ROLES = {  # the role of a file; the lines that name or use it
    "content": ("content: FILE\nstyle: ink.png\n", (1,)),
    "style": ("content: photo.png\nstyle: FILE\n", (2,)),
    "mask": (f"content: photo.png\n{WHOLE}  - {{name: a, mask: FILE, style: ink}}\n", (4,)),
    "alpha": (f"content: photo.png\n{WHOLE}  - {{name: a, mask: {{file: FILE, channel: alpha}}, style: ink}}\n", (4,)),
    "colour": (f"content: photo.png\n{WHOLE}  - {{name: a, mask: {{file: FILE, colour: red}}, style: ink}}\n", (4,)),
    "masks": (f"content: photo.png\nmasks: FILE\n{WHOLE}  - {{name: a, mask: {{colour: red}}, style: ink}}\n", (2, 5)),
    "layer": (f"content: photo.png\n{WHOLE}  - {{name: a, mask: {{file: FILE, layer: sky}}, style: ink}}\n", (4,)),
    "init": ("content: photo.png\nstyle: ink.png\ninit: FILE\n", (3,)),
}
IMAGES = ("photo.png", "photo.jpg", "photo.tif", "photo.webp", "photo.bmp", "photo.gif", "photo.ppm")
DOCUMENTS = ("scene.ora", "scene.psd", "scene.kra")


def noise(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def write_whole(file: Path) -> None:
    """Write a whole image or document of a kind, by its name; of Krita's, a zip that names no layer."""
    if file.suffix == ".ora":
        write_openraster(file, [("sky", noise("RGBA"))], noise())
    elif file.suffix == ".psd":
        write_photoshop(file, [("sky", noise("RGBA"))])
    elif file.suffix == ".kra":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(
                "maindoc.xml", '<DOC xmlns="http://www.calligra.org/DTD/krita"><IMAGE width="96" height="64"/></DOC>'
            )
    else:
        noise().save(file)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, packed: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + (chunk(b"IDAT", packed) + chunk(b"IEND", b"") if packed else b"")


def write_bomb(file: Path) -> None:
    """Write a small document of some kilobytes of which a layer holds more than a quarter of a GiB."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("stack.xml", '<image w="96" h="64"><stack><layer name="sky" src="a.png"/></stack></image>')
        with archive.open("a.png", "w", force_zip64=True) as part:
            for _ in range(9):
                part.write(bytes(2**25))


def link_in_a_circle(file: Path) -> None:
    other = file.with_name(f"other-{file.name}")
    other.symlink_to(file)
    file.symlink_to(other)


def hold(content: bytes) -> Maker:
    return lambda file: file.write_bytes(content)


def forbid(file: Path) -> None:
    write_whole(file)
    file.chmod(0)


def forbid_folder(file: Path) -> None:
    file.mkdir()


def paint(width: int, height: int) -> Maker:
    return lambda file: Image.new("RGB", (width, height)).save(file)


NO_FILES: dict[str, Maker] = {
    "not there": lambda file: None,
    "a folder": forbid_folder,
    "a circle of links": link_in_a_circle,
    "a link to nothing": lambda file: file.symlink_to("nowhere"),
    "a pipe": lambda file: os.mkfifo(file),
    "forbidden": forbid,
    "empty": hold(b""),
    "a null": hold(b"\0"),
    "text": hold(b"content: photo.png\n"),
    "a program": hold(b"\x7fELF" + bytes(500)),
    "a page": hold(b"<!doctype html><title>404</title>"),
    "a drawing": hold(b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"/>'),
    "PostScript": hold(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\n(w) (file) run\n"),
    "only a header": hold(png(20_000, 20_001)),
    "a header of nothing": hold(png(0, 0, zlib.compress(b""))),
    "a header of 1 x 5000": hold(png(1, 5000)),
    "1 x 1": paint(1, 1),
    "1 x 5000": paint(1, 5000),
    "5000 x 1": paint(5000, 1),
}
RIGHT = {
    ("mask", "1 x 1"),
    ("colour", "1 x 1"),
    ("masks", "1 x 1"),
}  # of the content image's shape, give or take a pixel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path)


def refuse(server: CommandServer, folder: Path, role: str, name: str) -> list[str]:
    recipe, lines = ROLES[role]
    (folder / "a.yaml").write_text(recipe.replace("FILE", name))
    reported = server.refuse(folder, "render", "a.yaml")
    assert all(one.startswith("a.yaml:") for one in reported), reported
    assert any(one.startswith(tuple(f"a.yaml:{line}: " for line in lines)) and name in one for one in reported), (
        reported
    )
    return reported


@pytest.mark.parametrize(("role", "kind"), [pair for pair in product(ROLES, NO_FILES) if pair not in RIGHT])
def test_a_path_that_is_not_a_file_or_not_an_image_is_an_error(
    server: CommandServer, folder: Path, role: str, kind: str
) -> None:
    name = "bad.ora" if role == "layer" and not kind[0].isdigit() else "bad.png"
    NO_FILES[kind](folder / name)
    refuse(server, folder, role, name)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("name", [*IMAGES, *DOCUMENTS])
def test_a_truncated_file_is_an_error(server: CommandServer, folder: Path, name: str, tenth: int) -> None:
    whole = folder / name
    write_whole(whole)
    content = whole.read_bytes()
    file = whole.with_stem("cut")
    parts = 25 if name == "scene.psd" else 10  # the rest is the merged image, which is not read
    file.write_bytes(content[: len(content) * tenth // parts])
    refuse(server, folder, "layer" if name in DOCUMENTS else "content", file.name)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_named_as_an_image_is_an_error(server: CommandServer, folder: Path, name: str) -> None:
    write_whole(folder / name)
    (folder / name).rename(folder / "bad.png")
    refuse(server, folder, "content", "bad.png")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_image_named_as_a_document_is_an_error(server: CommandServer, folder: Path, name: str) -> None:
    (folder / "ink.png").rename(folder / name)
    (folder / "ink.png").write_bytes((folder / name).read_bytes())
    refuse(server, folder, "layer", name)


def test_a_document_that_unpacks_without_end_is_an_error(server: CommandServer, folder: Path) -> None:
    write_bomb(folder / "bomb.ora")
    assert (folder / "bomb.ora").stat().st_size < 2**22
    assert "too large" in "".join(refuse(server, folder, "layer", "bomb.ora"))


def test_an_image_that_unpacks_to_another_size_is_an_error(server: CommandServer, folder: Path) -> None:
    (folder / "bomb.png").write_bytes(png(19_999, 20_000, zlib.compress(bytes(2**28))))
    refuse(server, folder, "content", "bomb.png")


RECIPES: dict[str, tuple[Maker, str]] = {
    "in Latin-1": (hold("content: phötö.png\n".encode("latin-1")), "UTF-8"),
    "of nothing": (hold(b""), "is missing"),
    "of a null": (hold(b"\0" * 100), "is not allowed"),
    "of two documents": (hold(b"content: photo.png\n---\nstyle: ink.png\n"), "found another document"),
    "a list": (hold(b"- content\n- style\n"), "it contains no keys"),
    "a number": (hold(b"3\n"), "it contains no keys"),
    "without end": (lambda file: os.truncate(os.open(file, os.O_CREAT | os.O_WRONLY), 2**34), "too large"),
    "of many values": (hold(b"- 3\n" * 250_000), "more than"),
    "very deep": (hold(b"[" * 20_000), "nested too deeply"),
    "of deep keys": (hold(b"a: " + b"{a: " * 400 + b"3" + b"}" * 400), ""),
    "forbidden": (lambda file: (file.write_text("content: photo.png\n"), file.chmod(0)), "cannot be read"),
    "a folder": (forbid_folder, "this is a folder"),
    "a circle of links": (link_in_a_circle, "no such file"),
    "a pipe": (lambda file: os.mkfifo(file), "no such file"),
    "an image": (lambda file: Image.new("L", SIZE).save(file, "PNG"), ""),
}


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("command", ["render", "check", "masks", "sweep --vary solver.seed=1,2"])
def test_a_file_that_is_not_a_recipe_is_an_error(server: CommandServer, folder: Path, command: str, kind: str) -> None:
    make, seen = RECIPES[kind]
    make(folder / "a.yaml")
    (reported, *_) = server.refuse(folder, *command.split(), "a.yaml")
    assert reported.startswith("a.yaml")
    assert seen in reported


@pytest.mark.parametrize("kind", ["not there", "empty", "text", "only a header", "forbidden", "a pipe", "1 x 1"])
def test_an_image_without_a_recipe_is_an_error(server: CommandServer, folder: Path, kind: str) -> None:
    NO_FILES[kind](folder / "bad.png")
    (reported,) = server.refuse(folder, "render", "bad.png")
    assert reported.startswith("bad.png: ")


def test_an_intact_file_is_read_in_every_role(server: CommandServer, folder: Path) -> None:
    """So that the files above are refused only for their damage."""
    red = Image.new("RGBA", SIZE)
    red.paste("red", (0, 0, 48, 64))
    red.save(folder / "good.png")
    write_openraster(folder / "good.ora", [("sky", red)], red)
    for role, (recipe, _) in ROLES.items():
        name = {"layer": "good.ora", "mask": "left.png"}.get(role, "good.png")
        (folder / "a.yaml").write_text(recipe.replace("FILE", name))
        server.accept(folder, "check", "a.yaml")
