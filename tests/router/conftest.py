from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.router_process import RouterProcess
from router.tls_postgres import Postgres, programs


def _server(version: str, factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    top = factory.mktemp(f"postgres-{version}")
    for directory in (top, top.parent, top.parent.parent):
        directory.chmod(0o711)  # Postgres runs as another user when the tests run as root
    server = Postgres(programs(version), top / "server", (f"v{version}.localhost", f"alias{version}.localhost"))
    server.create()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_18(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    yield from _server("18", tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_17(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    yield from _server("17", tmp_path_factory)


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RouterProcess]:
    """Not started yet, without routes."""
    process = RouterProcess(tmp_path)
    yield process
    if process.process is not None:
        process.process.kill()
        process.process.wait(10)
