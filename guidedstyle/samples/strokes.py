"""An expressionist oil painting: thick brush strokes along a sky of vortices over a field of wheat."""

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
NIGHT = hexes("101c4a", "1b3a86", "2456a8", "163070", "3f7fc0", "8fbfd2", "2c5fa8", "cfdcc0", "1d4590")
SUN = hexes("fff0a0", "ffd23c", "f5a81e", "f3cf55", "b9c98a", "6fa3b8")
WHEAT = hexes("6e4a12", "b5791a", "e0a526", "f4cc4a", "c98c1c", "fbe58a", "8f8a2c", "e8b430")
HILL = hexes("0f2c3e", "1d5a5a", "2f7d62", "174468", "5d9c6b", "12354f")
WHIRLS = (  # column, row, radius, turn, light
    (205, 245, 150, 1.0, 0.95),
    (560, 330, 118, -0.9, 0.45),
    (800, 150, 135, 1.0, 0.75),
    (410, 95, 70, -0.8, 0.62),
    (905, 365, 62, 0.8, 0.70),
)
FIELDS = ((505, HILL, 46, 0.35), (560, HILL[::-1], 30, -0.25), (598, WHEAT, 22, -1.15))  # row .. lean
LAYERS = (
    (30, 22, 26, 1.00),
    (17, 15, 20, 1.00),
    (10, 10, 14, 0.75),
    (6, 6, 10, 0.45),
)  # spacing, width, steps, share


def _sky(rows: Floats, columns: Floats, swell: Floats) -> tuple[Floats, Floats]:
    """Return the colours of a night sky with vortices, and the flow (across, down) of the brush."""
    flow = np.stack([1.0 + 0.5 * swell, 0.5 * np.sin(columns / 130 + 1.2 * swell)])
    glow, rings = np.zeros_like(rows), np.zeros_like(rows)
    for column, row, radius, turn, light in WHIRLS:
        dx, dy = columns - column, rows - row
        distance = np.hypot(dx, dy) / radius
        pull = 6.5 * turn / radius * np.exp(-0.64 * distance**2)
        flow += pull * np.stack([-dy, dx]) - 0.25 * abs(pull) * np.stack([dx, dy])
        glow = np.maximum(glow, np.clip(1.12 - distance / light, 0, 1))
        rings += np.exp(-0.35 * distance**2) * np.sin(9 * distance + 0.7 * swell)
    night = ramp(NIGHT, np.clip(0.5 + 0.33 * np.sin(rows / 34 + 2.4 * swell) + 0.33 * rings, 0, 1))
    return mix(night, ramp(SUN, 1 - np.clip(glow, 0, 1)), smoothstep(0.08, 0.42, glow + 0.05 * swell)), flow


def _landscape(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the colours to paint and the direction of the brush (angle) everywhere."""
    rows, columns = grid(HEIGHT, WIDTH)
    swell = fractal((HEIGHT, WIDTH), rng, 500, 1.6)
    colours, flow = _sky(rows, columns, swell)
    for level, palette, wave, lean in FIELDS:
        ridge = level - wave * np.sin(columns / 150 + level) - 0.4 * wave * np.sin(columns / 61 + 2 * level)
        inside = smoothstep(-2, 2, rows - ridge)
        furrows = np.clip(0.5 + 0.4 * np.sin((rows - ridge) / 16 + 2 * swell) + 0.2 * swell, 0, 1)
        colours = mix(colours, ramp(palette, furrows), inside)
        fan = 0.9 * abs(lean) * (columns / WIDTH - 0.5)
        bend = lean + fan + 0.5 * np.sin(columns / 110 + rows / 90 + swell)
        flow = flow * (1 - inside) + np.stack([np.cos(bend), np.sin(bend)]) * inside
    return colours, np.arctan2(flow[1], flow[0])


def _trace(angle: Floats, starts: Floats, steps: int, stride: float) -> Floats:
    """Follow the flow from every start: positions (N, steps, 2) as (column, row)."""
    path = [starts]
    for _ in range(steps - 1):
        turn = look_up(angle, path[-1][:, 1:], path[-1][:, :1])
        path.append(path[-1] + stride * np.hstack([np.cos(turn), np.sin(turn)]))
    return np.stack(path, 1)


def _draw_stroke(
    canvas: Bytes, path: Floats, width: int, colour: Floats, lift: float, rng: np.random.Generator
) -> None:
    """Drag a brush along a path; every bristle leaves its own ridge of slightly different paint."""
    ahead = np.gradient(path, axis=0)
    across = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / (np.linalg.norm(ahead, axis=1)[:, None] + 1e-6)
    count = max(width // 2, 3)
    offsets = np.linspace(-0.5, 0.5, count)
    tints = colour + rng.normal(0, 0.035, (count, 1)) + rng.normal(0, 0.012, (count, 3))
    ridges = np.clip(lift + 70 * np.sqrt(1.02 - (2 * offsets) ** 2) + rng.normal(0, 20, count), 0, 255)
    heads, tails = rng.integers(0, 3, count), len(path) - rng.integers(0, max(len(path) // 3, 2), count)
    for k in rng.permutation(count):
        points = path[heads[k] : tails[k]] + across[heads[k] : tails[k]] * offsets[k] * width
        paint = (*(np.clip(tints[k], 0, 1) * 255).tolist(), float(ridges[k]))
        cv2.polylines(canvas, [np.rint(points * 16).astype(np.int32)], False, paint, 3, cv2.LINE_AA, 4)


def _light(canvas: Bytes, rng: np.random.Generator) -> Floats:
    """Light the ridges of paint from the upper left."""
    height = canvas[..., 3].astype(np.float32) / 255 + 0.02 * fractal((HEIGHT, WIDTH), rng, 6, 0.2)
    down, right = slopes(blur(height, 0.8))
    facing = -(down + right)
    shaded = canvas[..., :3].astype(np.float32) / 255 * (1 + 1.9 * facing[..., None])
    return np.asarray(shaded + 1.3 * np.clip(facing - 0.07, 0, 0.3)[..., None], np.float32)


def paint_strokes() -> Bytes:
    """Paint from coarse strokes to fine ones."""
    rng = np.random.default_rng(1889)
    colours, angle = _landscape(rng)
    canvas = np.dstack([to_bytes(0.6 * colours), np.zeros((HEIGHT, WIDTH), np.uint8)])
    for depth, (spacing, width, steps, share) in enumerate(LAYERS):
        rows, columns = (axis.ravel() for axis in np.mgrid[-10 : HEIGHT + 10 : spacing, -10 : WIDTH + 10 : spacing])
        starts = np.stack([columns, rows], 1) + rng.normal(0, spacing * 0.4, (len(rows), 2))
        starts = rng.permutation(starts[rng.random(len(starts)) < share]).astype(np.float32)
        middles = _trace(angle, starts, steps // 2, 4)[:, -1]
        tints = look_up(colours, middles[:, 1:], middles[:, :1])[:, 0]
        tints = tints + rng.normal(0, 0.05, (len(tints), 1)) + rng.normal(0, 0.03, tints.shape)
        for path, tint in zip(_trace(angle, starts, steps, 4), tints, strict=True):
            _draw_stroke(canvas, path, width, tint, 60 + 25 * depth + rng.normal(0, 15), rng)
    return to_bytes(_light(canvas, rng))
