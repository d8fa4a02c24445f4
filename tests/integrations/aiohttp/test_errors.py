"""Our errors as aiohttp's: the same error, and one that aiohttp's own callers expect."""

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from discovery import errors
from discovery.integrations import aiohttp as integration
from discovery.integrations.aiohttp.errors import KINDS, Queued, Unsent, client_error, judge, judge_with_body
from discovery.retrying import Outcome

OURS: list[tuple[errors.DiscoveryError, dict[str, Any]]] = [
    (errors.NotReady("not yet", next_step="Wait"), {}),
    (errors.NoBackends("none", next_step="Look"), {}),
    (errors.ServiceNotFound("no such", next_step="Check"), {}),
    (errors.NoEndpoints("no pods", next_step="Call it by name"), {}),
    (errors.PortNotFound("no port", ports=["http=80"], next_step="It has http"), {"ports": ("http=80",)}),
    (errors.Overloaded("too many", next_step="Wait"), {}),
    (errors.DeadlineExceeded("too late", next_step="Give it more"), {}),
    (errors.RetriesExhausted("all failed", attempts=3, next_step="Look"), {"attempts": 3}),
    (errors.ConfigurationError("no kubeconfig", next_step="Name one"), {}),
]


def named(one: object) -> str:
    return "" if isinstance(one, dict | Outcome) else type(one).__name__


@pytest.mark.parametrize(("error", "fields"), OURS, ids=named)
def test_an_error_that_leaves_a_request_is_both_and_keeps_all_it_says(
    error: errors.DiscoveryError, fields: dict[str, Any]
) -> None:
    error.__cause__ = OSError("the reason")
    made = client_error(error)
    assert isinstance(made, aiohttp.ClientError)
    assert isinstance(made, errors.DiscoveryError)
    assert any(isinstance(made, kind) and isinstance(error, kind) for kind in KINDS)
    assert str(made) == str(error)
    assert made.next_step == error.next_step
    assert made.__cause__ is error.__cause__
    for name, value in fields.items():
        assert getattr(made, name) == value


def test_one_that_is_aiohttps_already_stays_itself() -> None:
    made = client_error(errors.NotReady("not yet"))
    assert client_error(made) is made


@pytest.mark.parametrize("kind", KINDS.values())
def test_none_is_of_a_kind_on_which_aiohttp_runs_the_chain_again(kind: type[Exception]) -> None:
    assert issubclass(kind, aiohttp.ClientConnectionError)
    assert not issubclass(kind, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)


@pytest.mark.parametrize("kind", KINDS)
def test_each_bears_the_name_of_the_error_that_it_is_and_is_public(kind: type[errors.DiscoveryError]) -> None:
    assert KINDS[kind].__name__ == kind.__name__
    assert KINDS[kind] is getattr(integration, kind.__name__)
    assert KINDS[kind].__bases__[0] is kind


KEY = ConnectionKey("10.0.0.1", 80, False, True, None, None, None, None)
REFUSED = ConnectionRefusedError(111, "refused")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiohttp.ClientConnectorError(KEY, REFUSED), Outcome.UNSENT),
        (aiohttp.ClientConnectorDNSError(KEY, REFUSED), Outcome.UNSENT),
        (aiohttp.ClientConnectorSSLError(KEY, REFUSED), Outcome.UNSENT),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("wrong")), Outcome.UNSENT),
        (aiohttp.ConnectionTimeoutError(), Outcome.UNSENT),
        (Queued(), Outcome.FINAL),
        (Unsent(), Outcome.UNSENT),
        (aiohttp.ClientOSError(104, "reset"), Outcome.SENT),
        (aiohttp.ClientConnectionResetError("closing"), Outcome.SENT),
        (aiohttp.ServerDisconnectedError(), Outcome.SENT),
        (aiohttp.ServerTimeoutError(), Outcome.SENT),
        (aiohttp.SocketTimeoutError(), Outcome.SENT),
        (TimeoutError(), Outcome.FINAL),
        (aiohttp.ClientPayloadError(), Outcome.FINAL),
        (aiohttp.InvalidURL("x"), Outcome.FINAL),
        (aiohttp.ClientConnectionError("Connector is closed"), Outcome.FINAL),
        (errors.NoBackends("none"), Outcome.FINAL),
        (ValueError(), Outcome.FINAL),
        (KeyboardInterrupt(), Outcome.FINAL),
    ],
    ids=named,
)
def test_what_an_error_means_for_another_attempt(error: BaseException, outcome: Outcome) -> None:
    assert judge(error) is outcome


class Body:
    def __init__(self, consumed: bool) -> None:
        self.consumed = consumed


@pytest.mark.parametrize(
    ("body", "error", "outcome"),
    [
        (Body(True), aiohttp.ServerDisconnectedError(), Outcome.FINAL),
        (Body(False), aiohttp.ServerDisconnectedError(), Outcome.SENT),
        (b"", aiohttp.ServerDisconnectedError(), Outcome.SENT),
        (Body(False), Unsent(), Outcome.UNSENT),
    ],
)
def test_a_body_that_is_used_up_ends_the_attempts(body: object, error: Exception, outcome: Outcome) -> None:
    assert judge_with_body(body, error) is outcome
