"""Log lines of the server, on stderr: for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.types import Processor


class Unfailing:
    """Where log lines go. One that cannot be written (a full disk, a reader that went away) is lost: no request and
    no pass fails for it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def set_up_logs(*, level: int = logging.INFO) -> None:
    """For structlog and for libraries that use the standard library's logging, alike."""
    terminal = sys.stderr.isatty()
    time_format = "%H:%M:%S" if terminal else "iso"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt=time_format, utc=not terminal, key="time"),
    ]
    if terminal:
        last: list[Processor] = [structlog.dev.ConsoleRenderer(timestamp_key="time", pad_event_to=0)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
