"""What Consul should hold of a Service: the cases of consul-k8s (E1 to E33), and where this differs on purpose."""

from pathlib import Path
from typing import Any

import pytest

from discovery.bridge.records import Instance
from discovery.bridge.wanted import annotations, metadata
from discovery.bridge.wanted.annotations import Wishes
from discovery.bridge.wanted.desired import desired, is_selected
from discovery.bridge.wanted.unusable import Unusable
from discovery.kube.objects import ServiceBody

from .objects import HTTP, NODES, PODS, RPC, node, nodes_of, options, places, planned, pod, service, slice_of, view

LB: Any = {"type": "LoadBalancer"}


def meta(instance: Instance) -> dict[str, str]:
    return dict(instance.meta)


def refused(body: Any, *slices: Any, **more: Any) -> Unusable:
    with pytest.raises(Unusable) as caught:
        planned(body, *slices, **more)
    assert str(caught.value).isprintable()
    return caught.value


# Node ports: E1 to E8


def test_a_node_port_service_is_registered_at_the_nodes_of_its_pods_critical_where_none_is_ready() -> None:
    """E1, but that consul-k8s has the node of the unready pod as healthy as the others."""
    found = planned(service())
    assert places(found, "foo") == ["1.2.3.4:30000", "2.3.4.5:30000", "3.4.5.6:30000!"]
    assert places(found, "foo-rpc") == ["1.2.3.4:30001", "2.3.4.5:30001", "3.4.5.6:30001!"]
    assert len({one.id for one in found.instances}) == len(found.instances) == 6
    assert {meta(one)["external-k8s-topology-zone"] for one in found.instances} == {
        "us-west-2a",
        "us-west-2b",
        "us-west-2c",
    }
    assert found.remarks == ()


def test_a_node_without_a_ready_pod_is_absent_where_that_is_asked_for() -> None:
    assert places(planned(service(), not_ready="absent"), "foo") == ["1.2.3.4:30000", "2.3.4.5:30000"]


def test_the_prefix_goes_before_its_name() -> None:
    assert [one.text for one in planned(service(HTTP), service_prefix="prefix").names] == ["prefixfoo"]  # E2


def test_a_node_without_a_pod_of_it_is_not_registered() -> None:
    assert places(planned(service(HTTP), slice_of(PODS[0]))) == ["1.2.3.4:30000"]  # E3


def test_the_annotated_port_is_the_main_one() -> None:
    found = planned(service(annotations={"service-port": "rpc"}))  # E4
    assert places(found, "foo")[0] == "1.2.3.4:30001"
    assert places(found, "foo-http")[0] == "1.2.3.4:30000"


def test_unnamed_ports_beside_others_are_refused() -> None:
    """E5: consul-k8s calls them port1 and port2; no API server takes such a Service."""
    assert refused(service({"port": 80, "nodePort": 30000}, {"port": 81, "nodePort": 30001})).reason == "port"


def test_an_unnamed_port_alone_is_served_by_slices_that_do_not_name_it_either() -> None:
    found = planned(service({"port": 80, "nodePort": 30000}), slice_of(PODS[0], ports=[{"port": 8080}]))
    assert places(found) == ["1.2.3.4:30000"]
    assert found.instances[0].id == "prod.default.foo._.1.2.3.4"
    assert meta(found.instances[0])["external-k8s-port"] == ""


def test_of_several_internal_addresses_the_first_is_taken() -> None:
    found = planned(service(HTTP), address_types="InternalIP")  # E6
    assert places(found) == ["4.5.6.7:30000", "5.6.7.8:30000", "6.7.8.9:30000!"]


def test_a_node_without_an_external_address_is_reached_at_its_internal_one() -> None:
    found = planned(service(HTTP), nodes={**NODES, "n1": node("4.5.6.7", "7.8.9.10")})  # E7
    assert places(found) == ["2.3.4.5:30000", "3.4.5.6:30000!", "4.5.6.7:30000"]


def test_where_no_node_has_a_wanted_address_it_is_refused_so_that_what_is_registered_stays() -> None:
    """E8: consul-k8s has 0 instances then, and deregisters all."""
    bare = {name: node("4.5.6.7") for name in NODES}
    error = refused(service(HTTP), nodes=bare, address_types="ExternalIP")
    assert error.reason == "address"
    assert "3 of the 3 nodes" in str(error)
    assert "ExternalIP" in str(error)


