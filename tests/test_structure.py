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
COMMANDS = {"distil", "evaluation"}  # packages of their own, which nothing imports

ALLOWED = {  # besides errors; the line from recipe to picture, read downwards
    "document": set(),
    "recipe": set(),
    "validation": {"document", "recipe"},
    "reading": {"document", "recipe", "images", "validation"},
    "schema": {"recipe"},
    "images": set(),
    "masks": {"images"},
    "scene": {"images", "masks", "reading", "recipe"},
    "encoder": set(),
    "weights": {"encoder"},
    "colour": set(),
    "guidance": set(),
    "gram": {"guidance"},
    "losses": {"encoder", "gram", "guidance"},
    "solver": set(),
    "plan": {"encoder", "images", "scene", "solver"},
    "objective": {"colour", "encoder", "gram", "guidance", "losses", "plan", "recipe", "scene"},
    "render": {"encoder", "images", "losses", "objective", "plan", "recipe", "scene", "solver", "weights"},
    "record": {"plan", "reading", "recipe", "render", "scene"},
    "report": {"plan", "render", "scene"},
    "allocator": set(),
    "commands": set(),
    "session": {"allocator", "commands", "images", "plan", "reading", "record", "render", "report", "scene"},
}


def imports(tree: ast.AST) -> set[str]:
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    return found


@pytest.mark.parametrize("module", ALLOWED)
def test_imports_run_one_way(module: str) -> None:
    found = {name.split(".")[1] for name in imports(MODULES[module]) if name.startswith("guidedstyle.")}
    assert found - {"errors"} <= ALLOWED[module]


def test_every_module_has_its_place() -> None:
    assert set(MODULES) == {*ALLOWED, "__init__", "__main__", "cli", "errors", "starter"}


def test_nothing_imports_the_commands_of_researchers() -> None:
    folders = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    assert folders == {*COMMANDS, "samples"}
    imported = {name.split(".")[1] for tree in MODULES.values() for name in imports(tree) if "guidedstyle." in name}
    assert not imported & COMMANDS


def calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_only_commands_exit_and_only_they_and_the_report_print() -> None:
    for name, tree in MODULES.items():
        if name not in {"cli", "commands"}:
            assert not calls(tree) & {"exit", "sys.exit", "typer.Exit"}, name
        if name not in {"cli", "commands", "report"}:
            assert not calls(tree) & {"print", "typer.echo"}, name


@pytest.mark.parametrize("module", ["cli", "recipe", "reading", "scene", "report", "schema"])
def test_starts_without_torch(module: str) -> None:
    code = f"import sys, guidedstyle.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = "import sys, guidedstyle.cli; print(sorted({'numpy', 'PIL', 'cv2', 'pydantic', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
