"""At which nodes a Service is registered: their fitness, the traffic policies, families, the cap; and laws over all."""

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.bridge.records import Instance
from discovery.bridge.wanted.desired import Desired, Nodes, desired, follows_all_nodes, nodes_of
from discovery.bridge.wanted.nodes import Look
from discovery.bridge.wanted.unusable import Unusable
from discovery.kube.objects import NodeBody, ServiceBody, SliceBody

from . import objects
from .objects import HTTP, NODES, PODS, RPC, node, options, places, planned, pod, service, slice_of, view

WEB = service(HTTP)
LOCAL = service(HTTP, externalTrafficPolicy="Local")


# Nodes that nobody hears


def test_where_no_node_at_all_is_ready_it_is_the_control_plane_that_is_deaf_and_all_go_on() -> None:
    lost = {name: node(f"192.0.2.{number}", ready="Unknown") for number, name in enumerate(("n1", "n2", "n3"), 1)}
    crowd = slice_of(pod("10.0.0.1", "n1"), pod("10.0.0.2", "n2"))
    assert places(planned(WEB, crowd, nodes=lost)) == ["192.0.2.1:30000", "192.0.2.2:30000"]
    assert places(planned(WEB, crowd, nodes=lost | {"n2": node("192.0.2.2")})) == ["192.0.2.2:30000"]


def test_a_node_that_is_unfit_for_another_reason_stays_so_even_then() -> None:
    lost = {"n1": node("192.0.2.1", ready="Unknown", deleted=True), "n2": node("192.0.2.2", ready="False")}
    crowd = slice_of(pod("10.0.0.1", "n1"), pod("10.0.0.2", "n2"))
    assert places(planned(WEB, crowd, nodes=lost)) == ["192.0.2.2:30000"]


# One instance for each node


def test_many_pods_on_a_node_in_several_slices_and_families_are_one_instance() -> None:
    crowd = slice_of(*(pod(f"10.0.0.{number}", "n1") for number in range(1, 60)))
    six = slice_of(pod("fd00::1", "n1"), kind="IPv6")
    assert places(planned(service(HTTP, ipFamilies=["IPv4", "IPv6"]), crowd, crowd, six)) == ["1.2.3.4:30000"]


def test_a_ready_pod_makes_its_node_pass_whatever_the_others_there_say() -> None:
    there = slice_of(pod("1.1.1.1", "n1", ready=False), pod("1.1.1.2", "n1"), pod("1.1.1.3", "n1", ready=False))
    assert places(planned(WEB, there)) == ["1.2.3.4:30000"]


def test_a_leaving_pod_counts_only_where_no_pod_at_all_is_ready() -> None:
    """As a load balancer's health check sees it; a pod that does not serve any more never counts."""
    leaving = pod("1.1.1.1", "n1", ready=False, serving=True, terminating=True)
    gone = pod("2.2.2.2", "n2", ready=False, serving=False, terminating=True)
    assert places(planned(WEB, slice_of(leaving, gone))) == ["1.2.3.4:30000", "2.3.4.5:30000!"]
    assert places(planned(WEB, slice_of(leaving, pod("3.3.3.3", "n3")))) == ["1.2.3.4:30000!", "3.4.5.6:30000"]
    assert places(planned(LOCAL, slice_of(leaving, pod("3.3.3.3", "n3")))) == ["1.2.3.4:30000!", "3.4.5.6:30000"]


def test_every_address_that_is_published_counts_as_ready() -> None:
    body = service(HTTP, publishNotReadyAddresses=True)
    assert places(planned(body)) == ["1.2.3.4:30000", "2.3.4.5:30000", "3.4.5.6:30000"]


def test_a_port_is_served_only_by_slices_that_have_it() -> None:
    split = (
        slice_of(PODS[0], ports=[{"name": "http", "port": 1}]),
        slice_of(PODS[1], ports=[{"name": "rpc", "port": 1}]),
    )
    found = planned(service(), *split)
    assert places(found, "foo") == ["1.2.3.4:30000"]
    assert places(found, "foo-rpc") == ["2.3.4.5:30001"]


@pytest.mark.parametrize("port", [{"name": "http"}, {"name": "http", "port": 0}])
def test_a_slice_that_does_not_say_the_number_of_a_port_serves_nobody(port: dict[str, Any]) -> None:
    assert planned(WEB, slice_of(PODS[0], ports=[port])).instances == ()


