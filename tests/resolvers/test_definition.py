"""A Service's definition: what each field is read from, and the ways in that follow from it."""

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.definition import LoadBalancerStatus, Service, ServicePort
from discovery.kube.objects import decode_service
from discovery.resolvers.definition import INTERNAL, definition
from discovery.targets import parse

HTTP = {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP", "appProtocol": "h2c"}
WEB = {"selector": {"app": "web"}, "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [HTTP]}


def defined(
    spec: dict[str, Any], *, ingress: Any = None, annotations: Any = None, domain: str = "cluster.local"
) -> Service:
    """What a Service `shop/web` with this spec is defined as, read as its JSON would be."""
    status = {} if ingress is None else {"loadBalancer": {"ingress": ingress}}
    body = decode_service(
        json.dumps({"spec": spec, "status": status, "metadata": {"annotations": annotations}}).encode()
    )
    return definition(body, name="web", namespace="shop", uid="u-1", domain=domain)


def test_every_field_is_read() -> None:
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10", "FD00::0010"],
        "externalIPs": ["192.0.2.1", "2001:DB8::1"],
        "ports": [HTTP, {"port": 53, "protocol": "UDP"}],
        "selector": {"tier": "front", "app": "web"},
        "sessionAffinity": "ClientIP",
        "internalTrafficPolicy": "Local",
        "externalTrafficPolicy": "Local",
        "trafficDistribution": "PreferSameZone",
        "publishNotReadyAddresses": True,
    }
    assert defined(spec, ingress=[{"ip": "198.51.100.7"}]) == Service(
        name="web",
        namespace="shop",
        uid="u-1",
        type="LoadBalancer",
        cluster_ips=("10.96.0.10", "fd00::10"),
        headless=False,
        ports=(
            ServicePort(name="http", port=80, target_port="web", node_port=30080, app_protocol="h2c"),
            ServicePort(port=53, target_port=53, node_port=None, protocol="UDP"),
        ),
        selector=(("app", "web"), ("tier", "front")),
        external_ips=("192.0.2.1", "2001:db8::1"),
        load_balancer=LoadBalancerStatus(pending=False, addresses=("198.51.100.7",), internal=False),
        session_affinity="ClientIP",
        internal_traffic_policy="Local",
        external_traffic_policy="Local",
        traffic_distribution="PreferSameZone",
        publish_not_ready=True,
        dns_name="web.shop.svc.cluster.local",
    )


@pytest.mark.parametrize("spec", [{}, {"ports": None, "selector": None, "clusterIPs": None, "externalIPs": None}])
def test_what_is_missing_or_null_is_what_kubernetes_means_by_it(spec: dict[str, Any]) -> None:
    assert defined(spec) == Service(
        name="web",
        namespace="shop",
        uid="u-1",
        internal_traffic_policy="Cluster",
        dns_name="web.shop.svc.cluster.local",
    )


def test_equal_definitions_have_one_hash_whatever_the_order_of_their_labels() -> None:
    one, other = (defined({**WEB, "selector": labels}) for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}))
    assert one == other
    assert {one: 1}[other] == 1
    for field, value in {"uid": "u-2", "selector": (), "cluster_ips": (), "publish_not_ready": True}.items():
        assert attrs.evolve(one, **{field: value}) != one  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "cluster_ips", "headless"),
    [
        ({"clusterIP": "None", "clusterIPs": ["None"]}, (), True),
        ({"clusterIP": "None"}, (), True),
        ({"clusterIP": "", "clusterIPs": []}, (), False),
        ({"clusterIP": "10.96.0.1"}, ("10.96.0.1",), False),
        ({"clusterIPs": ["010.96.0.1", "10.96.0.1", "nonsense", ""]}, ("10.96.0.1",), False),
        ({"type": "ExternalName", "externalName": "db.example", "clusterIP": "10.96.0.1"}, (), False),
    ],
)
def test_its_own_addresses_are_those_that_are_addresses(
    spec: dict[str, Any], cluster_ips: tuple[str, ...], headless: bool
) -> None:
    found = defined(spec)
    assert (found.cluster_ips, found.headless) == (cluster_ips, headless)


@pytest.mark.parametrize(("given_", "expected"), [(None, 80), (0, 80), (8080, 8080), ("web", "web"), ("", 80)])
def test_a_target_port_that_is_not_given_is_the_port(given_: Any, expected: int | str) -> None:
    (port,) = defined({"ports": [{"port": 80, "targetPort": given_}]}).ports
    assert port.target_port == expected


@pytest.mark.parametrize(
    ("spec", "internal", "external"),
    [
        ({}, "Cluster", ""),
        ({"type": "NodePort"}, "Cluster", "Cluster"),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, "Cluster", "Local"),
        ({"externalIPs": ["192.0.2.1"]}, "Cluster", "Cluster"),
        ({"internalTrafficPolicy": "Local"}, "Local", ""),
        ({"type": "ExternalName", "externalName": "db.example"}, "", ""),
    ],
)
def test_a_policy_that_is_not_given_is_cluster_where_there_is_such_traffic(
    spec: dict[str, Any], internal: str, external: str
) -> None:
    found = defined(spec)
    assert (found.internal_traffic_policy, found.external_traffic_policy) == (internal, external)


