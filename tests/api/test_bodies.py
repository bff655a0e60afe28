"""Bodies are read strictly: nothing that two parsers could understand differently gets in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from api.client import SERVICE, Client

JSON = {"Content-Type": "application/json"}
GOOD = json.dumps(SERVICE).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the body is empty; it must be a JSON object, {} at least"),
        (b"{", "the body is not JSON: "),
        (b"{} {}", "the body is not JSON: Extra data at line 1, column 4"),
        (b"[]", "the body is an array; it must be a JSON object"),
        (b"null", "the body is null; it must be a JSON object"),
        (b'"x"', "the body is a string; it must be a JSON object"),
        (b"\xef\xbb\xbf{}", "the body begins with a byte order mark; it must be UTF-8 without one"),
        (b'{"name": "\xff"}', "the body is not UTF-8: byte 10 cannot be decoded"),
        ('{"name": "x"}'.encode("utf-16-le"), "the body is not JSON: "),
        (b'{"name": "a", "name": "b"}', "field 'name' occurs twice in one object"),
        (b'{"tags": [{"key": "a", "key": "b"}]}', "field 'key' occurs twice in one object"),
        (b'{"storageSize": NaN}', "the body has NaN, which is not JSON"),
        (b'{"storageSize": -Infinity}', "the body has -Infinity, which is not JSON"),
        (b'{"storageSize": 1e999}', "the body has the number 1e999, which is out of range"),
        (b'{"storageSize": ' + b"9" * 5000 + b"}", "the body has an integer of 5000 characters; none is that large"),
        (rb'{"name": "a\u0000b"}', "the body has a string with a NUL character"),
        (rb'{"na\u0000me": "b"}', "the body has a string with a NUL character"),
        (rb'{"name": "\ud800"}', "the body has a string with half of a surrogate pair"),
        (b'{"tags": ' + b"[" * 17 + b"]" * 17 + b"}", "the body is nested more than 16 levels deep"),
        (b'{"tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is nested more than 16 levels deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "the body is nested more than 16 levels deep"),
    ],
)
async def test_a_body_that_is_not_one_clean_object_is_refused_with_its_reason(
    client: Client, content: bytes, said: str
) -> None:
    status, error = await client.refusal("POST", client.services, content=content, headers=JSON)
    assert (status, error[: len(f"BAD_REQUEST: {said}")]) == (400, f"BAD_REQUEST: {said}")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "the header Content-Type is missing; it must be application/json"),
        ({"Content-Type": "text/plain"}, "Content-Type 'text/plain' is not accepted; it must be application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type 'application/x-www-form-urlencoded' is"),
        ({"Content-Type": "application/merge-patch+json"}, "Content-Type 'application/merge-patch+json' is not accept"),
        ({"Content-Type": "application/json; charset=latin-1"}, "charset 'latin-1' is not accepted; it must be utf-8"),
        (JSON | {"Content-Encoding": "gzip"}, "Content-Encoding 'gzip' is not accepted; send the body as it is"),
    ],
)
async def test_a_body_of_another_kind_is_415(client: Client, headers: dict[str, str], said: str) -> None:
    status, error = await client.refusal("POST", client.services, content=GOOD, headers=headers)
    assert (status, error[: len(f"UNSUPPORTED_MEDIA_TYPE: {said}")]) == (415, f"UNSUPPORTED_MEDIA_TYPE: {said}")


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json"]
)
async def test_the_spellings_of_json_are_accepted(client: Client, media_type: str) -> None:
    await client.result("POST", client.services, content=GOOD, headers={"Content-Type": media_type})


async def test_a_body_of_exactly_1_mib_is_read_and_one_byte_more_is_413(client: Client) -> None:
    full = GOOD + b" " * (1024 * 1024 - len(GOOD))
    await client.result("POST", client.services, content=full, headers=JSON)
    refused = await client.refusal("POST", client.services, content=full + b" ", headers=JSON)
    assert refused == (413, "PAYLOAD_TOO_LARGE: the body is larger than 1048576 bytes (1 MiB)")


async def test_a_body_without_a_declared_length_is_counted_while_it_comes(client: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 65536
            yield b" " * 65536

    assert (await client.refusal("POST", client.services, content=endless(), headers=JSON))[0] == 413
    assert sent < 2 * 1024 * 1024


async def test_get_and_delete_take_no_notice_of_a_body(client: Client) -> None:
    url = f"{client.services}/{(await client.create())['id']}"
    assert (await client.send("GET", url, content=b"\xff")).status_code == 200
    assert (await client.send("DELETE", url, content=b"\xff")).status_code == 200
