"""The API as the command line calls it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from howdah import __version__
from howdah.cli.state import AUTHORITY, authority_of, read_credentials, serve_command, state_directory
from howdah.domain.errors import Conflict, HowdahError, NotFound, SetupError, Unauthorized, Unavailable
from howdah.domain.ids import ServiceId

NAMES = ("API_URL", "ORG_ID", "KEY_ID", "KEY_SECRET")
TIMEOUT_SECONDS = 30.0


class ApiError(HowdahError):
    """The server refused the call; the sentence is its own."""


@dataclass(frozen=True, slots=True)
class Api:
    """``hint``: what to do when nothing answers at ``url``. ``authority``: a file of CAs that are trusted beside the
    system's."""

    url: str
    organization: str
    key_id: str
    key_secret: str
    hint: str
    authority: Path | None = field(default=None, kw_only=True)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """The ``result`` of a call below the organization's services. Raises ApiError, NotFound, Unavailable."""
        where = f"/v1/organizations/{quote(self.organization, safe='')}/postgres{path}"
        if query:
            where += f"?{urlencode(query)}"
        status, answer = self._send(method, where, body)
        if status == 200:
            return answer.get("result")
        raise self._refused(status, answer)

    def own(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The ``result`` of one of Howdah's own calls on services. Raises as ``call`` does."""
        status, answer = self._send(method, f"/v1/howdah/services{path}", body)
        if status == 200:
            return answer["result"]
        raise self._refused(status, answer)

    def deleted(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The ``result`` of a call on deleted services whose backups are kept. Raises as ``call`` does."""
        status, answer = self._send(method, f"/v1/howdah/deleted{path}", body)
        if status == 200:
            return answer.get("result")
        raise self._refused(status, answer)

    def health(self) -> list[dict[str, Any]]:
        """Of all services, in short. Raises as ``call`` does."""
        status, answer = self._send("GET", "/v1/howdah/health", None)
        if status == 200:
            return answer["result"]
        raise self._refused(status, answer)

    def reason(self, service: str) -> str | None:
        """Why a service is not as it should be, where that is known."""
        return self.own("GET", f"/{service}")["reason"]

    def _refused(self, status: int, answer: Mapping[str, Any]) -> HowdahError:
        sentence = str(answer.get("error", f"status {status} without a reason"))
        if status == 401:
            return Unauthorized(
                f"the server does not accept the key {self.key_id!r} ({sentence.partition(': ')[2] or sentence});"
                " keys are made with howdah keys create"
            )
        if status == 404:
            return NotFound(sentence.partition(": ")[2] or sentence)
        return ApiError(sentence.partition(": ")[2] or sentence)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(self.url)
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        credentials = base64.b64encode(f"{self.key_id}:{self.key_secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {credentials}",
            "Howdah-Api-Version": "preview",
            "User-Agent": f"howdah/{__version__}",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, parts.path.rstrip("/") + path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, _decoded(answer.read(), self.url)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"no Howdah answers at {self.url} ({error}); {self.hint}") from None
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context()
        if self.authority is not None:
            try:
                context.load_verify_locations(self.authority)
            except OSError as error:
                raise SetupError(f"{AUTHORITY} {self.authority} cannot be used: {error.strerror or error}") from None
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _decoded(content: bytes, url: str) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(f"what answers at {url} is not Howdah")
    return cast("dict[str, Any]", answer)


def service_id(api: Api, wanted: str) -> str:
    """The id of the service of that id or name. Raises NotFound, Conflict."""
    try:
        return ServiceId.parse(wanted).ubid
    except ValueError:
        pass
    return _id_of(wanted, "services", "service", api.call("GET", ""))


def deleted_id(api: Api, wanted: str) -> str:
    """The same of a deleted service whose backups are kept."""
    try:
        return ServiceId.parse(wanted).ubid
    except ValueError:
        pass
    return _id_of(wanted, "deleted services", "deleted service", api.deleted("GET", ""))


def _id_of(wanted: str, several: str, one: str, everyone: Sequence[Mapping[str, Any]]) -> str:
    found = [str(service["id"]) for service in everyone if service["name"] == wanted]
    if len(found) > 1:
        raise Conflict(f"{len(found)} {several} are called {wanted!r}; give the id: {', '.join(found)}")
    if not found:
        names = ", ".join(sorted({str(service["name"]) for service in everyone})[:10]) or "none"
        raise NotFound(f"there is no {one} {wanted!r}; there are: {names}")
    return found[0]


def connect(state: Path | None) -> Api:
    """The server that API_URL, ORG_ID, KEY_ID and KEY_SECRET name, else the one of the state directory."""
    given = {name: os.environ.get(name, "") for name in NAMES}
    if state is None and any(given.values()):
        if missing := [name for name in NAMES if not given[name]]:
            raise SetupError(f"the environment has some of {', '.join(NAMES)} but lacks {', '.join(missing)}")
        named = os.environ.get(AUTHORITY)
        return _api(given, "API_URL names it: is it the right one?", Path(named) if named else None)
    directory = state_directory(state)
    return _api(read_credentials(directory), f"start it: {serve_command(directory)}", authority_of(directory))


def _api(given: Mapping[str, str], hint: str, authority: Path | None) -> Api:
    url = given["API_URL"].rstrip("/")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise SetupError(f"API_URL is {url!r}; it must be like http://127.0.0.1:8686")
    return Api(url, given["ORG_ID"], given["KEY_ID"], given["KEY_SECRET"], hint, authority=authority)
