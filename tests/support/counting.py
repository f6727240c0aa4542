"""Count decoded and hashed files, where the libraries do the work."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageFile
from psd_tools.api.layers import Layer
from tifffile import TiffPage


@contextmanager
def counting_decodes() -> Iterator[Counter[str]]:
    """Count how often each image file, part of a zipped document and layer of a Photoshop document is decoded.

    Images count by their names, parts as `document/part`, layers as `psd/layer`.
    """
    decodes = Counter[str]()
    load, read, topil, page = ImageFile.ImageFile.load, zipfile.ZipFile.read, Layer.topil, TiffPage.asarray

    def count_load(image: ImageFile.ImageFile) -> Any:
        if image.tile and image.filename:  # otherwise it is decoded already, or counted as a part
            decodes[Path(image.filename).name] += 1
        return load(image)

    def count_page(image: TiffPage, *arguments: Any, **named: Any) -> Any:
        decodes[image.parent.filename] += 1
        return page(image, *arguments, **named)

    def count_read(archive: zipfile.ZipFile, name: Any, *arguments: Any) -> bytes:
        decodes[f"{Path(str(archive.filename)).name}/{name}"] += 1
        return read(archive, name, *arguments)

    def count_topil(layer: Layer, *arguments: Any, **named: Any) -> Any:
        decodes[f"psd/{layer.name}"] += 1
        return topil(layer, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", count_load)
        patch.setattr(zipfile.ZipFile, "read", count_read)
        patch.setattr(Layer, "topil", count_topil)
        patch.setattr(TiffPage, "asarray", count_page)
        yield decodes


@contextmanager
def counting_hashes() -> Iterator[Counter[str]]:
    """Count how often each file is hashed, by its name."""
    hashes = Counter[str]()
    digest = hashlib.file_digest

    def count_digest(stream: Any, *arguments: Any, **named: Any) -> Any:
        hashes[Path(stream.name).name] += 1
        return digest(stream, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "file_digest", count_digest)
        yield hashes
