"""Write the tables of keys into recipes/README.md and masks/README.md, and the schema file: a program, not a test.

python tests/programs/write_key_tables.py
"""

from __future__ import annotations

import re
from pathlib import Path

from guidedstyle.recipe.schema import FILE, write_schema, write_table

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- keys: written by tests/programs/write_key_tables.py -->\n", "<!-- end of keys -->"
BLOCK = re.compile(re.escape(BEGIN) + "(.*)" + re.escape(END), re.DOTALL)
MASKS = ("**Of `masks`**", "**Of a mask")  # titles of the tables that belong to masks/README.md


def split_table() -> dict[Path, str]:
    """Split the table of all keys by the page it belongs to."""
    sections = re.split(r"(?m)^(?=\*\*)", write_table().strip() + "\n\n")
    masks = [section for section in sections if section.startswith(MASKS)]
    others = [section for section in sections if section not in masks]
    return {ROOT / "recipes" / "README.md": "".join(others), ROOT / "masks" / "README.md": "".join(masks)}


def read_table(page: Path) -> str:
    """Read the table of keys of a page."""
    (table,) = BLOCK.findall(page.read_text(encoding="utf-8"))
    return str(table)


def main() -> None:
    """Replace the tables of both pages, and the schema that recipes name for editors."""
    FILE.write_text(write_schema(), encoding="utf-8")
    for page, table in split_table().items():
        text = BLOCK.sub(lambda _, table=table: f"{BEGIN}{table}{END}", page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
