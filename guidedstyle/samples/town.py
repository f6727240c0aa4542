"""A harbour town on a hillside: quay, houses, trees, moored boats and a lighthouse on its mole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from guidedstyle.samples.boat import RED, WHITE, moored_boat, tube
from guidedstyle.samples.canvas import Floats, fractal, hexes, look_up, smoothstep
from guidedstyle.samples.mesh import Mesh, box

QUAY_FRONT, QUAY_TOP, SHORE = 136.0, 2.2, 12.0
PLASTER = hexes("eadfc6", "e6bf7c", "dd9f5f", "cf7d5c", "efe6d6", "e2a98c", "d8a890", "a9bcc0", "ecd08f") ** 2.2
ROOFS = hexes("9a5b42", "a3694f", "83503e", "936149") ** 2.2
SHUTTERS = hexes("3c5a4c", "355a74", "6b4a35", "7d8f8a", "7a2f28") ** 2.2
LEAVES = hexes("3f5326", "4d6030", "2f4722", "5f6a35") ** 2.2
Size = tuple[float, float]
FRAME = np.array([0.5, 0.45, 0.38], np.float32)
GLASS = np.array([0.035, 0.04, 0.05], np.float32)
EARTH = np.array([0.05, 0.035, 0.015], np.float32)
STONE = np.array([0.30, 0.26, 0.21], np.float32)


class Ground:
    """The hillside: height as a function of the position."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.bumps = fractal((256, 256), rng, 90, 1.2)

    def __call__(self, x: ArrayLike, z: ArrayLike) -> Floats:
        """Return the height at each position."""
        across, away = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(z, np.float32))
        rise = 78 * smoothstep(150, 520, away) * smoothstep(-40, 190, across - 0.10 * (away - 150))
        bump = look_up(self.bumps, np.atleast_2d(away) / 2, np.atleast_2d(across) / 2, wrap=True).reshape(across.shape)
        return np.asarray(QUAY_TOP + rise * (1 + 0.10 * bump) + 0.3 * bump * (rise > 2), np.float32)


def _roof(width: float, depth: float, eaves: float, pitch: float, colour: Floats, hip: float) -> Mesh:
    """Make a gable roof, hipped when `hip` is above 0, out of courses of tiles."""
    w, d = width / 2 + 0.35, depth / 2 + 0.35
    ridge = max(w * (1 - hip), 0.05)
    t = np.linspace(0, 1, 7)[:, None]
    courses = np.broadcast_to(colour * np.where(np.arange(6) % 2, 0.86, 1.0)[:, None, None], (6, 1, 3))
    slopes = []
    for (x0, z0), (x1, z1), (r0, r1) in (
        ((-w, -d), (w, -d), (-ridge, ridge)),
        ((w, d), (-w, d), (ridge, -ridge)),
        ((-w, d), (-w, -d), (-ridge, -ridge)),
        ((w, -d), (w, d), (ridge, ridge)),
    ):
        start = np.array([x0, eaves, z0]) * (1 - t) + np.array([r0, eaves + pitch, 0]) * t
        end = np.array([x1, eaves, z1]) * (1 - t) + np.array([r1, eaves + pitch, 0]) * t
        slopes.append(Mesh.sheet(np.stack([start, end], 1).astype(np.float32), courses, grain=0.45))
    return Mesh.join(slopes)


def _panel(wall: ArrayLike, along: float, low: float, size: Size, out: float) -> Floats:
    """Return the corners of a rectangle on the wall from one ground point to another."""
    start, end = np.asarray(wall, float)
    ahead = (end - start) / np.linalg.norm(end - start)
    normal = np.array([ahead[1], -ahead[0]])
    near, far = (start + ahead * (along + s * size[0] / 2) + normal * out for s in (-1, 1))
    spots = [(near, low), (far, low), (far, low + size[1]), (near, low + size[1])]
    return np.array([[p[0], y, p[1]] for p, y in spots], np.float32)


def _window(door: bool, rng: np.random.Generator, shutter: Floats) -> list[tuple[float, float, Size, Floats]]:
    """Return the parts of a window or door from the wall outwards: shift, sill, size, colour."""
    size, sill = ((1.15, 2.1), -0.75) if door else ((0.95, 1.45), 0.0)
    pane = shutter if door else GLASS * rng.uniform(0.6, 2.2)
    parts = [(0.0, sill - 0.12, (size[0] + 0.3, size[1] + 0.3), FRAME), (0.0, sill, size, pane)]
    open_wide = rng.random() >= 0.25
    if not door:
        offset = 0.72 if open_wide else 0.24
        parts += [(s * offset, sill, (0.47, 1.45), shutter * rng.uniform(0.8, 1.3)) for s in (-1, 1)]
    return parts


