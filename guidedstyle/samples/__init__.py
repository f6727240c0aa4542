"""Paint the sample images: a content image, its masks and style images. Not installed with the package."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from guidedstyle.samples.canvas import Bytes
from guidedstyle.samples.dots import paint_dots
from guidedstyle.samples.ink import paint_ink
from guidedstyle.samples.scene import paint_scene
from guidedstyle.samples.strokes import paint_strokes
from guidedstyle.samples.tiles import paint_tiles
from guidedstyle.samples.watercolour import paint_watercolour

__all__ = ["paint_samples", "write_samples"]


def paint_samples() -> dict[str, Bytes]:
    """Paint every sample: {path relative to the repository: image (RGB) or mask (grey)}."""
    scene = paint_scene()
    tiles, glazed = paint_tiles()
    return {
        "recipes/images/harbour.jpg": scene.image,
        "recipes/images/strokes.jpg": paint_strokes(),
        "recipes/images/tiles.jpg": tiles,
        "recipes/images/tiles_glazed.png": glazed,
        "recipes/images/ink.jpg": paint_ink(),
        "recipes/images/watercolour.jpg": paint_watercolour(),
        "recipes/images/dots.jpg": paint_dots(),
        "masks/harbour_sky.png": scene.sky,
        "masks/harbour_sea.png": scene.sea,
        "masks/harbour_boat.png": scene.boat,
        "masks/harbour_colours.png": scene.colours,
    }


def write_samples(folder: Path) -> list[Path]:
    """Write every sample below a folder and return the paths."""
    written = []
    for name, image in paint_samples().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=88, subsampling="4:2:0", optimize=True)
        written.append(path)
    return written
