"""A pen drawing: mountains and trees around a lake, cross-hatched in brown-black ink on warm paper."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from guidedstyle.samples.canvas import (
    Bytes,
    Floats,
    blur,
    fractal,
    grid,
    hexes,
    look_up,
    mix,
    resize,
    slopes,
    smoothstep,
    to_bytes,
)

HEIGHT, WIDTH, SCALE = 768, 960, 2
PAPER, INK = hexes("f0e4cb")[0], hexes("2a1d16")[0]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
EVERYWHERE = (slice(0, HEIGHT), slice(0, WIDTH))
RANGES = (
    (190, 75, 0.50, 0.10),
    (300, 62, 0.72, 0.25),
    (420, 34, 0.95, 0.40),
)  # row, roughness, contrast, depth of tone
SHORE, BANK = 486, 660
Hatch = tuple[float, float, float, float]  # turn, threshold, spacing, length
HATCHES: tuple[Hatch, ...] = (
    (0.0, 0.04, 5.4, 50),
    (0.0, 0.36, 5.6, 40),
    (0.85, 0.40, 5.2, 32),
    (-0.75, 0.60, 4.8, 26),
    (1.55, 0.82, 4.2, 18),
)


class Drawing:
    """The tone (0..1) and hatching direction the pen should follow, and the outlines drawn so far."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.dark, self.angle = np.zeros((2, HEIGHT, WIDTH), np.float32)
        self.lines = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)

    def put(self, inside: Mask, dark: Floats, angle: Floats, window: Window = EVERYWHERE) -> None:
        """Cover a part with its own tone and direction; outlines behind it disappear."""
        for mine, new in ((self.dark, dark), (self.angle, angle)):
            mine[window] = np.where(inside, new, mine[window])
        rows, columns = (slice(side.start * SCALE, side.stop * SCALE) for side in window)
        self.lines[rows, columns][np.kron(inside, np.ones((SCALE, SCALE), bool))] = 0

    def outline(self, columns: Floats, rows: Floats, width: int = 2) -> None:
        """Draw a curve twice with small deviations and gaps."""
        for _ in range(2):
            shaky = np.stack([columns, rows], 1) + blur(
                self.rng.normal(0, 2.2, (len(rows), 2)).astype(np.float32), 0.1, 3.0
            )
            points = np.rint(shaky * SCALE * 16).astype(np.int32)
            for start in range(0, len(points) - 4, 24):
                piece = points[start : start + self.rng.integers(14, 27)]
                cv2.polylines(self.lines, [piece], False, (255,), width, cv2.LINE_AA, 4)


def _sky(drawing: Drawing, rng: np.random.Generator) -> None:
    rows, _ = grid(HEIGHT, WIDTH)
    cloud = fractal((HEIGHT, WIDTH), rng, 330, 1.1)
    swell = fractal((HEIGHT, WIDTH), rng, 500, 1.6)
    down, right = slopes(blur(cloud, 5))
    billows = 0.26 * smoothstep(0.4, 2.2, (right + down) / down.std())
    drawing.put(rows >= 0, np.where(cloud > 0.25, billows, 0.50 - rows / 760), 0.10 * swell - 0.08)


def _mountains(drawing: Drawing, rng: np.random.Generator) -> None:
    rows, columns = grid(HEIGHT, WIDTH)
    for level, rough, contrast, depth in RANGES:
        crest = level - rough * fractal((2048,), rng, 480, 1.3)[:WIDTH] - 5 * fractal((2048,), rng, 50, 0.8)[:WIDTH]
        relief = 1 - np.abs(fractal((HEIGHT, WIDTH), rng, 210, 1.25))
        down, right = slopes(blur(relief, 2.5))
        lit = (right - 0.3 * down) / right.std()
        mist = np.exp(-np.clip(rows - crest, 0, None) / 120)
        tone = np.clip(depth + contrast * (0.12 + 0.26 * lit) * (0.35 + 0.65 * mist), 0.02, 0.95)
        drawing.put(rows > crest, tone, np.where(lit > 0, 1.15, 2.2) + 0.25 * blur(relief, 12))
        drawing.outline(columns[0], crest)


def _lake(drawing: Drawing, rng: np.random.Generator) -> None:
    rows, columns = grid(HEIGHT, WIDTH)
    swell = fractal((HEIGHT, WIDTH), rng, 420, 1.4)
    mirrored = look_up(blur(drawing.dark, 14, 5), 2 * SHORE - rows, columns + 5 * np.sin(rows / 2.3))
    glitter = 0.18 * np.sin(rows / 4.2 + 2 * swell) * np.sin(columns / 60 + 4 * swell)
    dark = np.clip(0.75 * mirrored + glitter + 0.0009 * (rows - SHORE), 0, 0.66)
    drawing.put(rows > SHORE, dark, 0.03 * swell)
    drawing.outline(columns[0], np.full_like(columns[0], SHORE))


def _tuft(drawing: Drawing, column: float, row: float, size: float, shade: float) -> None:
    """Draw one ragged ball of leaves, hatched in arcs around a point beyond its lit side."""
    top, left = max(int(row - 1.4 * size), 0), max(int(column - 1.4 * size), 0)
    bottom, right = min(int(row + 1.4 * size), HEIGHT), min(int(column + 1.4 * size), WIDTH)
    if bottom <= top or right <= left:
        return
    rows, columns = grid(bottom - top, right - left)
    across, down = (columns + left - column) / size, (rows + top - row) / size
    turn = np.arctan2(down, across)
    frill = 1 + 0.08 * np.sin(9 * turn + column) + 0.06 * np.sin(17 * turn + row)
    tone = np.clip(shade + 0.34 * across + 0.36 * down, 0.0, 0.96)
    arcs = np.arctan2(down + 1.1, across + 0.9) + 1.57
    drawing.put(np.hypot(across, down) < frill, tone, arcs, (slice(top, bottom), slice(left, right)))
    angles = np.linspace(2.4, 5.6, 40, dtype=np.float32)
    rim = size * (1 + 0.08 * np.sin(9 * angles + column) + 0.06 * np.sin(17 * angles + row))
    drawing.outline(column + rim * np.cos(angles), row + rim * np.sin(angles), 1)


