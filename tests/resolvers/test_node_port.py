"""Node ports: which nodes, at which of their addresses, and why not the others; case by case and by chance."""

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.errors import AccessDenied, DiscoveryError, NoBackends, NoEndpoints, PortNotFound, ServiceNotFound
from discovery.kube.objects import DECODE_ERRORS, EndpointsBody, NodeBody, ServiceBody, SliceBody, decode_node
from discovery.model import Backend, BackendId
from discovery.resolvers.local import LocalEndpoints
from discovery.resolvers.node_port_set import NodePortSet
from discovery.resolvers.nodes import why_unfit
from discovery.resolvers.of_service import node_port_resolver
from discovery.resolvers.plain import PlainEndpoints
from discovery.targets import NodePort

from ..until import until
from .scenes import Following, Kept, Wire
from .test_readiness import endpoint, slice_of

HTTP = {"name": "http", "port": 80, "nodePort": 30080, "appProtocol": "h2c"}
GRPC = {"name": "grpc", "port": 50051, "nodePort": 30051}
WEB = {"name": "http", "port": 8080}


def service(*ports: dict[str, Any], **spec: Any) -> ServiceBody:
    """A Service of the type NodePort, as its JSON would be read; `local` is its external traffic policy."""
    policy = "Local" if spec.pop("local", False) else "Cluster"
    spec = {"type": "NodePort", "clusterIPs": ["10.96.0.1"], "externalTrafficPolicy": policy, **spec}
    return msgspec.convert({"spec": {"ports": list(ports or (HTTP,)), **spec}}, ServiceBody)


def node(*addresses: str, ready: Any = "True", labels: Any = None, **more: Any) -> NodeBody:
    """A node as its JSON would be read. Addresses are `InternalIP 10.0.0.1`, or only `10.0.0.1`."""
    there = [dict(zip(("type", "address"), f"InternalIP {one}".split()[-2:], strict=True)) for one in addresses]
    conditions = [{"type": "MemoryPressure", "status": "False"}]
    conditions += [] if ready is None else [{"type": "Ready", "status": ready}]
    return msgspec.convert(
        {
            "metadata": {"labels": labels, "deletionTimestamp": more.pop("deleted", None)},
            "spec": more,
            "status": {"addresses": there, "conditions": conditions},
        },
        NodeBody,
    )


def pods_on(*nodes: str, kind: Any = "IPv4", ports: Any = (WEB,), **conditions: Any) -> SliceBody:
    """A slice with a pod on each of these nodes."""
    prefix = "10.1.0." if kind == "IPv4" else "fd01::"
    pods = (endpoint(f"{prefix}{number}", nodeName=name, **conditions) for number, name in enumerate(nodes, 1))
    return slice_of(*pods, kind=kind, ports=ports)


NODES = {f"n{number}": node(f"10.0.0.{number}") for number in (1, 2, 3)}
ALL = ["10.0.0.1:30080", "10.0.0.2:30080", "10.0.0.3:30080"]
ANYWHERE = {"s": pods_on("n1")}


class Scene(Kept):
    """A node port set and what it comes to."""

    found: NodePortSet

    def __init__(
        self,
        body: ServiceBody | None = None,
        nodes: dict[str, NodeBody] = NODES,
        slices: dict[str, SliceBody] = ANYWHERE,
        port: Any = "http",
        **target: Any,
    ) -> None:
        super().__init__(NodePortSet(NodePort("web", namespace="shop", port=port, **target)))
        self.found.serve("web", body)
        for name, slice_ in slices.items():
            self.found.put_slice(name, slice_)
        for name, one in nodes.items():
            self.found.put_node(name, one)
        self.take()

    def node(self, name: str, body: NodeBody | None) -> "Scene":
        self.found.put_node(name, body)
        self.told = self.take()
        return self

    def slice(self, name: str, body: SliceBody | None) -> "Scene":
        self.found.put_slice(name, body)
        self.told = self.take()
        return self

    def serve(self, body: ServiceBody | None) -> "Scene":
        self.found.serve("web", body)
        self.told = self.take()
        return self

    @property
    def problem(self) -> DiscoveryError | None:
        return self.found.problem()


def problem(scene: Scene) -> DiscoveryError:
    found = scene.problem
    assert found is not None
    assert scene.places == []
    return found


