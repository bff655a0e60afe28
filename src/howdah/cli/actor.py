"""Who is at the command line, as activities tell of it."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from howdah.domain.activities import Actor


def this_user(command: str) -> Actor:
    """To be asked before root becomes another user. ``command``: what was typed, without anything secret."""
    from howdah.domain.activities import Actor, ActorType

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    behind = os.environ.get("SUDO_USER") if uid == 0 else None
    return Actor(ActorType.USER, f"{name} (sudo by {behind})" if behind else name, f"howdah {command}")
