"""A watercolour: misty hills and their lake in wet washes of teal, rose and ochre."""

from __future__ import annotations

import numpy as np

from guidedstyle.samples.canvas import (
    Bytes,
    Floats,
    blur,
    fractal,
    grid,
    hexes,
    look_up,
    slopes,
    smoothstep,
    to_bytes,
)

HEIGHT, WIDTH, SHORE = 768, 960, 470
PAPER = hexes("fcf8ee")[0]
TEAL, DEEP, ROSE, OCHRE, PLUM = hexes("3fa5a4", "1b6273", "e58a94", "ecb659", "7d5a82")


def _stirred(first: Floats, second: Floats) -> Floats:
    """Mix two pigments."""
    return np.asarray(np.sqrt(first * second), np.float32)


class Sheet:
    """Wet paper: every wash absorbs light according to its pigment."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows, self.columns = grid(HEIGHT, WIDTH)
        self.tooth = self.noise(8, 0.3)
        self.flow = self.noise(230, 1.3)
        self.absorbed = np.zeros((HEIGHT, WIDTH, 3), np.float32)

    def noise(self, coarsest: float, roughness: float) -> Floats:
        """Return noise of the sheet's size."""
        return fractal((HEIGHT, WIDTH), self.rng, coarsest, roughness, 0.8)

    def wash(self, area: Floats, pigment: Floats, strength: float, rim: float = 0.4) -> None:
        """Paint a wash; pigment collects at its rim, in the hollows of the paper and along the flow of water."""
        edge = np.clip(area - blur(area, 7), 0, 1) + 1.6 * np.clip(area - blur(area, 1.6), 0, 1)
        pool = 1 + 0.28 * np.roll(self.flow, self.rng.integers(0, 768, 2), (0, 1))
        grains = 1 - 0.10 * self.tooth + 0.16 * np.clip(-self.tooth - 0.7, 0, 2)
        load = area * strength * (np.clip(pool, 0.25, 2) * grains + rim * 2.2 * edge)
        self.absorbed += load[..., None] * -np.log(pigment * 0.96 + 0.02)

    def bloom(self, row: float, column: float, radius: float) -> None:
        """Drop clear water into a wet wash: it pushes the pigment into a ragged ring."""
        down, across = self.rows - row, self.columns - column
        frill = 0.06 * np.roll(self.flow, int(7 * radius), 1) + 0.05 * self.noise(38, 0.9)
        distance = np.hypot(down, across) / (radius * (1 + frill))
        inside = 1 - smoothstep(0.55, 1.0, distance)
        ring = np.exp(-(((distance - 0.99) / 0.05) ** 2)) * (distance < 1.02)
        self.absorbed *= (1 - 0.50 * smoothstep(0, 0.4, inside) + 0.42 * ring)[..., None]

    def splash(self) -> None:
        """Add a drop of paint."""
        place = np.hypot(self.rows - self.rng.uniform(0, HEIGHT), self.columns - self.rng.uniform(0, WIDTH))
        radius = self.rng.gamma(2, 1.3)
        pigment = [TEAL, ROSE, OCHRE, DEEP][self.rng.integers(4)]
        self.absorbed += (0.5 * smoothstep(radius + 0.7, radius - 0.7, place))[..., None] * -np.log(pigment)

    def dry(self) -> Bytes:
        """Return the finished sheet, lit from the side."""
        down, right = slopes(self.tooth)
        return to_bytes(PAPER * np.exp(-self.absorbed) * (1 - 0.028 * (down + right))[..., None])


def _paint_sky(sheet: Sheet) -> None:
    """Blend three bands of colour around clouds and a sun left white."""
    sun = np.hypot(sheet.rows - 205, sheet.columns - 630)
    halo = smoothstep(30, 150, sun)
    for pigment, level, spread, strength in (
        (OCHRE, 330, 150, 0.75),
        (ROSE, 215, 95, 0.6),
        (_stirred(ROSE, PLUM), 120, 70, 0.5),
        (TEAL, 0, 125, 0.95),
    ):
        band = np.exp(-(((sheet.rows + 38 * sheet.noise(400, 1.3) - level) / spread) ** 2))
        cloud = smoothstep(-1.0, -0.3, sheet.noise(300, 1.0))
        sheet.wash(np.asarray(band * cloud * (0.25 + 0.75 * halo), np.float32), pigment, strength, 0.5)
    sheet.wash(smoothstep(43, 41, sun + 1.5 * sheet.flow), _stirred(OCHRE, ROSE), 0.65, 1.0)


