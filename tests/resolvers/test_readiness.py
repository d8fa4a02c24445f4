"""EndpointSlices merged into one set: the rules S1 to S14, case by case, and one law over all of them."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import DiscoveryError, NoEndpoints, PortNotFound, ServiceNotFound
from discovery.kube.objects import ServiceBody, SliceBody
from discovery.model import Backend, BackendId
from discovery.resolvers.addresses import canonical
from discovery.resolvers.readiness import EndpointSet
from discovery.targets import Endpoints

HTTP = {"name": "http", "port": 8080}


def endpoint(address: str, **more: Any) -> dict[str, Any]:
    """An endpoint; `ready`, `serving` and `terminating` go into its conditions."""
    conditions = {name: more.pop(name) for name in ("ready", "serving", "terminating") if name in more}
    return {"addresses": [address], "conditions": conditions, **more}


def slice_of(*endpoints: str | dict[str, Any], ports: Any = (HTTP,), kind: str = "IPv4") -> SliceBody:
    """A slice as its JSON would be read."""
    there = [endpoint(one) if isinstance(one, str) else one for one in endpoints]
    return msgspec.convert({"addressType": kind, "endpoints": there, "ports": ports}, SliceBody)


def service_of(*ports: dict[str, Any], **spec: Any) -> ServiceBody:
    """A Service as its JSON would be read."""
    spec = {"clusterIP": "10.96.0.1", "selector": {"app": "web"}, "ports": list(ports), **spec}
    return msgspec.convert({"spec": spec}, ServiceBody)


class Kept:
    """An endpoint set, and what its deltas add up to."""

    def __init__(self, port: str | int | None = "http", **target: Any) -> None:
        self.set = EndpointSet(Endpoints("web", namespace="shop", port=port, **target))
        self.backends: dict[BackendId, Backend] = {}

    def put(self, **slices: SliceBody | None) -> "Kept":
        for name, body in slices.items():
            self.set.put(name, body)
        return self.take()

    def serve(self, service: ServiceBody | None) -> "Kept":
        self.set.serve(service)
        return self.take()

    def take(self) -> "Kept":
        """A removal of what was never told is nothing, as it is to every sink."""
        delta = self.set.take()
        gone = [key for key in delta.removed if self.backends.pop(key, None)]
        self.backends.update((backend.id, backend) for backend in delta.changed)
        self.last = len(delta.changed) + len(gone)
        return self

    @property
    def places(self) -> list[str]:
        return sorted(backend.netloc for backend in self.backends.values())


def test_the_set_is_the_union_of_the_slices() -> None:
    kept = Kept().put(a=slice_of("10.0.0.1"), b=slice_of("10.0.0.2"))
    assert kept.places == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_a_slice_that_goes_or_empties_takes_only_its_own() -> None:
    kept = Kept().put(a=slice_of("10.0.0.1"), b=slice_of("10.0.0.2"), c=slice_of("10.0.0.3"))
    assert kept.put(a=None).places == ["10.0.0.2:8080", "10.0.0.3:8080"]
    assert kept.put(b=slice_of()).places == ["10.0.0.3:8080"]


@pytest.mark.parametrize("first", ["leaves a", "joins b"])
def test_an_endpoint_that_moves_between_slices_is_never_gone_once_both_are_told(first: str) -> None:
    kept = Kept().put(a=slice_of("10.0.0.1", "10.0.0.2"), b=slice_of("10.0.0.3"))
    leaves, joins = {"a": slice_of("10.0.0.1")}, {"b": slice_of("10.0.0.3", "10.0.0.2")}
    for name, body in ({**leaves, **joins} if first == "leaves a" else {**joins, **leaves}).items():
        kept.set.put(name, body)
    kept.take()
    assert kept.places == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_an_address_in_two_slices_is_there_once_and_the_living_one_counts(names: tuple[str, str]) -> None:
    """Case 36: a terminating ghost and a ready pod on one address, in either order."""
    ghost = slice_of(endpoint("10.0.0.1", ready=False, serving=True, terminating=True))
    (backend,) = Kept().put(**{names[0]: ghost, names[1]: slice_of("10.0.0.1")}).backends.values()
    assert (backend.ready, backend.terminating) == (True, False)


def test_one_address_with_two_ports_is_two_backends() -> None:
    """Case 33."""
    kept = Kept(None, hostname=None).put(
        a=slice_of("10.0.0.1", ports=[{"port": 80}]), b=slice_of("10.0.0.1", ports=[{"port": 8080}])
    )
    assert kept.places == ["10.0.0.1:80", "10.0.0.1:8080"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, (True, True, False)),
        ({"ready": None, "serving": None, "terminating": None}, (True, True, False)),
        ({"ready": True, "serving": True, "terminating": False}, (True, True, False)),
        ({"ready": False, "serving": True, "terminating": True}, (False, True, True)),
        ({"ready": False, "serving": False, "terminating": True}, (False, False, True)),
        ({"ready": True, "serving": False, "terminating": False}, (True, False, False)),
        ({"ready": True, "serving": True, "terminating": True}, (True, True, True)),
    ],
)
def test_what_is_missing_means_ready_serving_and_not_terminating(
    conditions: dict[str, bool], expected: tuple[bool, bool, bool]
) -> None:
    (backend,) = Kept().put(a=slice_of(endpoint("10.0.0.1", **conditions))).backends.values()
    assert (backend.ready, backend.serving, backend.terminating) == expected


@pytest.mark.parametrize("endpoints", [None, []])
@pytest.mark.parametrize("ports", [None, [], [{"name": "http"}], [{"name": "http", "port": None}]])
def test_null_lists_and_ports_are_nothing_and_no_error(endpoints: Any, ports: Any) -> None:
    body = msgspec.convert({"addressType": "IPv4", "endpoints": endpoints, "ports": ports}, SliceBody)
    assert Kept().put(a=body).places == []
    full = msgspec.convert(
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": ports}, SliceBody
    )
    assert Kept().put(a=full).places == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("010.000.0.1", "10.0.0.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("web.example", None),
        ("", None),
        ("10.0.0.256", None),
    ],
)
def test_an_address_has_one_spelling_or_is_none(written: str, read: str | None) -> None:
    assert canonical(written) == read


def test_what_is_no_address_is_counted_and_the_rest_holds() -> None:
    kept = Kept().put(a=slice_of("10.0.0.1", "nonsense", {"addresses": []}, {"addresses": None}))
    assert (kept.places, kept.set.unreadable) == (["10.0.0.1:8080"], 1)


def test_only_the_first_address_counts_and_names_are_no_addresses() -> None:
    kept = Kept().put(a=slice_of({"addresses": ["10.0.0.1", "10.0.0.2"]}), b=slice_of("web.example", kind="FQDN"))
    assert kept.places == ["10.0.0.1:8080"]


# Ports


def test_a_named_port_is_looked_up_in_each_slice() -> None:
    """Mid-rollout the container port changes; a slice without the port contributes nothing (cases 52, 53)."""
    kept = Kept().put(
        a=slice_of("10.0.0.1"),
        b=slice_of("10.0.0.2", ports=[{"name": "http", "port": 9090}]),
        c=slice_of("10.0.0.3", ports=[{"name": "grpc", "port": 50051}]),
    )
    assert kept.places == ["10.0.0.1:8080", "10.0.0.2:9090"]


def test_only_tcp_ports_are_meant() -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 8080, "protocol": "TCP"}]
    assert Kept(None).put(a=slice_of("10.0.0.1", ports=ports)).places == ["10.0.0.1:8080"]


def test_no_port_means_the_only_one_and_with_several_it_is_asked_which() -> None:
    kept = Kept(None).put(a=slice_of("10.0.0.1"))
    assert kept.places == ["10.0.0.1:8080"]
    kept.put(b=slice_of("10.0.0.2", ports=[{"name": "grpc", "port": 50051}]))
    assert kept.places == []
    problem = kept.set.problem()
    assert isinstance(problem, PortNotFound)
    assert problem.ports == ("grpc", "http")
    assert kept.put(b=None).places == ["10.0.0.1:8080"]


def test_a_number_is_the_services_and_leads_to_the_name_in_the_slices() -> None:
    service = service_of({"name": "http", "port": 80, "targetPort": 8080})
    kept = Kept(80).put(a=slice_of("10.0.0.1"))
    assert kept.places == [], "nothing is known of the number yet"
    assert kept.serve(service).places == ["10.0.0.1:8080"]


def test_a_change_of_the_services_ports_is_followed() -> None:
    kept = Kept(80).put(a=slice_of("10.0.0.1", ports=[HTTP, {"name": "grpc", "port": 50051}]))
    assert kept.serve(service_of({"name": "http", "port": 80})).places == ["10.0.0.1:8080"]
    assert kept.serve(service_of({"name": "grpc", "port": 80})).places == ["10.0.0.1:50051"]
    assert kept.serve(service_of({"name": "grpc", "port": 81})).places == []
    assert kept.serve(None).places == []


def test_a_headless_service_is_found_by_its_target_port_too_and_no_other_is() -> None:
    port = {"name": "http", "port": 80, "targetPort": 8080}
    kept = Kept(8080).put(a=slice_of("10.0.0.1"))
    assert kept.serve(service_of(port)).places == []
    assert kept.serve(service_of(port, clusterIP="None")).places == ["10.0.0.1:8080"]


def test_a_hostname_means_one_pod() -> None:
    """Case 59."""
    pods = [endpoint(f"10.0.0.{n}", hostname=f"web-{n}") for n in range(3)]
    assert Kept(hostname="web-1").put(a=slice_of(*pods)).places == ["10.0.0.1:8080"]


# Families

DUAL = {
    "a": slice_of(endpoint("10.0.0.1", targetRef={"kind": "Pod", "name": "one", "uid": "1"})),
    "b": slice_of(endpoint("fd00::1", targetRef={"kind": "Pod", "name": "one", "uid": "1"}), kind="IPv6"),
    "c": slice_of(endpoint("fd00::2", targetRef={"kind": "Pod", "name": "two", "uid": "2"}), kind="IPv6"),
}


@pytest.mark.parametrize(
    ("family", "places"),
    [
        ("prefer-ipv4", ["10.0.0.1:8080", "[fd00::2]:8080"]),
        ("prefer-ipv6", ["[fd00::1]:8080", "[fd00::2]:8080"]),
        ("ipv4", ["10.0.0.1:8080"]),
        ("ipv6", ["[fd00::1]:8080", "[fd00::2]:8080"]),
    ],
)
def test_a_pod_with_both_addresses_counts_once(family: Any, places: list[str]) -> None:
    assert Kept(family=family).put(**DUAL).places == places
    assert Kept(family=family).put(**dict(reversed(DUAL.items()))).places == places


def test_when_the_preferred_address_goes_the_other_takes_its_place() -> None:
    kept = Kept().put(**DUAL)
    assert kept.put(a=None).places == ["[fd00::1]:8080", "[fd00::2]:8080"]


# What changes


@pytest.mark.parametrize("again", [slice_of("10.0.0.2", "10.0.0.1"), slice_of("10.0.0.1", "10.0.0.2")])
def test_the_same_said_otherwise_is_no_change(again: SliceBody) -> None:
    assert Kept().put(a=slice_of("10.0.0.1", "10.0.0.2")).put(a=again).last == 0


def test_a_burst_is_one_change_with_the_last_state() -> None:
    kept = Kept().put(a=slice_of("10.0.0.1"))
    for n in range(2, 10):
        kept.set.put("a", slice_of(f"10.0.0.{n}"))
    assert kept.take().places == ["10.0.0.9:8080"]
    assert kept.last == 2, "one came, one went"


def test_a_new_pod_on_an_old_address_is_another_backend() -> None:
    pods = [endpoint("10.0.0.1", targetRef={"kind": "Pod", "name": "web", "uid": uid}) for uid in ("1", "2")]
    kept = Kept().put(a=slice_of(pods[0])).put(a=slice_of(pods[1]))
    assert kept.last == 2
    assert [backend.id.uid for backend in kept.backends.values()] == ["2"]


def test_five_thousand_endpoints_are_no_limit() -> None:
    bodies = {f"s{n}": slice_of(*(f"10.{n}.0.{i}" for i in range(100))) for n in range(50)}
    assert len(Kept().put(**bodies).backends) == 5000


# Why there is nothing


@pytest.mark.parametrize(
    ("port", "slices", "service", "kind", "says"),
    [
        ("http", {}, None, ServiceNotFound, "no EndpointSlice belongs to the Service web in the namespace shop"),
        (80, {}, None, ServiceNotFound, "the Service web in the namespace shop does not exist"),
        (80, {}, service_of({"port": 80}, selector=None), NoEndpoints, "(no selector). Call it by its DNS name"),
        (80, {}, service_of(type="ExternalName", externalName="x.example"), NoEndpoints, "(an ExternalName)"),
        (81, {"a": slice_of("10.0.0.1")}, service_of({"name": "http", "port": 80}), PortNotFound, "It has http=80"),
        ("grpc", {"a": slice_of("10.0.0.1")}, None, PortNotFound, "has no port grpc. It has http"),
        ("http", {"a": slice_of()}, None, None, ""),
        ("http", {"a": slice_of(ports=None)}, None, None, ""),
    ],
)
def test_what_is_wrong_is_said_with_the_next_step(
    port: Any, slices: dict[str, SliceBody], service: ServiceBody | None, kind: type[DiscoveryError] | None, says: str
) -> None:
    kept = Kept(port).serve(service).put(**slices)
    problem = kept.set.problem()
    assert type(problem) is (kind or type(None))
    assert says in str(problem)


# The law

CONDITIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.booleans()))
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2"])
PODS = st.sampled_from([None, {"kind": "Pod", "uid": "1"}, {"kind": "Pod", "uid": "2"}])
ENDPOINTS = st.builds(
    lambda address, conditions, pod: endpoint(address, **conditions, targetRef=pod), ADDRESSES, CONDITIONS, PODS
)
PORTS = st.lists(st.sampled_from([HTTP, {"name": "grpc", "port": 50051}, {"name": "http", "port": 9090}]), max_size=2)
BODIES = st.one_of(
    st.none(), st.builds(lambda found, ports: slice_of(*found, ports=ports), st.lists(ENDPOINTS, max_size=4), PORTS)
)
SERVICES = st.sampled_from(
    [None, service_of({"name": "http", "port": 80}), service_of({"name": "grpc", "port": 80}, clusterIP="None")]
)
STEPS = st.lists(
    st.one_of(st.tuples(st.sampled_from("abc"), BODIES), st.tuples(st.just("service"), SERVICES)), max_size=12
)


@given(
    STEPS, st.sampled_from(["http", 80, 50051, None]), st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"])
)
def test_any_history_ends_in_the_same_set_as_its_last_state_told_at_once(
    steps: list[tuple[str, Any]], port: Any, family: Any
) -> None:
    """Deltas add up, and nothing depends on the order of the slices."""
    lived, last = Kept(port, family=family), dict[str, Any]()
    for name, body in steps:
        last[name] = body
        if name == "service":
            lived.serve(body)
        else:
            lived.put(**{name: body})
    for order in (last.items(), reversed(last.items())):
        assert told(port, family, order) == lived.backends


def told(port: Any, family: Any, last: Iterable[tuple[str, Any]]) -> dict[BackendId, Backend]:
    fresh = Kept(port, family=family)
    for name, body in last:
        if name == "service":
            fresh.set.serve(body)
        else:
            fresh.set.put(name, body)
    return fresh.take().backends
