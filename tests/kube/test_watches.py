"""Watches are shared: opened with the first reader, ended after the last, held for all by a prefetch."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from discovery import AccessDenied, Discovery, Event, NotReady
from discovery.kube import watches
from discovery.kube.access import Access
from discovery.kube.credentials import Credentials
from discovery.kube.kinds import ENDPOINT_SLICES, SERVICES
from discovery.kube.reflector import Backoff
from discovery.kube.store import Changes
from discovery.kube.watches import Watches
from discovery.testing import FakeCluster

from ..until import until


class Noted:
    """A reader that keeps what it heard."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.synced_ = 0
        self.errors: list[Exception] = []

    def changed(self, changes: Changes) -> None:
        for name, held in changes.items():
            self.held.discard(name) if held is None else self.held.add(name)

    def synced(self) -> None:
        self.synced_ += 1

    def failed(self, error: Exception, since: float) -> None:
        self.errors.append(error)


class Scene:
    """Watches on a cluster."""

    def __init__(self, cluster: FakeCluster, watches: Watches, access: Access, events: list[Event]) -> None:
        self.cluster, self.watches, self.access, self.events = cluster, watches, access, events

    def put(self, service: str, namespace: str = "shop") -> None:
        meta = {"name": f"{service}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": service}}
        body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta}
        self.cluster.apply({**body, "addressType": "IPv4", "endpoints": [], "ports": []})

    def serve(self, name: str, namespace: str = "shop") -> None:
        self.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}})

    def watched(self, namespace: str | None = "shop", resource: str = "endpointslices") -> list[dict[str, str]]:
        path = (ENDPOINT_SLICES if resource == "endpointslices" else SERVICES).path(namespace)
        return [one.query for one in self.cluster.requests if one.verb == "watch" and one.path == path]

    async def reader(self, service: str, namespace: str = "shop", kind: Any = ENDPOINT_SLICES) -> tuple[Noted, Any]:
        reader = Noted()
        leave = self.watches.subscribe(kind, namespace, service, reader)
        await until(lambda: reader.synced_)
        return reader, leave

    def open_now(self) -> int:
        """Watches that the server holds open: each has two ways to be ended."""
        return len(self.cluster.faults.streams) // 2

    async def silent(self) -> None:
        """Until no watch is open."""
        await until(lambda: not self.cluster.faults.streams)


