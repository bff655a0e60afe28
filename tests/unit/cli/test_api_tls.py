"""What ``howdah doctor`` says of the API's certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from howdah.cli.checks.api_tls import check_api_tls
from howdah.cli.checks.finding import Level
from howdah.cli.tls import own_certificate
from howdah.domain.settings import ApiSettings, Settings
from howdah.security.certificates import issue, new_roots


def said(settings: Settings) -> list[tuple[Level, str]]:
    return [(one.level, one.said) for one in check_api_tls(settings)]


def given(directory: Path, *, age: timedelta = timedelta()) -> Settings:
    """With files of an operator; the certificate was made so long ago."""
    then = datetime.now(UTC) - age
    made = issue(new_roots("test", then), service="test", hostnames=["localhost"], now=then)
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    certificate.write_text(made.chain)
    key.write_text(made.key)
    return Settings(state=directory / "state", api=ApiSettings(tls_certificate=certificate, tls_key=key))


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [(0, Level.OK, "is valid until"), (85, Level.FAIL, "expires: "), (100, Level.FAIL, "has expired: ")],
)
def test_one_that_does_not_last_is_a_failure(tmp_path: Path, days: int, level: Level, words: str) -> None:
    ((found, sentence),) = said(given(tmp_path, age=timedelta(days=days)))
    assert (found, words in sentence) == (level, True)


def test_one_that_cannot_be_used_is_a_failure_with_the_reason(tmp_path: Path) -> None:
    settings = given(tmp_path)
    (tmp_path / "key.pem").write_text(
        issue(new_roots("x", now := datetime.now(UTC)), service="x", hostnames=["x"], now=now).key
    )
    ((level, sentence),) = said(settings)
    assert (level, "the key is not the certificate's" in sentence) == (Level.FAIL, True)
    (tmp_path / "key.pem").unlink()
    ((level, sentence),) = said(settings)
    assert (level, "cannot be read" in sentence) == (Level.FAIL, True)


def test_one_of_its_own_is_made_at_the_first_start(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, api=ApiSettings(tls_generate=True))
    assert said(settings) == [(Level.OK, "none yet; howdah serve makes it")]
    own_certificate(settings).keep(datetime.now(UTC))
    ((level, sentence),) = said(settings)
    assert (level, "is valid until" in sentence) == (Level.OK, True)


def test_plain_http_has_none(tmp_path: Path) -> None:
    assert said(Settings(state=tmp_path)) == []
