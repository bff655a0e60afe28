from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from router.router_process import RouterProcess
from router.tls_postgres import Postgres, programs


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that other users can reach: when the tests run as root, Postgres runs as somebody else."""
    with tempfile.TemporaryDirectory(prefix="howdah-router-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@contextmanager
def _created(version: str, directory: Path) -> Iterator[Postgres]:
    server = Postgres(programs(version), directory, (f"v{version}.localhost", f"alias{version}.localhost"))
    server.create()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_18(open_directory: Path) -> Iterator[Postgres]:
    with _created("18", open_directory / "18") as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def postgres_17(open_directory: Path) -> Iterator[Postgres]:
    with _created("17", open_directory / "17") as server:
        server.start()
        yield server


@pytest.fixture
def stopped_postgres(open_directory: Path) -> Iterator[Postgres]:
    """A server of a test's own, not started yet."""
    with _created("18", open_directory / uuid4().hex) as server:
        yield server


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RouterProcess]:
    """Not started yet, without routes."""
    process = RouterProcess(tmp_path)
    yield process
    if process.process is not None:
        process.process.kill()
        process.process.wait(10)
