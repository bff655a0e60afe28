"""Services of Howdah with standbys."""

from __future__ import annotations

from typing import Any

import httpx
from fixtures.server import Server

from standbys.cluster import LONGEST, MEMBERS
from standbys.writer import wait


class Howdah:
    """One service."""

    period = 1.0

    def __init__(self, server: Server, ha_type: str, *, version: str, **fields: Any) -> None:
        self.server = server
        self.ha_type = ha_type
        created = server.create(name=ha_type, haType=ha_type, postgresVersion=version, **fields)
        self.id: str = created["id"]
        self.target: str = created["connectionString"]
        wait(f"{ha_type}: all members", self.well, within=LONGEST)

    def about(self, what: str) -> Any:
        answer = self.server.client.get(f"/v1/howdah/services/{self.id}/{what}")
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def primary(self) -> tuple[str, int]:
        (name,) = (one["id"] for one in self.about("members")["members"] if one["role"] == "primary")
        pidfile = self.server.state / "services" / self.id / name / "data" / "postmaster.pid"
        return name, int(pidfile.read_text().splitlines()[0])

    def well(self) -> bool:
        try:
            primary, *standbys = self.about("members")["members"] or [None]
        except httpx.TransportError:
            return False
        if primary is None or primary["state"] != "running" or self.server.get(self.id)["state"] != "running":
            return False
        return len(standbys) == MEMBERS.get(self.ha_type, 1) - 1 and all(
            one["state"] == "streaming" and one["canTakeOver"] and (one["acknowledges"] or self.ha_type != "sync")
            for one in standbys
        )

    def switch_over(self) -> None:
        self.server.call("PATCH", f"/{self.id}/state", {"command": "switchover"})

    def resize(self, size: str) -> None:
        self.server.call("PATCH", f"/{self.id}", {"size": size})

    def last_change(self) -> dict[str, Any]:
        """Its own record of the newest change of its primary."""
        return self.about("members")["primaryChanges"][0]
