"""What the bridge knows of a cluster: events are evidence, and what a list merely lacks is doubted first."""

import msgspec
import pytest

from discovery.bridge.kubernetes.model import Cluster, KindName
from discovery.bridge.options import BridgeOptions
from discovery.kube.objects import NodeBody, ServiceBody, SliceBody

WEB = ("shop", "web")


def service(**spec: object) -> ServiceBody:
    return msgspec.convert({"spec": {"type": "NodePort", **spec}}, ServiceBody)


def a_slice(*nodes: str) -> SliceBody:
    endpoints = [{"addresses": [f"10.0.0.{number}"], "nodeName": node} for number, node in enumerate(nodes)]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return msgspec.convert({"addressType": "IPv4", "endpoints": endpoints, "ports": ports}, SliceBody)


def node(address: str, ready: str = "True") -> NodeBody:
    conditions = [{"type": "Ready", "status": ready}]
    status = {"addresses": [{"type": "InternalIP", "address": address}], "conditions": conditions}
    return msgspec.convert({"status": status}, NodeBody)


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(BridgeOptions(owner="test"))
    made.take_service(WEB, "u1", service(), listed=True)
    made.take_slice(("shop", "web-1"), "web", a_slice("node-1", "node-2"), listed=True)
    made.take_node("node-1", node("192.0.2.1"), listed=True)
    return made


def settled(cluster: Cluster) -> Cluster:
    cluster.dirty.clear()
    cluster.told.clear()
    return cluster


NAMES: dict[KindName, tuple[str, str]] = {
    "services": WEB,
    "endpointslices": ("shop", "web-1"),
    "nodes": ("", "node-1"),
}


def test_what_a_list_brings_is_taken_up_and_is_no_evidence_of_an_event(cluster: Cluster) -> None:
    assert (cluster.dirty, cluster.told) == ({WEB}, set())
    view = cluster.view(WEB)
    assert view is not None
    assert (view.namespace, view.name, view.uid) == ("shop", "web", "u1")
    assert len(view.slices) == 1


@pytest.mark.parametrize("kind", NAMES)
def test_what_an_event_ends_is_gone_at_once_and_for_certain(cluster: Cluster, kind: KindName) -> None:
    settled(cluster).gone(kind, NAMES[kind], listed=False)
    assert NAMES[kind] not in cluster.names(kind)
    assert (cluster.dirty, cluster.told) == ({WEB}, {WEB})


@pytest.mark.parametrize("kind", NAMES)
def test_what_a_list_lacks_stays_until_a_second_list_lacks_it_too(cluster: Cluster, kind: KindName) -> None:
    settled(cluster).gone(kind, NAMES[kind], listed=True)
    assert NAMES[kind] in cluster.names(kind)
    assert not cluster.dirty
    assert cluster.doubted[kind] == {NAMES[kind]}
    cluster.confirmed(kind, {})
    assert NAMES[kind] not in cluster.names(kind)
    assert (cluster.dirty, cluster.told) == ({WEB}, set()), "a list is no event, however often it is read"
    assert not cluster.doubted[kind]


@pytest.mark.parametrize("kind", NAMES)
def test_what_the_second_list_has_was_never_gone(cluster: Cluster, kind: KindName) -> None:
    settled(cluster).gone(kind, NAMES[kind], listed=True)
    cluster.confirmed(kind, {NAMES[kind]: object()})
    assert NAMES[kind] in cluster.names(kind)
    assert not cluster.dirty
    cluster.confirmed(kind, {})
    assert NAMES[kind] in cluster.names(kind), "only what is doubted can be confirmed"


def test_what_an_event_tells_again_is_not_doubted_any_more(cluster: Cluster) -> None:
    settled(cluster).gone("services", WEB, listed=True)
    cluster.take_service(WEB, "u1", service(), listed=False)
    cluster.confirmed("services", {})
    assert WEB in cluster


def test_what_nobody_knew_cannot_be_doubted_nor_end(cluster: Cluster) -> None:
    settled(cluster)
    for kind in NAMES:
        cluster.gone(kind, ("shop", "other"), listed=True)
        cluster.gone(kind, ("shop", "other"), listed=False)
    assert not any(cluster.doubted.values())
    assert not cluster.dirty


def test_the_same_again_changes_nothing(cluster: Cluster) -> None:
    settled(cluster)
    cluster.take_service(WEB, "u1", service(), listed=False)
    cluster.take_slice(("shop", "web-1"), "web", a_slice("node-1", "node-2"), listed=False)
    cluster.take_node("node-1", node("192.0.2.1"), listed=False)
    assert (cluster.dirty, cluster.told) == (set(), set())


def test_another_service_of_the_same_name_is_a_change(cluster: Cluster) -> None:
    settled(cluster).take_service(WEB, "u2", service(), listed=False)
    assert cluster.told == {WEB}


def test_a_node_concerns_the_services_with_endpoints_on_it_and_no_others(cluster: Cluster) -> None:
    settled(cluster).take_node("node-9", node("192.0.2.9"), listed=False)
    assert not cluster.dirty
    cluster.take_node("node-2", node("192.0.2.2"), listed=False)
    assert cluster.told == {WEB}


def test_where_all_nodes_serve_each_concerns_every_service() -> None:
    cluster = Cluster(BridgeOptions(owner="test", nodes="all"))
    cluster.take_service(WEB, "u1", service(), listed=True)
    settled(cluster).take_node("node-9", node("192.0.2.9"), listed=False)
    assert cluster.dirty == {WEB}


def test_a_slice_that_leaves_a_node_leaves_it_to_the_others_that_are_there(cluster: Cluster) -> None:
    cluster.take_slice(("shop", "web-2"), "web", a_slice("node-1"), listed=False)
    cluster.take_slice(("shop", "web-1"), "web", a_slice("node-3"), listed=False)
    settled(cluster).take_node("node-1", node("192.0.2.111"), listed=False)
    assert cluster.dirty == {WEB}
    cluster.gone("endpointslices", ("shop", "web-2"), listed=False)
    settled(cluster).take_node("node-1", node("192.0.2.112"), listed=False)
    assert not cluster.dirty


def test_a_slice_that_comes_to_another_service_concerns_both(cluster: Cluster) -> None:
    settled(cluster).take_slice(("shop", "web-1"), "db", a_slice("node-1"), listed=False)
    assert cluster.told == {WEB, ("shop", "db")}
    view = cluster.view(WEB)
    assert view is not None
    assert view.slices == ()


def test_slices_may_come_before_their_service() -> None:
    cluster = Cluster(BridgeOptions(owner="test"))
    cluster.take_slice(("shop", "web-1"), "web", a_slice("node-1"), listed=True)
    assert cluster.view(WEB) is None
    cluster.take_service(WEB, "u1", service(), listed=True)
    view = cluster.view(WEB)
    assert view is not None
    assert len(view.slices) == 1


def test_that_no_node_is_heard_any_more_concerns_every_service(cluster: Cluster) -> None:
    cluster.take_service(("shop", "db"), "u2", service(), listed=True)
    settled(cluster).take_node("node-1", node("192.0.2.1", ready="Unknown"), listed=False)
    assert cluster.dirty == {WEB, ("shop", "db")}
    settled(cluster).take_node("node-9", node("192.0.2.9"), listed=False)
    assert cluster.dirty == {WEB, ("shop", "db")}
