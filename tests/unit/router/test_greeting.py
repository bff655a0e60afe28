from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.router.test_clienthello import hello_of_openssl
from unit.router.test_startup import CANCEL, STARTUP, packet

from howdah.router.greeting import Cancel, Hello, Refused, greeting
from howdah.router.startup import GSSENC_REQUEST, SSL_REQUEST, Alert, fatal, fatal_alert, fatal_of_old

HELLO = hello_of_openssl("a.example", ["postgresql"])
Outcome = Hello | Cancel | Refused | None


def talk(*received: bytes) -> tuple[bytes, Outcome]:
    """All that is answered, and the outcome (None: it waits for more)."""
    steps, answers = greeting(), b""
    next(steps)
    for data in received:
        try:
            answers += steps.send(data)
        except StopIteration as end:
            return answers, end.value
    return answers, None


def test_an_ssl_request_is_accepted_and_the_hello_routed():
    assert talk(SSL_REQUEST, HELLO) == (b"S", Hello("a.example", HELLO, direct=False))


def test_a_gss_request_is_declined_and_tls_goes_on():
    assert talk(GSSENC_REQUEST, SSL_REQUEST, HELLO) == (b"NS", Hello("a.example", HELLO, direct=False))


def test_direct_tls_is_routed_when_the_client_says_postgresql():
    assert talk(HELLO) == (b"", Hello("a.example", HELLO, direct=True))


@pytest.mark.parametrize("protocols", [[], ["h2"]])
def test_direct_tls_without_the_protocol_is_refused(protocols: list[str]):
    refused = Refused(fatal_alert(Alert.NO_APPLICATION_PROTOCOL), "direct TLS without ALPN 'postgresql'")
    assert talk(hello_of_openssl("a.example", protocols)) == (b"", refused)


def test_a_hello_without_a_name_is_refused():
    refused = Refused(fatal_alert(Alert.UNRECOGNIZED_NAME), "a ClientHello without server name (SNI)")
    assert talk(SSL_REQUEST, hello_of_openssl(None, [])) == (b"S", refused)


@pytest.mark.parametrize(("request_bytes", "kind"), [(SSL_REQUEST, "SSL"), (GSSENC_REQUEST, "GSSAPI encryption")])
def test_bytes_sent_before_the_answer_are_refused(request_bytes: bytes, kind: str):
    message = f"received unencrypted data after {kind} request"
    assert talk(request_bytes + HELLO) == (b"", Refused(fatal("08P01", message), message))


@pytest.mark.parametrize("second", [GSSENC_REQUEST])
def test_a_request_is_answered_once(second: bytes):
    answers, outcome = talk(GSSENC_REQUEST, second)
    assert answers == b"N"
    assert isinstance(outcome, Refused)
    assert b"C0A000\0Munsupported frontend protocol 1234.5680" in outcome.answer


def test_a_second_ssl_request_is_not_a_hello():
    answers, outcome = talk(SSL_REQUEST, SSL_REQUEST)
    assert answers == b"S"
    assert outcome == Refused(fatal_alert(Alert.DECODE_ERROR), "record type 0 is not a handshake record")


@pytest.mark.parametrize("before", [[], [GSSENC_REQUEST]])
def test_a_startup_message_without_tls_learns_what_to_do(before: list[bytes]):
    _, outcome = talk(*before, STARTUP)
    assert isinstance(outcome, Refused)
    assert b"SFATAL\0" in outcome.answer
    assert b"C28000\0" in outcome.answer
    assert b"sslmode=require" in outcome.answer


def test_a_protocol_that_no_server_speaks_is_named_in_words_that_its_client_reads():
    sentence = "unsupported frontend protocol {}.0: server supports 3.0 and later"
    assert talk(packet(2 << 16)) == (b"", Refused(fatal_of_old(sentence.format(2)), "protocol 2.0"))
    assert talk(packet(4 << 16)) == (b"", Refused(fatal("0A000", sentence.format(4)), "protocol 4.0"))


def test_a_startup_message_without_its_end_is_refused_as_by_postgres():
    sentence = "invalid startup packet layout: expected terminator as last byte"
    assert talk(packet(3 << 16, b"user\0x")) == (b"", Refused(fatal("08P01", sentence), sentence))


def test_a_cancel_request_is_kept_whole():
    assert talk(CANCEL[:5], CANCEL[5:]) == (b"", Cancel(CANCEL))


def test_garbage_gets_no_answer():
    assert talk(b"GET / HTTP/1.1\r\n\r\n") == (b"", Refused(b"", "invalid length of startup packet"))


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=80), st.sampled_from([SSL_REQUEST, GSSENC_REQUEST, HELLO]))))
def test_no_client_can_make_it_fail(received: list[bytes]):
    talk(*received)