@pytest.fixture
async def scene(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(Backoff, "delay", lambda self, failures, rng: 0.005)
    events: list[Event] = []
    access = Access(Credentials(fake_cluster.kubeconfig, None))
    watches = Watches(access, emit=events.append, rng=random.Random(1), reconcile=None)
    yield Scene(fake_cluster, watches, access, events)
    await watches.aclose()
    await access.aclose()


async def test_nothing_is_watched_before_somebody_reads(scene: Scene) -> None:
    await asyncio.sleep(0)
    assert scene.cluster.requests == []
    assert scene.access.requests == 0


async def test_the_last_reader_ends_the_watch_and_the_ones_before_do_not(scene: Scene) -> None:
    scene.put("web")
    readers = [await scene.reader("web") for _ in range(3)]
    await until(scene.watched)
    assert len(scene.watched()) == 1
    for _, leave in readers[:2]:
        leave()
    scene.cluster.delete("endpointslices", "web-1", "shop")
    await until(lambda: not readers[2][0].held)
    assert readers[0][0].held == {"web-1"}, "who has left hears nothing"
    assert len(scene.watched()) == 1
    readers[2][1]()
    await scene.silent()


async def test_to_leave_twice_is_to_leave_once(scene: Scene) -> None:
    scene.put("web")
    _, leave = await scene.reader("web")
    reader, stay = await scene.reader("web")
    await until(scene.watched)
    leave()
    leave()
    scene.cluster.delete("endpointslices", "web-1", "shop")
    await until(lambda: not reader.held)
    stay()
    await scene.silent()


async def test_who_comes_after_the_last_has_left_opens_a_watch_anew(scene: Scene) -> None:
    scene.put("web")
    _, leave = await scene.reader("web")
    leave()
    reader, _ = await scene.reader("web")
    leave()
    assert reader.held == {"web-1"}
    await until(lambda: scene.cluster.faults.streams)
    scene.cluster.delete("endpointslices", "web-1", "shop")
    await until(lambda: not reader.held)


async def test_slices_of_a_namespace_share_a_watch_and_namespaces_do_not(scene: Scene) -> None:
    for namespace in ("shop", "bank"):
        for service in ("web", "db"):
            scene.put(service, namespace)
    for namespace in ("shop", "bank"):
        for service in ("web", "db"):
            reader, _ = await scene.reader(service, namespace)
            assert reader.held == {f"{service}-1"}
    for namespace in ("shop", "bank"):
        await until(lambda namespace=namespace: scene.watched(namespace)[-1]["labelSelector"].endswith("(db,web)"))  # type: ignore[misc]
    assert scene.watched(None) == []


async def test_one_service_is_watched_by_its_name_and_several_in_one_watch_of_the_namespace(scene: Scene) -> None:
    for name in ("web", "db", "other"):
        scene.serve(name)
    web, _ = await scene.reader("web", kind=SERVICES)
    await until(lambda: len(scene.watched(resource="services")) == 1)
    assert scene.watched(resource="services")[0]["fieldSelector"] == "metadata.name=web"
    db, _ = await scene.reader("db", kind=SERVICES)
    await until(lambda: len(scene.watched(resource="services")) == 2)
    assert "fieldSelector" not in scene.watched(resource="services")[1]
    assert (web.held, db.held) == ({"web"}, {"db"})
    for name in ("web", "db", "other"):
        scene.cluster.delete("services", name, "shop")
    await until(lambda: not web.held and not db.held)
    await until(lambda: scene.open_now() == 1)


async def test_services_that_may_be_read_only_by_their_names_are_watched_one_by_one(scene: Scene) -> None:
    """RBAC with resourceNames allows a list of one by its name, and not of the whole."""
    names = ("web", "db", "cache")
    for name in names:
        scene.serve(name)
    scene.cluster.faults.only_by_name("services")
    readers = [Noted() for _ in names]
    leave = [scene.watches.subscribe(SERVICES, "shop", name, one) for name, one in zip(names, readers, strict=True)]
    await until(lambda: all(one.synced_ for one in readers))
    assert [one.held for one in readers] == [{name} for name in names]
    assert [one.errors for one in readers] == [[], [], []], "nobody need know"
    await until(lambda: scene.open_now() == 3)
    assert "watch.split" in {event.name for event in scene.events}
    scene.cluster.delete("services", "db", "shop")
    await until(lambda: not readers[1].held)
    late, _ = await scene.reader("web", kind=SERVICES)
    assert late.held == {"web"}
    for one in leave:
        one()
        one()
    await until(lambda: scene.open_now() == 1)


async def test_what_went_while_the_whole_was_denied_is_told_by_the_watch_of_its_name(scene: Scene) -> None:
    for name in ("web", "db"):
        scene.serve(name)
    readers = [(await scene.reader(name, kind=SERVICES))[0] for name in ("web", "db")]
    await until(lambda: scene.open_now() == 1)
    await scene.cluster.stop_api()
    scene.cluster.delete("services", "web", "shop")
    scene.cluster.faults.only_by_name("services")
    await scene.cluster.start_api()
    await until(lambda: [one.held for one in readers] == [set(), {"db"}])


async def test_names_that_come_long_after_the_whole_was_denied_ask_for_it_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "ONE_BY_ONE", 0.3)
    for name in ("web", "db", "a", "b"):
        scene.serve(name)
    scene.cluster.faults.only_by_name("services")
    for name in ("web", "db"):
        await scene.reader(name, kind=SERVICES)
    await until(lambda: scene.open_now() == 2)
    scene.cluster.faults.heal()
    (end,) = scene.watches._one_by_one.values()
    await until(lambda: asyncio.get_running_loop().time() > end)
    for name in ("a", "b"):
        await scene.reader(name, kind=SERVICES)
    await until(lambda: scene.open_now() == 3)


async def test_a_service_that_is_added_where_only_names_may_be_read_is_read_by_its_name(scene: Scene) -> None:
    scene.cluster.faults.only_by_name("services")
    for name in ("web", "db"):
        scene.serve(name)
        reader, _ = await scene.reader(name, kind=SERVICES)
        assert reader.held == {name}
    await until(lambda: scene.open_now() == 2)


async def test_where_no_service_may_be_read_each_reader_is_told(scene: Scene) -> None:
    scene.cluster.faults.deny("services")
    readers = [Noted(), Noted()]
    for name, reader in zip(("web", "db"), readers, strict=True):
        scene.watches.subscribe(SERVICES, "shop", name, reader)
    await until(lambda: all(reader.errors for reader in readers))
    scene.cluster.faults.heal()
    await until(lambda: all(reader.synced_ for reader in readers))


