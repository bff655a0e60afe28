"""What schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

Schema = dict[str, Any]

_UBID = "pg[0-9a-hjkmnp-tv-z]{24}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": _MOMENT, "examples": ["2026-03-26T20:51:16.384Z"]}
NUMBER: Schema = {"type": "number"}
INSTANT: Schema = {"type": "string", "format": "date-time"}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def choice(values: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": list(values)}


def record(fields: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object whose fields are all there, save those that are optional."""
    required = [field for field in fields if field not in optional]
    return {"type": "object", "properties": dict(fields), "required": required}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def described(schema: Schema, text: str) -> Schema:
    return schema | {"description": text}


SERVICE_ID: Schema = {
    "type": "string",
    "pattern": f"^({_UBID}|{_UUID})$",
    "description": "A UBID in the API version preview, a UUID (the same 128 bits) in beta",
    "examples": ["pg7myrd1j06p3gx4zrm2ze8qz6", "3d3d8686-4035-86d0-8749-fc505f722ff3"],
}
