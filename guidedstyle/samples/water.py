"""The harbour's water: small waves that reflect the scene above."""

from __future__ import annotations

import numpy as np

from guidedstyle.samples.canvas import Floats, blur, fractal, grid, look_up, mix
from guidedstyle.samples.render import Camera, Layer
from guidedstyle.samples.sky import to_sun

BODY = np.array([0.018, 0.075, 0.085], np.float32)
GLITTER = np.array([1.0, 0.74, 0.42], np.float32)
WAVES, STEEPNESS, LONGEST, SHORTEST = 90, 0.052, 7.0, 0.16
SAMPLES = 5
PARALLAX = 0.30  # the boat is near its reflection, so waves displace it less than the sky's


def _slopes(camera: Camera, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return the slopes of the water across and away, and the roughness too small to be seen."""
    rows, columns = grid(camera.height - int(camera.horizon), camera.width)
    away = camera.eye * camera.focal / (rows + 0.7)
    across = (columns - camera.width / 2) * away / camera.focal
    footprint = away * away / (camera.eye * camera.focal)  # depth covered by one pixel, metres
    gust = 0.75 + 0.25 * look_up(fractal((512, 512), rng, 60, 0.8), away * 1.3, across * 2.2, wrap=True)
    slope_x, slope_z, hidden = np.zeros_like(rows), np.zeros_like(rows), np.zeros_like(rows)
    share = STEEPNESS * np.sqrt(2 / WAVES)
    for length in np.geomspace(LONGEST, SHORTEST, WAVES):
        wind, phase = rng.normal(0.9, 0.65), rng.uniform(0, 6.28)
        k = 2 * np.pi / length
        kx, kz = k * np.sin(wind), k * np.cos(wind)
        seen = np.exp(-0.5 * ((kz * footprint) ** 2 + (kx * away / camera.focal) ** 2) * 0.16)
        wave = np.cos(kx * across + kz * away + phase) * seen * share
        slope_x += wave * np.sin(wind)
        slope_z += wave * np.cos(wind)
        hidden += share**2 / 2 * (1 - seen**2)
    return slope_x * gust, slope_z * gust, np.sqrt(hidden) * gust


def _mirror(ray: Floats, tilt_x: Floats, tilt_z: Floats) -> tuple[Floats, Floats]:
    """Reflect rays at tilted water; return their directions and the cosines of incidence."""
    normal = np.stack([-tilt_x, np.ones_like(tilt_x), -tilt_z], -1)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    cosine = np.minimum(np.einsum("ijk,ijk->ij", ray, normal), -0.01)
    return ray - 2 * cosine[..., None] * normal, -cosine


def water(camera: Camera, mirrored: Floats, boat: Layer) -> Floats:
    """Paint the water below the horizon; `mirrored` and `boat` are the reflections in calm water."""
    rng = np.random.default_rng(41)
    slope_x, slope_z, hidden = _slopes(camera, rng)
    rows, columns = grid(*slope_x.shape)
    centre, focal = camera.width / 2, camera.focal
    ray = np.stack([(columns - centre) / focal, -(rows + 0.7) / focal, np.ones_like(rows)], -1)
    ray /= np.linalg.norm(ray, axis=2, keepdims=True)
    hull = np.dstack([boat.light, boat.cover])
    light = np.zeros_like(ray)
    for _ in range(SAMPLES):
        ripples = hidden[..., None] * 2.1 * blur(rng.standard_normal((*rows.shape, 2), np.float32), 1.6, 0.5)
        bounced, cosine = _mirror(ray, slope_x + ripples[..., 0], slope_z + ripples[..., 1])
        ahead = np.maximum(bounced[..., 2], 0.2)
        row, column = focal * np.abs(bounced[..., 1]) / ahead, centre + focal * bounced[..., 0] / ahead
        near = look_up(hull, rows + PARALLAX * (row - rows), columns + PARALLAX * (column - columns))
        seen = look_up(mirrored, row, column) * (1 - near[..., 3:]) + near[..., :3]
        fresnel = 0.02 + 0.98 * (1 - np.clip(cosine, 0, 1)) ** 5
        sun = 55 * np.exp((bounced @ to_sun() - 1) * 420) * (1 - near[..., 3])
        light += mix(BODY, seen, fresnel) + (fresnel * sun)[..., None] * GLITTER
    return np.asarray(light / SAMPLES)
