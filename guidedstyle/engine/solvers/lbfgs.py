"""L-BFGS with a trust radius and without host synchronisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

HISTORY = 10  # pairs (s, y) that are remembered
FIRST_STEP = 0.02  # mean change of a pixel by the first step
TRUST_RADIUS = 2.5  # times the first step: the largest mean change of a pixel by a step
JUMP = 2.0  # a loss above this many times the smallest loss so far counts as a jump
MIN_CURVATURE = 1e-10  # pairs with a smaller s y are ignored


class Lbfgs:
    """L-BFGS (Liu & Nocedal 1989) within [0, 1] without a line search, as Gatys et al. 2016 use it.

    Departs from them in two ways: steps are limited to a trust radius, and when the loss jumps, the optimiser returns
    to the best image, halves its first step and discards its history. `image` (1, 3, H, W) is where the next loss and
    gradient are evaluated, `best` the best image so far.
    """

    def __init__(self, image: Tensor, *, learning_rate: float | None, steps: int) -> None:
        self.image = self.best = image
        self.trust_radius = image.new_tensor(TRUST_RADIUS * max(learning_rate or FIRST_STEP, FIRST_STEP))
        self.first_step = image.new_tensor(learning_rate or FIRST_STEP)
        self.least_loss = image.new_tensor(float("inf"))
        self.previous: tuple[Tensor, Tensor] | None = None  # image and gradient
        self.returned = image.new_tensor(False, dtype=torch.bool)  # the last step returned to the best image
        self.history = _History(image, min(HISTORY, steps))

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step from the loss () and its gradient at `image`; overwrites the gradient."""
        better, jumped = loss < self.least_loss, ~(loss <= JUMP * self.least_loss)
        self.best = torch.where(better, self.image, self.best)
        self.least_loss = torch.where(better, loss, self.least_loss)
        self.first_step = torch.where(jumped, self.first_step / 2, self.first_step)
        gradient.masked_fill_(jumped, 0)  # it is not used, and may be NaN
        if self.previous:
            image, before = self.previous
            self.history.add(self.image - image, gradient - before, ~self.returned)
        scale = self.first_step / gradient.abs().mean().clamp(min=torch.finfo(gradient.dtype).tiny)
        direction = self.history.apply_inverse_hessian(gradient, scale)
        moved = (self.image - self._limit(direction)).clamp_(0, 1)
        self.previous, self.returned = (self.image, gradient), jumped
        self.image = torch.where(jumped, self.best, moved)

    def settle(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the best image; its loss is known."""
        return self.best

    def _limit(self, change: Tensor) -> Tensor:
        """Limit a step to the trust radius: the curvature of the first pair may be wrong for most pixels."""
        mean = change.abs().mean().clamp(min=torch.finfo(change.dtype).tiny)
        return change * (self.trust_radius / mean).clamp(max=1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied."""
        return {
            "image": self.image,
            "best": self.best,
            "trust_radius": self.trust_radius,
            "first_step": self.first_step,
            "least_loss": self.least_loss,
            "previous": self.previous,
            "returned": self.returned,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.image, self.best = state["image"], state["best"]
        self.trust_radius, self.first_step = state["trust_radius"], state["first_step"]
        self.least_loss, self.previous, self.returned = state["least_loss"], state["previous"], state["returned"]
        self.history.load_state_dict(state["history"])


class _History:
    """The last changes of image and gradient, s and y, of L-BFGS.

    The compact form of the inverse Hessian (Byrd, Nocedal & Schnabel 1994, eq. 3.1) reads each vector twice a step. A
    pair with almost no or negative curvature counts as a pair of zeros, as does one whose products overflow: the
    relative loss of a flat style image is huge.
    """

    def __init__(self, like: Tensor, length: int) -> None:
        self.vectors = like.new_empty(length, 2, like.numel())  # s and y of each pair
        self.count = 0  # of all pairs that were ever added
        self.sy, self.yy = like.new_zeros(2, length, length)  # s_i y_j and y_i y_j
        self.valid = like.new_zeros(length, dtype=torch.bool)
        self.gamma = like.new_ones(())

    @property
    def order(self) -> Tensor:
        """The indices of the pairs, from the oldest to the newest; on the device, which would wait for a list."""
        length = len(self.vectors)
        return torch.arange(max(0, self.count - length), self.count, device=self.vectors.device) % length

    def add(self, s: Tensor, y: Tensor, consecutive: Tensor) -> None:
        """Replace the oldest pair by a new one, and discard all others unless it is consecutive to them."""
        index, self.count = self.count % len(self.vectors), self.count + 1
        self.vectors[index, 0], self.vectors[index, 1] = s.flatten(), y.flatten()
        known = self.vectors[: self.count].view(-1, y.numel())
        sy, yy = (known @ y.flatten()).view(-1, 2).T
        count = len(sy)
        self.sy[:count, index], self.yy[:count, index], self.yy[index, :count] = sy, yy, yy
        self.valid = self.valid & consecutive
        self.valid[index] = consecutive & (sy[index] > MIN_CURVATURE) & sy.isfinite().all() & yy.isfinite().all()
        self.gamma = torch.where(self.valid[index], sy[index] / yy[index], self.gamma)

    def apply_inverse_hessian(self, gradient: Tensor, scale: Tensor) -> Tensor:
        """Multiply a gradient by the inverse Hessian; by `scale` () while there is no pair."""
        order = self.order
        if not len(order):
            return scale * gradient
        known = self.vectors[: len(order)].view(-1, gradient.numel())
        gamma = torch.where(self.valid.any(), self.gamma, scale)
        p, q = (known @ gradient.flatten()).view(-1, 2).T
        coefficients = known.new_empty(len(order), 2)
        coefficients[order, 0], coefficients[order, 1] = self._solve(p[order], q[order], gamma, order)
        return torch.addmv(gradient.flatten() * gamma, known.T, coefficients.flatten()).view_as(gradient)

    def _solve(self, p: Tensor, q: Tensor, gamma: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the coefficients of each s and y in H g from p = S^T g and q = Y^T g."""
        valid = self.valid[order]
        both = valid[:, None] & valid
        sy, yy = (torch.where(both, one[order][:, order], 0.0) for one in (self.sy, self.yy))
        right = sy.triu() + torch.diag((~valid).to(sy))
        p, q = (torch.where(valid, one, 0.0) for one in (p, q))
        u = torch.linalg.solve_triangular(right, p[:, None], upper=True)
        inner = torch.diag(sy.diagonal()) + gamma * yy
        v = torch.linalg.solve_triangular(right.T, inner @ u - gamma * q[:, None], upper=False)
        return v[:, 0], -gamma * u[:, 0]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied."""
        return {
            "vectors": self.vectors,
            "count": self.count,
            "sy": self.sy,
            "yy": self.yy,
            "valid": self.valid,
            "gamma": self.gamma,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.vectors, self.count = state["vectors"], state["count"]
        self.sy, self.yy = state["sy"], state["yy"]
        self.valid, self.gamma = state["valid"], state["gamma"]
