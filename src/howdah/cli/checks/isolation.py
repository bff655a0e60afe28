"""What keeps services apart from each other and from the machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Iterator

from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.cli.processes import control_plane, servers
from howdah.domain.settings import Settings
from howdah.launcher import egress
from howdah.launcher.processes import uid_of
from howdah.launcher.protections import missing
from howdah.launcher.rights import SYSTEM_USER, system_user

REQUIRED = "postgres.require asks for it, so howdah serve refuses to start"


def check_isolation(settings: Settings) -> Iterator[Finding]:
    absent = missing(settings.state)
    privileged = os.geteuid() == 0
    if not privileged:
        advice = "give services to people who trust each other, or start as root: then each has an OS user of its own"
        yield _judged("isolation", settings, set(absent), "single-tenant: an ordinary user runs all services", advice)
    if reason := absent.get("limits"):
        advice = "until then one service can take all processes, files and memory"
        yield _judged("resource limits", settings, {"limits"}, reason, advice)
    else:
        bounded = "processes of each server, and open files and memory of each of those, are bounded"
        yield ok("resource limits", bounded if privileged else "open files and memory of each process are bounded")
    if privileged:
        yield from _of_root(settings, absent)


def _of_root(settings: Settings, absent: dict[str, str]) -> Iterator[Finding]:
    yield _uids(settings)
    yield _launcher(settings)
    if shutil.which("setpriv"):
        yield ok("no_new_privs", "servers cannot gain rights (setpriv)")
    else:
        yield fail("no_new_privs", "setpriv is missing", "apt-get install util-linux")
    if reason := absent.get("egress"):
        advice = "until then services can connect to every port of this machine, and to cloud metadata"
        yield _judged("egress rules", settings, {"egress"}, reason, advice)
    else:
        yield from _unguarded(settings)
    if reason := absent.get("cgroups"):
        advice = "until then the memory of a service is bounded by process only"
        yield _judged("control groups", settings, {"cgroups"}, reason, advice)
    else:
        yield ok("control groups", "processes and memory of each service are bounded together")
    if reason := absent.get("quota"):
        advice = "until then one service can fill the disk for all"
        yield _judged("disk quota", settings, {"quota"}, reason, advice)
    else:
        yield ok("disk quota", "each service is bounded to the storage of its size")


def _judged(check: str, settings: Settings, protections: set[str], said: str, advice: str) -> Finding:
    """What lacks ``protections``."""
    if protections & set(settings.postgres.require):
        return fail(check, said, f"{REQUIRED}; {advice}")
    return warn(check, said, advice)


def _uids(settings: Settings) -> Finding:
    name = "OS users"
    first, last = map(int, settings.postgres.uids.split("-"))
    taken = [user.pw_name for user in pwd.getpwall() if first <= user.pw_uid <= last]
    if taken:
        advice = "choose another range: postgres.uids"
        return fail(name, f"{settings.postgres.uids} has users of this system in it: {', '.join(taken[:5])}", advice)
    return ok(name, f"each service has its own, of {settings.postgres.uids}")


def _launcher(settings: Settings) -> Finding:
    """Whether what faces the network has no rights of root."""
    name, user = "launcher", system_user()
    pid = control_plane(settings.state)
    if pid is not None and uid_of(pid) == 0:
        return fail(name, f"the control plane (pid {pid}) runs as root itself", "start it again: howdah serve")
    if user is None:
        return ok(name, f"howdah serve makes the user {SYSTEM_USER}, and keeps root's rights to one small process")
    return ok(name, f"API and router run as {SYSTEM_USER} (uid {user.pw_uid}); one small process keeps root's rights")


def _unguarded(settings: Settings) -> Iterator[Finding]:
    """A firewall that is loaded anew may throw away our rules with its own."""
    name, running, guarded = "egress rules", dict[int, str](), set[int]()
    for server in servers(settings.state):
        with contextlib.suppress(OSError):
            running[uid_of(server.pid)] = server.service
    with contextlib.suppress(OSError):
        guarded = egress.guarded()
    if free := sorted(service for uid, service in running.items() if uid not in guarded):
        advice = "something has removed the rules (nft flush ruleset?); restarting these services brings them back"
        yield warn(name, f"{len(free)} servers run without them: {', '.join(free[:5])}", advice)
    else:
        yield ok(name, "services reach themselves, the router and other machines, but no cloud metadata (nftables)")
