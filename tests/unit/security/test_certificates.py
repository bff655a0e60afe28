from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from howdah.security.certificates import (
    FIRST_ROOT_LIFETIME,
    LEAF_LIFETIME,
    RENEW_AFTER,
    Leaf,
    Root,
    bundle,
    issue,
    new_roots,
    unbundle,
)

NOW = datetime.now(UTC).replace(microsecond=0)
LONG = "my-postgres-6d8d2e3e.pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.localhost"
SERVICE = "pg7myrd1j06p3gx4zrm2ze8qz6"


def shake_hands(directory: Path, leaf: Leaf, trusted: str, hostname: str) -> str | None:
    """A TLS handshake in memory with Python's strictest checks; returns what is wrong with the certificate."""
    (directory / "chain.pem").write_text(leaf.chain)
    (directory / "key.pem").write_text(leaf.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    checking = ssl.create_default_context(cadata=trusted)
    checking.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = checking.wrap_bio(down, up, server_hostname=hostname)
    server = serving.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError:
                return "the peer refused"
    return None


@pytest.fixture(scope="module")
def roots() -> tuple[Root, Root]:
    return new_roots(SERVICE, NOW)


def test_strict_clients_accept_the_certificate_for_each_of_its_names(tmp_path: Path, roots: tuple[Root, Root]) -> None:
    leaf = issue(roots, service=SERVICE, hostnames=[LONG, "old." + LONG], now=NOW)
    assert shake_hands(tmp_path, leaf, bundle(roots), LONG) is None
    assert shake_hands(tmp_path, leaf, bundle(roots), "old." + LONG) is None
    assert "Hostname mismatch" in (shake_hands(tmp_path, leaf, bundle(roots), "other." + LONG) or "")


def test_another_service_s_roots_do_not_vouch_for_it(tmp_path: Path, roots: tuple[Root, Root]) -> None:
    leaf = issue(roots, service=SERVICE, hostnames=[LONG], now=NOW)
    assert shake_hands(tmp_path, leaf, bundle(new_roots(SERVICE, NOW)), LONG) is not None


def test_the_second_root_signs_when_the_first_one_runs_out(roots: tuple[Root, Root]) -> None:
    later = NOW + FIRST_ROOT_LIFETIME - LEAF_LIFETIME + timedelta(days=1)
    before = issue(roots, service=SERVICE, hostnames=[LONG], now=later - timedelta(days=2))
    after = issue(roots, service=SERVICE, hostnames=[LONG], now=later)
    assert before.chain.endswith(roots[0].certificate)
    assert after.chain.endswith(roots[1].certificate)
    certificate = x509.load_pem_x509_certificate(after.chain.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(roots[1].certificate.encode()))


def test_openssl_verifies_it_strictly(tmp_path: Path, roots: tuple[Root, Root]) -> None:
    openssl = shutil.which("openssl")
    assert openssl, "openssl is needed by this test"
    (tmp_path / "ca.pem").write_text(bundle(roots))
    (tmp_path / "leaf.pem").write_text(issue(roots, service=SERVICE, hostnames=[LONG], now=NOW).chain)
    done = subprocess.run(
        [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "leaf.pem: OK\n"), done.stderr


def test_a_certificate_has_what_is_promised(roots: tuple[Root, Root]) -> None:
    leaf = issue(roots, service=SERVICE, hostnames=[LONG], now=NOW)
    certificate = x509.load_pem_x509_certificate(leaf.chain.encode())
    critical = {extension.oid._name for extension in certificate.extensions if extension.critical}
    assert critical == {"basicConstraints", "keyUsage"}
    assert {extension.oid._name for extension in certificate.extensions} == critical | {
        "subjectAltName",
        "extendedKeyUsage",
        "subjectKeyIdentifier",
        "authorityKeyIdentifier",
    }
    assert LONG not in certificate.subject.rfc4514_string()
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc == NOW + LEAF_LIFETIME
    assert leaf.renew_at == NOW + RENEW_AFTER == NOW + timedelta(days=60)
    again = x509.load_pem_x509_certificate(issue(roots, service=SERVICE, hostnames=[LONG], now=NOW).chain.encode())
    assert again.serial_number != certificate.serial_number


def test_the_roots_overlap_and_a_bundle_comes_apart_again(roots: tuple[Root, Root]) -> None:
    assert unbundle(bundle(roots)) == [root.certificate for root in roots]
    ends = [x509.load_pem_x509_certificate(r.certificate.encode()).not_valid_after_utc for r in roots]
    assert [(end - NOW).days // 365 for end in ends] == [5, 10]
    assert roots[0].key not in repr(roots)
