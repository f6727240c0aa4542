"""Surfaces of quadrilaterals: build, place and join them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from guidedstyle.samples.canvas import Floats


@dataclass(frozen=True)
class Mesh:
    """Quads with one colour each, painted in the order of the distance of their `anchors`."""

    corners: Floats  # (N, 4, 3)
    colours: Floats
    anchors: Floats
    normals: Floats
    glow: Floats  # share of the sunlight that passes through
    grain: Floats  # strength of the surface's texture

    @classmethod
    def of(cls, corners: ArrayLike, colours: ArrayLike, glow: float = 0.0, grain: float = 0.2) -> Mesh:
        """Make a mesh whose normals and anchors follow from its corners."""
        quads = np.asarray(corners, np.float32).reshape(-1, 4, 3)
        count = len(quads)
        normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        tints = np.broadcast_to(np.asarray(colours, np.float32), (count, 3))
        ones = np.ones(count, np.float32)
        return cls(quads, tints, quads.mean(1), normals, glow * ones, grain * ones)

    @classmethod
    def sheet(cls, points: Floats, colours: ArrayLike, glow: float = 0.0, grain: float = 0.2) -> Mesh:
        """Make a surface from a (rows, columns, 3) net of points, in one colour or one for each quad."""
        corners = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], 2)
        tints = np.asarray(colours, np.float32)
        return cls.of(corners, tints.reshape(-1, 3) if tints.ndim == 3 else tints, glow, grain)

    @classmethod
    def join(cls, meshes: Sequence[Mesh]) -> Mesh:
        """Join meshes."""
        return cls(*(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in cls.__annotations__))

    def anchored(self, anchor: ArrayLike) -> Mesh:
        """Return the mesh with a single anchor, so that it is painted as one object."""
        return replace(self, anchors=np.broadcast_to(np.asarray(anchor, np.float32), self.anchors.shape))

    def placed(self, place: ArrayLike, turn: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh scaled, rotated about the vertical axis and moved."""
        c, s = np.cos(turn), np.sin(turn)
        matrix = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
        shift = np.asarray(place, np.float32)
        corners, anchors = (x @ matrix * scale + shift for x in (self.corners, self.anchors))
        return replace(self, corners=corners, anchors=anchors, normals=self.normals @ matrix)


def box(low: ArrayLike, high: ArrayLike, colour: ArrayLike, grain: float = 0.25) -> Mesh:
    """Make four walls and a lid."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
    ring = np.array([[x0, z0], [x1, z0], [x1, z1], [x0, z1], [x0, z0]])
    walls = np.stack([np.insert(ring, 1, y, axis=1) for y in (y0, y1)])
    lid = np.insert(ring[:4], 1, y1, axis=1)
    corners = np.stack([walls[0, :-1], walls[0, 1:], walls[1, 1:], walls[1, :-1]], 1)
    return Mesh.of(np.concatenate([corners, lid[None]]), colour, grain=grain)
