"""Connections through the router to real servers: every way to start one, and the ways to be refused."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading

import psycopg
import pytest

from howdah.domain.routes import Route, RouteState
from howdah.router.startup import GSSENC_REQUEST, SSL_REQUEST
from router.raw_client import ask_for_tls, client_hello, dial, read_to_end, startup, tls_context
from router.router_process import RouterProcess, route_to
from router.tls_postgres import Postgres


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_a_client_reaches_the_server_that_its_host_name_stands_for(
    router: RouterProcess, postgres_17: Postgres, postgres_18: Postgres, negotiation: str
):
    router.routes(route_to(postgres_17), route_to(postgres_18))
    router.start()
    for server, version in ((postgres_17, 17), (postgres_18, 18)):
        options = {"sslnegotiation": negotiation, "channel_binding": "require"}
        with psycopg.connect(router.dsn(server.names[0], **options)) as connection:
            assert connection.info.server_version // 10000 == version
            tls = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            assert tls == ("TLSv1.3",)


def test_the_certificate_that_a_client_verifies_is_the_servers(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    options = {"sslmode": "verify-full", "sslrootcert": str(postgres_18.data / "server.crt")}
    for name in postgres_18.names:
        with psycopg.connect(router.dsn(name, **options)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("program", ["system", "bundled"])
def test_psql_connects(router: RouterProcess, postgres_18: Postgres, program: str):
    router.routes(route_to(postgres_18))
    router.start()
    found = shutil.which("psql") if program == "system" else postgres_18.programs.program("psql")
    if found is None:
        pytest.skip("no psql on this system")
    env = dict(os.environ) if program == "system" else postgres_18.programs.environment
    command = [found, "-XAtc", "SELECT 'reached'", router.dsn(postgres_18.names[0], channel_binding="require")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("reached\n", "", 0)


def test_names_are_compared_without_case(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with psycopg.connect(router.dsn(postgres_18.names[0].upper())) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_an_unknown_name_is_refused_in_words_of_tls(router: RouterProcess, postgres_18: Postgres, negotiation: str):
    router.routes(route_to(postgres_18))
    router.start()
    with pytest.raises(psycopg.OperationalError, match="unrecognized name"):
        psycopg.connect(router.dsn("nobody.localhost", sslnegotiation=negotiation))


def test_a_client_without_a_name_is_refused_in_words_of_tls(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with pytest.raises(psycopg.OperationalError, match="unrecognized name"):
        psycopg.connect(router.dsn(postgres_18.names[0], sslsni="0"))


def test_a_client_without_tls_learns_what_to_do(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(router.dsn(postgres_18.names[0], sslmode="disable"))
    assert "FATAL:  this server accepts TLS connections only; connect with sslmode=require" in str(refused.value)


def test_direct_tls_for_another_protocol_is_refused(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with dial(router.port) as sock:
        sock.sendall(client_hello(postgres_18.names[0], protocols=("h2",)))
        assert read_to_end(sock) == bytes.fromhex("15030300020278")


def test_bytes_sent_before_the_answer_to_an_ssl_request_are_refused(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with dial(router.port) as sock:
        sock.sendall(SSL_REQUEST + client_hello(postgres_18.names[0]))
        answer = read_to_end(sock)
    assert answer.startswith(b"E")
    assert b"C08P01\0Mreceived unencrypted data after SSL request\0" in answer


def test_a_gss_request_is_declined_and_tls_follows(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    context = tls_context(postgres_18.data / "server.crt")
    with dial(router.port) as sock:
        sock.sendall(GSSENC_REQUEST)
        assert sock.recv(1) == b"N"
        sock.sendall(SSL_REQUEST)
        assert sock.recv(1) == b"S"
        with context.wrap_socket(sock, server_hostname=postgres_18.names[0]) as tls:
            tls.sendall(startup(3 << 16, b"user\0postgres\0\0"))
            assert tls.recv(1) == b"R"


def test_a_hello_that_comes_byte_by_byte_is_routed(router: RouterProcess, postgres_18: Postgres):
    router.routes(route_to(postgres_18))
    router.start()
    with ask_for_tls(router.port) as sock:
        for byte in client_hello(postgres_18.names[0]):
            sock.send(bytes([byte]))
        assert sock.recv(1) == b"\x16"  # the server's handshake record


def test_garbage_is_closed_without_an_answer(router: RouterProcess):
    router.start()
    with dial(router.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_to_end(sock) == b""


def test_a_server_without_tls_is_an_error_of_the_service(router: RouterProcess):
    def decline(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(8) == SSL_REQUEST
            accepted.sendall(b"N")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=decline, args=(listener,))
        thread.start()
        router.routes(Route("s", ("plain.localhost",), (listener.getsockname(),), RouteState.OPEN))
        router.start("--hold-seconds", "0.3")
        with pytest.raises(psycopg.OperationalError, match="internal error"):
            psycopg.connect(router.dsn("plain.localhost"))
        thread.join()
    assert "the server answered b'N' to an SSLRequest" in router.log_file.read_text()
