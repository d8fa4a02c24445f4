"""A transaction: every operation finds what it came to, every refusal names all that are at fault."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.consul.api import Result, TxnRefused
from discovery.consul.objects import TxnError
from discovery.consul.txn import NOTHING, read_results
from discovery.errors import ConsulError

from .server import Asked, Said, Server, reaching, refused, said


def op(kind: str, verb: str, node: str = "n1", name: str = "x") -> bytes:
    body: dict[str, Any] = {
        "Node": {"Verb": verb, "Node": {"Node": name, "Address": "10.0.0.1"}},
        "Service": {"Verb": verb, "Node": node, "Service": {"ID": name, "Service": "web"}},
        "Check": {"Verb": verb, "Check": {"Node": node, "CheckID": name}},
        "KV": {"Verb": verb, "Key": name, "Session": "s"},
    }
    return json.dumps({kind: body[kind]}).encode()


def left(kind: str, index: int, node: str = "n1", name: str = "x") -> dict[str, Any]:
    """As Consul writes it: a service without its node."""
    body: dict[str, Any] = {
        "Node": {"ID": "", "Node": name, "Address": "10.0.0.1"},
        "Service": {"ID": name, "Service": "web", "Port": 1},
        "Check": {"Node": node, "CheckID": name, "ServiceID": "web-1"},
        "KV": {"Key": name, "Value": None, "Session": "s"},
    }
    return {kind: body[kind] | {"CreateIndex": 1, "ModifyIndex": index}}


def answer(*results: Any) -> Said:
    return said({"Results": list(results) or None, "Errors": None}, index=None)


def conflict(*errors: tuple[int, str]) -> Said:
    body = {"Results": None, "Errors": [{"OpIndex": index, "What": what} for index, what in errors]}
    return said(body, index=None, status=409)


async def test_each_operation_finds_what_it_left_behind() -> None:
    operations = [
        op("KV", "check-session", name="lock"),
        op("Node", "set", name="n1"),
        op("Service", "delete-cas", node="n1", name="gone"),
        op("Service", "cas", node="n1", name="a"),
        op("Check", "cas", node="n1", name="a:ready"),
        op("Check", "delete", node="n1", name="b:ready"),
        op("Service", "set", node="n2", name="a"),
    ]
    reply = answer(
        left("KV", 3, name="lock"),
        left("Node", 4, name="n1"),
        left("Service", 5, name="a"),
        left("Check", 6, name="a:ready"),
        left("Service", 7, name="a"),
    )
    async with Server(reply) as server, reaching(server, namespace="team") as consul:
        results = await consul.transact(operations)
        assert (consul.writes, consul.requests) == (1, 1)
    assert results == (
        Result("KV", "", "lock", 3),
        Result("Node", "n1", "n1", 4),
        NOTHING,
        Result("Service", "n1", "a", 5),
        Result("Check", "n1", "a:ready", 6),
        NOTHING,
        Result("Service", "n2", "a", 7),
    )
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("PUT", "/v1/txn", (("ns", "team"),))
    assert asked.body == b"[" + b",".join(operations) + b"]"
    assert asked.headers["Content-Type"] == "application/json"


async def test_no_operation_is_no_request() -> None:
    async with Server() as server, reaching(server) as consul:
        assert await consul.transact([]) == ()
        assert (server.asked, consul.writes) == ([], 0)


async def test_deletions_alone_leave_nothing() -> None:
    async with Server(answer()) as server, reaching(server) as consul:
        assert await consul.transact([op("Service", "delete"), op("Node", "delete-cas")]) == (NOTHING, NOTHING)


@pytest.mark.parametrize(
    "results", [[], [left("Node", 1)], [left("Service", 1), left("Service", 2)], [{}], [left("KV", 1)]]
)
async def test_results_that_do_not_fit_are_never_taken_for_others(results: list[Any]) -> None:
    async with Server(answer(*results)) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.transact([op("Service", "cas")])
    assert failed.value.reason == "unusable"


KINDS = st.sampled_from(["Node", "Service", "Check", "KV"])
VERBS = st.sampled_from(["set", "cas", "delete", "delete-cas", "get"])


@given(st.lists(st.tuples(KINDS, VERBS, st.text(min_size=1), st.text(min_size=1)), max_size=128))
def test_results_are_in_the_order_of_the_operations(asked: list[tuple[str, str, str, str]]) -> None:
    operations = [op(kind, verb, node, name) for kind, verb, node, name in asked]
    lasting = [
        left(kind, index, node, name)
        for index, (kind, verb, node, name) in enumerate(asked)
        if not verb.startswith("delete")
    ]
    results = read_results(operations, msgspec.json.encode({"Results": lasting, "Errors": None}))
    assert len(results) == len(operations)
    for index, ((kind, verb, node, name), result) in enumerate(zip(asked, results, strict=True)):
        if verb.startswith("delete"):
            assert result == NOTHING
        else:
            of = {"Node": name, "KV": ""}.get(kind, node)
            assert result == Result(kind, of, name, index)  # type: ignore[arg-type]


# Refusals


async def test_a_conflict_names_every_operation_at_fault() -> None:
    stale = 'failed to set service "b" on node "n1", index is stale'
    reply = conflict((1, stale), (2, "Missing service registration"))
    async with Server(reply) as server, reaching(server) as consul:
        with pytest.raises(TxnRefused, match=r"index is stale.* and 1 more") as failed:
            await consul.transact([op("Service", "cas")] * 3)
        assert consul.writes == 1
    assert failed.value.errors == (TxnError(1, stale), TxnError(2, "Missing service registration"))
    assert (failed.value.reason, failed.value.status) == ("conflict", 409)


async def test_a_transaction_refused_by_acl_alone_is_denied_and_says_which_rule_is_missing() -> None:
    lacks = "Permission denied: token with AccessorID '0a' lacks permission 'service:write' on \"web\""
    async with Server(conflict((0, lacks), (4, lacks))) as server, reaching(server) as consul:
        with pytest.raises(TxnRefused) as failed:
            await consul.transact([op("Service", "cas")] * 5)
    assert failed.value.reason == "denied"
    assert 'service "web" { policy = "write" }' in failed.value.next_step


async def test_a_conflict_beside_a_refusal_is_a_conflict_about_the_conflict() -> None:
    reply = conflict((0, "Permission denied"), (1, "index is stale"))
    async with Server(reply) as server, reaching(server) as consul:
        with pytest.raises(TxnRefused, match="index is stale") as failed:
            await consul.transact([op("Service", "cas")] * 2)
    assert failed.value.reason == "conflict"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Errors":[]}', b"no", b'{"Errors":[1]}'])
async def test_a_conflict_of_nobody_is_no_answer_of_consul(body: bytes) -> None:
    async with Server(Said(body, 409)) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.transact([op("Service", "cas")])
    assert not isinstance(failed.value, TxnRefused)
    assert failed.value.reason == "unusable"


async def test_too_many_operations_are_told() -> None:
    text = "Transaction contains too many operations (129 > 128)"
    async with Server(refused(413, text)) as server, reaching(server) as consul:
        with pytest.raises(ConsulError, match="too many operations") as failed:
            await consul.transact([op("Service", "cas")] * 129)
    assert (failed.value.reason, failed.value.status) == ("too-large", 413)


async def test_a_body_may_be_as_long_as_consul_takes() -> None:
    def count(asked: Asked) -> Said:
        assert len(asked.body) > 500_000
        return answer(*[left("KV", 1, name="k" * 4_000)] * 128)

    async with Server(count) as server, reaching(server) as consul:
        assert len(await consul.transact([op("KV", "set", name="k" * 4_000)] * 128)) == 128
