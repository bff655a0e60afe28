"""``howdah env``."""

from __future__ import annotations

import shlex

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import show_json
from howdah.cli.state import read_credentials, state_directory


def env(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Credentials of the first organization, for your shell: eval "$(howdah env)"."""
    credentials = read_credentials(state_directory(state))
    if as_json:
        show_json(credentials)
        return
    for name, value in credentials.items():
        print(f"export {name}={shlex.quote(value)}")
