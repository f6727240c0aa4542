"""The sky of the harbour: a warm gradient, cumulus clouds in perspective and hazy hills."""

from __future__ import annotations

import numpy as np

from guidedstyle.samples.canvas import Floats, blur, fractal, grid, look_up, mix, ramp, smoothstep
from guidedstyle.samples.render import HAZE, Camera, Layer

SUN_AZIMUTH, SUN_HEIGHT = -0.60, 0.25
GRADIENT = np.array(
    [[0.98, 0.74, 0.50], [0.74, 0.71, 0.63], [0.42, 0.57, 0.72], [0.22, 0.39, 0.64], [0.12, 0.25, 0.50]]
)
BASE, THICKNESS, SLICES, TEXEL = 1300.0, 900.0, 36, 34.0
SUNLIT, SHADED = np.array([1.75, 1.40, 1.02], np.float32), np.array([0.40, 0.43, 0.52], np.float32)


def to_sun() -> Floats:
    """Return the direction of the sun that makes the glitter and the glow."""
    flat = np.cos(SUN_HEIGHT)
    return np.array([flat * np.sin(SUN_AZIMUTH), np.sin(SUN_HEIGHT), flat * np.cos(SUN_AZIMUTH)], np.float32)


def _cloud_volume(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return density and the sunlight that reaches it, slice by slice from the bottom up."""
    noise = fractal((SLICES, 320, 320), rng, 64, 0.6)
    level = np.linspace(0, 1, SLICES, dtype=np.float32)[:, None, None]
    floor = 0.85 + 1.5 * level**1.1 + 6 * np.clip(0.07 - level, 0, None) / 0.07
    density = np.clip(noise - floor, 0, 1.2)
    depth = np.zeros_like(density)
    for k in reversed(range(SLICES - 1)):  # each is in the shade of the next, shifted towards the sun
        depth[k] = np.roll(depth[k + 1] * 0.97 + density[k + 1], (2, -2), (0, 1))
    return density, np.exp(-0.55 * depth)


def _clouds(elevation: Floats, azimuth: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Composite the slices from the nearest to the farthest; return their light and the remaining share of the sky."""
    near = np.stack(_cloud_volume(rng), -1)
    detail = fractal((512, 512), rng, 60, 0.35)
    light, clear = np.zeros((*elevation.shape, 3), np.float32), np.ones_like(elevation)
    step = THICKNESS / SLICES
    stretch = BASE / elevation**2 / 1000 / TEXEL  # texels from one row to the next
    far, fine = smoothstep(1.0, 7.0, stretch), np.exp(-np.square(stretch))
    dither = rng.random(elevation.shape, np.float32)  # hides the gaps between slices
    for k in range(SLICES):
        volume = np.dstack([near[k], blur(near[k], 0.6, 5.0)])
        distance = (BASE + (k + dither) * step) / elevation / TEXEL
        rows, columns = distance + 40, distance * azimuth + 150
        sample = look_up(volume, rows, columns, wrap=True)
        sample = mix(sample[..., :2], sample[..., 2:], far)
        fray = look_up(detail, rows * 6.3 + 9 * k, columns * 6.3 + 5 * k, wrap=True)
        density = np.clip(sample[..., 0] + 0.16 * fine * fray * (sample[..., 0] > 0.001) - 0.05, 0, None)
        opacity = 1 - np.exp(-density * np.minimum(step / elevation, 160) * 0.045)
        shade = SHADED * (0.85 + 0.5 * k / SLICES)
        colour = shade + SUNLIT * sample[..., 1:]
        air = np.exp(-distance * TEXEL / 26000)[..., None]
        light += (clear * opacity)[..., None] * mix(np.array([0.80, 0.70, 0.60]), colour, air)
        clear = clear * (1 - opacity)
    return blur(light, 0.9, 1.7), blur(clear, 0.9, 1.7)


def sky(camera: Camera, rows_above: int) -> Floats:
    """Paint the linear light of the sky in `rows` rows, of which the last touches the horizon."""
    rng = np.random.default_rng(29)
    rows, columns = grid(rows_above, camera.width)
    elevation = (rows_above - rows - 0.5) / camera.focal
    azimuth = (columns - camera.width / 2) / camera.focal
    rays = np.stack([azimuth, elevation, np.ones_like(rows)], -1)
    cosine = rays @ to_sun() / np.linalg.norm(rays, axis=2)
    blue = ramp(GRADIENT, np.clip(elevation / 0.62, 0, 1) ** 0.72)
    blue += np.exp((cosine - 1) * 12)[..., None] * np.array([0.62, 0.38, 0.15], np.float32)
    light, clear = _clouds(elevation + 0.004, azimuth, rng)
    veil = smoothstep(0.2, 2.6, fractal(blue.shape[:2], rng, 260, 0.9)) * smoothstep(0.02, 0.2, elevation)
    blue = mix(blue, np.array([0.95, 0.86, 0.76]), 0.35 * veil)
    return np.asarray(blue * clear[..., None] + light, np.float32)


def hills(camera: Camera, rows_above: int) -> Layer:
    """Paint ranges of distant hills; nearer ones have less haze."""
    rng = np.random.default_rng(8)
    rows, columns = grid(rows_above, camera.width)
    above = rows_above - rows
    light, cover = np.zeros((*rows.shape, 3), np.float32), np.zeros_like(rows)
    for tallest, rough, air, start in ((84, 9, 0.80, 330), (58, 6, 0.66, 120), (36, 4, 0.48, 420)):
        crest = fractal((4096,), rng, 420, 1.5)[: camera.width] * 0.22 + 0.85
        ridge = crest * tallest * smoothstep(start - 190, start + 330, columns[0])
        ridge += fractal((4096,), rng, 60, 0.5)[: camera.width] * rough * 0.2 * smoothstep(0, 12, ridge)
        edge = np.clip(ridge - above + 0.5, 0, 1)
        relief = fractal(rows.shape, rng, 60, 0.75)
        lit = np.clip(0.5 + 1.6 * (np.roll(relief, -3, 1) - relief), 0, 1.4)
        woods = mix(np.array([0.05, 0.075, 0.05]), np.array([0.34, 0.26, 0.14]), lit * 0.7)
        tint = mix(woods, HAZE * np.array([0.72, 0.82, 1.0]), air + 0.15 * np.exp(-above / 14))
        light, cover = mix(light, tint, edge), cover + edge * (1 - cover)
    return Layer(blur(light, 0.6), cover)
