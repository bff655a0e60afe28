"""Ready connection strings, one per driver, since no two of them read the same URL alike."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from howdah.api.rendering import USERNAME
from howdah.domain.names import read_only

DATABASE = "postgres"
CA_FILE = "postgres-ca-certificate.pem"
"""Where the verifying strings look for the CA: the name under which caCertificates is downloaded."""

Parameters = dict[str, str]
_ENCRYPTED: Parameters = {"sslmode": "require"}
_VERIFIED: Parameters = {"sslmode": "verify-full", "sslrootcert": CA_FILE}
_BOUND: Parameters = {"channel_binding": "require"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where and as whom to connect. ``password`` None: strings without one, drivers then ask or look elsewhere.

    hostaddr: the address to dial while ``hostname`` is what TLS sees; None when the hostname resolves.
    """

    hostname: str
    port: int
    password: str | None = field(repr=False)
    hostaddr: str | None

    def url(self, scheme: str, parameters: Parameters) -> str:
        """Percent-encoded throughout, so that no character of a password can end its part."""
        password = "" if self.password is None else f":{_encoded(self.password)}"
        return f"{scheme}://{USERNAME}{password}@{self.hostname}:{self.port}/{DATABASE}?" + urlencode(
            parameters, quote_via=quote
        )

    @property
    def dialled(self) -> Parameters:
        """The parameter of libpq's family that says where to dial, if one is needed."""
        return {} if self.hostaddr is None else {"hostaddr": self.hostaddr}


def connection_string(target: Target) -> str:
    """The string of a service's answers: libpq's, in the seed's form."""
    return target.url("postgres", _BOUND | target.dialled)


def connections(target: Target, *, has_standbys: bool) -> dict[str, Any]:
    """Strings per driver: as they stand (encrypted, bound where the driver can), and verifying the server in full; and
    both with the read-only name, where there is one."""
    reading = replace(target, hostname=read_only(target.hostname)) if has_standbys else None
    return {
        "direct": _direct(target),
        "verified": _verified(target),
        "readOnly": None if reading is None else {"direct": _direct(reading), "verified": _verified(reading)},
        "pooled": None,
        "notes": _notes(target, reading),
    }


def _direct(target: Target) -> dict[str, str]:
    libpq = connection_string(target)
    bound = _BOUND | target.dialled
    return {
        "psql": f"psql {shlex.quote(libpq)}",
        "libpq": libpq,
        "psycopg": libpq,
        "asyncpg": target.url("postgres", _ENCRYPTED),
        "sqlalchemy": target.url("postgresql+psycopg", bound),
        "sqlalchemy-asyncpg": target.url("postgresql+asyncpg", {"ssl": "require"}),
        "jdbc": _jdbc(target, _ENCRYPTED | {"channelBinding": "require"}),
        "node-postgres": target.url("postgres", {"sslmode": "no-verify"}),
        "pgx": target.url("postgres", _ENCRYPTED),
        "env": _environment(target, libpq, {"PGSSLMODE": "require", "PGCHANNELBINDING": "require"}),
    }


def _verified(target: Target) -> dict[str, str]:
    libpq = target.url("postgres", _VERIFIED | _BOUND | target.dialled)
    plain = target.url("postgres", _VERIFIED)
    variables = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": CA_FILE, "PGCHANNELBINDING": "require"}
    return {
        "psql": f"psql {shlex.quote(libpq)}",
        "libpq": libpq,
        "psycopg": libpq,
        "asyncpg": plain,
        "sqlalchemy": target.url("postgresql+psycopg", _VERIFIED | _BOUND | target.dialled),
        "jdbc": _jdbc(target, _VERIFIED | {"channelBinding": "require"}),
        "node-postgres": plain,
        "pgx": plain,
        "env": _environment(target, libpq, variables),
    }


def _jdbc(target: Target, parameters: Parameters) -> str:
    credentials = {"user": USERNAME} | ({} if target.password is None else {"password": target.password})
    query = urlencode(credentials | parameters, quote_via=quote, safe="")
    return f"jdbc:postgresql://{target.hostname}:{target.port}/{DATABASE}?{query}"


def _environment(target: Target, url: str, variables: Parameters) -> str:
    """Lines for a .env file, quoted as a POSIX shell reads them."""
    values = {
        "DATABASE_URL": url,
        "PGHOST": target.hostname,
        "PGPORT": str(target.port),
        "PGDATABASE": DATABASE,
        "PGUSER": USERNAME,
        **({} if target.password is None else {"PGPASSWORD": target.password}),
        **variables,
        **({} if target.hostaddr is None else {"PGHOSTADDR": target.hostaddr}),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _notes(target: Target, reading: Target | None) -> list[str]:
    notes = [
        f"The verified strings look for {CA_FILE} in the working directory: download it from caCertificates.",
        "Pooled connections are not yet supported.",
    ]
    if reading is not None:
        notes.append(
            "The strings of readOnly reach a standby, all others the primary: none of them needs target_session_attrs,"
            " and a value of it that the other kind of server fulfils makes them fail."
        )
    if target.password is None:
        notes.append("Without a password here: it is shown when the service is created or its password is reset.")
    if target.hostaddr is not None:
        names = target.hostname if reading is None else f"{target.hostname} {reading.hostname}"
        notes.append(
            "The hostname does not resolve on the server's machine. asyncpg, JDBC, node-postgres and pgx have no"
            f" hostaddr and need this line in /etc/hosts: {target.hostaddr} {names}"
        )
    return notes


def _encoded(text: str) -> str:
    return quote(text, safe="")
