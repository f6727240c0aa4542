"""Images, random crops, and the pool of optimised images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from guidedstyle.training.data import CROP, Crops, Pool, find_images

pytestmark = pytest.mark.slow


def test_held_out_images_are_not_used(images: Path) -> None:
    assert [file.name for file in find_images([images], ["1"])] == ["0.png", "2.png"]


def test_equal_seeds_give_equal_crops(images: Path) -> None:
    files = find_images([images])
    first, again, other = (Crops(files, seed).cut(5) for seed in (0, 0, 1))
    assert first.shape == (5, 3, CROP, CROP)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_pool_lowers_losses_and_replaces_old_images(images: Path) -> None:
    pool = Pool(Crops(find_images([images]), seed=0), 4)

    def measure(images: Tensor) -> Tensor:
        return (images.mean((2, 3)) - pool.styles.mean((2, 3))).square().sum(1)

    pool.steps_left[:] = torch.tensor([100, 100, 100, 15])
    styles, before = pool.styles.clone(), measure(pool.images)
    for _ in range(15):
        pool.advance(measure)
    assert (measure(pool.images)[:3] < before[:3]).all()
    assert torch.equal(styles[:3], pool.styles[:3])
    assert not torch.equal(styles[3], pool.styles[3])
    assert pool.images.min() >= 0
    assert pool.images.max() <= 1
