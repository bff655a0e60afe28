"""What nobody could do with less: a FastAPI handler, HTTP Basic and one read by primary key from SQLite.

python bare.py FILE        says where it listens and serves until its input ends, as whole.py does
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any

import uvicorn
import uvloop
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

sys.path.insert(0, str(Path(__file__).parents[1]))
from serving.input import until_input_ends

KEY, SECRET = secrets.token_hex(10), secrets.token_hex(20)
ROW = {
    "id": "pg7myrd1j06p3gx4zrm2ze8qz6",
    "name": "my postgres",
    "provider": "aws",
    "region": "us-west-2",
    "postgresVersion": "17",
    "size": "r8gd.large",
    "storageSize": 118,
    "haType": "none",
    "hostname": "my-postgres-6d8d2e3e.pg7myrd1j06p3gx4zrm2ze8qz6.c0.us-west-2.aws.pg.localhost",
    "state": "running",
}


BASIC = HTTPBasic()


def make_app(file: Path) -> FastAPI:
    store = sqlite3.connect(file)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute(f"CREATE TABLE services (id TEXT PRIMARY KEY, {', '.join(list(ROW)[1:])})")
    store.execute(f"INSERT INTO services VALUES ({', '.join('?' * len(ROW))})", tuple(ROW.values()))
    store.commit()
    app = FastAPI()

    @app.get("/postgres/{service}")
    async def get(service: str, given: Annotated[HTTPBasicCredentials, Depends(BASIC)]) -> dict[str, Any]:
        known = secrets.compare_digest(given.username, KEY) and secrets.compare_digest(given.password, SECRET)
        if not known:
            raise HTTPException(401)
        row = store.execute("SELECT * FROM services WHERE id = ?", (service,)).fetchone()
        if row is None:
            raise HTTPException(404)
        return {"result": dict(zip(ROW, row, strict=True))}

    return app


async def serve(file: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(make_app(file), log_config=None, access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    said = {"port": listener.getsockname()[1], "auth": f"{KEY}:{SECRET}", "path": "/postgres", "id": ROW["id"]}
    print(json.dumps(said), flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until_input_ends()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
