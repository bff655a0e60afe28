from __future__ import annotations

from api.conftest import client, engine, plane, settings

__all__ = ["client", "engine", "plane", "settings"]
