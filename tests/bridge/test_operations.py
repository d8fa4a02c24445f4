"""The operations of a transaction: each compares and sets, and has all that Consul needs to take it."""

import json
from typing import Any

import attrs
import pytest

from discovery.bridge.plan.changes import Change, NodeChange
from discovery.bridge.plan.operations import (
    node_cas,
    node_delete,
    probe_cas,
    probe_definition,
    probe_delete,
    readiness_cas,
    service_cas,
    service_delete,
)
from discovery.bridge.plan.units import held_after, node_after, unit_of

from .entries import MINE, entry, held, held_node, instance

WEB = instance(weight=3)


def kinds(change: Change | NodeChange, probed: bool = False) -> list[str]:
    """Kind, verb and index of each operation of a change."""
    shown = []
    for operation in unit_of(change, probed).operations:
        ((kind, body),) = json.loads(operation).items()
        shown.append(f"{kind} {body['Verb']} {body[kind]['ModifyIndex']}")
    return shown


def test_a_service_has_explicit_weights_and_the_index_it_is_compared_with() -> None:
    assert json.loads(service_cas(WEB, 5)) == {
        "Service": {
            "Verb": "cas",
            "Node": "n1",
            "Service": {
                "ID": f"{MINE}.shop.web.http.10.0.0.1",
                "Service": "web",
                "Tags": ["k8s"],
                "Address": "10.0.0.1",
                "Meta": dict(WEB.meta),
                "Port": 30080,
                "Weights": {"Passing": 3, "Warning": 1},
                "ModifyIndex": 5,
            },
        }
    }


def test_a_readiness_check_names_its_service_and_has_no_type() -> None:
    check = json.loads(readiness_cas(WEB, 0))["Check"]["Check"]

    assert check["CheckID"] == f"ready:{WEB.id}"
    assert (check["ServiceID"], check["ServiceName"], check["Status"]) == (WEB.id, "web", "passing")
    assert "Type" not in check


def test_what_a_check_says_depends_on_its_status_alone() -> None:
    """So that a write of the same status is the same bytes, and moves no index."""
    critical = attrs.evolve(WEB, status="critical")

    assert readiness_cas(WEB, 1) == readiness_cas(WEB, 1)
    assert json.loads(readiness_cas(critical, 1))["Check"]["Check"]["Output"]
    assert readiness_cas(critical, 1) != readiness_cas(WEB, 1)


@pytest.mark.parametrize(("address", "tcp"), [("10.0.0.1", "10.0.0.1:30080"), ("fd00::1", "[fd00::1]:30080")])
def test_a_probe_tries_the_address_and_begins_as_passing(address: str, tcp: str) -> None:
    check = json.loads(probe_cas(instance(address=address), 0))["Check"]["Check"]

    assert check["Definition"] == {"TCP": tcp, "Interval": "10s", "Timeout": "2s"}
    assert check["Status"] == "passing"


@pytest.mark.parametrize(
    ("operation", "kind", "index"),
    [
        (node_delete("n1", 7), "Node", 7),
        (service_delete(WEB, 5), "Service", 5),
        (probe_delete(WEB, 8), "Check", 8),
    ],
)
def test_a_deletion_compares_too(operation: bytes, kind: str, index: int) -> None:
    body = json.loads(operation)[kind]

    assert body["Verb"] == "delete-cas"
    assert body[kind]["ModifyIndex"] == index


def test_the_deletion_of_a_service_names_it_for_the_acls() -> None:
    assert json.loads(service_delete(WEB, 5))["Service"]["Service"]["Service"] == "web"


def test_a_node_is_written_whole() -> None:
    assert json.loads(node_cas(entry(), 0))["Node"]["Node"] == {
        "Node": "n1",
        "Address": "10.0.0.1",
        "Meta": dict(entry().meta),
        "ModifyIndex": 0,
    }


# What makes a change


RENAMED = attrs.evolve(WEB, service="old")
CRITICAL = attrs.evolve(WEB, status="critical")
PROBE: dict[str, Any] = {"probe": probe_definition(WEB), "probe_index": 8}


@pytest.mark.parametrize(
    ("change", "probed", "operations"),
    [
        (Change("register", WEB), False, ["Service cas 0", "Check cas 0"]),
        (Change("register", WEB), True, ["Service cas 0", "Check cas 0", "Check cas 0"]),
        (Change("update", WEB, held(attrs.evolve(WEB, port=1))), False, ["Service cas 5"]),
        (
            Change("update", WEB, held(RENAMED)),
            False,
            ["Service delete-cas 5", "Service cas 0", "Check cas 0"],
        ),
        (Change("update", WEB, held(attrs.evolve(CRITICAL, port=1))), False, ["Service cas 5", "Check cas 6"]),
        (Change("check", CRITICAL, held(WEB)), False, ["Check cas 6"]),
        (Change("check", WEB, held(WEB, check_index=0)), False, ["Check cas 0"]),
        (Change("check", WEB, held(WEB)), True, ["Check cas 0"]),
        (Change("check", CRITICAL, held(WEB, **PROBE)), True, ["Check cas 6"]),
        (Change("check", WEB, held(WEB, **PROBE)), False, ["Check delete-cas 8"]),
        (
            Change("update", WEB, held(attrs.evolve(WEB, port=1), probe=(), probe_index=8)),
            True,
            ["Service cas 5", "Check cas 8"],
        ),
        (Change("deregister", WEB, held(WEB)), False, ["Service delete-cas 5"]),
        (NodeChange("create", entry()), False, ["Node cas 0"]),
        (NodeChange("update", entry(), held_node(index=7)), False, ["Node cas 7"]),
        (NodeChange("delete", entry(), held_node(index=7)), False, ["Node delete-cas 7"]),
    ],
)
def test_a_change_is_made_of_what_differs(change: Change | NodeChange, probed: bool, operations: list[str]) -> None:
    assert kinds(change, probed) == operations


def test_a_unit_knows_its_size_in_a_body_and_what_it_leaves_behind() -> None:
    unit = unit_of(Change("register", WEB), probed=False)

    assert unit.size == len(b",".join(unit.operations)) + 1
    assert unit.wrote == (("Service", "n1", WEB.id), ("Check", "n1", f"ready:{WEB.id}"))
    assert unit_of(Change("deregister", WEB, held(WEB)), probed=False).wrote == ()


def test_after_a_change_the_new_indexes_count_and_the_old_ones_where_nothing_was_written() -> None:
    change = Change("check", CRITICAL, held(WEB, **PROBE))

    after = held_after(change, True, {("Check", "n1", f"ready:{WEB.id}"): 99})

    assert (after.index, after.check_index, after.probe_index) == (5, 99, 8)
    assert after.instance == CRITICAL


def test_a_probe_that_was_deleted_is_known_no_more() -> None:
    after = held_after(Change("check", WEB, held(WEB, **PROBE)), False, {})

    assert (after.probe, after.probe_index) == (None, 0)


def test_a_node_that_was_changed_keeps_what_is_on_it() -> None:
    known = held_node(index=7, foreign=frozenset({"theirs"}), check="passing", check_index=3)
    new: Any = entry(meta={"owner-id": MINE, "more": "1"})

    after = node_after(NodeChange("update", new, held_node()), known, {("Node", "n1", "n1"): 99})

    assert after == attrs.evolve(known, entry=new, index=99)
    assert node_after(NodeChange("create", new), None, {("Node", "n1", "n1"): 99}).owned
