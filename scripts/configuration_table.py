"""Writes the table of docs/configuration.md from the settings themselves; with --check only says whether it is true."""

from __future__ import annotations

import sys
import types
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from howdah.cli.config import Key, keys

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- table: written by scripts/configuration_table.py -->", "<!-- end of table -->"


def main() -> int:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if page == PAGE.read_text():
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{PAGE.name} does not show the settings as they are; run scripts/configuration_table.py")
        return 1
    PAGE.write_text(page)
    return 0


def table() -> str:
    rows = [(f"`{key.name}`", f"`{key.variable}`", _type(key.type), _default(key), key.doc) for key in keys()]
    head = ("key", "environment variable", "type", "default", "meaning")
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def _type(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        kind = get_args(kind)[0]
    if kind == tuple[str, ...]:
        return "list of texts; in the environment separated by commas"
    if issubclass(kind, StrEnum):
        return " or ".join(kind)
    return {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}[kind]


def _default(key: Key) -> str:
    if key.name == "state":
        return "`~/.local/state/howdah`, as root `/var/lib/howdah`"
    if key.default in (None, ""):
        return ""
    if isinstance(key.default, tuple):
        return ", ".join(f"`{item}`" for item in key.default)
    return f"`{key.default}`"


if __name__ == "__main__":
    sys.exit(main())