def _tree(drawing: Drawing, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    """Draw a trunk and a crown of tufts, lit from the upper left, the lowest first."""
    rows, columns = grid(HEIGHT, WIDTH)
    width = tall * 0.03 * (1 + 2 * np.exp((rows - foot) / 12))
    trunk = (np.abs(columns - x - 3 * np.sin(rows / 19)) < width) & (rows < foot) & (rows > foot - 0.6 * tall)
    drawing.put(trunk, np.clip(0.72 + 0.25 * (columns - x) / width, 0.3, 1), np.full_like(rows, 1.5))
    count = 18 if tall < 120 else 42
    around, away = rng.uniform(0, 6.28, count), np.sqrt(rng.uniform(0, 1, count))
    across, down = away * np.cos(around), away * np.sin(around)
    for k in np.argsort(-down):
        size = tall * rng.uniform(0.55, 0.9) / count**0.5
        place = x + 0.30 * tall * across[k], foot - 0.66 * tall + 0.28 * tall * down[k]
        _tuft(drawing, *place, size, 0.42 + 0.16 * across[k] + 0.14 * down[k])


def _bank(drawing: Drawing, rng: np.random.Generator) -> None:
    rows, columns = grid(HEIGHT, WIDTH)
    crest = BANK + 34 * np.sin(columns[0] / 170 + 2.4) + 5 * fractal((2048,), rng, 60, 0.8)[:WIDTH]
    clumps = fractal((HEIGHT, WIDTH), rng, 70, 1.0)
    tone = np.clip(0.42 + 0.26 * clumps + 0.0015 * (rows - BANK), 0.05, 1)
    drawing.put(rows > crest, tone, -1.35 + 0.3 * clumps + 0.2 * np.sin(columns / 60))
    drawing.outline(columns[0], crest)


def _compose(rng: np.random.Generator) -> Drawing:
    drawing = Drawing(rng)
    _sky(drawing, rng)
    _mountains(drawing, rng)
    for x in (30, 75, 120, 160, 205, 250, 600, 650, 700, 735, 790, 840, 890, 935):
        _tree(drawing, x + rng.normal(0, 8), SHORE + 1, rng.uniform(50, 100), rng)
    _lake(drawing, rng)
    _bank(drawing, rng)
    for x, foot, tall in ((95, 690, 360), (235, 720, 190), (850, 735, 290)):
        _tree(drawing, x, foot, tall, rng)
    return drawing


def _lines(drawing: Drawing, hatch: Hatch, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Trace irregular lines along the hatching: positions (N, points, 2), and how dark each is."""
    turn, threshold, spacing, length = hatch
    rows, columns = (a.ravel() for a in np.mgrid[-10 : HEIGHT + 10 : spacing, -10 : WIDTH + 10 : spacing])
    places = np.stack([columns, rows], 1) + rng.uniform(-0.5, 0.5, (len(rows), 2)) * spacing
    places = places[rng.random(len(places)) < 2.1 * spacing / length].astype(np.float32)
    path, tones, bend = [places], [], rng.normal(0, 0.05, (len(places), 1))
    for _ in range(12):
        here = path[-1][:, 1:], path[-1][:, :1]
        tones.append(look_up(drawing.dark, *here)[:, 0])
        heading = look_up(drawing.angle, *here) + turn + bend + rng.normal(0, 0.05, bend.shape)
        path.append(path[-1] + length / 12 * np.hstack([np.cos(heading), np.sin(heading)]))
    excess = np.stack(tones, 1) - threshold + rng.normal(0, 0.03, (len(places), 1))
    return np.stack(path[:-1], 1).astype(np.float32), excess.astype(np.float32)


def _hatch(plate: Bytes, drawing: Drawing, hatch: Hatch, rng: np.random.Generator) -> None:
    """Draw each line as far as the tone is dark enough, thicker in darker tones."""
    lines, excess = _lines(drawing, hatch, rng)
    points = np.rint(lines * SCALE * 16).astype(np.int32)
    ends = np.where((excess <= 0).any(1), (excess <= 0).argmax(1), points.shape[1])
    for line, end, weight in zip(points, ends, excess.mean(1), strict=True):
        if end > 2:
            width = 1 + int(weight > 0.15) + int(weight > 0.42)
            cv2.polylines(plate, [line[:end]], False, (255,), 1, cv2.LINE_AA, 4)
            cv2.polylines(plate, [line[1 : end - 1]], False, (255,), width, cv2.LINE_AA, 4)


def paint_ink() -> Bytes:
    """Hatch in several directions, each for darker tones than the last."""
    rng = np.random.default_rng(1650)
    drawing = _compose(rng)
    plate = drawing.lines
    for hatch in HATCHES:
        _hatch(plate, drawing, hatch, rng)
    fibres, stains = fractal((HEIGHT, WIDTH), rng, 5, 0.1), fractal((HEIGHT, WIDTH), rng, 400, 0.8)
    paper = PAPER * (1 + 0.008 * fibres + 0.022 * stains)[..., None]
    ink = blur(resize(plate.astype(np.float32) / 255, HEIGHT, WIDTH), 0.5)
    return to_bytes(mix(paper, INK, np.clip(ink * (0.94 + 0.05 * stains + 0.05 * fibres), 0, 1)))
