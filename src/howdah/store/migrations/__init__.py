"""Alembic's migrations of the store, run by ``howdah.store.migrate``."""
