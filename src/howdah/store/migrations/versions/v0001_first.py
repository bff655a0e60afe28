"""Organizations, API keys, services, hostnames, secrets, instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("organization", sa.Text, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("key_id", sa.Text, nullable=False, unique=True),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("suffix", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("expire_at", sa.Integer),
        sa.Column("used_at", sa.Integer),
        sa.Column("api_version", sa.Text),
    )
    op.create_index("ix_api_keys_organization", "api_keys", ["organization"])
    op.create_table(
        "services",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
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
        sa.Column("ha_type", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("is_primary", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("ca_certificates", sa.Text, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("certificate_renew_at", sa.Integer, nullable=False),
        sa.Column("restart", sa.Integer, nullable=False),
        sa.Column("password_version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_reason", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("port", sa.Integer),
        sa.Column("restart_seen", sa.Integer, nullable=False),
    )
    op.create_index("ix_services_organization", "services", ["organization"])
    op.create_table(
        "hostnames",
        sa.Column("hostname", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, sa.ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires_at", sa.Integer),
    )
    op.create_index("ix_hostnames_service", "hostnames", ["service"])
    op.create_index(
        "uq_hostnames_current", "hostnames", ["service"], unique=True, sqlite_where=sa.text("expires_at IS NULL")
    )
    op.create_index(
        "ix_hostnames_expires_at", "hostnames", ["expires_at"], sqlite_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_table(
        "secrets",
        sa.Column("service", sa.Text, sa.ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, sa.ForeignKey("services.id"), nullable=False),
        sa.Column("port", sa.Integer, nullable=False, unique=True),
        sa.Column("uid", sa.Integer, unique=True),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name="ck_instances_port"),
    )
    op.create_index("ix_instances_service", "instances", ["service"])
