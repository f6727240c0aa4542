"""Marks: other programs read marked files as before, and any change by another program shows."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from support.images import draw_image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.writing import save_image
from guidedstyle.io.ownership import add_mark, discard, find_foreign, is_marked, is_ours, protect, write_marked

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".avif", ".JPG", ".PNG")
FILMS = (".mp4", ".avi")
RECORD = {"recipe": {"content": "photo.png"}, "inputs": {}, "versions": {}}


def encode(suffix: str, picture: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (picture or draw_image(40, 30, 1)).save(buffer, Image.registered_extensions()[suffix.lower()])
    return buffer.getvalue()


def make_film(file: Path) -> bytes:
    writer = cv2.VideoWriter(
        str(file), cv2.VideoWriter.fourcc(*{".mp4": "mp4v", ".avi": "MJPG"}[file.suffix]), 4, (64, 48)
    )
    for index in range(5):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    return file.read_bytes()


def read_film(file: Path) -> list[int]:
    video, levels = cv2.VideoCapture(str(file)), []
    while (read := video.read())[0]:
        levels.append(round(float(read[1].mean()) / 40))
    return levels


@pytest.mark.parametrize("suffix", IMAGES)
def test_a_marked_image_has_the_same_pixels_for_other_readers(tmp_path: Path, suffix: str) -> None:
    plain, marked = tmp_path / f"plain{suffix}", tmp_path / f"marked{suffix}"
    plain.write_bytes(encode(suffix))
    write_marked(marked, plain.read_bytes())
    with Image.open(plain) as before, Image.open(marked) as after:
        assert np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))
    if suffix not in (".gif", ".avif"):  # OpenCV's own decoders: libpng, libjpeg-turbo, libtiff, libwebp
        assert np.array_equal(cv2.imread(str(plain)), cv2.imread(str(marked)))
    assert is_ours(marked)
    assert not is_ours(plain)


@pytest.mark.parametrize("suffix", FILMS)
def test_a_marked_film_has_the_same_frames(tmp_path: Path, suffix: str) -> None:
    content = make_film(tmp_path / f"plain{suffix}")
    write_marked(tmp_path / f"marked{suffix}", content)
    assert read_film(tmp_path / f"marked{suffix}") == read_film(tmp_path / f"plain{suffix}") == [0, 1, 2, 3, 4]
    assert [file.name for file in find_foreign(sorted(tmp_path.iterdir()))] == [f"plain{suffix}"]


@pytest.mark.parametrize("suffix", [".webp", ".avi"])
def test_the_mark_of_a_riff_is_a_chunk_that_its_size_counts(tmp_path: Path, suffix: str) -> None:
    content = add_mark(encode(suffix) if suffix == ".webp" else make_film(tmp_path / "a.avi"), suffix)
    assert struct.unpack("<I", content[4:8])[0] + 8 == len(content)
    place, kinds = 12, []
    while place < len(content):
        kind, length = struct.unpack("<4sI", content[place : place + 8])
        place, kinds = place + 8 + length + length % 2, [*kinds, kind]
    assert (place, kinds[-1]) == (len(content), b"JUNK")


def test_a_marked_archive_is_still_one(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr("stack.xml", "<image/>")
    write_marked(tmp_path / "a.ora", buffer.getvalue())
    with zipfile.ZipFile(tmp_path / "a.ora") as archive:
        assert (archive.testzip(), archive.namelist()) == (None, ["mimetype", "stack.xml"])
        assert b"guidedstyle" in archive.comment
    assert is_ours(tmp_path / "a.ora")


@pytest.mark.parametrize("suffix", [*IMAGES[:8], ".ora", ".html", ".mp4"])
def test_a_change_of_any_byte_shows(suffix: str) -> None:
    content = (
        encode(suffix) if suffix in IMAGES else b"PK\5\6" + bytes(18) if suffix == ".ora" else b"<p>page</p>\n" * 9
    )
    marked = add_mark(content, suffix)
    assert is_marked(marked, suffix)
    for place in range(0, len(marked), max(1, len(marked) // 200)):
        changed = bytearray(marked)
        changed[place] ^= 1
        assert not is_marked(bytes(changed), suffix)
    assert not is_marked(marked + b"\0", suffix)
    assert not is_marked(b"", suffix)


@pytest.mark.parametrize("texts", ["kept", "dropped"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".ora", ".gif"])
@pytest.mark.parametrize("record", [None, RECORD, {**RECORD, "digest": "sha256:0"}], ids=["none", "old", "new"])
def test_an_image_painted_over_in_an_editor_is_the_users(
    tmp_path: Path, suffix: str, record: object, texts: str
) -> None:
    """Editors keep or drop the texts of an image; a record of an old version tells by its time."""
    file, note = tmp_path / f"sky{suffix}", ("guidedstyle recipe", "content: photo.png")
    if suffix == ".ora":
        write_marked(file, b"PK\5\6" + bytes(18))
    else:
        save_image(draw_image(40, 30, 1), file, note)
    assert is_ours(file)
    beside = tmp_path / f"sky{suffix}.json"
    if record:
        beside.write_text(json.dumps(record))
        os.utime(beside, (1e9, 1e9))
    if suffix == ".ora":
        file.write_bytes(b"PK\5\6" + bytes(18))
    else:
        with Image.open(file) as opened:
            opened.load()
            picture, known = opened.convert("RGB"), dict(opened.info)
        picture.putpixel((3, 3), (255, 0, 0))
        info = PngImagePlugin.PngInfo()
        for key, text in known.items():
            if isinstance(text, str) and texts == "kept":
                info.add_text(key, text)
        kept = {"comment": known["comment"]} if "comment" in known and texts == "kept" else {}
        picture.save(file, **({"pnginfo": info} if suffix == ".png" else kept))
    assert not is_ours(file)
    with pytest.raises(GuidedStyleError, match=r"guidedstyle did not make it.*\n.*-o.*--overwrite"):
        write_marked(file, b"new")
    write_marked(file, encode(".png"), overwrite=True)


def test_images_of_versions_without_marks_are_known_by_their_recipe_or_record(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("guidedstyle recipe", "content: photo.png")
    draw_image(40, 30, 1).save(tmp_path / "a.png", pnginfo=info)
    assert is_ours(tmp_path / "a.png")
    for suffix in (".jpg", ".tif", ".webp", ".png"):
        file = tmp_path / f"b{suffix}"
        draw_image(40, 30, 1).save(file)
        assert not is_ours(file)
        (tmp_path / f"b{suffix}.json").write_text(json.dumps(RECORD))
        assert is_ours(file) == (suffix != ".png")  # its recipe is gone: another program has saved it since
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 3600))
        assert not is_ours(file)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("a.png.json", json.dumps(RECORD).encode(), b'{"shapes": []}'),
        ("b.png.json", json.dumps(RECORD).encode(), b'{"recipe": "soup"}'),
        ("c.png.json", json.dumps(RECORD).encode(), b"{" * 99999),
        ("d.png.json", json.dumps(RECORD, indent=2).encode()[:30], b"{}"),
        ("e.png.json", b"{", b'{"recipe": {}}'),
        ("f.png.json", b"", b"[]"),
        (".a.png.lock", b"4711", b"a diary"),
        (".b.png.lock", b"", b"123456789012345678901234567890"),
        ("table.csv", None, b"file,rating\na.png,5\n"),
        ("a.safetensors", None, b"\2\0\0\0\0\0\0\0{}"),
        ("a.png.state", None, b"a state of mind"),
        ("a.png.state.old", None, b""),
        ("a.html", None, b"<html></html>"),
    ],
)
def test_other_files_are_known_by_what_is_in_them(tmp_path: Path, name: str, ours: bytes | None, theirs: bytes) -> None:
    file = tmp_path / name
    if ours is not None:
        file.write_bytes(ours)
        assert is_ours(file)
    file.write_bytes(theirs)
    assert not is_ours(file)
    discard(file)
    assert file.read_bytes() == theirs


def test_a_checkpoint_is_known_and_weights_of_others_are_not(tmp_path: Path) -> None:
    for name, keys, known in (("a.state", {"format": 2, "identity": {}}, True), ("b.state", {"layer.0": 1}, False)):
        torch.save({**keys, "tensor": torch.zeros(1000)}, tmp_path / name)
        assert is_ours(tmp_path / name) == known


def test_links_are_not_replaced(tmp_path: Path) -> None:
    save_image(draw_image(40, 30, 1), tmp_path / "real.png")
    targets = {"dangling.png": "nowhere.png", "to_file.png": "real.png", "chain.png": "to_file.png", "folder.png": "."}
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
        for overwrite in (False, True):
            with pytest.raises(GuidedStyleError, match="is a link to"):
                protect([tmp_path / name], overwrite=overwrite)
            with pytest.raises(GuidedStyleError, match="is a link to"):
                save_image(draw_image(40, 30, 2), tmp_path / name, overwrite=overwrite)
        assert (tmp_path / name).is_symlink()
    (tmp_path / "hard.png").hardlink_to(tmp_path / "real.png")
    before = (tmp_path / "hard.png").read_bytes()
    save_image(draw_image(40, 30, 2), tmp_path / "real.png")  # our own image: the other name keeps the old one
    assert (tmp_path / "hard.png").read_bytes() == before


def test_a_file_saved_while_another_is_written_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, fsync = tmp_path / "a.png", os.fsync

    def save_meanwhile(handle: int) -> None:
        file.write_bytes(b"painted by hand")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", save_meanwhile)
    with pytest.raises(GuidedStyleError, match="guidedstyle did not make it"):
        write_marked(file, encode(".png"))
    assert file.read_bytes() == b"painted by hand"
    assert list(tmp_path.iterdir()) == [file]
