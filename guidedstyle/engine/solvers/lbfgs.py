"""L-BFGS with a trust radius and without host synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

FIRST_STEP = 0.02  # mean change of a pixel by the first step
TRUST_RADIUS = 2.5  # times the first step: the largest mean change of a pixel by a step
JUMP = 2.0  # a loss above this many times the smallest loss so far counts as a jump
MIN_CURVATURE = 1e-10  # pairs with a smaller s y are ignored
CHUNK, LARGE_CHUNK = 2**20, 2**22  # values of each image and pair that are computed at a time: on a CPU, a GPU


@dataclass(frozen=True)
class History:
    """How many pairs (s, y) of changes of image and gradient L-BFGS remembers, and in how many bits each value.

    Fewer pairs take more steps to the same loss. In 16 bits are the pairs and the gradient before the last step, in
    bfloat16, and the best image, in float16; the sums and the image that moves are in float32 always.
    """

    pairs: int = 10
    bits: int = 32

    def count_bits(self, steps: int) -> int:
        """Count the bits of all pairs, per value of the image, of a solve of `steps`."""
        return min(self.pairs, steps) * self.bits

    def __str__(self) -> str:
        return f"L-BFGS with {self.pairs} pairs in {self.bits} bits"


FULL = History()
SHORTER = (History(10, 16), History(5, 16), History(3, 16))  # where the full one does not fit


class Lbfgs:
    """L-BFGS (Liu & Nocedal 1989) within [0, 1] without a line search, as Gatys et al. 2016 use it.

    Departs from them in two ways: steps are limited to a trust radius, and when the loss jumps, the optimiser returns
    to the best image, halves its first step and discards its history. `image` (1, 3, H, W) is where the next loss and
    gradient are evaluated, `best` the best image so far.
    """

    def __init__(self, image: Tensor, *, learning_rate: float | None, steps: int, history: History = FULL) -> None:
        self.image = image.contiguous()
        self.stored = self.image.to(torch.float16 if history.bits == 16 else image.dtype, copy=True)  # the best image
        self.trust_radius = image.new_tensor(TRUST_RADIUS * max(learning_rate or FIRST_STEP, FIRST_STEP))
        self.first_step = image.new_tensor(learning_rate or FIRST_STEP)
        self.least_loss = image.new_tensor(float("inf"))
        self.returned = image.new_tensor(False, dtype=torch.bool)  # the last step returned to the best image
        self.history = _History(image, replace(history, pairs=min(history.pairs, steps)))

    def step(self, loss: Tensor, gradient: Tensor) -> None:
        """Take a step from the loss () and its gradient at `image`; overwrites the gradient."""
        better, jumped = loss < self.least_loss, ~(loss <= JUMP * self.least_loss)
        torch.where(better, self.image.to(self.stored.dtype), self.stored, out=self.stored)
        self.least_loss = torch.where(better, loss, self.least_loss)
        self.first_step = torch.where(jumped, self.first_step / 2, self.first_step)
        gradient.masked_fill_(jumped, 0)  # it is not used, and may be NaN
        self.history.end_pair(gradient, ~self.returned)
        direction = self.history.turn(gradient, self.first_step / _mean_size(gradient))
        moved = self._limit(direction).neg_().add_(self.image).clamp_(0, 1)
        for own, best in self.history.split(moved, self.stored):
            torch.where(jumped, best.to(own.dtype), own, out=own)
        self.history.begin_pair(moved, self.image)
        self.image, self.returned = moved, jumped

    @property
    def best(self) -> Tensor:
        """The best image so far."""
        return self.stored.to(self.image.dtype)

    def settle(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the image after the last step, whose loss no step has shown yet, or the best one if that is better."""
        return torch.where(measure(self.image) < self.least_loss, self.image, self.best)

    def _limit(self, change: Tensor) -> Tensor:
        """Limit a step to the trust radius: the curvature of the first pair may be wrong for most pixels."""
        return change.mul_((self.trust_radius / _mean_size(change)).clamp(max=1))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors; the tensors are not copied, and change with the next step."""
        return {
            "image": self.image,
            "stored": self.stored,
            "trust_radius": self.trust_radius,
            "first_step": self.first_step,
            "least_loss": self.least_loss,
            "returned": self.returned,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.image, self.stored = state["image"], state["stored"]
        self.trust_radius, self.first_step = state["trust_radius"], state["first_step"]
        self.least_loss, self.returned = state["least_loss"], state["returned"]
        self.history.load_state_dict(state["history"])


def _mean_size(change: Tensor) -> Tensor:
    """Compute the mean absolute value; at least the smallest number, as it divides."""
    sums = torch.stack([part.abs().sum() for part in change.view(-1).split(_choose_chunk(change.device))])
    return (sums.sum() / change.numel()).clamp(min=torch.finfo(change.dtype).tiny)


def _choose_chunk(device: torch.device) -> int:
    """Choose how many values are computed at a time, so that no copy of a large image is made."""
    return CHUNK if device.type == "cpu" else LARGE_CHUNK


class _History:
    """The last changes of image and gradient, s and y, of L-BFGS.

    The compact form of the inverse Hessian (Byrd, Nocedal & Schnabel 1994, eq. 3.1) reads each vector twice a step. A
    pair with almost no or negative curvature counts as a pair of zeros, as does one whose products overflow: the
    relative loss of a flat style image is huge. In fewer bits than the image has, products are those of the rounded
    pairs. A y is then as precise as the gradients that it is the difference of: with ten pairs the loss is higher by
    0.3 % after 60 steps and by 0.2 % after 150 (six pairs of images, 256 px).

    The pair that was begun, of which there is one after the first step, is in the place of the oldest one: its s, and
    the gradient from which its y will be measured.
    """

    def __init__(self, like: Tensor, size: History) -> None:
        dtype = torch.bfloat16 if size.bits == 16 else like.dtype
        self.vectors = like.new_empty(size.pairs, 2, like.numel(), dtype=dtype)  # s and y of each pair
        self.count = -1  # of all pairs that were ever ended; none was begun
        self.sy, self.yy = like.new_zeros(2, size.pairs, size.pairs)  # s_i y_j and y_i y_j
        self.valid = like.new_zeros(size.pairs, dtype=torch.bool)
        self.gamma = like.new_ones(())

    @property
    def order(self) -> Tensor:
        """The indices of the pairs, from the oldest to the newest; on the device, which would wait for a list."""
        length = len(self.vectors)
        return torch.arange(max(0, self.count - length), self.count, device=self.vectors.device) % length

    def split(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Split tensors (..., N), or images of N values, into chunks, so that no copy of a large one is made."""
        count = self.vectors.shape[2]
        length = _choose_chunk(self.vectors.device)
        flat = (one if one.shape[-1] == count else one.view(-1) for one in tensors)
        return zip(*(one.split(length, -1) for one in flat), strict=True)

    def begin_pair(self, image: Tensor, before: Tensor) -> None:
        """Set s, the change of the image."""
        for s, new, old in self.split(self._begun[0], image, before):
            torch.sub(new, old, out=s)

    def end_pair(self, gradient: Tensor, consecutive: Tensor) -> None:
        """Set y, the change of the gradient; discards all other pairs unless this one is consecutive to them."""
        index, self.count = self.count % len(self.vectors), self.count + 1
        if not self.count:
            return
        for y, new in self.split(self.vectors[index, 1], gradient):
            torch.sub(new, y, out=y)
        sy, yy = self._multiply(self.vectors[index, 1]).T
        count = len(sy)
        self.sy[:count, index], self.yy[:count, index], self.yy[index, :count] = sy, yy, yy
        self.valid = self.valid & consecutive
        self.valid[index] = consecutive & (sy[index] > MIN_CURVATURE) & sy.isfinite().all() & yy.isfinite().all()
        self.gamma = torch.where(self.valid[index], sy[index] / yy[index], self.gamma)

    def turn(self, gradient: Tensor, scale: Tensor) -> Tensor:
        """Multiply a gradient by the inverse Hessian, in place, or by `scale` () while there is no pair.

        The gradient itself replaces the y of the oldest pair, chunk by chunk, when that has done its part.
        """
        order = self.order
        factor, coefficients = scale, gradient.new_empty(len(order), 2)
        if len(order):
            factor = torch.where(self.valid.any(), self.gamma, scale)
            p, q = self._multiply(gradient).T
            coefficients[order, 0], coefficients[order, 1] = self._solve(p[order], q[order], factor, order)
        for known, y, part in self.split(self._known, self._begun[1], gradient):
            turned = torch.mul(part, factor).addmv_(known.to(part.dtype).T, coefficients.flatten())
            y.copy_(part)
            part.copy_(turned)
        return gradient

    @property
    def _begun(self) -> Tensor:
        """The s and y (2, N) of the pair that was begun."""
        return self.vectors[self.count % len(self.vectors)]

    @property
    def _known(self) -> Tensor:
        """The s and y (P * 2, N) of all pairs, one after the other."""
        return self.vectors[: min(self.count, len(self.vectors))].flatten(0, 1)

    def _multiply(self, vector: Tensor) -> Tensor:
        """Multiply every s and y by a vector of N values: (P, 2)."""
        dtype, chunks = self.sy.dtype, self.split(self._known, vector)
        return torch.stack([known.to(dtype) @ part.to(dtype) for known, part in chunks]).sum(0).view(-1, 2)

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
