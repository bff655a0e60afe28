"""An attacker, a neighbour, and what must be as before whatever the one does to the other."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from fixtures.server import Server, alive, eventually, paths_below
from psycopg import sql

from howdah.launcher.processes import pids_of_user

needs_own_users = pytest.mark.skipif(
    os.geteuid() != 0, reason="started as an ordinary user Howdah is single-tenant: all its servers are one OS user"
)
PYTHON = "/usr/bin/python3"
"""One that every user can run."""


class Said(NamedTuple):
    status: int
    text: str


class Tenant:
    """One service and its superuser."""

    def __init__(self, server: Server, shown: dict[str, Any]) -> None:
        self.server = server
        self.id: str = shown["id"]
        self.string: str = shown["connectionString"]
        (self.home,) = server.state.glob(f"services/{self.id}/*")
        self.data, self.log = self.home / "data", self.home / "log"
        self.uid = self.data.stat().st_uid

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.string, autocommit=True, **({"connect_timeout": 20} | options))

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Each in turn; the rows of the last one."""
        with self.connect() as connection:
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                cursor = connection.execute(statement)  # pyright: ignore[reportArgumentType]
                rows = cursor.fetchall() if cursor.description else []
            return rows

    def shell(self, command: str) -> Said:
        """What a command says that its server runs: what superusers can do to the machine, they can do by this."""
        program = f'{{ ( {command}\n) 2>&1 </dev/null; echo "[$?]"; }} | base64 -w0'
        with self.connect() as connection:
            connection.execute("CREATE TEMP TABLE said (line text)")
            connection.execute(sql.SQL("COPY said FROM PROGRAM {}").format(sql.Literal(program)))
            ((line,),) = connection.execute("SELECT line FROM said").fetchall()
        text, _, status = base64.b64decode(line).decode(errors="replace").rpartition("[")
        return Said(int(status.rstrip("]\n")), text)

    def python(self, script: str, *arguments: object) -> Said:
        code = base64.b64encode(script.encode()).decode()
        run = f"import base64; exec(base64.b64decode('{code}'))"
        return self.shell(shlex.join([PYTHON, "-I", "-c", run, *map(str, arguments)]))

    def shell_that_ends_its_server(self, command: str) -> None:
        """One that may well not come to its end."""
        with pytest.raises(psycopg.OperationalError):
            self.shell(command)

    # -- what its user sees of it

    def state(self) -> tuple[str, str | None]:
        """Its state, and the reason if there is one."""
        shown = self.server.client.get(f"/v1/howdah/services/{self.id}").json()["result"]
        return shown["state"], shown["reason"]

    def until_running(self, *, within: float = 60) -> None:
        try:
            self.server.wait_until(self.id, "running", within=within)
        except pytest.fail.Exception:
            pytest.fail(f"running: not within {within} s; it is {self.state()}")

    def until_reason(self, *words: str, state: str = "unavailable", within: float = 60) -> str:
        """The reason why it is in ``state``, once it has all of ``words`` in it."""

        def found() -> str | None:
            now, reason = self.state()
            return reason if now == state and reason and all(word in reason for word in words) else None

        try:
            return eventually(f"{state}: {words}", found, within=within)
        except pytest.fail.Exception:
            pytest.fail(f"{state} because of {words}: not within {within} s; it is {self.state()}")

    def restart(self) -> None:
        """Ask for it; whether it comes up again is another question."""
        self.server.call("PATCH", f"/{self.id}/state", {"command": "restart"})

    def restarted(self, *, within: float = 60) -> None:
        """Ended and started again."""
        before = self.server.postmaster(self.id)
        self.restart()
        eventually("the old server has ended", lambda: not alive(before), within=within)
        self.until_running(within=within)

    def set_password(self, password: str | None = None) -> tuple[int, str]:
        """The status of the answer, and its error; the connection string follows a password that is in effect."""
        body = {} if password is None else {"password": password}
        answer = self.server.client.patch(f"{self.server.services}/{self.id}/password", json=body)
        if answer.status_code == 200:
            self.string = self.server.get(self.id)["connectionString"]
        return answer.status_code, answer.json().get("error") or ""

    def delete(self) -> None:
        self.server.call("DELETE", f"/{self.id}")
        self.server.wait_until_gone(self.id)

    def left(self) -> list[str]:
        """What is left of it on this machine, in words."""
        found = [str(path) for path in paths_below(self.server.state) if self.id in str(path)]
        if os.geteuid() != 0:
            return found
        found += [f"process {pid}" for pid in pids_of_user(self.uid)]
        places = [place for place in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run") if Path(place).is_dir()]
        listed = subprocess.run(
            ["find", *places, "-xdev", "-user", str(self.uid)], capture_output=True, text=True, check=False
        )
        found += listed.stdout.splitlines()
        for kind, column in (("shm", 7), ("sem", 4), ("msg", 7)):
            for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]:
                if line.split()[column] == str(self.uid):
                    found.append(f"System V {kind} {line.split()[1]}")
        return found


class Ground:
    """A Howdah with a neighbour whose data is precious."""

    def __init__(self, server: Server) -> None:
        self.server = server
        assert server.process is not None
        self.neighbour = Tenant(server, server.running(name="neighbour"))
        self.neighbour.sql("CREATE TABLE precious (id int PRIMARY KEY)", "INSERT INTO precious VALUES (42)")
        self.processes = {
            "control plane": server.process.pid,
            "router": server.router(),
            "neighbour": server.postmaster(self.neighbour.id),
        }
        if os.geteuid() == 0:
            self.processes["launcher"] = _launcher(server)
        self.files = [server.state / name for name in ("secrets.key", "bootstrap.env")]
        self.files += [self.neighbour.home / name for name in ("tls/server.pem", "conf/postgresql.conf")]
        self._before = self._facts()

    def new_tenant(self, **fields: Any) -> Tenant:
        return Tenant(self.server, self.server.running(name="attacker", **fields))

    def check(self) -> None:
        """The neighbour, the store, the keys and the control plane are as they were."""
        for name, pid in self.processes.items():
            assert alive(pid), f"the {name} has ended"
        assert self.server.client.get("/readyz").status_code == 200
        assert self.server.get(self.neighbour.id)["state"] == "running"
        assert self.neighbour.sql("SELECT id FROM precious") == [(42,)]
        assert self._facts() == self._before
        with sqlite3.connect(f"file:{self.server.state}/howdah.db?mode=ro", uri=True) as store:
            assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert "Traceback" not in self.server.log

    def _facts(self) -> dict[str, tuple[int, int, int, int, str]]:
        found: dict[str, tuple[int, int, int, int, str]] = {}
        for file in self.files:
            facts = file.stat()
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            found[file.name] = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_nlink, digest)
        return found


def _launcher(server: Server) -> int:
    mark = f"howdah.launcher --state {server.state} "
    return int(subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """One for all attacks: ``tenant`` sees to it after each that nothing has changed on it."""
    top = Path(tempfile.mkdtemp(prefix="hwd-"))
    top.chmod(0o755)
    server = Server(top / "state").start()
    yield Ground(server)
    server.stop_everything()
    shutil.rmtree(top)


@pytest.fixture
def tenant(ground: Ground) -> Iterator[Tenant]:
    """An attacker. Whatever it has done: all others are unharmed, it can be deleted, and then nothing of it is left."""
    attacker = ground.new_tenant()
    yield attacker
    ground.check()
    assert attacker.state()[0] != "creating"
    attacker.delete()
    assert attacker.left() == []
    ground.check()
