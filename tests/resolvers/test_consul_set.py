"""What Consul's answers come to, as backends: who is offered, who is not and why."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge import records
from discovery.consul.objects import AgentService, Check, HealthEntry, Node, Weights
from discovery.errors import NoBackends, ServiceNotFound
from discovery.model import Backend
from discovery.resolvers import consul_set
from discovery.resolvers.consul_set import NEAREST, ConsulSet, Found, failed_over, hidden, nothing
from discovery.targets import Consul

WEB = Consul("web")
PASSING = Check(check_id="service:web", name="ready", status="passing", service_id="web-1")
WARNING = Check(check_id="service:web", name="load", status="warning", service_id="web-1", output="load 9.5\nmore")
CRITICAL = Check(check_id="service:web", name="ready", status="critical", service_id="web-1", output="refused")
SERF = Check(check_id="serfHealth", name="Serf Health Status", status="critical", output="Agent not live")


def entry(number: int = 1, *checks: Check, node: str = "", at: str = "", **service: Any) -> HealthEntry:
    """The `number`-th instance, on a node of its own."""
    given: dict[str, Any] = {"id": f"web-{number}", "service": "web", "port": 80} | service
    return HealthEntry(
        node=Node(name=node or f"node-{number}", address=at or f"10.0.0.{number}"),
        service=AgentService(**given),
        checks=checks or None,
    )


def found(*entries: HealthEntry, target: Consul = WEB) -> Found:
    taken = ConsulSet(target)
    for one in entries:
        taken.put(one)
    return taken.found()


def only(one: HealthEntry, target: Consul = WEB) -> tuple[Backend, str | None]:
    (shown,) = found(one, target=target).shown.values()
    return shown


# What an instance is


def test_an_instance_is_at_its_own_address_or_at_that_of_its_node() -> None:
    assert only(entry(1, address="192.0.2.1"))[0].netloc == "192.0.2.1:80"
    assert only(entry(1))[0].netloc == "10.0.0.1:80"
    assert only(entry(1, at="fd00:0::1"))[0].netloc == "[fd00::1]:80"
    assert only(entry(1, address="LB.Example"))[0].netloc == "lb.example:80"


def test_metadata_tells_the_node_the_zone_and_the_labels() -> None:
    meta = {consul_set.NODE: "worker-1", consul_set.ZONE: "zone-a", "a": "b"}
    backend, _ = only(entry(1, meta=meta))
    assert (backend.node, backend.zone) == ("worker-1", "zone-a")
    assert backend.labels == tuple(sorted(meta.items()))
    bare, _ = only(entry(1))
    assert (bare.node, bare.zone, bare.labels) == ("node-1", "", ())


def test_the_keys_are_those_that_the_bridge_writes() -> None:
    assert (consul_set.NODE, consul_set.ZONE) == (records.K8S_NODE, records.ZONE_OF)


@pytest.mark.parametrize(
    ("weights", "checks", "weight"),
    [
        (None, (), 1.0),
        (Weights(passing=7), (), 7.0),
        (Weights(passing=7, warning=2), (WARNING,), 2.0),
        (Weights(passing=7, warning=0), (WARNING,), 0.0),
        (Weights(passing=0, warning=0), (), 1.0),
        (Weights(passing=-1, warning=-1), (), 1.0),
        (Weights(passing=7, warning=-1), (WARNING,), 0.0),
    ],
)
def test_the_weight_is_the_one_for_what_its_checks_say(
    weights: Weights | None, checks: tuple[Check, ...], weight: float
) -> None:
    assert only(entry(1, *checks, weights=weights), Consul("web", warning=True))[0].weight == weight


@pytest.mark.parametrize("address", ["", "not a host", "fe80::1%eth0", "10.0.0.256", "a\x1b[31m"])
def test_an_address_that_nobody_can_connect_to_is_passed_over_and_counted(address: str) -> None:
    both = found(
        HealthEntry(node=Node(name="n", address=address), service=AgentService(service="web", port=80)), entry(2)
    )
    assert [backend.address for backend, _ in both.shown.values()] == ["10.0.0.2"]
    assert both.unreadable == 1


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_an_instance_without_a_port_is_shown_and_withheld(port: int) -> None:
    backend, why_not = only(entry(1, port=port))
    assert (backend.port, backend.ready, why_not) == (0, True, "no port is registered for it")


# Checks


@pytest.mark.parametrize(
    ("checks", "why_not"),
    [
        ((), None),
        ((PASSING,), None),
        ((PASSING, CRITICAL), "the check 'ready' is critical: 'refused'"),
        ((PASSING, SERF), "the node's check 'Serf Health Status' is critical: 'Agent not live'"),
        ((PASSING, WARNING), "the check 'load' is warning: 'load 9.5'"),
        ((WARNING, CRITICAL), "the check 'ready' is critical: 'refused'"),
        ((Check(check_id="alive", status="critical"),), "the node's check 'alive' is critical"),
        ((Check(check_id="c", status="odd", service_id="web-1"),), "the check 'c' is 'odd'"),
        ((Check(check_id="c", status="", service_id="web-1"),), "the check 'c' is ''"),
        (
            (CRITICAL, Check(check_id="_node_maintenance", status="critical", notes="disk")),
            "its node is in maintenance: 'disk'",
        ),
        (
            (Check(check_id="_service_maintenance:web-1", status="critical", notes="soon", service_id="web-1"),),
            "it is in maintenance: 'soon'",
        ),
    ],
)
def test_an_instance_is_offered_if_every_check_of_it_and_of_its_node_passes(
    checks: tuple[Check, ...], why_not: str | None
) -> None:
    for order in itertools.permutations(checks):
        backend, said = only(entry(1, *order))
        assert (backend.ready, said) == (why_not is None, why_not)


def test_an_instance_that_warns_is_offered_where_the_target_takes_it() -> None:
    wants = Consul("web", warning=True)
    assert only(entry(1, PASSING, WARNING), wants)[1] is None
    assert only(entry(1, WARNING, CRITICAL), wants)[1] == "the check 'ready' is critical: 'refused'"


def test_what_a_check_says_is_cut_and_made_printable() -> None:
    loud = Check(check_id="c", name="\x1b[31m", status="critical", service_id="w", output="\x07" + "x" * 5000)
    _, why_not = only(entry(1, loud))
    assert why_not is not None
    assert why_not.isprintable()
    assert len(why_not) < 200


# One place, told more than once


def test_a_place_that_is_registered_twice_is_one_backend_by_its_best_registration() -> None:
    twice = [entry(1, CRITICAL, node="a", at="10.0.0.9"), entry(2, PASSING, node="b", at="10.0.0.9")]
    for order in itertools.permutations(twice):
        ((backend, why_not),) = found(*order).shown.values()
        assert (backend.node, why_not) == ("b", None)


STATUSES = st.sampled_from(["passing", "warning", "critical", "", "else"])
ENTRIES = st.lists(
    st.builds(
        lambda number, node, port, statuses, weight: entry(
            number,
            *(Check(check_id=f"c{place}", status=status) for place, status in enumerate(statuses)),
            node=f"n{node}",
            at=f"10.0.0.{number}",
            port=port,
            weights=Weights(passing=weight),
        ),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 2),
        st.lists(STATUSES, max_size=3),
        st.integers(0, 5),
    ),
    max_size=8,
    unique_by=lambda one: (one.node.name, one.service.id),
)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_order_of_an_answer_means_nothing_unless_the_nearest_are_wanted(
    entries: list[HealthEntry], rng: random.Random
) -> None:
    shuffled = rng.sample(entries, len(entries))
    assert found(*entries).shown == found(*shuffled).shown


@given(ENTRIES, st.booleans())
def test_who_is_offered_passes_every_check_and_has_a_port(entries: list[HealthEntry], warning: bool) -> None:
    good = {"passing", "warning"} if warning else {"passing"}
    fit = {
        f"{one.node.address}:{one.service.port}"
        for one in entries
        if one.service.port and {check.status for check in one.checks or ()} <= good
    }
    shown = found(*entries, target=Consul("web", warning=warning)).shown
    assert {backend.netloc for backend, why_not in shown.values() if why_not is None} == fit
    assert {f"{one.node.address}:{one.service.port}" for one in entries} == {one.netloc for one, _ in shown.values()}


@given(ENTRIES, ENTRIES)
def test_what_is_known_from_the_answer_before_changes_nothing(
    before: list[HealthEntry], after: list[HealthEntry]
) -> None:
    first, second = ConsulSet(WEB), ConsulSet(WEB)
    for one in before:
        first.put(one)
    for one in after:
        second.put(one)
    known = ConsulSet(WEB, first)
    for one in after:
        known.put(one)
    assert known.found() == second.found()


def test_what_has_stayed_the_same_is_not_read_again() -> None:
    first = ConsulSet(WEB)
    first.put(entry(1))
    second = ConsulSet(WEB, first)
    second.put(entry(1))
    second.put(entry(2))
    (old,) = first.found().shown.values()
    assert old is next(iter(second.found().shown.values()))


# Nearness


def test_the_nearest_usable_instances_come_first_and_all_others_stand_by() -> None:
    entries = [entry(5, CRITICAL), *map(entry, (3, 1, 4, 2))]
    shown = found(*entries, target=Consul("web", near="_agent")).shown.values()
    assert [backend.address[-1] for backend, _ in shown if not backend.priority] == ["3", "1", "4"]
    assert NEAREST == 3
    assert {backend.priority for backend, _ in found(*entries).shown.values()} == {0}


# What is said


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (WEB, "Consul knows no instance of 'web'. Compare"),
        (
            Consul("web", tags=["a", "b"], datacenter="dc2", node_meta={"rack": "7"}),
            "Consul knows no instance of 'web' with the tag 'a' and the tag 'b' and the node metadata 'rack=7'",
        ),
        (Consul("geo", prepared=True), "the prepared query 'geo' finds no instance. It leaves out"),
    ],
)
def test_nothing_found_is_said_with_all_that_was_asked_for(target: Consul, says: str) -> None:
    error = nothing(target)
    assert str(error).startswith(says)
    assert isinstance(error, NoBackends if target.prepared else ServiceNotFound)


def test_what_acls_hide_is_a_warning_with_the_rule_that_would_show_it() -> None:
    remark = hidden(WEB)
    assert remark.warning
    assert 'service "web" { policy = "read" } and node_prefix "" { policy = "read" }' in remark.text
    assert 'query "geo"' in hidden(Consul("geo", prepared=True)).text


def test_a_failover_is_a_warning_that_quotes_the_datacenter() -> None:
    remark = failed_over(Consul("geo", prepared=True), "dc\x1b2")
    assert remark.warning
    assert remark.text.isprintable()
