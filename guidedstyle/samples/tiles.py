"""A mosaic: a medallion of glazed tesserae set in a floor of plain terracotta."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.samples.canvas import (
    Bytes,
    Floats,
    Ints,
    blur,
    fractal,
    grid,
    hexes,
    mix,
    slopes,
    smoothstep,
    to_bytes,
)

Mask = NDArray[np.bool_]
SIZE, CENTRE, RADIUS, PETALS = 768, 384.0, 345.0, 9
GLAZES = [
    hexes("f6c544", "ef9f2d", "fbe08a", "e8752b"),  # the heart
    hexes("0f8f95", "14b3ab", "5fd0bf", "0b6f86"),  # petals
    hexes("7d1f6a", "b02a72", "d4568c", "5a1a66"),  # between the petals
    hexes("14348c", "1f55b8", "0f2468", "3d86d6"),  # the ground of the outer ring
    hexes("e9efe0", "f7e9c0", "cfe6dc", "f3f3ea"),  # lines
]
GROUT = np.array([0.105, 0.09, 0.085])
CLAY = hexes("a9593a", "b76845", "9a4e33", "c07a55", "8f4a34")


def _seeds(rng: np.random.Generator) -> Floats:
    """Place the tesserae in rings inside the medallion and in curved rows outside: positions (N, 2)."""
    places = [np.array([[CENTRE, CENTRE]])]
    for radius in np.arange(15, RADIUS - 4, 15.5):
        count = int(2 * np.pi * radius / rng.uniform(14, 19))
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 6)
        places += [CENTRE + radius * np.stack([np.sin(turn), np.cos(turn)], 1)]
    rows, columns = (axis.ravel() for axis in np.mgrid[-20 : SIZE + 20 : 23.0, -20 : SIZE + 20 : 27.0])
    columns = columns + 13 * (np.arange(len(rows)) // len(np.unique(columns)) % 2)
    floor = np.stack([rows + 10 * np.sin(columns / 90), columns + 10 * np.sin(rows / 110)], 1)
    outside = np.hypot(*(floor - CENTRE).T) > RADIUS + 24
    edge = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    rim = CENTRE + (RADIUS + 11) * np.stack([np.sin(edge), np.cos(edge)], 1)
    seeds = np.concatenate([*places, rim, floor[outside]])
    return np.asarray(seeds + rng.normal(0, 1.7, seeds.shape))


def _cells(seeds: Floats) -> tuple[Ints, Floats]:
    """Return the number of the tessera at each pixel and the distance to its edge."""
    margin = 24
    free = np.full((SIZE + 2 * margin,) * 2, 255, np.uint8)
    spots = np.clip(np.rint(seeds) + margin, 0, len(free) - 1).astype(int)
    free[spots[:, 0], spots[:, 1]] = 0
    _, labels = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inner = labels[margin:-margin, margin:-margin]
    same = np.ones(inner.shape, np.uint8)
    same[1:] &= inner[1:] == inner[:-1]
    same[:, 1:] &= inner[:, 1:] == inner[:, :-1]
    distance = cv2.distanceTransform(same, cv2.DIST_L2, 5)
    return np.asarray(inner, np.int32), np.asarray(distance, np.float32)


def _glaze_of(away: Floats, turn: Floats) -> Ints:
    """Return the glaze of the design at each distance and angle from the centre."""
    petal = 196 + 80 * np.abs(np.cos(turn * PETALS / 2)) ** 0.8
    heart = 95 + 55 * np.abs(np.sin(turn * PETALS / 2)) ** 0.8
    rays = (away > 292) & (away < 322) & (np.sin(turn * 4 * PETALS) > 0)
    borders: list[float | Floats] = [52, 68, heart - 19, heart, petal - 21, petal]
    rules = [*(away < border for border in borders), away > 330, rays]
    return np.select(rules, [0, 4, 2, 0, 1, 4, 4, 0], default=3).astype(np.int32)


def _means(labels: Ints, values: Floats) -> Floats:
    """Average the values over each tessera."""
    flat = labels.ravel()
    return np.asarray(np.bincount(flat, values.ravel()) / np.maximum(np.bincount(flat), 1), np.float32)


def paint_tiles() -> tuple[Bytes, Bytes]:
    """Return the mosaic and the mask of its glazed part."""
    rng = np.random.default_rng(532)
    labels, distance = _cells(_seeds(rng))
    rows, columns = grid(SIZE, SIZE)
    middle = np.stack([_means(labels, rows), _means(labels, columns)], 1)
    down, across = (middle - CENTRE).T
    away, count = np.hypot(down, across), len(middle)
    glaze = np.array(GLAZES)[_glaze_of(away, np.arctan2(down, across)), rng.integers(0, 4, count)]
    clay = CLAY[rng.integers(0, len(CLAY), count)]
    glazed = away < RADIUS + 3
    tints = np.where(glazed[:, None], glaze, clay) * rng.normal(1, 0.09, (count, 1))
    lean = rng.normal(0, 0.022, (2, count))
    tilt = lean[0][labels] * (rows - middle[labels, 0]) + lean[1][labels] * (columns - middle[labels, 1])
    image = _fire(tints[labels], glazed[labels], distance, tilt, rng)
    return to_bytes(image), to_bytes(blur(glazed[labels].astype(np.float32), 1.0))


def _fire(tints: Floats, glazed: Mask, distance: Floats, tilt: Floats, rng: np.random.Generator) -> Floats:
    """Add depth and shine to the glaze, pores to the clay, and grout between them."""
    stains, speckle = fractal((SIZE, SIZE), rng, 200, 0.6), fractal((SIZE, SIZE), rng, 7, 0.1)
    vivid = 0.72 + 0.34 * smoothstep(1, 8, distance) + 0.035 * stains + 0.02 * speckle
    matt = 0.92 + 0.07 * stains + 0.10 * speckle
    cushion = blur(np.sqrt(np.clip(distance - 1.2, 0, 6)), 0.9)
    down, right = slopes(cushion + tilt + np.where(glazed, 0.02, 0.09) * speckle)
    facing = -(down + right)
    lit = np.where(glazed, vivid * (1 + 0.55 * facing), matt * (1 + 0.75 * facing))
    shine = np.where(glazed, 1.5 * np.clip(facing - 0.12, 0, 0.5) ** 1.3, 0)
    grout = GROUT * (1 + 0.22 * speckle + 0.1 * stains)[..., None]
    return mix(grout, tints * lit[..., None] + shine[..., None], smoothstep(0.9, 2.4, blur(distance, 0.5)))
