"""The certificate with which the API speaks TLS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from howdah.cli.checks.contents import SOON
from howdah.cli.checks.finding import Finding, fail, ok
from howdah.domain.errors import SetupError
from howdah.domain.settings import Settings

_NAME = "API certificate"


def check_api_tls(settings: Settings) -> Iterator[Finding]:
    """Nothing where the API speaks plain HTTP."""
    from cryptography import x509

    from howdah.cli.tls import certificate_files, context

    if settings.api.scheme != "https":
        return
    try:
        certificate, key = certificate_files(settings)
        if settings.api.tls_generate and not certificate.exists():
            yield ok(_NAME, "none yet; howdah serve makes it")
            return
        context(certificate, key)
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (SetupError, OSError) as error:
        yield fail(_NAME, str(error), "the API does not start like that; one that runs goes on with its last one")
        return
    until, left = f"{leaf.not_valid_after_utc:%Y-%m-%d}", leaf.not_valid_after_utc - datetime.now(UTC)
    if left < SOON:
        how = "see that howdah serve runs, and its log" if settings.api.tls_generate else "put a newer one in its place"
        yield fail(_NAME, f"{certificate} {'has expired' if left.total_seconds() < 0 else 'expires'}: {until}", how)
    else:
        yield ok(_NAME, f"{certificate} is valid until {until}")