@pytest.mark.parametrize("domain", ["corp.example", ".corp.example."])
def test_its_name_is_of_the_clusters_domain(domain: str) -> None:
    assert defined(WEB, domain=domain).dns_name == "web.shop.svc.corp.example"


# Load balancers

LB = {**WEB, "type": "LoadBalancer"}


@pytest.mark.parametrize(
    ("spec", "ingress", "pending", "addresses"),
    [
        (LB, None, True, ()),
        (LB, [], True, ()),
        (LB, [{}], True, ()),
        (LB, [{"ip": "198.51.100.7"}], False, ("198.51.100.7",)),
        (LB, [{"ip": "2001:DB8::7"}, {"ip": "198.51.100.7"}], False, ("2001:db8::7", "198.51.100.7")),
        (LB, [{"hostname": "LB.example.com"}], False, ("lb.example.com",)),
        (LB, [{"ip": "198.51.100.7", "hostname": "lb.example.com"}], False, ("198.51.100.7",)),
        (LB, [{"ip": "198.51.100.7"}, {"ip": "198.51.100.7"}], False, ("198.51.100.7",)),
        (LB, [{"ip": "no address"}, {"hostname": "no host"}, {"hostname": "10.0.0.256"}], True, ()),
        (LB, [{"ip": "fe80::1%eth0"}, {"hostname": "fe80::1%eth0"}, {"hostname": "a.b"}], False, ("a.b",)),
        (WEB, [{"ip": "198.51.100.7"}], False, ()),
        ({**WEB, "type": "NodePort"}, None, False, ()),
    ],
)
def test_a_load_balancer_is_pending_until_it_has_an_address(
    spec: dict[str, Any], ingress: Any, pending: bool, addresses: tuple[str, ...]
) -> None:
    found = defined(spec, ingress=ingress).load_balancer
    assert (found.pending, found.addresses) == (pending, addresses)


S = "service.beta.kubernetes.io"


@pytest.mark.parametrize(
    ("annotations", "internal"),
    [
        ({}, False),
        (None, False),
        ({f"{S}/aws-load-balancer-internal": "true"}, True),
        ({f"{S}/aws-load-balancer-internal": "0.0.0.0/0"}, True),
        ({f"{S}/aws-load-balancer-internal": "false"}, False),
        ({f"{S}/aws-load-balancer-internal": ""}, False),
        ({f"{S}/aws-load-balancer-scheme": "internal"}, True),
        ({f"{S}/aws-load-balancer-scheme": "internet-facing"}, False),
        ({f"{S}/aws-load-balancer-type": "external"}, True),
        ({f"{S}/aws-load-balancer-type": "nlb-ip"}, True),
        ({f"{S}/aws-load-balancer-type": "nlb"}, False),
        ({f"{S}/aws-load-balancer-type": "external", f"{S}/aws-load-balancer-scheme": "internet-facing"}, False),
        ({f"{S}/azure-load-balancer-internal": "true"}, True),
        ({f"{S}/azure-load-balancer-internal": "True"}, True),
        ({f"{S}/azure-load-balancer-internal": "false"}, False),
        ({"networking.gke.io/load-balancer-type": "Internal"}, True),
        ({"cloud.google.com/load-balancer-type": "Internal"}, True),
        ({"cloud.google.com/load-balancer-type": "External"}, False),
        ({f"{S}/openstack-internal-load-balancer": "true"}, True),
        ({f"{S}/alibaba-cloud-loadbalancer-address-type": "intranet"}, True),
        ({f"{S}/alibaba-cloud-loadbalancer-address-type": "internet"}, False),
        ({f"{S}/alicloud-loadbalancer-address-type": "intranet"}, True),
        ({f"{S}/cce-load-balancer-internal-vpc": "true"}, True),
        ({"service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1"}, True),
        ({"service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type": "private"}, True),
        ({"service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type": "public"}, False),
        ({f"{S}/oci-load-balancer-internal": "true"}, True),
        ({"oci-network-load-balancer.oraclecloud.com/internal": "true"}, True),
        ({f"{S}/do-loadbalancer-network": "INTERNAL"}, True),
        ({f"{S}/do-loadbalancer-network": "EXTERNAL"}, False),
        ({"load-balancer.hetzner.cloud/disable-public-network": "true"}, True),
        ({f"{S}/scw-loadbalancer-private": "true"}, True),
        ({"yandex.cloud/load-balancer-type": "internal"}, True),
        ({f"{S}/ncloud-load-balancer-internal": "true"}, True),
        ({"example.com/load-balancer-type": "internal"}, False),
    ],
)
def test_it_is_internal_by_the_annotation_of_its_cloud(annotations: Any, internal: bool) -> None:
    assert defined(LB, annotations=annotations).load_balancer.internal is internal
    assert defined(WEB, annotations=annotations).load_balancer.internal is False


