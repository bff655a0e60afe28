"""How commands speak: results on stdout (text or JSON), everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def fail(sentence: str, *, as_json: bool = False) -> NoReturn:
    """Says what did not work and ends with status 1."""
    print(json.dumps({"error": sentence}) if as_json else f"howdah: {sentence}", file=sys.stderr)
    raise SystemExit(1)


def note(text: str) -> None:
    """Something beside the result."""
    print(text, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def show_fields(fields: Mapping[str, object]) -> None:
    """One thing: a line per field."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {value}")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str) -> None:
    """Several things: a line each, below a head. ``nothing``: what is said (on stderr) when there are none."""
    if not rows:
        note(nothing)
        return
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def size(count: int) -> str:
    """Bytes, for who reads."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / (1 << 10 * power):.1f} {_UNITS[power]}" if power else f"{count} B"


def show_service(service: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(service)
        return
    tags = [f"{tag['key']}={tag['value']}" if "value" in tag else tag["key"] for tag in service.get("tags", [])]
    show_fields({name: value for name, value in service.items() if name != "tags"} | {"tags": " ".join(tags) or "-"})
