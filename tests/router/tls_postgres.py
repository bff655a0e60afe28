"""Real Postgres with TLS, without the rest of Howdah: programs, certificates, servers."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fixtures.server import CACHE

from howdah.domain.states import PostgresVersion
from howdah.engines.local.binaries import Binaries, ensure_binaries

PASSWORD = "router-tests-1A"


def programs(version: str) -> Binaries:
    """From HOWDAH_TEST_POSTGRES/<version>, else unpacked into the tests' cache."""
    if configured := os.environ.get("HOWDAH_TEST_POSTGRES"):
        return Binaries(version, Path(configured) / version)
    return ensure_binaries(PostgresVersion(version), CACHE / "postgres", print)


def run_as_server_user() -> list[str]:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(directory: Path, *names: str) -> None:
    """A self-made ``server.crt`` and ``server.key`` for ``names``; the certificate is its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "router tests")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.key").write_bytes(private)
    (directory / "server.key").chmod(0o600)


@dataclass
class Postgres:
    """One server on a loopback port: TLS only, SCRAM, user and database ``postgres``."""

    programs: Binaries
    directory: Path
    names: tuple[str, ...]
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def create(self) -> None:
        self.directory.mkdir(parents=True)
        password = self.directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.directory, password):
                shutil.chown(path, "nobody")
        command = [self.programs.program("initdb"), "-D", str(self.data), "-U", "postgres", "--pwfile", str(password)]
        command += ["-A", "scram-sha-256", "--no-sync", "--locale=C", "-E", "UTF8"]
        subprocess.run(
            [*run_as_server_user(), *command], env=self.programs.environment, check=True, capture_output=True
        )
        make_certificate(self.data, *self.names)
        (self.data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
        if os.geteuid() == 0:
            for name in ("server.crt", "server.key"):
                shutil.chown(self.data / name, "nobody")

    def start(self) -> None:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "ssl": "on",
            "fsync": "off",
            "max_connections": "600",
            "shared_buffers": "64MB",
            **self.settings,
        }
        command = [self.programs.program("postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            [*run_as_server_user(), *command],
            env=self.programs.environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        deadline = time.monotonic() + 30
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("Postgres did not start:\n" + (self.directory / "log").read_text()[-2000:])
            time.sleep(0.01)

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process and self.process.pid) and lines[7].strip() == "ready"

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # SIGINT: fast shutdown
            self.process.wait(30)
            self.process = None

    def log(self) -> str:
        return (self.directory / "log").read_text()
