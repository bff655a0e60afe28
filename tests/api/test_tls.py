"""The API with a certificate: HTTPS alone, and sentences for files that cannot be used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.client import Client
from howdah.api.app import create_app
from howdah.cli.listening import HttpServer, listen
from howdah.cli.tls import ApiTls
from howdah.domain.errors import SetupError
from howdah.domain.settings import ApiSettings, Settings
from howdah.security.certificates import Root, bundle, issue, new_roots


@dataclass
class Files:
    authority: Path
    certificate: Path
    key: Path
    roots: tuple[Root, Root]

    def renew(self) -> str:
        """Another certificate of the same authority in their place; returns it."""
        leaf = issue(self.roots, service="api", hostnames=["localhost"], now=datetime.now(UTC))
        self.key.write_text(leaf.key)
        self.certificate.write_text(leaf.chain)
        return leaf.chain


@pytest.fixture
def files(tmp_path: Path) -> Files:
    now = datetime.now(UTC)
    roots = new_roots("api", now)
    made = Files(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem", roots)
    made.authority.write_text(bundle(roots))
    made.renew()
    return made


@pytest.fixture
def tls(files: Files) -> ApiTls:
    return made_with(tls_certificate=files.certificate, tls_key=files.key)


def made_with(**api: Any) -> ApiTls:
    return ApiTls(Settings(state=Path("/nonexistent"), api=ApiSettings(**api)))


@pytest.fixture
async def port(client: Client, tls: ApiTls) -> AsyncIterator[int]:
    listener = listen(ApiSettings(port=0))
    server = HttpServer(create_app(client.plane), tls.context)
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
        made_with(tls_certificate=files.certificate)
    with pytest.raises(SetupError, match=r"api\.tls_key is set and api\.tls_certificate is not"):
        made_with(tls_key=files.key)


def test_files_that_cannot_be_used_are_named(files: Files, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    files.authority.write_text(issue(new_roots("b", now), service="b", hostnames=["b"], now=now).key)
    for key, why in (
        (files.authority, "the key is not"),
        (files.certificate, "must be PEM"),
        (tmp_path / "x", "No such"),
    ):
        with pytest.raises(SetupError, match=why) as refused:
            made_with(tls_certificate=files.certificate, tls_key=key)
        assert str(key) in refused.value.sentence


async def test_a_certificate_that_replaces_the_files_is_taken_without_a_restart(
    files: Files, tls: ApiTls, port: int
) -> None:
    before = files.certificate.read_text()
    assert await shown(files, port) == ssl.PEM_cert_to_DER_cert(_first(before))
    after = files.renew()
    tls.look()
    assert await shown(files, port) == ssl.PEM_cert_to_DER_cert(_first(after))


async def test_files_that_cannot_be_used_leave_the_last_certificate_in_place(
    files: Files, tls: ApiTls, port: int
) -> None:
    before = await shown(files, port)
    files.certificate.write_text("half a certifica")
    tls.look()
    assert await shown(files, port) == before
    after = files.renew()
    tls.look()
    assert await shown(files, port) == ssl.PEM_cert_to_DER_cert(_first(after))


async def shown(files: Files, port: int) -> bytes:
    """The certificate that a client sees."""
    context = ssl.create_default_context(cafile=str(files.authority))
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


def _first(chain: str) -> str:
    end = "-----END CERTIFICATE-----"
    return chain.partition(end)[0] + end
