"""Each service's own certificate authority and the certificates that its servers show.

ECDSA P-256 with SHA-256 throughout: libpq cannot channel-bind Ed25519 signatures. Names are in the subject alternative
name only, since hostnames are longer than the 64 characters of a common name. The extensions are those that OpenSSL's
X509_V_FLAG_X509_STRICT, the default of Python 3.13's contexts, asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LEAF_LIFETIME = timedelta(days=90)
RENEW_AFTER = LEAF_LIFETIME * 2 / 3
BACKDATED = timedelta(hours=1)
"""Clients whose clock is a little behind accept a new certificate too."""

FIRST_ROOT_LIFETIME = timedelta(days=5 * 365)
SECOND_ROOT_LIFETIME = timedelta(days=10 * 365)


@dataclass(frozen=True, slots=True)
class Root:
    """A root certificate and its key, both PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server certificate with its issuer, the leaf first, and its key, both PEM. ``renew_at``: when to replace it."""

    chain: str
    renew_at: datetime
    key: str = field(repr=False)


def new_roots(service: str, now: datetime) -> tuple[Root, Root]:
    """The roots of a service, the one that signs first. A client that trusts both stays able to connect when the first
    one runs out."""
    return (
        _root(service, 1, now, FIRST_ROOT_LIFETIME),
        _root(service, 2, now, SECOND_ROOT_LIFETIME),
    )


def bundle(roots: Sequence[Root]) -> str:
    """The certificates of the roots, PEM, for users."""
    return "".join(root.certificate for root in roots)


def unbundle(certificates: str) -> list[str]:
    """The certificates of a bundle, each PEM, in its order."""
    return [_pem(certificate) for certificate in x509.load_pem_x509_certificates(certificates.encode())]


def issue(roots: Sequence[Root], *, service: str, hostnames: Sequence[str], now: datetime) -> Leaf:
    """A certificate for ``hostnames``, addresses perhaps, signed by the first root that outlives it."""
    until = now + LEAF_LIFETIME
    loaded = [(x509.load_pem_x509_certificate(root.certificate.encode()), root) for root in roots]
    issuer, root = next((pair for pair in loaded if pair[0].not_valid_after_utc >= until), loaded[-1])
    signing_key = serialization.load_pem_private_key(root.key.encode(), password=None)
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"the root of {service} has a key of the kind {type(signing_key).__name__}")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(service))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in hostnames]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority(issuer), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    return Leaf(chain=_pem(certificate) + root.certificate, renew_at=now + RENEW_AFTER, key=_key_pem(key))


def names_of(certificate: x509.Certificate) -> list[str]:
    """The hostnames and addresses that it is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return names.get_values_for_type(x509.DNSName) + addresses


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _root(service: str, number: int, now: datetime, lifetime: timedelta) -> Root:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{service} root {number}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Root(certificate=_pem(certificate), key=_key_pem(key))


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Howdah"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
