"""Files of style networks: weights and card, as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from guidedstyle.io.files import write_file
from guidedstyle.io.ownership import NETWORK_KEY
from guidedstyle.networks.card import Card, read_card, refuse
from guidedstyle.networks.transformer import StyleNetwork


def save_network(network: StyleNetwork, card: Card, file: Path) -> None:
    """Write a network and its card, in half precision."""
    state = {key: value.detach().half().cpu().contiguous() for key, value in network.state_dict().items()}
    write_file(file, save(state, {NETWORK_KEY: card.model_dump_json()}))


def load_network(file: Path) -> tuple[StyleNetwork, Card]:
    """Load a network and its card, in float32; raises GuidedStyleError where it cannot be read or is damaged."""
    card = read_card(file)
    with torch.random.fork_rng(devices=[]):  # the weights that it draws are replaced
        network = StyleNetwork(card.styles, width=card.width)
    try:
        network.load_state_dict({key: value.float() for key, value in load_file(file).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise refuse(file, "its weights are damaged, or not those that its card says") from error
    return network.eval().requires_grad_(False), card
