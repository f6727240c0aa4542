"""Painting of large images: in tiles with the statistics of a reduced image."""

from __future__ import annotations

import pytest
import torch
from support.images import draw_tensor

from guidedstyle.networks import painting
from guidedstyle.networks.painting import estimate_memory, paint, split_side
from guidedstyle.networks.transformer import COARSEST, HALO, StyleNetwork


@pytest.fixture
def network() -> StyleNetwork:
    torch.manual_seed(0)
    return StyleNetwork(["ink", "oil"], width=4).eval().requires_grad_(False)


def test_tiles_with_the_statistics_of_the_whole_are_the_whole(
    network: StyleNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "SIDE", 5 * COARSEST)
    image, regions = draw_tensor(1, 3, 90, 2 * HALO + 205).sigmoid(), draw_tensor(2, 90, 2 * HALO + 205).softmax(0)
    mixes = draw_tensor(2, 2).softmax(1)
    whole = paint(network, image, regions, mixes).image
    tiles = painting._paint_tiles(network, image, regions[None], mixes[None], [image, regions[None]])
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)


def test_short_memory_is_told_with_what_it_changes(network: StyleNetwork) -> None:
    image, regions = torch.rand(1, 3, 320, 400), torch.ones(1, 320, 400)
    least = estimate_memory(4, (400, 320), regions=1, itemsize=4)
    assert not paint(network, image, regions, torch.tensor([[1.0, 0]]), limit=least).warnings
    found = paint(network, image, regions, torch.tensor([[1.0, 0]]), limit=least - 1000)
    assert found.image.shape == image.shape
    (warning,) = found.warnings
    assert "those of 400 px are used" in warning
    levels = float(warning.rpartition(" by ")[2].split()[0])
    assert 0 < levels < 60


def test_sides_are_covered_once_and_windows_begin_on_the_coarsest_grid() -> None:
    for length in (1, 500, 1024, 1025, 5000):
        pairs = list(split_side(length))
        assert [position for _, own in pairs for position in range(own.start, own.stop)] == list(range(length))
        for window, own in pairs:
            assert window.start % COARSEST == 0
            assert (window.start, window.stop) == (max(0, own.start - HALO), min(length, own.stop + HALO))


def test_an_image_that_does_not_fit_after_all_is_painted_in_tiles(
    network: StyleNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, regions, forward = torch.rand(1, 3, 300, 600), torch.ones(1, 300, 600), network.forward

    def fail_whole(content: torch.Tensor, *others: torch.Tensor, **options: object) -> torch.Tensor:
        if content.shape[3] == 600 and not options:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
            )
        return forward(content, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "forward", fail_whole)
    found = paint(network, image, regions, torch.tensor([[1.0, 0]]))
    assert "not enough memory" in found.warnings[0]
    assert found.image.shape == image.shape