def test_endpoints_without_a_node_an_address_or_a_known_family_are_nowhere() -> None:
    odd = {"addresses": [], "nodeName": "n1"}, {"addresses": None, "nodeName": "n2"}, pod("3.3.3.3")
    assert planned(WEB, slice_of(*odd), slice_of(pod("a.example.com", "n3"), kind="FQDN")).instances == ()


@pytest.mark.parametrize(
    "unfit",
    [
        node("1.2.3.4", ready="False"),
        node("1.2.3.4", ready="Unknown"),
        node("1.2.3.4", deleted=True),
        node("1.2.3.4", taints=[{"key": "ToBeDeletedByClusterAutoscaler"}]),
        None,
    ],
)
def test_a_node_that_is_unfit_or_gone_is_absent(unfit: NodeBody | None) -> None:
    nodes = {**NODES, "n1": unfit}
    found = planned(WEB, nodes={name: body for name, body in nodes.items() if body is not None})
    assert places(found) == ["2.3.4.5:30000", "3.4.5.6:30000!"]


def test_a_cordoned_node_serves_unless_told_otherwise() -> None:
    nodes = {**NODES, "n1": node("1.2.3.4", unschedulable=True)}
    assert places(planned(WEB, nodes=nodes))[0] == "1.2.3.4:30000"
    assert places(planned(WEB, nodes=nodes, cordoned=False))[0] == "2.3.4.5:30000"


def test_that_no_node_is_fit_is_no_reason_to_refuse_it() -> None:
    assert planned(WEB, nodes={name: node("1.2.3.4", deleted=True) for name in NODES}).instances == ()


def test_two_nodes_with_one_address_are_one_instance_of_the_one_that_serves() -> None:
    shared = {**NODES, "n3": node("ExternalIP 1.2.3.4"), "n2": node("ExternalIP 1.2.3.4")}
    (one,) = planned(WEB, nodes=shared).instances
    assert dict(one.meta)["external-k8s-node-name"] == "n1"
    (other,) = planned(WEB, slice_of(pod("1.1.1.1", "n1", ready=False), pod("3.3.3.3", "n3")), nodes=shared).instances
    assert (other.node, other.status, other.id) == ("k8s-prod--n3", "passing", one.id)


# Families and types


def test_a_dual_stack_service_has_one_address_of_each_node_the_first_family_that_both_have() -> None:
    body = service(HTTP, ipFamilies=["IPv4", "IPv6"])
    there = slice_of(*PODS[:2]), slice_of(pod("fd::1", "n1"), pod("fd::2", "n2"), kind="IPv6")
    nodes = {"n1": node("10.0.0.1", "fd00::1"), "n2": node("fd00::2")}
    assert places(planned(body, *there, nodes=nodes)) == ["10.0.0.1:30000", "fd00::2:30000"]
    assert places(planned(body, *there, nodes=nodes, family="prefer-ipv6")) == ["fd00::1:30000", "fd00::2:30000"]
    assert places(planned(body, *there, nodes=nodes, family="ipv4")) == ["10.0.0.1:30000"]


def test_a_service_of_one_family_is_reached_at_addresses_of_that_whatever_is_preferred() -> None:
    nodes = {"n1": node("10.0.0.1", "fd00::1")}
    assert places(planned(service(HTTP, ipFamilies=["IPv4"]), nodes=nodes, family="prefer-ipv6")) == ["10.0.0.1:30000"]
    old = service(HTTP, clusterIP="10.96.0.1")  # of a server that says no families
    assert places(planned(old, nodes=nodes, family="prefer-ipv6")) == ["10.0.0.1:30000"]


def test_the_consul_node_has_the_preferred_address_whatever_the_service() -> None:
    nodes = {"n1": node("10.0.0.1", "fd00::1")}
    six = slice_of(pod("fd::1", "n1"), kind="IPv6")
    found = planned(service(HTTP, ipFamilies=["IPv6"], clusterIP="fd00::ff"), six, nodes=nodes)
    assert places(found) == ["fd00::1:30000"]
    assert found.nodes[0].address == "10.0.0.1"


