"""Drills of a service: begun, and what they have found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.responses import Response

from howdah.api.call import Call
from howdah.api.rendering import exact_timestamp, timestamp
from howdah.domain.drills import ComparedTable, DrillProgress, DrillResult


async def begin_drill(call: Call) -> Response:
    began = await call.plane.backups.drill(call.organization, call.service, call.act(_begun))
    return call.success(_begun(began))


async def get_drills(call: Call) -> Response:
    found = await call.plane.backups.drills(call.organization, call.service)
    return call.success(
        {
            "underWay": None if found.under_way is None else _progress(found.under_way),
            "nextAt": None if found.next_at is None else timestamp(found.next_at),
            "drills": [_result(result) for result in found.results],
        }
    )


def _begun(at: datetime) -> dict[str, str]:
    return {"startedAt": timestamp(at)}


def _progress(found: DrillProgress) -> dict[str, Any]:
    return {
        "startedAt": timestamp(found.started_at),
        "doing": found.doing,
        "percent": round(found.done * 100),
        "problem": found.problem,
    }


def _result(found: DrillResult) -> dict[str, Any]:
    return {
        "startedAt": timestamp(found.started_at),
        "finishedAt": timestamp(found.finished_at),
        "ok": found.ok,
        "problems": list(found.problems),
        "backups": list(found.chain),
        "restoredUntil": None if found.until is None else exact_timestamp(found.until),
        "restoredLsn": found.lsn,
        "dataBytes": found.data_bytes,
        "checksumsChecked": found.checksums,
        "relationsChecked": found.relations,
        "tablesCompared": [_table(table) for table in found.tables],
        "notCompared": found.not_compared,
    }


def _table(found: ComparedTable) -> dict[str, Any]:
    return {
        "database": found.database,
        "table": found.table,
        "restoredRows": found.restored,
        "leastRows": found.least,
        "mostRows": found.most,
    }
