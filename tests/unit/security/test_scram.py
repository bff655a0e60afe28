from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.security.scram import verifier

CONNECTION = psycopg.pq.PGconn.connect_start(b"host=/nowhere")


def as_libpq_makes_it(password: str) -> str:
    """libpq's own verifier for the password; the salt in it is random."""
    return CONNECTION.encrypt_password(password.encode(), b"postgres", b"scram-sha-256").decode()


def salt_of(made: str) -> bytes:
    return b64decode(made.split("$")[1].split(":")[1])


def test_the_example_of_rfc_7677_has_its_server_signature() -> None:
    made = verifier("pencil", salt=b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), iterations=4096)
    server_key = b64decode(made.rpartition(":")[2])
    messages = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(server_key, messages.encode(), "sha256")
    assert b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize(
    "password",
    [
        "Abcdefgh1234",
        "with space 1A",
        "\u00a0no-break\u2003em 1A",
        "I\u00adX soft hyphen",
        "\u00aa feminine ordinal",
        "\u2168 roman nine",
        "e\u0301 combining",
        "\u0627\u0031 right to left, then a digit",
        "\u0627\u0031\u0627",
        "\u0627a\u0627 mixed",
        "\u200b\u00ad",
        "\u0221 unassigned in Unicode 3.2",
        "\U0001f600 emoji",
        "\ue000 private use",
        "\ufffd replacement",
        "tab\tand\x7f",
        "ﬃ ligature",
        "가각 hangul",
    ],
)
def test_a_verifier_is_the_one_that_libpq_makes(password: str) -> None:
    made = as_libpq_makes_it(password)
    assert verifier(password, salt=salt_of(made)) == made


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x33FF, exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_a_verifier_is_the_one_that_libpq_makes_of_any_text(password: str) -> None:
    made = as_libpq_makes_it(password)
    assert verifier(password, salt=salt_of(made)) == made


def test_two_verifiers_of_one_password_differ_by_their_salt() -> None:
    assert verifier("Abcdefgh1234") != verifier("Abcdefgh1234")
