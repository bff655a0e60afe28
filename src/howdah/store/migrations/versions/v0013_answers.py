"""Answers that are kept for repeated requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_answers_created_at", "answers", ["created_at"])
