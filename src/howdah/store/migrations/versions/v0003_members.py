"""Services of several servers: the role of each, changes of the primary, and whom a read replica follows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("instances", sa.Column("role", sa.Text, nullable=False, server_default="primary"))
    op.add_column("instances", sa.Column("joined", sa.Boolean, nullable=False, server_default="0"))
    op.add_column("instances", sa.Column("waits", sa.Boolean, nullable=False, server_default="0"))
    op.add_column("instances", sa.Column("ahead", sa.Boolean, nullable=False, server_default="0"))
    op.create_index(
        "uq_instances_primary", "instances", ["service"], unique=True, sqlite_where=sa.text("role = 'primary'")
    )
    op.create_table(
        "role_changes",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("service", sa.Text, sa.ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("former", sa.Text, nullable=False),
        sa.Column("new", sa.Text, nullable=False),
        sa.Column("position", sa.Text),
        sa.Column("lost_bytes", sa.Integer),
        sa.Column("detection_ms", sa.Float),
        sa.Column("fencing_ms", sa.Float),
        sa.Column("promotion_ms", sa.Float),
        sa.Column("first_write_ms", sa.Float),
    )
    op.create_index("ix_role_changes_service", "role_changes", ["service"])
    op.add_column("services", sa.Column("switchover", sa.Integer, nullable=False, server_default="0"))
    op.add_column("services", sa.Column("accept_loss", sa.Integer, nullable=False, server_default="0"))
    op.add_column("services", sa.Column("follows", sa.Text))
    op.create_index("ix_services_follows", "services", ["follows"], sqlite_where=sa.text("follows IS NOT NULL"))
