"""Where the encoders' weights come from: the package, a file, or torchvision's server."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from guidedstyle.encoders.architecture import LITE, VGG19, Architecture
from guidedstyle.encoders.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from guidedstyle.errors import GuidedStyleError
from guidedstyle.types import Convention

# Simonyan & Zisserman's networks take RGB in 0..255 minus the mean; images here are in 0..1.
ORIGINAL_MEAN = tuple(value / 255 for value in (123.68, 116.779, 103.939))
ORIGINAL_STD = (1 / 255,) * 3
TORCHVISION_SHA256 = "dcbb9e9d"


def load_lite(file: Path | None = None) -> Encoder:
    """Load the encoder embedded in the package, or one like it that `guidedstyle train distil` wrote to a file.

    Raises GuidedStyleError where the file cannot be read, or holds another network.
    """
    embedded = resources.files("guidedstyle.encoders").joinpath("lite.safetensors")
    state = _read(file)[0] if file else load(embedded.read_bytes())
    return _fill(Encoder(LITE, IMAGENET_MEAN, IMAGENET_STD), state, file)


def load_vgg19(file: Path | None = None, convention: Convention | None = None) -> Encoder:
    """Load VGG-19 (Simonyan & Zisserman 2014, arXiv:1409.1556), as far down as the weights go.

    Without a `file`, torchvision's weights are downloaded once, verified and cached. A file may be
    safetensors or a PyTorch state dict with torchvision's key names. Its `convention` says what input the
    weights expect: `torchvision` (0..1, ImageNet mean and deviation) or `original` (0..255 minus the mean).
    Raises GuidedStyleError where the file cannot be read, its convention is unknown, or there is no network.
    """
    if file is None:
        state, convention = _download(), "torchvision"
    else:
        state, known = _read(file)
        convention = convention or known or _refuse_unknown_convention(file)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if convention == "torchvision" else (ORIGINAL_MEAN, ORIGINAL_STD)
    return _fill(Encoder(_truncate(VGG19, state, file), mean, std), state, file)


def find_vgg19() -> Path:
    """Find where torchvision keeps its weights of VGG-19 once they are downloaded."""
    from torchvision.models import VGG19_Weights

    return Path(torch.hub.get_dir(), "checkpoints", Path(VGG19_Weights.IMAGENET1K_V1.url).name)


def _download() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    try:
        return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise GuidedStyleError.of(
            "encoder: vgg19",
            f"its weights could not be downloaded ({error})",
            "connect to the network, name a local file (encoder: {name: vgg19, weights: FILE}), or use encoder: lite",
        ) from error


def _read(file: Path) -> tuple[dict[str, Tensor], Convention | None]:
    try:
        return _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise GuidedStyleError.of(
            file, "no network weights can be read from it", "name a .safetensors or .pth file of VGG-19"
        ) from error


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], Convention | None]:
    with safe_open(file, framework="pt") as stored:
        note = (stored.metadata() or {}).get("input", "")
        known: Convention | None = "original" if "0..255" in note else None
        return {key: stored.get_tensor(key) for key in stored.keys()}, known  # noqa: SIM118


def _read_pickle(file: Path) -> tuple[dict[str, Tensor], Convention | None]:
    known = hashlib.sha256(file.read_bytes()).hexdigest().startswith(TORCHVISION_SHA256)
    return dict(torch.load(file, map_location="cpu", weights_only=True)), "torchvision" if known else None


def _refuse_unknown_convention(file: Path) -> Convention:
    raise GuidedStyleError.of(
        file,
        "the file does not say which input its weights expect",
        "add convention: torchvision (0..1, ImageNet mean and deviation) or convention: original (0..255 minus mean)",
    )


def _truncate(whole: Architecture, state: dict[str, Tensor], file: Path | None) -> Architecture:
    """Keep of `whole` what `state` has weights for, so that a file of the first layers is enough."""
    present = sum(key.startswith("features.") and key.endswith(".weight") for key in state)
    stages: list[tuple[int, ...]] = []
    for widths in whole.stages:
        stages.append(widths[: max(0, present)])
        present -= len(widths)
    if not stages[0]:
        raise GuidedStyleError.of(file, "it has no key features.0.weight", "name weights with torchvision's key names")
    return replace(whole, stages=tuple(widths for widths in stages if widths))


def _fill(encoder: Encoder, state: dict[str, Tensor], file: Path | None) -> Encoder:
    """Put weights into an encoder and freeze it."""
    encoder.metrics = {key.removeprefix("metric."): state[key].float() for key in state if key.startswith("metric.")}
    wanted = encoder.state_dict().keys()
    try:
        encoder.load_state_dict({key: state[key].float() for key in wanted})
    except (KeyError, RuntimeError) as error:
        name = encoder.architecture.name
        raise GuidedStyleError.of(
            file or name,
            f"these weights do not fit {name} ({_shorten(error)})",
            "set the encoder's name to their network: vgg19, or lite for weights from `guidedstyle train distil`",
        ) from error
    return encoder.eval().requires_grad_(False)


def _shorten(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return f"no {error.args[0]}" if isinstance(error, KeyError) else lines[min(1, len(lines) - 1)]