@pytest.mark.parametrize("families", [["IPv4"], ["IPv4", "IPv6"]])
def test_a_family_that_the_service_or_no_node_has_is_refused_while_it_has_endpoints(families: list[str]) -> None:
    body = service(HTTP, ipFamilies=families)
    with pytest.raises(Unusable, match="ipv6") as caught:
        planned(body, family="ipv6")
    assert caught.value.reason == "address"
    assert planned(body, slice_of(), family="ipv6").instances == ()


def test_a_host_name_of_a_node_is_of_every_family() -> None:
    found = planned(WEB, nodes={"n1": node("Hostname node-1.example.com")}, address_types="Hostname")
    assert places(found) == ["node-1.example.com:30000"]


def test_a_node_port_that_is_not_there_is_refused() -> None:
    with pytest.raises(Unusable, match="no node port"):
        planned(service({"name": "http", "port": 80}))


# All nodes


def everywhere(body: ServiceBody, *slices: SliceBody, nodes: dict[str, NodeBody], **more: Any) -> Desired:
    return desired(view(body, *slices), objects.nodes_of(nodes), options(nodes="all", **more))


def test_all_fit_nodes_serve_where_that_is_asked_for() -> None:
    found = everywhere(WEB, slice_of(PODS[0]), nodes={**NODES, "n4": node("4.4.4.4", ready="False")})
    assert places(found) == ["1.2.3.4:30000", "2.3.4.5:30000", "3.4.5.6:30000"]


def test_all_nodes_are_critical_or_absent_while_no_endpoint_is_usable() -> None:
    for slices in ((), (slice_of(),), (slice_of(pod("1.1.1.1", "n1", ready=False)),)):
        found = everywhere(WEB, *slices, nodes=NODES)
        assert places(found) == ["1.2.3.4:30000!", "2.3.4.5:30000!", "3.4.5.6:30000!"]
        assert everywhere(WEB, *slices, nodes=NODES, not_ready="absent").instances == ()


def test_the_policy_local_keeps_to_nodes_with_endpoints_and_has_no_cap_of_its_own() -> None:
    nodes = {f"n{number}": node(f"10.0.0.{number}") for number in range(1, 13)}
    pods = slice_of(*(pod(f"10.1.0.{number}", f"n{number}") for number in range(1, 9)))
    assert len(everywhere(LOCAL, pods, nodes=nodes).instances) == 8
    assert len(everywhere(LOCAL, pods, nodes=nodes, max_nodes=3).instances) == 3
    assert len(everywhere(WEB, pods, nodes=nodes).instances) == 5
    assert len(everywhere(WEB, pods, nodes=nodes, max_nodes=9).instances) == 9


def test_which_services_a_change_of_any_node_may_concern_is_known() -> None:
    assert follows_all_nodes(WEB, options(nodes="all"))
    assert not follows_all_nodes(LOCAL, options(nodes="all"))
    assert not follows_all_nodes(WEB, options())
    assert not follows_all_nodes(service(HTTP, type="LoadBalancer"), options(nodes="all"))
    assert nodes_of([slice_of(*PODS), slice_of(pod("9.9.9.9"), pod("8.8.8.8", "n9"))]) == {"n1", "n2", "n3", "n9"}


def test_all_nodes_without_an_address_are_refused_while_it_has_endpoints() -> None:
    with pytest.raises(Unusable):
        everywhere(WEB, slice_of(*PODS), nodes=NODES, address_types="ExternalDNS")
    assert everywhere(WEB, nodes=NODES, address_types="ExternalDNS").instances == ()


# The cap


def many(count: int) -> dict[str, NodeBody]:
    return {f"n{number}": node(f"10.0.{number // 250}.{number % 250 + 1}") for number in range(count)}


def test_nodes_that_serve_are_chosen_before_those_that_do_not() -> None:
    pods = slice_of(*(pod(f"10.1.0.{number}", f"n{number}", ready=number < 2) for number in range(8)))
    assert places(planned(WEB, pods, nodes=many(8), max_nodes=2)) == ["10.0.0.1:30000", "10.0.0.2:30000"]
    three = planned(WEB, pods, nodes=many(8), max_nodes=3)
    assert sorted(one.status for one in three.instances) == ["critical", "passing", "passing"]