def test_every_node_that_is_fit_is_a_place_with_the_services_node_port() -> None:
    scene = Scene(service())
    assert scene.places == ALL
    assert scene.problem is None


def test_a_backend_says_which_node_it_is_in_which_zone_and_of_no_pod() -> None:
    nodes = {"n1": node("10.0.0.1", labels={"topology.kubernetes.io/zone": "zone-a"})}
    (backend,) = Scene(service(), nodes).backends.values()
    assert backend == Backend(address="10.0.0.1", port=30080, node="n1", zone="zone-a", app_protocol="h2c")


# Addresses

BOTH = (
    "InternalIP 10.0.0.1",
    "InternalIP 10.9.0.1",
    "ExternalIP 192.0.2.1",
    "ExternalIP 2001:DB8::1",
    "InternalIP fd00::1",
)
NAMES = ("Hostname node-1", "InternalDNS Node-1.internal", "ExternalDNS node-1.example", "InternalIP 10.0.0.1")
DUAL = {"clusterIPs": ["10.96.0.1", "fd00::10"]}


@pytest.mark.parametrize(
    ("addresses", "types", "family", "expected"),
    [
        (BOTH, ("ExternalIP", "InternalIP"), "prefer-ipv4", "192.0.2.1"),
        (BOTH, ("InternalIP", "ExternalIP"), "prefer-ipv4", "10.0.0.1"),
        (BOTH, ("ExternalIP", "InternalIP"), "prefer-ipv6", "2001:db8::1"),
        (BOTH, ("InternalIP",), "prefer-ipv6", "fd00::1"),
        (BOTH, ("InternalIP",), "ipv6", "fd00::1"),
        (("InternalIP 10.0.0.1",), ("ExternalIP", "InternalIP"), "prefer-ipv4", "10.0.0.1"),
        (("ExternalIP 192.0.2.1", "InternalIP fd00::1"), ("ExternalIP", "InternalIP"), "prefer-ipv6", "192.0.2.1"),
        (("ExternalIP 192.0.2.1", "InternalIP fd00::1"), ("ExternalIP", "InternalIP"), "ipv6", "fd00::1"),
        (("ExternalIP 192.0.2.1",), ("ExternalIP", "InternalIP"), "ipv6", None),
        (("InternalIP 10.0.0.1",), ("ExternalIP",), "prefer-ipv4", None),
        ((), ("ExternalIP", "InternalIP"), "prefer-ipv4", None),
        (NAMES, ("Hostname",), "prefer-ipv4", "node-1"),
        (NAMES, ("InternalDNS", "InternalIP"), "ipv6", "node-1.internal"),
        (NAMES, ("ExternalIP", "ExternalDNS"), "prefer-ipv4", "node-1.example"),
        (("Hostname 10.0.0.1", "Hostname fd00::1"), ("Hostname",), "ipv6", "fd00::1"),
        (("InternalIP nonsense", "InternalIP 10.0.0.1"), ("InternalIP",), "prefer-ipv4", "10.0.0.1"),
        (("InternalIP fe80::1%eth0",), ("InternalIP",), "prefer-ipv6", None),
    ],
)
def test_of_each_node_the_first_type_that_it_has_is_taken_and_within_it_the_family(
    addresses: tuple[str, ...], types: Any, family: Any, expected: str | None
) -> None:
    scene = Scene(service(**DUAL), {"n1": node(*addresses)}, address_types=types, family=family)
    assert [backend.address for backend in scene.backends.values()] == ([] if expected is None else [expected])
    assert (scene.problem is None) is (expected is not None)


def test_a_node_port_is_only_open_on_the_families_that_the_service_has() -> None:
    """A single-stack Service has no node port on the other family's addresses."""
    nodes = {"n1": node("10.0.0.1", "fd00::1")}
    slices = {"s": pods_on("n1", kind="IPv6"), "t": pods_on("n1")}
    scene = Scene(service(clusterIPs=["fd00::10"]), nodes, slices)
    assert scene.places == ["[fd00::1]:30080"]
    assert scene.serve(service(clusterIPs=["10.96.0.1"], ipFamilies=["IPv4"])).places == ["10.0.0.1:30080"]
    assert scene.serve(service(clusterIPs=[], ipFamilies=["IPv6"])).places == ["[fd00::1]:30080"]
    assert scene.serve(service(clusterIPs=[])).places == ["10.0.0.1:30080"], "what is not known restricts nothing"
    found = problem(Scene(service(), nodes, family="ipv6"))
    assert "has no address of the family ipv6, so no node port either" in str(found)


