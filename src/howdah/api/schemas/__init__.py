"""JSON Schemas of what answers carry, by subject; those of bodies come from ``models``."""

from __future__ import annotations

from howdah.api.schemas.access import ACCESS
from howdah.api.schemas.backups import BACKUPS
from howdah.api.schemas.members import MEMBERS
from howdah.api.schemas.services import SERVICES
from howdah.api.schemas.system import SYSTEM
from howdah.api.schemas.terms import Schema

SCHEMAS: dict[str, Schema] = SERVICES | BACKUPS | MEMBERS | ACCESS | SYSTEM
