from __future__ import annotations

import json
import os
import time
from pathlib import Path

from howdah.engines.local.last_words import last_words
from howdah.engines.local.layout import InstancePaths


def paths_in(top: Path) -> InstancePaths:
    paths = InstancePaths(top, top / "sockets")
    paths.log.mkdir()
    paths.conf.mkdir()
    return paths


def log_line(severity: str, message: str, *, ago: float = 0, backend: str = "postmaster") -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000 UTC", time.gmtime(time.time() - ago))
    return json.dumps({"timestamp": stamp, "error_severity": severity, "message": message, "backend_type": backend})


def write_log(paths: InstancePaths, *lines: str) -> None:
    (paths.log / time.strftime("postgres-%a.json", time.gmtime())).write_text("\n".join(lines) + "\n")


def test_the_servers_own_last_fatal_is_the_reason(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    write_log(
        paths,
        log_line("FATAL", "first"),
        log_line("FATAL", "lock file is empty", backend="postmaster"),
        log_line("FATAL", "role x does not exist", backend="client backend"),
        log_line("LOG", "shutting down"),
    )
    assert last_words(paths, os.geteuid(), 1.0) == "lock file is empty"


def test_what_an_earlier_server_said_is_not_the_reason(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    write_log(paths, log_line("FATAL", "old", ago=3600))
    assert last_words(paths, os.geteuid(), 1.0) is None


def test_before_the_log_is_open_the_reason_is_in_what_the_process_printed(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.startup_log.write_text("2026-01-01 00:00:00 UTC [7] FATAL:  could not load library\n")
    assert last_words(paths, os.geteuid(), 1.0) == "could not load library"


def test_a_link_in_the_tenants_log_directory_is_not_followed(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    target = tmp_path / "elsewhere"
    target.write_text(log_line("FATAL", "secret") + "\n")
    (paths.log / time.strftime("postgres-%a.json", time.gmtime())).symlink_to(target)
    assert last_words(paths, os.geteuid(), 1.0) is None
