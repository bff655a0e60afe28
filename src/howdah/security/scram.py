"""SCRAM-SHA-256 verifiers in the form that Postgres stores in ``pg_authid.rolpassword`` (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64encode

ITERATIONS = 4096
_SALT_BYTES = 16

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``. Milliseconds of CPU: call it off the loop."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _normalized(password), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def _text(binary: bytes) -> str:
    return b64encode(binary).decode()


def _normalized(password: str) -> bytes:
    """SASLprep as Postgres does it: what the profile prohibits is hashed as it stands instead of being refused."""
    if password.isascii():
        return password.encode()
    prepared = _saslprep(password)
    return (password if prepared is None else prepared).encode()


def _saslprep(password: str) -> str | None:
    """RFC 4013 on ``password``, or None when the profile prohibits it.

    Postgres looks for what is prohibited before the normalization, not after it as the RFC says (its saslprep.c
    examines the mapped input); clients hash that way, so the verifier has to.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    if not mapped or any(prohibits(character) for character in mapped for prohibits in _PROHIBITED):
        return None
    if any(map(stringprep.in_table_d1, mapped)):
        ends_are_right_to_left = stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1])
        if any(map(stringprep.in_table_d2, mapped)) or not ends_are_right_to_left:
            return None
    return unicodedata.normalize("NFKC", mapped)
