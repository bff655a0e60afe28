"""A local engine with real servers for tests: a state of its own, nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from fixtures.server import CACHE

from howdah.domain.catalog import default_catalog
from howdah.domain.errors import Conflict
from howdah.domain.failovers import RoleChange
from howdah.domain.ids import InstanceId, ServiceId
from howdah.domain.instances import Instance, Role
from howdah.domain.memory import Profile
from howdah.domain.services import ServiceSecrets, ServiceSpec, ServiceStatus
from howdah.domain.settings import BackupSettings, PostgresSettings, Settings
from howdah.domain.states import HaType, PostgresVersion
from howdah.engines.local.engine import LocalEngine
from howdah.engines.local.probe import ProbeTimes
from howdah.engines.protocol import Removal
from howdah.launcher.confinement import Confinement
from howdah.launcher.layout import InstancePaths, layout
from howdah.launcher.processes import all_pids, inspect_process
from howdah.launcher.rights import Rights
from howdah.security.certificates import issue, new_roots
from howdah.security.scram import verifier

PASSWORD = "Correct-Horse-7-Battery"
HOSTNAME = "test-0123abcd.localhost"
QUICK_PROBE = ProbeTimes(interval=0.2, limit=0.5, again=0.1)


class FileRegistry:
    """Instances in a file, so that engines in several processes can follow each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.changes: dict[UUID, RoleChange] = {}

    def of(self, service: ServiceId) -> tuple[Instance, ...]:
        found = (instance for instance in self.all() if instance.service == service)
        return tuple(sorted(found, key=lambda one: one.role is not Role.PRIMARY))

    def all(self) -> tuple[Instance, ...]:
        rows = json.loads(self._path.read_text()) if self._path.exists() else []
        return tuple(
            Instance(InstanceId.parse(i), ServiceId.parse(s), port, uid, Role(role), *notes)
            for i, s, port, uid, role, *notes in rows
        )

    async def put(self, *instances: Instance) -> None:
        for instance in instances:
            others = [other for other in self.all() if other.id != instance.id]
            if any(o.port == instance.port or (o.uid is not None and o.uid == instance.uid) for o in others):
                raise Conflict("port or uid is taken")
            self._write([*others, instance])

    async def change_roles(self, former: Instance, new: Instance, change: RoleChange) -> None:
        others = [other for other in self.all() if other.id not in (former.id, new.id)]
        self._write([*others, former, new])
        await self.complete(change)

    async def complete(self, change: RoleChange) -> None:
        self.changes[change.id] = change

    def newest_change(self, service: ServiceId) -> RoleChange | None:
        return next((one for one in reversed(self.changes.values()) if one.service == service), None)

    def count_changes(self, service: ServiceId) -> int:
        return sum(change.service == service for change in self.changes.values())

    async def remove(self, instance: InstanceId) -> None:
        self._write([other for other in self.all() if other.id != instance])

    def _write(self, instances: list[Instance]) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(
            json.dumps(
                [(i.id.ubid, i.service.ubid, i.port, i.uid, i.role, i.joined, i.waits, i.ahead) for i in instances]
            )
        )
        temporary.rename(self._path)


@dataclass(frozen=True)
class Asked:
    """What the control plane would ask for one service."""

    spec: ServiceSpec
    secrets: ServiceSecrets

    def with_password(self, password: str) -> Asked:
        spec = replace(self.spec, password_version=self.spec.password_version + 1)
        return Asked(spec, replace(self.secrets, password_verifier=verifier(password)))

    def with_new_certificate(self) -> Asked:
        certificate, key = new_certificate()
        return Asked(replace(self.spec, certificate=certificate), replace(self.secrets, certificate_key=key))

    def restarted(self) -> Asked:
        return replace(self, spec=replace(self.spec, restart=self.spec.restart + 1))


def new_certificate() -> tuple[str, str]:
    now = datetime.now(UTC)
    made = issue(new_roots("test", now), service="test", hostnames=(HOSTNAME,), now=now)
    return made.chain, made.key


def ask(version: PostgresVersion = PostgresVersion.V18) -> Asked:
    certificate, key = new_certificate()
    size = next(iter(default_catalog().sizes.values()))
    spec = ServiceSpec(ServiceId.new(), version, size, HaType.NONE, (HOSTNAME,), certificate)
    return Asked(spec, ServiceSecrets(verifier(PASSWORD), key))