def test_where_some_nodes_have_no_wanted_address_the_others_serve_and_it_is_remarked() -> None:
    found = planned(service(), nodes={**NODES, "n1": node("4.5.6.7")}, address_types="ExternalIP")
    assert places(found, "foo") == ["2.3.4.5:30000", "3.4.5.6:30000!"]
    assert found.remarks == (
        "1 of the 3 nodes that could serve it have no address of the type ExternalIP, such as 'n1'",
    )


# External IPs and load balancers: E9 to E17


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort", "ClusterIP"])
def test_external_ips_are_exactly_what_is_registered_with_the_ports_of_the_service(kind: str) -> None:
    """E9; consul-k8s has node ports there for the type NodePort, at which nobody answers on such an address."""
    body = service(type=kind, externalIPs=["3.3.3.3", "4.4.4.4", "3.3.3.3"], ingress=[{"ip": "1.2.3.4"}])
    found = planned(body)
    assert places(found, "foo") == ["3.3.3.3:80", "4.4.4.4:80"]
    assert places(found, "foo-rpc") == ["3.3.3.3:8500", "4.4.4.4:8500"]
    assert {one.node for one in found.instances} == {"k8s-prod"}


@pytest.mark.parametrize("addresses", [["1.2.3.4"], ["1.2.3.4", "2.2.2.2"]])
def test_a_load_balancer_is_registered_at_each_of_its_addresses(addresses: list[str]) -> None:
    found = planned(service(HTTP, **LB, ingress=[{"ip": one} for one in addresses]))  # E10, E11
    assert places(found) == [f"{one}:80" for one in addresses]


def test_a_load_balancer_that_has_a_host_name_is_registered_at_that() -> None:
    found = planned(
        service(HTTP, **LB, ingress=[{"hostname": "LB.example.com"}, {"ip": "", "hostname": "b.example.com"}])
    )
    assert places(found) == ["b.example.com:80", "lb.example.com:80"]
    assert found.instances[0].id == "prod.default.foo.http.b.example.com"


def test_each_port_of_a_load_balancer_is_a_consul_service_and_all_are_in_its_metadata() -> None:
    found = planned(service(**LB, ingress=[{"ip": "1.2.3.4"}]))  # E12
    assert places(found, "foo") == ["1.2.3.4:80"]
    assert places(found, "foo-rpc") == ["1.2.3.4:8500"]
    for one in found.instances:
        assert meta(one)["port-http"] == "80"
        assert meta(one)["port-rpc"] == "8500"


def test_the_annotated_port_of_a_load_balancer_is_the_main_one() -> None:
    found = planned(service(**LB, ingress=[{"ip": "1.2.3.4"}], annotations={"service-port": "rpc"}))  # E13
    assert places(found, "foo") == ["1.2.3.4:8500"]


def test_tags_are_those_of_the_options_and_then_those_asked_for() -> None:
    asked = {"service-tags": "one, two,three\\,x,k8s"}  # E14
    found = planned(service(HTTP, annotations=asked), tags=("k8s",))
    assert found.instances[0].tags == ("k8s", "one", "two", "three,x")


def test_metadata_that_is_asked_for_is_added() -> None:
    assert meta(planned(service(annotations={"service-meta-foo": "bar"})).instances[0])["foo"] == "bar"  # E15


def test_a_name_that_is_asked_for_takes_neither_prefix_nor_suffix() -> None:
    found = planned(
        service(HTTP, annotations={"service-name": "web"}), service_prefix="p", namespace_suffix=True
    )  # E16
    assert [(one.text, one.asked) for one in found.names] == [("web", True)]


def test_a_load_balancer_is_never_registered_at_its_pods() -> None:
    """E17: consul-k8s has an option for it."""
    found = planned(service(HTTP, **LB, ingress=[{"ip": "1.2.3.4"}]), pod_addresses=True)
    assert places(found) == ["1.2.3.4:80"]


