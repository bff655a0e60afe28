"""Fixtures by topic, see fixtures/; hypothesis for machines that others use too."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["fixtures.server", "fixtures.object_store", "fixtures.psql", "fixtures.figures"]

# The time of one example says nothing on a busy machine. In CI every run tries the same examples, so that a change is
# judged by what it changed; elsewhere each run tries new ones.
settings.register_profile("howdah", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("howdah")
