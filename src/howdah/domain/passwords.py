"""The password of a service's superuser: its rule and its generator."""

from __future__ import annotations

import secrets
import string

from howdah.domain.errors import BadRequest

MIN_LENGTH = 12
MAX_LENGTH = 1024
GENERATED_LENGTH = 20
_URL_SAFE = string.ascii_letters + string.digits + "-_"


def check_password(password: str) -> str:
    """The password as given. Raises BadRequest (without the password in it) naming the rule that it breaks."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise BadRequest(f"password has {len(password)} characters; it must have {MIN_LENGTH} to {MAX_LENGTH}")
    for kind, letters in (
        ("lower-case letter (a-z)", string.ascii_lowercase),
        ("upper-case letter (A-Z)", string.ascii_uppercase),
        ("digit (0-9)", string.digits),
    ):
        if not any(character in letters for character in password):
            raise BadRequest(f"password has no {kind}; it must have at least one")
    if any(not character.isprintable() for character in password):
        raise BadRequest("password has a control or other unprintable character; none is allowed")
    return password


def generate_password() -> str:
    """20 URL-safe characters with at least one lower-case letter, one upper-case letter and one digit."""
    while True:
        password = "".join(secrets.choice(_URL_SAFE) for _ in range(GENERATED_LENGTH))
        if (
            any(c.islower() for c in password)
            and any(c.isupper() for c in password)
            and any(c.isdigit() for c in password)
            and password[0].isalnum()  # a leading hyphen reads as an option on command lines
        ):
            return password
