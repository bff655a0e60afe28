"""Reads request bodies strictly: one JSON object in UTF-8, whose meaning no two parsers could see differently."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, cast

from starlette.datastructures import Headers
from starlette.requests import Request

from howdah.domain.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16
BODY_SECONDS = 30.0
"""From the end of the headers to the end of the body."""

_LONGEST_INTEGER = 19
_UTF8_BOM = b"\xef\xbb\xbf"

JSON = ("application/json",)
JSON_OR_MERGE_PATCH = ("application/json", "application/merge-patch+json")


async def read_object(request: Request, media_types: Sequence[str]) -> dict[str, Any]:
    """The body's JSON object.

    Raises UnsupportedMediaType, PayloadTooLarge, or BadRequest with the reason why the body is not one.
    """
    headers = request.headers
    declared = "content-type" in headers
    if declared:
        _check_media_type(headers, media_types)
    _check_encoding(headers)
    content = await _read(request)
    if not content:
        raise BadRequest("the body is empty; it must be a JSON object, {} at least")
    if not declared:
        raise UnsupportedMediaType(f"the header Content-Type is missing; it must be {' or '.join(media_types)}")
    return parse_object(content)


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object that ``content`` is. Raises BadRequest with the reason why it is not one."""
    if content.startswith(_UTF8_BOM):
        raise BadRequest("the body begins with a byte order mark; it must be UTF-8 without one")
    try:
        text = content.decode()
    except UnicodeDecodeError as broken:
        raise BadRequest(f"the body is not UTF-8: byte {broken.start} cannot be decoded") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as broken:
        raise BadRequest(f"the body is not JSON: {broken.msg} at line {broken.lineno}, column {broken.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise BadRequest(f"the body is {json_type(value)}; it must be a JSON object")
    found = cast("dict[str, Any]", value)
    _check_values(found)
    return found


def json_type(value: object) -> str:
    """What JSON calls ``value``, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:_LONGEST_INTEGER]) > MAX_BYTES:
        raise _too_large()
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise BadRequest(f"the body did not arrive within {BODY_SECONDS:g} s") from None
    return bytes(content)


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {MAX_BYTES} bytes (1 MiB)")


def _too_deep() -> BadRequest:
    return BadRequest(f"the body is nested more than {MAX_DEPTH} levels deep")


def _check_media_type(headers: Headers, accepted: Sequence[str]) -> None:
    media_type, *parameters = ", ".join(headers.getlist("content-type")).split(";")
    if media_type.strip().lower() not in accepted:
        given = media_type.strip()[:60]
        raise UnsupportedMediaType(f"Content-Type {given!a} is not accepted; it must be {' or '.join(accepted)}")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"charset {value[:60]!a} is not accepted; it must be utf-8")


def _check_encoding(headers: Headers) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:60]!a} is not accepted; send the body as it is")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise BadRequest(f"field {twice[:60]!a} occurs twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise BadRequest(f"the body has an integer of {len(digits)} characters; none is that large")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest(f"the body has the number {digits[:60]}, which is out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"the body has {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_int=_integer, parse_float=_number, parse_constant=_no_constant
)


def _check_values(top: object) -> None:
    level = [top]
    for _ in range(MAX_DEPTH):
        for value in level:
            _check_text(value)
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise _too_deep()


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        yield from members
        yield from members.values()
    elif isinstance(value, list):
        yield from cast("list[object]", value)


def _check_text(value: object) -> None:
    if not isinstance(value, str):
        return
    if "\0" in value:
        raise BadRequest("the body has a string with a NUL character, which Postgres cannot store")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest("the body has a string with half of a surrogate pair, which is no character") from None
