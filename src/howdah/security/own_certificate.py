"""A certificate for Howdah's own API, for who has none: made, kept and renewed here, signed by a CA of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from howdah.domain.errors import SetupError
from howdah.security.certificates import BACKDATED, LEAF_LIFETIME, RENEW_AFTER, Root, bundle, issue, names_of, new_roots

_NAME = "api"


class OwnCertificate:
    """``file``: the certificate with its chain and its key, so that they change as one. ``roots``: the keys of the CA;
    both in directories that are ours alone. ``authority``: the CA's certificates, for clients. ``names``: hostnames and
    addresses by which clients come."""

    def __init__(self, file: Path, roots: Path, authority: Path, names: Sequence[str]) -> None:
        self.file = file
        self._kept_roots = roots
        self._authority = authority
        self._names = tuple(dict.fromkeys(_normal(name) for name in names))

    def keep(self, now: datetime) -> None:
        """Have one that is valid, for these names. Cheap while that is so. Raises SetupError."""
        try:
            if self._is_due(now):
                self._make(now)
        except OSError as error:
            raise SetupError(f"the API's own certificate {self.file} cannot be made: {error.strerror}") from None
        except ValueError as error:
            raise SetupError(f"the API's own certificate cannot be made: {error}; check api.tls_names") from None

    def _is_due(self, now: datetime) -> bool:
        found = _certificates(self.file)
        if not found or not self._authority.exists() or set(names_of(found[0])) != set(self._names):
            return True
        begins = found[0].not_valid_before_utc
        return not begins <= now < begins + BACKDATED + RENEW_AFTER

    def _make(self, now: datetime) -> None:
        for file in (self.file, self._kept_roots):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        roots = self._roots(now)
        leaf = issue(roots, service=_NAME, hostnames=self._names, now=now)
        # The certificate last: while it is not there, all of this is done again.
        _write(self._authority, bundle(roots), 0o644)
        _write(self.file, leaf.key + leaf.chain, 0o600)

    def _roots(self, now: datetime) -> Sequence[Root]:
        """The same for years, since clients trust them."""
        if self._kept_roots.exists():
            kept = [Root(**root) for root in json.loads(self._kept_roots.read_text())]
            last = x509.load_pem_x509_certificate(kept[-1].certificate.encode())
            if last.not_valid_before_utc <= now < last.not_valid_after_utc - LEAF_LIFETIME:
                return kept
        made = new_roots(_NAME, now)
        content = json.dumps([{"certificate": root.certificate, "key": root.key} for root in made])
        _write(self._kept_roots, content, 0o600)
        return made


def _normal(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower()


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return []


def _write(file: Path, content: str, mode: int) -> None:
    """Replaces it."""
    aside = file.with_suffix(".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(content)
        opened.flush()
        os.fchmod(descriptor, mode)  # Whatever the umask takes away.
        os.fsync(descriptor)
    aside.replace(file)
