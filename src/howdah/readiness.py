"""Telling the service manager that a process is ready (sd_notify(3)), when there is one that wants to know."""

from __future__ import annotations

import contextlib
import os
import socket


def say_ready() -> None:
    """``Type=notify``: units that are ordered after this one start now."""
    if not (where := os.environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{where[1:]}" if where.startswith("@") else where
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"READY=1", address)
