"""Our errors as httpx's: the same message, fields and cause, in a class that both kinds of handlers catch."""

import ssl

import httpx
import pytest

from discovery import errors
from discovery.integrations import httpx as integration
from discovery.integrations.httpx.errors import (
    KINDS,
    Unanswered,
    Unconnected,
    Untrusted,
    httpx_error,
    judge,
    judge_once,
    placed,
)
from discovery.retrying import Outcome


@pytest.mark.parametrize("base", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_one_of_ours_and_one_of_httpx_s(base: type[errors.DiscoveryError]) -> None:
    cause = ValueError("the cause")
    given = base("what happened", next_step="Do this")
    given.__cause__ = cause
    error = httpx_error(given)
    assert type(error) is KINDS[base] is getattr(integration, base.__name__)
    assert isinstance(error, base)
    assert isinstance(error, httpx.TransportError)
    assert (str(error), error.next_step, error.__cause__) == ("what happened. Do this", "Do this", cause)
    assert error.__dict__ == given.__dict__
    with pytest.raises(RuntimeError, match="has not been set"):
        _ = error.request
    assert httpx_error(error) is error


def test_the_fields_of_an_error_go_with_it() -> None:
    ports = httpx_error(errors.PortNotFound("no such port", ports=["80", "http"]))
    assert isinstance(ports, errors.PortNotFound)
    assert ports.ports == ("80", "http")
    exhausted = httpx_error(errors.RetriesExhausted("all failed", attempts=3))
    assert isinstance(exhausted, errors.RetriesExhausted)
    assert exhausted.attempts == 3


def test_what_asks_for_no_kind_of_httpx_s_stays_as_it_is() -> None:
    error = errors.InvalidTarget("wrong")
    assert httpx_error(error) is error


@pytest.mark.parametrize(
    ("error", "outcome", "once"),
    [
        (httpx.ConnectError(""), Outcome.UNSENT, Outcome.UNSENT),
        (httpx.ConnectTimeout(""), Outcome.UNSENT, Outcome.UNSENT),
        (Unconnected(""), Outcome.UNSENT, Outcome.UNSENT),
        (Untrusted(""), Outcome.UNSENT, Outcome.UNSENT),
        (httpx.ReadError(""), Outcome.SENT, Outcome.FINAL),
        (httpx.WriteError(""), Outcome.SENT, Outcome.FINAL),
        (httpx.CloseError(""), Outcome.SENT, Outcome.FINAL),
        (httpx.ReadTimeout(""), Outcome.SENT, Outcome.FINAL),
        (httpx.WriteTimeout(""), Outcome.SENT, Outcome.FINAL),
        (Unanswered(""), Outcome.SENT, Outcome.FINAL),
        (httpx.RemoteProtocolError(""), Outcome.SENT, Outcome.FINAL),
        (httpx.PoolTimeout(""), Outcome.FINAL, Outcome.FINAL),
        (httpx.LocalProtocolError(""), Outcome.FINAL, Outcome.FINAL),
        (httpx.UnsupportedProtocol(""), Outcome.FINAL, Outcome.FINAL),
        (httpx.ProxyError(""), Outcome.FINAL, Outcome.FINAL),
        (TimeoutError(), Outcome.FINAL, Outcome.FINAL),
        (ValueError(), Outcome.FINAL, Outcome.FINAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_error_means_for_another_attempt(error: Exception, outcome: Outcome, once: Outcome) -> None:
    assert (judge(error), judge_once(error)) == (outcome, once)


class Theirs(httpx.ConnectError):
    """Of a transport of the program's own."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{text} {number}")


def test_an_error_names_its_backend_and_keeps_its_kind() -> None:
    assert str(placed(httpx.ReadTimeout(""), "10.0.0.1:80")) == "10.0.0.1:80"
    error = placed(httpx.ConnectError("All connection attempts failed"), "10.0.0.1:80")
    assert (type(error), str(error)) == (httpx.ConnectError, "10.0.0.1:80: All connection attempts failed")
    ours = Unanswered("no answer from 10.0.0.1:80 in time")
    assert placed(ours, "10.0.0.1:80") is ours
    theirs = Theirs(7, "mine")
    assert placed(theirs, "10.0.0.1:80") is theirs
    foreign = ValueError("a bug")
    assert placed(foreign, "10.0.0.1:80") is foreign


def test_an_error_repeats_nothing_that_a_server_sent() -> None:
    error = placed(httpx.RemoteProtocolError("illegal header line: bytearray(b'Set-Cookie secret')"), "10.0.0.1:80")
    assert "secret" not in str(error)


def test_a_failed_handshake_is_told_from_a_connection_that_was_not_made() -> None:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = RuntimeError("httpcore's own")
    error.__cause__.__context__ = ssl.SSLCertVerificationError()
    real = placed(error, "10.0.0.1:443")
    assert isinstance(real, ssl.SSLError)
    assert str(real) == "10.0.0.1:443: certificate verify failed"
    refused = httpx.ConnectError("refused")
    refused.__context__ = ConnectionRefusedError()
    refused.__context__.__context__ = ssl.SSLError("of a request before, that the program is about to make good")
    assert not isinstance(placed(refused, "10.0.0.1:443"), ssl.SSLError)