async def test_a_reader_that_breaks_is_told_of_and_the_others_hear_all(scene: Scene) -> None:
    class Broken(Noted):
        def changed(self, changes: Changes) -> None:
            raise ZeroDivisionError

    scene.put("web")
    scene.watches.subscribe(ENDPOINT_SLICES, "shop", "web", Broken())
    reader, _ = await scene.reader("web")
    assert reader.held == {"web-1"}
    assert "reader.failed" in {event.name for event in scene.events}


async def test_a_reader_that_comes_while_it_is_broken_is_told_why(scene: Scene) -> None:
    scene.cluster.faults.deny("endpointslices")
    first, second = Noted(), Noted()
    scene.watches.subscribe(ENDPOINT_SLICES, "shop", "web", first)
    await until(lambda: first.errors)
    scene.watches.subscribe(ENDPOINT_SLICES, "shop", "web", second)
    assert isinstance(second.errors[0], AccessDenied)
    scene.cluster.faults.heal()
    await until(lambda: first.synced_ and second.synced_)


# Prefetch


async def test_a_prefetch_of_a_namespace_serves_all_its_readers_and_outlives_them(scene: Scene) -> None:
    for service in ("web", "db"):
        scene.put(service)
    await scene.watches.prefetch("shop")
    await until(scene.watched)
    before = len(scene.cluster.requests)
    for service in ("web", "db", "missing"):
        reader = Noted()
        leave = scene.watches.subscribe(ENDPOINT_SLICES, "shop", service, reader)
        assert (reader.held, reader.synced_) == ({f"{service}-1"} if service != "missing" else set(), 1)
        leave()
        leave()
    assert len(scene.cluster.requests) - before <= 1, "the watch of Services may not have been open yet"
    assert scene.cluster.faults.streams
    assert scene.watched()[0]["labelSelector"] == "kubernetes.io/service-name"


async def test_a_prefetch_of_all_serves_every_namespace_with_one_watch(scene: Scene) -> None:
    for namespace in ("shop", "bank"):
        scene.put("web", namespace)
    await scene.watches.prefetch(None)
    for namespace in ("shop", "bank"):
        reader, _ = await scene.reader("web", namespace)
        assert reader.held == {"web-1"}
        scene.cluster.delete("endpointslices", "web-1", namespace)
        await until(lambda reader=reader: not reader.held)  # type: ignore[misc]
    assert (len(scene.watched(None)), scene.watched("shop"), scene.watched("bank")) == (1, [], [])


async def test_a_prefetch_does_not_serve_other_namespaces_or_kinds(scene: Scene) -> None:
    await scene.watches.prefetch("shop")
    scene.put("web", "bank")
    await scene.reader("web", "bank")
    await scene.reader("web", "bank", kind=SERVICES)
    await until(lambda: scene.watched("bank") and scene.watched("bank", "services"))


async def test_a_prefetch_that_is_asked_for_again_costs_nothing(scene: Scene) -> None:
    await asyncio.gather(*(scene.watches.prefetch("shop") for _ in range(5)))
    await until(lambda: scene.watched() and scene.watched(resource="services"))
    assert sorted(one.verb for one in scene.cluster.requests) == ["list", "list", "watch", "watch"]


async def test_a_prefetch_that_fails_says_why_and_goes_on_being_tried(scene: Scene) -> None:
    scene.put("web")
    scene.cluster.faults.deny("endpointslices")
    with pytest.raises(AccessDenied):
        await scene.watches.prefetch("shop")
    scene.cluster.faults.heal()
    await until(scene.watched)
    reader, _ = await scene.reader("web")
    assert reader.held == {"web-1"}


async def test_a_prefetch_that_gets_no_answer_in_time_is_not_ready(fake_cluster: FakeCluster) -> None:
    fake_cluster.faults.stall()
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        with pytest.raises(NotReady, match="EndpointSlices of shop did not come in time"):
            await disco.prefetch("shop", timeout=0.05)
        fake_cluster.faults.resume()
        await disco.prefetch("shop", timeout=5)


# Ending


async def test_closing_ends_every_watch_and_may_be_done_again(scene: Scene) -> None:
    before = asyncio.all_tasks()
    await scene.reader("web")
    await scene.reader("web", "bank")
    await scene.reader("web", kind=SERVICES)
    await scene.watches.prefetch(None)
    await until(lambda: scene.watched(None) and scene.watched(resource="services"))
    await scene.watches.aclose()
    await scene.watches.aclose()
    await scene.silent()
    await until(lambda: not asyncio.all_tasks() - before)


async def test_to_leave_after_the_end_does_nothing(scene: Scene) -> None:
    _, leave = await scene.reader("web")
    await scene.watches.aclose()
    leave()
    await scene.silent()