def test_a_load_balancer_that_waits_for_its_address_has_no_instances_yet_and_its_names_already() -> None:
    found = planned(service(HTTP, **LB))
    assert found.instances == ()
    assert [one.text for one in found.names] == ["foo"]
    assert found.remarks == ("its load balancer has no address yet",)


def test_a_port_that_the_load_balancer_could_not_open_is_critical() -> None:
    closed = {"port": 8500, "protocol": "TCP", "error": "PortInUse"}
    found = planned(service(**LB, ingress=[{"ip": "1.2.3.4", "ports": [{"port": 80}, closed]}]))
    assert places(found) == ["1.2.3.4:80", "1.2.3.4:8500!"]


@pytest.mark.parametrize("where", [{**LB, "ingress": [{"ip": "1.2.3.4"}]}, {"externalIPs": ["1.2.3.4"]}])
def test_an_address_of_its_own_is_critical_while_no_endpoint_is_usable(where: dict[str, Any]) -> None:
    body = service(HTTP, **where)
    assert places(planned(body, slice_of(pod("1.1.1.1", "n1", ready=False)))) == ["1.2.3.4:80!"]
    assert places(planned(body, slice_of())) == ["1.2.3.4:80!"]
    assert places(planned(body, slice_of(pod("1.1.1.1", "n1", ready=False, terminating=True)))) == ["1.2.3.4:80"]


def test_addresses_of_the_preferred_family_are_taken_and_of_the_only_one() -> None:
    both = [{"ip": "1.2.3.4"}, {"ip": "FD00::1"}]
    assert places(planned(service(HTTP, **LB, ingress=both))) == ["1.2.3.4:80"]
    assert places(planned(service(HTTP, **LB, ingress=both), family="prefer-ipv6")) == ["fd00::1:80"]
    assert places(planned(service(HTTP, **LB, ingress=both[1:]))) == ["fd00::1:80"]
    assert places(planned(service(HTTP, externalIPs=["fd00::2", "4.4.4.4"]))) == ["4.4.4.4:80"]


def test_a_family_that_its_addresses_have_not_is_refused() -> None:
    error = refused(service(HTTP, **LB, ingress=[{"ip": "1.2.3.4"}]), family="ipv6")
    assert error.reason == "address"
    assert "1.2.3.4" in str(error)
    assert refused(service(HTTP, externalIPs=["1.2.3.4"]), family="ipv6").reason == "address"


def test_addresses_that_cannot_be_read_are_left_out_and_refused_where_there_are_no_others() -> None:
    found = planned(service(HTTP, externalIPs=["1.2.3.4", "nonsense\n"]))
    assert places(found) == ["1.2.3.4:80"]
    assert found.remarks == ("its external IP 'nonsense\\n' is no address",)
    assert refused(service(HTTP, externalIPs=["nonsense"])).reason == "address"
    assert refused(service(HTTP, **LB, ingress=[{"ip": "nonsense"}])).reason == "address"


# Pods: E18 to E22

CLUSTER_IP: Any = {"type": "ClusterIP"}


@pytest.mark.parametrize("ip", ["10.96.0.1", "None"])
def test_pods_are_registered_at_their_addresses_with_the_ports_of_their_slices(ip: str) -> None:
    """E18 and E22, but that a pod of which nothing is said is ready, as Kubernetes has it."""
    found = planned(service(**CLUSTER_IP, clusterIP=ip), pod_addresses=True)
    assert places(found, "foo") == ["1.1.1.1:8080", "2.2.2.2:8080", "3.3.3.3:8080!"]
    assert places(found, "foo-rpc") == ["1.1.1.1:2000", "2.2.2.2:2000", "3.3.3.3:2000!"]
    assert {one.name: one.address for one in found.nodes} == {
        "k8s-prod--n1": "1.2.3.4",
        "k8s-prod--n2": "2.3.4.5",
        "k8s-prod--n3": "3.4.5.6",
    }
    assert meta(found.instances[0])["external-k8s-node-name"] == "n1"
    assert meta(found.instances[0])["external-k8s-topology-zone"] == "us-west-2a"


