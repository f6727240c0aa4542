"""The content image: a rendered harbour in the late afternoon, with its exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from guidedstyle.samples.boat import sailing_boat
from guidedstyle.samples.canvas import Bytes, Floats, blur, encode_srgb, fractal, grid, mix, to_bytes
from guidedstyle.samples.render import Camera, Layer, render
from guidedstyle.samples.sky import hills, sky
from guidedstyle.samples.town import harbour_town
from guidedstyle.samples.water import water

WIDTH, HEIGHT, HORIZON, HEADROOM = 1152, 768, 420, 800
CAMERA = Camera(WIDTH, HEIGHT, HORIZON, 1000.0, 6.0)
MIRROR = Camera(WIDTH, HEIGHT, HORIZON, 1000.0, -6.0)
WARMTH = np.array([1.07, 1.0, 0.92], np.float32)


@dataclass(frozen=True)
class Scene:
    """The image (RGB) and the masks of its parts (grey); what no mask covers is land."""

    image: Bytes
    sky: Bytes
    sea: Bytes
    boat: Bytes

    @property
    def colours(self) -> Bytes:
        """The masks as one colour-coded image: sky blue, sea green, boat red, land black, edges in between."""
        parts = ((self.sky, (0, 0, 255)), (self.sea, (0, 128, 0)), (self.boat, (255, 0, 0)))
        mixed = [mask[..., None] / 255 * (np.array(colour, np.float32) / 255) for mask, colour in parts]
        return to_bytes(np.sum(mixed, axis=0))


def _over(layer: Layer, background: Floats) -> Floats:
    return background * (1 - layer.cover[..., None]) + layer.light


def _develop(light: Floats) -> Floats:
    """Expose like a camera: bloom, filmic shoulder, vignette, a little warmth and grain."""
    rng = np.random.default_rng(77)
    bloomed = light + 0.10 * blur(np.maximum(light - 0.9, 0), 9)
    rows, columns = grid(*light.shape[:2])
    radius = np.hypot((rows / HEIGHT - 0.5) * 0.8, columns / WIDTH - 0.5)
    exposed = bloomed * WARMTH * 0.58 * (1 - 0.9 * radius**2)[..., None]
    film = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    display = encode_srgb(film)
    grain = fractal(light.shape[:2], rng, 4, 0.1, 0.6)[..., None]
    return np.asarray(display + 0.011 * grain * (1.2 - display), np.float32)


def paint_scene() -> Scene:
    """Paint the harbour."""
    town, boat = harbour_town(), sailing_boat().placed([-5.2, 0, 26.5], 0.30)
    land, vessel = render(town, CAMERA, 0.35), render(boat, CAMERA, 0.06)
    air, far = sky(CAMERA, HEADROOM), hills(CAMERA, HEADROOM)
    backdrop = mix(air, far.light, far.cover)
    mirrored = backdrop[::-1].copy()
    shown = HEIGHT - HORIZON
    mirrored_land, mirrored_boat = (
        Layer(layer.light[HORIZON:], layer.cover[HORIZON:])
        for layer in (render(town, MIRROR, 0.35), render(boat, MIRROR, 0.06))
    )
    mirrored[:shown] = _over(mirrored_land, mirrored[:shown])
    light = np.concatenate([backdrop[-HORIZON:], water(CAMERA, mirrored, mirrored_boat)])
    image = _develop(_over(vessel, _over(land, light)))
    free = (1 - land.cover) * (1 - vessel.cover)
    above = np.zeros_like(free)
    above[:HORIZON] = 1 - far.cover[-HORIZON:]
    below = (grid(HEIGHT, WIDTH)[0] >= HORIZON).astype(np.float32)
    return Scene(to_bytes(image), to_bytes(free * above), to_bytes(free * below), to_bytes(vessel.cover))
