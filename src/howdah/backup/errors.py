"""What can be wrong with an archive. Each sentence says what, and what can still be restored where that is known."""

from __future__ import annotations

from howdah.domain.errors import BadRequest, HowdahError, Unavailable


class BackupError(HowdahError):
    """The archive cannot give what it was asked for."""


class StoreError(BackupError, Unavailable):
    """The archive is out of reach for now: trying again may help."""


class NotRestorableError(BackupError, BadRequest):
    """The moment is outside of what can be restored, or in a gap."""


class ForeignError(BackupError):
    """The archive has the backups of another database: nothing of this one may come among them."""


class DamageError(BackupError, BadRequest):
    """Something in the archive is missing or not what was put there."""
