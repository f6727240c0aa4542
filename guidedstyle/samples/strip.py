"""The README's strip: content, masks, style images and the result."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from guidedstyle.samples.canvas import Bytes

HEIGHT, GAP = 230, 6
TINTS = {"sky": (80, 140, 255), "sea": (30, 220, 190), "boat": (255, 120, 60)}


def tint_masks(content: Bytes, masks: dict[str, Bytes]) -> Bytes:
    """Colour every mask over the greyed content image."""
    grey = content.mean(2, keepdims=True).repeat(3, 2)
    for name, mask in masks.items():
        opacity = 0.65 * mask[:, :, None] / 255
        grey = grey * (1 - opacity) + np.array(TINTS[name]) * opacity
    tinted: Bytes = grey.astype(np.uint8)
    return tinted


def scale(image: Bytes, width: int, height: int) -> Bytes:
    """Scale an image down with averaging."""
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def lay_row(images: list[Bytes], height: int) -> Bytes:
    """Arrange images side by side at one height, with white gaps."""
    sized = [scale(image, round(image.shape[1] * height / image.shape[0]), height) for image in images]
    gap = np.full((height, GAP, 3), 255, np.uint8)
    return np.concatenate([part for image in sized for part in (image, gap)][:-1], 1)


def lay_strip(content: Bytes, masks: dict[str, Bytes], style_images: list[Bytes], result: Bytes) -> Bytes:
    """Arrange content, masks and style images in a column next to the result."""
    above = lay_row([content, tint_masks(content, masks)], HEIGHT)
    row = lay_row(style_images, HEIGHT)
    width = above.shape[1]
    below = scale(row, width, round(row.shape[0] * width / row.shape[1]))
    column = np.concatenate([above, np.full((GAP, width, 3), 255, np.uint8), below])
    return lay_row([column, result], len(column))


def main() -> None:
    """Write the strip of a render: python -m guidedstyle.samples.strip ROOT RENDER OUT."""
    parser = argparse.ArgumentParser(prog="python -m guidedstyle.samples.strip", description=__doc__)
    parser.add_argument("root", type=Path, help="the folder with recipes/ and masks/")
    parser.add_argument("render", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    images = options.root / "recipes" / "images"
    masks = {name: np.asarray(Image.open(options.root / "masks" / f"harbour_{name}.png")) for name in TINTS}
    names = ("strokes", "watercolour", "dots")
    style_images = [np.asarray(Image.open(images / f"{name}.jpg")) for name in names]
    strip = lay_strip(
        np.asarray(Image.open(images / "harbour.jpg")), masks, style_images, np.asarray(Image.open(options.render))
    )
    Image.fromarray(strip).save(options.out, quality=88, optimize=True)


if __name__ == "__main__":
    main()
