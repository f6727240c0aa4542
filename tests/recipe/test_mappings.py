"""A recipe from Python: a mapping with the keys of YAML, images in memory in place of files, numbers of NumPy."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import guidedstyle
from guidedstyle.engine.cache import StatisticsCache
from guidedstyle.errors import GuidedStyleError
from guidedstyle.recipe.loading.loader import dump_recipe, write_recipe
from guidedstyle.run.options import Every, RenderOptions

RECIPES = Path(__file__).parents[2] / "recipes"
PHOTO, LABELS = "photo.png", "labels.png"


def read(file: str) -> np.ndarray[Any, Any]:
    with Image.open(file) as picture:
        return np.asarray(picture)


@pytest.fixture
def folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the project the working folder, with a colour-coded image and a soft mask."""
    labels = np.zeros((64, 96, 3), np.uint8)
    labels[:40], labels[40:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(labels).save(project / LABELS)
    soft = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    Image.fromarray(soft).save(project / "soft.png")
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_mapping_means_what_its_yaml_means(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RECIPES)
    data = yaml.safe_load(file.read_text())
    data.setdefault("output", f"{file.stem}.png")
    assert guidedstyle.load_recipe(data) == guidedstyle.load_recipe(Path(file.name))


def everywhere(take: Any) -> dict[str, Any]:
    """Make a recipe with an image in every place that takes one."""
    return {
        "content": take(PHOTO),
        "masks": take(LABELS),
        "styles": {
            "ink": take("ink.png"),
            "oil": {"image": take("oil.png"), "mask": {"ellipse": [0, 0, 1, 0.9]}},
            "part": {"image": take("oil.png"), "mask": {"any": [take("left90.png"), {"rectangle": [0, 0, 0.4, 1]}]}},
        },
        "regions": [
            {"name": "red", "mask": {"colour": "red"}, "style": {"oil": 1, "ink": {"where": take("soft.png")}}},
            {
                "name": "blue",
                "mask": {"colour": "blue", "feather": 2},
                "style": {"ink": take("soft.png"), "part": 0.5},
                "init": {"file": take("oil.png"), "content": 0.5},
            },
            {
                "name": "corner",
                "mask": {"both": [take("left.png"), {"except": ["all", take("soft.png")]}]},
                "style": "part",
                "init": take("ink.png"),
            },
        ],
        "solver": {"steps": 3},
    }


def test_images_in_every_place_give_the_bits_of_their_files(folder: Path) -> None:
    Image.open("left.png").resize((90, 60)).save("left90.png")
    files = guidedstyle.render(everywhere(str), device="cpu")
    arrays = guidedstyle.render(everywhere(read), device="cpu")
    assert np.array_equal(arrays.rendering.image, files.rendering.image)
    assert arrays.record.losses == files.record.losses and arrays.record.notes == files.record.notes


def test_the_smallest_recipes_take_images_too(folder: Path) -> None:
    for content, style in ((read(PHOTO), read("ink.png") / 255), (PHOTO, torch.from_numpy(read("ink.png").copy()))):
        recipe = guidedstyle.load_recipe({"content": content, "style": style, "size": 48})
        assert guidedstyle.check(recipe).shares == {"picture": 1.0}
    texture = guidedstyle.load_recipe({"canvas": np.array([64, 48]), "style": read("ink.png")})
    assert guidedstyle.check(texture).size == (64, 48)


def test_the_callers_data_are_copied_and_not_changed(folder: Path) -> None:
    photo = read(PHOTO).copy()
    data = {"content": photo, "style": "ink.png", "solver": {"steps": 3}, "octaves": np.ones(3)}
    before = copy.deepcopy(data)
    recipe = guidedstyle.load_recipe(data, {"solver.steps": 2})
    assert (
        data.keys() == before.keys() and data["solver"] == before["solver"] and np.array_equal(photo, before["content"])
    )
    photo[:] = 0
    assert np.array_equal(guidedstyle.check(recipe).scene.content, guidedstyle.check(before).scene.content)


def test_the_record_names_images_by_digest_and_says_that_no_file_holds_them(folder: Path) -> None:
    data = {"content": read(PHOTO), "styles": {"ink": "ink.png"}, "solver": {"steps": 2}}
    data["regions"] = [{"name": "sky", "mask": read("left.png") > 0, "style": "ink"}]
    result = guidedstyle.render(data, device="cpu")
    file = result.save("out.png")
    record = json.loads(Path("out.png.json").read_text())
    assert (
        record["recipe"]["content"].startswith("array:sha256:")
        and record["recipe"]["styles"]["ink"]["image"] == "ink.png"
    )
    assert record["inputs"]["content"].startswith(record["recipe"]["content"].removeprefix("array:"))
    (folder / "sub").mkdir()
    result.save(Path("sub", "out.png"))
    moved = json.loads(Path("sub", "out.png.json").read_text())["recipe"]
    assert (moved["content"], moved["styles"]["ink"]["image"]) == (record["recipe"]["content"], "../ink.png")
    with pytest.raises(GuidedStyleError) as raised:
        guidedstyle.load_recipe(file)
    assert [problem.rule for problem in raised.value.problems] == ["it was an image in memory, which is in no file"] * 2
    calls = [problem.remedy.split(": ", 1)[1] for problem in raised.value.problems]
    assert calls[1] == "load_recipe('out.png', {'regions.sky.mask': array})"
    again = guidedstyle.load_recipe(file, {"content": read(PHOTO), "regions.sky.mask": read("left.png")})
    assert np.array_equal(guidedstyle.render(again, device="cpu").rendering.image, result.rendering.image)


def test_a_render_resumes_only_from_the_same_images(folder: Path) -> None:
    def recipe(mask: object) -> dict[str, Any]:
        region = {"name": "sky", "mask": mask, "style": "ink"}
        return {"content": read(PHOTO), "styles": {"ink": "ink.png"}, "regions": [region], "solver": {"steps": 4}}

    half = read("left.png")
    whole = guidedstyle.render(recipe(half), device="cpu")
    options = RenderOptions(checkpoints=Every(steps=1), resume=True)
    for mask, note in (
        (half / 255, "resumes from step 2"),
        (half.T[:64, :64].repeat(2, 1)[:, :96], "changed since step 2"),
    ):
        for file in folder.glob("picture.png*"):
            file.unlink()
        guidedstyle.render(recipe(half), lambda update: update.done < 2, options=options, device="cpu")
        resumed = guidedstyle.render(recipe(mask), options=options, device="cpu")
        assert resumed and any(note in one for one in resumed.record.notes)
        assert np.array_equal(resumed.rendering.image, whole.rendering.image) == (
            mask is not half and "resumes" in note
        )
    assert guidedstyle.render(recipe(mask), options=options, device="cpu") is None  # it is known already


def test_statistics_of_a_style_are_measured_once_for_equal_pixels(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    load = StatisticsCache.load_or_measure
    monkeypatch.setattr(
        StatisticsCache, "load_or_measure", lambda self, key, *rest: (keys.append(key), load(self, key, *rest))[1]
    )
    for style in ("ink.png", read("ink.png"), read("ink.png") / 255, Image.open("ink.png")):
        guidedstyle.render({"content": PHOTO, "style": style, "solver": {"steps": 1}}, device="cpu")
    assert len(set(keys)) == len(keys) // 4


def test_recipes_with_images_can_be_copied_written_and_sandboxed(folder: Path) -> None:
    recipe = guidedstyle.load_recipe({"content": read(PHOTO), "style": read("ink.png")}, sandbox=True)
    for again in (pickle.loads(pickle.dumps(recipe)), copy.deepcopy(recipe), recipe.model_copy(deep=True)):
        assert again == recipe and guidedstyle.check(again).size == (96, 64)
    assert str(recipe.content) in write_recipe(recipe, folder) and dump_recipe(recipe, folder)["content"] == str(
        recipe.content
    )
    with pytest.raises(GuidedStyleError, match="outside"):
        guidedstyle.load_recipe({"content": read(PHOTO), "style": "../ink.png"}, sandbox=True)


NUMBERS = [
    np.float32(0.7),
    np.float64(0.7),
    np.float16(0.7),
    np.array(0.7),
    torch.tensor(0.7),
    np.array(0.7, np.float32),
]
WHOLE = [np.int64(48), np.uint8(48), np.array(48), torch.tensor(48), np.int16(48)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_numbers_of_other_libraries_are_pythons(folder: Path, number: Any) -> None:
    for data, settings in (({"strength": number}, {}), ({}, {"strength": number})):
        recipe = guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", **data}, settings)
        assert type(recipe.strength) is float and recipe.strength == pytest.approx(
            0.7, abs=1e-6 if number.dtype != np.float16 else 1e-3
        )
    assert guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", "strength": np.float32(0.7)}).strength == 0.7


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("octaves", np.array([1, 0.5], object), (1, 0.5)),
        ("octaves", [np.float32(0.7), np.float64(0.5)], (0.7, 0.5)),
        ("style_layers", np.array(["relu1_1", "relu2_1"]), {"relu1_1": 1, "relu2_1": 1}),
        ("style_layers", np.array(["relu1_1"], object), {"relu1_1": 1}),
        ("style_layers", [np.str_("relu1_1")], {"relu1_1": 1}),
        ("canvas", np.array([64, 48]), (64, 48)),
        ("canvas", torch.tensor([64, 48]), (64, 48)),
        ("method", np.array("classic"), "classic"),
    ],
)
def test_arrays_stand_for_lists(folder: Path, key: str, value: Any, expected: object) -> None:
    content = {} if key == "canvas" else {"content": PHOTO}
    recipe = guidedstyle.load_recipe({**content, "style": "ink.png", key: value})
    assert getattr(recipe, key) == expected


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_an_array_of_colours_is_told_how_to_be_written(folder: Path, kind: type) -> None:
    palette = np.array([[255, 0, 0], [0, 0, 255]], kind)
    with pytest.raises(GuidedStyleError, match="a colour in quotes, such as '#ff0000'"):
        guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", "colour": {"palette": palette}})
    names = np.array([f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette.astype(int)])
    recipe = guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", "colour": {"palette": names}})
    assert recipe.colour.palette == ("#ff0000", "#0000ff")


@pytest.mark.parametrize("number", WHOLE, ids=repr)
def test_whole_numbers_of_other_libraries_are_pythons(folder: Path, number: Any) -> None:
    recipe = guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", "size": number}, {"solver.seed": number})
    assert (recipe.size, recipe.solver.seed) == (48, 48) and type(recipe.size) is int
    assert guidedstyle.check(recipe).size == (48, 32)


def test_other_values_of_python_stand_for_those_of_yaml(folder: Path) -> None:
    region = {
        "name": np.str_("a"),
        "mask": {"polygon": np.array([[0, 0], [1, 0], [0, 1]]), "invert": np.True_},
        "style": "ink",
    }
    box = {
        "name": "b",
        "mask": {"rectangle": np.array([0, 0, 0.5, 0.5], np.float32)},
        "keep": np.bool_(1),
        "border": np.float32(3),
    }
    data = OrderedDict(content=Path(PHOTO), styles=MappingProxyType({"ink": Path("ink.png")}), regions=(region, box))
    recipe = guidedstyle.load_recipe(
        data | {"size": None, "octaves": torch.tensor([1.0, 0.5]), "colour": {"palette": ("red",)}}
    )
    assert recipe.regions[0].mask.polygon == ((0, 0), (1, 0), (0, 1)) and recipe.regions[0].mask.invert
    assert recipe.regions[1].mask.rectangle == (0, 0, 0.5, 0.5) and recipe.regions[1].border == 3
    assert recipe.octaves == (1, 0.5) and recipe.size is None and recipe.colour.palette == ("red",)
    assert guidedstyle.load_recipe({"content": PHOTO, "style": "ink.png", "strength": Fraction(1, 4)}).strength == 0.25


@pytest.mark.parametrize(
    ("data", "place", "rule"),
    [
        ({"content": np.zeros((4, 64, 64, 3))}, "recipe: content", "an array of shape (4, 64, 64, 3) is not an image"),
        ({"content": np.zeros(9)}, "recipe: content", "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] is not valid"),
        ({"content": np.float32(3)}, "recipe: content", "3.0 is not valid"),
        ({"content": np.zeros((8, 8, 3))}, "recipe: content", "8 x 8 px is too small"),
        ({"content": "lost.png"}, "recipe: content", "there is no file lost.png"),
        ({"style": np.full((32, 32, 3), 9.0)}, "recipe: styles.style.image", "its values reach from 9 to 9"),
        ({"size": np.int64(3)}, "recipe: size", "3 is too small"),
        ({"size": np.float32(64.5)}, "recipe: size", "64.5 is not valid"),
        ({"strenght": 2}, "recipe: strenght", "there is no key 'strenght' here"),
        ({1: 2}, "recipe", "the key 1 is not text"),
        ({"size": torch.device("cpu")}, "recipe: size", "is not valid"),
        ({"output": np.zeros((64, 64))}, "recipe: output", "does not have the suffix of an image"),
        ({"encoder": {"weights": np.zeros((64, 64))}}, "array:sha256:", "no network weights can be read from it"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_errors_name_the_key_and_the_rule(folder: Path, data: dict[Any, Any], place: str, rule: str) -> None:
    with pytest.raises(GuidedStyleError) as raised:
        guidedstyle.render({"content": PHOTO, "style": "ink.png", "solver": {"steps": 1}} | data, device="cpu")
    assert any(
        place in problem.place and rule in f"{problem.place}: {problem.rule}" for problem in raised.value.problems
    ), raised.value


def test_all_errors_of_images_are_reported_at_once(folder: Path) -> None:
    region = {
        "name": "a",
        "mask": np.zeros((64, 96), np.int32),
        "style": {"x": 1, "y": {"where": np.full((64, 96), 7.0)}},
    }
    data = {
        "content": np.zeros((2, 2, 2, 2)),
        "styles": {"x": np.zeros((9, 9, 9)), "y": np.zeros((0, 3))},
        "regions": [region],
        "size": 3,
    }
    with pytest.raises(GuidedStyleError) as raised:
        guidedstyle.load_recipe(data)
    assert len(raised.value.problems) == 6
    data["self"] = data
    with pytest.raises(GuidedStyleError, match="it is nested too deeply"):
        guidedstyle.load_recipe(data)


def test_settings_replace_files_of_a_recipe_by_images(folder: Path) -> None:
    mask = np.zeros((64, 96), bool)
    mask[:, 72:] = True
    recipe = guidedstyle.load_recipe("recipe.yaml", {"regions.left.mask": mask, "content": read(PHOTO)})
    assert guidedstyle.check(recipe).shares["left"] == pytest.approx(0.25)
    with pytest.raises(GuidedStyleError, match=r"regions\.left\.mask=ndarray"):
        guidedstyle.load_recipe("recipe.yaml", {"regions.left.mask": np.zeros((64, 96, 5))})


def test_devices_tiles_memory_and_paths_of_other_types(folder: Path) -> None:
    data = {"content": PHOTO, "style": "ink.png", "size": 64, "solver": {"steps": 2}}
    plain = guidedstyle.render(data, device="cpu")
    other = guidedstyle.render(data, device=torch.device("cpu"), tile=np.int64(64), max_memory=np.float32(2))
    assert other.rendering.plan.limits.tile == 64 and other.rendering.plan.device == torch.device("cpu")
    assert plain.save(Path("a.png")) == Path("a.png") and plain.save("b.png").exists()
    options = RenderOptions(frames=Every(steps=np.int64(1)), timelapse="film.mp4")  # type: ignore[arg-type]
    guidedstyle.render(data, device="cpu", options=options)
    assert Path("film.mp4").stat().st_size
    with pytest.raises(GuidedStyleError, match=r"'cuda:77' is not a device"):
        guidedstyle.render(data, device=torch.device("cuda:77"))
