"""The document as one page of HTML: no script, nothing from elsewhere, so that it works without the internet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any, cast

Schema = dict[str, Any]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #8882; padding: .8rem; overflow-x: auto; border-radius: .3rem; }
details { border: 1px solid #8886; border-radius: .3rem; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
.method { display: inline-block; min-width: 4.5rem; font-weight: bold; }
.later { opacity: .55; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
:root { color-scheme: light dark; }
"""


def docs_page(document: Schema) -> str:
    """The whole page."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_operation(method.upper(), path, operation))
    calls = "".join(f"<h2>{escape(tag)}</h2>{''.join(entries)}" for tag, entries in by_tag.items())
    shapes = "".join(
        _folded(f"<code>{escape(name)}</code>", _schema(schema), anchor=name)
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{calls}<h2>Schemas</h2>{shapes}</html>'
    )


def _operation(method: str, path: str, operation: Schema) -> str:
    built = "200" in operation["responses"]
    title = f'<span class="method">{method}</span> <code>{escape(path)}</code> — {escape(operation["summary"])}' + (
        "" if built else " (not built yet)"
    )
    parts = [_example(method, path, operation), _parameters(operation.get("parameters", []))]
    if "requestBody" in operation:
        (schema, *_) = (media["schema"] for media in operation["requestBody"]["content"].values())
        parts.append(f"<p>Body: {_links(schema)}</p>")
    parts.append(_responses(operation["responses"]))
    return _folded(title, "".join(parts), anchor=operation["operationId"], css="" if built else "later")


def _example(method: str, path: str, operation: Schema) -> str:
    address = path.replace("{organizationId}", "$ORG_ID").replace("{postgresId}", "$PG_ID")
    address = address.replace("{", "$").replace("}", "")
    options = "" if method == "GET" else f" -X {method}"
    if "security" in operation:
        options += ' --user "$KEY_ID:$KEY_SECRET"'
    if "requestBody" in operation:
        options += " -H 'Content-Type: application/json' -d '{…}'"
    command = f'curl -s{options} "$API_URL{address}"'
    return f"<pre>{escape(command)}</pre>"


def _parameters(parameters: list[Schema]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}<td>{_description(one['schema'])}"
        for one in parameters
    )
    return f"<table>{rows}</table>" if rows else ""


def _responses(responses: Schema) -> str:
    rows = "".join(f"<tr><td>{status}<td>{_response(answer)}" for status, answer in responses.items())
    return f"<p>Answers:</p><table>{rows}</table>"


def _response(answer: Schema) -> str:
    if "$ref" in answer:
        return escape(answer["$ref"].rpartition("/")[2].replace("_", " ").lower())
    links = [_links(media["schema"]) for media in answer.get("content", {}).values()]
    return " ".join([escape(answer["description"]), *links])


def _description(schema: Schema) -> str:
    if "enum" in schema:
        return escape(" | ".join(schema["enum"]))
    return escape(schema.get("description", schema.get("format", schema.get("type", ""))))


def _schema(schema: Schema) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"


def _links(schema: Schema) -> str:
    return " ".join(f'<a href="#{name}"><code>{name}</code></a>' for name in dict.fromkeys(_references(schema)))


def _references(schema: object) -> Iterator[str]:
    match schema:
        case {"$ref": str(target)}:
            yield escape(target.rpartition("/")[2])
        case dict():
            for value in cast("Schema", schema).values():
                yield from _references(value)
        case _:
            return


def _folded(title: str, content: str, *, anchor: str, css: str = "") -> str:
    return f'<details id="{escape(anchor)}" class="{css}"><summary>{title}</summary>{content}</details>'