def test_a_family_without_a_usable_endpoint_is_refused_by_every_node() -> None:
    """kube-proxy decides family by family."""
    nodes = {"n1": node("10.0.0.1", "fd00::1"), "n2": node("10.0.0.2")}
    both = service(clusterIPs=["10.96.0.1", "fd00::10"])
    scene = Scene(both, nodes, {"s": pods_on("n1", kind="IPv6")})
    assert scene.places == []
    assert set(scene.reasons) == {"10.0.0.1", "10.0.0.2"}
    assert Scene(both, nodes, {"s": pods_on("n1", kind="IPv6")}, family="prefer-ipv6").places == ["[fd00::1]:30080"]
    assert scene.slice("t", pods_on("n9")).places == ["10.0.0.1:30080", "10.0.0.2:30080"]


def test_addresses_that_are_none_are_counted_once_for_each_change() -> None:
    scene = Scene(service(), {"n1": node("odd:address", "10.0.0.1", "Hostname 10.0.0.256")})
    assert (scene.places, scene.found.unreadable) == (["10.0.0.1:30080"], 1)
    scene.serve(service(GRPC, HTTP, local=True))
    assert scene.found.unreadable == 1


def test_two_nodes_with_one_address_are_one_place_of_the_fitter_of_them() -> None:
    nodes = {"n1": node("10.0.0.1", ready="False"), "n2": node("10.0.0.1")}
    for order in itertools.permutations(nodes):
        scene = Scene(service(), {name: nodes[name] for name in order})
        assert [backend.node for backend in scene.backends.values()] == ["n2"]
        assert scene.places == ["10.0.0.1:30080"]
        assert scene.node("n2", None).reasons == {"10.0.0.1": "the node is not ready"}


def test_nodes_without_such_an_address_are_told_of_and_named_when_none_has_one() -> None:
    scene = Scene(service(), {**NODES, "n4": node("Hostname n4")})
    assert scene.places == ALL
    (remark,) = scene.found.remarks()
    assert remark.text == "1 of 4 nodes have no address of the type ExternalIP or InternalIP"
    found = problem(Scene(service(), {"n4": node("Hostname n4")}))
    assert str(found).startswith("no node has an address of the type ExternalIP or InternalIP. Name other kinds")
    assert Scene(service()).found.remarks() == ()
    assert str(problem(Scene(service(), {}))) == "the cluster has no nodes"


# Nodes that are left out

REMOVED = {
    "taints": [{"key": "other"}, {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}]
}
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


PRESSED = msgspec.convert(
    {
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "False"}],
        }
    },
    NodeBody,
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (node("10.0.0.1"), None),
        (node("10.0.0.1", taints=None), None),
        (node("10.0.0.1", taints=[{"key": "node.kubernetes.io/unschedulable"}]), None),
        (node("10.0.0.1", ready="False"), "the node is not ready"),
        (node("10.0.0.1", ready="Unknown"), "the node is not ready"),
        (node("10.0.0.1", ready=None), "the node is not ready"),
        (PRESSED, "the node is not ready"),
        (node("10.0.0.1", **REMOVED), "the cluster autoscaler is removing the node"),
        (node("10.0.0.1", labels={EXCLUDED: ""}), f"the node has the label {EXCLUDED}"),
        (node("10.0.0.1", labels={EXCLUDED: "false"}), f"the node has the label {EXCLUDED}"),
        (node("10.0.0.1", deleted="2026-01-01T00:00:00Z"), "the node is being deleted"),
        (node("10.0.0.1", unschedulable=True), None),
    ],
)
def test_a_node_that_is_not_fit_is_shown_and_withheld_with_the_reason(body: NodeBody, reason: str | None) -> None:
    scene = Scene(service(), {"n1": body, "n2": node("10.0.0.2")})
    assert scene.reasons == ({} if reason is None else {"10.0.0.1": reason})
    assert len(scene.backends) == 2
    assert scene.node("n1", node("10.0.0.1")).reasons == {}, "and comes back"


