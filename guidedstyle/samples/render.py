"""A small renderer of meshes: painter's algorithm, sunlight with cast shadows, haze and soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from guidedstyle.samples.canvas import Floats, Ints, fractal, look_up, resize
from guidedstyle.samples.mesh import Mesh

OVERSAMPLING, SHADOW_PIXELS, SHADOW_SAMPLES = 2, 2600, 3
SUN_LIGHT = np.array([2.35, 1.82, 1.22], np.float32)
SKY_LIGHT = np.array([0.36, 0.47, 0.66], np.float32)
TO_SUN = np.array([-0.84, 0.40, -0.366], np.float32)  # not where the glitter says it is: front light flatters
HAZE = np.array([0.60, 0.56, 0.55], np.float32)
HAZE_DISTANCE = 1800.0  # metres over which the air swallows two thirds


@dataclass(frozen=True)
class Camera:
    """A level camera at height `eye` above the origin; a negative height renders the reflection in the water."""

    width: int
    height: int
    horizon: float
    focal: float
    eye: float

    @property
    def shape(self) -> tuple[int, int]:
        """The height and the width of its image."""
        return self.height, self.width

    def scaled(self, factor: int) -> Camera:
        """Return the same view with more pixels."""
        size = (self.width * factor, self.height * factor)
        return Camera(*size, self.horizon * factor, self.focal * factor, self.eye)

    def project(self, points: Floats) -> Floats:
        """Return (column, row, distance) of each point."""
        x, y, z = np.moveaxis(points, -1, 0)
        rise = np.sign(self.eye) * (y - self.eye)
        distance = np.sqrt(x * x + (y - self.eye) ** 2 + z * z)
        return np.stack([self.width / 2 + self.focal * x / z, self.horizon - self.focal * rise / z, distance], -1)

    def rays(self, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Return the origin and the direction of the ray behind each pixel."""
        rise = np.sign(self.eye) * (self.horizon - rows) / self.focal
        directions = np.stack([(columns - self.width / 2) / self.focal, rise, np.ones_like(rows)], -1)
        return np.array([0, self.eye, 0], np.float32), directions.astype(np.float32)


class SunView:
    """The scene seen from the sun, without perspective; what it does not see is in shadow."""

    def __init__(self, mesh: Mesh) -> None:
        right = np.cross([0, 1, 0], -TO_SUN)
        axes = np.stack([right, np.cross(right, -TO_SUN), -TO_SUN], -1)
        self.axes = (axes / np.linalg.norm(axes, axis=0)).astype(np.float32)
        flat = (mesh.corners @ self.axes)[..., :2].reshape(-1, 2)
        self.corner, size = flat.min(0), np.ptp(flat, axis=0)
        self.scale = SHADOW_PIXELS / float(size.max())
        self.shape = (int(size[1] * self.scale) + 1, int(size[0] * self.scale) + 1)

    def project(self, points: Floats) -> Floats:
        """Return (column, row, distance) of each point."""
        seen = points @ self.axes
        return np.concatenate([(seen[..., :2] - self.corner) * self.scale, seen[..., 2:]], -1)


@dataclass(frozen=True)
class Layer:
    """A rendered part of the scene: linear light (already weighted by the coverage) and coverage 0..1."""

    light: Floats
    cover: Floats


def _paint_ids(mesh: Mesh, view: Camera | SunView) -> Ints:
    """Paint the index of each quad from the farthest to the nearest; -1 where there is none."""
    ids = np.full(view.shape, -1, np.int32)
    points = np.rint(view.project(mesh.corners)[..., :2] * 16).astype(np.int32)
    for index in np.argsort(-view.project(mesh.anchors)[:, 2], kind="stable"):
        cv2.fillConvexPoly(ids, points[index], int(index), cv2.LINE_8, 4)
    return ids


def _meet(mesh: Mesh, quads: Ints, origins: Floats, rays: Floats) -> Floats:
    """Return the distance along each ray to the plane of its quad."""
    normals = mesh.normals[quads]
    slant = np.einsum("ij,ij->i", np.broadcast_to(rays, normals.shape), normals)
    drop = np.einsum("ij,ij->i", mesh.corners[quads, 0] - origins, normals)
    return np.asarray(drop / np.where(np.abs(slant) < 1e-4, 1e9, slant))


def _sunlit(mesh: Mesh, quads: Ints, places: Floats, bias: float, rng: np.random.Generator) -> Floats:
    """Return the share of sunlight at each position."""
    sun = SunView(mesh)
    shadows, reach = _paint_ids(mesh, sun), np.array(sun.shape[::-1]) - 1
    spots, lit = sun.project(places)[:, :2], np.zeros(len(quads), np.float32)
    for _ in range(SHADOW_SAMPLES):
        column, row = np.clip(spots + rng.normal(0, 0.45, spots.shape), 0, reach).astype(np.int32).T
        blocker = shadows[row, column]
        free = (blocker == quads) | (blocker < 0)
        lit += free | (_meet(mesh, blocker, places, TO_SUN) < bias)
    return lit / SHADOW_SAMPLES


def _shade(mesh: Mesh, quads: Ints, places: Floats, rays: Floats, bias: float) -> Floats:
    """Return the light each position reflects along its ray."""
    rng = np.random.default_rng(5)
    normals = mesh.normals[quads]
    away = np.einsum("ij,ij->i", rays, normals) > 0
    facing = np.where(away[:, None], -normals, normals)
    incidence = facing @ TO_SUN
    through = mesh.glow[quads] * np.maximum(-incidence, 0.3)
    sun = _sunlit(mesh, quads, places, bias, rng) * (np.maximum(incidence, 0) + through)
    ambient = 0.62 + 0.38 * facing[:, 1]
    light = mesh.colours[quads] * (sun[:, None] * SUN_LIGHT + ambient[:, None] * SKY_LIGHT)
    return np.asarray(light * _weather(places, rng)[:, None] ** mesh.grain[quads, None])


def _weather(places: Floats, rng: np.random.Generator) -> Floats:
    """Add stains at all scales to surfaces, stretched downwards as by rain."""
    noise = fractal((512, 512), rng, 120, 0.2)
    across = (places[:, 0] + 0.73 * places[:, 2]) * 12
    count = -(-len(across) // 1000) * 1000  # a look-up needs an image, so fold the list into one
    down, right = (np.resize(v, count).reshape(-1, 1000) for v in (places[:, 1] * 7, across))
    return np.exp(look_up(noise, down, right, wrap=True).ravel()[: len(across)])


def render(mesh: Mesh, camera: Camera, bias: float) -> Layer:
    """Render with soft edges; gaps below `bias` (m) cast no shadow."""
    fine = camera.scaled(OVERSAMPLING)
    ids = _paint_ids(mesh, fine)
    rows, columns = np.nonzero(ids >= 0)
    quads = ids[rows, columns]
    origin, rays = fine.rays(columns.astype(np.float32), rows.astype(np.float32))
    depth = _meet(mesh, quads, origin, rays)[:, None]
    light = _shade(mesh, quads, origin + rays * depth, rays, bias)
    image = np.zeros((*fine.shape, 4), np.float32)
    image[rows, columns, :3] = HAZE + (light - HAZE) * np.exp(-np.abs(depth) / HAZE_DISTANCE)
    image[rows, columns, 3] = 1
    small = resize(image, *camera.shape)
    return Layer(small[..., :3], small[..., 3])
