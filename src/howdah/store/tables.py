"""The tables. Times are milliseconds since 1970 in UTC, ids are their text, enums their values.

A change here is a migration too (``migrations/versions``); a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

organizations = Table(
    "organizations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("retention_days", Integer),
    Column("service_quota", Integer),
    Column("storage_quota_gib", Integer),
)
"""A quota of null is the settings'; 0 is no limit."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("organization", Text, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("suffix", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expire_at", Integer),
    Column("used_at", Integer),
    Column("api_version", Text),
    Column("sources", Text),
)
"""``role``: one or more, with spaces between. ``sources``: JSON, text and description of each; null is everywhere."""

services = Table(
    "services",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("organization", Text, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("size", Text, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_gib", Integer, nullable=False),
    Column("storage_gib", Integer, nullable=False),
    Column("arch", Text, nullable=False),
    Column("postgres_version", Text, nullable=False),
    Column("ha_type", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("is_primary", Boolean, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("ca_certificates", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("certificate_renew_at", Integer, nullable=False),
    Column("restart", Integer, nullable=False),
    Column("password_version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("host", Text),
    Column("port", Integer),
    Column("restart_seen", Integer, nullable=False),
    Column("timeline", Text),
    Column("source_timeline", Text),
    Column("restore_target", Integer),
    Column("restored_at", Integer),
    Column("backup", Integer, nullable=False, server_default="0"),
    Column("earliest_restore", Integer),
    Column("switchover", Integer, nullable=False, server_default="0"),
    Column("accept_loss", Integer, nullable=False, server_default="0"),
    Column("follows", Text),
    Column("standbys", Text, nullable=False, server_default="[]"),
    Column("unconfirmed", Boolean, nullable=False, server_default="0"),
)
"""Desired state, and what the engine was last seen to have made of it: from ``state`` to ``restart_seen``,
``earliest_restore`` and ``standbys`` (JSON: ``[[host, port], …]``). ``unconfirmed``: an older store was put back, and
what runs was not compared with it yet. ``earliest_restore`` and ``restore_target`` are in
microseconds, which is what Postgres counts in."""
Index("uq_services_timeline", services.c.timeline, unique=True)
Index("ix_services_follows", services.c.follows, sqlite_where=services.c.follows.is_not(None))

hostnames = Table(
    "hostnames",
    metadata,
    Column("hostname", Text, primary_key=True),
    Column("service", Text, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", Integer),
)
"""The current hostname of a service has no ``expires_at``; earlier ones work until then."""
Index("uq_hostnames_current", hostnames.c.service, unique=True, sqlite_where=hostnames.c.expires_at.is_(None))
Index("ix_hostnames_expires_at", hostnames.c.expires_at, sqlite_where=text("expires_at IS NOT NULL"))

secrets = Table(
    "secrets",
    metadata,
    Column("service", Text, ForeignKey("services.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, ForeignKey("services.id"), nullable=False, index=True),
    Column("port", Integer, nullable=False, unique=True),
    Column("uid", Integer, unique=True),
    Column("role", Text, nullable=False, server_default="primary"),
    Column("joined", Boolean, nullable=False, server_default="0"),
    Column("waits", Boolean, nullable=False, server_default="0"),
    Column("ahead", Boolean, nullable=False, server_default="0"),
    CheckConstraint("port BETWEEN 1 AND 65535", name="ck_instances_port"),
)
"""Without a cascade: a service whose servers may still be there cannot vanish from the store."""
Index("uq_instances_primary", instances.c.service, unique=True, sqlite_where=text("role = 'primary'"))

role_changes = Table(
    "role_changes",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("service", Text, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("former", Text, nullable=False),
    Column("new", Text, nullable=False),
    Column("position", Text),
    Column("lost_bytes", Integer),
    Column("detection_ms", Float),
    Column("fencing_ms", Float),
    Column("promotion_ms", Float),
    Column("first_write_ms", Float),
)

deleted_services = Table(
    "deleted_services",
    metadata,
    Column("timeline", Text, primary_key=True),
    Column("service", Text, nullable=False, unique=True),
    Column("organization", Text, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("size", Text, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_gib", Integer, nullable=False),
    Column("storage_gib", Integer, nullable=False),
    Column("arch", Text, nullable=False),
    Column("postgres_version", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("deleted_at", Integer, nullable=False),
    Column("keep_until", Integer, nullable=False),
    Column("earliest_restore", Integer),
    Column("problem", Text),
)
"""Services of which nothing but their backups is left. ``earliest_restore`` is in microseconds."""

activities = Table(
    "activities",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("created_at", Integer, nullable=False, index=True),
    Column("organization", Text, nullable=False, index=True),
    Column("actor_type", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_details", Text, nullable=False),
    Column("address", Text),
    Column("user_agent", Text),
    Column("type", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("service", Text),
    Column("key", Text),
    Column("key_update", Text),
    Column("outcome", Text, nullable=False),
)
"""Without references: they outlive what they speak of."""

answers = Table(
    "answers",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("created_at", Integer, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""What requests with an Idempotency-Key were answered. ``scope``: a hash of key, organization, call and that header."""
