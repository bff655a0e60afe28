"""A network of the test's own: this machine's rules stay as they are."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Generator

CLONE_NEWNET = 0x40000000
HERE = ("192.0.2.1", "2001:db8::1")
THERE = ("192.0.2.2", "2001:db8::2", "203.0.113.7")
"""Another machine's addresses."""
METADATA = ("169.254.169.254", "168.63.129.16", "fd00:ec2::254", "fe80::a9fe:a9fe%here")
"""The cloud's, which that other machine has too."""
_libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _enter(namespace: int) -> None:
    _must(_libc.setns(namespace, CLONE_NEWNET))


def _new_namespace() -> int:
    """A descriptor of the namespace in which this thread now is."""
    _must(_libc.unshare(CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True)


class Network:
    """Two machines with a cable between; the test and what it starts are on the first."""

    def __init__(self) -> None:
        self.listeners: list[socket.socket] = []
        self.here = self.there = -1

    @contextlib.contextmanager
    def plugged_in(self) -> Generator[Network]:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.there = _new_namespace()
            self.here = _new_namespace()
            _ip("link add here type veth peer name there")
            _ip(f"link set there netns /proc/{os.getpid()}/fd/{self.there}")
            for address in HERE:
                _address(address, "here")
            _up("here")
            _ip("route add default via 192.0.2.2")
            _ip("-6 route add default via 2001:db8::2")
            _enter(self.there)
            for address in (*THERE, *METADATA):
                _address(address.partition("%")[0], "there")
            _up("there")
            _enter(self.here)
            yield self
        finally:
            _enter(home)
            for listener in self.listeners:
                listener.close()
            for namespace in (home, self.here, self.there):
                if namespace >= 0:
                    os.close(namespace)

    def listen(self, address: str, port: int) -> None:
        self._bind(socket.SOCK_STREAM, address, port).listen()

    def receive(self, address: str, port: int) -> None:
        """Be there for datagrams."""
        self._bind(socket.SOCK_DGRAM, address, port)

    def listen_there(self, address: str, port: int) -> None:
        _enter(self.there)
        try:
            self.listen(address.replace("%here", "%there"), port)
        finally:
            _enter(self.here)

    def from_there(self) -> socket.socket:
        """A client on the other machine, not connected yet."""
        _enter(self.there)
        try:
            return socket.socket()
        finally:
            _enter(self.here)

    def _bind(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        family, _, _, _, place = socket.getaddrinfo(address, port, type=kind)[0]
        listener = socket.socket(family, kind)
        self.listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        return listener


def _address(address: str, device: str) -> None:
    _ip(f"addr add {address}/{'64 nodad' if ':' in address else '24'} dev {device}")


def _up(device: str) -> None:
    _ip("link set lo up")
    _ip(f"link set {device} up")


_CONNECT = """
import errno, socket, sys
kind, address, port, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
family, kind, _, _, place = socket.getaddrinfo(address, port, type=getattr(socket, kind))[0]
with socket.socket(family, kind) as client:
    client.settimeout(20)
    if source:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((source.rpartition(":")[0], int(source.rpartition(":")[2])))
    try:
        client.connect(place)
        if kind == socket.SOCK_DGRAM:
            client.send(b"x")
            client.setblocking(False)
            client.recv(1)
    except BlockingIOError:
        pass
    except OSError as error:
        sys.exit(errno.errorcode.get(error.errno, repr(error)))
"""


def as_user(uid: int, *command: str) -> list[str]:
    """A command with the rights of a service."""
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--no-new-privs", *command]


def connect(uid: int, address: str, port: int, *, kind: str = "SOCK_STREAM", source: str = "") -> str:
    """What a process of ``uid`` gets there: "" for a connection (or a datagram that left), else the error's name."""
    done = subprocess.run(
        as_user(uid, sys.executable, "-I", "-c", _CONNECT, kind, address, str(port), source),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
    )
    return done.stderr.strip()


_ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], int(sys.argv[2])), family=family) as server:
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        with client:
            while got := client.recv(1000):
                client.sendall(got)
"""


@contextlib.contextmanager
def echo_server(uid: int, address: str, port: int) -> Generator[None]:
    """A server of ``uid`` that says back what it hears."""
    command = as_user(uid, sys.executable, "-I", "-c", _ECHO, address, str(port))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()
