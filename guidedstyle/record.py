"""The record beside a picture: all it takes to understand it, or to render it again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import BaseModel

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.rendering import Rendering
from guidedstyle.io.files import MOST_BYTES, read_plain
from guidedstyle.io.paths import name_record
from guidedstyle.losses.terms import Losses
from guidedstyle.recipe.files import list_files
from guidedstyle.recipe.loading.loader import write_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.scene.scene import Scene
from guidedstyle.versions import list_versions


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
    """What is told of a picture that is there already."""

    result: _Ending
    losses: _Losses
    notes: list[str]


def describe_identity(recipe: Recipe) -> dict[str, Any]:
    """Describe what a picture depends on: the resolved recipe, hashes of the files it names, versions."""
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
    """Find the record of a picture that was rendered whole from the same recipe and files by the same version."""
    try:
        record: dict[str, Any] = json.loads(read_plain(name_record(recipe.output), MOST_BYTES))
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
