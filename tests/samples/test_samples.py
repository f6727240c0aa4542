"""The sample images, their recipes, and the schema."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import guidedstyle
from guidedstyle.app.starters import projects
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.recipe.schema import list_keys, make_schema
from guidedstyle.scene.opening import open_scene
from guidedstyle.scene.scene import CHECK_SIZE

ROOT = Path(__file__).parents[2]
guidedstyle.__path__.append(str(ROOT / "guidedstyle"))  # the samples' programs are not installed

from guidedstyle.samples import paint_samples  # noqa: E402


@pytest.mark.slow
def test_sample_images_are_painted_by_the_code() -> None:
    """Up to JPEG compression and the rounding of another processor."""
    for name, painted in paint_samples().items():
        with Image.open(ROOT / name) as image:
            shipped = np.asarray(image, np.float32)
        assert shipped.shape == painted.shape, name
        assert np.abs(shipped - painted).mean() < (12 if name.endswith(".jpg") else 0.5), name


def test_wheel_contains_what_init_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tmp_path / target)
    monkeypatch.setattr(projects, "_find_samples", lambda: tmp_path / "guidedstyle" / "starter")
    recipe = projects.write_starter(tmp_path / "mine")
    assert guidedstyle.check(recipe).shares
    assert not list((tmp_path / "mine").rglob("*.md"))
    made = {str(file.relative_to(ROOT)) for file in (ROOT / "masks").glob("*.png")}
    assert made <= wheel["force-include"].keys()


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_recipes_are_valid(recipe: Path) -> None:
    scene = open_scene(read_recipe(recipe), CHECK_SIZE)
    assert scene.shares[-1] == pytest.approx(0, abs=1e-6)
    assert sum(scene.shares) == pytest.approx(1)


def test_one_recipe_shows_every_key() -> None:
    text = (ROOT / "recipes" / "everything.yaml").read_text()
    for keys in list_keys().values():
        for key in keys:
            last = key.name.rsplit(".", 1)[-1].removesuffix("[]")
            assert f"{last}:" in text or f"`{last}:" in text, key.name


def test_schema_describes_every_key() -> None:
    schema = make_schema()
    for name, model in [("", schema), *schema["$defs"].items()]:
        for key, entry in model["properties"].items():
            assert entry["description"] and "\n" not in entry["description"], (name, key)
    for keys in list_keys().values():
        for key in keys:
            assert key.values and key.meaning, key.name


def test_numbers_of_the_schema_have_units() -> None:
    for name, model in [("", make_schema()), *make_schema()["$defs"].items()]:
        for key, entry in model["properties"].items():
            numbers = [kind for kind in walk(entry) if kind.get("type") in ("number", "integer")]
            if numbers and "enum" not in entry:
                assert "unit" in entry or key in {"weight", "style"}, (name, key)


def walk(entry: object) -> list[dict[str, object]]:
    """List an entry of a schema and everything inside it."""
    if isinstance(entry, list):
        return [found for part in entry for found in walk(part)]
    return [entry, *walk(list(entry.values()))] if isinstance(entry, dict) else []
