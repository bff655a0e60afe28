"""The envelope is everywhere: around what succeeds, what fails, and what leads nowhere."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import LogCapture

from api.client import REQUEST_ID, SERVICE, Client
from howdah.api import tracing
from howdah.control.plane import ControlPlane
from howdah.control.services import Services


@pytest.fixture
def log_lines() -> LogCapture:
    return LogCapture()


@pytest.fixture(autouse=True)
def _captured(log_lines: LogCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    processors = [structlog.contextvars.merge_contextvars, log_lines]
    monkeypatch.setattr(tracing, "log", structlog.wrap_logger(None, processors=processors))


async def test_success_is_result_request_id_and_status(client: Client) -> None:
    answer = await client.send("GET", client.services)
    body = answer.json()
    assert body == {"result": [], "requestId": body["requestId"], "status": 200}
    assert REQUEST_ID.fullmatch(body["requestId"])


async def test_failure_is_status_error_and_request_id(client: Client) -> None:
    answer = await client.send("GET", f"{client.services}/x")
    body = answer.json()
    assert body == {
        "status": 404,
        "error": "NOT_FOUND: there is no Postgres service 'x'",
        "requestId": body["requestId"],
    }


async def test_every_request_has_an_id_of_its_own_whatever_the_client_sends(client: Client) -> None:
    answers = [await client.send("GET", client.services, headers={"X-Request-Id": "mine"}) for _ in range(3)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(REQUEST_ID.fullmatch(one) for one in ids)


async def test_the_request_id_is_in_the_log_lines_of_the_request(client: Client, log_lines: LogCapture) -> None:
    answer = await client.send("POST", client.services, json=SERVICE)
    lines = [line for line in log_lines.entries if line["event"] == "request" and line["method"] == "POST"]
    assert [line["request_id"] for line in lines] == [answer.json()["requestId"]]
    assert client.auth is not None
    assert client.auth[1] not in str(log_lines.entries)
    assert answer.json()["result"]["password"] not in str(log_lines.entries)


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/organizations/", "/v1/howdah", "/nope", "/v1/organizations/x/y/z", "//", "/v1/%2e%2e/x"]
)
async def test_an_unknown_path_is_404(client: Client, path: str) -> None:
    status, error = await client.refusal("GET", path)
    assert status == 404
    assert error.startswith("NOT_FOUND: there is nothing at ")


@pytest.mark.parametrize(
    ("method", "suffix", "allow"),
    [
        ("PUT", "", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", "/x/password", "OPTIONS, PATCH"),
        ("TRACE", "/x/config", "GET, HEAD, OPTIONS, PATCH, POST"),
        ("BREW", "/x/caCertificates", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405_and_learns_the_right_ones(
    client: Client, method: str, suffix: str, allow: str
) -> None:
    answer = await client.send(method, client.services + suffix)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["error"].startswith(f"METHOD_NOT_ALLOWED: {method} is not for ")


async def test_options_says_what_a_path_takes(nobody: Client) -> None:
    answer = await nobody.send("OPTIONS", nobody.services)
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (await nobody.send("OPTIONS", "/nope")).status_code == 404


async def test_head_answers_like_get_without_a_body(client: Client, nobody: Client) -> None:
    got, head = [await client.send(method, client.services) for method in ("GET", "HEAD")]
    assert head.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert (await nobody.send("HEAD", nobody.services)).status_code == 401
    assert (await client.send("HEAD", f"{client.services}/x")).status_code == 404


async def test_an_unexpected_error_is_500_without_details_and_in_the_log_with_its_traceback(
    client: Client, monkeypatch: pytest.MonkeyPatch, log_lines: LogCapture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Services, "list", broken)
    answer = await client.send("GET", client.services)
    assert answer.status_code == 500
    assert answer.json()["error"] == (
        "INTERNAL_ERROR: something went wrong here; the server's log says more under this requestId"
    )
    (line,) = [line for line in log_lines.entries if line["event"] == "unexpected error"]
    assert (line["request_id"], line["log_level"], line["exc_info"]) == (answer.json()["requestId"], "error", True)


async def test_the_document_and_its_page_need_neither_key_nor_internet(nobody: Client) -> None:
    page = await nobody.http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "http" not in page.text.replace("$API_URL", "")
    for text in ("postgresServiceCreate", "PostgresServicePostRequest", "not built yet"):
        assert text in page.text
    assert (await nobody.http.get("/openapi.json")).json() == nobody.document.content


async def test_healthz_and_readyz_need_no_key(nobody: Client) -> None:
    assert await nobody.result("GET", "/healthz") == {"healthy": True}
    assert await nobody.result("GET", "/readyz") == {"ready": True}


async def test_readyz_gives_the_reasons_when_something_is_not_ready(
    nobody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlPlane, "readiness", lambda _: {"router": "it ended", "store": "the disk is full"})
    refused = await nobody.refusal("GET", "/readyz")
    assert refused == (503, "UNAVAILABLE: router: it ended; store: the disk is full")
