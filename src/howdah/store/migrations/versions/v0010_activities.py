"""Who did what in an organization, and from where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("actor_type", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("actor_details", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("service", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("key_update", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_index("ix_activities_created_at", "activities", ["created_at"])
    op.create_index("ix_activities_organization", "activities", ["organization"])