def test_a_port_number_that_is_none_of_its_ports_is_refused() -> None:
    """E19: consul-k8s adds a port of that number, at which nothing may listen."""
    body = service(**CLUSTER_IP, annotations={"service-port": "4141"})
    assert refused(body, pod_addresses=True).reason == "annotation"


def test_a_pod_that_stands_on_no_known_node_is_registered_on_the_common_one() -> None:
    found = planned(service(HTTP, **CLUSTER_IP), slice_of(pod("1.1.1.1")), pod_addresses=True)
    assert [(one.name, one.address) for one in found.nodes] == [("k8s-prod", "127.0.0.1")]
    assert "external-k8s-node-name" not in meta(found.instances[0])


def test_a_pod_keeps_its_consul_node_when_the_node_is_gone_or_has_no_address() -> None:
    for nodes in ({}, {"n1": node("Hostname n1")}):
        found = planned(service(HTTP, **CLUSTER_IP), slice_of(PODS[0]), nodes=nodes, pod_addresses=True)
        assert [(one.name, one.address) for one in found.nodes] == [("k8s-prod--n1", "127.0.0.1")]
        assert places(found) == ["1.1.1.1:8080"]


def test_a_pod_without_a_zone_is_in_that_of_its_node() -> None:
    found = planned(service(HTTP, **CLUSTER_IP), slice_of(pod("1.1.1.1", "n2")), pod_addresses=True)
    assert meta(found.instances[0])["external-k8s-topology-zone"] == "us-west-2b"


def test_a_named_target_port_is_the_number_that_each_slice_has_for_it() -> None:
    other = slice_of(pod("4.4.4.4", "n1"), ports=[{"name": "http", "port": 9090}])  # E21
    found = planned(service(HTTP, **CLUSTER_IP), slice_of(PODS[0]), other, pod_addresses=True)
    assert places(found) == ["1.1.1.1:8080", "4.4.4.4:9090"]


def test_a_pod_in_two_slices_is_one_instance_as_ready_as_the_better_of_them_has_it() -> None:
    again = slice_of(pod("1.1.1.1", "n1", ready=False))
    found = planned(service(HTTP, **CLUSTER_IP), again, slice_of(PODS[0]), pod_addresses=True)
    assert places(found) == ["1.1.1.1:8080"]


def test_unready_pods_are_absent_where_that_is_asked_for() -> None:
    found = planned(service(HTTP, **CLUSTER_IP), pod_addresses=True, not_ready="absent")
    assert places(found) == ["1.1.1.1:8080", "2.2.2.2:8080"]


def test_pods_of_two_families_are_registered_once_in_the_preferred_one() -> None:
    both = slice_of(PODS[0]), slice_of(pod("fd00::1", "n1"), kind="IPv6")
    body = service(HTTP, **CLUSTER_IP)
    assert places(planned(body, *both, pod_addresses=True)) == ["1.1.1.1:8080"]
    assert places(planned(body, *both, pod_addresses=True, family="prefer-ipv6")) == ["fd00::1:8080"]
    assert places(planned(body, both[1], pod_addresses=True)) == ["fd00::1:8080"]
    assert refused(body, both[0], pod_addresses=True, family="ipv6").reason == "address"
    assert planned(body, slice_of(), pod_addresses=True, family="ipv6").instances == ()


def test_a_headless_service_is_registered_at_its_pods_whatever_its_external_ips() -> None:
    """kube-proxy serves no external IPs of a headless Service."""
    body = service(HTTP, **CLUSTER_IP, clusterIP="None", externalIPs=["9.9.9.9"])
    assert places(planned(body, slice_of(PODS[0]), pod_addresses=True)) == ["1.1.1.1:8080"]


# Which Services: E20, E23 to E29


def selected(body: Any, namespace: str = "default", **more: Any) -> bool:
    return is_selected(view(body, namespace=namespace), options(**more))


@pytest.mark.parametrize("body", [service(), service(**LB), service(**CLUSTER_IP, externalIPs=["1.1.1.1"])])
def test_what_is_reached_from_outside_is_selected(body: Any) -> None:
    assert selected(body)


@pytest.mark.parametrize("body", [service(**CLUSTER_IP), service(**CLUSTER_IP, clusterIP="None")])
def test_what_only_its_pods_reach_is_selected_where_they_can_be_reached(body: Any) -> None:
    assert not selected(body)  # E20
    assert selected(body, pod_addresses=True)


