"""The served OpenAPI document as a judge of answers: what it does not describe, the server may not say."""

from __future__ import annotations

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

# What routing, and not a call, refuses; a document has no place for it.
ROUTING = {404, 405, 204}
URI = "urn:howdah"


class Document:
    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        closed = _closed(content)
        self._registry = Registry().with_resource(URI, Resource(closed, DRAFT202012))
        self._paths = {
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): (path, methods) for path, methods in content["paths"].items()
        }

    def check(self, method: str, target: str, answer: httpx.Response) -> None:
        """Fails when the document does not describe ``answer``, or the envelope is not what it always is."""
        self._check_envelope(answer)
        if method == "HEAD":
            return
        found = self._operation(method, target)
        if found is None:
            assert answer.status_code in ROUTING, (method, target, answer.text)
            return
        path, operation = found
        status = str(answer.status_code)
        assert status in operation["responses"], f"{method} {path} answers {status}, which is not documented"
        media_type = answer.headers["content-type"].partition(";")[0]
        pointer = [*self._response_pointer(path, method, status), "content", media_type, "schema"]
        value = answer.json() if media_type == "application/json" else answer.text
        reference = URI + "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer)
        Draft202012Validator(
            {"$ref": reference}, registry=self._registry, format_checker=FormatChecker(["uuid"])
        ).validate(value)

    def _check_envelope(self, answer: httpx.Response) -> None:
        assert answer.headers["cache-control"] == "no-store"
        if answer.request.method == "HEAD" or answer.status_code == 204:
            assert answer.content == b""
            return
        if answer.headers["content-type"] != "application/json":
            return
        body = answer.json()
        assert body["status"] == answer.status_code
        assert body["requestId"] == answer.headers["x-request-id"]
        assert ("error" in body) == (answer.status_code != 200)

    def _operation(self, method: str, target: str) -> tuple[str, dict[str, Any]] | None:
        bare = target.partition("?")[0]
        for pattern, (path, methods) in self._paths.items():
            if pattern.fullmatch(bare) and method.lower() in methods:
                return path, methods[method.lower()]
        return None

    def _response_pointer(self, path: str, method: str, status: str) -> list[str]:
        response = self.content["paths"][path][method.lower()]["responses"][status]
        if "$ref" in response:
            return response["$ref"].removeprefix("#/").split("/")
        return ["paths", path, method.lower(), "responses", status]


def _closed(schema: Any) -> Any:
    """The document with every object closed, so that an undocumented field is found too."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed
