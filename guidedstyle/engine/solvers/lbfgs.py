"""L-BFGS with a trust radius and without host synchronisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

HISTORY = 10  # pairs
FIRST = 0.02  # mean change of a pixel by the first step
REACH = 2.5  # times FIRST, or a larger first step: how much a step changes a pixel in the mean, at most
LEAP = 2.0  # times the least loss
FLAT = 1e-10  # a gradient that changes less along a step tells nothing


class Lbfgs:
    """Descend by L-BFGS (Liu & Nocedal 1989) within [0, 1] without a line search, as Gatys et al. 2016 use it.

    Departs from them in that a step is limited, and where the loss leaps: it goes back to the best image and sets out
    anew with half the first step. `image` (1, 3, H, W) is what the next loss and its gradient per pixel are asked of,
    `best` the best so far.
    """

    def __init__(self, image: Tensor, rate: float | None, steps: int) -> None:
        self.image = self.best = image
        self.reach = image.new_tensor(REACH * max(rate or FIRST, FIRST))
        self.first, self.least = image.new_tensor(rate or FIRST), image.new_tensor(float("inf"))
        self.before: tuple[Tensor, Tensor] | None = None  # image and gradient
        self.back = image.new_tensor(False, dtype=torch.bool)  # to the best image, where the last step led
        self.pairs = _Pairs(image, min(HISTORY, steps))

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step from the loss () and its gradient at `image`; the gradient's memory may be used."""
        better, leapt = loss < self.least, ~(loss <= LEAP * self.least)
        self.best = torch.where(better, self.image, self.best)
        self.least = torch.where(better, loss, self.least)
        self.first = torch.where(leapt, self.first / 2, self.first)
        gradient.masked_fill_(leapt, 0)  # no step is taken along it, and it may be no number
        if self.before:
            self.pairs.add(self.image - self.before[0], gradient - self.before[1], ~self.back)
        first = self.first / gradient.abs().mean().clamp(min=torch.finfo(gradient.dtype).tiny)
        change = self.pairs.turn(gradient, first)
        tried = (self.image - self._limit(change)).clamp_(0, 1)
        self.before, self.back = (self.image, gradient), leapt
        self.image = torch.where(leapt, self.best, tried)

    def _limit(self, change: Tensor) -> Tensor:
        """Limit a step: where there is but one pair, its curvature may be far from that of most pixels."""
        mean = change.abs().mean().clamp(min=torch.finfo(change.dtype).tiny)
        return change * (self.reach / mean).clamp(max=1)

    def save(self) -> dict[str, Any]:
        """Return all it takes to go on from here: plain data and tensors, which are not copied."""
        return vars(self) | {"pairs": dict(vars(self.pairs))}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `save` returned."""
        vars(self.pairs).update(state["pairs"])
        vars(self).update(state | {"pairs": self.pairs})


class _Pairs:
    """What L-BFGS remembers: how image and gradient changed, s and y, in the last steps.

    Each pair of vectors is read twice a step, by the compact form of the inverse Hessian (Byrd, Nocedal & Schnabel
    1994, eq. 3.1). A pair along which the gradient hardly changed, or falls, counts as a pair of zeros.
    """

    def __init__(self, like: Tensor, most: int) -> None:
        self.vectors = like.new_empty(most, 2, like.numel())
        self.count = 0
        self.across, self.among = like.new_zeros(2, most, most)  # s_i y_j and y_i y_j
        self.valid = like.new_zeros(most, dtype=torch.bool)
        self.gamma = like.new_ones(())

    @property
    def order(self) -> list[int]:
        """The places of the pairs, from the oldest."""
        most = len(self.vectors)
        return [number % most for number in range(max(0, self.count - most), self.count)]

    def add(self, change: Tensor, bend: Tensor, follows: Tensor) -> None:
        """Remember a pair in the place of the oldest; where it does not follow on them, forget those."""
        place, self.count = self.count % len(self.vectors), self.count + 1
        self.vectors[place, 0], self.vectors[place, 1] = change.flatten(), bend.flatten()
        known = self.vectors[: self.count].view(-1, bend.numel())
        across, among = (known @ bend.flatten()).view(-1, 2).T
        many = len(across)
        self.across[:many, place], self.among[:many, place], self.among[place, :many] = across, among, among
        self.valid = self.valid & follows
        self.valid[place] = follows & (across[place] > FLAT)
        self.gamma = torch.where(self.valid[place], across[place] / among[place], self.gamma)

    def turn(self, gradient: Tensor, first: Tensor) -> Tensor:
        """Multiply a gradient by the inverse Hessian; without a pair, by `first`."""
        order = self.order
        if not order:
            return first * gradient
        known = self.vectors[: len(order)].view(-1, gradient.numel())
        gamma = torch.where(self.valid.any(), self.gamma, first)
        p, q = (known @ gradient.flatten()).view(-1, 2).T
        shares = known.new_empty(len(order), 2)
        shares[order, 0], shares[order, 1] = self._share(p[order], q[order], gamma, order)
        return torch.addmv(gradient.flatten() * gamma, known.T, shares.flatten()).view_as(gradient)

    def _share(self, p: Tensor, q: Tensor, gamma: Tensor, order: list[int]) -> tuple[Tensor, Tensor]:
        """Tell how much of each s and y is in H g, from the inner products of g with them."""
        valid = self.valid[order]
        both = valid[:, None] & valid
        across, among = self.across[order][:, order] * both, self.among[order][:, order] * both
        right = across.triu() + torch.diag((~valid).to(across))
        p, q = p * valid, q * valid
        u = torch.linalg.solve_triangular(right, p[:, None], upper=True)
        inner = torch.diag(across.diagonal()) + gamma * among
        v = torch.linalg.solve_triangular(right.T, inner @ u - gamma * q[:, None], upper=False)
        return v[:, 0], -gamma * u[:, 0]