def test_an_alias_is_never_selected() -> None:
    alias = service(type="ExternalName", clusterIP="", externalName="example.com", externalIPs=["1.1.1.1"])
    assert not selected(alias, pod_addresses=True)


@pytest.mark.parametrize(
    ("opt_in", "sync", "expected"),
    [(False, None, True), (False, "false", False), (True, None, False), (True, "true", True), (True, "nonsense", True)],
)
def test_the_annotation_goes_before_the_option(opt_in: bool, sync: str | None, expected: bool) -> None:
    body = service(annotations={} if sync is None else {"service-sync": sync})  # E23 to E27
    assert selected(body, opt_in=opt_in) is expected


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        ((), (), {"foo", "bar"}),
        (("foo",), (), {"foo"}),
        (("foo",), ("foo",), set()),
        (("foo", "bar"), ("foo",), {"bar"}),
        ((), ("bar",), {"foo"}),
    ],
)
def test_namespaces_are_allowed_unless_denied_and_all_where_none_is_named(
    allow: tuple[str, ...], deny: tuple[str, ...], expected: set[str]
) -> None:
    """E29, but that nothing named is all, where consul-k8s has `*` for that and nothing for nothing."""
    found = {one for one in ("foo", "bar") if selected(service(), one, namespaces=allow, deny_namespaces=deny)}
    assert found == expected


def test_the_namespaces_of_the_system_are_denied_at_first() -> None:
    assert not selected(service(annotations={"service-sync": "true"}), "kube-system")


# Suffix, weights, names: E30 to E33


def test_services_of_one_name_in_two_namespaces_are_two_with_the_suffix_and_never_share_an_id() -> None:
    one, two = (planned(service(HTTP), namespace=ns, namespace_suffix=True) for ns in ("default", "bar"))  # E30
    assert [name.text for name in (*one.names, *two.names)] == ["foo-default", "foo-bar"]
    plain = [planned(service(HTTP), namespace=ns) for ns in ("default", "bar")]
    assert {one.id for one in plain[0].instances}.isdisjoint(one.id for one in plain[1].instances)


def test_the_ids_stay_when_names_change() -> None:
    before, after = planned(service()), planned(service(), namespace_suffix=True)  # E31
    assert [one.key for one in before.instances] == [one.key for one in after.instances]
    assert {one.text for one in before.names}.isdisjoint(one.text for one in after.names)


@pytest.mark.parametrize(("value", "weight"), [("22", 22), ("1000", 1000), ("1", 1)])
def test_a_weight_is_that_of_every_instance_at_nodes_too(value: str, weight: int) -> None:
    found = planned(service(annotations={"service-weight": value}))  # E32
    assert {one.weight for one in found.instances} == {weight}
    assert {one.weight for one in planned(service()).instances} == {1}


@pytest.mark.parametrize(
    "annotations",
    [{"service-weight": "0"}, {"service-name": "  "}, {"service-name": "a" * 256}, {"service-sync": "maybe"}],
)
def test_a_bad_annotation_refuses_the_whole_service(annotations: dict[str, str]) -> None:
    assert refused(service(annotations=annotations)).reason in ("annotation", "name")  # E32, E33


def test_wishes_that_have_been_read_are_not_read_again() -> None:
    body = service(HTTP, annotations={"service-weight": "nonsense"})
    found = desired(view(body, slice_of(*PODS)), nodes_of(NODES), options(), Wishes(weight=7))
    assert found.instances[0].weight == 7


# What is written


def test_an_instance_says_whose_it_is_and_what_it_stands_for() -> None:
    found = planned(service(HTTP), slice_of(PODS[0]))
    assert found.instances == (
        Instance(
            node="k8s-prod--n1",
            id="prod.default.foo.http.1.2.3.4",
            service="foo",
            address="1.2.3.4",
            port=30000,
            tags=("kubernetes",),
            meta=(
                ("external-k8s-name", "foo"),
                ("external-k8s-node-name", "n1"),
                ("external-k8s-ns", "default"),
                ("external-k8s-port", "http"),
                ("external-k8s-topology-zone", "us-west-2a"),
                ("external-k8s-uid", "uid-foo"),
                ("external-source", "kubernetes"),
                ("managed-by", "aiodiscovery"),
                ("owner-id", "prod"),
                ("port-http", "80"),
            ),
            weight=1,
            status="passing",
            of=("default", "foo"),
        ),
    )


