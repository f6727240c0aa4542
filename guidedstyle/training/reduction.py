"""Reduce a network to a smaller one by least squares, layer by layer, without gradient descent.

Each layer keeps the teacher's most informative channels (He et al. 2017, arXiv:1707.06168) and, where its rank is
limited, the filters that span most of their responses (Zhang et al. 2015, arXiv:1505.06798). It is fitted to the
teacher's responses from the outputs of the student's own previous layer, so that errors do not accumulate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidedstyle.encoders.encoder import ConvEncoder

SAMPLES = 50_000  # positions for each layer
BATCH = 16

Heads = dict[str, Tensor]  # {layer: (teacher's channels, student's channels)}; predict the teacher's features


@torch.no_grad()
def reduce(student: ConvEncoder, teacher: ConvEncoder, images: Tensor, seed: int) -> Heads:
    """Fit the student to the teacher on images (B, 3, H, W) in [0, 1]; returns the heads of its style layers."""
    generator, heads = torch.Generator().manual_seed(seed), Heads()
    for name in student.layers:
        convolution = student.convolution(name)
        patches, responses = _sample(student, teacher, images, name, generator)
        features = functional.relu(responses)
        chosen = choose_channels(features.T, student.layers[name].channels)
        fitted = predict_linearly(append_ones(patches).T, responses[:, chosen].T)
        fill(convolution, fitted[:, :-1], fitted[:, -1], patches)
        if name in student.architecture.style_layers:
            own = functional.relu(append_ones(patches) @ fitted.T)
            heads[name] = predict_linearly(own.T, features.T)
    return heads


def _sample(
    student: ConvEncoder, teacher: ConvEncoder, images: Tensor, layer: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sample the student's 3x3 inputs (N, C * 9) of a layer and the teacher's responses (N, D), before the ReLU."""
    count = -(-SAMPLES // len(images))
    rows = [_sample_batch(student, teacher, batch, layer, count, generator) for batch in images.split(BATCH)]
    patches, responses = zip(*rows, strict=True)
    return torch.cat(patches), torch.cat(responses)


def _sample_batch(
    student: ConvEncoder, teacher: ConvEncoder, images: Tensor, layer: str, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    student_input, teacher_input = (_find_input(encoder, images, layer) for encoder in (student, teacher))
    responses = teacher.convolution(layer)(teacher_input).float().flatten(2)
    positions = torch.randint(responses.shape[2], (count,), generator=generator)
    mode = "replicate" if student.architecture.padding == "replicate" else "constant"
    patches = functional.unfold(functional.pad(student_input.float(), (1,) * 4, mode=mode), 3)
    return tuple(rows[:, :, positions].transpose(1, 2).flatten(0, 1) for rows in (patches, responses))  # type: ignore


def _find_input(encoder: ConvEncoder, images: Tensor, layer: str) -> Tensor:
    return next(before for name, before, _ in encoder.walk(images) if name == layer)


def append_ones(rows: Tensor) -> Tensor:
    """Append a column of ones to (N, C), for the bias."""
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)


def fill(convolution: nn.Module, weight: Tensor, bias: Tensor, patches: Tensor) -> None:
    """Set a convolution's weights from (D, C * 9) and (D,); factor one of limited rank to fit `patches` (N, C * 9)."""
    first = last = convolution
    if isinstance(convolution, nn.Sequential):
        first, last = convolution
        basis, rest = find_subspace(patches @ weight.T, first.get_parameter("weight").shape[0])
        weight, bias = basis.T @ weight, bias + rest
        last.get_parameter("weight").data = basis[:, :, None, None].contiguous()
    first.get_parameter("weight").data = weight.reshape(len(weight), -1, 3, 3).contiguous()
    last.get_parameter("bias").data = bias


def find_subspace(responses: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Find the basis (D, rank) that spans most of responses (N, D), and the part of their mean (D,) outside it."""
    mean = responses.mean(0)
    centred = responses - mean
    basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -rank:]
    return basis, mean - basis @ (basis.T @ mean)


def choose_channels(rows: Tensor, count: int) -> list[int]:
    """Choose greedily the `count` rows of (C, N) that predict all rows best by linear combinations."""
    products, chosen = rows @ rows.T / rows.square().sum(), list[int]()
    for _ in range(count):
        remaining = products.diagonal().clamp(min=1e-12)
        gain = products.square().sum(0) / remaining
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        products = products - torch.outer(products[best], products[best]) / remaining[best]
    return chosen


def predict_linearly(known: Tensor, target: Tensor) -> Tensor:
    """Return A (D, C) that solves A @ known (C, N) = target (D, N) by least squares with a small ridge."""
    products = known @ known.T
    ridge = 1e-5 * products.diagonal().mean() * torch.eye(len(known))
    solved: Tensor = torch.linalg.solve(products + ridge, known @ target.T)
    return solved.T


def reduce_to_metric(head: Tensor) -> Tensor:
    """Return M (C, C) = (A'A)^1/2 of a head A (D, C), scaled to a mean square of 1 / C: |A X A'| = |M X M'|."""
    values, vectors = torch.linalg.eigh(head.T @ head)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    metric: Tensor = root / root.norm() * len(root) ** 0.5
    return metric
