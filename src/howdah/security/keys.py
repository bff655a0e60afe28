"""API keys: an id of 20 characters and a secret of 256 random bits, of which only the SHA-256 is stored.

A secret of full entropy needs no slow hash, and the schema's ``hashData`` is a SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from base64 import b64encode
from dataclasses import dataclass, field

KEY_ID_LENGTH = 20
SUFFIX_LENGTH = 4
_SECRET_BYTES = 32
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key: the two halves that its owner gets, once."""

    key_id: str
    secret: str = field(repr=False)

    @property
    def suffix(self) -> str:
        """The last characters of the secret, by which its owner recognises it."""
        return self.secret[-SUFFIX_LENGTH:]


def new_key() -> NewKey:
    """A random key: letters and digits in the id, URL-safe characters in the secret, which begins with no hyphen."""
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(KEY_ID_LENGTH))
    while (secret := secrets.token_urlsafe(_SECRET_BYTES)).startswith("-"):
        pass
    return NewKey(key_id, secret)


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def concealed(key_id_hash: bytes) -> str:
    """What a key is called of whose id only the hash is known. No key id: HTTP Basic has no colon in a user name."""
    return f"sha256:{b64encode(key_id_hash).decode()}"


def matches(secret: str, stored: bytes | None) -> bool:
    """Whether ``secret`` is the one whose hash is ``stored``; takes the same time for a key that does not exist."""
    equal = hmac.compare_digest(hash_secret(secret), stored if stored is not None else bytes(32))
    return equal and stored is not None
