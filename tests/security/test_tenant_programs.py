"""A tenant is a superuser, so it can run programs. What they reach ends at its own OS user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.server import alive, eventually, open_files, programs_of
from security.tenants import PYTHON, Ground, Tenant, needs_own_users

from howdah.launcher.processes import pids_of_user

pytestmark = needs_own_users

OPEN_EACH = 'for file in {files}; do ( : {how} "$file" ) 2>/dev/null && echo "$file"; done; true'


def things_of_others(ground: Ground) -> list[Path]:
    """Files and directories of Howdah's and of the neighbour's, each of which is there."""
    state, neighbour = ground.server.state, ground.neighbour
    public = ("postgres", "templates", "router.json")  # programs, what initdb makes, the router's port
    found = [path for path in state.iterdir() if path.name not in public]
    found += list((state / "router").iterdir())
    found += [neighbour.data, neighbour.data / "PG_VERSION", neighbour.data / "base", neighbour.log]
    found += [path for folder in ("conf", "tls") for path in (neighbour.home / folder).iterdir()]
    for pid in ground.processes.values():
        found += [Path(f"/proc/{pid}/{name}") for name in ("environ", "mem", "maps", "fd", "root/etc", "cwd/.", "auxv")]
    assert state / "secrets.key" in found
    assert neighbour.home / "tls" / "server.pem" in found
    return found


def test_a_program_has_the_rights_of_its_service_alone(tenant: Tenant) -> None:
    said = tenant.shell("cat /proc/self/status")
    status = {name: value.split() for name, _, value in (line.partition(":") for line in said.text.splitlines())}
    assert status["Uid"] == status["Gid"] == [str(tenant.uid)] * 4
    assert (status["Groups"], status["NoNewPrivs"], status["CapPrm"]) == ([], ["1"], ["0" * 16])


@pytest.mark.fault(
    what="As superuser: programs, `pg_read_file`, `lo_import` that read files of Howdah's, of another service, or of"
    " their processes",
    then="Each is refused by the system; keys, store and routes belong to the user howdah, data to its own service",
)
def test_nothing_of_howdah_or_of_another_service_can_be_read(ground: Ground, tenant: Tenant) -> None:
    things = things_of_others(ground)
    files = " ".join(map(str, things))
    assert tenant.shell(OPEN_EACH.format(files=files, how="<")) == (0, "")
    assert tenant.shell(f"ls {ground.server.state}").status == 2
    with tenant.connect() as session:
        for path in things:
            for call in ("pg_read_binary_file(%s)", "lo_import(%s)", "pg_ls_dir(%s)"):
                with pytest.raises(Exception, match=r"denied|[Nn]ot a directory"):
                    session.execute(f"SELECT {call}", [str(path)])  # pyright: ignore[reportArgumentType]


@pytest.mark.fault(
    what="As superuser: programs, `lo_export`, `COPY TO` that write to files of Howdah's or of another service, or put"
    " something in their place",
    then="Each is refused by the system",
)
def test_nothing_of_howdah_or_of_another_service_can_be_written(ground: Ground, tenant: Tenant) -> None:
    things = [path for path in things_of_others(ground) if not path.is_dir()]
    state, home = ground.server.state, tenant.home
    files = " ".join([*map(str, things), str(state / "new"), str(home / "new"), "/etc/hosts", "/run/howdah/new"])
    assert tenant.shell(OPEN_EACH.format(files=files, how=">>")) == (0, "")
    for attempt in (
        f"mv {state}/secrets.key /tmp/",
        f"rm -rf {state}/routes.json",
        f"mv {home}/data {home}/gone",
        f"mv {home} /tmp/",
        f"ln -s {ground.neighbour.data} {home}/link",
        f"rm -rf {home}/log && ln -s {state} {home}/log",
        f"rmdir {home}/conf",
        f"chmod 777 {home}",
    ):
        assert tenant.shell(attempt).status != 0, attempt
    with tenant.connect() as session:
        session.execute("SELECT lo_from_bytea(4242, 'mine')")
        for path in things:
            with pytest.raises(Exception, match="denied"):
                session.execute("SELECT lo_export(4242, %s)", [str(path)])
            with pytest.raises(Exception, match="denied"):
                session.execute(f"COPY (SELECT 1) TO '{path}'")  # pyright: ignore[reportArgumentType]
    tenant.restarted()


REACH_PROCESSES = """
import ctypes, os, resource, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

