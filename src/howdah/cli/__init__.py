"""The command line. Only here anything is printed. Exit status: 0 done, 1 it did not work, 2 a wrong command line."""

from __future__ import annotations


def main() -> None:
    """The program ``howdah``."""
    from howdah.cli.app import run

    run()
