"""The OpenAPI document, made from the operations, so that it cannot say what the server does not do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from howdah import __version__
from howdah.api.operation import Access, Operation
from howdah.api.operations import OPERATIONS, PROBES, TAGS
from howdah.api.probes import LIVENESS, READINESS, Probe
from howdah.api.protocol import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_HEADERS
from howdah.api.queries import MOST
from howdah.api.repeats import HEADER as IDEMPOTENCY_KEY
from howdah.api.repeats import MAX_LENGTH
from howdah.api.schemas import SCHEMAS, terms
from howdah.api.schemas.terms import Schema
from howdah.api.versions import HEADER
from howdah.domain.organizations import ApiVersion
from howdah.domain.states import ServiceState
from howdah.observability.exposition import CONTENT_TYPE

_DESCRIPTION = (
    "Postgres services on your own machines. Every call wants HTTP Basic (key id, key secret); every answer is JSON"
    f" with requestId and status. The header {HEADER} chooses between preview and beta."
)
_ID = "A UBID or a UUID, whatever the version"
_PARAMETERS: dict[str, Schema] = {
    "organizationId": terms.UUID,
    "postgresId": terms.described(terms.TEXT, _ID),
    "keyId": terms.UUID,
    "activityId": terms.TEXT,
    "queryId": terms.TEXT,
    "tag": terms.described(terms.TEXT, "key, or key:value"),
    "state": terms.choice(ServiceState),
    "name": terms.described(terms.TEXT, "The whole name"),
    "cursor": terms.described(terms.TEXT, "The nextCursor of the page before"),
    "from_date": terms.described(terms.INSTANT, "Only what was done at that moment or later"),
    "to_date": terms.described(terms.INSTANT, "Only what was done at that moment or before"),
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
}
_ERRORS: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The request breaks a rule that the sentence names",
    HTTPStatus.UNAUTHORIZED: "No valid key",
    HTTPStatus.FORBIDDEN: "The key's role does not allow it",
    HTTPStatus.NOT_FOUND: "No such thing for this key",
    HTTPStatus.REQUEST_TIMEOUT: f"The request line and headers did not arrive within {HEAD_SECONDS:g} s",
    HTTPStatus.CONFLICT: "The present state does not allow it",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 1 MiB",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not declared as JSON",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The request line and headers are larger than {MAX_HEAD_BYTES} bytes or more than {MAX_HEADERS} headers"
    ),
    HTTPStatus.TOO_MANY_REQUESTS: "More requests than the key may send, or too many with wrong keys",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A defect of the server; its log has the requestId",
    HTTPStatus.NOT_IMPLEMENTED: "Not built yet",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now, or stored and still being applied",
}


_BEFORE_ROUTING = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
"""What any request may be answered, whatever it asks for."""

_IDEMPOTENCY_KEY: Schema = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Sent again within 24 hours with the same body, the request is answered again and not done again",
    "schema": terms.TEXT | {"minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[ -~]+$"},
}


def openapi_document() -> Schema:
    """The whole of it."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    for probe in (LIVENESS, READINESS):
        paths[probe.path] = {"get": _probe(probe)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Howdah", "description": _DESCRIPTION, "version": __version__},
        "paths": paths,
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "components": {
            "schemas": SCHEMAS | _body_schemas(),
            "responses": {status.name: _error(text) for status, text in _ERRORS.items()},
            "securitySchemes": {
                "basicAuth": {"type": "http", "scheme": "basic", "description": "Key id and key secret"}
            },
        },
    }


def _operation(operation: Operation) -> Schema:
    document: Schema = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.id,
        "security": [{"basicAuth": []}],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        schema = terms.reference(operation.body.name)
        content = {media_type: {"schema": schema} for media_type in operation.media_types}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _probe(probe: Probe) -> Schema:
    failures = _failures(*_BEFORE_ROUTING, HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        "tags": [PROBES],
        "summary": probe.summary,
        "operationId": probe.path.strip("/"),
        "responses": {"200": _success(terms.reference(probe.result)), **failures},
    }


def _parameters(operation: Operation) -> list[Schema]:
    version = {"name": HEADER, "in": "header", "required": False, "schema": terms.choice(ApiVersion)}
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    return [
        *(_parameter(name, "path", required=True) for name in in_path),
        *(_parameter(name, "query", required=False) for name in operation.query),
        version,
        *([_IDEMPOTENCY_KEY] if operation.method == "POST" else []),
    ]


def _parameter(name: str, place: str, *, required: bool) -> Schema:
    return {"name": name, "in": place, "required": required, "schema": _PARAMETERS[name]}


def _responses(operation: Operation) -> Schema:
    failures = [*_BEFORE_ROUTING, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS]
    if operation.access is not Access.READ:
        failures.append(HTTPStatus.FORBIDDEN)
    if "{" in operation.path:
        failures.append(HTTPStatus.NOT_FOUND)
    if operation.handler is None:
        return _failures(*failures, HTTPStatus.NOT_IMPLEMENTED)
    if operation.access is Access.READ and operation.result in ("PostgresBackup", "Archive", "Drills"):
        failures.append(HTTPStatus.SERVICE_UNAVAILABLE)
    if operation.activity is not None:
        failures += [HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE]
    if operation.body is not None:
        failures += [HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
    return {"200": _result(operation), **_failures(*failures, HTTPStatus.INTERNAL_SERVER_ERROR)}


def _result(operation: Operation) -> Schema:
    if operation.result is None:
        return _success(None)
    if operation.result == "Pem":
        disposition = {"Content-Disposition": {"schema": terms.TEXT}}
        content = {"application/x-pem-file": {"schema": terms.TEXT}}
        return {"description": "PEM certificates", "headers": disposition, "content": content}
    if operation.result == "Exposition":
        content = {CONTENT_TYPE.partition(";")[0]: {"schema": terms.TEXT}}
        return {"description": "Metrics in Prometheus' text format", "content": content}
    result = terms.reference(operation.result)
    paged = "cursor" in operation.query
    return _success(terms.array(result) if operation.many else result, paged=paged)


def _success(result: Schema | None, *, paged: bool = False) -> Schema:
    fields: dict[str, Schema] = {"requestId": terms.UUID, "status": {"const": 200}}
    if result is not None:
        fields = {"result": result} | fields
    if paged:
        fields["nextCursor"] = terms.described(terms.TEXT, "Absent on the last page")
    schema = terms.record(fields, optional=("nextCursor",))
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _failures(*statuses: HTTPStatus) -> Schema:
    return {str(int(status)): {"$ref": f"#/components/responses/{status.name}"} for status in sorted(statuses)}


def _error(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": terms.reference("Error")}}}


def _body_schemas() -> dict[str, Schema]:
    found: dict[str, Any] = {}
    for operation in OPERATIONS:
        if operation.body is not None:
            schema = operation.body.adapter.json_schema(ref_template="#/components/schemas/{model}")
            found |= schema.pop("$defs", {})
            found[operation.body.name] = schema
    return {name: _untitled(schema) for name, schema in found.items()}


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of names, which say nothing and read badly."""
    match schema:
        case dict():
            fields = cast("Schema", schema)
            return {key: _untitled(value) for key, value in fields.items() if key != "title"}
        case list():
            return [_untitled(item) for item in cast("list[Any]", schema)]
        case _:
            return schema