@pytest.mark.parametrize("kind", ["service.k8s.aws/nlb", "eks.amazonaws.com/nlb"])
def test_a_class_that_is_internal_unless_told_otherwise_counts_too(kind: str) -> None:
    spec, scheme = {**LB, "loadBalancerClass": kind}, f"{S}/aws-load-balancer-scheme"
    assert defined(spec).load_balancer.internal
    assert not defined(spec, annotations={scheme: "internet-facing"}).load_balancer.internal
    assert not defined({**LB, "loadBalancerClass": "example.com/nlb"}).load_balancer.internal


def test_the_values_that_count_are_written_as_they_are_compared() -> None:
    assert all(value == value.lower() for values in INTERNAL.values() for value in values)


# Ways in


def ways(*args: Any, **more: Any) -> list[str]:
    return [str(target) for target in defined(*args, **more).targets]


def test_a_service_has_its_ways_in_by_preference_and_each_by_port() -> None:
    spec = {**LB, "ports": [HTTP, {"name": "grpc", "port": 50051}], "externalIPs": ["192.0.2.1", "2001:db8::1"]}
    assert ways(spec) == [
        "endpoints://shop/web:http",
        "endpoints://shop/web:grpc",
        "cluster-ip://shop/web:http",
        "cluster-ip://shop/web:grpc",
        "node-port://shop/web:http",
        "load-balancer://shop/web:http",
        "load-balancer://shop/web:grpc",
        "static://192.0.2.1:80,[2001:db8::1]:80",
        "static://192.0.2.1:50051,[2001:db8::1]:50051",
        "dns://web.shop.svc.cluster.local.:80",
        "dns://web.shop.svc.cluster.local.:50051",
        "dns+srv://_http._tcp.web.shop.svc.cluster.local.",
        "dns+srv://_grpc._tcp.web.shop.svc.cluster.local.",
    ]


HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({**WEB, "ports": [{"port": 80}]}, ["endpoints://shop/web:80", "cluster-ip://shop/web:80", "dns://80"]),
        (
            {**HEADLESS, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            ["endpoints://shop/web:http", "dns://8080", "dns+srv://http"],
        ),
        ({**HEADLESS, "ports": [{**HTTP, "nodePort": 0}]}, ["endpoints://shop/web:http", "dns+srv://http"]),
        ({"type": "ExternalName", "externalName": "db.example", "ports": [{"port": 5432}]}, ["dns://db", "dns://5432"]),
        ({"type": "ExternalName", "externalName": "db.example.", "ports": [HTTP]}, ["dns://db:80", "dns://80"]),
        ({"type": "ExternalName", "externalName": "db.example"}, []),
        ({"type": "ExternalName", "externalName": "10.0.0.1", "ports": [{"port": 80}]}, []),
        ({"type": "ExternalName", "externalName": "no host", "ports": [{"port": 80}]}, []),
        ({**WEB, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}, []),
        ({**WEB, "ports": []}, []),
    ],
)
def test_the_ways_in_are_those_that_such_a_service_has(spec: dict[str, Any], expected: list[str]) -> None:
    own = "web.shop.svc.cluster.local."
    written = {
        "dns://80": f"dns://{own}:80",
        "dns://8080": f"dns://{own}:8080",
        "dns://5432": f"dns://{own}:5432",
        "dns+srv://http": f"dns+srv://_http._tcp.{own}",
        "dns://db": "dns://db.example.:5432",
        "dns://db:80": "dns://db.example.:80",
    }
    assert ways(spec) == [written.get(one, one) for one in expected]


def test_what_the_cluster_says_may_be_no_name_and_then_it_is_no_way_in() -> None:
    evil = "\x1b[2J"
    assert ways({**WEB, "ports": [{"name": evil, "port": 80, "nodePort": 30080}]}) == [
        "dns://web.shop.svc.cluster.local.:80"
    ]


PORTS = st.lists(
    st.fixed_dictionaries(
        {"port": st.sampled_from([80, 443, 0, 70000])},
        optional={
            "name": st.sampled_from(["http", "", "Bad Name", "grpc"]),
            "targetPort": st.sampled_from([8080, "web", 0]),
            "nodePort": st.sampled_from([0, 30080]),
            "protocol": st.sampled_from(["TCP", "UDP", "SCTP", "odd"]),
        },
    ),
    max_size=3,
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "odd"]),
        "clusterIP": st.sampled_from(["None", "", "10.96.0.1", "fd00::1", "odd"]),
        "clusterIPs": st.sampled_from([None, [], ["None"], ["10.96.0.1", "fd00::1"], ["odd"]]),
        "externalIPs": st.sampled_from([None, [], ["192.0.2.1"], ["odd"]]),
        "externalName": st.sampled_from(["", "db.example", "..", "x" * 300]),
        "ports": st.none() | PORTS,
    },
)


@given(SPECS)
def test_whatever_a_service_says_each_of_its_ways_in_can_be_written_and_read(spec: dict[str, Any]) -> None:
    found = defined(spec)
    assert hash(found) == hash(defined(spec))
    assert len(set(found.targets)) <= len(found.targets)
    for target in found.targets:
        assert parse(str(target)) == target
