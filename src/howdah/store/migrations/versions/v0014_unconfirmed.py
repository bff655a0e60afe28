"""Services of an older store that was put back, until what runs was compared with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("services", sa.Column("unconfirmed", sa.Boolean, nullable=False, server_default="0"))
