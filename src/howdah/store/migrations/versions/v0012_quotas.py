"""What an organization may have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("organizations", sa.Column("service_quota", sa.Integer))
    op.add_column("organizations", sa.Column("storage_quota_gib", sa.Integer))
