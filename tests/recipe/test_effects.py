"""Keys without effect: a warning that names the key and the line, an error with `check --strict`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command_server import CommandServer
from support.commands import refuse

import guidedstyle
from guidedstyle.errors import GuidedStyleError
from guidedstyle.io.images.reading import read_image
from guidedstyle.recipe.loading.loader import load_recipe, read_recipe
from guidedstyle.recipe.loading.settings import parse_setting
from guidedstyle.scene.check import check_reading

HEAD = "content: photo.png\nstyles: {ink: ink.png, oil: oil.png}\n"
SMALL = "content: photo.png\nstyle: ink.png\n"
GROUND = "regions:\n  - {name: a, mask: rest, style: oil}\n"
IDLE = {  # the recipe, and its only warning
    "a style that no region uses": (
        HEAD + GROUND,
        "a.yaml:2: styles.ink: no region uses the style 'ink' (give it to a region, or remove it)",
    ),
    "a style that no region uses, of two that are combined": (
        "content: photo.png\nstyles: {ink: ink.png, oil: oil.png, both: {fine: ink, coarse: oil}}\n"
        "regions: [{name: a, mask: rest, style: ink}]\n",
        "a.yaml:2: styles.oil: no region uses the style 'oil' (give it to a region, or remove it)\n"
        "a.yaml:2: styles.both: no region uses the style 'both' (give it to a region, or remove it)",
    ),
    "keep beside a style": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: ink, keep: true}\n",
        "a.yaml:5: regions[1].style: it has no effect: a kept region is not painted (remove style, or keep)",
    ),
    "a style whose weight is 0, kept": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: {ink: 0}, keep: true}\n",
        "a.yaml:5: regions[1].style: it has no effect: a kept region is not painted (remove style, or keep)",
    ),
    "a control of a kept region": (
        HEAD + GROUND.replace("oil", "{oil: 1, ink: 1}") + "  - {name: b, mask: left.png, keep: true, strength: 2}\n",
        "a.yaml:5: regions[1].strength: it has no effect: a kept region is not painted (remove strength, or keep)",
    ),
    "a border of a painted region": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: ink, border: 3%}\n",
        "a.yaml:5: regions[1].border: it has no effect: only kept regions have a border (remove border, or add keep: true)",
    ),
    "a strength of the style's own colours": (
        SMALL + "colour_strength: 0.5\n",
        "a.yaml:3: colour_strength: it has no effect: colour is style (set colour, for example to match, or remove colour_strength)",
    ),
    "a strength of a region's own colours": (
        HEAD + "colour: match\n" + GROUND + "  - {name: b, mask: left.png, style: ink, colour: style, colour_strength: 0.5}\n",
        "a.yaml:6: regions[1].colour_strength: it has no effect: colour is style (set colour, for example to match, or remove colour_strength)",
    ),
    "statistics of no style": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: ink, strength: 0, statistics: mean}\n",
        "a.yaml:5: regions[1].statistics: it has no effect: strength is 0, so no style is painted (remove statistics, or set strength)",
    ),
    "layers of no content": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: ink, content_strength: 0, content_layers: relu1_1}\n",
        "a.yaml:5: regions[1].content_layers: it has no effect: content_strength is 0, so no content is kept (remove content_layers, or set content_strength)",
    ),
    "octaves of no style": (
        SMALL + "strength: 0\noctaves: fine\n",
        "a.yaml:4: octaves: it has no effect: strength is 0 everywhere (remove octaves, or set strength)",
    ),
    "layers of no content, everywhere": (
        SMALL + "content_strength: 0\ncontent_layers: relu1_1\n",
        "a.yaml:4: content_layers: it has no effect: content_strength is 0 everywhere (remove content_layers, or set content_strength)",
    ),
    "neither style nor content": (
        HEAD + GROUND + "  - {name: b, mask: left.png, style: ink, strength: 0, content_strength: 0}\n",
        "a.yaml:5: regions[1]: region 'b' stays as it starts: strength and content_strength are 0 (set one of them)",
    ),
    "ignored colours of a mask without colours": (
        SMALL.replace("style: ink.png", "styles: {ink: ink.png}")
        + "regions:\n  - {name: a, mask: {file: left.png, ignore: [red]}, style: ink}\n  - {name: b, mask: rest, keep: true}\n",
        "a.yaml:4: regions[0].mask.ignore: it has no effect: ignore needs a colour-coded file (add colour:, or remove ignore)",
    ),
    "a tolerance of a mask without colours": (
        SMALL.replace("style: ink.png", "styles: {ink: ink.png}")
        + "regions:\n  - {name: a, mask: {file: left.png, tolerance: 9}, style: ink}\n  - {name: b, mask: rest, keep: true}\n",
        "a.yaml:4: regions[0].mask.tolerance: it has no effect: tolerance needs a colour-coded file (add colour:, or remove tolerance)",
    ),
    "shared masks that no region uses": (
        SMALL + "masks: left.png\n",
        "a.yaml:3: masks: no region uses this file (name a colour, layer or channel of it in a mask, or remove masks)",
    ),
    "a convention of an encoder that has one": (
        SMALL + "encoder: {convention: original}\n",
        "a.yaml:3: encoder.convention: it has no effect: lite has only one convention (remove convention, or set name: vgg19 or vgg16 or squeezenet or squeezenet1_1)",
    ),
}  # fmt: skip


def warn(folder: Path, text: str, *settings: str) -> list[str]:
    (folder / "a.yaml").write_text(text)
    check = check_reading(read_recipe(folder / "a.yaml", [parse_setting(setting) for setting in settings]))
    return [warning.replace(f"{folder}/", "") for warning in check.warnings]


@pytest.mark.parametrize("case", IDLE)
def test_a_key_without_effect_is_a_warning_which_appears_once(project: Path, case: str) -> None:
    text, warnings = IDLE[case]
    assert [one for one in warn(project, text) if "too thin" not in one] == warnings.split("\n")


def test_warnings_are_errors_with_strict(server: CommandServer, project: Path) -> None:
    text, warnings = IDLE["a style that no region uses, of two that are combined"]
    (project / "a.yaml").write_text(text)
    shown = [line.replace(" (", "\n    ").replace(")", "\n") for line in warnings.split("\n")]
    assert server.refuse(project, "check", "a.yaml", "--strict") == shown
    assert server.accept(project, "check", "a.yaml").out.count("no region uses") == 2
    (project / "b.yaml").write_text(SMALL)
    server.accept(project, "check", "b.yaml", "--strict")


def test_strict_reports_errors_and_warnings_at_once(server: CommandServer, project: Path) -> None:
    (project / "ink.png").write_bytes(b"broken")
    (project / "a.yaml").write_text(SMALL + "colour_strength: 0.5\n")
    found = server.refuse(project, "check", "a.yaml", "--strict")
    assert [line.split(": ")[1] for line in found] == ["styles.style.image", "colour_strength"]


def test_strict_makes_every_kind_of_warning_an_error_with_a_remedy(project: Path) -> None:
    """An old name of a key; pixels in no region, a warning about the scene."""
    text = HEAD + "solver: {rate: 0.1}\nregions:\n  - {name: a, mask: left.png, style: {ink: 1, oil: 1}}\n"
    (project / "a.yaml").write_text(text)
    assert len(guidedstyle.check(project / "a.yaml").warnings) == 2
    with pytest.raises(GuidedStyleError) as caught:
        guidedstyle.check(project / "a.yaml", strict=True)
    shown = [f"{p}".replace(f"{project}/", "").replace("\n    ", " | ") for p in caught.value.problems]
    assert shown == [
        "a.yaml:3: solver.rate: the key rate is now called learning_rate | write learning_rate instead of rate",
        "a.yaml: 50.0% of the image is in no region and stays unchanged | mask: rest covers it",
    ]
    assert all(problem.remedy for problem in caught.value.problems)


def test_a_recipe_made_by_a_program_is_warned_about_too(project: Path) -> None:
    recipe = load_recipe(project / "recipe.yaml")
    kept = recipe.regions[1].model_copy(update={"keep": True})
    found = guidedstyle.check(recipe.model_copy(update={"regions": (recipe.regions[0], kept)})).warnings
    assert found == (
        "recipe: regions[1].style: it has no effect: a kept region is not painted (remove style, or keep)",
    )


def test_keep_wins_over_a_style(project: Path) -> None:
    text = HEAD + GROUND + "  - {name: b, mask: left.png, style: %s, keep: true}\nsolver: {steps: 2}\n"
    (project / "a.yaml").write_text(text % "ink")
    (project / "b.yaml").write_text(text.replace("style: %s, ", ""))
    both = [guidedstyle.render(project / name, device="cpu") for name in ("a.yaml", "b.yaml")]
    for result, name in zip(both, "ab", strict=True):
        result.save(project / f"{name}-out.png")
    kept, bare = (np.asarray(read_image(project / f"{name}-out.png")) for name in "ab")
    assert (kept == bare).all()
    assert (kept[:, :40] == np.asarray(read_image(project / "photo.png"))[:, :40]).all()


@pytest.mark.parametrize(
    "setting", ["regions.left.style=ink", "regions.left.style=oil", "regions.left.keep=true", "regions.right.style=oil"]
)
def test_an_experiment_with_a_setting_is_not_refused(project: Path, setting: str) -> None:
    check_reading(read_recipe(project / "recipe.yaml", [parse_setting(setting)]))


def test_every_combination_of_a_sweep_of_styles_can_be_rendered(server: CommandServer, project: Path) -> None:
    text = (project / "recipe.yaml").read_text().replace("{oil: 0.75, ink: 0.25}", "oil")
    (project / "recipe.yaml").write_text(text)
    axes = ("--vary", "regions.left.style=ink,oil", "--vary", "regions.right.style=ink,oil")
    out = server.accept(project, "sweep", "recipe.yaml", *axes, "--dry-run").out
    assert out.count("regions.left.style=") == 4


def test_a_region_that_is_commented_out(project: Path) -> None:
    lines = (HEAD + GROUND + "  - {name: b, mask: left.png, style: ink}\n").splitlines()
    assert warn(project, "\n".join(lines)) == []
    (warning,) = warn(project, "\n".join([*lines[:-1], f"# {lines[-1]}"]))
    assert warning.startswith("a.yaml:2: styles.ink: no region uses")


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("ink.png", "gone.png") + GROUND,  # the file of a style that no region uses
        HEAD + GROUND + "  - {name: b, mask: left.png, style: inc, keep: true}\n",  # beside keep
        HEAD + GROUND + "  - {name: b, mask: gone.png, keep: true, strength: 2}\n",
        HEAD + GROUND + "  - {name: b, mask: left.png, keep: true, strength: -2}\n",
    ],
)
def test_what_is_wrong_in_a_key_without_effect_stays_an_error(project: Path, text: str) -> None:
    assert len(refuse(project / "a.yaml", text)) == 1
