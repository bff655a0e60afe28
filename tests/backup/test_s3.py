"""An S3-compatible store keeps the same promises as a directory."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from howdah.backup.archive import Archive, open_archive
from howdah.backup.errors import DamageError, StoreError
from howdah.backup.packing import Packing
from howdah.backup.wal import SEGMENT_BYTES
from howdah.domain.backups import BackupKind, BaseBackup, Gap
from howdah.domain.ids import TimelineId
from howdah.domain.settings import BackupSettings
from howdah.security.certificates import bundle, issue, new_roots

BUCKET = "backups"
SECRET = "the-secret-access-key"
NAME = "000000010000000000000003"
MOMENT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.put(f"{url}/{BUCKET}").raise_for_status()
    yield url
    server.stop()


def opened(endpoint: str, tmp_path: Path, archive: str = f"s3://{BUCKET}/fleet/one", **more: object) -> Archive:
    settings = BackupSettings(archive, endpoint, s3_access_key="key", s3_secret_key=SECRET, **more)  # type: ignore[arg-type]
    return open_archive(settings, tmp_path)


def test_wal_comes_back_whole_and_growing(endpoint: str, tmp_path: Path):
    timeline = opened(endpoint, tmp_path).timeline(TimelineId.new())
    content = os.urandom(20_000).ljust(SEGMENT_BYTES, b"\0")
    (tmp_path / NAME).write_bytes(content)
    assert timeline.put_partial(NAME, tmp_path / NAME, Packing())
    assert [one.partial for one in timeline.wal()] == [True]
    assert timeline.fetch_wal(NAME, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    timeline.put_wal(NAME, tmp_path / NAME)
    assert [one.partial for one in timeline.wal()] == [False]
    assert not timeline.fetch_wal("0000000100000000000000FF", tmp_path / "other")


def test_a_base_backup_counts_with_its_facts_and_its_damage_is_found(endpoint: str, tmp_path: Path):
    timeline = opened(endpoint, tmp_path).timeline(TimelineId.new())
    (tmp_path / "taken").mkdir()
    # More than one part of an upload.
    (tmp_path / "taken/base.tar.zst").write_bytes(content := os.urandom(12 * 1024 * 1024))
    done = timeline.put_base(backup(), tmp_path / "taken")
    assert timeline.bases() == [done]
    timeline.fetch_base(done, "base.tar.zst", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    httpx.put(f"{endpoint}/{BUCKET}/fleet/one/{timeline.id}/base/{done.name}/base.tar.zst", content=b"x")
    with pytest.raises(DamageError, match=r"base\.tar\.zst is damaged"):
        timeline.fetch_base(done, "base.tar.zst", tmp_path / "back")


def test_archives_of_one_bucket_do_not_see_each_other(endpoint: str, tmp_path: Path):
    one, other = (opened(endpoint, tmp_path, f"s3://{BUCKET}/{prefix}") for prefix in ("apart/one", "apart/other"))
    mine = TimelineId.new()
    one.timeline(mine).describe({"service": "pg"})
    one.timeline(mine).note_gap(Gap(MOMENT, None, "the slot was dropped"))
    assert one.timelines() == [mine]
    assert one.timeline(mine).gaps() == [Gap(MOMENT, None, "the slot was dropped")]
    assert other.timelines() == []
    other.timeline(mine).remove()
    assert one.timeline(mine).facts() == {"service": "pg"}
    one.timeline(mine).remove()
    assert one.timelines() == []


@pytest.mark.parametrize(
    ("asked", "headers"),
    [
        ("AES256", {"x-amz-server-side-encryption": "AES256"}),
        (
            "aws:kms:key-1",
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1"},
        ),
    ],
)
def test_the_encryption_that_was_asked_for_is_asked_of_the_store(tmp_path: Path, asked: str, headers: dict[str, str]):
    with listening() as (url, seen):
        opened(url, tmp_path, s3_encryption=asked).timeline(TimelineId.new()).describe({"service": "pg"})
    assert headers.items() <= seen[0].items()


def test_a_store_of_an_own_ca_is_trusted_by_its_file_only(tmp_path: Path):
    roots = new_roots("store", now := datetime.now(UTC))
    leaf = issue(roots, service="store", hostnames=["localhost"], now=now)
    ca, server = tmp_path / "ca.pem", tmp_path / "server.pem"
    ca.write_text(bundle(roots))
    server.write_text(leaf.key + leaf.chain)
    with listening(server) as (url, seen):
        with pytest.raises(StoreError, match="UnknownIssuer"):
            opened(url, tmp_path).timeline(TimelineId.new()).describe({"service": "pg"})
        assert seen == []
        # A process reads its CA files once: what trusts this one is another.
        put = (
            "import sys, pathlib, test_s3; from howdah.domain.ids import TimelineId\n"
            "archive = test_s3.opened(sys.argv[1], pathlib.Path(sys.argv[2]), s3_ca_file=pathlib.Path(sys.argv[3]))\n"
            "archive.timeline(TimelineId.new()).describe({'service': 'pg'})"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        subprocess.run([sys.executable, "-c", put, url, str(tmp_path), str(ca)], env=environment, check=True)
        assert len(seen) == 1


def test_a_store_out_of_reach_is_said_without_its_secret(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    archive = opened(f"http://127.0.0.1:{port}", tmp_path)
    with pytest.raises(StoreError, match=r"the archive cannot write .*timeline\.json.*Connection refused") as refused:
        archive.timeline(TimelineId.new()).describe({"service": "pg"})
    assert SECRET not in str(refused.value)


def test_a_bucket_that_is_not_there_is_said(endpoint: str, tmp_path: Path):
    archive = opened(endpoint, tmp_path, "s3://nobodys/fleet")
    with pytest.raises(StoreError, match="the archive cannot write"):
        archive.timeline(TimelineId.new()).describe({"service": "pg"})


@contextmanager
def listening(certificate: Path | None = None) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A store that takes everything; yields its URL and the headers of what came."""
    seen: list[dict[str, str]] = []

    class Store(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append(dict(self.headers))
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            scheme = "http" if certificate is None else "https"
            yield f"{scheme}://{'127.0.0.1' if certificate is None else 'localhost'}:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def backup() -> BaseBackup:
    return BaseBackup(
        name="20261125T093000Z-full", kind=BackupKind.FULL, parent=None, postgres="18.6.0", system_identifier=7,
        started_at=MOMENT, finished_at=MOMENT, start_lsn="0/3000028", stop_lsn="0/3000100", wal_timeline=1,
        stored_bytes=0, data_bytes=30, files={}, tablespaces={},
    )  # fmt: skip
