"""The pictures that ship are those that the project's own code paints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidedstyle.reading import read_recipe
from guidedstyle.samples import paint_samples
from guidedstyle.scene import CHECK_SIZE, open_scene

ROOT = Path(__file__).parent.parent


def test_shipped_pictures_are_painted_by_the_code() -> None:
    """Up to JPEG's loss, and to the rounding of another processor."""
    for name, painted in paint_samples().items():
        with Image.open(ROOT / name) as picture:
            shipped = np.asarray(picture, np.float32)
        assert shipped.shape == painted.shape, name
        assert np.abs(shipped - painted).mean() < (12 if name.endswith(".jpg") else 0.5), name


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_recipes_are_right(recipe: Path) -> None:
    scene = open_scene(read_recipe(recipe), CHECK_SIZE)
    assert scene.shares[-1] == pytest.approx(0, abs=1e-6)
    assert sum(scene.shares) == pytest.approx(1)


def test_one_recipe_shows_every_key() -> None:
    """Every key of the schema stands in recipes/everything.yaml and in the README's table."""
    from guidedstyle.schema import make_schema

    schema = make_schema()
    text, readme = ((ROOT / name).read_text() for name in ("recipes/everything.yaml", "README.md"))
    parts = {"": schema} | {f"{name}.": schema["$defs"][name] for name in schema["$defs"]}
    prefixes = {"": "", "StyleImage.": "styles.NAME.", "Region.": "regions[].", "SolverChoice.": "solver."}
    for part, model in parts.items():
        for key in model["properties"]:
            assert f"{key}:" in text or f"`{key}:" in text, key
            if part in prefixes:
                assert f"| `{prefixes[part]}{key}" in readme, key
