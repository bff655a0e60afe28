"""Fixtures by topic, see fixtures/."""

pytest_plugins = ["fixtures.server", "fixtures.psql"]
