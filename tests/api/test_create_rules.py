"""What a create refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from api.client import SERVICE, Client


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nam": "x"}, "field 'nam' is unknown; did you mean name? known: name, provider, region, size, storageSize,"),
        ({"storagesize": 118}, "field 'storagesize' is unknown; did you mean storageSize?"),
        ({"zzz": 1}, "field 'zzz' is unknown; known: name"),
        ({"name": ""}, "name is empty; it must have 1 to 50 characters"),
        ({"name": "  "}, "name is empty"),
        ({"name": "x" * 51}, "name has 51 characters; at most 50 are allowed"),
        ({"name": "a/b"}, "name has the character '/'"),
        ({"name": None}, "name must be a string, not null"),
        ({"name": 7}, "name must be a string, not a number"),
        ({"name": ["x"]}, "name must be a string, not an array"),
        ({"provider": "azure"}, "provider 'azure' is not offered; one of: aws, gcp"),
        ({"region": "us-west-9"}, "region 'us-west-9' is not offered by aws; nearest: us-west-2"),
        ({"size": "huge"}, "size 'huge' is not offered by aws in us-west-2; nearest: "),
        ({"storageSize": 119}, "storageSize 119 does not belong to size r8gd.large, which has 118"),
        ({"storageSize": "118"}, "storageSize must be an integer, written without quotes, fraction or exponent, not a"),
        ({"storageSize": 118.0}, "storageSize must be an integer, written without quotes, fraction or exponent, not a"),
        ({"storageSize": True}, "storageSize must be an integer, written without quotes, fraction or exponent, not a"),
        ({"storageSize": None}, "storageSize must be an integer, written without quotes, fraction or exponent, not nu"),
        ({"postgresVersion": "16"}, "postgresVersion must be '17' or '18', not '16'"),
        ({"postgresVersion": 18}, "postgresVersion must be '17' or '18', not a number"),
        ({"postgresVersion": None}, "postgresVersion must be '17' or '18', not null"),
        ({"haType": "both"}, "haType must be 'none', 'async' or 'sync', not 'both'"),
        ({"tags": {}}, "tags must be an array, not an object"),
        ({"tags": None}, "tags must be an array, not null"),
        ({"tags": ["x"]}, "tags[0] must be an object, not a string"),
        ({"tags": [{"key": "a"}, {}]}, "tags[1].key is missing; it is required"),
        ({"tags": [{"kye": "a"}]}, "field 'tags[0].kye' is unknown; did you mean key? known: key, value"),
        ({"tags": [{"key": "a", "value": None}]}, "tags[0].value must be a string, not null"),
        ({"tags": [{"key": "a"}, {"key": "a"}]}, "tags[1].key 'a' occurs twice"),
        ({"tags": [{"key": "chc_x"}]}, "tags[0].key 'chc_x' begins with 'chc_', which is reserved"),
        ({"tags": [{"key": "a b"}]}, "tags[0].key 'a b' may only have letters"),
        ({"pgConfig": {}}, "pgConfig is not yet supported; leave it out"),
        ({"pgBouncerConfig": {"a": "b"}}, "pgBouncerConfig is not yet supported; leave it out"),
        ({"ipAccessList": []}, "ipAccessList is not yet supported; leave it out"),
    ],
)
async def test_a_create_that_breaks_a_rule_names_it(client: Client, fields: dict[str, Any], said: str) -> None:
    status, error = await client.refusal("POST", client.services, json=SERVICE | fields)
    assert (status, error[: len(f"BAD_REQUEST: {said}")]) == (400, f"BAD_REQUEST: {said}")
    assert await client.result("GET", client.services) == []


@pytest.mark.parametrize("field", ["name", "provider", "region", "size"])
async def test_a_required_field_is_missed_by_name(client: Client, field: str) -> None:
    body = {key: value for key, value in SERVICE.items() if key != field}
    refused = await client.refusal("POST", client.services, json=body)
    assert refused == (400, f"BAD_REQUEST: {field} is missing; it is required")


async def test_names_are_trimmed_and_need_not_be_unique(client: Client) -> None:
    created = [await client.create(name=" twin ") for _ in range(2)]
    assert [one["name"] for one in created] == ["twin", "twin"]


async def test_a_sentence_stays_short_however_long_what_it_quotes(client: Client) -> None:
    _, error = await client.refusal("POST", client.services, json=SERVICE | {"size": "x" * 100_000})
    assert len(error) < 1100


async def test_an_idempotency_key_is_refused_rather_than_ignored(client: Client) -> None:
    refused = await client.refusal("POST", client.services, json=SERVICE, headers={"Idempotency-Key": "k"})
    assert refused == (400, "BAD_REQUEST: header Idempotency-Key is not yet supported; leave it out")
    assert await client.result("GET", client.services) == []
