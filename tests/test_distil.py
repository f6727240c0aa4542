"""The parts that the embedded encoder is made with."""

from __future__ import annotations

import torch

from guidedstyle.distil import choose_channels, predict_linearly, reduce_to_metric


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def test_the_metric_measures_gram_distances_as_the_head_does() -> None:
    head, grams = draw(20, 6), draw(5, 6, 6)
    metric = reduce_to_metric(head)
    torch.testing.assert_close(metric, metric.T)
    through_head = (head @ (grams + grams.mT) @ head.T).norm(dim=(1, 2))
    through_metric = (metric @ (grams + grams.mT) @ metric.T).norm(dim=(1, 2))
    torch.testing.assert_close(through_metric / through_metric[0], through_head / through_head[0])


def test_least_squares_finds_the_map_there_is() -> None:
    known, wanted = draw(4, 500), draw(7, 4)
    torch.testing.assert_close(predict_linearly(known, wanted @ known), wanted, rtol=0, atol=1e-3)


def test_chosen_channels_explain_the_others() -> None:
    """Of twelve channels that are mixtures of three, any right choice of three predicts all."""
    rows = draw(12, 3) @ draw(3, 400)
    chosen = choose_channels(rows, 3)
    assert len(set(chosen)) == 3
    residual = predict_linearly(rows[chosen], rows) @ rows[chosen] - rows
    assert residual.square().mean() < 1e-2 * rows.square().mean()


def test_the_strongest_channel_is_chosen_first() -> None:
    rows = torch.eye(4).repeat(1, 10) * torch.tensor([1.0, 5.0, 2.0, 3.0])[:, None]
    assert choose_channels(rows, 4) == [1, 3, 2, 0]