def _windows(wall: ArrayLike, floors: int, rng: np.random.Generator) -> Mesh:
    """Add doors and rows of shuttered windows to a wall."""
    start, end = np.asarray(wall, float)
    length = float(np.linalg.norm(end - start))
    columns = max(int(length / 2.7), 1)
    shutter = SHUTTERS[rng.integers(len(SHUTTERS))]
    corners, colours = [], []
    for floor, column in np.ndindex(floors, columns):
        door = floor == 0 and rng.random() < 0.35
        for shift, sill, size, colour in _window(door, rng, shutter):
            along, low = length * (column + 0.5) / columns + shift, 0.8 + 2.9 * floor + sill
            corners.append(_panel(wall, along, low, size, 0.05))
            colours.append(colour)
    middle = _panel(wall, length / 2, 1.5 * floors, (0.1, 0.1), 0.4).mean(0)
    return Mesh.of(np.array(corners), np.array(colours), grain=0.15).anchored(middle)


def house(rng: np.random.Generator, width: float, depth: float, floors: int) -> Mesh:
    """Build a house around the origin, its front towards -z."""
    height, w, d = 2.9 * floors + 0.5, width / 2, depth / 2
    plaster = PLASTER[rng.integers(len(PLASTER))] * rng.uniform(0.8, 1.05)
    roof = ROOFS[rng.integers(len(ROOFS))] * rng.uniform(0.8, 1.15)
    hip, pitch = rng.choice([0.0, 0.0, 0.5]), rng.uniform(1.4, 2.4)
    parts = [box([-w, -6, -d], [w, height, d], plaster)]
    parts += [_windows(wall, floors, rng) for wall in ([[-w, -d], [w, -d]], [[-w, d], [-w, -d]])]
    parts += [_roof(width, depth, height, pitch, roof, hip)]
    x = rng.uniform(-w, w) * 0.6
    parts += [box([x - 0.35, height, 0.2], [x + 0.35, height + pitch + 0.9, 0.9], plaster * 0.8)]
    return Mesh.join(parts)


def _town(ground: Ground, rng: np.random.Generator) -> list[Mesh]:
    houses = []
    for row, away in enumerate((151, 164, 179, 196, 215, 237, 262, 290, 322, 358, 398)):
        x = SHORE + 3 + 5.0 * row + rng.uniform(0, 4)
        while x < 0.62 * away + 16:
            width = rng.uniform(6.5, 11)
            floors = int(rng.integers(2, 4 if row > 3 else 5))
            place = [x + width / 2, float(ground(x, away)), away + rng.uniform(-2, 2)]
            if rng.random() < 0.96 - 0.055 * row:
                houses.append(house(rng, width, 8, floors).placed(place, rng.normal(0.15, 0.12)))
            x += width + (0.3 if row < 2 else rng.uniform(0.5, 7))
    return houses


def _church(ground: Ground) -> Mesh:
    rng = np.random.default_rng(3)
    belfry = (
        ([[-2.6, -2.6], [2.6, -2.6]], [0, 8, -3]),
        ([[-2.6, 2.6], [-2.6, -2.6]], [-3, 8, 0]),
    )
    parts = [
        box([-2.6, -6, -2.6], [2.6, 22, 2.6], PLASTER[4] * 0.9),
        _roof(5.0, 5.0, 22, 6.5, ROOFS[2], 1.0),
        *(Mesh.of(_panel(wall, 2.6, 16.5, (1.5, 3.2), 0.1), GLASS).anchored(at) for wall, at in belfry),
        house(rng, 12, 20, 3).placed([9.5, 0, 6]),
    ]
    return Mesh.join(parts).placed([70, float(ground(70, 250)), 250], 0.15)