def test_different_services_and_ports_are_spread_over_different_nodes() -> None:
    pods = slice_of(*(pod(f"10.1.0.{number}", f"n{number}") for number in range(50)))
    names = [f"web{number}" for number in range(40)]
    nodes = objects.nodes_of(many(50))
    found = [desired(view(service(), pods, name=name), nodes, options(max_nodes=3)) for name in names]
    used = {one.node for each in found for one in each.instances}
    assert len(used) > 45
    by_port = [{one.node for one in found[0].instances if one.service == name} for name in ("web0", "web0-rpc")]
    assert by_port[0] != by_port[1]


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 8), st.sampled_from(["all", "endpoints"]), st.randoms())
def test_losing_a_node_changes_one_instance_at_most_under_a_cap(
    count: int, cap: int, choice: str, chance: random.Random
) -> None:
    bodies = many(count)
    pods = slice_of(*(pod(f"10.1.0.{n}", f"n{n}", ready=chance.random() < 0.7) for n in range(count)))
    told = options(nodes=choice, max_nodes=cap)
    nodes = objects.nodes_of(bodies)
    before = desired(view(WEB, pods), nodes, told)
    lost = chance.choice(sorted(bodies))
    nodes.put(lost, None)
    after = desired(view(WEB, pods), nodes, told)
    assert len(before.instances) == min(cap, count)
    gone, came = set(before.instances) - set(after.instances), set(after.instances) - set(before.instances)
    assert len(gone) <= 1
    assert len(came) <= len(gone)
    assert all(dict(one.meta)["external-k8s-node-name"] == lost for one in gone)


# What is kept of nodes


def test_a_node_that_changes_is_looked_at_again_and_one_that_does_not_is_not() -> None:
    nodes = Nodes()
    look = Look(("InternalIP",), ("ipv4",), cordoned=True)
    assert nodes.put("n1", node("10.0.0.1"))
    assert nodes.seen(look)["n1"].address == "10.0.0.1"
    assert not nodes.put("n1", node("10.0.0.1"))
    assert nodes.put("n1", node("10.0.0.2", ready="False"))
    assert nodes.seen(look)["n1"].address == "10.0.0.2"
    assert nodes.seen(look)["n1"].unfit == "the node is not ready"
    assert len(nodes) == 1
    assert nodes.put("n1", None)
    assert not nodes.put("n1", None)
    assert not nodes.seen(look)
    assert repr(nodes) == "<Nodes: 0>"


# Laws over all of them

ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "ExternalIP 1.0.0.1", "fd00::1", "Hostname a.example"])
NODE_BODIES = st.builds(
    lambda addresses, ready, cordoned: node(*addresses, ready=ready, unschedulable=cordoned),
    st.lists(ADDRESSES, max_size=3),
    st.sampled_from(["True", "True", "True", "False"]),
    st.sampled_from([False, False, True]),
)
CLUSTERS = st.dictionaries(st.sampled_from(["a", "b", "c.d", "e"]), NODE_BODIES, max_size=4)
CONDITIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.booleans()))
PODS_ANY = st.lists(
    st.builds(
        lambda address, name, conditions: pod(address, name, **conditions),
        st.sampled_from(["10.1.0.1", "10.1.0.2", "010.1.0.2"]),
        st.sampled_from(["a", "b", "c.d", "e", "f", None]),
        CONDITIONS,
    ),
    max_size=4,
)
SLICES = st.builds(
    lambda pods, ports, kind: slice_of(*pods, ports=ports, kind=kind),
    PODS_ANY,
    st.lists(
        st.sampled_from([{"name": "http", "port": 8080}, {"name": "rpc", "port": 2000}]), unique_by=str, max_size=2
    ),
    st.sampled_from(["IPv4", "IPv4", "IPv4", "IPv6", "FQDN"]),
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["NodePort", "NodePort", "LoadBalancer", "ClusterIP"]),
        "externalTrafficPolicy": st.sampled_from(["Local", "Cluster"]),
        "ipFamilies": st.sampled_from([["IPv4"], ["IPv4", "IPv6"], ["IPv6"]]),
        "ingress": st.sampled_from([[{"ip": "9.9.9.9"}, {"hostname": "lb.example"}], [{"ip": "fd00::9"}]]),
        "externalIPs": st.sampled_from([[], ["8.8.8.8", "7.7.7.7"]]),
        "publishNotReadyAddresses": st.booleans(),
    },
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "family": st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]),
        "address_types": st.sampled_from([("ExternalIP", "InternalIP"), ("Hostname",)]),
        "nodes": st.sampled_from(["endpoints", "all"]),
        "max_nodes": st.sampled_from([None, 1, 2]),
        "not_ready": st.sampled_from(["critical", "absent"]),
        "cordoned": st.booleans(),
        "pod_addresses": st.just(True),
    },
)


