"""What keeps services apart from each other and from the machine."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from howdah.cli.checks.finding import Finding, fail, ok, warn
from howdah.domain.settings import Settings


def check_isolation(settings: Settings) -> Iterator[Finding]:
    if os.geteuid() != 0:
        advice = "give services to people who trust each other, or start as root: then each has an OS user of its own"
        yield warn("isolation", "single-tenant: an ordinary user runs all services as itself", advice)
        return
    yield _uids(settings)
    yield _system_user()
    if shutil.which("setpriv"):
        yield ok("no_new_privs", "servers are started with it (setpriv)")
    else:
        yield fail("no_new_privs", "setpriv is missing", "apt-get install util-linux")
    yield _cgroups()
    yield _nftables()


def _uids(settings: Settings) -> Finding:
    name = "OS users"
    first, last = map(int, settings.postgres.uids.split("-"))
    taken = [user.pw_name for user in pwd.getpwall() if first <= user.pw_uid <= last]
    if taken:
        advice = "choose another range: postgres.uids"
        return fail(name, f"{settings.postgres.uids} has users of this system in it: {', '.join(taken[:5])}", advice)
    return ok(name, f"each service has its own, of {settings.postgres.uids}")


def _system_user() -> Finding:
    try:
        user = pwd.getpwnam("howdah")
    except KeyError:
        advice = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin howdah"
        return warn("system user", "there is no user howdah; the router runs as root", advice)
    return ok("system user", f"the router runs as howdah (uid {user.pw_uid})")


def _cgroups() -> Finding:
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.exists() and os.access("/sys/fs/cgroup", os.W_OK):
        return ok("cgroup v2", f"here ({controllers.read_text().strip()}); limits by it are not built yet")
    return warn("cgroup v2", "not here or not writable", "nothing yet: limits by it are not built")


def _nftables() -> Finding:
    advice = "until egress rules are built: keep cloud metadata addresses from this machine's users by a firewall"
    said = "nft is here" if shutil.which("nft") else "nft is not here"
    return warn("egress rules", f"{said}; rules by OS user are not built yet", advice)
