"""Calls of the contract that are not built yet say so, to those who may ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.client import Client

LATER = [
    ("GET", "/postgres/{id}/config"),
    ("POST", "/postgres/{id}/config"),
    ("PATCH", "/postgres/{id}/config"),
    ("GET", "/postgres/{id}/logs"),
    ("GET", "/postgres/{id}/metrics"),
    ("GET", "/postgres/{id}/slowQueryPatterns"),
    ("GET", "/postgres/{id}/slowQueryPatterns/7"),
]


@pytest.mark.parametrize(("method", "suffix"), LATER)
async def test_a_call_that_is_not_built_answers_501(client: Client, method: str, suffix: str) -> None:
    path = f"/v1/organizations/{client.organization}{suffix.format(id='pg7myrd1j06p3gx4zrm2ze8qz6')}"
    status, error = await client.refusal(method, path, json={} if method in ("POST", "PATCH") else None)
    assert status == 501
    assert error.startswith(f"NOT_IMPLEMENTED: {method} /v1/organizations/")
    assert (await replace(client, auth=None).refusal(method, path))[0] == 401
    other = path.replace(str(client.organization), "3d3d8686-4035-46d0-8749-fc505f722ff3")
    assert (await client.refusal(method, other))[0] == 404


def test_the_document_has_every_call_that_is_not_built(client: Client) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in client.document.content["paths"].items()
        for method, operation in methods.items()
        if "501" in operation["responses"]
    }
    assert len(documented) == len(LATER)
