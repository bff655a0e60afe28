"""The API's own certificate: made once, kept while it is good, renewed in time under the same authority."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from howdah.domain.errors import SetupError
from howdah.security.certificates import LEAF_LIFETIME, RENEW_AFTER, SECOND_ROOT_LIFETIME, names_of
from howdah.security.own_certificate import OwnCertificate

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAMES = ("localhost", "127.0.0.1", "0:0::1", "api.example.com")


def own(top: Path, *names: str) -> OwnCertificate:
    home = top / "api-tls"
    return OwnCertificate(home / "certificate.pem", home / "roots.json", top / "api-ca.pem", names or NAMES)


def kept(made: OwnCertificate, now: datetime) -> str:
    made.keep(now)
    return made.file.read_text()


def test_it_is_for_its_names_and_can_be_used(tmp_path: Path):
    made = own(tmp_path)
    made.keep(NOW)
    certificate = x509.load_pem_x509_certificates(made.file.read_bytes())[0]
    assert set(names_of(certificate)) == {"localhost", "127.0.0.1", "::1", "api.example.com"}
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.file)
    ssl.create_default_context(cafile=tmp_path / "api-ca.pem")


def test_only_the_authority_may_be_read_by_others(tmp_path: Path):
    own(tmp_path).keep(NOW)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*")}
    assert modes == {"api-ca.pem": 0o644, "api-tls": 0o700, "certificate.pem": 0o600, "roots.json": 0o600}


def test_it_is_kept_until_it_is_due_and_the_authority_stays(tmp_path: Path):
    first = kept(own(tmp_path), NOW)
    authority = (tmp_path / "api-ca.pem").read_text()
    assert kept(own(tmp_path), NOW + RENEW_AFTER - timedelta(seconds=1)) == first
    assert kept(own(tmp_path), NOW + RENEW_AFTER) != first
    assert (tmp_path / "api-ca.pem").read_text() == authority


def test_other_names_and_a_clock_that_was_ahead_make_another(tmp_path: Path):
    first = kept(own(tmp_path), NOW)
    other = kept(own(tmp_path, "localhost"), NOW)
    assert first != other
    assert kept(own(tmp_path, "localhost"), NOW - timedelta(days=1)) != other


def test_an_authority_that_is_about_to_run_out_is_replaced(tmp_path: Path):
    own(tmp_path).keep(NOW)
    authority = (tmp_path / "api-ca.pem").read_text()
    own(tmp_path).keep(NOW + SECOND_ROOT_LIFETIME - LEAF_LIFETIME)
    assert (tmp_path / "api-ca.pem").read_text() != authority


@pytest.mark.parametrize("lost", ["api-ca.pem", "api-tls/certificate.pem"])
def test_what_is_lost_comes_back(tmp_path: Path, lost: str):
    own(tmp_path).keep(NOW)
    (tmp_path / lost).unlink()
    own(tmp_path).keep(NOW)
    assert (tmp_path / lost).exists()


def test_a_name_that_cannot_be_one_is_a_sentence(tmp_path: Path):
    with pytest.raises(SetupError, match=r"check api\.tls_names"):
        own(tmp_path, "grüße.example.com").keep(NOW)
