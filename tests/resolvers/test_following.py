"""What is followed of a cluster: what stands in for what, what is done without, and what never empties a pool."""

import asyncio
import gc
from collections.abc import AsyncIterator

import msgspec
import pytest

from discovery import Discovery, Event
from discovery.errors import AccessDenied, ApiUnavailable
from discovery.kube.objects import EndpointsBody, NodeBody, SliceBody
from discovery.resolvers.endpoints import endpoints_resolver
from discovery.resolvers.of_service import node_port_resolver
from discovery.resolvers.topology import Place
from discovery.targets import Endpoints, NodePort
from discovery.testing import FakeCluster

from ..until import until
from .scenes import Following, Wire
from .test_readiness import service_of, slice_of

NO_SUCH = ApiUnavailable("the server does not know this resource", status=404)


def resolver(wire: Wire, port: str | int | None = "http", place: Place | None = None) -> Following:
    target = Endpoints("web", namespace="shop", port=port)
    return Following(endpoints_resolver(target, place or Place(), wire.subscribe, lambda _: None))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def web(*addresses: str) -> SliceBody:
    return slice_of(*addresses)


def endpoints_of(*addresses: str) -> EndpointsBody:
    there = [{"ip": one} for one in addresses]
    ports = [{"name": "http", "port": 8080}]
    return msgspec.convert({"subsets": [{"addresses": there, "ports": ports}]}, EndpointsBody)


@pytest.fixture
async def old_cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster(endpoint_slices=False) as cluster:
        yield cluster


# One source of several


async def test_nothing_is_known_before_every_source_is_whole() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.tell("endpointslices", web=web("10.0.0.1"))
        wire.synced("endpointslices")
        await turns()
        assert known.synced_at is None
        wire.synced("services")
        await turns()
        assert [one.address for one in known.snapshot().backends] == ["10.0.0.1"]


async def test_a_port_by_name_does_without_a_service_that_may_not_be_read() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.tell("endpointslices", web=web("10.0.0.1"))
        wire.synced("endpointslices")
        wire.deny("services")
        await turns()
        assert (len(known.nodes), known.last_error) == (1, None)
        assert "may not be read" in known.remarks[0].text
        wire.tell("services", web=service_of({"name": "http", "port": 80}))
        wire.synced("services")
        await turns()
        assert known.remarks == ()


async def test_a_port_by_number_needs_the_service_and_says_so() -> None:
    wire = Wire()
    async with resolver(wire, 80) as known:
        wire.tell("endpointslices", web=web("10.0.0.1"))
        wire.synced("endpointslices")
        wire.deny("services")
        await turns()
        assert known.synced_at is None
        assert isinstance(known.last_error, AccessDenied)


async def test_a_source_that_breaks_later_takes_nothing_away() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.tell("endpointslices", web=web("10.0.0.1"))
        wire.synced()
        await turns()
        wire.deny("services")
        wire.feeds["endpointslices"].failed(ApiUnavailable("gone"), 0.0)
        await turns()
        assert len(known.nodes) == 1
        assert isinstance(known.last_error, ApiUnavailable)
        wire.synced("endpointslices")
        await turns()
        assert known.last_error is None


# Endpoints where there are no slices


async def test_a_server_without_slices_is_asked_for_endpoints(old_cluster: FakeCluster) -> None:
    deployed = await old_cluster.deploy("web", replicas=2)
    async with Discovery(kubeconfig=old_cluster.kubeconfig) as disco:
        for port in ("http", 80, None):
            pool = disco.pool(Endpoints("web", namespace="default", port=port))
            await pool.ready(5)
            assert {one.address for one in pool.backends} == {pod.address for pod in deployed.pods}
        await deployed.scale(1)
        await until(lambda: [one.address for one in pool.backends] == [deployed.pods[0].address])
        assert pool.backends[0].pod is not None
        assert pool.backends[0].pod.name == deployed.pods[0].name
        deployed.set_ready(deployed.pods[0], False)
        await until(lambda: not pool.backends)
        (candidate,) = pool.explain()
        assert candidate.reason == "not ready"
        assert pool.status.last_error is None


async def test_a_server_that_learns_slices_is_read_by_them_and_none_is_shown_twice() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.synced("services")
        wire.feeds["endpointslices"].failed(NO_SUCH, 0.0)
        await turns()
        assert wire.asked[-1] == ("endpoints", "shop", "web")
        wire.tell("endpoints", web=endpoints_of("10.0.0.1", "10.0.0.2"))
        wire.synced("endpoints")
        await turns()
        assert [one.address for one in known.snapshot().backends] == ["10.0.0.1", "10.0.0.2"]
        wire.tell("endpointslices", a=web("10.0.0.2", "10.0.0.3"))
        await turns()
        assert len(known.nodes) == 2, "what was known holds until the slices are whole"
        wire.synced("endpointslices")
        await turns()
        assert [one.address for one in known.snapshot().backends] == ["10.0.0.2", "10.0.0.3"]


