"""What holds for any transaction on any state: it is applied as a whole or not at all, and again is no change."""

import copy
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from discovery.testing.consul.acl import ANONYMOUS, MANAGEMENT, Access
from discovery.testing.consul.bodies import Operation
from discovery.testing.consul.catalog import Catalog
from discovery.testing.consul.sessions import Sessions
from discovery.testing.consul.tables import State
from discovery.testing.consul.txn import Failed, Transactions

from ..conformance.consul import Json, check, key, node, service

EVERYTHING = Access(ANONYMOUS, MANAGEMENT)

nodes = st.sampled_from(["n1", "N1", "n2"])
ids = st.sampled_from(["a", "b"])
names = st.sampled_from(["web", "db"])
verbs = st.sampled_from(["set", "cas", "delete", "delete-cas"])
indexes = st.integers(0, 20)
statuses = st.sampled_from(["passing", "critical"])

operations = st.one_of(
    st.builds(lambda name, verb, index: node(name, verb, ModifyIndex=index), nodes, verbs, indexes),
    st.builds(
        lambda on, one, name, verb, index, port: service(on, one, name, verb, ModifyIndex=index, Port=port),
        nodes,
        ids,
        names,
        verbs,
        indexes,
        st.integers(0, 2),
    ),
    st.builds(
        lambda on, one, verb, index, status: check(
            on, f"c-{one}", verb, ModifyIndex=index, Status=status, ServiceID=one, ServiceName="web"
        ),
        nodes,
        ids,
        verbs,
        indexes,
        statuses,
    ),
    st.builds(lambda on, status: check(on, "node", Status=status), nodes, statuses),
    st.builds(lambda name, verb, index: key(verb, f"k-{name}", Index=index, Value="eA=="), ids, verbs, indexes),
)
transactions = st.lists(st.lists(operations, min_size=1, max_size=6), max_size=8)


class Server:
    """The state of a server without its HTTP side."""

    def __init__(self) -> None:
        self.state = State()
        sessions = Sessions(self.state, lambda: 0.0, 10.0)
        self.refusals: list[tuple[list[int], int]] = []
        self._transactions = Transactions(self.state, Catalog(self.state, sessions), sessions, "dc1")

    def applies(self, wanted: list[Json]) -> bool:
        """Whether a transaction goes through; if not, `refusals` has which operations did not, of how many."""
        read = msgspec.json.decode(msgspec.json.encode(wanted), type=list[Operation])
        try:
            self._transactions.apply(read, EVERYTHING)
        except Failed as failed:
            self.refusals.append(([error["OpIndex"] for error in failed.errors], len(wanted)))
            return False
        return True

    def content(self) -> dict[str, Any]:
        return copy.deepcopy(self.state.snapshot())


@given(transactions)
def test_a_transaction_that_fails_leaves_all_as_it_was_and_tells_nobody(given_transactions: list[list[Json]]) -> None:
    server = Server()
    told: list[object] = []
    server.state.listeners.add(told.append)
    for wanted in given_transactions:
        before = server.content()
        told.clear()
        if server.applies(wanted):
            assert bool(told) == (server.content() != before)
        else:
            assert server.content() == before
            assert not told
        assert_indexed(server.state)
    for indexes, count in server.refusals:
        assert indexes
        assert indexes == sorted(set(indexes) & set(range(count)))


@given(transactions)
def test_setting_again_what_was_set_changes_nothing(given_transactions: list[list[Json]]) -> None:
    server = Server()
    for wanted in given_transactions:
        once = {str(sorted(_target(one).items())): one for one in wanted}
        sets = [one for one in once.values() if next(iter(one.values()))["Verb"] == "set"]
        if server.applies(sets):
            before = server.content()
            assert server.applies(sets)
            assert server.content() == before


@given(transactions)
def test_nothing_stands_on_what_is_not_there(given_transactions: list[list[Json]]) -> None:
    server = Server()
    for wanted in given_transactions:
        server.applies(wanted)
        state = server.state
        assert {on for on, _ in state.services.rows} <= set(state.nodes.rows)
        assert {on for on, _ in state.checks.rows} <= set(state.nodes.rows)
        for (on, _), row in state.checks.rows.items():
            assert not row["ServiceID"] or (on, row["ServiceID"]) in state.services.rows


@given(transactions)
def test_indexes_only_grow_and_are_never_below_what_they_stand_for(given_transactions: list[list[Json]]) -> None:
    server = Server()
    for wanted in given_transactions:
        before = dict(server.state.indexes.rows)
        server.applies(wanted)
        state = server.state
        for name, index in state.indexes.rows.items():
            assert index >= before.get(name, 0)
        for (on, _), row in state.services.rows.items():
            assert state.latest(f"node.{on}") >= row["ModifyIndex"]
            assert state.latest(f"service.{row['Service']}") >= row["ModifyIndex"]
            assert state.latest("services") >= row["ModifyIndex"]


@given(transactions)
def test_after_renumbering_the_order_of_all_indexes_is_the_same(given_transactions: list[list[Json]]) -> None:
    server = Server()
    for wanted in given_transactions:
        server.applies(wanted)
    state = server.state
    before = [(row["CreateIndex"], row["ModifyIndex"]) for row in [*state.nodes.all(), *state.services.all()]]
    state.renumber()
    after = [(row["CreateIndex"], row["ModifyIndex"]) for row in [*state.nodes.all(), *state.services.all()]]
    flat, moved = [index for pair in before for index in pair], [index for pair in after for index in pair]
    assert [flat[i] < flat[j] for i in range(len(flat)) for j in range(len(flat))] == [
        moved[i] < moved[j] for i in range(len(moved)) for j in range(len(moved))
    ]
    assert all(index <= state.index for index in moved)


def assert_indexed(state: State) -> None:
    """What is found by an index is what a look at all rows finds."""
    for on in ("n1", "n2"):
        assert state.services.keys_by("node", on) == sorted(key for key in state.services.rows if key[0] == on)
    for name in ("web", "db"):
        found = sorted(key for key, row in state.services.rows.items() if row["Service"] == name)
        assert state.services.keys_by("service", name) == found


def _target(operation: Json) -> dict[str, str]:
    (kind,) = operation
    body = operation[kind]
    inner = body.get(kind, body)
    on = body.get("Node") if kind == "Service" else inner.get("Node", "")
    return {"kind": kind, "node": str(on).lower(), "id": str(inner.get("ID", inner.get("CheckID", inner.get("Key"))))}
