"""What a recipe comes to before it is rendered. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from guidedstyle.reading import Reading
from guidedstyle.scene import CHECK_SIZE, Scene, open_scene
from guidedstyle.survey import collect_notes, survey_scene
from guidedstyle.types import Size


@dataclass(frozen=True)
class Check:
    """A recipe's scene, opened small, and what a person should know before the render."""

    scene: Scene

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: regions too small for a style, overlaps, what falls to nobody."""
        return collect_notes(self.scene, survey_scene(self.scene))

    @property
    def size(self) -> Size:
        """The (width, height) of the picture."""
        return self.scene.size

    @property
    def shares(self) -> dict[str, float]:
        """The share of the picture that each region covers, 0 to 1."""
        regions = self.scene.recipe.regions
        return {region.name: share for region, share in zip(regions, self.scene.shares, strict=False)}


def check_reading(reading: Reading) -> Check:
    """Check what was read with its pictures and masks; raises GuidedStyleError with all problems."""
    return Check(open_scene(reading, CHECK_SIZE))
