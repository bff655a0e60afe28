"""``howdah env``."""

from __future__ import annotations

import shlex

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import show_json
from howdah.cli.state import AUTHORITY, authority_of, read_credentials, state_directory


def env(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Credentials of the first organization, for your shell: eval "$(howdah env)"."""
    directory = state_directory(state)
    credentials = read_credentials(directory)
    authority = authority_of(directory) if credentials["API_URL"].startswith("https:") else None
    if authority is not None:
        credentials |= {AUTHORITY: str(authority)}
    if as_json:
        show_json(credentials)
        return
    for name, value in credentials.items():
        print(f"export {name}={shlex.quote(value)}")
