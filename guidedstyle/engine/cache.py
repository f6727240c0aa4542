"""A cache on disk: tensors and images by key, the least recently used deleted first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from guidedstyle.device.distributed import all_agree, is_first
from guidedstyle.device.transfer import fetch, send
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import write_file
from guidedstyle.io.images.reading import read_image
from guidedstyle.io.images.writing import save_image, to_pillow
from guidedstyle.io.paths import find_cache
from guidedstyle.losses.propagation import OctaveLayer
from guidedstyle.types import Array

CACHED = re.compile(r"[0-9a-f]{64}\.(png|safetensors)")
MAX_BYTES = 2**30  # of all files; the least recently used are deleted first


def load_or_make_image(key: str, make: Callable[[], tuple[Array, bool]]) -> Image.Image:
    """Load the image of a key, or make it; `make` returns it and whether it is finished and may be stored.

    An image that was just made is returned as it would be loaded, so that both are the same.
    """
    file = find_cache() / f"{key}.png"
    try:
        picture = read_image(file)
        _ignore_errors(file.touch)
        return picture
    except GuidedStyleError:  # there is none, or it is damaged
        made, finished = make()
    picture = to_pillow(made)
    if finished:
        _store(file, lambda: save_image(picture, file, overwrite=True))
    return picture


def load_tensors(key: str) -> dict[str, Tensor] | None:
    """Load the tensors of a key; None if there are none, or they are damaged."""
    file = find_cache() / f"{key}.safetensors"
    try:
        found = load(file.read_bytes())
    except (OSError, SafetensorError):
        return None
    _ignore_errors(file.touch)
    return found


def store_tensors(key: str, tensors: Mapping[str, Tensor]) -> None:
    """Store tensors under a key; does nothing if the cache cannot be written."""
    file = find_cache() / f"{key}.safetensors"
    _store(file, lambda: write_file(file, save({name: tensor.contiguous() for name, tensor in tensors.items()})))


def _store(file: Path, write: Callable[[], object]) -> None:
    def store() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write()
        _delete_oldest(file.parent)

    _ignore_errors(store)


def _ignore_errors(action: Callable[[], object]) -> None:
    with suppress(OSError, GuidedStyleError):  # without a stored file, the next render computes it again
        action()


def _delete_oldest(folder: Path) -> None:
    """Delete the least recently used files until the others take no more than MAX_BYTES.

    Only files that are named by a hash: the folder may be any that the user names, and hold pictures.
    """
    files = [file for file in folder.iterdir() if CACHED.fullmatch(file.name)]
    left = MAX_BYTES
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        left -= file.stat().st_size
        if left < 0:
            file.unlink()


Statistics = dict[OctaveLayer, Tensor]  # of a style image, by octave and layer


class StatisticsCache:
    """The statistics of style images by everything they depend on: in memory, and on disk."""

    def __init__(self) -> None:
        self.known, self.measured = dict[str, Statistics](), dict[str, Statistics]()  # the latter are not on disk yet

    def load_or_measure(self, key: str, device: torch.device, measure: Callable[[], Statistics]) -> Statistics:
        """Return the statistics of a key on a device: those in memory, on disk, or else measured."""
        if key not in self.known:
            self.known[key] = self._load(key, device) or self.measured.setdefault(key, measure())
        return self.known[key]

    def _load(self, key: str, device: torch.device) -> Statistics | None:
        """Load statistics from disk; None unless every process finds them."""
        found = load_tensors(key)
        if not all_agree(found is not None) or found is None:
            return None
        return {_parse_key(name): send(tensor, device) for name, tensor in found.items()}

    def store(self) -> None:
        """Store on disk what was measured since the last time; another device is waited for once."""
        named = [(key, *one) for key, found in self.measured.items() for one in found.items()]
        self.measured.clear()
        if not is_first():
            return
        files: dict[str, dict[str, Tensor]] = {}
        for (key, (octave, layer), _), tensor in zip(named, fetch([tensor for *_, tensor in named]), strict=True):
            files.setdefault(key, {})[f"{octave}.{layer}"] = tensor
        for key, tensors in files.items():
            store_tensors(key, tensors)


def _parse_key(name: str) -> OctaveLayer:
    octave, layer = name.split(".")
    return int(octave), layer