class Rig:
    """One state directory, and whatever engines a test runs on it."""

    def __init__(
        self, *, pool: int = 0, backup: BackupSettings | None = None, profile: Profile = Profile.SHARED
    ) -> None:
        CACHE.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.top = Path(tempfile.mkdtemp(prefix="hwe-"))
        self.top.chmod(0o755)
        self.settings = Settings(
            state=self.top / "state",
            postgres=PostgresSettings(
                pool=pool, binaries=CACHE / "postgres", templates=CACHE / "engine", profile=profile
            ),
            backup=backup or BackupSettings(),
        )
        self.registry = FileRegistry(self.top / "instances.json")
        self.layout = layout(self.settings, privileged=os.geteuid() == 0)

    @asynccontextmanager
    async def engine(self, probe: ProbeTimes | None = None) -> AsyncIterator[LocalEngine]:
        engine = LocalEngine(self.settings, self.registry, probe=probe, progress=lambda _: None)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()

    def instance(self, asked: Asked) -> Instance:
        (found,) = self.registry.of(asked.spec.id)
        return found

    def paths(self, asked: Asked) -> InstancePaths:
        return self.layout.of(self.instance(asked))

    def processes(self) -> list[int]:
        """Every process that works in this rig's state, is a postmaster of it, or receives for its archive."""
        state = str(self.layout.state)
        found: list[int] = []
        for pid in all_pids():
            facts = inspect_process(pid)
            if facts is None:
                continue
            named = (facts.directory, *(argument.removeprefix("--directory=") for argument in facts.arguments[1:3]))
            if any(path.startswith(f"{state}/") for path in named):
                found.append(pid)
        return found

    def postmaster(self, asked: Asked) -> int:
        """The pid of the service's postmaster."""
        mark = f"--howdah.instance={self.instance(asked).id.ubid}"
        for pid in all_pids():
            facts = inspect_process(pid)
            if facts is not None and mark in facts.arguments and facts.executable.endswith("/bin/postgres"):
                return pid
        raise AssertionError("no postmaster runs")

    def clean(self) -> None:
        end = time.monotonic() + 20
        while (left := self.processes()) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        assert not left, f"processes survive SIGKILL: {left}"
        if os.geteuid() == 0:
            Confinement(self.layout.state, Rights.in_process(range(0))).forget()
        for instance in self.registry.all():
            sockets = self.layout.sockets(instance.id)
            shutil.rmtree(sockets, ignore_errors=True)
            sockets.with_name(f"{sockets.name}.home").unlink(missing_ok=True)
        shutil.rmtree(self.top)


async def settle(engine: LocalEngine, asked: Asked, *, within: float = 60) -> ServiceStatus:
    """Reconcile as the control plane would, until the service is settled."""
    return await until(engine, asked, "settled", lambda status: status.settled, within=within)


async def until(
    engine: LocalEngine, asked: Asked, what: str, test: Callable[[ServiceStatus], bool], *, within: float = 60
) -> ServiceStatus:
    end = time.monotonic() + within
    while True:
        status = await engine.reconcile(asked.spec, asked.secrets)
        if test(status):
            return status
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {within} s; last: {status}")
        await asyncio.sleep(min(status.retry_after or 0, 0.1))


async def remove(engine: LocalEngine, asked: Asked, *, within: float = 30) -> None:
    end = time.monotonic() + within
    while await engine.remove(asked.spec.id, asked.spec.timeline) is not Removal.REMOVED or (
        asked.spec.timeline is not None and await engine.forget_backups(asked.spec.timeline) is not Removal.REMOVED
    ):
        assert time.monotonic() < end, f"not removed within {within} s"
        await asyncio.sleep(0.02)


async def kill_postmaster(rig: Rig, engine: LocalEngine, asked: Asked) -> None:
    """kill -9, and wait until the engine has noted the end. Its children's end is an event too, and may come first."""
    postmaster = rig.postmaster(asked)
    os.kill(postmaster, signal.SIGKILL)
    async with asyncio.timeout(20):
        assert await anext(engine.changes()) == asked.spec.id
        while Path(f"/proc/{postmaster}").exists():
            assert await anext(engine.changes()) == asked.spec.id


async def connect(status: ServiceStatus, *, password: str = PASSWORD, **options: Any) -> psycopg.AsyncConnection[Any]:
    """A verified user's connection: TLS and channel binding, straight to the server."""
    assert status.primary is not None
    identity = {"user": "postgres", "dbname": "postgres"}
    parameters = {**identity, "sslmode": "require", "channel_binding": "require", **options}
    return await psycopg.AsyncConnection.connect(
        host=status.primary.host,
        port=status.primary.port,
        password=password,
        autocommit=True,
        connect_timeout=10,
        **parameters,
    )


async def query(status: ServiceStatus, sql: str, *, password: str = PASSWORD) -> list[tuple[Any, ...]]:
    connection = await connect(status, password=password)
    try:
        cursor = await connection.execute(sql)  # pyright: ignore[reportArgumentType]
        return await cursor.fetchall() if cursor.description else []
    finally:
        await connection.close()
