"""The record next to an image: what it was made of, how its render ended. Without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from guidedstyle.device.environment import list_versions
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import MOST_BYTES, atomic_write, hash_file, read_small_file
from guidedstyle.io.ownership import hash_content, protect
from guidedstyle.io.paths import name_record
from guidedstyle.recipe.inputs import list_files
from guidedstyle.recipe.loading.loader import dump_recipe
from guidedstyle.recipe.model import Recipe


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


class Outcome(_Frozen):
    """How a render ended: the reason, steps and seconds in all, and the reason at each stage."""

    finished: bool
    reason: str
    steps: int
    seconds: float
    stages: tuple[str, ...] = ()


class RegionLosses(_Frozen):
    """The losses of one region."""

    style: float
    content: float


class LossSummary(_Frozen):
    """The total loss, the smoothness, and the losses of every painted region by its name."""

    total: float
    smoothness: float
    regions: dict[str, RegionLosses]


class StageSummary(_Frozen):
    """A stage of a render: (width, height) in px, steps, octaves, and whether it was computed whole or in tiles."""

    size: tuple[int, int]
    steps: int
    octaves: int
    computed: str = "whole"


class PlanSummary(_Frozen):
    """The stages, layers and machine of a render; `estimated_memory` is in bytes."""

    stages: tuple[StageSummary, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...] = ()
    device: str
    precision: str
    threads: int
    processes: int = 1
    estimated_memory: int


class SavedImage(_Frozen):
    """How an image is stored: the bits of a channel, the name of its colour profile, whether it has alpha."""

    depth: int
    profile: str
    alpha: bool


class Identity(_Frozen):
    """The identity of an image: the recipe, the SHA-256 of its files by key path, and package versions.

    The recipe is as `write_recipe` writes it, with the number of steps and with paths relative to the image; in a
    record also with the precision that was used.
    """

    recipe: dict[str, Any]
    inputs: dict[str, str] = {}
    versions: dict[str, str] = {}


class Record(Identity):
    """The record of a render: its identity, outcome, warnings, losses and plan.

    `digest` is that of the image file beside it, by which a later change of the image shows.
    """

    seed: int
    result: Outcome
    notes: tuple[str, ...] = ()
    losses: LossSummary
    plan: PlanSummary
    digest: str | None = None
    saved: SavedImage | None = None  # earlier versions did not say

    def is_of(self, identity: Identity) -> bool:
        """Whether the render finished and has this identity; with `precision: auto` any precision will do."""
        recipe = identity.recipe
        if recipe["precision"] == "auto" and "precision" in self.recipe:
            recipe = recipe | {"precision": self.recipe["precision"]}
        return self.result.finished and (self.recipe, self.inputs, self.versions) == (
            recipe,
            identity.inputs,
            identity.versions,
        )

    def to_json(self) -> bytes:
        """Write the record as JSON."""
        return (json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


@contextmanager
def writing_record(record: Record, image: Path, *, overwrite: bool) -> Iterator[None]:
    """Write the record of an image that is written meanwhile; if the disk is full, neither is replaced."""
    file, unknown = name_record(image), hash_content(b"")
    with atomic_write(file, ready=lambda: protect([file], overwrite=overwrite)) as part:
        part.write_bytes(record.model_copy(update={"digest": unknown}).to_json())  # as many bytes as in the end
        yield
        part.write_bytes(record.model_copy(update={"digest": hash_content(image.read_bytes())}).to_json())


def identify_recipe(recipe: Recipe) -> Identity:
    """Identify a recipe and its files as they are now; raises OSError where a file cannot be read."""
    inputs = {".".join(map(str, path)): hash_file(file) for path, file in list_files(recipe)}
    return Identity(recipe=dump_recipe(recipe.resolve(), recipe.output.parent), inputs=inputs, versions=list_versions())


def find_record(recipe: Recipe) -> Record | None:
    """Find the record of a recipe's image; None: there is no finished image of this recipe, its files and versions."""
    try:
        record = read_record(name_record(recipe.output))
        if isinstance(record, Record) and recipe.output.is_file() and record.is_of(identify_recipe(recipe)):
            return record
    except (OSError, GuidedStyleError):
        pass
    return None


def read_record(file: Path) -> Record | Identity | None:
    """Read a record, or the identity alone if there is no more; None: there is no file, or another program wrote it.

    Raises GuidedStyleError where the record is damaged.
    """
    if not file.exists():
        return None
    try:
        text = read_small_file(file, MOST_BYTES)
        data = from_json(text)
        if not isinstance(data, dict) or "recipe" not in data:
            return None
        kind = Record if {"result", "losses", "plan"} & data.keys() else Identity
        return kind.model_validate_json(text, strict=True)
    except (OSError, ValueError) as error:
        wrong = "its keys are not a record's" if isinstance(error, ValidationError) else f"{error}"
        remedy = "render the image again with --overwrite, or remove this file to use the recipe in the PNG"
        raise GuidedStyleError.of(file, f"this record is damaged ({wrong})", remedy) from error
