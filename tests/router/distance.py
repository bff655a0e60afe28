"""A machine that can be cut off: a network namespace, joined to this one by a pair of virtual interfaces."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from uuid import uuid4

CLONE_NEWNET = 0x40000000


class Distance:
    """``here`` and ``there`` are the addresses of its two ends. Raises CalledProcessError where none can be made."""

    def __init__(self) -> None:
        identity = uuid4()
        self._name = f"hw{identity.hex[:8]}"
        prefix = f"10.213.{identity.int % 256}"
        self.here, self.there = f"{prefix}.1", f"{prefix}.2"
        _run("ip", "netns", "add", self._name)
        try:
            _run("ip", "link", "add", self._name, "type", "veth", "peer", "name", "far", "netns", self._name)
            _run("ip", "addr", "add", f"{self.here}/30", "dev", self._name)
            _run("ip", "link", "set", self._name, "up")
            self._there("ip", "addr", "add", f"{self.there}/30", "dev", "far")
            self._there("ip", "link", "set", "far", "up")
        except BaseException:
            self.remove()
            raise

    def socket_there(self) -> socket.socket:
        """A TCP socket of that machine, to be used from here."""
        made: list[socket.socket] = []

        def make() -> None:
            with open(f"/run/netns/{self._name}") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.socket())

        _in_a_thread(make)
        return made[0]

    def cut(self) -> None:
        """Nothing arrives there any more, and nobody here is told."""
        for table in (
            "add table inet cut",
            "add chain inet cut in { type filter hook input priority 0; policy drop; }",
            "add chain inet cut out { type filter hook output priority 0; policy drop; }",
        ):
            self._there("nft", table)

    def remove(self) -> None:
        _run("ip", "netns", "del", self._name)

    def _there(self, *command: str) -> None:
        _run("ip", "netns", "exec", self._name, *command)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"LC_ALL": "C"})


def _in_a_thread(act: Callable[[], None]) -> None:
    """A thread of its own, because the namespace it enters is left only with it."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