def test_cordoned_nodes_stay_unless_they_are_not_wanted() -> None:
    nodes = {"n1": node("10.0.0.1", unschedulable=True), "n2": node("10.0.0.2")}
    assert Scene(service(), nodes).places == ["10.0.0.1:30080", "10.0.0.2:30080"]
    scene = Scene(service(), nodes, cordoned=False)
    assert (scene.places, scene.reasons) == (["10.0.0.2:30080"], {"10.0.0.1": "the node is cordoned"})


def test_a_body_without_any_field_is_a_node_that_is_not_ready() -> None:
    assert why_unfit(decode_node(b"{}"), cordoned=True) == "the node is not ready"
    nulls = b'{"metadata":{"labels":null},"spec":{"taints":null},"status":{"addresses":null,"conditions":null}}'
    assert Scene(service(), {"n1": decode_node(nulls)}).backends == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":{"addresses":{}}}',
        b'{"status":{"addresses":[{"type":"InternalIP","address":1}]}}',
        b'{"spec":{"unschedulable":"yes"}}',
        b'{"metadata":{"labels":{"a":1}}}',
        b'{"status":{"conditions":[{"type":"Ready","status":true}]}}',
    ],
)
def test_a_node_of_the_wrong_shape_is_refused(body: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        decode_node(body)


# The external traffic policy

READY, STARTING = {"ready": True}, {"ready": False, "serving": False}
LEAVING, GONE = (
    {"ready": False, "serving": True, "terminating": True},
    {
        "ready": False,
        "serving": False,
        "terminating": True,
    },
)


@pytest.mark.parametrize(
    ("conditions", "usable"),
    [
        (READY, True),
        ({}, True),
        ({"ready": None, "serving": None, "terminating": None}, True),
        (STARTING, False),
        ({"ready": False}, False),
        (LEAVING, True),
        ({"ready": False, "terminating": True}, True),
        (GONE, False),
    ],
)
def test_a_node_counts_under_local_if_it_has_an_endpoint_that_kube_proxy_would_send_to(
    conditions: dict[str, Any], usable: bool
) -> None:
    scene = Scene(service(local=True), slices={"a": pods_on("n1", **conditions), "b": pods_on("n2")})
    assert ("10.0.0.1:30080" in scene.places) is usable
    assert scene.reasons["10.0.0.3"] == "the node has no usable endpoint, and the external traffic policy is Local"
    assert len(scene.backends) == 3


def test_a_pod_that_comes_or_goes_changes_its_node_only() -> None:
    scene = Scene(service(local=True), slices={"a": pods_on("n1", "n2"), "b": pods_on("n2")})
    assert scene.places == ALL[:2]
    assert (scene.slice("b", pods_on("n2", "n2")).told, scene.places) == (0, ALL[:2]), "it has one still"
    assert (scene.slice("b", pods_on("n3")).told, scene.places) == (1, ALL)
    assert (scene.slice("a", pods_on("n1")).told, scene.places) == (1, [ALL[0], ALL[2]])
    assert (scene.slice("a", None).told, scene.places) == (1, [ALL[2]])


def test_an_endpoint_without_an_address_is_none() -> None:
    nowhere = slice_of({"addresses": [], "nodeName": "n1"}, {"addresses": None, "nodeName": "n1"}, ports=[WEB])
    assert Scene(service(local=True), slices={"a": nowhere, "b": pods_on("n2")}).places == ["10.0.0.2:30080"]


def test_a_change_of_endpoints_costs_the_nodes_that_it_concerns() -> None:
    """Not the 5,000 that a cluster may have."""
    local = LocalEndpoints()
    local.serve("http")
    for body, changed in (
        (pods_on("n1", "n2"), {"n1", "n2"}),
        (pods_on("n2", "n1", "n1"), set()),
        (pods_on("n1", **STARTING), {"n1", "n2"}),
        (pods_on("n1", "n3", **LEAVING), {"n1", "n3"}),
        (None, {"n1", "n3"}),
    ):
        local.put("a", body)
        assert local.changed == changed
        local.changed.clear()
    scene = Scene(service(local=True))
    assert scene.found._local.changed == set()


def test_only_endpoints_of_the_port_that_is_meant_count() -> None:
    slices = {"a": pods_on("n1"), "b": pods_on("n2", ports=[{"name": "grpc", "port": 50051}])}
    body = service(HTTP, GRPC, local=True)
    assert Scene(body, slices=slices, port="http").places == ["10.0.0.1:30080"]
    assert Scene(body, slices=slices, port=50051).places == ["10.0.0.2:30051"]
    udp = pods_on("n3", ports=[{"name": "http", "port": 8080, "protocol": "UDP"}, {"name": "http", "port": None}])
    assert Scene(body, slices={**slices, "c": udp}).places == ["10.0.0.1:30080"]
    only = {"port": 80, "nodePort": 30080}
    unnamed = {"a": pods_on("n2", ports=[{"port": 8080}])}
    assert Scene(service(only, local=True), slices=unnamed, port=None).places == ["10.0.0.2:30080"]


def test_endpoints_count_for_the_addresses_of_their_family() -> None:
    nodes = {"n1": node("10.0.0.1", "fd00::1", "Hostname n1")}
    slices = {"a": pods_on("n1", kind="IPv6")}
    body = service(local=True, **DUAL)
    assert Scene(body, nodes, slices, family="ipv4").places == []
    assert Scene(body, nodes, slices, family="ipv6").places == ["[fd00::1]:30080"]
    assert Scene(body, nodes, slices, address_types=("Hostname",)).places == ["n1:30080"]


def test_without_a_local_endpoint_anywhere_the_policy_is_named() -> None:
    nodes = {**NODES, "n4": node("10.0.0.4", ready="False")}
    scene = Scene(service(local=True), nodes, {"a": pods_on("n4", "elsewhere")})
    found = problem(scene)
    assert isinstance(found, NoBackends)
    assert "the external traffic policy Local, and no node that is fit has a usable endpoint" in str(found)
    assert scene.reasons["10.0.0.4"] == "the node is not ready"
    assert scene.serve(service()).places == ALL
    assert scene.problem is None


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("slices", [{}, {"a": pods_on()}, {"a": pods_on("n1", **STARTING), "b": pods_on("n2", **GONE)}])
def test_without_any_usable_endpoint_every_node_would_refuse(slices: dict[str, SliceBody], local: bool) -> None:
    scene = Scene(service(local=local), slices=slices)
    assert set(scene.reasons.values()) == {"the Service has no usable endpoint, so every node refuses"}
    found = problem(scene)
    assert isinstance(found, NoBackends)
    assert "has no usable endpoint, and so no node that answers" in str(found)
    assert scene.slice("c", pods_on("n1")).places == (ALL[:1] if local else ALL)
    assert scene.slice("c", None).places == []


@pytest.mark.parametrize("local", [False, True])
def test_where_the_slices_may_not_be_read_every_node_that_is_fit_has_to_do(local: bool) -> None:
    scene = Scene(service(local=local), {**NODES, "n4": node("10.0.0.4", ready="False")}, {})
    scene.found.see(AccessDenied("no"))
    scene.take()
    assert (scene.places, scene.reasons) == (ALL, {"10.0.0.4": "the node is not ready"})
    assert scene.problem is None
    remarks = scene.found.remarks()
    assert [(remark.warning, "may not be read" in remark.text) for remark in remarks] == (
        [(True, True)] if local else []
    )
    scene.found.see(None)
    assert scene.slice("a", pods_on("n1")).places == (ALL[:1] if local else ALL)
    assert scene.found.remarks() == ()


def test_plain_endpoints_say_the_same_on_a_server_without_slices() -> None:
    ports = [{"name": "http", "port": 8080}]
    subsets = [{"addresses": [{"ip": "10.1.0.1", "nodeName": "n1"}], "ports": ports}]
    subsets += [{"notReadyAddresses": [{"ip": "10.1.0.2", "nodeName": "n2"}], "ports": ports}]
    scene = Scene(service(local=True), slices={})
    old = PlainEndpoints(scene.found.put_slice)
    old.put("web", msgspec.convert({"subsets": subsets}, EndpointsBody))
    scene.take()
    assert scene.places == ["10.0.0.1:30080"]
    old.put("web", None)
    scene.take()
    assert scene.places == []


# The Service


@pytest.mark.parametrize(
    ("body", "port", "kind", "says"),
    [
        (None, "http", ServiceNotFound, "does not exist"),
        (service(HTTP, GRPC), None, PortNotFound, "more than one port. Name one of http=80, grpc=50051"),
        (service(), "https", PortNotFound, "has no TCP port https. It has http=80"),
        (service(), 30080, PortNotFound, "has no TCP port 30080. It has http=80"),
        (service({"port": 80}, type="ClusterIP"), None, NoBackends, "its type is ClusterIP. Set its type to NodePort"),
        (service({"port": 80}, type="LoadBalancer"), None, NoBackends, "allocateLoadBalancerNodePorts is false"),
        (service(type="ExternalName", externalName="db.example"), "http", NoEndpoints, "Use dns://db.example:80"),
        (service({"name": "http", "port": 80}, clusterIP="None"), "http", NoEndpoints, "Use endpoints://shop/web:http"),
    ],
)
def test_a_service_that_cannot_be_reached_so_says_why_and_what_next(
    body: ServiceBody | None, port: Any, kind: type[Exception], says: str
) -> None:
    found = problem(Scene(body, port=port))
    assert type(found) is kind
    assert says in str(found)


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_a_load_balancer_has_node_ports_too(kind: str) -> None:
    assert Scene(service(type=kind)).places == ALL


def test_changes_of_the_service_are_followed_through_its_end_and_return() -> None:
    scene = Scene(service())
    assert scene.serve(service()).told == 0
    assert scene.serve(service({**HTTP, "nodePort": 31000})).places == [one.replace("30080", "31000") for one in ALL]
    assert scene.serve(None).places == []
    assert scene.backends == {}
    assert scene.serve(service()).places == ALL


# What changes


def test_a_node_that_comes_goes_or_moves_is_one_change() -> None:
    scene = Scene(service())
    assert (scene.node("n4", node("10.0.0.4")).told, len(scene.places)) == (1, 4)
    assert (scene.node("n4", node("10.0.0.4")).told, len(scene.places)) == (0, 4)
    assert scene.node("n4", node("10.0.0.4", labels={"other": "x"})).told == 0, "what means nothing here is no change"
    assert (scene.node("n4", node("10.0.0.5")).told, scene.places[-1]) == (2, "10.0.0.5:30080")
    assert (scene.node("n4", None).told, scene.places) == (1, ALL)
    assert scene.node("n4", None).told == 0


NODE_BODIES = st.one_of(
    st.none(),
    st.builds(
        lambda addresses, ready, cordoned, labels: node(*addresses, ready=ready, unschedulable=cordoned, labels=labels),
        st.lists(
            st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "ExternalIP 192.0.2.1", "Hostname n1", "odd"]),
            max_size=3,
        ),
        st.sampled_from(["True", "True", "True", "False"]),
        st.booleans(),
        st.sampled_from([None, None, {EXCLUDED: ""}, {"topology.kubernetes.io/zone": "a"}]),
    ),
)
SLICES = st.one_of(
    st.none(),
    st.builds(
        lambda nodes, kind, conditions, ports: pods_on(*nodes, kind=kind, ports=ports, **conditions),
        st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=2),
        st.sampled_from(["IPv4", "IPv4", "IPv6"]),
        st.sampled_from([READY, READY, STARTING, LEAVING, GONE]),
        st.sampled_from([[{"name": "http", "port": 8080}], [{"name": "grpc", "port": 50051}]]),
    ),
)
SERVICES = st.sampled_from(
    [
        None,
        service(),
        service(local=True),
        service(HTTP, GRPC, local=True, **DUAL),
        service(**DUAL),
        service({**HTTP, "nodePort": 31000}, local=True),
        service({"name": "http", "port": 80}, type="ClusterIP"),
        service(clusterIPs=["fd00::10"], local=True),
    ]
)
STATES = st.fixed_dictionaries(
    {},
    optional={**dict.fromkeys(("n1", "n2", "n3"), NODE_BODIES), **dict.fromkeys("ab", SLICES), "service": SERVICES},
)
TARGETS = st.fixed_dictionaries(
    {
        "port": st.sampled_from(["http", 80, None]),
        "family": st.sampled_from(["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]),
        "cordoned": st.booleans(),
        "address_types": st.sampled_from([("ExternalIP", "InternalIP"), ("InternalIP",), ("Hostname", "InternalIP")]),
    }
)


def tell(scene: Scene, name: str, body: Any) -> None:
    if name == "service":
        scene.found.serve("web", body)
    elif name.startswith("n"):
        scene.found.put_node(name, body)
    else:
        scene.found.put_slice(name, body)


def state(scene: Scene) -> tuple[dict[BackendId, Backend], dict[BackendId, str], str]:
    return scene.backends, scene.withheld, str(scene.problem)


@settings(max_examples=400)
@given(TARGETS, st.lists(STATES, min_size=1, max_size=5), st.randoms(use_true_random=True))
def test_any_order_of_events_ends_in_what_the_last_state_alone_gives(
    target: dict[str, Any], states: list[dict[str, Any]], chance: random.Random
) -> None:
    scene, now = Scene(None, {}, {}, **target), dict[str, Any]()
    for one in states:
        now |= one
        events = list(one.items()) if chance.random() < 0.7 else list(now.items())  # or all of it: a list
        chance.shuffle(events)
        for name, body in events:
            tell(scene, name, body)
            if chance.random() < 0.3:
                scene.take()
    scene.take()
    alone = Scene(None, {}, {}, **target)
    for name, body in now.items():
        tell(alone, name, body)
    alone.take()
    assert state(scene) == state(alone)
    assert scene.take() == 0, "and nothing is told again"
    assert not (scene.places and scene.problem)
    assert scene.backends or scene.problem is not None, "what is empty says why"


@given(TARGETS, STATES)
def test_a_place_is_of_a_node_that_is_there_and_fit(target: dict[str, Any], now: dict[str, Any]) -> None:
    """By a reading of the rules that is short enough to be right."""
    scene = Scene(None, {}, {}, **target)
    for name, body in now.items():
        tell(scene, name, body)
    scene.take()
    defined: ServiceBody | None = now.get("service")
    for key, backend in scene.backends.items():
        there = now[backend.node]
        said = [one for one in there.status.addresses if one.type in target["address_types"]]
        assert key.address in [one.address for one in said]
        assert defined is not None
        assert key.port in [port.node_port for port in defined.ports]
        fit = key not in scene.withheld
        assert not fit or any(one.type == "Ready" and one.status == "True" for one in there.status.conditions)
        assert not fit or EXCLUDED not in (there.metadata.labels or {})
        assert not fit or target["cordoned"] or not there.spec.unschedulable
        if fit and defined.spec.external_traffic_policy == "Local":
            slices = [one for name, one in now.items() if name in "ab" and one is not None]
            pods = [pod for one in slices for pod in one.endpoints if pod.node_name == backend.node]
            assert any(pod.conditions.ready or pod.conditions.terminating for pod in pods)


# Through the resolver


def resolver(wire: Wire) -> Any:
    return node_port_resolver(NodePort("web", namespace="shop", port="http"), wire.subscribe, lambda _: None)


async def test_it_follows_the_service_its_slices_and_all_nodes() -> None:
    wire = Wire()
    async with Following(resolver(wire)) as known:
        assert wire.asked == [("services", "shop", "web"), ("endpointslices", "shop", "web"), ("nodes", "", "")]
        wire.tell("services", web=service())
        wire.tell("nodes", **NODES)
        wire.synced("services", "nodes")
        await until(lambda: not wire.feeds["nodes"].pending)
        assert known.synced_at is None, "what is half known is not known"
        wire.tell("endpointslices", s=pods_on("n1"))
        wire.synced("endpointslices")
        await until(lambda: known.synced_at is not None)
        assert [backend.netloc for backend in known.snapshot().backends] == ALL
        wire.tell("nodes", n2=None, n3=node("10.0.0.3", ready="Unknown"))
        await until(lambda: len(known.snapshot().backends) == 1)
        assert [(one.backend.node, one.reason) for one in known.candidates()] == [
            ("n1", "ready"),
            ("n3", "the node is not ready"),
        ]


async def test_slices_that_may_not_be_read_are_done_without_and_nodes_are_not() -> None:
    wire = Wire()
    async with Following(resolver(wire)) as known:
        wire.tell("services", web=service())
        wire.synced("services")
        wire.deny("endpointslices")
        wire.deny("nodes")
        await until(lambda: known.last_error is not None)
        assert isinstance(known.last_error, AccessDenied)
        assert known.synced_at is None
        wire.tell("nodes", **NODES)
        wire.synced("nodes")
        await until(lambda: known.synced_at is not None)
        assert [backend.netloc for backend in known.snapshot().backends] == ALL
