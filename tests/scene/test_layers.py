"""Layers as masks: those that are hidden, faded or empty are warned of, and empty ones are skipped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import read_recipe
from guidedstyle.scene.check import check_reading

LAYERS = (
    '<image w="96" h="64"><stack><layer name="empty" src="none.png"/><layer name="unseen" src="left.png" '
    'visibility="hidden"/><layer name="faded" src="left.png" opacity="0.5"/></stack></image>'
)


def write_layers(folder: Path, recipe: str) -> Path:
    """Write a document with an empty layer and two whose left half is painted, hidden and faded, and a recipe."""
    left = Image.new("RGBA", (96, 64))
    left.paste("red", (0, 0, 48, 64))
    with zipfile.ZipFile(folder / "scene.ora", "w") as archive:
        archive.writestr("stack.xml", LAYERS)
        for name, picture in (("left", left), ("none", Image.new("RGBA", (96, 64)))):
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            archive.writestr(f"{name}.png", buffer.getvalue())
    Image.new("RGB", (96, 64), "grey").save(folder / "ink.png")
    (folder / "layers.yaml").write_text("content: photo.png\nmasks: scene.ora\n" + recipe)
    return folder / "layers.yaml"


REGION = "styles: {ink: ink.png}\nregions: [{name: rest, mask: rest, style: ink}, {name: a, style: ink, mask: "
WHERE = (
    "styles: {ink: ink.png, more: ink.png}\nregions: [{name: rest, mask: rest, style: ink}, {name: a, "
    "mask: {rectangle: [0, 0, 0.5, 1]}, style: {ink: 1, more: {where: {file: scene.ora, layer: unseen}}}}]"
)
STYLE_MASK = REGION.replace("ink: ink.png", "ink: {image: ink.png, mask: {file: scene.ora, layer: faded}}")
FADED = "'faded' is at 50% opacity and counts so"
UNSEEN = "layer 'unseen' is hidden; it counts as if it were shown"
EMPTY = "layer 'empty' is empty: it counts as nothing, and a region of it alone is skipped"


@pytest.mark.parametrize(
    ("recipe", "share", "warning"),
    [
        (REGION + "{layer: unseen}}]", 0.5, UNSEEN),
        (REGION + "{layer: faded}}]", 0.25, FADED),
        (REGION + "{layer: faded, layer_opacity: ignore}}]", 0.5, None),
        (REGION + "{layer: faded, layer_opacity: count}}]", 0.25, None),
        (REGION + "{layer: empty}}]", 0, EMPTY),
        (REGION + "{any: [{layer: empty}, {layer: unseen}]}}]", 0.5, EMPTY),
        (REGION + "{layer: unseen, invert: true, feather: 0}}]", 0.5, UNSEEN),
        (REGION + "{except: [all, {layer: faded}]}}]", 0.75, FADED),
        (STYLE_MASK + "{layer: unseen}}]", 0.5, FADED),
        (WHERE, 0.5, UNSEEN),
    ],
)  # fmt: skip
def test_layers_are_told_of_wherever_they_are_masks(
    project: Path, recipe: str, share: float, warning: str | None
) -> None:
    checked = check_reading(read_recipe(write_layers(project, recipe)))
    assert checked.shares["a"] == pytest.approx(share, abs=0.01)
    assert checked.shares["rest"] == pytest.approx(1 - share, abs=0.01)
    found = [one for one in checked.warnings if "scene.ora" in one]
    assert any(warning in one for one in found) if warning else not found


@pytest.mark.parametrize(
    ("masks", "refused"), [(["empty", "empty"], 2), (["empty", "faded"], 0), (["faded", "empty"], 0)]
)
def test_a_region_of_an_empty_layer_is_skipped_unless_it_is_the_only_one(
    project: Path, masks: list[str], refused: int
) -> None:
    regions = ", ".join(f"{{name: r{index}, style: ink, mask: {{layer: {mask}}}}}" for index, mask in enumerate(masks))
    recipe = write_layers(project, f"styles: {{ink: ink.png}}\nregions: [{regions}]\n")
    if refused:
        with pytest.raises(GuidedStyleError) as caught:
            check_reading(read_recipe(recipe))
        assert len(caught.value.problems) == refused
        assert all("layer 'empty' is empty" in problem.rule for problem in caught.value.problems)
    else:
        assert check_reading(read_recipe(recipe)).scene.painted == (masks.index("faded"),)


def test_a_shared_file_says_whether_opacity_counts(project: Path) -> None:
    recipe = write_layers(project, REGION + "{layer: faded}}]")
    text = recipe.read_text().replace("masks: scene.ora", "masks: {file: scene.ora, layer_opacity: ignore}")
    recipe.write_text(text)
    assert check_reading(read_recipe(recipe)).shares["a"] == pytest.approx(0.5)
    recipe.write_text(text.replace("{layer: faded}", "{layer: faded, layer_opacity: count}"))
    assert check_reading(read_recipe(recipe)).shares["a"] == pytest.approx(0.25, abs=0.01)
