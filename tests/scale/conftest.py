from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from api.conftest import client, document, engine, plane, settings
from router.conftest import open_directory, router

__all__ = ["client", "document", "engine", "many_files", "open_directory", "plane", "router", "settings"]


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many open files as the machine allows this process; how many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