async def test_one_404_of_a_gateway_makes_nobody_follow_plain_endpoints_for_good(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.answer(404, times=1, resource="endpointslices")
    deployed = await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pool = disco.pool("endpoints://default/web:http")
        await until(lambda: [one.address for one in pool.backends] == [deployed.pods[0].address])
        assert pool.status.last_error is None


async def test_a_server_where_everything_is_404_for_a_while_stops_nothing(fake_cluster: FakeCluster) -> None:
    """A gateway that has lost its server: many pools look for slices and Endpoints at once, and find neither."""
    await fake_cluster.deploy("a")
    await fake_cluster.deploy("b")
    fake_cluster.faults.answer(404, times=1, resource="endpointslices")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pools = [disco.pool(f"endpoints://default/{name}") for name in ("a:http", "a:80", "b:http")]
        fake_cluster.faults.answer(404)
        fake_cluster.faults.cut()
        late = disco.pool("endpoints://default/b:80")
        for _ in range(200):  # the loop goes on
            await asyncio.sleep(0.001)
        fake_cluster.faults.heal()
        await until(lambda: all(one.backends for one in (*pools, late)), 10)


async def test_a_source_that_could_be_read_once_is_not_done_without_when_it_is_denied_later() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.tell("endpointslices", web=web("10.0.0.1"))
        wire.tell("services", web=service_of({"name": "http", "port": 80}, sessionAffinity="ClientIP"))
        wire.synced()
        await turns()
        wire.deny("services")
        await turns()
        assert [remark.text for remark in known.remarks if "may not be read" in remark.text] == []
        assert "session affinity" in known.remarks[0].text


async def test_the_names_of_what_is_gone_are_not_kept() -> None:
    wire = Wire()
    follower = endpoints_resolver(Endpoints("web", namespace="shop", port="http"), Place(), wire.subscribe, print)
    async with Following(follower) as known:
        wire.synced()
        for number in range(50):
            wire.tell("endpointslices", **{f"s{number}": web("10.0.0.1")})
            await turns()
            wire.tell("endpointslices", **{f"s{number}": None})
            await turns()
        assert known.nodes == []
        frames = [held for held in gc.get_objects() if type(held).__name__ == "_Followed"]
        assert max(len(held._names) for held in frames) == 0


async def test_nothing_is_told_while_a_source_that_has_come_whole_is_not_taken_up() -> None:
    """The Service and the slices come whole while 3,000 nodes are being taken up."""
    wire, told = Wire(), list[Exception | None]()
    node = msgspec.convert({"status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]}}, NodeBody)
    target = NodePort("web", namespace="shop", port=80)
    async with Following(node_port_resolver(target, wire.subscribe, print)) as known:
        wire.tell("nodes", **{f"n{number}": node for number in range(3000)})
        wire.synced("nodes")
        for _ in range(2):
            await asyncio.sleep(0)
        wire.tell("services", web=service_of({"name": "http", "port": 80, "nodePort": 30080}, type="NodePort"))
        wire.synced("services", "endpointslices")
        while known.synced_at is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        told.append(known.last_error)
    assert "does not exist" not in str(told[0])


async def test_a_server_that_knows_neither_is_asked_for_the_one_and_then_the_other_once() -> None:
    wire = Wire()
    async with resolver(wire) as known:
        wire.feeds["endpointslices"].failed(NO_SUCH, 0.0)
        await turns()
        for _ in range(5):
            wire.feeds["endpoints"].failed(NO_SUCH, 0.0)
            await turns()
        assert [resource for resource, *_ in wire.asked] == ["endpointslices", "services", "endpoints"]
        assert known.last_error is NO_SUCH


async def test_a_service_that_cannot_be_read_is_not_said_to_be_missing(fake_cluster: FakeCluster) -> None:
    meta = {"name": "web"}
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": 5, "ports": "none"}}
    fake_cluster.apply(broken)
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        for scheme in ("endpoints", "cluster-ip", "node-port", "load-balancer"):
            pool = disco.pool(f"{scheme}://default/web:80")
            await until(lambda pool=pool: pool.status.last_error)  # type: ignore[misc]
            assert "services/web cannot be read" in str(pool.status.last_error)
        ports = [{"name": "http", "port": 80}]
        fake_cluster.apply({**broken, "spec": {"clusterIP": "10.96.0.9", "ports": ports}})
        pool = disco.pool("cluster-ip://default/web:80")
        await until(lambda: pool.backends)
        assert pool.status.last_error is None


@pytest.mark.parametrize("kind", ["pods", "services"])
async def test_an_object_whose_metadata_cannot_be_read_is_passed_over_and_the_others_are_kept(
    fake_cluster: FakeCluster, kind: str
) -> None:
    deployed = await fake_cluster.deploy("web", replicas=2)
    spoilt = {"name": "spoilt", "labels": {"app": "web", "n": 1}}
    what = {"pods": "Pod", "services": "Service"}[kind]
    fake_cluster.apply({"apiVersion": "v1", "kind": what, "metadata": spoilt, "spec": {}})
    events: list[Event] = []
    async with Discovery(kubeconfig=fake_cluster.kubeconfig, on_event=events.append) as disco:
        if kind == "services":
            await disco.prefetch("default")
            pool = disco.pool("endpoints://default/web:80")
        else:
            pool = disco.pool("pods://default/app=web:http")
        await pool.ready(5)
        assert {one.address for one in pool.backends} == {pod.address for pod in deployed.pods}
    skipped = [event for event in events if event.name == "watch.skipped"]
    assert [(event.data["reason"], event.data["detail"]) for event in skipped] == [("metadata of a list", "1")]
