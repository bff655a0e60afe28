from __future__ import annotations

import re
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howdah.domain.errors import SetupError
from howdah.security.sealing import KEY_ID, Sealer, open_key_file

SEALER = Sealer([b"k" * 32])


def key_file(path: Path, *lines: str, mode: int = 0o600) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path


def line(byte: bytes) -> str:
    return urlsafe_b64encode(byte * 32).decode()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_secret_opens_in_its_place(secret: str, place: str) -> None:
    sealed = SEALER.seal(secret, place)
    assert SEALER.open(sealed, place) == secret


@given(st.data())
def test_an_altered_or_moved_secret_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal("secret", "here"))
    with pytest.raises(SetupError):
        SEALER.open(bytes(sealed), "there")
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SetupError):
        SEALER.open(bytes(sealed), "here")
    with pytest.raises(SetupError):
        SEALER.open(bytes(sealed[: data.draw(st.integers(0, 32))]), "here")


def test_a_secret_is_not_in_what_is_sealed_and_two_sealings_differ() -> None:
    one, two = SEALER.seal("my secret", "p"), SEALER.seal("my secret", "p")
    assert b"my secret" not in one
    assert one != two


def test_the_first_key_seals_and_all_open(tmp_path: Path) -> None:
    old = open_key_file(key_file(tmp_path / "a", line(b"1")), sealed_with=())
    sealed = old.seal("secret", "p")
    both = open_key_file(
        key_file(tmp_path / "b", "# rotated", line(b"2") + "  # new", "", line(b"1")), sealed_with=[sealed[KEY_ID]]
    )
    assert both.open(sealed, "p") == "secret"
    again = both.seal("secret", "p")
    assert again[KEY_ID] != sealed[KEY_ID]
    with pytest.raises(SetupError, match="sealed with a key that the key file does not have"):
        old.open(again, "p")


def test_a_key_file_is_made_once_private_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "secrets.key"
    sealed = open_key_file(file, sealed_with=()).seal("secret", "p")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_key_file(file, sealed_with=[sealed[KEY_ID]]).open(sealed, "p") == "secret"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("lines", "mode", "said"),
    [
        ((line(b"1"),), 0o640, "has mode 0640, others can read or change it: chmod 600"),
        ((line(b"1"),), 0o602, "has mode 0602"),
        ((), 0o600, "holds no key"),
        (("# nothing",), 0o600, "holds no key"),
        (("c2hvcnQ=",), 0o600, "line 1 of .* has a key of 5 bytes; it must have 32"),
        ((line(b"1"), "!!!"), 0o600, "line 2 of .* is not base64|line 2 of .* has a key of 0 bytes"),
    ],
)
def test_a_wrong_key_file_is_refused_with_the_reason(
    tmp_path: Path, lines: tuple[str, ...], mode: int, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        open_key_file(key_file(tmp_path / "k", *lines, mode=mode), sealed_with=())


def test_a_key_that_is_missing_for_what_is_sealed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is missing, and the store holds secrets"):
        open_key_file(tmp_path / "k", sealed_with=[b"abcd"])
    assert not (tmp_path / "k").exists()
    with pytest.raises(SetupError, match=f"lacks the key {b'abcd'.hex()}"):
        open_key_file(key_file(tmp_path / "k", line(b"1")), sealed_with=[b"abcd"])


def test_a_key_file_that_cannot_be_made_is_a_set_up_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be created"):
        open_key_file(tmp_path / "missing" / "k", sealed_with=())


def test_no_key_is_shown() -> None:
    assert re.fullmatch(r"Sealer\(1 keys\)", repr(SEALER))