def _paint_hills(sheet: Sheet) -> None:
    """Paint ranges of hills that fade into mist below their crests, and their reflections in the lake."""
    for level, rough, depth, pigment, strength in (
        (335, 46, 70, _stirred(ROSE, TEAL), 0.55),
        (380, 40, 60, TEAL, 0.6),
        (415, 28, 50, _stirred(PLUM, TEAL), 0.8),
        (452, 13, 30, DEEP, 1.0),
    ):
        crest = level - rough * fractal((2048,), sheet.rng, 430, 1.6)[:WIDTH]
        crest -= 2.2 * fractal((2048,), sheet.rng, 26, 0.7)[:WIDTH]
        below = sheet.rows - crest
        hill = smoothstep(-0.8, 0.8, below) * (0.22 + 0.78 * np.exp(-np.clip(below, 0, None) / depth))
        hill = np.asarray(hill * smoothstep(SHORE + 1.5, SHORE - 1.5, sheet.rows + 1.5 * sheet.flow), np.float32)
        sheet.wash(hill, pigment, strength)
        waver = sheet.columns + 7 * sheet.noise(60, 0.9)
        mirrored = look_up(hill, 2 * SHORE - sheet.rows + 5 * sheet.flow, waver) * (sheet.rows > SHORE + 4)
        sheet.wash(blur(np.asarray(mirrored, np.float32), 3, 1), pigment, 0.6 * strength)


def _paint_lake(sheet: Sheet) -> None:
    """Draw streaks of the sky's colours sideways across the water."""
    lake = smoothstep(SHORE + 2, SHORE + 6, sheet.rows)
    sheet.wash(np.asarray(lake * (0.25 + 0.75 * smoothstep(SHORE, HEIGHT, sheet.rows)), np.float32), TEAL, 0.6, 0.2)
    for pigment, cut, strength in ((ROSE, 0.3, 0.5), (OCHRE, 0.8, 0.55), (DEEP, 0.9, 0.7), (PLUM, 1.4, 0.55)):
        noise = fractal((1024, 256), sheet.rng, 70, 1.1)
        streaks = look_up(noise, sheet.rows * 1.3 + 3 * sheet.flow, sheet.columns / 7, wrap=True)
        sheet.wash(np.asarray(lake * smoothstep(cut, cut + 0.16, streaks), np.float32), pigment, strength)


def _paint_reeds(sheet: Sheet) -> None:
    """Paint a dark bank and leaning reeds in the foreground."""
    crest = 716 + 26 * np.sin(sheet.columns / 190 + 1) - 6 * sheet.flow
    sheet.wash(smoothstep(-2, 2, sheet.rows - crest), _stirred(DEEP, OCHRE), 0.9, 0.5)
    reeds = np.zeros_like(sheet.rows)
    for foot in np.concatenate([sheet.rng.normal(150, 75, 34), sheet.rng.normal(840, 60, 22)]):
        tall, lean = sheet.rng.uniform(60, 190), sheet.rng.normal(0.0, 0.22)
        up = np.clip((738 - sheet.rows) / tall, 0, 1)
        off = np.abs(sheet.columns - foot - lean * tall * up**1.8)
        reeds = np.maximum(reeds, smoothstep(3.4, 1.8, off / (1.05 - up)) * (up > 0) * (up < 1))
    sheet.wash(np.asarray(reeds, np.float32), _stirred(DEEP, PLUM), 0.85, 0.5)


def paint_watercolour() -> Bytes:
    """Paint from the sky down to the water, then add blooms and drops."""
    sheet = Sheet(np.random.default_rng(1840))
    _paint_sky(sheet)
    _paint_hills(sheet)
    _paint_lake(sheet)
    for row, column, radius in (
        (95, 170, 88),
        (150, 850, 70),
        (600, 560, 80),
        (660, 330, 52),
        (300, 400, 46),
        (560, 880, 60),
    ):
        sheet.bloom(row, column, radius)
    _paint_reeds(sheet)
    for _ in range(45):
        sheet.splash()
    return sheet.dry()
