"""SIGHUP to a router."""

from __future__ import annotations

import signal

from fixtures.server import eventually

from router.router_process import RouterProcess


def renew(router: RouterProcess) -> None:
    """Returns when the new program listens."""
    assert router.process is not None
    before = router.status()
    router.process.send_signal(signal.SIGHUP)
    eventually("a new program has taken over", lambda: router.status()["started_at"] != before["started_at"])
    assert (router.status()["pid"], router.status()["port"]) == (before["pid"], before["port"])
