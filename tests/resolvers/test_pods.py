"""From pods to backends: the endpoint slice controller's truth table, ports, addresses; and the resolver around it."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery import Backend, BackendId, Discovery, Event, NoBackends, Pool, PortNotFound
from discovery.kube.kinds import pods_matching
from discovery.kube.objects import PodBody, SliceBody, decode_pod, decode_pod_line, decode_slice
from discovery.membership import Membership
from discovery.resolvers.following import Feed
from discovery.resolvers.pod_set import PodSet
from discovery.resolvers.pods import pods_resolver
from discovery.resolvers.readiness import EndpointSet
from discovery.resolvers.topology import Place
from discovery.targets import Endpoints, Pods
from discovery.testing import FakeCluster

from ..until import until

Pod = dict[str, Any]
HTTP = {"name": "http", "containerPort": 8080}
GRPC = {"name": "grpc", "containerPort": 50051, "protocol": "TCP"}
DNS = {"name": "http", "containerPort": 53, "protocol": "UDP"}
KIND = pods_matching("app=web")


def container(*ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x", "ports": list(ports), **more}


def pod(
    name: str = "web-1",
    *ips: str,
    uid: str = "",
    ready: bool = True,
    deleting: bool = False,
    phase: str = "Running",
    containers: list[Any] | None = None,
    sidecars: list[Any] | None = None,
    **meta: Any,
) -> Pod:
    """A pod as the API tells it, by default with one address and one port."""
    told: Pod = {"name": name, "namespace": "shop", "uid": uid or f"uid-{name}", "resourceVersion": "7", **meta}
    if deleting:
        told["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: Pod = {"phase": phase, "conditions": [{"type": "Initialized", "status": "True"}]}
    status["conditions"].append({"type": "Ready", "status": "True" if ready else "False"})
    addresses = ips or ("10.0.0.1",)
    if addresses != ("",):
        status |= {"podIP": addresses[0], "podIPs": [{"ip": ip} for ip in addresses]}
    spec = {"nodeName": "node-1", "containers": [container(HTTP)] if containers is None else containers}
    if sidecars is not None:
        spec["initContainers"] = sidecars
    return {"metadata": told, "spec": spec, "status": status}


def body_of(one: Pod) -> PodBody:
    return decode_pod(json.dumps(one).encode())


def set_of(*pods: Pod, port: str | int | None = "http", family: Any = "prefer-ipv4") -> PodSet:
    found = PodSet(Pods("app=web", namespace="shop", port=port, family=family))
    for one in pods:
        found.put_pod(one["metadata"]["name"], body_of(one))
    return found


def backends(*pods: Pod, **target: Any) -> list[Backend]:
    return list(set_of(*pods, **target).take().changed)


def only(*pods: Pod, **target: Any) -> Backend:
    (found,) = backends(*pods, **target)
    return found


# Conditions


@pytest.mark.parametrize(
    ("ready", "deleting", "expected"),
    [
        (True, False, (True, True, False)),
        (True, True, (False, True, True)),
        (False, True, (False, False, True)),
        (False, False, (False, False, False)),
    ],
)
def test_conditions_are_those_of_the_endpoint_slice_controller(ready: bool, deleting: bool, expected: Any) -> None:
    found = only(pod(ready=ready, deleting=deleting))
    assert (found.ready, found.serving, found.terminating) == expected


@pytest.mark.parametrize("status", ["False", "Unknown", "true", ""])
def test_a_pod_serves_only_while_its_condition_ready_is_true(status: str) -> None:
    one = pod()
    one["status"]["conditions"] = [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": status}]
    assert not only(one).serving


def test_a_pod_without_conditions_is_not_ready() -> None:
    one = pod()
    one["status"]["conditions"] = None
    assert not only(one).ready


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_none_even_if_it_keeps_its_address(phase: str) -> None:
    assert backends(pod(phase=phase)) == []


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown", ""])
def test_a_pod_in_any_other_phase_is_one_if_it_has_an_address(phase: str) -> None:
    assert only(pod(phase=phase)).address == "10.0.0.1"


def test_a_pod_without_an_address_is_none() -> None:
    assert backends(pod("web-1", "")) == []


# What becomes of it


def test_a_pod_that_loses_its_address_leaves() -> None:
    found = set_of(pod())
    key = found.take().changed[0].id
    found.put_pod("web-1", body_of(pod("web-1", "")))
    delta = found.take()
    assert (delta.changed, delta.removed) == ((), (key,))


@pytest.mark.parametrize("end", [{"phase": "Failed"}, {"phase": "Succeeded"}])
def test_a_pod_that_ends_leaves(end: Any) -> None:
    found = set_of(pod())
    key = found.take().changed[0].id
    found.put_pod("web-1", body_of(pod(**end)))
    assert found.take().removed == (key,)


def test_a_pod_that_is_not_selected_any_more_leaves() -> None:
    found = set_of(pod())
    key = found.take().changed[0].id
    found.put_pod("web-1", None)
    assert found.take().removed == (key,)


def test_a_pod_that_moves_to_another_address_is_another_backend() -> None:
    found = set_of(pod("web-1", "10.0.0.1"))
    old = found.take().changed[0]
    found.put_pod("web-1", body_of(pod("web-1", "10.0.0.2")))
    delta = found.take()
    assert ([one.address for one in delta.changed], delta.removed) == (["10.0.0.2"], (old.id,))


def test_a_restarted_pod_of_the_same_name_and_uid_is_seen_to_be_ready_again() -> None:
    found = set_of(pod(ready=False))
    before = found.take().changed[0]
    found.put_pod("web-1", body_of(pod(ready=True)))
    after = found.take()
    assert (after.changed[0].id, after.changed[0].ready, after.removed) == (before.id, True, ())


def test_a_pod_of_the_same_name_with_another_uid_is_another_backend() -> None:
    found = set_of(pod(uid="1"))
    old = found.take().changed[0]
    found.put_pod("web-1", body_of(pod(uid="2")))
    delta = found.take()
    assert ([one.id.uid for one in delta.changed], delta.removed) == (["2"], (old.id,))


def test_what_does_not_matter_to_a_backend_is_no_change() -> None:
    found = set_of(pod())
    found.take()
    found.put_pod("web-1", body_of(pod(resourceVersion="8", annotations={"a": "b"})))
    delta = found.take()
    assert (delta.changed, delta.removed) == ((), ())


# Addresses


@pytest.mark.parametrize(
    ("family", "expected"), [("prefer-ipv4", "10.0.0.1"), ("prefer-ipv6", "fd00::1"), ("ipv6", "fd00::1")]
)
@pytest.mark.parametrize("ips", [("10.0.0.1", "fd00::1"), ("fd00::1", "10.0.0.1")])
def test_a_pod_with_both_families_counts_once(ips: tuple[str, ...], family: str, expected: str) -> None:
    found = set_of(pod("web-1", *ips), family=family)
    membership = Membership("test://web", emit=lambda _: None, clock=lambda: 0.0)
    membership.replace(found.take().changed)
    assert [one.address for one in membership.snapshot().backends] == [expected]


def test_a_pod_of_the_other_family_only_is_used_where_a_family_is_just_preferred() -> None:
    assert only(pod("web-1", "fd00::1"), family="prefer-ipv4").address == "fd00::1"
    assert backends(pod("web-1", "fd00::1"), family="ipv4") == []


def test_the_one_address_stands_in_for_the_list_of_them() -> None:
    one = pod()
    del one["status"]["podIPs"]
    assert only(one).address == "10.0.0.1"


def test_addresses_have_one_spelling() -> None:
    assert only(pod("web-1", "FD00:0::1")).address == "fd00::1"
    assert only(pod("web-1", "010.0.0.1")).address == "10.0.0.1"


@pytest.mark.parametrize("ip", ["10.0.0.256", "fe80::1%eth0", "web.example.com", "10.0.0"])
def test_an_address_that_cannot_be_read_is_passed_over_and_counted(ip: str) -> None:
    found = set_of(pod("web-1", ip), pod("web-2", "10.0.0.2"))
    assert [one.address for one in found.take().changed] == ["10.0.0.2"]
    assert found.unreadable == 1


def test_an_address_that_a_new_pod_was_given_is_that_pods_and_goes_back() -> None:
    old, new = pod("a", "10.0.0.1", deleting=True), pod("b", "10.0.0.1")
    found = set_of(old, new)
    assert [one.pod.name for one in found.take().changed if one.pod] == ["b"]
    found.put_pod("b", None)
    delta = found.take()
    assert [one.pod.name for one in delta.changed if one.pod] == ["a"]
    assert [key.uid for key in delta.removed] == ["uid-b"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_that_stay_at_one_place_the_ready_one_is_shown_and_else_the_first_by_name(order: Any) -> None:
    both = {"a": pod("a", ready=False), "b": pod("b")}
    assert only(*(both[name] for name in order)).id.uid == "uid-b"
    both["a"] = pod("a")
    assert only(*(both[name] for name in order)).id.uid == "uid-a"


def test_the_first_address_of_a_family_counts() -> None:
    assert only(pod("web-1", "10.0.0.1", "10.0.0.2")).address == "10.0.0.1"


def test_pods_in_their_nodes_network_share_an_address_and_differ_by_port() -> None:
    first = pod("a", "192.168.0.1", containers=[container(HTTP)], uid="1")
    second = pod("b", "192.168.0.1", containers=[container({"name": "http", "containerPort": 9090})], uid="2")
    assert sorted(one.netloc for one in backends(first, second)) == ["192.168.0.1:8080", "192.168.0.1:9090"]


# Ports


@pytest.mark.parametrize(
    ("port", "containers", "sidecars", "expected"),
    [
        ("http", [container(HTTP)], None, 8080),
        ("grpc", [container(HTTP), container(GRPC)], None, 50051),
        ("grpc", [container(HTTP)], [container(GRPC, restartPolicy="Always")], 50051),
        ("http", [container(HTTP)], [container({"name": "http", "containerPort": 1}, restartPolicy="Always")], 8080),
        ("http", [container(DNS), container(HTTP)], None, 8080),
        (9000, [container(HTTP)], None, 9000),
        (9000, [], None, 9000),
        (None, [container(HTTP), container(DNS), container()], None, 8080),
        (None, [container()], [container(HTTP, restartPolicy="Always")], 8080),
    ],
)
def test_a_port_is_searched_in_the_containers_and_then_in_the_sidecars(
    port: Any, containers: Any, sidecars: Any, expected: int
) -> None:
    assert only(pod(containers=containers, sidecars=sidecars), port=port).port == expected


@pytest.mark.parametrize(
    ("port", "containers", "sidecars"),
    [
        ("http", [container(GRPC)], None),
        ("http", [container(DNS)], None),
        ("http", [container({"name": "http", "containerPort": 8080, "protocol": "SCTP"})], None),
        ("grpc", [container(HTTP)], [container(GRPC)]),
        ("grpc", [container(HTTP)], [container(GRPC, restartPolicy="OnFailure")]),
        ("http", None, None),
        (None, [container(HTTP, GRPC)], None),
        (None, [container()], None),
        ("http", [container({"name": "http", "containerPort": 70000})], None),
    ],
)
def test_a_pod_without_the_port_is_shown_and_withheld(port: Any, containers: Any, sidecars: Any) -> None:
    one = pod(sidecars=sidecars)
    one["spec"]["containers"] = containers
    good = pod("web-2", "10.0.0.2", containers=[container(HTTP)]) if port != "grpc" else pod("web-2", "10.0.0.2")
    if port == "grpc":
        good["spec"]["containers"] = [container(GRPC)]
    found = set_of(one, good, port=port)
    delta = found.take()
    assert {key.address: why for key, why in delta.withheld.items()} == {
        "10.0.0.1": f"has no port {port}" if port else "has no port, or several and none is named"
    }
    assert sorted(one.port == 0 for one in delta.changed) == [False, True]
    assert found.problem() is None, "some have it"


def test_where_no_pod_has_the_port_the_ports_there_are_are_told() -> None:
    found = set_of(pod(containers=[container(GRPC, {"containerPort": 9090})]), port="http")
    problem = found.problem()
    assert isinstance(problem, PortNotFound)
    assert problem.ports == ("9090", "grpc")
    assert "in the namespace shop that match app=web have no port http. They have 9090, grpc" in str(problem)


def test_where_pods_have_several_ports_one_is_to_be_named() -> None:
    problem = set_of(pod(containers=[container(HTTP, GRPC)]), port=None).problem()
    assert isinstance(problem, PortNotFound)
    assert "more than one port. Name one of grpc, http" in str(problem)


def test_where_no_pod_names_any_port_its_number_is_to_be_written() -> None:
    for port in (None, "http"):
        problem = set_of(pod(containers=[container()]), port=port).problem()
        assert isinstance(problem, PortNotFound)
        assert problem.ports == ()
        assert "write its number" in str(problem)


def test_the_names_of_foreign_ports_are_quoted_and_cut() -> None:
    names = [{"name": f"p{number}\x1b[2J" + "x" * 500, "containerPort": number} for number in range(1, 100)]
    problem = str(set_of(pod(containers=[container(*names)])).problem())
    assert "\x1b" not in problem
    assert len(problem) < 3000


# What is said where there is nothing


def test_no_pod_at_all_is_told_with_the_selector() -> None:
    problem = set_of().problem()
    assert isinstance(problem, NoBackends)
    assert "no pod in the namespace shop matches app=web" in str(problem)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (pod("web-1", ""), "has no address yet"),
        (pod(phase="Failed"), "has ended (Failed)"),
    ],
)
def test_pods_that_cannot_be_called_are_told_with_the_reason(one: Pod, why: str) -> None:
    problem = set_of(one).problem()
    assert isinstance(problem, NoBackends)
    assert f"1 pods in the namespace shop match app=web, and none can be called: one {why}" in str(problem)


def test_pods_of_the_wrong_family_are_told() -> None:
    assert "one has no ipv6 address" in str(set_of(pod(), family="ipv6").problem())


def test_why_a_pod_cannot_be_called_is_told_for_as_long_as_that_holds() -> None:
    found = set_of(pod("web-1", ""))
    found.put_pod("web-1", body_of(pod()))
    found.put_pod("web-1", None)
    assert "no pod in the namespace shop matches" in str(found.problem())


def test_pods_that_are_only_not_ready_are_no_problem_of_the_target() -> None:
    assert set_of(pod(ready=False)).problem() is None


def test_a_problem_ends_when_its_cause_does() -> None:
    found = set_of(pod(containers=[container(GRPC)]))
    assert isinstance(found.problem(), PortNotFound)
    found.put_pod("web-1", body_of(pod()))
    assert found.problem() is None
    found.put_pod("web-1", None)
    assert isinstance(found.problem(), NoBackends)


# What a backend says of itself


def test_a_backend_carries_what_is_known_of_its_pod() -> None:
    one = pod(labels={"tier": "b", "app": "web", "topology.kubernetes.io/zone": "zone-a"})
    one["spec"]["hostname"] = "web-0"
    found = only(one)
    assert (found.node, found.zone, found.hostname) == ("node-1", "zone-a", "web-0")
    assert found.labels == (("app", "web"), ("tier", "b"), ("topology.kubernetes.io/zone", "zone-a"))
    assert found.pod is not None
    assert (found.pod.namespace, found.pod.name, found.pod.uid) == ("shop", "web-1", "uid-web-1")


def test_what_pods_have_in_common_is_kept_once() -> None:
    labels = {f"label-{number}": "x" for number in range(5)}
    first, second = backends(pod("a", "10.0.0.1", labels=labels), pod("b", "10.0.0.2", labels=labels))
    assert first.labels is second.labels
    assert only(pod(labels=dict(reversed(labels.items())))).labels is first.labels
    assert body_of(pod("a")).ports is body_of(pod("b")).ports


def test_a_line_of_a_watch_says_what_the_object_says() -> None:
    one = pod(labels={"app": "web"})
    line = json.dumps({"type": "ADDED", "object": one}).encode()
    assert decode_pod_line(line) == body_of(one)


def test_an_object_of_a_list_has_its_head_and_its_body_from_one_reading() -> None:
    raw = json.dumps(pod(labels={"app": "web"})).encode()
    held = KIND.from_json(raw)
    assert (held.namespace, held.name, held.uid, held.version, held.group) == (
        "shop",
        "web-1",
        "uid-web-1",
        "7",
        "app=web",
    )
    assert held.decode(held.body) == decode_pod(raw)


# Laws, by chance

NAMES = ["a", "b", "c", "d"]
V4, V6 = st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from(["fd00::1", "FD00::2"])
IPS = st.one_of(*[st.tuples(V4)] * 3, st.tuples(V6), st.tuples(V4, V6), st.tuples(V6, V4), st.just(("",)))
PORTS = st.lists(st.sampled_from([HTTP, HTTP, GRPC, DNS, {"name": "http", "containerPort": 9090}]), max_size=2)
SIDECARS = st.one_of(
    st.none(),
    st.builds(
        lambda ports, policy: [container(*ports, restartPolicy=policy)], PORTS, st.sampled_from(["Always", None])
    ),
)
PHASES = st.sampled_from(["Running", "Running", "Running", "Pending", "Succeeded", "Failed"])
LOOKS = st.builds(
    lambda ips, ready, deleting, phase, ports, sidecars, uid: {
        "ips": ips,
        "ready": ready,
        "deleting": deleting,
        "phase": phase,
        "containers": [container(*ports)],
        "sidecars": sidecars,
        "generation": uid,
    },
    *(IPS, st.booleans(), st.booleans(), PHASES, PORTS, SIDECARS, st.sampled_from("12")),
)
STATES = st.dictionaries(st.sampled_from(NAMES), st.none() | LOOKS, max_size=4)
TARGETS = st.builds(
    Pods,
    st.just("app=web"),
    namespace=st.just("shop"),
    port=st.sampled_from(["http", "http", "grpc", 8080]),
    family=st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]),
)
State = dict[str, dict[str, Any] | None]


def made(name: str, look: dict[str, Any] | None) -> Pod | None:
    if look is None:
        return None
    look = dict(look)
    ips = look.pop("ips")
    return pod(name, *ips, uid=f"uid-{name}-{look.pop('generation')}", **look)


def slices_of(one: Pod, port: str | int) -> dict[str, SliceBody]:
    """What the endpoint slice controller writes of one pod, for a Service whose port `p` has this target port.

    A slice of its own for each pod and family; kube-proxy takes the first address of each endpoint.
    """
    status, spec, meta = one["status"], one["spec"], one["metadata"]
    if status["phase"] in ("Succeeded", "Failed"):
        return {}
    number = port if isinstance(port, int) else None
    containers = spec["containers"] + [
        one for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"
    ]
    for each in [there for one in containers for there in one["ports"]]:
        if number is None and each["name"] == port and each.get("protocol", "TCP") == "TCP":
            number = each["containerPort"]
    serving = any(one == {"type": "Ready", "status": "True"} for one in status["conditions"])
    leaving = "deletionTimestamp" in meta
    conditions = {"ready": serving and not leaving, "serving": serving, "terminating": leaving}
    target = {"kind": "Pod", "namespace": "shop", "name": meta["name"], "uid": meta["uid"]}
    found = {}
    for family, six in (("IPv4", False), ("IPv6", True)):
        addresses = [one["ip"] for one in status.get("podIPs", []) if (":" in one["ip"]) is six]
        if addresses:
            endpoint = {"addresses": addresses, "conditions": conditions, "targetRef": target, "nodeName": "node-1"}
            ports = [] if number is None else [{"name": "p", "port": number, "protocol": "TCP"}]
            found[f"{meta['name']}-{family}"] = slice_body(family, endpoint, ports)
    return found


def slice_body(family: str, endpoint: dict[str, Any], ports: list[dict[str, Any]]) -> SliceBody:
    return decode_slice(json.dumps({"addressType": family, "endpoints": [endpoint], "ports": ports}).encode())


def seen(found: dict[BackendId, Backend]) -> set[tuple[Any, ...]]:
    return {
        (one.address, one.port, one.id.uid, one.ready, one.serving, one.terminating, one.node)
        for one in found.values()
        if one.port
    }


class Told:
    """A reader of deltas, as strict as it can be."""

    def __init__(self, found: Any) -> None:
        self._found = found
        self.backends: dict[BackendId, Backend] = {}
        self.withheld: dict[BackendId, str] = {}

    def take(self) -> None:
        delta = self._found.take()
        changed = [backend.id for backend in delta.changed]
        assert len(set(changed)) == len(changed)
        assert set(changed).isdisjoint(delta.removed), "one thing cannot have come and gone"
        assert delta.withheld.keys() <= set(changed)
        for key in (*delta.removed, *changed):
            self.backends.pop(key, None)
            self.withheld.pop(key, None)
        self.backends.update((backend.id, backend) for backend in delta.changed)
        self.withheld.update(delta.withheld)


def alone(target: Pods, state: State) -> Told:
    """What a set gives that was told this state and nothing before."""
    found = PodSet(target)
    for name, look in state.items():
        one = made(name, look)
        found.put_pod(name, body_of(one) if one else None)
    told = Told(found)
    told.take()
    return told


@settings(max_examples=400)
@given(TARGETS, STATES)
def test_pods_give_what_a_service_with_their_selector_gives(target: Pods, state: State) -> None:
    """The same pods through a model of the endpoint slice controller, and what it writes through an endpoint set."""
    assert target.port is not None
    service = EndpointSet(Endpoints("web", namespace="shop", port="p", family=target.family), Place())
    for name, look in state.items():
        one = made(name, look)
        for slice_, body in slices_of(one, target.port).items() if one else ():
            service.put(slice_, body)
    by_service = Told(service)
    by_service.take()
    assert seen(alone(target, state).backends) == seen(by_service.backends)


@settings(max_examples=400)
@given(TARGETS, st.lists(STATES, min_size=1, max_size=5), st.randoms(use_true_random=True))
def test_any_order_of_events_duplicates_and_relists_ends_in_what_the_last_state_alone_gives(
    target: Pods, states: list[State], chance: random.Random
) -> None:
    found = PodSet(target)
    told, now = Told(found), State()
    for state in states:
        now |= state
        events = list(state.items()) if chance.random() < 0.7 else list(now.items())  # or all of it: a list
        events += chance.choices(events, k=2) if events else []
        chance.shuffle(events)
        for name, look in events:
            one = made(name, look)
            found.put_pod(name, body_of(one) if one else None)
            if chance.random() < 0.3:
                told.take()
    told.take()
    expected = alone(target, now)
    assert (told.backends, told.withheld) == (expected.backends, expected.withheld)
    told.take()
    assert told.backends == expected.backends, "and nothing is told again"


@given(TARGETS, STATES, st.permutations(NAMES))
def test_the_order_of_pods_means_nothing(target: Pods, state: State, order: list[str]) -> None:
    other = {name: state[name] for name in order if name in state}
    assert alone(target, other).backends == alone(target, state).backends


# Through the resolver


class Watched:
    """The watch of one resolver, played by hand, and what came of it."""

    def __init__(self, target: Pods) -> None:
        self.events: list[Event] = []
        self.asked: list[tuple[str, str, str]] = []
        self.open = 0
        self.membership = Membership("test://web", emit=lambda _: None, clock=lambda: 0.0)
        self._resolver = pods_resolver(target, self._subscribe, self.events.append)

    def _subscribe(self, kind: Any, namespace: str, group: str, reader: Feed, /) -> Callable[[], None]:
        self.asked.append((kind.resource, namespace, group))
        self.feed = reader
        self.open += 1

        def leave() -> None:
            self.open -= 1

        return leave

    def tell(self, name: str, one: Pod | None) -> None:
        self.feed.changed({name: None if one is None else KIND.from_json(json.dumps(one).encode())})

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._resolver.run(self.membership))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def addresses(self) -> list[str]:
        return [one.address for one in self.membership.snapshot().backends]


def test_one_watch_selects_the_pods_and_ends_with_the_resolver() -> None:
    async def scene() -> None:
        watched = Watched(Pods("tier in (b,a), app==web", namespace="shop"))
        async with watched:
            assert watched.asked == [("pods", "shop", "app=web,tier in (a,b)")]
            assert watched.open == 1
        assert watched.open == 0

    asyncio.run(scene())


def test_a_pod_with_fields_of_the_wrong_type_is_skipped_with_one_event_and_the_rest_is_kept() -> None:
    async def scene() -> None:
        async with Watched(Pods("app=web", namespace="shop", port="http")) as watched:
            for name, ips in (("a", "10.0.0.1"), ("b", "10.0.0.2")):
                watched.tell(name, pod(name, ips))
            bad = pod("c", "10.0.0.3")
            bad["status"]["podIP"] = 5
            worse = pod("d", "10.0.0.4")
            worse["spec"]["containers"][0]["ports"] = [{"containerPort": "many"}]
            watched.tell("c", bad)
            watched.tell("d", worse)
            watched.feed.synced()
            await watched.settle()
            assert watched.addresses == ["10.0.0.1", "10.0.0.2"]
            told = [(event.name, event.subject) for event in watched.events]
            assert told == [("object.unreadable", "shop/c"), ("object.unreadable", "shop/d")]

    asyncio.run(scene())


def test_a_pod_that_becomes_unreadable_stays_as_it_was() -> None:
    async def scene() -> None:
        async with Watched(Pods("app=web", namespace="shop", port="http")) as watched:
            watched.tell("a", pod("a"))
            watched.feed.synced()
            await watched.settle()
            bad = pod("a")
            bad["status"]["conditions"] = "none"
            watched.tell("a", bad)
            await watched.settle()
            assert watched.addresses == ["10.0.0.1"]

    asyncio.run(scene())


def test_no_pods_are_told_by_the_pools_error_as_soon_as_that_is_known() -> None:
    async def scene() -> None:
        async with Watched(Pods("app=web", namespace="shop")) as watched:
            assert watched.membership.synced_at is None
            watched.feed.synced()
            await watched.settle()
            assert "no pod in the namespace shop matches app=web" in str(watched.membership.why_empty())

    asyncio.run(scene())


@settings(max_examples=150)
@given(TARGETS, st.lists(STATES, min_size=1, max_size=4), st.randoms(use_true_random=True))
def test_a_resolver_offers_what_the_last_state_gives_however_its_events_fall_together(
    target: Pods, states: list[State], chance: random.Random
) -> None:
    async def scene() -> None:
        now = State()
        async with Watched(target) as watched:
            for state in states:
                now |= state
                for name, look in chance.sample(list(state.items()), len(state)):
                    watched.tell(name, made(name, look))
                    if chance.random() < 0.3:
                        await asyncio.sleep(0)
                if chance.random() < 0.5:
                    watched.feed.synced()
            watched.feed.synced()
            await watched.settle()
            there = [one for one in alone(target, now).backends.values() if one.port]
            ready = [one for one in there if one.ready] or [one for one in there if one.serving and one.terminating]
            assert set(watched.membership.snapshot().backends) == set(ready)

    asyncio.run(scene())


# Over HTTP, from a simulated cluster


def offered(pool: Pool) -> set[tuple[str, str]]:
    return {(one.netloc, one.id.uid) for one in pool.backends}


async def test_pods_are_followed_over_http_as_the_service_of_the_same_pods_is(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=3, grace=0.05)
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        by_label, by_service = disco.pool("pods:///app==web:http"), disco.pool("endpoints:///web:http")
        assert by_label.name == f"pods://{fake_cluster.namespace}/app=web:http"
        await asyncio.gather(by_label.ready(5), by_service.ready(5))

        async def agreed(ready: int) -> None:
            await until(lambda: len(offered(by_label)) == ready and offered(by_label) == offered(by_service))

        await agreed(3)
        web.set_ready(web.pods[0], ready=False)
        await agreed(2)
        await web.scale(5)
        await agreed(4)
        await web.rolling_restart()
        await agreed(5)
        assert offered(by_label) == {(f"{one.address}:{one.port}", one.uid) for one in web.pods}
        await web.scale(0)
        await agreed(0)
        await until(lambda: by_label.status.last_error is not None)
        with pytest.raises(NoBackends, match=r"no pod in the namespace .+ matches app=web"):
            by_label.pick()


async def test_only_the_selected_pods_are_asked_for_by_one_list_and_one_watch(fake_cluster: FakeCluster) -> None:
    for name in ("web", "api", "db"):
        await fake_cluster.deploy(name)
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pools = [disco.pool(f"pods:///app in ({names}):http") for names in ("web,api", "api, web", "api,web,api")]
        assert len({id(pool) for pool in pools}) == 1, "one spelling, one pool"
        await pools[0].ready(5)
        await until(lambda: len(pools[0].backends) == 2)
        asked = fake_cluster.requests
        await until(lambda: len(asked) > 1)
        assert [(one.verb, one.path.rpartition("/")[2]) for one in asked] == [("list", "pods"), ("watch", "pods")]
        assert {one.query["labelSelector"] for one in asked} == {"app in (api,web)"}


async def test_pools_of_one_selector_and_several_ports_share_a_watch(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pools = [disco.pool(f"pods:///app=web{port}") for port in (":http", ":9000", "", "?family=ipv4")]
        await asyncio.gather(*(pool.ready(5) for pool in pools))
        await until(lambda: len(fake_cluster.requests) > 1)
        assert [one.verb for one in fake_cluster.requests] == ["list", "watch"]
        assert pools[1].backends[0].port == 9000
        assert pools[2].backends == pools[0].backends


async def test_a_pod_whose_labels_no_longer_match_leaves(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web", replicas=2)
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pool = disco.pool("pods:///app=web:http")
        await pool.ready(5)
        await until(lambda: len(pool.backends) == 2)
        first, *_ = fake_cluster.objects("pods")
        fake_cluster.apply({**first, "metadata": {**first["metadata"], "labels": {"app": "debug"}}})
        await until(lambda: len(pool.backends) == 1)
        assert first["metadata"]["uid"] not in {one.id.uid for one in pool.backends}
