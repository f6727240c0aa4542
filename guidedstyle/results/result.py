"""What a render returns: image, record, layers, and saving them."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from pydantic import BaseModel

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.environment import list_versions
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Rendering
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import MOST_BYTES, atomic_write, read_small_file
from guidedstyle.io.images import save_image, to_pillow
from guidedstyle.io.layered.base import CONTENT_LAYER
from guidedstyle.io.layered.openraster import write_openraster
from guidedstyle.io.paths import name_record
from guidedstyle.losses.terms import Losses
from guidedstyle.masks.compositing import unstack_weights
from guidedstyle.recipe.files import find_overwritten, identify, list_files, list_given
from guidedstyle.recipe.loading.loader import RECIPE_KEY, write_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import Scene
from guidedstyle.types import Array


class _Ending(BaseModel):
    finished: bool
    reason: str
    steps: int
    seconds: float


class _Losses(BaseModel):
    total: float
    smoothness: float
    regions: dict[str, dict[str, float]]


class _Told(BaseModel):
    """What is told of an image that is there already."""

    result: _Ending
    losses: _Losses
    notes: list[str]


def describe_identity(recipe: Recipe) -> dict[str, Any]:
    """Describe what an image depends on: the resolved recipe, hashes of the files it names, versions."""
    return {"recipe": yaml.safe_load(write_recipe(recipe, recipe.output.parent)), **describe_origin(recipe)}


def describe_origin(recipe: Recipe) -> dict[str, Any]:
    """Describe the files that a recipe names, as they are now, and the versions."""
    inputs = {".".join(map(str, path)): _hash(file) for path, file in list_files(recipe)}
    return {"inputs": inputs, "versions": list_versions()}


def describe_render(
    scene: Scene, rendering: Rendering, notes: Sequence[str], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe a render: what it depends on, how it ended, notes, losses per term and region, plan.

    `origin` is what `describe_origin` found when the render began.
    """
    return {
        "recipe": yaml.safe_load(write_recipe(scene.recipe, scene.recipe.output.parent)),
        **origin,
        "seed": scene.recipe.solver.seed,
        "result": {
            "finished": rendering.finished,
            "reason": rendering.reason,
            "steps": rendering.steps,
            "seconds": round(rendering.seconds, 2),
            "stages": list(rendering.reasons),
        },
        "notes": [*notes, *rendering.notes],
        "losses": describe_losses(scene.recipe, rendering.losses),
        "plan": _describe_plan(rendering.plan),
    }


def find_record(recipe: Recipe) -> dict[str, Any] | None:
    """Find the record of an image that was rendered whole from the same recipe and files by the same version."""
    try:
        record: dict[str, Any] = json.loads(read_small_file(name_record(recipe.output), MOST_BYTES))
        finished = _Told.model_validate(record, strict=True).result.finished and recipe.output.is_file()
        same = finished and all(record[key] == value for key, value in describe_identity(recipe).items())
        return record if same else None
    except (OSError, ValueError, KeyError, RecursionError):  # none, or not one of ours
        return None


def write_record(record: Mapping[str, Any]) -> bytes:
    """Write a record as JSON."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def describe_losses(recipe: Recipe, losses: Losses) -> dict[str, Any]:
    """Describe losses: in all, the smoothness, and style and content by region."""
    painted = [region for region in recipe.regions if not region.keep]
    pairs = zip(painted, losses.style.tolist(), losses.content.tolist(), strict=True)
    return {
        "total": float(losses.total),
        "smoothness": float(losses.smoothness),
        "regions": {region.name: {"style": style, "content": content} for region, style, content in pairs},
    }


def _describe_plan(plan: Plan) -> dict[str, Any]:
    device = torch.cuda.get_device_name(plan.device) if plan.device.type == "cuda" else platform.machine()
    return {
        "stages": [
            {"size": stage.size, "steps": stage.steps, "octaves": stage.octaves, "computed": str(plan.tiling(stage))}
            for stage in plan.stages
        ],
        "style_layers": plan.style_layers,
        "content_layers": plan.content_layers,
        "device": f"{plan.device} ({device})",
        "precision": name_precision(plan.precision),
        "threads": torch.get_num_threads(),
        "processes": count_processes(),
        "estimated_memory": plan.memory,
    }


def _hash(file: Path) -> str:
    return "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


def save_layers(scene: Scene, paint: Array, result: Array, file: Path) -> None:
    """Save a rendering as layers, as OpenRaster: the content image, and every region with its mask.

    `paint` (1, 3, H, W) is the image before it is laid over what is kept, `result` the one after.
    """
    photograph, painted = to_pillow(scene.content), to_pillow(paint)
    layers = [(CONTENT_LAYER, photograph.convert("RGBA"))]
    for region, opacity in zip(scene.recipe.regions, unstack_weights(scene.weights), strict=True):
        layer = (photograph if region.keep else painted).convert("RGBA")
        layer.putalpha(Image.fromarray(np.uint8(opacity * 255 + 0.5)))
        layers.append((region.name, layer))
    write_openraster(file, layers, to_pillow(result))


@dataclass(frozen=True)
class Result:
    """A scene, its rendering, notes, and the files and versions that it was made of; a notebook shows the image."""

    scene: Scene
    rendering: Rendering
    notes: tuple[str, ...]
    origin: Mapping[str, Any]

    @cached_property
    def picture(self) -> Image.Image:
        """The image, RGB of 8 bits."""
        return to_pillow(self.rendering.image)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What it was made of, how it ended, losses and plan, as plain data."""
        return describe_render(self.scene, self.rendering, self.notes, self.origin)

    def save(self, file: Path | str | None = None) -> Path:
        """Write the image, or for .ora its layers, to `file` or where the recipe says, and its record beside it.

        Raises GuidedStyleError where it cannot be written.
        """
        if file is not None:
            recipe = self.scene.recipe.model_copy(update={"output": Path(file)})
            return replace(self, scene=replace(self.scene, recipe=recipe)).save()
        output = self.scene.recipe.output
        if overwritten := find_overwritten(identify(list_given(self.scene.recipe)), [output, name_record(output)]):
            raise GuidedStyleError.of("output", overwritten, "choose another name")
        with atomic_write(name_record(output)) as record:  # where the disk is full, neither is new
            record.write_bytes(write_record(self.record))
            if output.suffix.lower() == ".ora":
                save_layers(self.scene, self.rendering.paint, self.rendering.image, output)
            else:
                save_image(self.picture, output, (RECIPE_KEY, write_recipe(self.scene.recipe, output.parent)))
        return output

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        width, height = self.picture.size
        return f"<{width} x {height} px, {self.rendering.reason}, {self.rendering.seconds:.1f} s>"