def outcome(body: ServiceBody, slices: list[SliceBody], nodes: dict[str, NodeBody], told: Any) -> Desired | str:
    try:
        return desired(view(body, *slices), objects.nodes_of(nodes), options(**told))
    except Unusable as error:
        return str(error)


@settings(max_examples=300)
@given(SPECS, st.lists(SLICES, max_size=3), CLUSTERS, OPTIONS, st.randoms())
def test_no_order_of_anything_changes_what_it_comes_to(
    spec: Any, slices: list[SliceBody], nodes: dict[str, NodeBody], told: Any, chance: random.Random
) -> None:
    main = {"annotations": {"service-port": "http"}}
    found = outcome(service(HTTP, RPC, **spec, **main), slices, nodes, told)
    shuffled = [
        SliceBody(one.address_type, mixed(one.endpoints, chance), mixed(one.ports, chance))
        for one in mixed(tuple(slices), chance)
    ]
    other = {name: nodes[name] for name in mixed(tuple(nodes), chance)}
    assert outcome(service(RPC, HTTP, **spec, **main), shuffled, other, told) == found


def mixed(things: Any, chance: random.Random) -> Any:
    return tuple(chance.sample(things or (), len(things or ())))


@settings(max_examples=300)
@given(SPECS, st.lists(SLICES, max_size=3), CLUSTERS, OPTIONS)
def test_every_instance_stands_on_a_node_that_is_told_at_an_address_of_its_own(
    spec: Any, slices: list[SliceBody], nodes: dict[str, NodeBody], told: Any
) -> None:
    found = outcome(service(HTTP, RPC, **spec), slices, nodes, told)
    if isinstance(found, str):
        return
    assert {one.node for one in found.instances} == {one.name for one in found.nodes}
    assert len({one.id for one in found.instances}) == len(found.instances)
    assert len({(one.service, one.address, one.port) for one in found.instances}) == len(found.instances)
    assert {one.service for one in found.instances} <= {one.text for one in found.names}
    assert all(one.address and 0 < one.port < 65536 and one.address != "0.0.0.0" for one in found.instances)
    assert all(one.address for one in found.nodes)
    if told.get("not_ready") == "absent" and spec.get("type", "NodePort") == "NodePort" and not spec.get("externalIPs"):
        assert all(one.status == "passing" for one in found.instances)


@settings(max_examples=100)
@given(SPECS, st.lists(SLICES, max_size=3), st.lists(CLUSTERS, min_size=2, max_size=4), OPTIONS)
def test_nodes_that_came_and_went_leave_nothing_behind(
    spec: Any, slices: list[SliceBody], states: list[dict[str, NodeBody]], told: Any
) -> None:
    nodes, body = Nodes(), service(HTTP, **spec)
    known: set[str] = set()
    for state in states:
        for name in sorted(known - state.keys()):
            nodes.put(name, None)
        for name, one in state.items():
            nodes.put(name, one)
        known = set(state)
        try:
            found: Desired | str = desired(view(body, *slices), nodes, options(**told))
        except Unusable as error:
            found = str(error)
        assert found == outcome(body, slices, state, told)


def test_a_service_with_three_endpoints_costs_less_than_a_tenth_of_a_millisecond() -> None:
    nodes, told, one = objects.nodes_of(many(100)), options(), view(WEB, slice_of(*PODS_ON_THREE))
    rounds = []
    for _ in range(30):
        since = time.perf_counter()
        for _ in range(20):
            desired(one, nodes, told)
        rounds.append((time.perf_counter() - since) / 20)
    assert len(desired(one, nodes, told).instances) == 3
    assert min(rounds) < 100e-6


PODS_ON_THREE = [pod(f"10.1.0.{number}", f"n{number}") for number in (1, 2, 3)]


def test_an_instance_is_a_value() -> None:
    one, other = (planned(WEB).instances for _ in range(2))
    assert one == other
    assert len({*one, *other}) == len(one)
    assert isinstance(one[0], Instance)
