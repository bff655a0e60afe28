"""The certificate with which the API speaks TLS: the operator's files or one of its own; another one is noticed."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname

import structlog

from howdah.control.paths import api_authority_file, api_authority_key_file, api_certificate_file
from howdah.domain.errors import SetupError
from howdah.domain.settings import Settings
from howdah.security.own_certificate import OwnCertificate

LOOK_SECONDS = 5.0
"""Between two looks whether the files have been replaced, or a certificate of our own is due."""

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ApiTls:
    """``context``: the one that all connections begin with; it takes another certificate while it is used."""

    def __init__(self, settings: Settings) -> None:
        """Raises SetupError when there is no certificate that can be used."""
        self._own = own_certificate(settings) if settings.api.tls_generate else None
        self._certificate, self._key = certificate_files(settings)
        self._keep_own()
        self._seen = self._marks()
        self.context = context(self._certificate, self._key)
        self._refused: str | None = None

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take what has been put in the place of the files. What cannot be used is said once; the last one stays."""
        try:
            self._keep_own()
            if (marks := self._marks()) == self._seen:
                return
            context(self._certificate, self._key)
            self.context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except SetupError as error:
            if str(error) != self._refused:
                log.error("the API goes on with its last certificate", reason=str(error))
            self._refused = str(error)
            return
        self._seen, self._refused = marks, None
        log.info("the API has another certificate", file=str(self._certificate))

    def _keep_own(self) -> None:
        if self._own is not None:
            self._own.keep(datetime.now(UTC))

    def _marks(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_mark(file) for file in (self._certificate, self._key))


def open_tls(settings: Settings) -> ApiTls | None:
    """None where the API speaks plain HTTP. Raises SetupError."""
    return ApiTls(settings) if settings.api.scheme == "https" else None


def certificate_files(settings: Settings) -> tuple[Path, Path]:
    """Of the certificate with its chain, and of its key. Raises SetupError when the settings do not say which."""
    certificate, key = settings.api.tls_certificate, settings.api.tls_key
    if settings.api.tls_generate:
        if certificate is not None or key is not None:
            raise SetupError(
                "api.tls_generate is for who has no certificate, and api.tls_certificate or api.tls_key names one"
            )
        file = api_certificate_file(settings.state)
        return file, file
    if certificate is None or key is None:
        lacking, given = ("tls_key", "tls_certificate") if key is None else ("tls_certificate", "tls_key")
        raise SetupError(f"api.{given} is set and api.{lacking} is not; TLS needs both")
    return certificate, key


def own_certificate(settings: Settings) -> OwnCertificate:
    state, host = settings.state, ip_address(settings.api.host)
    names = ["localhost", "127.0.0.1", "::1", gethostname(), *settings.api.tls_names]
    if not host.is_unspecified:
        names.append(str(host))
    files = (api_certificate_file(state), api_authority_key_file(state), api_authority_file(state))
    return OwnCertificate(*files, names)


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer. Raises SetupError when these files cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        why = "the key is not the certificate's" if error.reason == "KEY_VALUES_MISMATCH" else "they must be PEM files"
        raise SetupError(
            f"api.tls_certificate {certificate} and api.tls_key {key} cannot be used: {why}; the key not encrypted"
        ) from None
    except OSError as error:
        raise SetupError(
            f"api.tls_certificate {certificate} or api.tls_key {key} cannot be read: {error.strerror}; started as root"
            " the API runs as the user howdah, which must be able to"
        ) from None
    return made


def _no_password() -> str:
    """Instead of a question on the terminal."""
    return ""


def _mark(file: Path) -> tuple[int, int, int]:
    try:
        facts = os.stat(file)
    except OSError:
        return 0, 0, 0
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
