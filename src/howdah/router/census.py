"""What the workers of a router know of each other's connections, in memory that they share.

Each worker writes its own part only, so that none waits for another; all read all parts. A part begins with two
numbers, how many clients its worker has and how many places have been used so far; then come places, one for each
routed connection, empty (zeros) or

    \\1 <client> \\2 <server's host> \\3 <server's port> \\4

What is read while its worker writes it may be half of a record: it is taken for none.
"""

from __future__ import annotations

import mmap
import re
import struct

from howdah.domain.routes import Address

_NUMBERS = struct.Struct("II")
_PLACE = 96
"""Bytes of a place: two IPv6 addresses, a port and four marks, rounded up."""
_EMPTY = bytes(_PLACE)
_SERVER = rb"\x02([^\x00-\x04]+)\x03([0-9]+)\x04"


class Census:
    """Made before the workers are. ``connections``: how many one worker may have at most."""

    def __init__(self, workers: int, connections: int) -> None:
        self.workers = workers
        self._size = -(-(_NUMBERS.size + _PLACE * connections) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, workers * self._size)

    def seat(self, worker: int) -> Seat:
        return Seat(self, worker)

    def forget(self, worker: int) -> None:
        """What a worker that is no more has written."""
        self.write(worker, 0, bytes(self._used(worker) * _PLACE))
        self.note(worker, 0, 0)

    def all_clients(self) -> int:
        return sum(self.clients(worker) for worker in range(self.workers))

    def clients(self, worker: int) -> int:
        return _NUMBERS.unpack_from(self._memory, worker * self._size)[0]

    def note(self, worker: int, clients: int, used: int) -> None:
        _NUMBERS.pack_into(self._memory, worker * self._size, clients, used)

    def places(self, worker: int) -> bytes:
        """All that have been used, as they are at this moment."""
        start = worker * self._size + _NUMBERS.size
        return self._memory[start : start + self._used(worker) * _PLACE]

    def write(self, worker: int, place: int, record: bytes) -> None:
        start = worker * self._size + _NUMBERS.size + place * _PLACE
        self._memory[start : start + len(record)] = record

    def _used(self, worker: int) -> int:
        return _NUMBERS.unpack_from(self._memory, worker * self._size)[1]


class Seat:
    """One worker's part, and its view of the others'."""

    def __init__(self, census: Census, worker: int) -> None:
        self._census = census
        self._worker = worker
        self._others = [other for other in range(census.workers) if other != worker]
        self._clients = self._used = 0
        self._free: list[int] = []

    def note_clients(self, count: int) -> None:
        self._clients = count
        self._census.note(self._worker, count, self._used)

    def others_clients(self) -> int:
        return sum(map(self._census.clients, self._others))

    def enter(self, client: str, server: Address) -> int:
        """Shows a connection to all; the place by which ``leave`` takes it away."""
        if self._free:
            place = self._free.pop()
        else:
            place, self._used = self._used, self._used + 1
        record = b"\1%b%b" % (client.encode(), _server(server))
        self._census.write(self._worker, place, record[:_PLACE])
        self._census.note(self._worker, self._clients, self._used)
        return place

    def leave(self, place: int) -> None:
        self._census.write(self._worker, place, _EMPTY)
        self._free.append(place)

    def others_servers(self, client: str) -> set[Address]:
        """The servers to which ``client`` is connected through other workers."""
        wanted = re.compile(b"\1%b%b" % (re.escape(client.encode()), _SERVER))
        return {
            (host.decode(), int(port))
            for other in self._others
            for host, port in wanted.findall(self._census.places(other))
        }

    def others_load(self, server: Address) -> int:
        """How many connections others have to ``server``."""
        return sum(self._census.places(other).count(_server(server)) for other in self._others)


def _server(server: Address) -> bytes:
    return b"\2%b\3%d\4" % (server[0].encode(), server[1])
