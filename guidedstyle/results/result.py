"""The result of a render: image and record, saved as a PNG or as layers."""

from __future__ import annotations

import io
import os
import platform
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from guidedstyle.device.distributed import count_processes
from guidedstyle.device.precision import name_precision
from guidedstyle.engine.plan import Plan
from guidedstyle.engine.progress import Rendering
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import making_folders
from guidedstyle.io.images.profiles import to_float, to_pixels
from guidedstyle.io.images.writing import to_pillow
from guidedstyle.io.ownership import RECIPE_KEY, protect
from guidedstyle.io.paths import name_record
from guidedstyle.losses.terms import Losses
from guidedstyle.recipe.inputs import find_overwritten, identify, list_given
from guidedstyle.recipe.loading.document import write_yaml
from guidedstyle.recipe.loading.loader import dump_recipe
from guidedstyle.recipe.model import Recipe
from guidedstyle.results.output import Output
from guidedstyle.results.record import (
    Identity,
    LossSummary,
    Outcome,
    PlanSummary,
    Record,
    RegionLosses,
    SavedImage,
    StageSummary,
    writing_record,
)
from guidedstyle.scene.scene import Scene


@dataclass(frozen=True)
class Result:
    """A scene, its rendering, warnings, and the identity of its recipe when the render began.

    Notebooks show the image.
    """

    scene: Scene
    rendering: Rendering
    _: KW_ONLY
    notes: tuple[str, ...]
    identity: Identity

    @cached_property
    def picture(self) -> Image.Image:
        """The image in sRGB, of 8 bits: RGB, or RGBA if the content image has transparency."""
        picture = to_pillow(self.rendering.image)
        if self.scene.original and self.scene.original.alpha is not None:
            picture.putalpha(Image.fromarray(to_pixels(to_float(self.scene.original.alpha), 8)))
        return picture

    @cached_property
    def record(self) -> Record:
        """Identity, outcome, warnings, losses and plan; `record.model_dump()` is plain data."""
        rendering, recipe = self.rendering, self.scene.recipe
        return Record(
            recipe=self._dump(recipe),
            inputs=self.identity.inputs,
            versions=self.identity.versions,
            seed=recipe.solver.seed,
            result=Outcome(
                finished=rendering.finished,
                reason=rendering.reason,
                steps=rendering.steps,
                seconds=round(rendering.seconds, 2),
                stages=rendering.reasons,
            ),
            notes=(*self.notes, *rendering.notes),
            losses=summarise_losses(self.scene, rendering.losses),
            plan=_summarise_plan(rendering.plan),
            saved=_describe_output(Output(self.scene, rendering, recipe.output)),
        )

    def save(self, file: str | os.PathLike[str] | None = None, *, overwrite: bool = False) -> Path:
        """Write the image (as layers if it is .ora) to `file`, or where the recipe says, and the record next to it.

        The recipe's `save` says how it is stored: depth, profile, quality. A format that holds no more stores 8 bits.
        The recipe in both states the precision that was used, so that another machine computes in it too.
        Raises GuidedStyleError where that would overwrite an input or, unless `overwrite`, a file that guidedstyle did
        not make, and where it is impossible.
        """
        recipe, record = self.scene.recipe, self.record
        output = recipe.output
        if file is not None:
            output = Path(file)
            recipe = recipe.model_copy(update={"output": output})
            saved = _describe_output(Output(self.scene, self.rendering, output))
            record = record.model_copy(update={"recipe": self._dump(recipe), "saved": saved})
        if overwritten := find_overwritten(identify(list_given(recipe)), [output, name_record(output)]):
            raise GuidedStyleError.of("output", overwritten, "choose another name")
        protect([output, name_record(output)], overwrite=overwrite)
        with making_folders([output], "output"), writing_record(record, output, overwrite=overwrite):
            note = (RECIPE_KEY, write_yaml(record.recipe))
            Output(self.scene, self.rendering, output).save(note, overwrite=overwrite)
        return output

    def _dump(self, recipe: Recipe) -> dict[str, Any]:
        return dump_recipe(recipe.resolve(name_precision(self.rendering.plan.precision)), recipe.output.parent)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        width, height = self.picture.size
        return f"<{width} x {height} px, {self.rendering.reason}, {self.rendering.seconds:.1f} s>"


def _describe_output(output: Output) -> SavedImage:
    return SavedImage(depth=output.depth, profile=output.profile_name, alpha=output.has_alpha)


def summarise_losses(scene: Scene, losses: Losses) -> LossSummary:
    """Summarise losses: total and smoothness, style and content by region."""
    painted = [scene.recipe.regions[index].name for index in scene.painted]
    terms = zip(painted, losses.style.tolist(), losses.content.tolist(), strict=True)
    regions = {name: RegionLosses(style=style, content=content) for name, style, content in terms}
    return LossSummary(total=float(losses.total), smoothness=float(losses.smoothness), regions=regions)


def _summarise_plan(plan: Plan) -> PlanSummary:
    device = torch.cuda.get_device_name(plan.device) if plan.device.type == "cuda" else platform.machine()
    stages = tuple(
        StageSummary(size=stage.size, steps=stage.steps, octaves=stage.octaves, computed=plan.describe(stage))
        for stage in plan.stages
    )
    return PlanSummary(
        stages=stages,
        style_layers=plan.style_layers,
        content_layers=plan.content_layers,
        device=f"{plan.device} ({device})",
        precision=name_precision(plan.precision),
        threads=torch.get_num_threads(),
        processes=count_processes(),
        estimated_memory=plan.memory,
    )
