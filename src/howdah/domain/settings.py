"""The server's configuration: every key, its default and its meaning. Where it is read from: ``cli/config.py``.

Each field's metadata says what it means; docs/configuration.md is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from howdah.domain.memory import Profile
from howdah.domain.organizations import ApiVersion

PROTECTIONS = ("users", "limits", "egress", "cgroups", "quota")
"""What can keep services apart from each other and from the machine, see docs/configuration.md."""


def _key(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class ApiSettings:
    host: str = _key("127.0.0.1", "Address on which the API listens; with TLS any, else loopback only")
    port: int = _key(8686, "Port of the API; 0 takes any free one")
    default_version: ApiVersion = _key(ApiVersion.PREVIEW, "API version of requests that choose none: preview or beta")
    rate_limit: int = _key(100, "Requests that a key may send in 10 seconds; 0 is no limit")
    tls_certificate: Path | None = _key(
        None, "PEM file of the API's certificate with its chain; with tls_key: HTTPS only"
    )
    tls_key: Path | None = _key(None, "PEM file of its private key, not encrypted")
    tls_generate: bool = _key(
        False, "HTTPS only, with a certificate that Howdah makes and renews; its CA is <state>/api-ca.pem"
    )
    tls_names: tuple[str, ...] = _key(
        (), "Names and addresses in that certificate, beside this machine's name, localhost and api.host"
    )

    @property
    def scheme(self) -> str:
        given = self.tls_certificate is not None or self.tls_key is not None
        return "https" if given or self.tls_generate else "http"


@dataclass(frozen=True, slots=True)
class RouterSettings:
    addresses: tuple[str, ...] = _key(("127.0.0.1", "::1"), "Addresses on which the router accepts Postgres clients")
    port: int = _key(5432, "Port of the router; when it is taken the next free one is used and said")
    workers: int = _key(1, "Processes of the router, each of which uses one core at most (docs/router.md)")


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    ports: str = _key("20000-29999", "Loopback ports for instances, outside the ephemeral range")
    uids: str = _key("270000-279999", "OS users for instances, one each, when started as root")
    pool: int = _key(4, "Ready data directories kept per version, so that a create does not wait for a copy")
    binaries: Path | None = _key(None, "Where Postgres' programs are unpacked; default <state>/postgres")
    templates: Path | None = _key(None, "Where initialised data directories are kept; default <state>/templates")
    profile: Profile = _key(
        Profile.SHARED,
        "Memory of servers: shared (small buffers, hundreds beside each other) or dedicated (what the size says)",
    )
    memory_gib: int = _key(
        0, "GiB that servers may have together when dedicated; 0 is seven eighths of what this machine has"
    )
    require: tuple[str, ...] = _key(
        (), f"Protections without which the server refuses to start, of: {', '.join(PROTECTIONS)}; see below"
    )


@dataclass(frozen=True, slots=True)
class BackupSettings:
    archive: str = _key(
        "",
        "Where backups and WAL are kept: a directory, s3://bucket/prefix, or off for no backups at all; default"
        " <state>/archive",
    )
    s3_endpoint: str = _key("", "URL of an S3-compatible store; default AWS")
    s3_region: str = _key("us-east-1", "Region of the bucket")
    s3_access_key: str = _key("", "Access key id; default AWS_ACCESS_KEY_ID")
    s3_secret_key: str = _key("", "Secret access key; default AWS_SECRET_ACCESS_KEY")
    s3_path_style: bool = _key(
        True, "Bucket in the path instead of in the host name, as most S3-compatible stores want"
    )
    s3_ca_file: Path | None = _key(None, "PEM file of the CA that signs the store's certificate")
    s3_encryption: str = _key("", "Server-side encryption to ask for: AES256, or aws:kms:KEY-ID")
    interval_hours: float = _key(24.0, "Between two base backups of a service; their times are spread")
    chain: int = _key(6, "Incremental base backups that may build on a full one; 0 makes each a full one")
    retention_days: float = _key(
        7.0,
        "How long a service can be restored to any moment, unless its tag howdah_retention_days or its organization"
        " says otherwise",
    )
    keep_after_delete_days: float = _key(
        0.0, "How long the backups of a deleted service are kept, so that it can still be restored; 0: not at all"
    )
    rate_mib: int = _key(100, "MiB/s that a base backup may read; 0 is no limit")
    parallel: int = _key(2, "Base backups that may run at the same time")
    spool_gib: float = _key(
        4.0, "GiB of a service's WAL that may wait for an archive out of reach, before its server has to keep it"
    )
    drill_interval_days: float = _key(
        7.0, "Between two drills of a service, each a restoration that is checked; 0: only when asked for"
    )
    drill_parallel: int = _key(1, "Drills that may run at the same time")

    @property
    def enabled(self) -> bool:
        return self.archive != "off"


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    services: int = _key(0, "Services that an organization may have, unless it has a quota of its own; 0 is no limit")
    storage_gib: int = _key(
        0, "GiB to which the storageSize of its services may sum up, unless it has a quota of its own; 0 is no limit"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    state: Path
    domain: str = _key("localhost", "Domain below which services get their hostnames")
    rename_grace_hours: float = _key(24.0, "How long the old hostname of a renamed service keeps working")
    activity_retention_days: float = _key(90.0, "How long it is kept who did what (activities)")
    api: ApiSettings = field(default_factory=ApiSettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    postgres: PostgresSettings = field(default_factory=PostgresSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    quota: QuotaSettings = field(default_factory=QuotaSettings)
