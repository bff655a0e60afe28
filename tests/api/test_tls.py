"""The API with a certificate: HTTPS alone, and sentences for files that cannot be used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from api.client import Client
from howdah.api.app import create_app
from howdah.cli.listening import HttpServer, listen, tls_context
from howdah.domain.errors import SetupError
from howdah.domain.settings import ApiSettings
from howdah.security.certificates import bundle, issue, new_roots


@dataclass
class Files:
    authority: Path
    certificate: Path
    key: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    now = datetime.now(UTC)
    roots = new_roots("api", now)
    leaf = issue(roots, service="api", hostnames=["localhost"], now=now)
    made = Files(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    made.authority.write_text(bundle(roots))
    made.certificate.write_text(leaf.chain)
    made.key.write_text(leaf.key)
    return made


@pytest.fixture
async def port(client: Client, files: Files) -> AsyncIterator[int]:
    settings = ApiSettings(port=0, tls_certificate=files.certificate, tls_key=files.key)
    listener = listen(settings)
    server = HttpServer(create_app(client.plane), tls_context(settings))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    server.stop()
    await serving


async def test_a_client_that_trusts_the_authority_is_answered(client: Client, files: Files, port: int) -> None:
    context = ssl.create_default_context(cafile=str(files.authority))
    async with httpx.AsyncClient(verify=context) as http:
        answer = await http.get(f"https://localhost:{port}{client.services}", auth=client.auth)
    assert (answer.status_code, answer.json()["result"]) == (200, [])
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_plain_http_promises_no_tls(client: Client) -> None:
    assert "Strict-Transport-Security" not in (await client.send("GET", client.services)).headers


async def test_plain_http_is_not_answered(port: int) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://localhost:{port}/healthz")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_of_tls_are_refused(files: Files, port: int) -> None:
    context = ssl.create_default_context(cafile=str(files.authority))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", port, ssl=context)


def test_one_file_without_the_other_is_refused(files: Files) -> None:
    with pytest.raises(SetupError, match=r"api\.tls_certificate is set and api\.tls_key is not"):
        tls_context(ApiSettings(tls_certificate=files.certificate))
    with pytest.raises(SetupError, match=r"api\.tls_key is set and api\.tls_certificate is not"):
        tls_context(ApiSettings(tls_key=files.key))


def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    files.authority.write_text(issue(new_roots("b", now), service="b", hostnames=["b"], now=now).key)
    for key, why in (
        (files.authority, "the key is not"),
        (files.certificate, "must be PEM"),
        (tmp_path / "x", "No such"),
    ):
        with pytest.raises(SetupError, match=why) as refused:
            tls_context(ApiSettings(tls_certificate=files.certificate, tls_key=key))
        assert str(key) in refused.value.sentence
