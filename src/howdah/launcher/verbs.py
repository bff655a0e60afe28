"""The verbs: all that is done with more rights than the control plane's own. Each checks what it is given.

As root the arguments come from a process that faces the network: an instance's id gives the paths, its uid must be one
of the range, and no verb runs a command, writes a file or signals a process of the caller's choice as root.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from howdah.domain.instances import Instance
from howdah.launcher import homes, look, removal, wal
from howdah.launcher.confinement import Confinement
from howdah.launcher.files import replace_file
from howdah.launcher.hosts import HostsBlock
from howdah.launcher.layout import Layout
from howdah.launcher.limits import Limits
from howdah.launcher.rights import Rights
from howdah.launcher.servers import Servers, Started

LONGEST_LOG = 64 * 1024
LONGEST_NOTE = 4096
_LABELS = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+")


class Verbs:
    """Safe to call from several threads; the caller sees to it that nothing is done twice at a time to one instance."""

    def __init__(self, layout: Layout, rights: Rights, hosts: Path, *, domain: str = "localhost") -> None:
        """``domain``: below which instances have the names that ``hosts`` may get."""
        self._layout = layout
        self._rights = rights
        self._confinement = Confinement(layout.state, rights)
        self._servers = Servers(layout, rights, self._confinement)
        self._domain = domain.lower()
        self._hosts = HostsBlock(hosts, owner=layout.state)
        self.table: dict[str, Callable[..., Any]] = {
            verb.__name__: verb
            for verb in (
                *(
                    self.look,
                    self.pid_file,
                    self.shut_down_at,
                    self.last_ran,
                    self.read_wal,
                    self.find_servers,
                    self.exit_status,
                    self.read_log,
                    self.homes,
                ),
                *(
                    self.prepare,
                    self.place,
                    self.configure,
                    self.note,
                    self.set_aside,
                    self.start,
                    self.forget_recovery,
                    self.discard_data,
                    self.signal,
                    self.kill_all,
                    self.write_wal,
                ),
                *(self.delete, self.delete_leftover, self.remove_empty, self.tidy_sockets),
                *(self.keep_hosts, self.open_router, self.hold_again),
            )
        }

    def look(self, instance: Instance, watched: int | None) -> look.Look:
        return look.look(self._layout, self._rights, self._checked(instance), watched)

    def pid_file(self, instance: Instance) -> bytes:
        """The instance's postmaster.pid."""
        paths = self._layout.of(self._checked(instance))
        return look.read_pid_file(paths, self._rights, instance)

    def find_servers(self, instances: Sequence[Instance]) -> list[tuple[Instance, int, int]]:
        return list(look.find_servers(self._layout, self._rights, [self._checked(one) for one in instances]))

    def hold_again(self, instances: Sequence[Instance], peers: Sequence[Sequence[int]]) -> None:
        self._confinement.hold_again([self._checked(one) for one in instances], [_ports(its) for its in peers])

    def exit_status(self, pid: int) -> int | None:
        return self._servers.exit_status(pid)

    def read_log(self, instance: Instance) -> tuple[bytes, bytes]:
        return look.read_log(self._layout, self._rights, self._checked(instance), LONGEST_LOG)

    def homes(self) -> list[removal.Home]:
        return removal.homes(self._layout)

    def prepare(self, instance: Instance) -> bool:
        """Make the instance's directories; whether it still needs a clone. What is there and is no data directory was
        emptied before it was recorded: it goes."""
        homes.make_home(self._layout, self._rights, self._checked(instance))
        paths = self._layout.of(instance)
        removal.discard_rest(self._rights, paths)
        if not paths.initialised.exists() and not homes.is_database(paths, self._rights.owner(instance.uid)):
            removal.discard_data(self._layout, self._rights, instance)
        return not paths.data.exists() and not paths.incoming.exists()

    def place(self, instance: Instance, clone: str | None, version: str) -> None:
        homes.place(self._layout, self._rights, self._checked(instance), clone, version)

    def configure(self, instance: Instance, files: Mapping[str, bytes]) -> None:
        homes.write_configuration(self._layout.of(self._checked(instance)), instance, files)

    def note(self, instance: Instance, applied: bytes) -> None:
        """Keep a note of what took effect."""
        if len(applied) > LONGEST_NOTE:
            raise ValueError("a note is short")
        replace_file(self._layout.of(self._checked(instance)).applied, applied, mode=0o600)

    def start(
        self,
        instance: Instance,
        version: str,
        settings: Sequence[str],
        environment: Mapping[str, str],
        limits: Mapping[str, Any],
        storage_gib: int,
        recovering: bool,
        standby: bytes | None,
        peers: Sequence[int],
    ) -> Started:
        """``standby``: the password that it comes to its primary with; None for one that is no standby. ``peers``:
        ports of other servers that it may connect to."""
        if not set(environment) <= {"LC_ALL", "TZ"}:
            raise ValueError("only a locale and a time zone are given to servers")
        confined = self._confinement.hold(self._checked(instance), Limits(**limits), storage_gib, _ports(peers))
        return self._servers.start(
            instance,
            version,
            settings,
            environment=environment,
            confined=confined,
            recovering=recovering,
            standby=standby,
        )

    def forget_recovery(self, instance: Instance) -> None:
        self._servers.forget_recovery(self._checked(instance))

    def discard_data(self, instance: Instance) -> None:
        """Delete the data of an instance, to be made anew. Raises OSError, also while a process of it is left."""
        if not self._servers.kill_all(self._checked(instance)):
            raise TimeoutError("the server's processes do not end")
        removal.discard_data(self._layout, self._rights, instance)

    def set_aside(self, instance: Instance, aside: bool) -> bool:
        owner = self._rights.owner(self._checked(instance).uid)
        return homes.set_aside(self._layout.of(instance), owner, aside=aside)

    def shut_down_at(self, instance: Instance) -> int | None:
        return look.shut_down_at(self._layout, self._rights, self._checked(instance))

    def last_ran(self, instance: Instance) -> tuple[bool, int] | None:
        return look.last_ran(self._layout, self._rights, self._checked(instance))

    def read_wal(self, instance: Instance, number: int, offset: int, most: int) -> tuple[str, bytes] | None:
        """Of a server that has ended."""
        owner = self._rights.owner(self._checked(instance).uid)
        return wal.read_wal(self._layout.of(instance).data, owner, int(number), int(offset), int(most))

    def write_wal(self, instance: Instance, name: str, offset: int, content: bytes) -> None:
        """For a standby that receives nothing any more."""
        owner = self._rights.owner(self._checked(instance).uid)
        wal.write_wal(self._layout.of(instance).data, owner, name, int(offset), content)

    def signal(self, instance: Instance, pid: int, started: int, number: int) -> None:
        self._servers.signal(self._checked(instance), Started(pid, started), number)

    def kill_all(self, instance: Instance) -> bool:
        return self._servers.kill_all(self._checked(instance))

    def delete(self, instance: Instance) -> None:
        removal.delete_instance(self._layout, self._rights, self._checked(instance))
        self._confinement.release(instance)

    def delete_leftover(self, service: str, name: str) -> None:
        removal.delete_leftover(self._layout, self._rights, service, name)

    def remove_empty(self, service: str) -> None:
        with contextlib.suppress(OSError):
            removal.remove_empty(self._layout.services / removal.checked(service))

    def tidy_sockets(self) -> list[str]:
        return removal.tidy_sockets(self._layout, self._rights)

    def open_router(self, ports: Sequence[int]) -> str | None:
        """Let instances connect to the router; why they can connect to everything else too, None when they cannot."""
        return self._confinement.open_router([int(port) for port in ports])

    def keep_hosts(self, address: str, names: Sequence[str]) -> None:
        """Keep these names, and no others of ours, in the system's hosts file. Raises OSError."""
        for name in names:
            labels = name.removesuffix(self._domain)
            if labels == name or not _LABELS.fullmatch(labels):
                raise ValueError(f"{name!r} is not a name below {self._domain}")
        self._hosts.replace(_address(address), names)

    def _checked(self, instance: Instance) -> Instance:
        self._rights.check(instance.uid)
        return instance


def _ports(said: Sequence[int]) -> list[int]:
    ports = [int(port) for port in said]
    if not all(0 < port < 65536 for port in ports):
        raise ValueError(f"{ports} are no ports")
    return ports


def _address(said: str) -> str:
    try:
        return str(ip_address(said))
    except ValueError:
        raise ValueError(f"{said!r} is not an address") from None
