"""After everything that a service can go through, its secrets are in two files that are there for them, sealed in the
store, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures.command import howdah
from fixtures.server import Server, eventually, paths_below

from howdah.control.vault import Kind, open_vault
from howdah.domain.ids import ServiceId
from howdah.store import secrets
from howdah.store.store import Store

GIVEN = "Given-By-The-User-42"


def sealed_secrets(server: Server, services: list[str]) -> set[str]:
    """What the store keeps of these services, opened with the present key."""
    found: set[str] = set()
    with Store(server.state / "howdah.db") as store:
        vault = open_vault(store, server.state / "secrets.key")
        for service in map(ServiceId.parse, services):
            sealed = secrets.of(store, service)
            found |= {vault.open(service, kind, sealed[kind]) for kind in Kind if kind in sealed}
    return found


def distinctive(secret: str) -> set[bytes]:
    """Secrets of several lines are looked for line by line: a log would break them up, or escape their ends."""
    lines = [line for line in secret.splitlines() if line and not line.startswith("-----")]
    return {line.encode() for line in lines if len(line) >= 12}


def processes_of(state: Path) -> Iterator[int]:
    """Howdah's own, the launcher's, the router's, every server's and their children's."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and any(
                str(state) in text
                for text in (
                    (entry / "cmdline").read_bytes().decode(errors="replace"),
                    (entry / "environ").read_bytes().decode(errors="replace"),
                    os.readlink(entry / "cwd"),
                )
            ):
                yield int(entry.name)


def places(server: Server) -> dict[str, bytes]:
    """Everything that could be read, sent or looked at by somebody whom a secret is no business of, by its name."""
    kept_for_secrets = ("secrets.key", "bootstrap.env", "tls/server.pem")
    found: dict[str, bytes] = {"server log": server.log.encode()}
    for path in paths_below(server.state):
        inside = path.relative_to(server.state)
        if inside.parts[0] in ("postgres", "templates", "pool") or str(inside).endswith(kept_for_secrets):
            continue
        if "data" in inside.parts and path.suffix not in (".conf", ".pid", ".opts", ".json"):
            continue  # the tenant's own data: what Postgres keeps of a password there is its business
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                found[str(inside)] = path.read_bytes()
    for pid in processes_of(server.state):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found[f"{name} of process {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    return found


def call(server: Server, bodies: list[bytes], method: str, path: str, body: Any = None, **options: Any) -> int:
    answer = server.client.request(method, server.services + path, json=body, **options)
    if answer.status_code != 200:
        bodies.append(answer.content + repr(answer.headers).encode())
    return answer.status_code


@pytest.mark.fault(
    what="A secret where it does not belong: logs, errors, process arguments and environments, plain bytes of the"
    " store, routes, `howdah doctor`",
    then="None: passwords, verifiers, private keys, API keys and the key of the secrets are in none of them",
)
def test_no_secret_is_anywhere_but_where_it_belongs(server: Server) -> None:
    errors: list[bytes] = []
    known: set[str] = {GIVEN}
    created = server.create(name="first")
    known.add(created["password"])
    server.wait_until(created["id"], "running")
    first, second = created["id"], server.running(name="second")["id"]
    assert call(server, errors, "PATCH", f"/{first}/password", {"password": GIVEN}) == 200
    with psycopg.connect(server.get(first)["connectionString"]) as session, pytest.raises(psycopg.Error):
        session.execute("SELECT nonsense")
    known |= sealed_secrets(server, [first, second])
    generated = server.call("PATCH", f"/{first}/password", {})["password"]
    known.add(generated)
    server.call("PATCH", f"/{first}", {"name": "renamed"})
    server.call("PATCH", f"/{first}/state", {"command": "restart"})
    server.wait_until(first, "running")

    # Calls and connections that fail, with secrets in them.
    for body in ({"password": "Abc-wrong-rules!!"}, {"password": GIVEN, "more": GIVEN}, {"password": [GIVEN]}, GIVEN):
        assert call(server, errors, "PATCH", f"/{second}/password", body) == 400
    assert call(server, errors, "GET", f"/{first}x") in (400, 404)
    assert call(server, errors, "GET", "", auth=(server.credentials["KEY_ID"], f"{GIVEN}x")) == 401
    assert call(server, errors, "POST", "", {"name": "x", "password": GIVEN}) == 400
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.get(first)["connectionString"], password=f"{GIVEN}x", connect_timeout=10)

    before = (server.state / "secrets.key").read_text()
    rotated = howdah("system", "rotate-key", "--state", str(server.state))
    assert rotated.returncode == 0, rotated.stderr
    known |= {line for text in (before, (server.state / "secrets.key").read_text()) for line in text.split() if line}
    server.kill()
    server.start()
    server.wait_until(first, "running")
    known |= sealed_secrets(server, [first, second])
    known.add(server.credentials["KEY_SECRET"])
    doctor = howdah("doctor", "--state", str(server.state))
    said = {
        "doctor": doctor.stdout.encode() + doctor.stderr.encode(),
        "rotation": (rotated.stdout + rotated.stderr).encode(),
    }
    everything = places(server)
    server.call("DELETE", f"/{second}")
    server.wait_until_gone(second)
    everything |= {f"after the delete: {name}": content for name, content in places(server).items()} | said
    everything |= {f"error {number}": content for number, content in enumerate(errors)}

    needles = {needle for secret in known for needle in distinctive(secret)}
    assert len(needles) > 20
    assert_found_where_it_belongs(server, needles)
    leaks = {(name, needle) for name, content in everything.items() for needle in needles if needle in content}
    assert {name for name, _ in leaks} == set(), leaks
    names = " ".join(everything)
    for expected in ("howdah.db", "routes.json", "router.log", "cmdline of", "environ of", "postgresql.conf", ".json"):
        assert expected in names, expected
    eventually("errors have been made", lambda: len(errors) >= 7)


def assert_found_where_it_belongs(server: Server, needles: set[bytes]) -> None:
    """Were these not the secrets as they are written, none would be found anywhere."""
    kept = (server.state / "secrets.key").read_bytes() + (server.state / "bootstrap.env").read_bytes()
    kept += b"".join(path.read_bytes() for path in server.state.glob("services/*/*/tls/server.pem"))
    assert len([needle for needle in needles if needle in kept]) >= 5
    assert re.search(rb"BEGIN (EC )?PRIVATE KEY", kept)
