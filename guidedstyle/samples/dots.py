"""A pointillist river bank at sunset: dots of pure colour next to their complements."""

from __future__ import annotations

import cv2
import numpy as np

from guidedstyle.samples.canvas import (
    Bytes,
    Floats,
    blur,
    fractal,
    grid,
    hexes,
    look_up,
    mix,
    ramp,
    slopes,
    smoothstep,
    to_bytes,
)

HEIGHT, WIDTH = 768, 960
SKY = hexes("4d6fc0", "7e9bd8", "b6b7e0", "f2c3a6", "f9b365", "fbe08c")
RIVER = hexes("f6c074", "c99bb0", "7d8fd0", "4666b0", "2c4590")
MEADOW = hexes("2f6a3a", "58963f", "9dbd4a", "d9d35a")
CROWN = hexes("1d3f5a", "256b4c", "4c9a45", "b5c94a", "f0d66a")
PURE = hexes("f4442e", "f98a1b", "ffd92f", "7cc243", "16a085", "2367c9", "3b2f9c", "a13fa8", "fbf3dc", "f7a6b4")
GROUND = hexes("e7d6b4")[0]


def _scenery(rng: np.random.Generator) -> Floats:
    """Return the colours the dots should add up to."""
    rows, columns = grid(HEIGHT, WIDTH)
    drift = fractal((HEIGHT, WIDTH), rng, 240, 1.0)
    colours = ramp(SKY, np.clip(rows / 360 + 0.07 * drift, 0, 1))
    sun = np.hypot(rows - 268, columns - 610)
    colours = mix(colours, hexes("fff6c4")[0], np.exp(-((sun / 62) ** 4)) + 0.45 * np.exp(-sun / 110))
    far = smoothstep(-2, 2, rows - 345 + 26 * np.sin(columns / 150 + 0.6) + 10 * np.sin(columns / 43))
    colours = mix(colours, ramp(hexes("5d5aa8", "7f7cc0", "c08aa8"), np.clip((rows - 310) / 90, 0, 1)), far)
    river = smoothstep(-1, 1, rows - 392)
    glint = np.exp(-(((columns - 610) / (30 + 0.35 * (rows - 392))) ** 2)) * (
        0.55 + 0.45 * np.sin(rows / 4 + 3 * drift)
    )
    water = mix(
        ramp(RIVER, np.clip((rows - 392) / 330 + 0.06 * drift, 0, 1)),
        hexes("ffe9a0")[0],
        np.clip(glint, 0, 1),
    )
    colours = mix(colours, water, river)
    bank = smoothstep(
        -3,
        3,
        rows - 815 + 0.33 * columns * (columns < 640) + 211 * (columns >= 640) + 9 * np.sin(columns / 40),
    )
    bank = np.maximum(bank, smoothstep(-3, 3, rows - 400 - 0.62 * (columns - 40) - 8 * np.sin(columns / 31)))
    grass = ramp(MEADOW, np.clip(0.45 + 0.22 * drift + 0.2 * np.sin(rows / 23 + columns / 70), 0, 1))
    colours = mix(colours, grass, bank)
    return _trees(colours, rows, columns, rng)


def _trees(colours: Floats, rows: Floats, columns: Floats, rng: np.random.Generator) -> Floats:
    """Paint trees on the bank, each of several sunlit masses of leaves."""
    for x, foot, tall in ((95, 520, 330), (255, 610, 250), (880, 640, 420), (745, 668, 190)):
        trunk = (
            (np.abs(columns - x - 6 * np.sin(rows / 50)) < tall * 0.028) & (rows < foot) & (rows > foot - tall * 0.7)
        )
        colours = np.where(trunk[..., None], hexes("5a2f4a")[0], colours)
        shade = smoothstep(1, 0.6, np.hypot((columns - x) / (0.55 * tall), (rows - foot) / (0.07 * tall)))
        colours = mix(colours, hexes("2b3f7a")[0], 0.75 * shade)
        for _ in range(34):
            around, away = rng.uniform(0, 6.28), 0.30 * tall * np.sqrt(rng.uniform())
            dx, dy = away * np.cos(around), away * np.sin(around)
            size = tall * rng.uniform(0.07, 0.13)
            across, down = (columns - x - dx) / size, (rows - foot + tall * 0.74 - dy) / size
            light = np.clip(0.45 + (0.30 if x < 610 else -0.30) * across - 0.30 * down, 0, 1)
            colours = mix(colours, ramp(CROWN, light), smoothstep(1.05, 0.85, np.hypot(across, down)))
    return colours


def _dot_colours(target: Floats, rng: np.random.Generator) -> Floats:
    """Make most dots vivid; three in ten take a pure pigment and one in ten the complement."""
    count = len(target)
    grey = target.mean(1, keepdims=True)
    vivid = grey + (target - grey) * rng.uniform(1.1, 1.9, (count, 1)) + rng.normal(0, 0.05, target.shape)
    complement = 1.15 * grey + (grey - target) * 0.9
    distance = np.linalg.norm(target[:, None] - PURE[None], axis=2)
    nearest = (distance + rng.gumbel(0, 0.09, distance.shape)).argmin(1)
    pure = PURE[nearest] * 0.75 + target * 0.25
    choice = rng.random((count, 1))
    return np.asarray(np.where(choice < 0.1, complement, np.where(choice < 0.4, pure, vivid)))


def paint_dots() -> Bytes:
    """Paint dots from large to small, then light their relief."""
    rng = np.random.default_rng(1886)
    colours = _scenery(rng)
    ground = mix(GROUND, blur(colours, 12), 0.45)
    canvas = np.dstack([to_bytes(ground), np.full((HEIGHT, WIDTH), 60, np.uint8)])
    for spacing, size in ((8.5, 5.2), (6.5, 3.9), (6.0, 2.8)):
        rows, columns = (axis.ravel() for axis in np.mgrid[0:HEIGHT:spacing, 0:WIDTH:spacing])
        spots = np.stack([columns, rows], 1) + rng.normal(0, spacing * 0.36, (len(rows), 2))
        spots = rng.permutation(spots).astype(np.float32)
        paints = np.clip(_dot_colours(look_up(colours, spots[:, 1:], spots[:, :1])[:, 0], rng), 0, 1) * 255
        radii = np.maximum(rng.normal(size, size * 0.16, len(spots)), 1.4)
        heights = rng.uniform(110, 235, len(spots))
        for spot, paint, radius, height in zip(spots, paints, radii, heights, strict=True):
            centre = (int(spot[0] * 16), int(spot[1] * 16))
            cv2.circle(canvas, centre, int(radius * 16), (*paint.tolist(), height), -1, cv2.LINE_AA, 4)
    relief = canvas[..., 3].astype(np.float32) / 255 + 0.05 * fractal((HEIGHT, WIDTH), rng, 6, 0.2)
    down, right = slopes(blur(relief, 1.0))
    return to_bytes(canvas[..., :3].astype(np.float32) / 255 * (1 - 0.75 * (down + right)[..., None]))
