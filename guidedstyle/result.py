"""What comes of a render: the picture, and all that is known of how it came about."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from guidedstyle.editing import save_layers
from guidedstyle.engine.rendering import Rendering
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.files import replacing
from guidedstyle.io.images import save_picture, to_picture
from guidedstyle.io.paths import name_record
from guidedstyle.recipe.files import find_overwritten, identify, list_given
from guidedstyle.recipe.loading.loader import RECIPE_KEY, write_recipe
from guidedstyle.record import describe_render, write_record
from guidedstyle.scene.scene import Scene


@dataclass(frozen=True)
class Result:
    """A scene, its rendering, notes, and the files and versions that it was made of; a notebook shows the picture."""

    scene: Scene
    rendering: Rendering
    notes: tuple[str, ...]
    origin: Mapping[str, Any]

    @cached_property
    def picture(self) -> Image.Image:
        """The picture, RGB of 8 bits."""
        return to_picture(self.rendering.image)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What it was made of, how it ended, losses and plan, as plain data."""
        return describe_render(self.scene, self.rendering, self.notes, self.origin)

    def save(self, file: Path | str | None = None) -> Path:
        """Write the picture, or for .ora its layers, to `file` or where the recipe says, and its record beside it.

        Raises GuidedStyleError where it cannot be written.
        """
        if file is not None:
            recipe = self.scene.recipe.model_copy(update={"output": Path(file)})
            return replace(self, scene=replace(self.scene, recipe=recipe)).save()
        output = self.scene.recipe.output
        if overwritten := find_overwritten(identify(list_given(self.scene.recipe)), [output, name_record(output)]):
            raise GuidedStyleError.of("output", overwritten, "choose another name")
        with replacing(name_record(output)) as record:  # where the disk is full, neither is new
            record.write_bytes(write_record(self.record))
            if output.suffix.lower() == ".ora":
                save_layers(self.scene, self.rendering.paint, self.rendering.image, output)
            else:
                save_picture(self.picture, output, (RECIPE_KEY, write_recipe(self.scene.recipe, output.parent)))
        return output

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        width, height = self.picture.size
        return f"<{width} x {height} px, {self.rendering.reason}, {self.rendering.seconds:.1f} s>"