def must(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")

def read_memory(pid):
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    buffer = ctypes.create_string_buffer(8)
    here, there = Vector(ctypes.addressof(buffer), 8), Vector(0x400000, 8)
    must(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))

attempts = {
    "attach": lambda pid: must(libc.ptrace(16, pid, None, None)),
    "seize": lambda pid: must(libc.ptrace(0x4206, pid, None, None)),
    "read memory": read_memory,
    "take a file": lambda pid: must(libc.syscall(438, os.pidfd_open(pid), 0, 0)),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "affinity": lambda pid: os.sched_setaffinity(pid, {0}),
    "limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)),
    "stop": lambda pid: os.kill(pid, 19),
    "kill": lambda pid: os.kill(pid, 9),
}
for pid in map(int, sys.argv[1:]):
    for name, attempt in attempts.items():
        try:
            attempt(pid)
            print("done:", name, pid)
        except PermissionError:
            pass
print("tried")
"""


@pytest.mark.fault(
    what="As superuser: ptrace, memory, files, signals and limits of Howdah's processes and another service's",
    then="Each is refused by the kernel",
)
def test_no_other_process_can_be_reached(ground: Ground, tenant: Tenant) -> None:
    assert tenant.python(REACH_PROCESSES, *ground.processes.values()) == (0, "tried\n")


@pytest.mark.fault(
    what="As superuser: `kill -9 -1`, every process that it may signal",
    then="Its own server ends and is started again; nobody else's does",
)
def test_killing_everything_kills_its_own_server_which_comes_back(
    tenant: Tenant, measured: Callable[[str, float], None]
) -> None:
    before = tenant.server.postmaster(tenant.id)
    tenant.shell_that_ends_its_server("kill -9 -1")
    eventually("its server has ended", lambda: not alive(before))
    began = time.monotonic()
    assert tenant.sql("SELECT 1") == [(1,)]
    measured("until the first answer", time.monotonic() - began)
    tenant.until_running()


def test_becoming_somebody_else_fails(ground: Ground, tenant: Tenant) -> None:
    """no_new_privs: programs with the setuid bit have none; a user namespace gives rights inside it only."""
    for attempt in (
        "su -c id",
        "mount -t tmpfs none /mnt",
        "chown 0 /tmp/. ",
        "python3 -c 'import os; os.setuid(0)'",
        f"unshare -Ur cat {ground.server.state}/secrets.key",
        f"unshare -Ur cat {ground.neighbour.home}/tls/server.pem",
    ):
        said = tenant.shell(attempt)
        assert said.status != 0, (attempt, said.text)


SURVIVOR = "setsid sh -c 'cd /; trap \"\" HUP TERM INT QUIT; while :; do sleep 1000; done' >/dev/null 2>&1 &"


@pytest.mark.fault(
    what="As superuser: processes that leave their session and ignore signals",
    then="They end with the server that they belong to, at a restart and at a delete",
)
def test_a_process_that_left_its_session_ends_with_its_server(tenant: Tenant) -> None:
    for end in (tenant.restarted, tenant.delete):
        assert tenant.shell(f"for i in 1 2 3; do {SURVIVOR}\ndone").status == 0
        shells = eventually("they run", lambda: strangers(tenant))
        end()
        assert [pid for pid in shells if alive(pid)] == []
    tenant.server.wait_until_gone(tenant.id)
    tenant.__dict__ |= Tenant(tenant.server, tenant.server.running()).__dict__  # one that the fixture can delete


def strangers(tenant: Tenant) -> list[int]:
    """Shells and other programs of the tenant's user."""
    names = programs_of(pids_of_user(tenant.uid))
    return [pid for pid, name in names.items() if name in ("sh", "python3")]


LITTER = """
import ctypes, os, socket
os.makedirs("/tmp/of-a-tenant/deep", 0o700)
for path in ("/tmp/of-a-tenant/deep/file", "/var/tmp/of-a-tenant", "/dev/shm/of-a-tenant"):
    open(path, "w").write("mine")
os.chmod("/tmp/of-a-tenant/deep", 0)
socket.socket(socket.AF_UNIX).bind("/tmp/of-a-tenant/socket")
os.mkfifo("/dev/shm/of-a-tenant-fifo")
libc = ctypes.CDLL(None, use_errno=True)
for made in (libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)):
    assert made >= 0, os.strerror(ctypes.get_errno())
assert ctypes.CDLL("librt.so.1").mq_open(b"/of-a-tenant", os.O_CREAT | os.O_RDWR, 0o600, None) < 0
"""


