"""The image that a render writes: its pixels at full depth, in their profile, with the content image's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from guidedstyle.engine.objective.canvas import overlay
from guidedstyle.engine.progress import Rendering
from guidedstyle.io.images.metadata import carry_exif
from guidedstyle.io.images.profiles import convert, is_srgb, make_profile, name_profile, to_float, to_pixels
from guidedstyle.io.images.writing import OPAQUE_SUFFIXES, Attached, save_pixels, to_pillow
from guidedstyle.io.layered.base import CONTENT_LAYER
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.masks.compositing import unstack_weights
from guidedstyle.recipe.model import DEEP_SUFFIXES, LAYERED
from guidedstyle.scene.original import Original
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array, DeepPixels

ROWS = 256  # that are composed at once, to save memory


@dataclass(frozen=True)
class Output:
    """How a render is stored in a file: the bits of a channel, the ICC profile, and whether it has alpha.

    Kept pixels, opacities and alpha meet here, and nowhere else: an output pixel is the content image's own where the
    opacity of the paint is 0, to the bit unless its profile or depth changes; else both are mixed in the profile of
    the output, to which the paint is converted from sRGB. Alpha is the content image's own.
    """

    scene: Scene
    rendering: Rendering
    file: Path

    @cached_property
    def original(self) -> Original:
        """The content image's own pixels."""
        return self.scene.original or Original.of_srgb(self.scene.content)

    @property
    def depth(self) -> int:
        """The bits of a channel: those asked for, or those of the content image, where the format holds them."""
        asked = self.scene.recipe.save.depth or self.original.depth
        return asked if self.file.suffix.lower() in DEEP_SUFFIXES else 8

    @property
    def profile(self) -> bytes:
        """The profile to embed: that of the content image, or another one."""
        asked = "sRGB" if self.file.suffix.lower() == LAYERED else self.scene.recipe.save.profile
        return self.original.profile if asked == "keep" else make_profile(asked)

    @property
    def profile_name(self) -> str:
        """The name of the profile."""
        return "sRGB" if is_srgb(self.profile) else name_profile(self.profile)

    @property
    def has_alpha(self) -> bool:
        """Whether the file has an alpha channel."""
        return self.original.alpha is not None and self.file.suffix.lower() not in OPAQUE_SUFFIXES

    def compose(self) -> DeepPixels:
        """Compose the pixels (H, W, 3 or 4) to store; without alpha, transparent ones are shown on white."""
        height = self.rendering.opacity.shape[0]
        return np.concatenate([self._compose(slice(row, row + ROWS)) for row in range(0, height, ROWS)])

    def _compose(self, rows: slice) -> DeepPixels:
        colours = self._overlay(rows)
        if self.original.alpha is None:
            return to_pixels(colours, self.depth)
        alpha = to_float(self.original.alpha[rows])[..., None]
        if self.has_alpha:
            return to_pixels(np.concatenate([colours, alpha], 2), self.depth)
        return to_pixels(1 - (1 - colours) * alpha, self.depth)

    def _overlay(self, rows: slice) -> Array:
        """Lay the paint over the content image, both in the colours of the output: (h, W, 3) in [0, 1]."""
        own = self._convert(to_float(self.original.pixels[rows]), self.original.profile)
        paint = self._convert(self.rendering.paint[0, :, rows].transpose(1, 2, 0), make_profile("sRGB"))
        opacity = torch.from_numpy(self.rendering.opacity[rows, :, None])
        mixed: Array = overlay(torch.from_numpy(own), torch.from_numpy(paint), opacity).numpy()
        return mixed

    def _convert(self, colours: Array, source: bytes) -> Array:
        """Convert colours to the profile of the output."""
        if source == self.profile or (is_srgb(source) and is_srgb(self.profile)):
            return np.ascontiguousarray(colours)
        return np.clip(convert(colours, source, self.profile), 0, 1)

    def save(self, note: tuple[str, str], *, overwrite: bool = False) -> None:
        """Write the file with its profile, metadata and a note.

        Raises GuidedStyleError if it cannot be written, or, unless `overwrite`, would replace one of someone else.
        """
        if self.file.suffix.lower() == LAYERED:
            return self._save_layers(overwrite)
        choice, metadata = self.scene.recipe.save, self.original.metadata
        srgb = None if choice.profile == "keep" else is_srgb(self.profile)
        exif = metadata.exif and carry_exif(metadata.exif, size=self.original.size, srgb=srgb, gps=choice.gps)
        attached = Attached(profile=self.profile, exif=exif, xmp=metadata.rights, note=note)
        save_pixels(
            self.compose(),
            self.file,
            attached,
            quality=choice.quality,
            subsampling=choice.subsampling,
            overwrite=overwrite,
        )

    def _save_layers(self, overwrite: bool) -> None:
        """Save OpenRaster in 8 bits: the content image below one layer per region, with its mask as alpha.

        The `opacity` of a region is that of its layer, and can still be changed there.
        """
        scene, merged = self.scene, Image.fromarray(self.compose())
        content, painted = to_pillow(scene.content), to_pillow(self.rendering.paint)
        cover = np.ones_like(scene.weights[0]) if self.original.alpha is None else to_float(self.original.alpha)
        layers = [(CONTENT_LAYER, _add_alpha(content, cover))]
        pairs = zip(scene.recipe.regions, scene.recipe.controls, strict=True)
        opacities = [1.0 if region.keep else controls.opacity for region, controls in pairs]
        masks = unstack_weights(scene.weights, opacities)
        for region, mask in zip(scene.recipe.regions, masks, strict=True):
            layers.append((region.name, _add_alpha(content if region.keep else painted, mask * cover)))
        write_openraster(self.file, layers, merged, [1.0, *opacities], overwrite=overwrite)


def _add_alpha(picture: Image.Image, alpha: Array) -> Image.Image:
    layer = picture.convert("RGBA")
    layer.putalpha(Image.fromarray(to_pixels(alpha, 8)))
    return layer
