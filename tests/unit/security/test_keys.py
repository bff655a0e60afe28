from __future__ import annotations

import hashlib
import re

from howdah.security.keys import hash_secret, matches, new_key


def test_keys_are_random_and_of_the_promised_form() -> None:
    keys = [new_key() for _ in range(200)]
    assert len({key.key_id for key in keys} | {key.secret for key in keys}) == 400
    for key in keys:
        assert re.fullmatch(r"[A-Za-z0-9]{20}", key.key_id)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{42}", key.secret)
        assert key.secret not in repr(key)


def test_a_secret_is_stored_as_its_sha_256() -> None:
    assert hash_secret("secret") == hashlib.sha256(b"secret").digest()


def test_a_secret_matches_its_own_hash_alone() -> None:
    key, other = new_key(), new_key()
    assert matches(key.secret, hash_secret(key.secret))
    assert not matches(other.secret, hash_secret(key.secret))
    assert not matches(key.secret, None)
    assert not matches("", bytes(32))
