"""Patroni with etcd: clusters of Postgres servers of the same programs, without root's rights.

It comes from PyPI into a virtual environment of its own, etcd from the system (Debian: etcd-server).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import httpx
from backups.machine import Machine, end, free_port
from fixtures.server import CACHE

from standbys.cluster import LONGEST, MEMBERS
from standbys.writer import wait

PACKAGES = ("patroni[etcd3]==4.1.5", "psycopg[binary]==3.3.9")

DEFAULT = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "primary_start_timeout": 300}
TUNED = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0}
"""The least that it takes; a primary that has ended is not started again in place but given up at once."""

_QUIET = {"log_min_messages": "warning"}


def missing() -> str | None:
    """What of the system it needs and is not there."""
    return None if shutil.which("etcd") else "etcd"


class Etcd:
    """One member: all contestants are on one machine."""

    def __init__(self, machine: Machine) -> None:
        home = machine.directory("etcd")
        self.port = free_port()
        clients, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        options = [
            *(f"--data-dir={home / 'data'}", f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
            f"--initial-cluster=default={peers}",
        ]
        self._process = machine.spawn(machine.dropped("etcd", *options), machine.top / "etcd.log")

    def close(self) -> None:
        end(self._process, signal.SIGTERM)


class Patroni:
    """One cluster. Clients find its primary by trying all servers (target_session_attrs=read-write)."""

    def __init__(self, machine: Machine, etcd: Etcd, ha_type: str, settings: dict[str, int]) -> None:
        self._machine = machine
        self._ha_type = ha_type
        self._home = machine.directory(f"patroni-{ha_type}")
        self._programs = _install()
        self._apis: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.period = float(settings["loop_wait"])
        ports = [free_port() for _ in range(MEMBERS[ha_type])]
        for number, port in enumerate(ports):
            self._start(number, port, etcd, settings)
        hosts = ",".join("127.0.0.1" for _ in ports)
        self.target = (
            f"host={hosts} port={','.join(map(str, ports))} user=postgres dbname=postgres"
            " target_session_attrs=read-write"
        )
        wait(f"Patroni, {ha_type}: all members", self.well, within=LONGEST)

    def _start(self, number: int, port: int, etcd: Etcd, settings: dict[str, int]) -> None:
        name, api = f"m{number}", free_port()
        configuration = self._home / f"{name}.yml"  # JSON is YAML
        configuration.write_text(json.dumps(self._configuration(name, port, api, etcd, settings)))
        configuration.chmod(0o644)
        self._apis.append(api)
        command = self._machine.dropped(str(self._programs / "patroni"), str(configuration))
        self._processes.append(self._machine.spawn(command, self._machine.top / f"patroni-{self._ha_type}-{name}.log"))

    def _configuration(self, name: str, port: int, api: int, etcd: Etcd, settings: dict[str, int]) -> dict[str, Any]:
        user = {"username": "postgres", "password": "postgres"}
        # As Howdah's: any one of the two standbys has to acknowledge.
        waits = {"synchronous_mode": "quorum", "synchronous_node_count": 1} if self._ha_type == "sync" else {}
        postgresql = {"use_pg_rewind": True, "use_slots": True, "parameters": _QUIET}
        return {
            "scope": self._ha_type,
            "name": name,
            "log": {"level": "WARNING"},
            "restapi": {"listen": f"127.0.0.1:{api}", "connect_address": f"127.0.0.1:{api}"},
            "etcd3": {"host": f"127.0.0.1:{etcd.port}"},
            "bootstrap": {
                "dcs": {**settings, "maximum_lag_on_failover": 16 << 20, **waits, "postgresql": postgresql},
                "initdb": [{"encoding": "UTF8"}, "data-checksums", {"auth": "trust"}, {"username": "postgres"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{port}",
                "connect_address": f"127.0.0.1:{port}",
                "data_dir": str(self._home / name),
                "bin_dir": str(self._machine.postgres / "bin"),
                "pgpass": str(self._home / f"{name}.pgpass"),
                "authentication": {"superuser": user, "replication": user, "rewind": user},
                "parameters": {"unix_socket_directories": str(self._home)},
                "pg_hba": [
                    "local all all trust",
                    *(f"host {what} all 127.0.0.1/32 trust" for what in ("all", "replication")),
                ],
            },
        }

    def _members(self) -> list[dict[str, Any]]:
        try:
            return httpx.get(f"http://127.0.0.1:{self._apis[0]}/cluster").json()["members"]
        except (httpx.TransportError, ValueError, KeyError):
            return []

    def primary(self) -> tuple[str, int]:
        (name,) = (one["name"] for one in self._members() if one["role"] == "leader")
        return name, int((self._home / name / "postmaster.pid").read_text().splitlines()[0])

    def well(self) -> bool:
        members = self._members()
        leaders = [one for one in members if one["role"] == "leader" and one["state"] == "running"]
        follows = "quorum_standby" if self._ha_type == "sync" else "replica"
        following = [one for one in members if one["role"] == follows and one["state"] == "streaming"]
        timelines = {one.get("timeline") for one in members}
        return len(leaders) == 1 and len(following) == MEMBERS[self._ha_type] - 1 and len(timelines) == 1

    def configure(self, settings: dict[str, int]) -> None:
        """Members take it up one after another, in the loops that they have now."""
        answer = httpx.patch(f"http://127.0.0.1:{self._apis[0]}/config", json=settings)
        assert answer.status_code == 200, answer.text
        self.period = float(settings["loop_wait"])

    def switch_over(self) -> None:
        command = [str(self._programs / "patronictl"), "-c", str(self._home / "m0.yml")]
        self._machine.run(self._machine.dropped(*command, "switchover", "--force", self._ha_type))

    def close(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(timeout=60)


def _install() -> Path:
    """Where its programs are."""
    place = CACHE / "patroni-4.1.5"
    if not (place / "bin" / "patronictl").exists():
        print(f"installing {PACKAGES[0]}", file=sys.stderr)
        venv.create(place, with_pip=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", *PACKAGES], check=True, env=os.environ)
    return place / "bin"
