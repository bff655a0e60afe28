"""Deleted services whose backups are kept, and how long an organization's services can be restored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "deleted_services",
        sa.Column("timeline", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False, unique=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("size", sa.Text, nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_gib", sa.Integer, nullable=False),
        sa.Column("storage_gib", sa.Integer, nullable=False),
        sa.Column("arch", sa.Text, nullable=False),
        sa.Column("postgres_version", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("deleted_at", sa.Integer, nullable=False),
        sa.Column("keep_until", sa.Integer, nullable=False),
        sa.Column("earliest_restore", sa.Integer),
        sa.Column("problem", sa.Text),
    )
    op.create_index("ix_deleted_services_organization", "deleted_services", ["organization"])
    op.add_column("organizations", sa.Column("retention_days", sa.Integer))
