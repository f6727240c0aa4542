"""A smaller network from a larger one by least squares, layer by layer, without any training.

Each layer keeps the teacher's most telling channels (after He et al. 2017, arXiv:1707.06168), and where its rank
is limited, the filters that span most of their responses (Zhang et al. 2015, arXiv:1505.06798). It is fitted to
the teacher's responses from what the student's own layer before sees, which corrects errors as they add up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoders.encoder import Encoder

SAMPLES = 50_000  # positions per layer
BATCH = 16

Heads = dict[str, Tensor]  # {layer: (teacher channels, student channels)}: the teacher's features by the student's


@torch.no_grad()
def reduce(student: Encoder, teacher: Encoder, images: Tensor, seed: int) -> Heads:
    """Fit the student to the teacher on images (B, 3, H, W) in [0, 1]; returns the heads of its style layers."""
    dice, heads = torch.Generator().manual_seed(seed), Heads()
    for name, convolution in zip(student.layers, student.features.values(), strict=True):
        patches, responses = _sample(student, teacher, images, name, dice)
        seen = functional.relu(responses)
        chosen = choose_channels(seen.T, student.layers[name].channels)
        fitted = predict_linearly(append_ones(patches).T, responses[:, chosen].T)
        fill(convolution, fitted[:, :-1], fitted[:, -1], patches)
        if name in student.architecture.style_layers:
            mine = functional.relu(append_ones(patches) @ fitted.T)
            heads[name] = predict_linearly(mine.T, seen.T)
    return heads


def _sample(
    student: Encoder, teacher: Encoder, images: Tensor, layer: str, dice: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sample the student's 3x3 inputs (N, C * 9) of a layer and the teacher's responses (N, D), before the ReLU."""
    count = -(-SAMPLES // len(images))
    rows = [_sample_batch(student, teacher, batch, layer, count, dice) for batch in images.split(BATCH)]
    patches, responses = zip(*rows, strict=True)
    return torch.cat(patches), torch.cat(responses)


def _sample_batch(
    student: Encoder, teacher: Encoder, images: Tensor, layer: str, count: int, dice: torch.Generator
) -> tuple[Tensor, Tensor]:
    mine, theirs = (_read_input(encoder, images, layer) for encoder in (student, teacher))
    responses = teacher.convolution(layer)(theirs).float().flatten(2)
    places = torch.randint(responses.shape[2], (count,), generator=dice)
    patches = functional.unfold(mine.float(), 3, padding=1)
    return tuple(rows[:, :, places].transpose(1, 2).flatten(0, 1) for rows in (patches, responses))  # type: ignore


def _read_input(encoder: Encoder, images: Tensor, layer: str) -> Tensor:
    return next(before for name, before, _ in encoder.walk(images) if name == layer)


def append_ones(rows: Tensor) -> Tensor:
    """Append a column of ones to (N, C), for the bias."""
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)


def fill(convolution: nn.Module, weight: Tensor, bias: Tensor, patches: Tensor) -> None:
    """Set a convolution's weights from (D, C * 9) and (D,); one of limited rank best on the `patches` (N, C * 9)."""
    first = last = convolution
    if isinstance(convolution, nn.Sequential):
        first, last = convolution
        basis, left = find_subspace(patches @ weight.T, first.get_parameter("weight").shape[0])
        weight, bias = basis.T @ weight, bias + left
        last.get_parameter("weight").data = basis[:, :, None, None].contiguous()
    first.get_parameter("weight").data = weight.reshape(len(weight), -1, 3, 3).contiguous()
    last.get_parameter("bias").data = bias


def find_subspace(responses: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Find the basis B (D, rank) in which most of responses (N, D) lie, and the part of their mean outside it."""
    mean = responses.mean(0)
    centred = responses - mean
    basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -rank:]
    return basis, mean - basis @ (basis.T @ mean)


def choose_channels(rows: Tensor, count: int) -> list[int]:
    """Choose the `count` of the rows (C, N) that, one after the other, explain most of all rows linearly."""
    products, chosen = rows @ rows.T / rows.square().sum(), list[int]()
    for _ in range(count):
        left = products.diagonal().clamp(min=1e-12)
        gain = products.square().sum(0) / left
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        products = products - torch.outer(products[best], products[best]) / left[best]
    return chosen


def predict_linearly(known: Tensor, wanted: Tensor) -> Tensor:
    """Return A (D, C) of the least squares A @ known (C, N) = wanted (D, N), with a little ridge."""
    products = known @ known.T
    ridge = 1e-5 * products.diagonal().mean() * torch.eye(len(known))
    solved: Tensor = torch.linalg.solve(products + ridge, known @ wanted.T)
    return solved.T


def reduce_to_metric(head: Tensor) -> Tensor:
    """Return M (C, C) = (A'A)^1/2 of a head A (D, C), scaled to a mean square of 1 / C: |A X A'| = |M X M'|."""
    values, vectors = torch.linalg.eigh(head.T @ head)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    metric: Tensor = root / root.norm() * len(root) ** 0.5
    return metric
