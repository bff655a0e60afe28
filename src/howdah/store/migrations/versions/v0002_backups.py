"""Each service's line of backups, what it is restored from, and since when it can be restored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from howdah.domain.ids import TimelineId

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("services", sa.Column("timeline", sa.Text))
    op.add_column("services", sa.Column("source_timeline", sa.Text))
    op.add_column("services", sa.Column("restore_target", sa.Integer))
    op.add_column("services", sa.Column("restored_at", sa.Integer))
    op.add_column("services", sa.Column("backup", sa.Integer, nullable=False, server_default="0"))
    op.add_column("services", sa.Column("earliest_restore", sa.Integer))
    connection = op.get_bind()
    for (number,) in connection.execute(sa.text("SELECT number FROM services")).all():
        connection.execute(
            sa.text("UPDATE services SET timeline = :timeline WHERE number = :number"),
            {"timeline": str(TimelineId.new().uuid), "number": number},
        )
    op.create_index("uq_services_timeline", "services", ["timeline"], unique=True)
