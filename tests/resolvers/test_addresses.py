"""The Service's own addresses, in the cluster and at its load balancer, case by case and by chance."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.errors import DiscoveryError, NoBackends, NoEndpoints, PortNotFound, ServiceNotFound
from discovery.kube.objects import ServiceBody, decode_service
from discovery.model import Backend, BackendId
from discovery.resolvers.address_set import AddressSet, ClusterIPSet, LoadBalancerSet
from discovery.resolvers.of_service import cluster_ip_resolver, load_balancer_resolver
from discovery.targets import ClusterIP, LoadBalancer, parse

from ..until import until
from .scenes import Following, Kept, Wire

HTTP, GRPC = {"name": "http", "port": 80, "appProtocol": "h2c"}, {"name": "grpc", "port": 50051}
DNS = {"name": "dns", "port": 53, "protocol": "UDP"}


def service(*ports: dict[str, Any], ingress: Any = None, **spec: Any) -> ServiceBody:
    """A Service as its JSON would be read."""
    spec = {"clusterIPs": ["10.96.0.10"], "ports": list(ports or (HTTP,)), **spec}
    return decode_service(json.dumps({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}).encode())


def balanced(*ingress: Any, ports: Any = (HTTP,), **spec: Any) -> ServiceBody:
    """One of the type LoadBalancer."""
    return service(*ports, type="LoadBalancer", ingress=list(ingress), **spec)


def cluster_ip(body: ServiceBody | None, port: Any = None, **target: Any) -> Kept:
    return told(ClusterIPSet(ClusterIP("web", namespace="shop", port=port, **target)), body)


def load_balancer(body: ServiceBody | None, port: Any = None, **target: Any) -> Kept:
    return told(LoadBalancerSet(LoadBalancer("web", namespace="shop", port=port, **target)), body)


def told(found: AddressSet, body: ServiceBody | None) -> Kept:
    found.put("web", body)
    kept = Kept(found)
    kept.take()
    return kept


def problem(kept: Kept) -> DiscoveryError:
    found = kept.found.problem()
    assert found is not None
    assert kept.places == []
    return found


# In the cluster


@pytest.mark.parametrize(
    ("family", "addresses", "expected"),
    [
        ("prefer-ipv4", ["10.96.0.10", "fd00::10"], ["10.96.0.10:80"]),
        ("prefer-ipv4", ["fd00::10", "10.96.0.10"], ["10.96.0.10:80"]),
        ("prefer-ipv4", ["FD00::0010"], ["[fd00::10]:80"]),
        ("prefer-ipv6", ["10.96.0.10", "fd00::10"], ["[fd00::10]:80"]),
        ("prefer-ipv6", ["10.96.0.10"], ["10.96.0.10:80"]),
        ("ipv4", ["fd00::10", "10.96.0.10"], ["10.96.0.10:80"]),
        ("ipv6", ["fd00::10", "10.96.0.10"], ["[fd00::10]:80"]),
        ("ipv4", ["fd00::10"], []),
        ("ipv6", ["10.96.0.10"], []),
    ],
)
def test_a_service_is_one_place_by_the_family_that_is_wanted(
    family: Any, addresses: list[str], expected: list[str]
) -> None:
    kept = cluster_ip(service(clusterIPs=addresses), family=family)
    assert kept.places == expected
    found = kept.found.problem()
    assert (found is None) is bool(expected)
    if not expected:
        assert isinstance(found, NoBackends)
        assert f"no address of the family {family}: it has {addresses[0]}" in str(found)


@pytest.mark.parametrize(
    ("port", "ports", "expected"),
    [
        ("http", [HTTP, GRPC], [80]),
        (50051, [HTTP, GRPC], [50051]),
        (None, [HTTP], [80]),
        (None, [DNS, HTTP], [80]),
        (None, [HTTP, GRPC], []),
        ("dns", [DNS, HTTP], []),
        (53, [DNS, HTTP], []),
        ("https", [HTTP], []),
        (None, [DNS], []),
        (None, [], []),
    ],
)
@pytest.mark.parametrize("kind", [ClusterIPSet, LoadBalancerSet])
def test_a_port_is_meant_by_name_or_number_or_is_the_only_one_for_tcp(
    kind: Any, port: Any, ports: list[Any], expected: list[int]
) -> None:
    body = balanced({"ip": "198.51.100.7"}, ports=ports)
    target = (ClusterIP if kind is ClusterIPSet else LoadBalancer)("web", namespace="shop", port=port)
    kept = told(kind(target), decode_service(b'{"spec":{"type":"LoadBalancer"}}') if not ports else body)
    assert [backend.port for backend in kept.backends.values()] == expected
    if not expected:
        assert isinstance(problem(kept), PortNotFound)


def test_a_missing_port_is_told_with_those_there_are() -> None:
    found = problem(cluster_ip(service(HTTP, DNS, {"port": 443}), "https"))
    assert isinstance(found, PortNotFound)
    assert found.ports == ("http=80", "dns=53/UDP", "443")
    assert str(found) == (
        "the Service web in the namespace shop has no TCP port https. It has http=80, dns=53/UDP, 443"
    )
    assert "has more than one port. Name one of http=80, grpc=50051" in str(problem(cluster_ip(service(HTTP, GRPC))))


def test_what_is_known_of_the_port_is_told_with_it() -> None:
    (backend,) = cluster_ip(service()).backends.values()
    assert backend == Backend(address="10.96.0.10", port=80, app_protocol="h2c")


@pytest.mark.parametrize(
    ("body", "port", "kind", "says"),
    [
        (None, "http", ServiceNotFound, "does not exist. Check its name and namespace"),
        (service(clusterIP="None", clusterIPs=["None"]), "http", NoEndpoints, "Use endpoints://shop/web:http"),
        (service(clusterIP="None", clusterIPs=["None"]), None, NoEndpoints, "Use endpoints://shop/web"),
        (service(type="ExternalName", externalName="db.example"), "http", NoEndpoints, "Use dns://db.example:80"),
        (service(type="ExternalName", externalName="db.example"), 5432, NoEndpoints, "Use dns://db.example:5432"),
        (service(type="ExternalName", externalName="db.example"), "x", NoEndpoints, "Use dns://db.example:PORT"),
        (service(type="ExternalName", externalName="\x1b[2J\n"), 80, NoEndpoints, "for \\x1b[2J\\n"),
        (service(clusterIPs=[]), "http", NoBackends, "has no cluster IP yet"),
    ],
)
def test_a_service_without_a_cluster_ip_says_what_to_use_instead(
    body: ServiceBody | None, port: Any, kind: type[Exception], says: str
) -> None:
    found = problem(cluster_ip(body, port))
    assert type(found) is kind
    assert says in str(found)
    assert str(found).isprintable()


def test_what_is_recommended_can_be_read() -> None:
    for body in (service(clusterIP="None"), service(type="ExternalName", externalName="db.example")):
        step = problem(cluster_ip(body, "http")).next_step
        parse(step.removeprefix("Use "))


# At the load balancer


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("prefer-ipv4", ["198.51.100.7:80", "198.51.100.8:80", "lb.example.com:80"]),
        ("prefer-ipv6", ["[2001:db8::7]:80", "lb.example.com:80"]),
        ("ipv4", ["198.51.100.7:80", "198.51.100.8:80", "lb.example.com:80"]),
        ("ipv6", ["[2001:db8::7]:80", "lb.example.com:80"]),
    ],
)
def test_all_addresses_of_the_family_count_and_names_are_of_both(family: Any, expected: list[str]) -> None:
    ingress: list[dict[str, str]] = [
        {"ip": "198.51.100.7"},
        {"hostname": "LB.example.com"},
        {"ip": "2001:DB8::7"},
        {"ip": "198.51.100.8"},
        {"ip": "198.51.100.7"},
    ]
    assert load_balancer(balanced(*ingress), family=family).places == expected


def test_the_only_family_there_is_counts_where_another_is_only_preferred() -> None:
    body = balanced({"ip": "198.51.100.7"})
    assert load_balancer(body, family="prefer-ipv6").places == ["198.51.100.7:80"]
    found = problem(load_balancer(body, family="ipv6"))
    assert isinstance(found, NoBackends)
    assert "has no address of the family ipv6" in str(found)


def test_what_is_no_address_is_counted_and_the_rest_holds() -> None:
    kept = load_balancer(balanced({"ip": "nonsense"}, {"hostname": "10.0.0.256"}, {}, {"ip": "198.51.100.7"}))
    assert (kept.places, kept.found.unreadable) == (["198.51.100.7:80"], 3)


def test_a_port_that_could_not_be_opened_is_shown_and_withheld() -> None:
    errors = [{"port": 80, "protocol": "TCP", "error": "\x1b[2JQuota"}, {"port": 50051, "protocol": "TCP"}]
    broken: dict[str, Any] = {"ip": "198.51.100.7", "ports": errors}
    body = balanced(broken, {"ip": "198.51.100.8"}, {"ip": "198.51.100.7"}, ports=(HTTP, GRPC))
    kept = load_balancer(body, "http")
    assert kept.places == ["198.51.100.8:80"]
    assert kept.reasons == {"198.51.100.7": "the load balancer could not open port 80: '\\x1b[2JQuota'"}
    assert load_balancer(body, "grpc").places == ["198.51.100.7:50051", "198.51.100.8:50051"]
    kept.found.put("web", balanced({"ip": "198.51.100.7"}, ports=(HTTP,)))  # type: ignore[attr-defined]
    kept.take()
    assert (kept.places, kept.reasons) == (["198.51.100.7:80"], {})


def test_an_error_of_another_protocol_is_no_error_of_this_one() -> None:
    errors = [{"port": 80, "protocol": "UDP", "error": "no"}, {"port": 80, "protocol": "TCP", "error": ""}]
    assert load_balancer(balanced({"ip": "198.51.100.7", "ports": errors})).places == ["198.51.100.7:80"]


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (None, ServiceNotFound, "does not exist"),
        (balanced(), NoBackends, "has no external address yet. See the events of kubectl describe service web -n shop"),
        (balanced({"ip": "odd"}), NoBackends, "has no external address yet"),
        (service(), NoBackends, "its type is ClusterIP. Set its type to LoadBalancer"),
        (
            service(type="NodePort", ingress=[{"ip": "198.51.100.7"}]),
            NoBackends,
            "discovery service shop/web lists them",
        ),
        (service(type="ExternalName", externalName="db.example"), NoEndpoints, "Use dns://db.example:80"),
    ],
)
def test_a_service_without_an_external_address_says_why_and_what_next(
    body: ServiceBody | None, kind: type[Exception], says: str
) -> None:
    found = problem(load_balancer(body))
    assert type(found) is kind
    assert says in str(found)


# What changes


def test_a_change_is_told_once_and_the_same_again_is_none() -> None:
    kept = cluster_ip(service())
    for body, places, told_ in (
        (service(), ["10.96.0.10:80"], 0),
        (service(clusterIPs=["10.96.0.11"]), ["10.96.0.11:80"], 2),
        (service({"name": "http", "port": 81}, clusterIPs=["10.96.0.11"]), ["10.96.0.11:81"], 2),
        (None, [], 1),
        (None, [], 0),
        (service(), ["10.96.0.10:80"], 1),
        (service(clusterIP="None", clusterIPs=["None"]), [], 1),
    ):
        kept.found.put("web", body)  # type: ignore[attr-defined]
        assert (kept.take(), kept.places) == (told_, places)


BODIES = st.one_of(
    st.none(),
    st.builds(
        lambda kind, addresses, ingress, ports: service(*ports, type=kind, clusterIPs=addresses, ingress=ingress),
        st.sampled_from(["ClusterIP", "LoadBalancer", "LoadBalancer", "ExternalName"]),
        st.lists(st.sampled_from(["10.96.0.1", "10.96.0.2", "fd00::1", "odd"]), max_size=2),
        st.lists(
            st.sampled_from(
                [
                    {"ip": "198.51.100.7"},
                    {"ip": "198.51.100.7", "ports": [{"port": 80, "error": "no"}]},
                    {"ip": "2001:db8::7"},
                    {"hostname": "lb.example.com"},
                    {},
                ]
            ),
            max_size=3,
        ),
        st.sampled_from([[HTTP], [GRPC], [HTTP, GRPC], [DNS]]),
    ),
)


@pytest.mark.parametrize("made", [cluster_ip, load_balancer])
@settings(max_examples=200)
@given(
    st.lists(BODIES, min_size=1, max_size=6),
    st.sampled_from(["http", 80, None]),
    st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]),
    st.randoms(use_true_random=True),
)
def test_any_history_ends_in_what_the_last_definition_alone_gives(
    made: Any, bodies: list[ServiceBody | None], port: Any, family: Any, chance: random.Random
) -> None:
    kept: Kept = made(bodies[0], port, family=family)
    for body in bodies[1:]:
        kept.found.put("web", body)  # type: ignore[attr-defined]
        if chance.random() < 0.5:
            kept.take()
    kept.take()
    alone: Kept = made(bodies[-1], port, family=family)
    assert state(kept) == state(alone)
    assert kept.backends or kept.found.problem() is not None, "what is empty says why"
    if kept.places:
        assert kept.found.problem() is None


def state(kept: Kept) -> tuple[dict[BackendId, Backend], dict[BackendId, str], str]:
    return kept.backends, kept.withheld, str(kept.found.problem())


# Through the resolver


async def test_a_service_that_is_deleted_and_made_again_is_followed() -> None:
    wire = Wire()
    resolver = cluster_ip_resolver(ClusterIP("web", namespace="shop"), wire.subscribe, lambda _: None)
    async with Following(resolver) as known:
        assert wire.asked == [("services", "shop", "web")]
        wire.synced()
        await until(lambda: known.synced_at is not None)
        assert isinstance(known.last_error, ServiceNotFound)
        for address in ("10.96.0.10", "10.96.0.11"):
            wire.tell("services", web=service(clusterIPs=[address]))
            await until(lambda: known.snapshot().backends)
            assert [backend.address for backend in known.snapshot().backends] == [address]
            await until(lambda: known.last_error is None)
            wire.tell("services", web=None)
            await until(lambda: not known.snapshot().backends)
            assert isinstance(known.last_error, ServiceNotFound)


async def test_a_load_balancer_is_there_as_soon_as_it_is_assigned() -> None:
    wire = Wire()
    resolver = load_balancer_resolver(LoadBalancer("web", namespace="shop"), wire.subscribe, lambda _: None)
    async with Following(resolver) as known:
        wire.tell("services", web=balanced())
        wire.synced()
        await until(lambda: known.synced_at is not None)
        assert "has no external address yet" in str(known.why_empty())
        wire.tell("services", web=balanced({"ip": "198.51.100.7"}))
        await until(lambda: known.snapshot().backends)
        assert known.last_error is None
