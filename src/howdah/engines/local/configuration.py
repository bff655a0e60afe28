"""What a server is told: files that only we write, and settings on its command line that nothing overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from howdah.backup.assemble import recovery_settings
from howdah.domain.catalog import Size
from howdah.domain.instances import Instance
from howdah.domain.memory import Profile
from howdah.domain.services import ServiceSecrets, ServiceSpec
from howdah.domain.states import PostgresVersion
from howdah.engines.local.memory import SHARED_MEMORY, dedicated_memory
from howdah.engines.local.record import LATEST
from howdah.launcher.layout import CONFIGURATION_FILES, InstancePaths
from howdah.launcher.look import INSTANCE, digest_of

IDENT_MAP = "howdah"
RESTART, CONFIGURATION, UPSTREAM = "howdah.restart", "howdah.configuration", "howdah.upstream"
CONNECTIONS = "howdah.connections"
"""Settings of ours on the command line: by them a running server says what it was started with."""

_LOCALE = {
    "datestyle": "iso, mdy",
    "timezone": "UTC",
    "lc_messages": "C.UTF-8",
    "lc_monetary": "C.UTF-8",
    "lc_numeric": "C.UTF-8",
    "lc_time": "C.UTF-8",
    "default_text_search_config": "pg_catalog.english",
}
_HBA = f"""\
local    replication  postgres  peer map={IDENT_MAP}
local    all          postgres  peer map={IDENT_MAP}
local    all          all       scram-sha-256
hostssl  all          all       all  scram-sha-256
hostssl  replication  all       all  scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """``files``: content by path relative to the instance's home. ``digest``: names this content."""

    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.files)


def configuration(
    spec: ServiceSpec,
    secrets: ServiceSecrets,
    *,
    operator: str,
    profile: Profile = Profile.SHARED,
    more: Mapping[str, str] | None = None,
) -> Configuration:
    """``operator``: the name of the OS user whose local connections manage the server. ``profile``: the memory that it
    gets. ``more``: settings of one server, beside those of all."""
    conf, hba, ident, tls = CONFIGURATION_FILES
    quoted = operator.replace('"', '""')
    return Configuration(
        {
            conf: _lines(_settings(spec, profile) | dict(more or {})).encode(),
            hba: _HBA.encode(),
            ident: f'{IDENT_MAP} "{quoted}" postgres\n'.encode(),
            # Key and certificates in one file, so that they change as one.
            tls: f"{secrets.certificate_key.rstrip()}\n{spec.certificate.rstrip()}\n".encode(),
        }
    )


def _settings(spec: ServiceSpec, profile: Profile) -> dict[str, str]:
    connections = max_connections(spec.size)
    settings = {**_LOCALE, "jit": "off", "max_connections": str(connections)}
    if profile is Profile.DEDICATED:
        return settings | dedicated_memory(spec.size, connections)
    if spec.postgres_version is PostgresVersion.V18:
        settings["io_method"] = "sync"  # Without its three processes.
    return settings | SHARED_MEMORY


def max_connections(size: Size) -> int:
    return min(400, 50 + 25 * size.vcpus)


def _slot_wal(size: Size) -> str:
    """WAL that a slot may hold back: a tenth of the storage, at most 4 GB."""
    return f"{min(4096, size.storage_gib * 1024 // 10)}MB"


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def settings(spec: ServiceSpec, instance: Instance, paths: InstancePaths, *, shared: bool) -> dict[str, str]:
    """The command line that the server is started with, but for CONFIGURATION. Neither ALTER SYSTEM nor an edited file
    changes what is set here.

    shared: the control plane is another user than the server, let in by the socket's directory and no one else.
    """
    conf, hba, ident, tls = (str(paths.home / name) for name in CONFIGURATION_FILES)
    return {
        "config_file": conf,
        "hba_file": hba,
        "ident_file": ident,
        "external_pid_file": "",
        "listen_addresses": "127.0.0.1",
        "port": str(instance.port),
        "unix_socket_directories": str(paths.sockets),
        "unix_socket_permissions": "0777" if shared else "0700",
        "unix_socket_group": "",
        "ssl": "on",
        "ssl_cert_file": tls,
        "ssl_key_file": tls,
        "ssl_ca_file": "",
        "ssl_crl_file": "",
        "ssl_crl_dir": "",
        "ssl_passphrase_command": "",
        "ssl_min_protocol_version": "TLSv1.3",
        "ssl_max_protocol_version": "",
        "ssl_ciphers": "HIGH",
        "ssl_dh_params_file": "",
        "ssl_prefer_server_ciphers": "on",
        "pre_auth_delay": "0",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
        # Incremental base backups need it.
        "summarize_wal": "on",
        "max_slot_wal_keep_size": _slot_wal(spec.size),
        # Enough for the archive's receiver and backups beside whatever a tenant replicates.
        "max_wal_senders": "20",
        "max_replication_slots": "20",
        "restart_after_crash": "on",
        "logging_collector": "on",
        "log_destination": "jsonlog",
        "log_directory": str(paths.log),
        "log_filename": "postgres-%a.log",
        "log_file_mode": "0600",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_timezone": "UTC",
        "cluster_name": spec.id.ubid,
        INSTANCE: instance.id.ubid,
        RESTART: str(spec.restart),
        CONNECTIONS: str(max_connections(spec.size)),
    }


def recovery_arguments(recovery: str, paths: InstancePaths) -> dict[str, str]:
    """Added to the command line of a first start that replays an archive's WAL; ``recovery``: see record.py."""
    target = None if recovery == LATEST else datetime.fromisoformat(recovery)
    # Nobody is let in before it is what it is to be.
    return recovery_settings(target, paths.data) | {"hot_standby": "off"}


def started_with(arguments: tuple[str, ...]) -> dict[str, str]:
    """The settings on a server's command line."""
    return dict(argument[2:].split("=", 1) for argument in arguments if argument.startswith("--") and "=" in argument)
