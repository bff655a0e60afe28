"""The server itself, and errors."""

from __future__ import annotations

from howdah.api.schemas.terms import BOOLEAN, INTEGER, TEXT, UUID, Schema, array, choice, described, record
from howdah.domain.organizations import ApiVersion

_ERROR = record(
    {
        "status": described(INTEGER, "The HTTP status"),
        "error": described(TEXT, "CODE: a sentence that names the field, the rule it broke and what is accepted"),
        "requestId": UUID,
    }
)

SYSTEM: dict[str, Schema] = {
    "Version": record({"howdah": TEXT, "apiVersion": choice(ApiVersion), "apiVersions": array(choice(ApiVersion))}),
    "Health": record({"healthy": BOOLEAN}),
    "Readiness": record({"ready": BOOLEAN}),
    "Error": _ERROR,
}
