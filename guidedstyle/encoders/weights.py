"""Load encoders by name, with weights from the package, a file, or a download."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from contextlib import nullcontext
from importlib import resources
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from guidedstyle.encoders.architecture import Architecture, Download, Embedded
from guidedstyle.encoders.encoder import ConvEncoder
from guidedstyle.encoders.registry import find_architecture, find_embedded, list_encoders
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import check_writable
from guidedstyle.types import Convention

State = dict[str, Tensor]


def load_by_name(name: str, file: Path | None = None, convention: Convention | None = None) -> ConvEncoder:
    """Load an encoder, as deep as its weights go.

    Without a `file` its weights are those of the package, or are downloaded once, verified and cached. A file is a
    safetensors file or a PyTorch state dict with the architecture's keys. `convention` says which input its weights
    expect; it is needed where the encoder's can expect several and the file does not say which. Raises
    GuidedStyleError where the weights cannot be read or downloaded, do not fit, or their convention is unknown.
    """
    architecture = find_architecture(name)
    state, stated = _read(file, architecture) if file else _read_source(architecture)
    stated = stated if stated in architecture.inputs else None
    chosen = convention or stated or _choose_convention(architecture, file)
    present = architecture.cut(state)
    if not present.layers:
        key = next(step.block.key for step in architecture.trace() if hasattr(step.block, "key"))
        remedy = f"name weights with the usual key names of {name}"
        raise GuidedStyleError.of(file or name, f"it has no key {key}.weight", remedy)
    with torch.random.fork_rng(devices=()):  # it draws weights, which are replaced
        encoder = ConvEncoder(present, architecture.inputs[chosen])
    return _fill(encoder, state, file)


def find_download(source: Download) -> Path | None:
    """Return where downloaded weights are kept, whether they are there or not; None: there is no home folder."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    return None if folder.parts[0] == "~" else folder / source.name


def find_missing(name: str) -> Download | None:
    """Return the download of an encoder's weights where they are not on this machine yet, else None."""
    source = find_architecture(name).source
    if not isinstance(source, Download) or ((file := find_download(source)) and file.is_file()):
        return None
    return source


def _read_source(architecture: Architecture) -> tuple[State, Convention | None]:
    """Read the weights of an encoder that come without a file of the user's."""
    match architecture.source:
        case Embedded(file):
            return load(resources.files("guidedstyle.encoders").joinpath(file).read_bytes()), None
        case Download() as source:
            return _download(architecture.name, source), source.convention
    rule, remedy = "its weights are not part of the package", f"name a file: {_name_file(architecture.name)}"
    raise GuidedStyleError.of(f"encoder: {architecture.name}", rule, remedy)


def _name_file(name: str) -> str:
    return f"encoder: {{name: {name}, weights: FILE}}"


def _download(name: str, source: Download) -> State:
    """Load weights that were downloaded before, or download them: where nothing can be kept, only for this process."""
    try:
        with tempfile.TemporaryDirectory() if _is_temporary(source) else nullcontext() as folder:
            return dict(
                torch.hub.load_state_dict_from_url(
                    source.url, folder, map_location="cpu", check_hash=True, weights_only=True
                )
            )
    except (URLError, OSError, RuntimeError) as error:
        raise GuidedStyleError.of(
            f"encoder: {name}",
            f"its weights could not be downloaded ({error})",
            f"connect to the network, name a local file ({_name_file(name)}), or use encoder: {find_embedded()}",
        ) from error


def _is_temporary(source: Download) -> bool:
    """Whether weights have to be downloaded and cannot be kept."""
    file = find_download(source)
    if file and file.is_file():
        return False
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            check_writable(file.parent)
    except (OSError, GuidedStyleError):
        return True
    return file is None


def _read(file: Path, architecture: Architecture) -> tuple[State, Convention | None]:
    """Read the weights of a file, and the convention of their input if it says which."""
    try:
        return _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file, architecture)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        remedy = f"name a .safetensors or .pth file of {architecture.name}"
        raise GuidedStyleError.of(file, "no network weights can be read from it", remedy) from error


def _read_safetensors(file: Path) -> tuple[State, Convention | None]:
    with safe_open(file, framework="pt") as stored:
        note = (stored.metadata() or {}).get("input", "")
        stated: Convention | None = "original" if "0..255" in note else None
        return {key: stored.get_tensor(key) for key in stored.keys()}, stated  # noqa: SIM118


def _read_pickle(file: Path, architecture: Architecture) -> tuple[State, Convention | None]:
    state, source = dict(torch.load(file, map_location="cpu", weights_only=True)), architecture.source
    if isinstance(source, Download) and hashlib.sha256(file.read_bytes()).hexdigest().startswith(source.digest):
        return state, source.convention
    return state, None


DESCRIPTIONS: dict[Convention, str] = {
    "torchvision": "0..1, ImageNet mean and deviation",
    "original": "0..255 minus mean",
}


def _choose_convention(architecture: Architecture, file: Path | None) -> Convention:
    """Choose the only convention of an encoder; raises GuidedStyleError where there are several."""
    if len(architecture.inputs) == 1:
        return next(iter(architecture.inputs))
    choices = " or ".join(f"convention: {one} ({DESCRIPTIONS[one]})" for one in architecture.inputs)
    rule = "the file does not say which input its weights expect"
    raise GuidedStyleError.of(file or architecture.name, rule, f"add {choices}")


def _fill(encoder: ConvEncoder, state: State, file: Path | None) -> ConvEncoder:
    """Put weights into an encoder and freeze it."""
    encoder.metrics = {key.removeprefix("metric."): state[key].float() for key in state if key.startswith("metric.")}
    keys = encoder.state_dict().keys()
    try:
        encoder.load_state_dict({key: state[key].float() for key in keys})
    except (KeyError, RuntimeError) as error:
        name = encoder.architecture.name
        raise GuidedStyleError.of(
            file or name,
            f"these weights do not fit {name} ({_shorten(error)})",
            f"set the encoder's name to their network: {' or '.join(list_encoders())}",
        ) from error
    return encoder.eval().requires_grad_(False)


def _shorten(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return f"no {error.args[0]}" if isinstance(error, KeyError) else lines[min(1, len(lines) - 1)]
