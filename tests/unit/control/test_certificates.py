"""Which names a certificate is valid for, and that it stays one that clients take."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from howdah.control.applying import MAX_NAMES
from howdah.control.certificates import issue_first
from howdah.domain.ids import ServiceId
from howdah.domain.names import new_hostname, read_only, with_read_only
from howdah.security.certificates import issue, new_roots

ID = ServiceId.parse("pg7myrd1j06p3gx4zrm2ze8qz6")
NOW = datetime.now(UTC)


def hostname(domain: str = "localhost") -> str:
    return new_hostname(name="n" * 50, service=ID, region="northamerica-northeast1", provider="gcp", domain=domain)


def chain(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName)


def test_the_first_certificate_is_valid_for_the_read_only_name_too() -> None:
    name = hostname()
    assert names_of(chain(issue_first(ID, name, NOW).leaf.chain)[0]) == [name, read_only(name)]


def test_clients_take_a_certificate_with_as_many_names_as_a_service_can_have() -> None:
    names = with_read_only(hostname("db." + "x" * 60 + ".example.com") for _ in range(MAX_NAMES))
    leaf = issue(new_roots(ID.ubid, NOW), service=ID.ubid, hostnames=names, now=NOW)
    assert sum(len(one.public_bytes(Encoding.DER)) for one in chain(leaf.chain)) < 12 * 1024