def test_a_port_that_is_not_for_tcp_says_so() -> None:
    dns = {"name": "dns", "port": 53, "nodePort": 30053, "protocol": "UDP"}
    found = planned(service(dns, HTTP), slice_of(PODS[0], ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]))
    assert places(found) == ["1.2.3.4:30053"]
    assert meta(found.instances[0])["external-k8s-protocol"] == "UDP"


def test_a_consul_node_says_whose_it_is() -> None:
    (entry,) = planned(service(HTTP), slice_of(PODS[0])).nodes
    assert (entry.name, entry.address) == ("k8s-prod--n1", "1.2.3.4")
    assert entry.meta == (("external-source", "kubernetes"), ("managed-by", "aiodiscovery"), ("owner-id", "prod"))


def test_consul_esm_is_to_look_after_nodes_that_have_an_address() -> None:
    (entry,) = planned(service(HTTP), slice_of(PODS[0]), probe="esm").nodes
    assert {("external-node", "true"), ("external-probe", "true")} <= set(entry.meta)
    (common,) = planned(service(HTTP, externalIPs=["9.9.9.9"]), probe="esm").nodes
    assert {("external-node", "true"), ("external-probe", "false")} <= set(common.meta)


def test_metadata_of_ours_cannot_be_asked_for() -> None:
    for key in ("owner-id", "external-k8s-ns", "external-k8s-node-name", "port-http"):
        error = refused(service(annotations={f"service-meta-{key}": "x"}))
        assert error.reason == "metadata"
        assert key in str(error)
    assert meta(planned(service(annotations={"service-meta-port-grpc": "x"})).instances[0])["port-grpc"] == "x"


def test_more_metadata_than_consul_takes_is_refused() -> None:
    asked = {f"service-meta-{number}": "x" for number in range(55)}
    assert refused(service(annotations=asked)).reason == "metadata"
    found = planned(service(annotations=dict(list(asked.items())[:52])))
    assert max(len(one.meta) for one in found.instances) <= 64


def test_ports_that_do_not_fit_into_the_metadata_are_left_out_of_it_and_registered_all_the_same() -> None:
    ports = [{"name": f"p{number}", "port": number, "nodePort": 30000 + number} for number in range(1, 101)]
    found = planned(service(*ports), slice_of(PODS[0], ports=[{"name": one["name"], "port": 1} for one in ports]))
    assert len(found.instances) == 100
    assert not any(key.startswith("port-") for key, _ in found.instances[0].meta)
    assert "100 port numbers" in found.remarks[0]


def test_a_service_without_ports_has_nothing_to_register() -> None:
    found = desired(view(ServiceBody()), nodes_of(NODES), options())
    assert (found.instances, found.names) == ((), ())
    assert found.remarks == ("it has no ports",)


def test_a_service_without_pods_has_its_names_and_no_instances() -> None:
    found = planned(service(), slice_of())
    assert (found.instances, found.nodes, found.remarks) == ((), (), ())
    assert [one.text for one in found.names] == ["foo", "foo-rpc"]


def test_instances_come_sorted_and_with_them_their_nodes() -> None:
    found = planned(service(RPC, HTTP), slice_of(*reversed(PODS)))
    assert [one.key for one in found.instances] == sorted(one.key for one in found.instances)
    assert [one.name for one in found.nodes] == ["k8s-prod--n1", "k8s-prod--n2", "k8s-prod--n3"]


# The page in docs/


def test_the_page_of_what_is_registered_names_every_annotation_and_key() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/bridge.md").read_text()
    notes = (annotations.SYNC, annotations.NAME, annotations.PORT, annotations.TAGS, annotations.WEIGHT)
    for text in (annotations.META + "KEY", *notes):
        assert f"`{text.removeprefix(annotations.PREFIX)}`" in page
    for key in metadata.OURS:
        assert f"`{key}`" in page