def tree(rng: np.random.Generator, slim: bool) -> Mesh:
    """Build a tree of small leaf quads, lit like a ball."""
    count = 110
    radii = np.array([1.0, 5.0, 1.0] if slim else [2.9, 2.4, 2.9]) * rng.uniform(0.75, 1.25)
    outward = rng.normal(size=(count, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    centres = outward * radii * rng.uniform(0.7, 1.08, (count, 1)) + [0, radii[1] * (1.0 if slim else 1.5), 0]
    first, second = rng.normal(size=(2, count, 3)) * (0.42 if slim else 0.6)
    quads = np.stack([centres + a * first + b * second for a, b in ((-1, 0), (0, -1), (1, 0), (0, 1))], 1)
    tint = LEAVES[rng.integers(len(LEAVES))] * rng.uniform(0.6, 1.3, (count, 1)) * (0.6 if slim else 1.0)
    return Mesh.of(quads, tint, glow=0.3)


def _trees(ground: Ground, rng: np.random.Generator) -> list[Mesh]:
    trees = []
    for _ in range(520):
        away = rng.uniform(168, 520)
        x = rng.uniform(SHORE + 0.2 * (away - 150), 0.62 * away + 10)
        trees.append(tree(rng, rng.random() < 0.25).placed([x, float(ground(x, away)) - 0.5, away]))
    return trees


def _quay(rng: np.random.Generator) -> list[Mesh]:
    x, y = np.arange(SHORE - 8, 130, 1.6), np.linspace(-0.2, QUAY_TOP, 5)
    front = np.stack([*np.meshgrid(x, y), np.full((5, len(x)), QUAY_FRONT)], -1)
    wet = np.array([0.35, 0.75, 0.95, 1.25])[:, None, None]
    stones = STONE * wet * rng.uniform(0.75, 1.2, (4, len(x) - 1, 1))
    side = front[:, :16].copy()
    side[..., 0], side[..., 2] = x[0], QUAY_FRONT + np.arange(16) * 2
    top = box([x[0], -1, QUAY_FRONT + 0.02], [130, QUAY_TOP, 166], STONE * 1.5)
    top = replace(top, anchors=top.anchors + np.array([0, 0, 60], np.float32))
    parts = [
        top,
        Mesh.sheet(front.astype(np.float32), stones),
        Mesh.sheet(side.astype(np.float32), stones[:, :15]),
    ]
    parts += [tube([a, 2, 138], [a, 6.8, 138], (0.09, 0.07), (0.03, 0.03, 0.03)) for a in range(14, 100, 11)]
    people = rng.uniform(SHORE - 4, 88, 26)
    for at in people:
        coat = (rng.uniform(0.12, 0.2, 3) * rng.uniform(0.2, 3)).tolist()
        parts += [tube([at, 2.1, 139.5], [at, 3.55, 139.5], (0.26, 0.2), tuple(coat), 6)]
        parts += [tube([at, 3.5, 139.5], [at, 3.85, 139.5], (0.13, 0.11), (0.4, 0.24, 0.16), 6)]
    return parts


def _lighthouse() -> Mesh:
    parts = []
    for storey in range(5):
        radii = (2.1 - 0.16 * storey, 1.94 - 0.16 * storey)
        low = 3.1 * storey
        parts.append(tube([0, low, 0], [0, low + 3.1, 0], radii, RED if storey % 2 else WHITE, 14))
    gallery = tube([0, 15.5, 0], [0, 15.9, 0], (1.9, 1.9), (0.2, 0.2, 0.2), 14)
    lantern = tube([0, 15.9, 0], [0, 17.8, 0], (1.0, 1.0), (0.9, 0.75, 0.4), 14)
    return Mesh.join([*parts, gallery, lantern, tube([0, 17.8, 0], [0, 19.2, 0], (1.3, 0.05), RED, 14)])


def _mole(rng: np.random.Generator) -> list[Mesh]:
    """Build a breakwater of boulders with a lighthouse at its end."""
    x = np.linspace(-112, SHORE + 10, 190)[None, :]
    t = np.linspace(-1, 1, 9)[:, None]
    rough = rng.normal(0, 0.35, (9, 190))
    net = np.stack([x + rough, 3.1 * (1 - t**2) - 0.2 + 0.9 * rough, 232 + 5 * t + 0 * x], -1)
    rocks = Mesh.sheet(net, STONE * 0.8 * rng.uniform(0.6, 1.3, (8, 189, 1)), grain=0.4)
    return [rocks, _lighthouse().placed([-104, 2, 232])]


def _hill(ground: Ground, rng: np.random.Generator) -> Mesh:
    x, z = np.meshgrid(np.arange(SHORE - 6, 380, 4.0), np.arange(152, 600, 5.0))
    x = x + 0.12 * (z - 150)
    rows, columns = x.shape[0] - 1, x.shape[1] - 1
    grass = LEAVES[rng.integers(4, size=(rows, columns))] * rng.uniform(0.5, 1.0, (rows, columns, 1))
    return Mesh.sheet(np.stack([x, ground(x, z), z], -1), grass + EARTH, grain=0.5)


def _moored_boats(rng: np.random.Generator) -> list[Mesh]:
    boats = []
    for x in (9, 20, 29, 41, 50, 57, 70, 79):
        heading = rng.normal(0, 0.5) + np.pi * rng.integers(2)
        boats.append(moored_boat(rng).placed([x, 0, rng.uniform(126, 131)], heading, 0.8))
    return boats


def harbour_town() -> Mesh:
    """Build everything on and along the land."""
    rng = np.random.default_rng(12)
    ground = Ground(rng)
    land = [_hill(ground, rng), *_town(ground, rng), _church(ground), *_trees(ground, rng)]
    mesh = Mesh.join([*land, *_quay(rng), *_mole(rng), *_moored_boats(rng)])
    bottom = np.array([-np.inf, -0.15, -np.inf], np.float32)  # foundations must not show through the water
    return replace(mesh, corners=np.maximum(mesh.corners, bottom))
