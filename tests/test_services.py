"""Services' definitions, read and followed over HTTP: from what a real list and watch bring."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import attrs
import pytest

from discovery.definition import LoadBalancerStatus, Service
from discovery.errors import (
    AccessDenied,
    ApiUnavailable,
    ConfigurationError,
    InvalidTarget,
    NoBackends,
    NotReady,
    ServiceNotFound,
)
from discovery.events import Event
from discovery.kube.access import Access
from discovery.kube.credentials import Credentials
from discovery.kube.watches import Watches
from discovery.services import Services
from discovery.testing import FakeCluster

from .until import until


@attrs.frozen
class Scene:
    """Services of a cluster."""

    cluster: FakeCluster
    services: Services
    events: list[Event]

    def put(self, name: str = "web", *, ingress: Any = None, **spec: Any) -> None:
        """Create or replace a Service, with one port unless told otherwise."""
        spec = {"type": "ClusterIP", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80}], **spec}
        meta = {"name": name, "namespace": "shop"}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
        self.cluster.apply({**body, "status": {"loadBalancer": {} if ingress is None else {"ingress": ingress}}})

    def delete(self, name: str = "web") -> None:
        self.cluster.delete("services", name, "shop")

    def open_now(self) -> int:
        """Watches that the server holds open."""
        return len(self.cluster.faults.streams) // 2

    async def get(self, name: str = "web", timeout: float | None = 10.0) -> Service:
        return await self.services.get(name, "shop", timeout)

    def follow(self, name: str = "web") -> "asyncio.Task[list[Service | None]]":
        """All that a watch tells, until it ends."""

        async def collect() -> list[Service | None]:
            return [one async for one in self.services.watch(name, "shop")]

        return asyncio.create_task(collect())

    def wait(self, told: list[Service | None], timeout: float | None = 10.0) -> "asyncio.Task[LoadBalancerStatus]":
        return asyncio.create_task(self.services.load_balancer("web", "shop", timeout, told.append))


@pytest.fixture
async def scene(fake_cluster: FakeCluster) -> AsyncIterator[Scene]:
    events: list[Event] = []
    access = Access(Credentials(fake_cluster.kubeconfig, None))
    watches = Watches(access, emit=events.append, rng=random.Random(1), reconcile=None)
    services = Services(watches.subscribe, "cluster.local", events.append)
    yield Scene(fake_cluster, services, events)
    services.close()
    await watches.aclose()
    await access.aclose()


# Read once


async def test_a_service_is_read_as_it_is_defined_now(scene: Scene) -> None:
    scene.put(selector={"app": "web"})
    found = await scene.get()
    (stored,) = scene.cluster.objects("services", "shop")
    assert (found.name, found.namespace, found.uid) == ("web", "shop", stored["metadata"]["uid"])
    assert (found.cluster_ips, found.selector) == (("10.96.0.1",), (("app", "web"),))
    assert found.dns_name == "web.shop.svc.cluster.local"


async def test_one_name_is_asked_for_and_nothing_stays_open(scene: Scene) -> None:
    scene.put()
    scene.put("other")
    await scene.get()
    asked = [request for request in scene.cluster.requests if request.verb == "list"]
    assert [request.query.get("fieldSelector") for request in asked] == ["metadata.name=web"]
    await until(lambda: scene.open_now() == 0)


async def test_a_service_that_is_followed_already_costs_no_request(scene: Scene) -> None:
    scene.put()
    watching = scene.services.watch("web", "shop")
    first = await anext(watching)
    before = len(scene.cluster.requests)
    assert await scene.get() == first
    assert len(scene.cluster.requests) == before
    await watching.aclose()  # type: ignore[attr-defined]


async def test_a_service_that_is_not_there_is_not_found(scene: Scene) -> None:
    with pytest.raises(ServiceNotFound, match=r"the Service web in the namespace shop does not exist\. Check its name"):
        await scene.get()


async def test_what_may_not_be_read_says_which_rule_would_allow_it(scene: Scene) -> None:
    scene.cluster.faults.deny("services", "shop")
    with pytest.raises(AccessDenied, match="list services in the namespace shop") as caught:
        await scene.get()
    assert caught.value.rule


async def test_an_api_server_that_is_away_is_told_at_once(scene: Scene) -> None:
    await scene.cluster.stop_api()
    with pytest.raises(ApiUnavailable):
        await scene.get(timeout=None)


async def test_without_an_answer_in_time_it_is_not_ready(scene: Scene) -> None:
    scene.cluster.faults.stall()
    with pytest.raises(NotReady, match=r"no answer about the Service web in the namespace shop within 0\.05 s"):
        await scene.get(timeout=0.05)


@pytest.mark.parametrize(("name", "namespace"), [("Web", "shop"), ("web", "Shop"), ("a/b", "shop"), ("", "shop")])
async def test_a_name_that_cannot_be_one_is_refused_before_anything_is_asked(
    scene: Scene, name: str, namespace: str
) -> None:
    with pytest.raises(InvalidTarget):
        await scene.services.get(name, namespace, 1)
    with pytest.raises(InvalidTarget):
        scene.services.watch(name, namespace)
    with pytest.raises(InvalidTarget):
        await scene.services.load_balancer(name, namespace, 1)
    assert scene.cluster.requests == []


@pytest.mark.parametrize(
    "spec",
    [
        {"ports": [{"port": "80"}]},
        {"ports": [{}]},
        {"ports": "none"},
        {"clusterIPs": [1]},
        {"selector": {"app": 1}},
        {"externalIPs": "192.0.2.1"},
        {"type": None},
    ],
)
async def test_a_service_of_the_wrong_shape_is_told_of_and_is_not_taken_for_none(
    scene: Scene, spec: dict[str, Any]
) -> None:
    scene.put(**spec)
    with pytest.raises(NotReady, match=r"the Service web in the namespace shop cannot be read\. Look at it: kubectl"):
        await scene.get()
    assert [event.subject for event in scene.events if event.name == "object.unreadable"] == ["shop/web"]


# Followed


async def test_each_definition_is_told_once_and_its_end_as_none(scene: Scene) -> None:
    scene.put()
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        first = await anext(watching)
        assert first is not None
        scene.put()  # the same again, at another version
        scene.put(clusterIPs=["10.96.0.2"])
        second = await anext(watching)
        assert second == attrs.evolve(first, cluster_ips=("10.96.0.2",))
        scene.delete()
        assert await anext(watching) is None
        scene.put(clusterIPs=["10.96.0.2"])
        third = await anext(watching)
        assert third is not None
        assert third.uid != first.uid
        assert attrs.evolve(third, uid=second.uid) == second
    await until(lambda: scene.open_now() == 0)


async def test_a_service_that_is_not_there_yet_is_none_first(scene: Scene) -> None:
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        assert await anext(watching) is None
        scene.put()
        found = await anext(watching)
        assert found is not None


async def test_a_slow_reader_is_told_the_newest(scene: Scene) -> None:
    scene.put()
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        await anext(watching)
        for number in range(2, 10):
            scene.put(clusterIPs=[f"10.96.0.{number}"])
        versions: list[str] = []
        while versions[-1:] != ["10.96.0.9"]:
            found = await anext(watching)
            assert found is not None
            versions += found.cluster_ips
        assert versions == sorted(versions)


async def test_an_outage_is_lived_through_without_a_word(scene: Scene) -> None:
    scene.put()
    following = scene.follow()
    await until(lambda: scene.open_now() == 1)
    await scene.cluster.stop_api()
    await until(lambda: any(event.name == "watch.failed" for event in scene.events))
    assert (await scene.get()).cluster_ips == ("10.96.0.1",), "what was known last"
    scene.put(clusterIPs=["10.96.0.2"])
    await scene.cluster.start_api()
    await until(lambda: any(event.name == "watch.recovered" for event in scene.events), 15)
    scene.delete()
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        while await anext(watching) is not None:
            pass
    scene.services.close()
    told = await following
    assert [one and one.cluster_ips for one in told] == [("10.96.0.1",), ("10.96.0.2",), None]


async def test_a_definition_that_cannot_be_read_leaves_the_one_before(scene: Scene) -> None:
    scene.put()
    following = scene.follow()
    await until(lambda: scene.open_now() == 1)
    scene.put(ports="none")
    await until(lambda: any(event.name == "object.unreadable" for event in scene.events))
    assert not following.done()
    scene.put(clusterIPs=["10.96.0.2"])
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        while (found := await anext(watching)) is None or found.cluster_ips != ("10.96.0.2",):
            pass
    scene.services.close()
    assert [one and one.cluster_ips for one in await following] == [("10.96.0.1",), ("10.96.0.2",)]


async def test_one_that_cannot_be_read_at_first_is_not_told_as_none(scene: Scene) -> None:
    scene.put(ports="none")
    async with aclosing(scene.services.watch("web", "shop")) as watching:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(watching))
        await until(lambda: any(event.name == "object.unreadable" for event in scene.events))
        assert not first.done()
        scene.put()
        assert await first is not None


async def test_a_watch_whose_first_answer_is_a_refusal_raises_it(scene: Scene) -> None:
    scene.cluster.faults.deny("services", "shop")
    with pytest.raises(AccessDenied):
        await scene.follow()


async def test_when_it_closes_watches_end_and_waiters_are_told(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    following, waiting = scene.follow(), scene.wait(told)
    await until(lambda: told)
    scene.services.close()
    assert [one and one.load_balancer.pending for one in await following] == [True]
    with pytest.raises(RuntimeError, match="this Discovery is closed"):
        await waiting
    with pytest.raises(RuntimeError, match="this Discovery is closed"):
        await scene.get()


async def test_whoever_is_cancelled_leaves_nothing_behind(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    tasks: list[asyncio.Task[Any]] = [scene.follow(), scene.wait([])]
    await until(lambda: scene.open_now() == 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    await until(lambda: scene.open_now() == 0)


# Load balancers


async def test_an_external_address_is_waited_for(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    waiting = scene.wait(told)
    await until(lambda: told)
    scene.put(type="LoadBalancer", clusterIPs=["10.96.0.2"])
    await until(lambda: len(told) == 2)
    scene.put(type="LoadBalancer", ingress=[{"hostname": "LB.example.com"}, {"ip": "198.51.100.7"}])
    assert await waiting == LoadBalancerStatus(pending=False, addresses=("lb.example.com", "198.51.100.7"))
    assert [one is not None and one.load_balancer.pending for one in told] == [True, True]
    await until(lambda: scene.open_now() == 0)


async def test_progress_is_told_of_each_definition_once(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    waiting = scene.wait(told)
    await until(lambda: told)
    scene.put(type="LoadBalancer", ports="none")
    await until(lambda: any(event.name == "object.unreadable" for event in scene.events))
    scene.put(type="LoadBalancer", ingress=[{"ip": "198.51.100.7"}])
    await waiting
    assert len(told) == 1


async def test_one_that_is_there_is_told_at_once_and_without_progress(scene: Scene) -> None:
    scene.put(type="LoadBalancer", ingress=[{"ip": "198.51.100.7"}])
    told: list[Service | None] = []
    assert (await scene.wait(told)).addresses == ("198.51.100.7",)
    assert told == []
    assert (await scene.services.load_balancer("web", "shop", 10)).addresses == ("198.51.100.7",)


async def test_a_service_that_is_made_again_meanwhile_is_waited_for(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    waiting = scene.wait(told)
    await until(lambda: len(told) == 1)
    scene.delete()
    await until(lambda: len(told) == 2)
    scene.put(type="LoadBalancer")
    await until(lambda: len(told) == 3)
    scene.put(type="LoadBalancer", ingress=[{"ip": "198.51.100.7"}])
    assert (await waiting).addresses == ("198.51.100.7",)
    assert [one is None for one in told] == [False, True, False]


async def test_one_that_is_not_there_at_all_is_not_waited_for(scene: Scene) -> None:
    with pytest.raises(ServiceNotFound):
        await scene.wait([], None)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
async def test_a_service_of_another_type_is_refused_at_once_and_when_it_becomes_one(scene: Scene, kind: str) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    waiting = scene.wait(told, None)
    await until(lambda: told)
    scene.put(type=kind)
    says = f"has no load balancer: its type is {kind}. Set its type to LoadBalancer, or use another way in"
    with pytest.raises(NoBackends, match=says):
        await waiting
    with pytest.raises(NoBackends, match=says):
        await scene.wait([], None)


async def test_after_the_time_given_it_says_what_is_pending_and_where_to_look(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    with pytest.raises(NotReady, match=r"has no external address after 0\.2 s. See the events of kubectl describe"):
        await scene.wait(told, 0.2)
    assert len(told) == 1
    await until(lambda: scene.open_now() == 0)


async def test_a_service_that_went_meanwhile_is_named_so_after_the_time_given(scene: Scene) -> None:
    scene.put(type="LoadBalancer")
    told: list[Service | None] = []
    waiting = scene.wait(told, 0.5)
    await until(lambda: told)
    scene.delete()
    with pytest.raises(NotReady, match=r"has been deleted, and not made again within 0\.5 s"):
        await waiting


async def test_an_error_of_the_callers_own_leaves_as_it_is(scene: Scene) -> None:
    scene.put(type="LoadBalancer")

    def stop(_: Service | None) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await scene.services.load_balancer("web", "shop", 5, stop)
    await until(lambda: scene.open_now() == 0)


async def test_a_kubeconfig_that_is_not_there_is_told(fake_cluster: FakeCluster) -> None:
    access = Access(Credentials("/nonexistent/config", None))
    watches = Watches(access, emit=lambda _: None, rng=random.Random(1), reconcile=None)
    with pytest.raises(ConfigurationError):
        await Services(watches.subscribe, "cluster.local", lambda _: None).get("web", "shop", 5)
    await watches.aclose()
    await access.aclose()
