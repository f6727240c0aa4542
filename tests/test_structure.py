"""The architecture: who imports whom, who prints, who exits, and what starts without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import guidedstyle

PACKAGE = Path(guidedstyle.__file__).parent
MODULES = {file.stem: ast.parse(file.read_text()) for file in PACKAGE.glob("*.py")}
PARTS = {"layered": [ast.parse(file.read_text()) for file in (PACKAGE / "layered").glob("*.py")]}  # of one idea
COMMAND_LINE = {"aid_commands", "cli", "mask_commands", "options"}
COMMANDS = {"distil", "evaluation"}  # packages of their own, which nothing imports

ALLOWED = {  # besides errors; the line from recipe to picture, read downwards
    "places": set(),
    "faults": set(),
    "versions": set(),
    "limits": set(),
    "checkup": {"limits", "versions"},
    "rhythm": set(),
    "files": set(),
    "claims": {"files", "places"},
    "differences": set(),
    "document": set(),
    "keys": set(),
    "mask_keys": {"keys"},
    "controls": {"keys"},
    "short_forms": {"controls", "mask_keys"},
    "recipe": {"controls", "keys", "mask_keys", "short_forms"},
    "listing": {"controls", "mask_keys", "recipe"},
    "sandbox": {"listing", "places", "recipe"},
    "architecture": set(),
    "control_mistakes": {"architecture", "controls", "listing", "recipe"},
    "overwriting": {"listing", "places", "recipe"},
    "mistakes": {"control_mistakes", "listing", "mask_keys", "overwriting", "places", "recipe"},
    "validation": {"controls", "document", "recipe"},
    "images": {"files"},
    "plots": {"images"},
    "palettes": {"images", "keys"},
    "timelapse": {"files", "images"},
    "wishes": {"plots", "rhythm", "timelapse"},
    "reading": {"document", "images", "listing", "mistakes", "recipe", "sandbox", "short_forms", "validation"},
    "schema": {"controls", "mask_keys", "recipe"},
    "mask_files": {"images", "keys"},
    "labels": {"images", "keys", "mask_files"},
    "layered": {"files", "images", "mask_files"},
    "geometry": {"images"},
    "masks": {"geometry", "images", "keys", "labels", "layered", "listing", "mask_files", "mask_keys", "recipe"},
    "stacking": {"geometry", "images"},
    "paintings": {"images", "recipe"},
    "stages": {"images"},
    "forecast": {"stages"},
    "opening": {"images", "masks", "reading"},
    "scene": {"images", "keys", "listing", "masks", "opening", "paintings", "reading", "recipe", "stacking", "stages"},
    "guidance": {"architecture", "images"},
    "survey": {"architecture", "controls", "guidance", "images", "scene"},
    "checking": {"images", "reading", "scene", "survey"},
    "variants": {"checking", "document", "overwriting", "places", "reading", "sandbox"},
    "mask_sheet": {"images", "keys", "mask_keys", "masks", "overwriting", "scene"},
    "segmentation": {"images", "mask_files"},
    "editing": {
        "document",
        "files",
        "images",
        "keys",
        "layered",
        "mask_files",
        "mask_sheet",
        "reading",
        "recipe",
        "scene",
        "segmentation",
        "stacking",
    },
    "contact_sheet": set(),
    "comparison": {"contact_sheet", "differences", "document", "files", "images", "keys", "places", "reading"},
    "difference_table": {"comparison", "document"},
    "encoder": {"architecture"},
    "weights": {"architecture", "encoder"},
    "colour": set(),
    "recolour": {"images"},
    "mixing": {"images"},
    "guides": set(),
    "gram": {"guides"},
    "losses": {"gram"},
    "curves": {"losses"},
    "processes": set(),
    "tiles": {"images", "processes"},
    "probes": {"architecture", "encoder", "gram", "guides", "images", "losses", "processes", "tiles"},
    "content": {"encoder", "losses", "tiles"},
    "lbfgs": set(),
    "descents": {"lbfgs"},
    "solver": {"descents", "lbfgs"},
    "allocator": set(),
    "precision": set(),
    "containers": set(),
    "memory": {"allocator", "architecture", "containers", "images", "lbfgs", "scene", "stacking", "stages"},
    "plan": {"encoder", "limits", "memory", "precision", "processes", "recipe", "scene", "stages"},
    "canvas": {"colour", "controls", "images", "mixing", "recipe", "scene", "stacking"},
    "guiding": {
        "architecture",
        "canvas",
        "content",
        "gram",
        "guidance",
        "guides",
        "images",
        "losses",
        "plan",
        "probes",
        "stages",
        "tiles",
    },
    "cache": {"files", "images"},
    "device_checkup": {"cache", "checkup", "memory", "plan", "precision", "weights"},
    "targets": {
        "cache",
        "canvas",
        "controls",
        "encoder",
        "gram",
        "guidance",
        "guiding",
        "images",
        "keys",
        "losses",
        "mixing",
        "plan",
        "probes",
        "processes",
        "recolour",
        "scene",
        "stages",
    },
    "objective": {
        "canvas",
        "content",
        "controls",
        "encoder",
        "losses",
        "plan",
        "probes",
        "recipe",
        "scene",
        "stages",
        "targets",
        "tiles",
    },
    "starts": {"canvas", "controls", "images", "scene"},
    "synthesis": {"cache", "canvas", "encoder", "images", "mask_keys", "paintings", "recipe", "scene"},
    "rendering": {
        "canvas",
        "curves",
        "encoder",
        "faults",
        "images",
        "losses",
        "memory",
        "objective",
        "paintings",
        "plan",
        "processes",
        "recipe",
        "scene",
        "solver",
        "stages",
        "starts",
        "synthesis",
        "targets",
        "weights",
    },
    "benchmark": {"encoder", "losses", "memory", "objective", "paintings", "plan", "precision", "recipe", "scene"},
    "record": {
        "files",
        "listing",
        "losses",
        "places",
        "plan",
        "precision",
        "processes",
        "reading",
        "recipe",
        "rendering",
        "scene",
        "versions",
    },
    "result": {"editing", "files", "images", "overwriting", "places", "reading", "record", "rendering", "scene"},
    "workshop": {
        "allocator",
        "encoder",
        "limits",
        "plan",
        "reading",
        "recipe",
        "record",
        "rendering",
        "result",
        "scene",
        "targets",
    },
    "api": {"checking", "limits", "reading", "recipe", "rendering", "result", "workshop"},
    "checkpoint": {
        "curves",
        "faults",
        "files",
        "memory",
        "plan",
        "precision",
        "processes",
        "record",
        "rendering",
        "scene",
        "solver",
    },
    "resuming": {"checkpoint", "curves", "differences", "plan", "rendering"},
    "report": {
        "benchmark",
        "comparison",
        "difference_table",
        "document",
        "plan",
        "precision",
        "recipe",
        "scene",
        "survey",
    },
    "page": {"curves", "document", "images", "keys", "mask_sheet", "palettes", "plots", "rendering", "report", "scene"},
    "progress": {"cache", "forecast", "losses", "memory", "plan", "record", "rendering", "report", "scene"},
    "commands": {"faults"},
    "batch": {"checking", "commands", "images", "overwriting", "places", "reading", "recipe"},
    "keeping": {"checkpoint", "images", "plan", "rendering", "rhythm"},
    "doctor": {"checkup", "commands", "device_checkup"},
    "compare": {"commands", "comparison", "contact_sheet", "images", "overwriting", "report", "variants"},
    "upkeep": {
        "checkpoint",
        "commands",
        "faults",
        "files",
        "keeping",
        "overwriting",
        "page",
        "places",
        "plan",
        "processes",
        "rendering",
        "result",
        "resuming",
        "rhythm",
        "scene",
        "timelapse",
        "wishes",
    },
    "interrupts": {"commands", "files"},
    "watching": {
        "commands",
        "curves",
        "images",
        "interrupts",
        "keeping",
        "listing",
        "places",
        "plan",
        "reading",
        "rendering",
        "report",
        "result",
        "rhythm",
        "scene",
        "survey",
        "workshop",
    },
    "rescue": {"commands", "progress", "report", "result"},
    "session": {
        "batch",
        "benchmark",
        "cache",
        "claims",
        "commands",
        "faults",
        "interrupts",
        "plan",
        "precision",
        "processes",
        "progress",
        "recipe",
        "record",
        "rendering",
        "report",
        "rescue",
        "result",
        "scene",
        "upkeep",
        "wishes",
        "workshop",
    },
    "sweep": {
        "checking",
        "claims",
        "commands",
        "contact_sheet",
        "files",
        "images",
        "interrupts",
        "places",
        "plan",
        "progress",
        "record",
        "report",
        "rescue",
        "session",
        "variants",
        "workshop",
    },
}
MATHEMATICS = {  # of pictures and numbers alone
    "architecture",
    "colour",
    "descents",
    "encoder",
    "gram",
    "guidance",
    "guides",
    "lbfgs",
    "losses",
    "mixing",
    "recolour",
    "solver",
    "stages",
}


def imports(tree: ast.AST) -> set[str]:
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    return found


@pytest.mark.parametrize("module", ALLOWED)
def test_imports_run_one_way(module: str) -> None:
    trees = PARTS.get(module) or [MODULES[module]]
    found = {name.split(".")[1] for tree in trees for name in imports(tree) if name.startswith("guidedstyle.")}
    assert found - {"errors", module} <= ALLOWED[module]


def test_modules_import_only_those_above_them() -> None:
    above: set[str] = set()
    for module, allowed in ALLOWED.items():
        assert allowed <= above, module
        above.add(module)


@pytest.mark.parametrize("module", sorted(MATHEMATICS))
def test_mathematics_knows_of_no_recipe(module: str) -> None:
    """Not even by way of the modules that it imports."""
    assert ALLOWED[module] <= MATHEMATICS | {"images"}
    assert "recipe" not in ALLOWED["images"]


def test_every_module_has_its_place() -> None:
    assert {*MODULES, *PARTS} == {*ALLOWED, *COMMAND_LINE, "__init__", "__main__", "errors", "starter"}


def test_nothing_imports_the_commands_of_researchers() -> None:
    folders = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    assert folders == {*COMMANDS, *PARTS, "samples"}
    imported = {name.split(".")[1] for tree in MODULES.values() for name in imports(tree) if "guidedstyle." in name}
    assert not imported & COMMANDS


def calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_only_commands_exit_and_only_they_and_the_report_print() -> None:
    for name, tree in MODULES.items():
        if name not in {*COMMAND_LINE, "commands"}:
            assert not calls(tree) & {"exit", "sys.exit", "typer.Exit"}, name
        if name not in {*COMMAND_LINE, "commands", "report"}:
            assert not calls(tree) & {"print", "typer.echo"}, name


@pytest.mark.parametrize(
    "module", ["cli", "recipe", "reading", "scene", "report", "schema", "survey", "mask_sheet", "editing"]
)
def test_starts_without_torch(module: str) -> None:
    code = f"import sys, guidedstyle.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = "import sys, guidedstyle.cli; print(sorted({'numpy', 'PIL', 'cv2', 'pydantic', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
