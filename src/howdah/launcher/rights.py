"""Who is who: us, the system user that does our work, and the users of instances."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

SYSTEM_USER = "howdah"
SOCKET = "_HOWDAH_LAUNCHER"
"""The environment variable that names the socket to a launcher beside this process."""

SETPRIV = "/usr/bin/setpriv"


@dataclass(frozen=True, slots=True)
class Rights:
    """privileged: we are root, so that each instance can have a uid of its own, one of ``uids``.
    operator, group: the uid and gid of the control plane, which owns clones and connects to the servers.
    """

    privileged: bool
    operator: int
    group: int
    uids: range

    @staticmethod
    def in_process(uids: range) -> Rights:
        """Those of a control plane that is its own launcher."""
        return Rights(os.geteuid() == 0, os.geteuid(), os.getegid(), uids)

    def check(self, uid: int | None) -> None:
        """Raises ValueError when ``uid`` is not one that an instance can have here."""
        if (uid is not None) != self.privileged or (uid is not None and uid not in self.uids):
            raise ValueError(f"uid {uid} is not one of an instance")

    def owner(self, uid: int | None) -> int:
        """The uid that an instance's processes and files have."""
        return os.geteuid() if uid is None else uid

    def becoming(self, uid: int | None) -> list[str]:
        """What begins a command that runs as an instance's user."""
        return [] if uid is None else becoming(uid, uid)


def becoming(uid: int, gid: int) -> list[str]:
    """What begins a command that runs as another user, without a way back."""
    if uid == 0 or gid == 0:
        raise ValueError("nothing is started as root for somebody else")
    return [
        *(SETPRIV, "--reuid", str(uid), "--regid", str(gid), "--clear-groups"),
        *("--no-new-privs", "--inh-caps=-all", "--"),
    ]


def is_divided() -> bool:
    """Whether this process has a launcher with root's rights beside it."""
    return SOCKET in os.environ


def system_user() -> pwd.struct_passwd | None:
    """The user that does what needs no rights of root; None when this system has none."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
