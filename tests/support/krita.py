"""Write Krita documents byte by byte."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE = (90, 70)
DISC = np.hypot(*(np.indices(SIZE[::-1]) - np.array([[[30]], [[40]]]))) < 20


def write_krita(file: Path, depth: int, pack: Callable[[bytes], bytes]) -> None:
    """Write a document with one layer of one 64 x 64 tile: a disc at (8, 6) in its last byte, 200 elsewhere."""
    xml = (
        '<!DOCTYPE DOC PUBLIC "-//KDE//DTD krita 2.0//EN" "http://www.calligra.org/DTD/krita-2.0.dtd">'
        '<DOC xmlns="http://www.calligra.org/DTD/krita"><IMAGE width="90" height="70" name="x"><layers>'
        '<layer nodetype="grouplayer" name="land" opacity="128" visible="1"><layers><layer nodetype="paintlayer" '
        'name="hills" opacity="255" visible="1" x="8" y="6" filename="layer2" colorspacename="RGBA"/></layers></layer>'
        "</layers></IMAGE></DOC>"
    )
    alpha = np.uint8(255 * DISC[:64, :64])
    pixels = np.stack([np.full((64, 64), 7, np.uint8)] * (depth - 1) + [alpha], 2)
    tile = pack(pixels.tobytes())
    data = f"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE {depth}\nDATA 1\n0,0,LZF,{len(tile)}\n".encode() + tile
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/x-krita")
        archive.writestr("maindoc.xml", xml)
        archive.writestr("x/layers/layer2", data, zipfile.ZIP_DEFLATED)
        archive.writestr("x/layers/layer2.defaultpixel", bytes([0] * (depth - 1) + [200]))


def pack_planes(pixels: bytes, depth: int) -> bytes:
    """Pack like Krita: all first bytes, then all second ones; here in literal runs."""
    planes = np.frombuffer(pixels, np.uint8).reshape(-1, depth).T.tobytes()
    runs = (planes[start : start + 32] for start in range(0, len(planes), 32))
    return b"\x01" + b"".join(bytes([len(run) - 1]) + run for run in runs)
