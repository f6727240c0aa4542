"""Style networks with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from guidedstyle.networks.card import Card
from guidedstyle.networks.transformer import StyleNetwork


def make_card(styles: Sequence[str], **changes: object) -> Card:
    values = {"width": 4, "size": 512, "encoder": "lite", "recipe": {}, "inputs": {}}
    values |= {"images": 3, "steps": 5, "seed": 0, "versions": {}}
    return Card.model_validate({"styles": styles, **values, **changes})


def make_network(styles: Sequence[str], *, width: int = 4, seed: int = 0) -> StyleNetwork:
    """Make a network whose styles differ, as half precision stores it."""
    torch.manual_seed(seed)
    network = StyleNetwork(styles, width=width).eval().requires_grad_(False)
    for weights in network.style_weights.values():
        weights += 0.3 * torch.randn_like(weights)
    return network.half().float()
