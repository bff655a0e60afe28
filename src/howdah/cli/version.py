"""``howdah version``."""

from __future__ import annotations

import platform

from howdah import __version__
from howdah.cli.options import JsonOption
from howdah.cli.output import show_json


def version(as_json: JsonOption = False) -> None:
    """The version of this Howdah and of the Postgres that it brings."""
    from howdah.engines.local.binaries import KNOWN

    postgres = {str(major): full for major, full in KNOWN.items()}
    if as_json:
        show_json({"howdah": __version__, "postgres": postgres, "python": platform.python_version()})
        return
    print(f"howdah {__version__} (Postgres {', '.join(postgres.values())}; Python {platform.python_version()})")
