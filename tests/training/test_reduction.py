"""Reduction by least squares: channels, subspaces, heads and metrics."""

from __future__ import annotations

import pytest
import torch
from support.images import draw_tensor
from torch import nn

from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.vgg import IMAGENET, make_vgg
from guidedstyle.training.reduction import (
    choose_channels,
    fill,
    find_subspace,
    predict_linearly,
    reduce,
    reduce_to_metric,
)

pytestmark = pytest.mark.slow


def test_metric_measures_gram_distances_like_its_head() -> None:
    head, grams = draw_tensor(20, 6), draw_tensor(5, 6, 6)
    metric = reduce_to_metric(head)
    torch.testing.assert_close(metric, metric.T)
    through_head = (head @ (grams + grams.mT) @ head.T).norm(dim=(1, 2))
    through_metric = (metric @ (grams + grams.mT) @ metric.T).norm(dim=(1, 2))
    torch.testing.assert_close(through_metric / through_metric[0], through_head / through_head[0])


def test_least_squares_finds_an_exact_map() -> None:
    known, matrix = draw_tensor(4, 500), draw_tensor(7, 4)
    torch.testing.assert_close(predict_linearly(known, matrix @ known), matrix, rtol=0, atol=1e-3)


def test_chosen_channels_predict_the_others() -> None:
    """Of twelve channels that are mixtures of three, three suffice."""
    rows = draw_tensor(12, 3) @ draw_tensor(3, 400)
    chosen = choose_channels(rows, 3)
    assert len(set(chosen)) == 3
    residual = predict_linearly(rows[chosen], rows) @ rows[chosen] - rows
    assert residual.square().mean() < 1e-2 * rows.square().mean()


def test_strongest_channel_is_chosen_first() -> None:
    rows = torch.eye(4).repeat(1, 10) * torch.tensor([1.0, 5.0, 2.0, 3.0])[:, None]
    assert choose_channels(rows, 4) == [1, 3, 2, 0]


def test_subspace_contains_responses_of_its_rank() -> None:
    responses = draw_tensor(300, 3) @ draw_tensor(3, 8) + draw_tensor(8)
    basis, rest = find_subspace(responses, 3)
    torch.testing.assert_close(responses @ basis @ basis.T + rest, responses, rtol=0, atol=1e-4)


def test_factored_convolution_equals_a_full_one_of_its_rank() -> None:
    filters, bias, image = draw_tensor(8, 2) @ draw_tensor(2, 5 * 9), draw_tensor(8), draw_tensor(1, 5, 12, 12)
    patches = nn.functional.unfold(image, 3, padding=1)[0].T
    factored = nn.Sequential(nn.Conv2d(5, 2, 3, padding=1, bias=False), nn.Conv2d(2, 8, 1))
    fill(factored, filters, bias, patches)
    full = nn.functional.conv2d(image, filters.view(8, 5, 3, 3), bias, padding=1)
    torch.testing.assert_close(factored(image), full, rtol=0, atol=1e-3)


def test_student_of_the_teachers_architecture_becomes_the_teacher() -> None:
    shape = make_vgg("small", ((6, 6), (8,)), style_layers=("relu1_1", "relu2_1"))
    teacher, student = (ConvEncoder(shape, IMAGENET).requires_grad_(False) for _ in range(2))
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    heads = reduce(student, teacher, images, seed=0)
    for layer, truth in teacher.encode(images, shape.style_layers).items():
        found = torch.einsum("dc,bchw->bdhw", heads[layer], student.encode(images, [layer])[layer])
        assert (found - truth).square().sum() < 1e-3 * truth.square().sum()
