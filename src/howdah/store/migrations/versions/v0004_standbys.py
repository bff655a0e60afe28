"""The standbys of each service. Certificates are due at once: a new one covers the read-only names, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("services", sa.Column("standbys", sa.Text, nullable=False, server_default="[]"))
    op.get_bind().execute(sa.text("UPDATE services SET certificate_renew_at = 0"))
