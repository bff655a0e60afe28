"""A backup of Howdah itself."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from control.planes import running_plane

from howdah.cli.tls import own_certificate
from howdah.control.copies import pack, put_back, read_parts, unpack
from howdah.control.paths import api_authority_file, api_certificate_file, secrets_key_file
from howdah.domain.errors import SetupError
from howdah.domain.settings import Settings


def authority(state: Path) -> str:
    """The CA of the certificate that the API has, made where there is none."""
    own_certificate(Settings(state=state)).keep(datetime.now(UTC))
    return api_authority_file(state).read_text()


async def made(state: Path) -> dict[str, bytes]:
    async with running_plane(state):
        packed = io.BytesIO()
        pack(read_parts(state, secrets_key_file(state)), packed)
    packed.seek(0)
    return unpack(packed)


async def test_the_ca_of_the_api_comes_back_wherever_it_is_restored(tmp_path: Path) -> None:
    trusted = authority(tmp_path / "old")
    parts = await made(tmp_path / "old")
    (tmp_path / "new").mkdir()
    put_back(tmp_path / "new", secrets_key_file(tmp_path / "new"), parts)
    assert authority(tmp_path / "new") == trusted
    assert authority(tmp_path / "third") != trusted
    put_back(tmp_path / "third", secrets_key_file(tmp_path / "third"), parts)
    assert authority(tmp_path / "third") == trusted


async def test_one_without_a_ca_of_its_own_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    parts = await made(tmp_path / "old")
    trusted = authority(tmp_path / "new")
    put_back(tmp_path / "new", secrets_key_file(tmp_path / "new"), parts)
    assert authority(tmp_path / "new") == trusted


async def test_one_that_is_refused_leaves_the_certificate_that_is_there(tmp_path: Path) -> None:
    authority(tmp_path / "old")
    parts = await made(tmp_path / "old")
    authority(tmp_path / "new")
    before = api_certificate_file(tmp_path / "new").read_bytes()
    with pytest.raises(SetupError):
        put_back(tmp_path / "new", secrets_key_file(tmp_path / "new"), parts | {"secrets.key": b"no key"})
    assert api_certificate_file(tmp_path / "new").read_bytes() == before
