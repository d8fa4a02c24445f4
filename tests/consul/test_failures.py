"""What each failure means: told apart by status and text, and each with a step that helps."""

from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.consul.failures import (
    is_elsewhere,
    is_refusal,
    is_undone,
    is_unknown_token,
    missing_rule,
    status_error,
    unreachable,
)
from discovery.errors import ConsulError

LACKS = "Permission denied: token with AccessorID '0a' lacks permission '%s'"
ELSEWHERE = "rate limit exceeded, try again later or against a different server"
LEADER_ONLY = "rate limit exceeded for operation that can only be performed by the leader, try again later"


def failed(status: int, text: str = "", *, page: bool = False) -> ConsulError:
    return status_error(status, text, "consul:8500", "list the nodes", page=page)


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (500, "No cluster leader", "no-leader"),
        (500, "rpc error making call: No cluster leader", "no-leader"),
        (500, "rpc error getting client: failed to get conn: No known Consul servers", "no-leader"),
        (500, "Raft leader not found in server lookup mapping", "no-leader"),
        (500, "rpc error making call: Not ready to serve consistent reads", "no-leader"),
        (500, "leadership lost while committing log", "no-leader"),
        (500, "node is not the leader", "no-leader"),
        (500, "No path to datacenter", "failed"),
        (500, "", "failed"),
        (400, "Invalid index", "failed"),
        (405, "method PUT not allowed", "failed"),
        (429, ELSEWHERE, "rate-limited"),
        (429, "", "rate-limited"),
        (429, "Your IP is issuing too many concurrent connections, please rate limit your calls\n", "rate-limited"),
        (503, LEADER_ONLY, "rate-limited"),
        (503, "", "failed"),
        (403, "Permission denied", "denied"),
        (403, "ACL not found", "denied"),
        (403, "Endpoint is blocked by agent configuration", "denied"),
        (401, "ACL support disabled", "denied"),
        (500, "rpc error making call: Permission denied", "denied"),
        (413, "Transaction contains too many operations (129 > 128)", "too-large"),
        (404, "Query not found", "not-found"),
        (409, "", "conflict"),
        (502, "", "unreachable"),
        (504, "upstream request timeout", "unreachable"),
        (301, "", "unusable"),
        (307, "", "unusable"),
        (204, "", "unusable"),
    ],
)
def test_a_failure_has_its_reason(status: int, text: str, reason: str) -> None:
    error = failed(status, text)
    assert (error.reason, error.status) == (reason, status)
    assert error.next_step
    assert "consul:8500" in str(error)
    assert "list the nodes" in str(error)


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "unusable"), (404, "unusable"), (429, "unusable"), (503, "unreachable")]
)
def test_a_page_is_of_a_proxy(status: int, reason: str) -> None:
    """It says nothing of our rights, and nothing of what Consul holds."""
    assert failed(status, "<html>No</html>", page=True).reason == reason


@given(st.integers(100, 599), st.text(max_size=5_000), st.booleans())
def test_any_answer_is_an_error_that_can_be_read(status: int, text: str, page: bool) -> None:
    error = failed(status, text, page=page)
    assert error.reason in {
        "unreachable", "no-leader", "rate-limited", "denied", "too-large", "conflict", "not-found", "unusable",
        "failed",
    }  # fmt: skip
    assert str(error).isprintable()
    assert len(str(error)) < 1500


# What to do


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (LACKS % "service:write" + ' on "web"', 'service "web" { policy = "write" }'),
        (LACKS % "node:read" + ' on "k8s-prod--n1.eu"', 'node "k8s-prod--n1.eu" { policy = "read" }'),
        (LACKS % "key:write" + ' on "bridge/prod/leader"', 'key "bridge/prod/leader" { policy = "write" }'),
        (LACKS % "acl:read", 'acl = "read"'),
        (LACKS % "operator:write" + ". And more", 'operator = "write"'),
        ("Permission denied", ""),
        (LACKS % "x\n:y", ""),
    ],
)
def test_a_refusal_says_which_rule_is_missing(text: str, rule: str) -> None:
    assert missing_rule(text) == rule
    if rule:
        assert failed(403, text).next_step == f"Allow it with an ACL policy that holds {rule}"


def test_a_token_that_is_unknown_is_told_apart_from_one_that_may_not() -> None:
    assert is_unknown_token(failed(403, "ACL not found"))
    assert is_unknown_token(failed(403, "rpc error making call: ACL not found: token does not exist"))
    assert not is_unknown_token(failed(403, LACKS % "service:write"))
    assert not is_unknown_token(failed(500, "ACL not found"))
    assert "Renew the token" in str(failed(403, "ACL not found"))
    assert "auth method" in failed(403, 'ACL not found: auth method "none" not found').next_step
    assert "enable ACLs" in str(failed(401, "ACL support disabled"))


def test_too_many_connections_are_told_apart_from_too_many_requests() -> None:
    text = "Your IP is issuing too many concurrent connections, please rate limit your calls"
    assert "http_max_conns_per_client" in failed(429, text).next_step
    assert "http_max_conns_per_client" not in failed(429, ELSEWHERE).next_step


def test_a_refusal_of_an_operation_is_known_by_its_text() -> None:
    assert is_refusal("Permission denied")
    assert is_refusal("ACL not found")
    assert not is_refusal("index is stale")


@pytest.mark.parametrize(
    ("error", "elsewhere", "undone"),
    [
        (failed(429, ELSEWHERE), True, True),
        (failed(503, LEADER_ONLY), False, False),
        (failed(500, "No cluster leader"), True, True),
        (failed(500, "leadership lost while committing log"), True, False),
        (failed(502), True, False),
        (failed(403), False, False),
        (failed(500, "EOF"), False, False),
    ],
)
def test_another_server_is_asked_where_it_may_know_better(error: ConsulError, elsewhere: bool, undone: bool) -> None:
    assert (is_elsewhere(error), is_undone(error)) == (elsewhere, undone)


def caused(cause: BaseException) -> ConsulError:
    error = unreachable("consul:8500", cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "undone"),
    [
        (aiohttp.ClientConnectorError(None, OSError(111, "refused")), True),  # type: ignore[arg-type]
        (aiohttp.ConnectionTimeoutError("slow"), True),
        (aiohttp.SocketTimeoutError("slow"), False),
        (aiohttp.ServerDisconnectedError(), False),
        (aiohttp.ClientOSError(104, "reset"), False),
        (TimeoutError(), False),
    ],
)  # fmt: skip
def test_a_write_is_sent_again_only_where_it_never_arrived(cause: Any, undone: bool) -> None:
    error = caused(cause)
    assert error.reason == "unreachable"
    assert (is_elsewhere(error), is_undone(error)) == (True, undone)
