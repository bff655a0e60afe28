"""A tenant owns its data and log directories and everything in them. Nothing there leads our work astray."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.server import alive, eventually
from security.tenants import Ground, Tenant, needs_own_users

pytestmark = needs_own_users

WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun"


@pytest.mark.fault(
    what="As superuser: symbolic links in the data and log directories that lead to the keys, the store and another"
    " service's data; then reading logs, restart, delete",
    then="Nobody follows them with more rights than the tenant's; what they lead to is as before",
)
def test_links_to_what_is_not_its_own_lead_nobody_there(ground: Ground, tenant: Tenant) -> None:
    state, neighbour = ground.server.state, ground.neighbour
    targets = [
        state / "secrets.key",
        state / "howdah.db",
        state / "routes.json",
        neighbour.data,
        neighbour.home / "tls",
    ]
    plant = [
        f"ln -s {target} {folder}/link{i}" for i, target in enumerate(targets) for folder in (tenant.data, tenant.log)
    ]
    plant += [f"for day in {WEEKDAYS}; do ln -sf {state}/secrets.key {tenant.log}/postgres-$day.json; done"]
    plant += [f"ln -sf {state}/secrets.key {tenant.data}/postmaster.pid"]
    plant += [f"ln -sf {state}/secrets.key {tenant.data}/{name}" for name in ("standby.signal", "recovery.signal")]
    plant += [f"mv {tenant.data}/pg_stat {tenant.data}/was; ln -s {neighbour.data}/pg_stat {tenant.data}/pg_stat"]
    assert tenant.shell("; ".join(plant)) == (0, "")
    assert tenant.state()[0] in ("running", "restarting", "unavailable")
    tenant.restart()
    tenant.until_reason("ended") if tenant.state()[0] == "unavailable" else None
    secret = (state / "secrets.key").read_text().strip()
    assert secret not in (tenant.state()[1] or "")


@pytest.mark.fault(
    what="As superuser: `standby.signal` and `recovery.signal`, as files, links and directories",
    then="Removed before each start: a server's role is what Howdah wants it to be",
)
def test_signal_files_do_not_make_it_another_server(tenant: Tenant) -> None:
    for plant in ("touch {}", "mkdir -p {}/deep && touch {}/deep/file && chmod 0 {}/deep", "mkfifo {}"):
        for name in ("standby.signal", "recovery.signal"):
            assert tenant.shell(plant.replace("{}", f"{tenant.data}/{name}")).status == 0
        tenant.restarted()
        assert tenant.sql("SELECT pg_is_in_recovery()") == [(False,)]
        assert not (tenant.data / "standby.signal").exists()


@pytest.mark.fault(
    what="As superuser: `chmod 0` and `chmod 777` of the data and log directories",
    then="Put right at the next start",
)
@pytest.mark.parametrize("mode", ["0", "777"])
def test_a_changed_mode_is_put_right_at_the_next_start(tenant: Tenant, mode: str) -> None:
    postmaster = tenant.server.postmaster(tenant.id)
    tenant.shell_that_ends_its_server(f"chmod {mode} {tenant.data} {tenant.log}; kill -QUIT {postmaster}; sleep 60")
    eventually("its server has ended", lambda: not alive(postmaster))
    assert tenant.sql("SELECT 1") == [(1,)]
    assert {path.stat().st_mode & 0o7777 for path in (tenant.data, tenant.log)} == {0o700}


PIPE = "rm -rf {0}; mkfifo {0}"
DIRECTORY = "rm -rf {0}; mkdir {0}; touch {0}/in-the-way"
SOCKET = "rm -rf {0}; cd {1} && /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"{2}\")'"


def plant(tenant: Tenant, what: str, *paths: Path) -> None:
    for path in paths:
        said = tenant.shell(what.format(path, path.parent, path.name))
        assert said.status == 0, said.text


@pytest.mark.fault(
    what="As superuser: named pipes, sockets and directories in place of postmaster.pid and the log",
    then="Nobody waits for them; a restart removes what is in the way",
)
@pytest.mark.parametrize("what", [PIPE, DIRECTORY, SOCKET], ids=["pipe", "directory", "socket"])
def test_nothing_that_is_no_file_is_waited_for(tenant: Tenant, what: str) -> None:
    plant(
        tenant, what, *(tenant.log / f"postgres-{day}.{kind}" for day in WEEKDAYS.split() for kind in ("json", "log"))
    )
    if what != PIPE:
        plant(tenant, what, tenant.data / "postmaster.pid")
    assert tenant.state()[0] in ("running", "restarting", "unavailable")
    before = postmaster_of(tenant)
    tenant.restart()
    eventually("the old server has ended", lambda: not alive(before))
    tenant.until_running()


def postmaster_of(tenant: Tenant) -> int:
    """Also when its postmaster.pid is gone."""
    return int(tenant.sql("SELECT pg_read_file('/proc/self/stat')")[0][0].rpartition(")")[2].split()[1])


@pytest.mark.long
@pytest.mark.fault(
    what="As superuser: a named pipe in place of postmaster.pid, at which its server waits when it should end",
    then="Killed after the time that a shutdown may take, and started again",
)
def test_a_server_that_does_not_end_is_killed(tenant: Tenant, measured: Callable[[str, float], None]) -> None:
    before = postmaster_of(tenant)
    plant(tenant, PIPE, tenant.data / "postmaster.pid")
    began = time.monotonic()
    tenant.restart()
    eventually("the old server has ended", lambda: not alive(before), within=120)
    tenant.until_running()
    measured("until running again", time.monotonic() - began)


@pytest.mark.fault(
    what="As superuser: `pg_control` replaced by a named pipe, so that the next server hangs before it is one",
    then="A restart ends it after the time that a shutdown may take; a delete ends it in seconds",
)
def test_a_server_that_hangs_at_its_start_can_be_deleted(
    tenant: Tenant, measured: Callable[[str, float], None]
) -> None:
    tenant.shell(f"cd {tenant.data}/global && rm pg_control && mkfifo pg_control")
    before = tenant.server.postmaster(tenant.id)
    tenant.shell_that_ends_its_server("kill -9 -1")
    eventually("its server has ended", lambda: not alive(before))
    tenant.until_reason("starting up", state="unavailable")
    began = time.monotonic()
    tenant.delete()
    measured("until deleted", time.monotonic() - began)
    tenant.__dict__ |= Tenant(tenant.server, tenant.server.running()).__dict__


@pytest.mark.fault(
    what="As superuser: files of 8 TB with nothing in them, a million bytes of postmaster.pid, thousands of log files",
    then="At most a few kilobytes of each are read; all of it is deleted with the service",
)
def test_the_size_of_files_costs_nobody_anything(tenant: Tenant) -> None:
    days = [tenant.log / f"postgres-{day}.json" for day in WEEKDAYS.split()]
    for path in (*days, tenant.data / "huge", tenant.data / "postmaster.pid"):
        tenant.shell(f"truncate -s 8T {path}")
    tenant.shell(f"cd {tenant.log} && seq 5000 | xargs touch")
    assert tenant.state()[0] in ("running", "restarting")
    tenant.restart()
    tenant.until_running()


@pytest.mark.fault(
    what="As superuser: hard links to the keys and another service's files",
    then="Refused by the kernel (fs.protected_hardlinks), or harmless: deleting removes the name alone",
)
def test_hard_links_to_what_is_not_its_own_are_harmless(ground: Ground, tenant: Tenant) -> None:
    victims = [ground.server.state / "secrets.key", ground.neighbour.home / "tls" / "server.pem"]
    for i, victim in enumerate(victims):
        tenant.shell(f"ln {victim} {tenant.data}/hard{i}; ln {victim} {tenant.log}/hard{i}")
    tenant.restarted()


@pytest.mark.fault(
    what="As superuser: tablespaces at any place, in another service's data, in Howdah's directories",
    then="Only where its OS user may write: its own directories and the machine's temporary ones",
)
def test_a_tablespace_lies_where_its_user_may_write(ground: Ground, tenant: Tenant) -> None:
    for place in (ground.neighbour.data, ground.server.state, tenant.home, Path("/etc"), tenant.home / "conf"):
        with pytest.raises(Exception, match=r"denied|not permitted|exist"):
            tenant.sql(f"CREATE TABLESPACE t LOCATION '{place}'")
    tenant.shell(f"mkdir {tenant.data}/../log/mine")
    tenant.sql(f"CREATE TABLESPACE t LOCATION '{tenant.log}/mine'", "CREATE TABLE kept TABLESPACE t AS SELECT 7 AS n")
    tenant.restarted()
    assert tenant.sql("SELECT n FROM kept") == [(7,)]


@pytest.mark.fault(
    what="As superuser: postgresql.conf, pg_hba.conf and pg_ident.conf of its data directory edited",
    then="Not read: what counts lies outside, where it cannot write",
)
def test_configuration_files_in_the_data_directory_are_not_read(tenant: Tenant) -> None:
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        tenant.shell(f"echo 'nonsense that stops every server' >{tenant.data}/{name}")
    tenant.restarted()
    assert tenant.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == [(0,)]


@pytest.mark.fault(
    what="As superuser: its own data destroyed (pg_control, pg_wal, base, backup_label)",
    then="`unavailable` with Postgres' own words; deleting works; nobody else notices",
)
@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("rm -rf {}/base {}/global", ("pg_control",)),
        pytest.param("rm -rf {}/pg_wal", ("pg_wal",), marks=pytest.mark.long),
        pytest.param("echo nonsense >{}/backup_label", ("backup_label",), marks=pytest.mark.long),
        ("chmod 0 {}/global {}/base", ("pg_control", "denied")),
    ],
)
def test_a_server_whose_tenant_destroyed_it_says_so(tenant: Tenant, break_it: str, words: tuple[str, ...]) -> None:
    before = tenant.server.postmaster(tenant.id)
    tenant.shell_that_ends_its_server(f"{break_it.replace('{}', str(tenant.data))}; kill -9 -1")
    eventually("its server has ended", lambda: not alive(before))
    reason = tenant.until_reason(*words)
    assert str(tenant.server.state) not in reason


@pytest.mark.fault(
    what="As superuser: forged lines in its own log, with control characters for the operator's terminal",
    then="What a reason shows of them is text in one line",
)
def test_a_forged_log_writes_nothing_to_a_terminal(tenant: Tenant) -> None:
    forge = """
import datetime, json, pathlib, sys
stamp = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.000 UTC")
line = json.dumps({"timestamp": stamp, "error_severity": "FATAL", "backend_type": "postmaster",
    "message": "it was \\x1b]0;owned\\x07\\x1b[2J\\r\\nhowdah: all is well \\u202e\\x9b31m"})
for file in pathlib.Path(sys.argv[1]).glob("*.json"):
    file.open("a").write(line + "\\n")
pathlib.Path(sys.argv[2], "backup_label").write_text("nonsense")
pathlib.Path(sys.argv[1]).chmod(0o500)
for file in pathlib.Path(sys.argv[1]).glob("*.json"):
    file.chmod(0o400)
"""
    before = tenant.server.postmaster(tenant.id)
    assert tenant.python(forge, tenant.log, tenant.data) == (0, "")
    tenant.shell_that_ends_its_server("kill -9 -1")
    eventually("its server has ended", lambda: not alive(before))
    reason = tenant.until_reason("it was")
    assert reason.isprintable(), repr(reason)
