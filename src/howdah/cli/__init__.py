"""The command line. Only here anything is printed. Exit status: 0 done, 1 it did not work, 2 a wrong command line."""

from __future__ import annotations

from howdah.cli.memory import lasting, leave_memory


def main() -> None:
    """The program ``howdah``."""
    with lasting():
        from howdah.cli.app import run
    try:
        run()
    finally:
        leave_memory()
