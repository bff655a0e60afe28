"""``howdah system rotate-key``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from howdah.cli.options import JsonOption, StateOption
from howdah.cli.output import note, show_json
from howdah.cli.state import own_store, state_directory


def key_file(state: Path) -> Path:
    """Where the keys of the secrets are, for the control plane of that directory and for us."""
    from howdah.control.paths import secrets_key_file
    from howdah.security.sealing import ENVIRONMENT_VARIABLE

    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or secrets_key_file(state))


def rotate_key(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Seal all stored secrets with a new key, and forget the old one. A server may run meanwhile.

    Backups from before need the key file from before: each backup has its own.
    """
    from howdah.control.paths import store_file
    from howdah.control.rotation import rotate
    from howdah.security.sealing import KeyFile
    from howdah.store.store import Store

    own_store(directory := state_directory(state))
    file = key_file(directory)
    with Store(store_file(directory)) as store:
        done = asyncio.run(rotate(store, KeyFile(file)))
    if as_json:
        show_json({"keyId": done.key_id, "secrets": done.secrets, "keyFile": str(file)})
        return
    note(f"{done.secrets} {'secret is' if done.secrets == 1 else 'secrets are'} sealed with the key {done.key_id} now")
