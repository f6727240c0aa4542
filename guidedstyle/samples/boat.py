"""A gaff-rigged sailing boat: bow along +x, waterline at y = 0, about ten metres long."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from guidedstyle.samples.canvas import Colour, hexes
from guidedstyle.samples.mesh import Mesh, box

SAIL = (0.40, 0.115, 0.055)
CREAM = (0.56, 0.49, 0.38)
WOOD = (0.34, 0.17, 0.075)
ROPE = (0.09, 0.075, 0.06)
WHITE = (0.74, 0.71, 0.65)
YELLOW = (0.66, 0.48, 0.12)
NAVY = (0.022, 0.06, 0.12)
RED = (0.36, 0.045, 0.03)
MAST_TOP = np.array([0.7, 12.4, 0], np.float32)


@dataclass(frozen=True)
class Livery:
    """The colours of a hull from the waterline up."""

    bottom: Colour = RED
    side: Colour = NAVY
    stripe: Colour = WHITE


def tube(start: ArrayLike, end: ArrayLike, radii: tuple[float, float], colour: Colour, sides: int = 8) -> Mesh:
    """Make a spar or a rope between two points."""
    foot, top = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = (top - foot) / np.linalg.norm(top - foot)
    side = np.cross(along, [0.31, 0.22, 0.92])
    side /= np.linalg.norm(side)
    angles = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    ring = np.cos(angles) * side + np.sin(angles) * np.cross(along, side)
    steps = np.linspace(0, 1, 13)[:, None, None]
    net = foot + (top - foot) * steps + ring * (radii[0] + (radii[1] - radii[0]) * steps)
    return Mesh.sheet(net.astype(np.float32), colour, grain=0.1)


def rope(start: ArrayLike, end: ArrayLike, thickness: float = 0.017) -> Mesh:
    """Make a rope of the rigging."""
    return tube(start, end, (thickness, thickness), ROPE, 3)


def hull(livery: Livery, length: float = 10.0, beam: float = 2.9) -> Mesh:
    """Loft both sides, the transom, the bulwark and the deck."""
    t = np.linspace(0, 1, 49)[:, None]  # stern to bow
    v = np.linspace(0, 1, 19)[None, :]  # waterline to rail
    half = beam / 2 * np.clip(1 - ((t - 0.42) / 0.58).clip(0) ** 2.3, 0, 1) * (0.72 + 0.28 * np.sin(np.pi * t**0.7))
    rail = 0.95 + 0.25 * (1 - t) ** 2 + 0.85 * t**3
    flare = 0.62 + 0.38 * v**0.55 - 0.30 * t**4 * (1 - v)
    x = length * (t - 0.5) + 0.75 * v * t**6 - 0.35 * v * (1 - t) ** 6
    y = -0.12 + (rail + 0.12) * v
    bands = np.select([v[:, :-1] < 0.17, v[:, :-1] < 0.21, v[:, :-1] < 0.74, v[:, :-1] < 0.83], [0, 1, 2, 1], default=3)
    plank = 1 - 0.22 * (np.arange(18) % 3 == 2)[:, None]
    plank *= np.linspace(0.72, 1.1, 18)[:, None]  # the flare towards the rail catches more light
    tints = np.array([livery.bottom, livery.stripe, livery.side, WOOD])[bands[0]] * plank
    colours = np.broadcast_to(tints, (48, 18, 3))
    ones = np.ones_like(x)
    sides = [Mesh.sheet(np.stack([x, y * ones, s * half * flare], -1), colours, grain=0.12) for s in (-1, 1)]
    across = np.linspace(-1, 1, 9)[None, :]
    deck = np.stack([x[:, -1:] + 0 * across, y[:, -3:-2] + 0.04 * (1 - across**2), half * across * 0.97], -1)
    stern = np.stack([x[:1].T + 0 * across, y[:1].T + 0 * across, (half * flare)[:1].T * across], -1)
    return Mesh.join([*sides, Mesh.sheet(deck, (0.42, 0.30, 0.18)), Mesh.sheet(stern, livery.side)])


def sail(tack: ArrayLike, clew: ArrayLike, peak: ArrayLike, throat: ArrayLike, belly: float, tint: Colour) -> Mesh:
    """Make a sail between four corners, curved to leeward, with seams."""
    corners = [np.asarray(corner, np.float32) for corner in (tack, clew, peak, throat)]
    s, t = np.linspace(0, 1, 31)[None, :, None], np.linspace(0, 1, 43)[:, None, None]
    flat = (corners[0] * (1 - s) + corners[1] * s) * (1 - t) + (corners[3] * (1 - s) + corners[2] * s) * t
    bulge = np.sin(np.pi * s**0.75) * np.sin(np.pi * (0.12 + 0.8 * t)) * belly
    flutter = 0.025 * np.sin(9 * s + 14 * t) * s
    net = flat + np.array([0, 0, 1], np.float32) * (bulge + flutter)
    shade = 1 - 0.20 * (np.arange(42) % 6 == 5)[:, None, None] - 0.05 * np.cos(np.arange(30) * 1.3)[None, :, None]
    return Mesh.sheet(net.astype(np.float32), np.array(tint) * shade, glow=0.4, grain=0.13)


def _rig() -> list[Mesh]:
    tack, clew, peak, throat = [0.5, 2.3, 0], [-5.0, 2.7, 1.3], [-3.9, 11.0, 0.9], [0.5, 8.3, 0]
    bowsprit = [7.3, 2.4, 0]
    spars = [
        tube([0.7, 0.5, 0], MAST_TOP, (0.13, 0.07), WOOD),
        tube(tack, [-5.4, 2.63, 1.4], (0.08, 0.06), WOOD),
        tube(throat, [-4.2, 11.18, 0.95], (0.07, 0.05), WOOD),
        tube([3.8, 1.6, 0], bowsprit, (0.10, 0.05), WOOD),
    ]
    sails = [
        sail([0.5, 2.4, 0], clew, peak, throat, 1.0, SAIL),
        sail([7.1, 2.5, 0], [3.0, 3.3, 1.5], [0.9, 11.4, 0.1], [0.95, 11.4, 0.1], 0.55, CREAM),
        sail([4.9, 2.35, 0], [1.4, 2.7, 0.7], [0.95, 9.5, -0.05], [1.0, 9.5, -0.05], 0.35, SAIL),
    ]
    stays = [rope(end, MAST_TOP) for end in ([5.5, 1.9, 0], bowsprit, peak, [-1.7, 9.65, 0.45])]
    shrouds = [rope([x, 1.15, z], [0.7, 9.6, 0]) for z in (-1.35, 1.35) for x in (-0.5, 0.2, 0.9)]
    return [*spars, *sails, *stays, *shrouds, rope([-4.7, 1.1, 0.5], clew)]


def _blob(centre: list[float], radii: list[float], colour: Colour) -> Mesh:
    around, down = np.linspace(0, 2 * np.pi, 25)[None, :], np.linspace(0, np.pi, 17)[:, None]
    ball = [np.sin(down) * np.cos(around), np.cos(down) + 0 * around, np.sin(down) * np.sin(around)]
    return Mesh.sheet(np.stack(ball, -1) * np.array(radii) + np.array(centre), colour)


def _helmsman() -> Mesh:
    legs = _blob([0.02, 1.2, 0], [0.2, 0.35, 0.2], NAVY)
    oilskin = [
        _blob([0, 1.72, 0], [0.24, 0.42, 0.27], YELLOW),
        _blob([-0.15, 1.7, -0.3], [0.28, 0.1, 0.1], YELLOW),
    ]
    head = _blob([0, 2.24, 0], [0.12, 0.15, 0.12], (0.45, 0.24, 0.15))
    cap = _blob([0, 2.34, 0], [0.14, 0.08, 0.14], NAVY)
    return Mesh.join([legs, *oilskin, head, cap]).placed([-3.3, 0, -0.25])


def _cabin() -> list[Mesh]:
    walls = box([-2.2, 0.7, -0.75], [-0.1, 1.5, 0.75], WHITE, 0.1)
    roof = box([-2.3, 1.5, -0.85], [0.0, 1.58, 0.85], WOOD, 0.1)
    glass = (0.03, 0.04, 0.05)
    ports = [_blob([x, 1.2, -0.76], [0.17, 0.10, 0.02], glass) for x in (-1.85, -1.3, -0.75)]
    return [walls, Mesh.join(ports).anchored([-1.15, 1.1, -0.95]), roof]


def sailing_boat() -> Mesh:
    """Build the boat of the foreground."""
    return Mesh.join([hull(Livery()), *_cabin(), _helmsman(), *_rig()])


def moored_boat(rng: np.random.Generator) -> Mesh:
    """Build a small boat without sails."""
    paint = hexes("b8c4c8", "d9d2c0", "274b63", "7a2a22", "2f6b62")[rng.integers(5)] ** 2.2
    colours = hull(Livery(side=tuple(paint.tolist())))
    height = rng.uniform(7, 12)
    poles = [
        tube([0.5, 0.8, 0], [0.5, height, 0], (0.12, 0.06), WHITE),
        rope([4.8, 1.7, 0], [0.5, height, 0], 0.03),
    ]
    poles += [
        rope([-4.8, 1.2, 0], [0.5, height, 0], 0.03),
        tube([0.5, 2, 0], [-4, 2.1, 0], (0.2, 0.16), (0.3, 0.36, 0.5)),
    ]
    boat = Mesh.join([colours, *_cabin(), *poles])
    return replace(boat, grain=boat.grain * 0.5)
