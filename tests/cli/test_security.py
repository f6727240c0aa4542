"""Limits of recipes, documents, weights and checkpoints from other people."""

from __future__ import annotations

import ast
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from support.images import draw_image
from typer.testing import CliRunner

import guidedstyle
from guidedstyle.cli.main import app
from guidedstyle.cli.options import QUICK
from guidedstyle.io.files import lock_output
from guidedstyle.io.layered.formats import open_layered
from guidedstyle.recipe.loading.loader import check_settings, read_recipe
from guidedstyle.types import Setting

PACKAGE = Path(guidedstyle.__file__).parent
TREES = {file: ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}
FORBIDDEN = {"os.system", "os.popen", "eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load"}
XML = '<?xml version="1.0"?><!DOCTYPE image [{entity}]><image w="16" h="16"><stack><layer name="{name}" src="data/a.png"/></stack></image>'  # noqa: E501


def call_names(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_no_code_starts_a_shell_or_makes_objects_from_data() -> None:
    found = {f"{file.name}: {name}" for file, tree in TREES.items() for name in call_names(tree) & FORBIDDEN}
    shells = {
        f"{file.name}: {ast.unparse(node)}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "shell"
    }
    assert not found | shells


def test_only_weights_are_loaded_by_torch() -> None:
    loads = [
        node
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert loads
    for node in loads:
        assert {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}.get("weights_only") == "True"


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.file),)


WEIGHTS = ["--set", "encoder={name: vgg19, weights: vgg.pth}"]


@pytest.mark.parametrize(
    ("name", "arguments", "reported"),
    [
        ("vgg.pth", WEIGHTS, "vgg.pth: no network weights can be read from it"),
        ("recipe.png.state", ["--resume"], "recipe.png.state: it exists, and guidedstyle did not make it"),
        ("recipe.png.state", ["--resume", "--overwrite"], "recipe.png.state: the checkpoint is damaged"),
    ],
)
def test_a_program_in_weights_or_a_checkpoint_does_not_run(
    project: Path, name: str, arguments: list[str], reported: str
) -> None:
    torch.save({"features.0.weight": Trap(project / "trapped")}, project / name)
    result = CliRunner().invoke(app, ["render", str(project / "recipe.yaml"), *arguments], catch_exceptions=True)
    assert type(result.exception).__name__ == "GuidedStyleError"
    assert reported in str(result.exception)
    assert not (project / "trapped").exists()
    with pytest.raises(FileExistsError):  # the trap works where unpickling is allowed
        for _ in range(2):
            pickle.loads(pickle.dumps(Trap(project / "trapped")))


def test_a_recipe_makes_no_objects(project: Path) -> None:
    for tag in ("!!python/object/apply:os.mkdir [trapped]", "!!python/name:os.system ''", "!!binary aGVsbG8="):
        (project / "recipe.yaml").write_text(f"content: {tag}\nstyle: ink.png\n")
        with pytest.raises(guidedstyle.GuidedStyleError, match=r"recipe\.yaml:1"):
            guidedstyle.check(project / "recipe.yaml")
    assert not Path("trapped").exists()


