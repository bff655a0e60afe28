from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import BadRequest
from howdah.domain.passwords import check_password, generate_password


@pytest.mark.parametrize("password", ["Abcdefghij12", "Aa1" + "ä" * 1021, "p@:/?#%&= Ab1", "Aa1" + "x" * 9])
def test_good_passwords_are_taken_as_they_are(password: str) -> None:
    assert check_password(password) == password


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("Abcdefghi12", "password has 11 characters; it must have 12 to 1024"),
        ("Aa1" + "x" * 1022, "password has 1025 characters"),
        ("ABCDEFGHIJ12", "no lower-case letter"),
        ("abcdefghij12", "no upper-case letter"),
        ("Abcdefghijkl", "no digit"),
        ("ÄBCDEFGHIJ12ä", "no lower-case letter"),
        ("Abcdefghij12\0", "control or other unprintable character"),
        ("Abcdefghij12\n", "control or other unprintable character"),
    ],
)
def test_a_wrong_password_is_refused_with_its_rule_and_not_repeated(password: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as refused:
        check_password(password)
    assert password.strip("\0\n") not in str(refused.value)


@given(st.text(max_size=30))
def test_only_passwords_of_the_rule_pass(password: str) -> None:
    try:
        check_password(password)
    except BadRequest:
        return
    assert len(password) >= 12
    assert password.isprintable()


def test_generated_passwords_follow_the_rule_and_need_no_encoding() -> None:
    made = {generate_password() for _ in range(500)}
    assert len(made) == 500
    for password in made:
        assert check_password(password) == password
        assert len(password) == 20
        assert password.isascii()
        assert all(character.isalnum() or character in "-_" for character in password)
        assert password[0].isalnum()
