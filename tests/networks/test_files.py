"""Files of networks: what is read back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.networks import make_card

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.ownership import NETWORK_KEY, is_ours
from guidedstyle.networks.card import read_card
from guidedstyle.networks.files import load_network, save_network
from guidedstyle.networks.transformer import StyleNetwork

STYLES = ("ink", "oil")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(StyleNetwork(STYLES, width=4), make_card(STYLES), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_networks_are_read_back_in_half_precision(file: Path) -> None:
    network, card = load_network(file)
    assert card == make_card(STYLES) == read_card(file)
    torch.manual_seed(0)
    original = StyleNetwork(STYLES, width=4)
    for key, value in original.state_dict().items():
        assert torch.equal(network.state_dict()[key], value.half().float())
    assert not any(weights.requires_grad for weights in network.parameters())
    assert is_ours(file)


def test_the_base_is_part_of_the_card(file: Path) -> None:
    save_network(StyleNetwork(STYLES, width=4), make_card(STYLES, base=make_card(STYLES, steps=9)), file)
    base = read_card(file).base
    assert base
    assert base.steps == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is damaged, or no .safetensors file"),
        (b"not one at all", "it is damaged, or no .safetensors file"),
        ((2**40).to_bytes(8, "little") + b"{}", "it holds no style network"),
        ((2).to_bytes(8, "little") + b"[]", "it is damaged, or no .safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "it holds no style network"),
        ((21).to_bytes(8, "little") + b'{"__metadata__":null}', "it is damaged, or no .safetensors file"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    file.write_bytes(content)
    with pytest.raises(GuidedStyleError, match=message):
        read_card(file)
    assert not is_ours(file)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("{", "its card is damaged"),
        ("[]", "its card is damaged"),
        ('{"format": 1}', "its card is damaged"),
        ("7", "its card is damaged"),
        ("[" * 100_000, "its card is damaged"),
        (make_card(STYLES).model_dump_json().replace('"width":4', '"width":-1'), "its card is damaged"),
        (make_card(STYLES).model_dump_json().replace('"width":4', '"width":4000'), "its card is damaged"),
        ('{"format": 7}', "its format is 7, and this version reads 1"),
    ],
)
def test_damaged_cards_are_refused(card: str, message: str, file: Path) -> None:
    save_file(load_file(file), file, {NETWORK_KEY: card})
    with pytest.raises(GuidedStyleError, match=message):
        read_card(file)


def test_missing_files_and_other_weights_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(GuidedStyleError, match="No such file"):
        read_card(tmp_path / "missing.safetensors")
    save_file({"weight": torch.ones(2)}, file, {NETWORK_KEY: make_card(STYLES).model_dump_json()})
    with pytest.raises(GuidedStyleError, match="its weights are damaged"):
        load_network(file)
    save_network(StyleNetwork(STYLES, width=4), make_card(STYLES), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(GuidedStyleError, match="its weights are damaged"):
        load_network(file)
