"""Read replicas that need WAL which their primary has not any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fixtures.server import Server, eventually

from ha.replicas import leave_behind, replica_of, shows
from ha.service import with_standbys


@pytest.mark.long
@pytest.mark.fault(
    what="A read replica needs WAL that its primary has not any more",
    then="it is brought that from the archive, goes on from where it is, and can be read all the time",
)
@pytest.mark.parametrize("version", ["17", "18"])
def test_it_goes_on_from_the_archive_and_is_not_copied_anew(new_server: Callable[..., Server], version: str) -> None:
    server = new_server(env={"HOWDAH_BACKUP_ARCHIVE": ""})
    primary = with_standbys(server, "none", postgresVersion=version)
    eventually("it is archived", lambda: "earliestRestoreTime" in server.get(primary.id), within=90)
    replica = replica_of(primary)
    leave_behind(primary, replica)
    (back,) = eventually("it is started again", replica.postmasters).values()
    shows(replica, "SELECT count(*) FROM later", 200_000)
    primary.sql("INSERT INTO later VALUES (0)")
    shows(replica, "SELECT count(*) FROM later", 200_001)
    assert replica.postmasters() == {back.instance: back}, "it was copied anew"
    eventually("it streams", lambda: replica.members()[0]["state"] == "streaming")
    assert server.get(replica.id)["state"] == "running"


@pytest.mark.long
@pytest.mark.fault(
    what="The same, and there is no archive",
    then="it is copied anew from its primary, and is `unavailable` until that is done",
)
def test_it_is_copied_anew_where_there_is_no_archive(server: Server) -> None:
    primary = with_standbys(server, "none")
    replica = replica_of(primary)
    leave_behind(primary, replica)
    shows(replica, "SELECT count(*) FROM later", 200_000)
    eventually("it streams", lambda: replica.members()[0]["state"] == "streaming")
