from __future__ import annotations

import json
import time

from howdah.engines.local.last_words import last_words


def log_line(severity: str, message: str, *, ago: float = 0, backend: str = "postmaster") -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000 UTC", time.gmtime(time.time() - ago))
    return json.dumps({"timestamp": stamp, "error_severity": severity, "message": message, "backend_type": backend})


def log(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def test_the_servers_own_last_fatal_is_the_reason() -> None:
    logged = log(
        log_line("FATAL", "first"),
        log_line("FATAL", "lock file is empty", backend="postmaster"),
        log_line("FATAL", "role x does not exist", backend="client backend"),
        log_line("LOG", "shutting down"),
    )
    assert last_words(logged, b"", 1.0) == "lock file is empty"


def test_what_an_earlier_server_said_is_not_the_reason() -> None:
    assert last_words(log(log_line("FATAL", "old", ago=3600)), b"", 1.0) is None


def test_before_the_log_is_open_the_reason_is_in_what_the_process_printed() -> None:
    printed = b"2026-01-01 00:00:00 UTC [7] FATAL:  could not load library\n"
    assert last_words(b"", printed, 1.0) == "could not load library"