@pytest.mark.fault(
    what="As superuser: files in /tmp, /var/tmp and /dev/shm, a tablespace in /tmp, System V memory, semaphores and"
    " queues, left behind",
    then="Deleted with the service",
)
def test_what_it_leaves_on_the_machine_is_deleted_with_it(tenant: Tenant) -> None:
    assert tenant.python(LITTER) == (0, "")
    tenant.shell("mkdir /tmp/of-a-tenant-tablespace")
    tenant.sql(
        "CREATE TABLESPACE outside LOCATION '/tmp/of-a-tenant-tablespace'", "CREATE TABLE t () TABLESPACE outside"
    )
    assert len(tenant.left()) >= 9, tenant.left()


def test_files_of_others_beside_its_litter_stay(ground: Ground) -> None:
    """It can hard link, rename and link to what is not its own, where the system lets it."""
    tenant = ground.new_tenant()
    ours = Path("/tmp") / f"not-a-tenants-{os.getpid()}"
    ours.mkdir(mode=0o755)
    try:
        (ours / "file").write_text("ours")
        (ours / "open").mkdir()
        (ours / "open").chmod(0o777)
        tenant.shell(
            f"ln -s {ours} /tmp/of-a-tenant-link; echo mine >{ours}/open/mine; mkdir {ours}/open/deep;"
            f" ln -s {ours}/file {ours}/open/deep/link; ln {ours}/file {ours}/open/deep/hard"
        )
        assert (ours / "open" / "mine").exists()
        tenant.delete()
        assert (ours / "file").read_text() == "ours"
        assert list((ours / "open").iterdir()) == []
        assert tenant.left() == []
    finally:
        subprocess.run(["rm", "-rf", str(ours)], check=True)


@pytest.mark.long
@pytest.mark.fault(
    what="As superuser: a fork bomb",
    then="It ends at the service's limit of processes; others do not notice, and a restart ends it",
)
def test_a_fork_bomb_ends_with_a_restart(ground: Ground, tenant: Tenant) -> None:
    bomb = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.5)"
    tenant.shell(f"setsid {PYTHON} -c '{bomb}' >/dev/null 2>&1 &")
    eventually("the bomb has gone off", lambda: len(pids_of_user(tenant.uid)) > 300)
    ground.check()
    tenant.restart()
    tenant.until_running(within=120)
    eventually("only Postgres is left", lambda: strangers(tenant) == [])


def test_memory_ends_for_a_program_and_a_query_before_it_ends_for_the_machine(tenant: Tenant) -> None:
    """What is asked for is never touched: memory is only promised here."""
    said = tenant.python(
        f"try: bytearray({os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')})\nexcept MemoryError: print('no')"
    )
    assert said == (0, "no\n")


def test_no_process_of_it_has_a_file_open_that_is_not_its_own(tenant: Tenant) -> None:
    """What it could write through an inherited descriptor would be nobody's quota."""
    foreign: list[str] = []
    for pid in pids_of_user(tenant.uid):
        for handle, target in open_files(pid).items():
            if not target.startswith("/") or target.startswith(("/dev/", "/proc/")):
                continue
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile, or its process has ended
                facts = os.stat(f"/proc/{pid}/fd/{handle}")
                flags = int(Path(f"/proc/{pid}/fdinfo/{handle}").read_text().split()[3], 8)
                if facts.st_uid != tenant.uid and flags & os.O_ACCMODE != os.O_RDONLY:
                    foreign.append(target)
    assert foreign == []


def test_stopped_processes_of_it_do_not_stop_a_restart(tenant: Tenant) -> None:
    postmaster = tenant.server.postmaster(tenant.id)
    tenant.shell(f"kill -STOP {postmaster}")
    eventually(
        "it is stopped", lambda: Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    )
    tenant.restart()
    eventually("its server has ended", lambda: not alive(postmaster), within=100)
    tenant.until_running()
