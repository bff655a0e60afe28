"""The one form of every answer: ``{"result", "requestId", "status"}`` or ``{"status", "error", "requestId"}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from howdah.domain import errors

CODES: dict[type[errors.HowdahError], tuple[HTTPStatus, str]] = {
    errors.BadRequest: (HTTPStatus.BAD_REQUEST, "BAD_REQUEST"),
    errors.Unauthorized: (HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED"),
    errors.Forbidden: (HTTPStatus.FORBIDDEN, "FORBIDDEN"),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "NOT_FOUND"),
    errors.MethodNotAllowed: (HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
    errors.Conflict: (HTTPStatus.CONFLICT, "CONFLICT"),
    errors.PreconditionFailed: (HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED"),
    errors.PayloadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
    errors.UnsupportedMediaType: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
    errors.TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
    errors.NotImplementedYet: (HTTPStatus.NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
    errors.Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    errors.SetupError: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
}
"""Status and code of every error that a user can meet."""

INTERNAL_ERROR = "INTERNAL_ERROR: something went wrong here; the server's log says more under this requestId"

_LONGEST_SENTENCE = 1000
_NO_RESULT: Any = object()
# ASCII only, because a sentence may quote lone surrogates that UTF-8 cannot carry
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def success(
    request_id: str,
    result: Any = _NO_RESULT,
    headers: Mapping[str, str] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Response:
    """200 with ``result``, or without one; ``beside``: what stands beside it."""
    body: dict[str, Any] = {} if result is _NO_RESULT else {"result": result}
    return _json({**body, **(beside or {}), "requestId": request_id, "status": 200}, HTTPStatus.OK, headers)


def failure(request_id: str, error: errors.HowdahError, headers: Mapping[str, str] | None = None) -> Response:
    """The status and code of ``error`` with its sentence."""
    status, code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if isinstance(error, errors.Unauthorized):
        headers = {"WWW-Authenticate": 'Basic realm="howdah"', **(headers or {})}
    return _failure(request_id, status, f"{code}: {_shortened(error.sentence)}", headers)


def internal_error(request_id: str) -> Response:
    """500 that tells nothing but where to look."""
    return _failure(request_id, HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR, None)


def refusal_before_routing(request_id: str, status: HTTPStatus, text: str) -> bytes:
    """The body of a failure that has no request yet."""
    return bytes(_failure(request_id, status, text, None).body)


def _failure(request_id: str, status: HTTPStatus, text: str, headers: Mapping[str, str] | None) -> Response:
    return _json({"status": int(status), "error": text, "requestId": request_id}, status, headers)


def _json(body: dict[str, Any], status: HTTPStatus, headers: Mapping[str, str] | None) -> Response:
    return Response(_encode(body), int(status), headers, media_type="application/json")


def _shortened(sentence: str) -> str:
    if len(sentence) <= _LONGEST_SENTENCE:
        return sentence
    half = _LONGEST_SENTENCE // 2
    return f"{sentence[:half]} … {sentence[-half:]}"
