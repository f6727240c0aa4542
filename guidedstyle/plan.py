"""What a render will do, decided before anything is computed."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import torch

from guidedstyle.encoder import Encoder
from guidedstyle.errors import GuidedStyleError
from guidedstyle.lbfgs import HISTORY
from guidedstyle.recipe import Recipe
from guidedstyle.scene import Scene
from guidedstyle.stages import Stage

RUNTIME_MEMORY = 1000 * 2**20  # bytes that torch and its libraries take, measured on a CPU


@dataclass(frozen=True)
class Tiling:
    """How a size is computed: in tiles of `side` px (None: whole), of which a share is `kept` in memory.

    `content` tells whether the photograph's features stay in memory.
    """

    side: int | None = None
    kept: float = 0.0
    content: bool = True


@dataclass(frozen=True)
class Plan:
    """The sizes, layers, device and precision of a render, and the memory it is estimated to take."""

    stages: tuple[Stage, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    published: bool  # losses and weights of Gatys et al. 2016 instead of relative ones
    device: torch.device
    precision: torch.dtype
    memory: int  # bytes
    tilings: tuple[Tiling, ...] = ()

    def tiling(self, stage: Stage) -> Tiling:
        """Return how a size is computed."""
        return self.tilings[self.stages.index(stage)] if self.tilings else Tiling()


def make_plan(scene: Scene, encoder: Encoder, device: str = "auto") -> Plan:
    """Plan the render of a scene; raises GuidedStyleError where the device is not there or has too little memory."""
    chosen, recipe = choose_device(device), scene.recipe
    style_layers, content_layers = _find_layers(recipe, encoder)
    precision = choose_precision(chosen)
    kept = 2 * HISTORY if recipe.solver.method == "lbfgs" else 3
    memory = estimate_memory(encoder, scene.stages[-1], style_layers, content_layers, precision, kept)
    _check_memory(memory, measure_memory(chosen))
    published = recipe.method == "classic"
    return Plan(scene.stages, style_layers, content_layers, published, chosen, precision, memory)


def _find_layers(recipe: Recipe, encoder: Encoder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the layers at which the painted regions match style and content, in the order of computation."""
    architecture, painted = encoder.architecture, [region.over(recipe) for region in recipe.regions if not region.keep]
    matched = [architecture.weigh_style(one.style_layers) for one in painted if one.strength]
    drawn = [architecture.weigh_content(one.content_layers) for one in painted if one.content_strength]
    style, content = ({layer for layers in found for layer in layers} for found in (matched, drawn))
    missing = sorted((style | content) - encoder.layers.keys())
    if missing:
        rule = f"the weights end before {', '.join(missing)}"
        raise GuidedStyleError.of(f"encoder: {architecture.name}", rule, "name weights that go at least as deep")
    return tuple(filter(style.__contains__, encoder.layers)), tuple(filter(content.__contains__, encoder.layers))


def choose_device(name: str) -> torch.device:
    """Choose `auto` (the GPU where there is one), or the device named; raises GuidedStyleError if it is not there."""
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        rule = f"{name!r} is no device that can be used here"
        raise GuidedStyleError.of(
            "--device", rule, "use auto, cpu, or a GPU that is there: cuda, cuda:1, mps"
        ) from error
    return device


def choose_precision(device: torch.device) -> torch.dtype:
    """Choose bfloat16 for features where the hardware multiplies it natively; Grams and losses stay float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and "avx512_bf16" in cpu_features():
        return torch.bfloat16
    return torch.float32


def cpu_features() -> set[str]:
    """Name the instructions of the processor that matter here."""
    found = torch.cpu.get_capabilities()
    return {name for name, present in found.items() if present is True}


def estimate_memory(
    encoder: Encoder,
    stage: Stage,
    style_layers: tuple[str, ...],
    content_layers: tuple[str, ...],
    precision: torch.dtype,
    pictures: int,
) -> int:
    """Estimate the bytes a render takes at its largest size, `pictures` being what the solver remembers.

    Features are kept for the backward pass, those that are matched also as the rows of their Grams.
    """
    pixels = stage.size[0] * stage.size[1]
    octaves = sum(0.25**octave for octave in range(stage.octaves))
    features, names = 3 * 4 * 10.0, list(encoder.layers)
    depth = max((names.index(name) for name in style_layers + content_layers), default=-1)
    for name, layer in list(encoder.layers.items())[: depth + 1]:
        features += layer.channels / layer.stride**2 * (2 * precision.itemsize + (8 if name in style_layers else 0))
    return round(RUNTIME_MEMORY + pixels * (features * octaves + 3 * 4 * pictures))


def measure_memory(device: torch.device) -> int:
    """Measure the bytes of memory a device has; a large number where it does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return sys.maxsize


def _check_memory(needed: int, there: int) -> None:
    if needed > there:
        rule = f"the render takes about {needed / 2**30:.1f} GiB, the device has {there / 2**30:.1f}"
        raise GuidedStyleError.of("size", rule, "choose a smaller size (--size)")
