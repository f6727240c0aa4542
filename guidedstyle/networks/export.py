"""Export style networks to ONNX, which other programs run without torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import atomic_write, make_folder
from guidedstyle.io.ownership import NETWORK_KEY, protect
from guidedstyle.networks.files import load_network
from guidedstyle.networks.transformer import StyleNetwork

SUFFIX = ".onnx"
OPSET = 18
EXAMPLE = (96, 128)  # (height, width) that the network is traced with; any others work
REGIONS = 2


class _Exported(nn.Module):
    """The network with masks (R, H, W) and mixes (R, S) of one image."""

    def __init__(self, network: StyleNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, masks: Tensor, mixes: Tensor) -> Tensor:
        """Paint an image (1, 3, H, W)."""
        painted: Tensor = self.network(image, masks[None], mixes[None])
        return painted


def export_network(source: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write a style network as ONNX.

    Its inputs are `image` (1, 3, H, W), RGB in sRGB from 0 to 1, `masks` (R, H, W), the weights of regions, and `mixes`
    (R, S), the shares of styles in each; its output is `painted`, as `image`. H and W, 16 at least, and R, up to 64,
    are free. The card is in the metadata. Raises GuidedStyleError where the source is no network, where a library is
    missing, and, unless `overwrite`, where a file of someone else would be replaced.
    """
    if out.suffix != SUFFIX:
        raise GuidedStyleError.of("--output", f"{out} is not an {SUFFIX} file", f"choose a name ending in {SUFFIX}")
    onnx = _require()
    protect([out], overwrite=overwrite)
    network, card = load_network(source)
    height, width = torch.export.Dim("height", min=16), torch.export.Dim("width", min=16)
    regions = torch.export.Dim("regions", min=1, max=64)
    example = torch.rand(1, 3, *EXAMPLE), torch.rand(REGIONS, *EXAMPLE), torch.rand(REGIONS, len(network.styles))
    shapes = {"image": {2: height, 3: width}, "masks": {0: regions, 1: height, 2: width}, "mixes": {0: regions}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own parts
        program = torch.onnx.export(
            _Exported(network),
            example,
            input_names=["image", "masks", "mixes"],
            output_names=["painted"],
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program  # the exporter returns one unless it writes a file itself
    model = program.model_proto
    onnx.helper.set_model_props(model, {NETWORK_KEY: card.model_dump_json()})
    make_folder(out.parent, "--output")
    with atomic_write(out) as part:
        part.write_bytes(model.SerializeToString())


def _require() -> Any:
    """Import the libraries that export; raises GuidedStyleError where one is missing."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        rule = f"it needs the library {error.name}, which is not installed"
        raise GuidedStyleError.of("export", rule, "pip install 'guidedstyle[onnx]'") from error
    return onnx
