"""``howdah organizations`` and ``howdah keys`` in the store, without a server."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fixtures.command import howdah
from fixtures.store import put_new_store

from howdah.control.paths import store_file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    put_new_store(tmp_path)
    return tmp_path


def result(state: Path, *arguments: str) -> Any:
    said = howdah(*arguments, "--json", state=state)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def told(state: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(store_file(state)) as connection:
        found = connection.execute(
            "SELECT actor_type, actor_details, changes FROM activities ORDER BY number"
        ).fetchall()
    connection.close()
    return found


def test_an_organization_is_made_renamed_and_bounded(state: Path) -> None:
    made = result(state, "organizations", "create", "First")
    assert (made["name"], made["maxServices"], made["maxStorageGiB"]) == ("First", None, None)
    changed = result(state, "organizations", "quota", "First", "--services", "3")
    assert changed == made | {"maxServices": 3}
    changed = result(state, "organizations", "quota", made["id"], "--services", "default", "--storage-gib", "0")
    assert changed == made | {"maxServices": None, "maxStorageGiB": 0}
    assert result(state, "organizations", "quota", "First") == changed
    renamed = result(state, "organizations", "rename", "First", "Renamed")
    assert renamed == changed | {"name": "Renamed"}
    assert result(state, "organizations", "list") == [renamed]
    assert howdah("organizations", "list", state=state).stdout.split()[-3:] == ["default", "0", "default"]
    assert told(state) == [
        ("user", "howdah organizations create", "'First'"),
        ("user", "howdah organizations quota", "services: default → 3"),
        ("user", "howdah organizations quota", "services: 3 → default, storage GiB: default → no limit"),
        ("user", "howdah organizations rename", "name: 'First' → 'Renamed'"),
    ]


@pytest.mark.parametrize(
    "wrong", ["-1", *(pytest.param(more, marks=pytest.mark.long) for more in ("many", "1.5", "9999999999999", "٣"))]
)
def test_a_quota_that_is_none_is_refused(state: Path, wrong: str) -> None:
    result(state, "organizations", "create", "First")
    said = howdah("organizations", "quota", "First", f"--services={wrong}", state=state)
    assert said.returncode == 1
    assert "it must be a whole number from 0 (no limit) to 1000000000, or default" in said.stderr


def test_an_organization_that_is_not_there_is_said(state: Path) -> None:
    said = howdah("organizations", "quota", "nobody", state=state)
    assert (said.returncode, "there is no organization 'nobody'" in said.stderr) == (1, True)


def test_keys_are_told_and_the_last_admin_key_stays(state: Path) -> None:
    result(state, "organizations", "create", "First")
    only = result(state, "keys", "create", "--name", "only")
    said = howdah("keys", "revoke", only["keyId"], state=state)
    assert said.returncode == 1
    assert "the key 'only' cannot be disabled: it is the organization's last usable admin key" in said.stderr
    result(state, "keys", "create", "--name", "next")
    result(state, "keys", "revoke", only["keyId"])
    assert told(state)[1:] == [
        ("user", "howdah keys create", "'only': admin"),
        ("user", "howdah keys create", "'next': admin"),
        ("user", "howdah keys revoke", "state: enabled → disabled"),
    ]
    assert howdah("keys", "list", state=state).stdout.count("admin") == 2
