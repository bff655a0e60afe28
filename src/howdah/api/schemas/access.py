"""Organizations, their keys, and who did what."""

from __future__ import annotations

from howdah.api.schemas.terms import (
    BOOLEAN,
    MOMENT,
    SERVICE_ID,
    TEXT,
    UUID,
    Schema,
    array,
    choice,
    described,
    record,
    reference,
)
from howdah.domain.activities import ActivityType, ActorType, KeyUpdate, Outcome
from howdah.domain.organizations import KeyState, Role

_KEY = record(
    {
        "id": UUID,
        "name": TEXT,
        "state": choice(KeyState),
        "roles": array(choice(Role)),
        "assignedRoles": array(
            record({"roleId": UUID, "roleName": TEXT, "roleType": {"const": "system"}}),
        ),
        "keySuffix": described(TEXT, "The last 4 characters of the secret; keyIdSuffix for a key made with hashData"),
        "createdAt": MOMENT,
        "expireAt": {"anyOf": [MOMENT, {"type": "null"}]},
        "usedAt": described(MOMENT, "To the minute"),
        "ipAccessList": described(
            array(record({"source": TEXT, "description": TEXT}, optional=("description",))), "From where it may be used"
        ),
    },
    optional=("usedAt",),
)

_ORGANIZATION = record(
    {
        "id": UUID,
        "createdAt": MOMENT,
        "name": TEXT,
        "privateEndpoints": described(array({"type": "object"}), "There are none"),
        "byocConfig": described(array({"type": "object"}), "There is none"),
        "enableCoreDumps": BOOLEAN,
    }
)

_ACTIVITY = record(
    {
        "id": TEXT,
        "createdAt": MOMENT,
        "type": choice(ActivityType),
        "actorType": choice(ActorType),
        "actorId": described(TEXT, "The id of the API key, or the name of the user of the command line"),
        "actorDetails": described(TEXT, "The name of the key, or the command"),
        "actorIpAddress": TEXT,
        "organizationId": UUID,
        "serviceId": SERVICE_ID,
        "userAgent": TEXT,
        "targetKeyId": described(UUID, "The key that it is about"),
        "keyUpdateType": choice(KeyUpdate),
        "outcome": choice(Outcome),
        "changes": described(TEXT, "What was done, in words; or why not"),
    },
    optional=("actorIpAddress", "serviceId", "userAgent", "targetKeyId", "keyUpdateType"),
)

ACCESS: dict[str, Schema] = {
    "Organization": _ORGANIZATION,
    "Activity": _ACTIVITY,
    "ApiKey": _KEY,
    "ApiKeyPostResponse": record(
        {
            "key": reference("ApiKey"),
            "keyId": described(TEXT, "Not with hashData"),
            "keySecret": described(TEXT, "Shown now and never again; not with hashData"),
        },
        optional=("keyId", "keySecret"),
    ),
}