def write_document(file: Path, xml: str, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr("stack.xml", xml)
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize(
    "entity",
    ['<!ENTITY x SYSTEM "file:///etc/hostname">', '<!ENTITY y "aaaaaaaaaa"><!ENTITY x "&y;&y;&y;&y;&y;&y;&y;&y;">'],
)
def test_xml_entities_are_not_expanded(tmp_path: Path, entity: str) -> None:
    file = write_document(tmp_path / "a.ora", XML.format(entity=entity, name="&x;"), {})
    with pytest.raises(guidedstyle.GuidedStyleError, match="entities, which are not read"):
        open_layered(file)


def test_parts_of_a_document_with_paths_outside_it_are_never_unpacked(tmp_path: Path) -> None:
    picture = io.BytesIO()
    draw_image(16, 16, 1).convert("RGBA").save(picture, "PNG")
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(picture.getvalue())
    xml = '<image w="16" h="16"><stack><layer name="a" src="../secret.png"/></stack></image>'
    file = write_document(tmp_path / "in" / "a.ora", xml, {"../planted.png": picture.getvalue()})
    document = open_layered(file)
    with pytest.raises(guidedstyle.GuidedStyleError, match=r"its part \.\./secret\.png is missing"):
        document.layers[0].read()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.ora", "in", "secret.png"]


def confine(recipe: Path) -> str:
    """Check a recipe in its sandbox, and return the errors."""
    try:
        guidedstyle.load_recipe(recipe, sandbox=True)
    except guidedstyle.GuidedStyleError as error:
        return str(error)
    return ""


def test_a_sandbox_accepts_a_recipe_that_stays_in_its_folder(project: Path) -> None:
    assert confine(project / "recipe.yaml") == ""
    (project / "deep").mkdir()
    (project / "deep" / "ink.png").symlink_to(project / "ink.png")
    (project / "recipe.yaml").write_text("content: deep/../photo.png\nstyle: deep/ink.png\noutput: deep/a.png\n")
    assert confine(project / "recipe.yaml") == ""


@pytest.mark.parametrize(
    "line",
    [
        "content: ../outside.png",
        "content: {outside}",
        "content: link.png",
        "content: away/outside.png",
        "style: ../outside.png",
        "output: ../new.png",
        "output: away/new.png",
        "init: ../outside.png",
        "encoder: {{name: vgg19, weights: ../outside.png}}",
        "masks: ../outside.png",
    ],
)
def test_a_sandbox_refuses_every_way_out(project: Path, line: str) -> None:
    outside = project.parent / "outside.png"
    draw_image(32, 32, 4).save(outside)
    (project / "link.png").symlink_to(outside)
    (project / "away").symlink_to(project.parent)
    keys = {"content": "content: photo.png", "style": "style: ink.png"}
    line = line.format(outside=outside)
    keys[line.split(":")[0]] = line
    (project / "inner.yaml").write_text("\n".join(keys.values()) + "\n")
    place = f"inner.yaml:{list(keys).index(line.split(':')[0]) + 1}: "
    found = confine(project / "inner.yaml")
    assert place in found
    assert f"outside {project}\n    copy it into the recipe's folder" in found


def test_a_sandbox_refuses_a_folder_of_frames_that_leads_out(project: Path) -> None:
    (project / "recipe.png.frames").symlink_to(project.parent)
    assert "recipe.png.frames leads to" in confine(project / "recipe.yaml")


def test_a_sandbox_holds_with_an_image_named_on_the_command_line(project: Path) -> None:
    """The named image may be anywhere, but no link may lead the files written next to it out of that folder."""
    (project / "other.png.frames").symlink_to(project.parent)
    chosen = [Setting("output", str(project / "other.png"), "--output")]
    reported = [
        str(problem) for problem in read_recipe(project / "recipe.yaml", chosen, sandbox=True).document.problems
    ]
    assert len(reported) == 1
    assert reported[0].startswith("--output: output: ")
    assert "other.png.frames leads to" in reported[0]
    (project / "other.png.frames").unlink()
    (project.parent / "away").mkdir(exist_ok=True)
    chosen = [Setting("output", str(project.parent / "away" / "other.png"), "--output")]
    assert not read_recipe(project / "recipe.yaml", chosen, sandbox=True).document.problems


def test_the_name_of_a_recipe_does_not_weaken_its_sandbox(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_image(32, 32, 4).save(project.parent / "outside.png")
    monkeypatch.chdir(project)
    Path("watch").write_text("content: ../outside.png\nstyle: ink.png\n")
    reported = read_recipe(Path("watch"), QUICK, sandbox=True).document.problems
    assert [problem.place for problem in reported] == ["watch:1: content"]
    check_settings(Path("watch"), QUICK)  # raises only for errors that no change of the recipe can fix


def test_a_link_in_place_of_a_lock_is_not_followed(project: Path) -> None:
    (project / "diary.txt").write_text("dear diary")
    (project / ".recipe.png.lock").symlink_to(project / "diary.txt")
    with (
        pytest.raises(guidedstyle.GuidedStyleError, match="nothing can be written here"),
        lock_output(project / "recipe.png"),
    ):
        pass
    assert (project / "diary.txt").read_text() == "dear diary"


@pytest.mark.parametrize("command", ["render", "check", "masks", "watch", "sweep"])
def test_every_command_that_reads_a_recipe_has_a_sandbox(project: Path, command: str) -> None:
    recipe = project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("photo.png", "../outside.png"))
    draw_image(32, 32, 4).save(project.parent / "outside.png")
    more = {"sweep": ["--vary", "smoothness=1,2"], "render": ["--dry-run"]}.get(command, [])
    if command != "watch":  # it continues after an error
        result = CliRunner().invoke(app, [command, str(recipe), "--sandbox", *more])
        assert f"outside {project}" in str(result.exception)
    assert "--sandbox" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output


def test_files_named_on_the_command_line_may_be_outside_the_sandbox(project: Path) -> None:
    draw_image(32, 32, 4).save(project.parent / "outside.png")
    arguments = ["--sandbox", "--dry-run", "--content", str(project.parent / "outside.png")]
    result = CliRunner().invoke(app, ["render", str(project / "recipe.yaml"), "-o", str(project / "a.png"), *arguments])
    assert "outside" not in str(result.exception or "")
