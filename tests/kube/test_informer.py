"""Lists and watches against an API server that does what real ones do at their worst: nothing is lost or undone."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from discovery import Discovery, Event, Pool
from discovery.errors import AccessDenied, ApiUnavailable
from discovery.kube import informer as informers
from discovery.kube.reflector import Backoff
from discovery.testing import FakeCluster

from ..until import until


def slice_of(service: str, *addresses: str, name: str = "", port: int = 8080, pad: int = 0) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{service}-1",
            "labels": {"kubernetes.io/service-name": service},
            "annotations": {"pad": "x" * pad},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


class Scene:
    """A cluster, a Discovery on it, and what it said."""

    def __init__(self, cluster: FakeCluster, disco: Discovery, events: list[Event]) -> None:
        self.cluster, self.disco, self.events = cluster, disco, events

    def put(self, service: str, *addresses: str, **more: Any) -> None:
        self.cluster.apply(slice_of(service, *addresses, **more))

    async def pool(self, service: str) -> Pool:
        pool = self.disco.pool(f"endpoints://default/{service}:http")
        await pool.settled(5)
        return pool

    def asked(self, verb: str, resource: str = "endpointslices") -> list[dict[str, str]]:
        requests = self.cluster.requests
        return [one.query for one in requests if one.verb == verb and one.path.endswith(resource)]

    def said(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]


@pytest.fixture
async def scene(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Pauses are a hundredth of what they are."""
    monkeypatch.setattr(Backoff, "delay", _short)
    events: list[Event] = []
    async with Discovery(kubeconfig=fake_cluster.kubeconfig, on_event=events.append) as disco:
        yield Scene(fake_cluster, disco, events)


def _short(self: Backoff, failures: int, rng: random.Random) -> float:
    return min(self.cap, self.base * 2.0 ** (failures - 1)) / 100


def offered(pool: Pool) -> list[str]:
    return [backend.address for backend in pool.backends]


class Offers:
    """Every set of addresses that a pool has ever offered."""

    def __init__(self, pool: Pool) -> None:
        self.sets: list[list[str]] = []
        self._task = asyncio.create_task(self._follow(pool))

    async def _follow(self, pool: Pool) -> None:
        async for change in pool.changes():
            self.sets.append([one.address for one in change.snapshot.backends])

    def end(self) -> None:
        self._task.cancel()


# The usual


async def test_one_list_from_the_cache_and_one_watch_from_its_version(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    selector = {"labelSelector": "kubernetes.io/service-name in (web)"}
    assert scene.asked("list") == [{**selector, "resourceVersion": "0"}]
    (watch,) = scene.asked("watch")
    assert 300 <= int(watch.pop("timeoutSeconds")) <= 600
    version = watch.pop("resourceVersion")
    assert watch == {**selector, "watch": "1", "allowWatchBookmarks": "true"}
    assert int(version) >= int(scene.cluster.objects("endpointslices")[0]["metadata"]["resourceVersion"])
    assert scene.asked("list", "services") == [{"fieldSelector": "metadata.name=web", "resourceVersion": "0"}]


async def test_what_is_written_is_offered_and_what_is_deleted_is_not(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    scene.put("web", "10.0.0.2", name="web-2")
    await until(lambda: offered(pool) == ["10.0.0.1", "10.0.0.2"])
    scene.cluster.delete("endpointslices", "web-1")
    await until(lambda: offered(pool) == ["10.0.0.2"])


async def test_a_slice_that_is_given_to_another_service_leaves_the_first(scene: Scene) -> None:
    scene.put("web", "10.0.0.1", name="moves")
    scene.put("db", "10.0.0.9")
    web, db = await scene.pool("web"), await scene.pool("db")
    scene.put("db", "10.0.0.1", name="moves")
    await until(lambda: (offered(web), offered(db)) == ([], ["10.0.0.1", "10.0.0.9"]))


async def test_a_service_that_does_not_exist_yet_is_followed_until_it_does(scene: Scene) -> None:
    pool = await scene.pool("web")
    assert offered(pool) == []
    scene.put("web", "10.0.0.1")
    await until(lambda: offered(pool) == ["10.0.0.1"])


# One watch for many


async def test_services_of_a_namespace_share_one_watch_that_is_widened_without_a_gap(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    scene.put("db", "10.0.1.1")
    web = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    offers = Offers(web)
    await until(lambda: offers.sets)
    db = await scene.pool("db")
    assert offered(db) == ["10.0.1.1"]
    await until(lambda: len(scene.asked("watch")) == 2)
    widened = scene.asked("watch")[-1]
    more = scene.asked("list")[-1]
    assert widened["labelSelector"] == "kubernetes.io/service-name in (db,web)"
    assert more["labelSelector"] == "kubernetes.io/service-name in (db)"
    assert more["resourceVersion"] == widened["resourceVersion"]
    scene.put("web", "10.0.0.2")
    scene.put("db", "10.0.1.2")
    await until(lambda: (offered(web), offered(db)) == (["10.0.0.2"], ["10.0.1.2"]))
    await until(lambda: len(offers.sets) >= 2)
    assert offers.sets == [["10.0.0.1"], ["10.0.0.2"]], "nobody saw the watch change"
    offers.end()


async def test_a_service_that_is_younger_than_the_last_event_of_the_watch_is_known_once_it_is_synced(
    scene: Scene,
) -> None:
    scene.put("web", "10.0.0.1")
    await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.put("db", "10.0.1.1")  # of which that watch hears nothing
    assert offered(await scene.pool("db")) == ["10.0.1.1"]


@pytest.mark.parametrize("pause", [0.0, 0.0003, 0.001, 0.003])
async def test_services_that_are_added_while_another_is_being_listed_are_listed_too(scene: Scene, pause: float) -> None:
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        scene.put(name, f"10.0.0.{number}")
    await scene.pool(names[0])
    await until(lambda: scene.asked("watch"))
    pools = []
    for name in names[1:]:
        pools.append(scene.disco.pool(f"endpoints://default/{name}:http"))
        await asyncio.sleep(pause)
    await until(lambda: all(pool.status.synced for pool in pools))
    assert [offered(pool) for pool in pools] == [[f"10.0.0.{number}"] for number in range(1, 6)]


async def test_a_service_whose_list_fails_is_told_so_and_the_watch_of_the_others_goes_on(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    web = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.cluster.faults.answer(429, retry_after=1, verbs=("list",), resource="endpointslices")
    db = scene.disco.pool("endpoints://default/db:http")
    await until(lambda: db.status.last_error)
    scene.put("web", "10.0.0.2")
    await until(lambda: offered(web) == ["10.0.0.2"])
    assert (web.status.stale_for, len(scene.asked("watch"))) == (0, 1)
    scene.put("db", "10.0.1.1")
    scene.cluster.faults.heal()
    await until(lambda: offered(db) == ["10.0.1.1"])


async def test_a_watch_that_is_cut_while_a_list_beside_it_hangs_is_taken_up(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    web = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.cluster.faults.stall()
    db = scene.disco.pool("endpoints://default/db:http")
    await until(lambda: len(scene.asked("list")) == 2)
    scene.cluster.faults.cut()
    scene.put("web", "10.0.0.2")
    await until(lambda: len(scene.asked("watch")) == 2)
    scene.cluster.faults.resume()
    await until(lambda: offered(web) == ["10.0.0.2"] and db.status.synced)


async def test_a_server_that_calls_every_watch_expired_is_not_asked_without_pause(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    scene.cluster.faults.answer(410, verbs=("watch",), resource="endpointslices")
    pool = await scene.pool("web")
    await until(lambda: len(scene.asked("list")) == 3)
    assert len(scene.said("watch.expired")) >= 2
    assert offered(pool) == ["10.0.0.1"]


async def test_nothing_is_lost_or_undone_however_writes_and_new_readers_fall_together(scene: Scene) -> None:
    """Twelve services are asked for one after the other while all of them change without pause."""
    rng = random.Random(7)
    names = [f"s{n}" for n in range(12)]
    last = dict.fromkeys(names, "")
    seen: dict[str, list[int]] = {name: [] for name in names}
    pools: dict[str, Pool] = {}

    async def follow(name: str, pool: Pool) -> None:
        async for change in pool.changes():
            seen[name] += [int(one.address.rsplit(".", 1)[1]) for one in change.snapshot.backends]

    tasks = []
    for round_ in range(1, 250):
        for name in rng.sample(names, 3):
            last[name] = f"10.0.0.{round_}"
            scene.put(name, last[name])
        if round_ % 20 == 0 and len(pools) < len(names):
            name = names[len(pools)]
            pools[name] = scene.disco.pool(f"endpoints://default/{name}:http")
            tasks.append(asyncio.create_task(follow(name, pools[name])))
        await asyncio.sleep(0.002)
    assert len(pools) == 12
    await until(lambda: all(offered(pools[name]) == [last[name]] for name in names))
    for task in tasks:
        task.cancel()
    assert all(sorted(numbers) == numbers for numbers in seen.values()), "nobody went back in time"


async def test_the_watch_ends_with_its_last_reader_and_selects_less_after_a_restart(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    web, db = await scene.pool("web"), await scene.pool("db")
    await db.aclose()
    scene.cluster.faults.cut()
    await until(lambda: scene.asked("watch")[-1]["labelSelector"] == "kubernetes.io/service-name in (web)")
    await web.aclose()
    await until(lambda: not scene.cluster.faults.streams)


async def test_prefetch_holds_all_of_a_namespace_in_two_watches_and_pools_need_none(scene: Scene) -> None:
    for n in range(5):
        scene.put(f"s{n}", f"10.0.0.{n}")
    await scene.disco.prefetch("default")
    requests = len(scene.cluster.requests)
    for n in range(5):
        pool = await scene.pool(f"s{n}")
        assert offered(pool) == [f"10.0.0.{n}"]
    await until(lambda: scene.asked("watch") and scene.asked("watch", "services"))
    assert len(scene.cluster.requests) - requests <= 2, "these watches may not have been open yet"
    scene.put("s9", "10.0.0.9")
    assert offered(await scene.pool("s9")) in ([], ["10.0.0.9"])


# When things go wrong


async def test_a_cut_stream_is_taken_up_where_it_was_without_a_list(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.put("web", "10.0.0.2")
    await until(lambda: offered(pool) == ["10.0.0.2"])
    scene.cluster.faults.cut()
    scene.put("web", "10.0.0.3")
    await until(lambda: offered(pool) == ["10.0.0.3"])
    assert len(scene.asked("list")) == 1


@pytest.mark.parametrize("how", ["cut", "stopped"])
async def test_410_is_healed_by_a_fresh_list_in_one_step(scene: Scene, how: str) -> None:
    scene.put("web", "10.0.0.1", "10.0.0.2")
    scene.put("web", "10.0.0.3", name="web-2")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    offers = Offers(pool)
    await until(lambda: offers.sets)
    await scene.cluster.stop_api()
    scene.put("web", "10.0.0.2", "10.0.0.4")
    scene.cluster.delete("endpointslices", "web-2")
    scene.cluster.compact()
    if how == "cut":
        await until(lambda: pool.status.last_error)
    await scene.cluster.start_api()
    await until(lambda: offered(pool) == ["10.0.0.2", "10.0.0.4"])
    await until(lambda: len(offers.sets) >= 2)
    assert offers.sets == [["10.0.0.1", "10.0.0.2", "10.0.0.3"], ["10.0.0.2", "10.0.0.4"]]
    assert "resourceVersion" not in scene.asked("list")[-1], "the latest, from nobody's cache"
    offers.end()


async def test_a_list_that_is_expired_between_its_pages_is_asked_for_whole(scene: Scene, monkeypatch: Any) -> None:
    monkeypatch.setattr("discovery.kube.listing.PAGE", 2)
    for n in range(5):
        scene.put("web", f"10.0.0.{n}", name=f"web-{n}")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    await scene.cluster.stop_api()
    scene.put("web", "10.0.0.9", name="web-9")
    scene.cluster.compact()
    await scene.cluster.start_api()
    pages = 0

    def compact_after_a_page() -> None:
        nonlocal pages
        pages += 1
        if pages == 1:
            scene.put("other", "10.1.0.1")
            scene.cluster.compact()

    scene.cluster.on_request(lambda one: compact_after_a_page() if "continue" in one.query else None)
    await until(lambda: len(offered(pool)) == 6)
    assert "limit" not in scene.asked("list")[-1]


async def test_while_the_server_is_away_nothing_changes_and_its_return_is_noticed(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    await scene.cluster.stop_api()
    await until(lambda: pool.status.last_error)
    assert isinstance(pool.status.last_error, ApiUnavailable)
    assert (offered(pool), pool.status.stale_for > 0) == (["10.0.0.1"], True)
    scene.put("web", "10.0.0.2")
    await scene.cluster.start_api()
    await until(lambda: offered(pool) == ["10.0.0.2"])
    await until(lambda: pool.status.stale_for == 0 and pool.status.last_error is None)
    told = [event.name for event in scene.events if event.subject.startswith("endpointslices")]
    assert [name for name in told if name in ("watch.failed", "watch.recovered")] == ["watch.failed", "watch.recovered"]


async def test_429_costs_a_pause_of_what_the_server_asks_for_and_no_list(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    scene.cluster.faults.answer(429, times=4, verbs=("watch",), resource="endpointslices")
    pool = await scene.pool("web")
    await until(lambda: len(scene.asked("watch")) == 5)
    scene.put("web", "10.0.0.2")
    await until(lambda: offered(pool) == ["10.0.0.2"])
    assert len(scene.asked("list")) == 1


async def test_an_error_of_the_server_costs_a_list(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    scene.cluster.faults.answer(500, times=1, verbs=("watch",), resource="endpointslices")
    pool = await scene.pool("web")
    await until(lambda: len(scene.asked("watch")) == 2)
    assert len(scene.asked("list")) == 2
    assert offered(pool) == ["10.0.0.1"]


async def test_denied_is_said_takes_nothing_away_and_heals_when_it_is_allowed(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.cluster.faults.deny("endpointslices", "default")
    scene.cluster.faults.cut()
    await until(lambda: isinstance(pool.status.last_error, AccessDenied))
    assert offered(pool) == ["10.0.0.1"]
    scene.put("web", "10.0.0.2")
    scene.cluster.faults.heal()
    await until(lambda: offered(pool) == ["10.0.0.2"])
    assert pool.status.last_error is None


async def test_a_version_from_the_future_is_given_up_for_the_latest(scene: Scene) -> None:
    """After a restore from a backup the server is behind what we have seen."""
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    message = "Timeout: Too large resource version: 99, current: 5"
    scene.cluster.faults.answer(504, times=1, message=message, verbs=("watch",), resource="endpointslices")
    scene.cluster.faults.cut()
    await until(lambda: len(scene.asked("list")) == 2)
    assert "resourceVersion" not in scene.asked("list")[-1]
    await until(lambda: pool.status.stale_for == 0)
    assert offered(pool) == ["10.0.0.1"]


async def test_a_silent_stream_is_taken_for_dead_after_a_while(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informers, "IDLE", 0.1)
    monkeypatch.setattr("discovery.kube.reflector.SHORT_WATCH", 0.05)
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.cluster.faults.stall()
    scene.put("web", "10.0.0.2")
    await until(lambda: len(scene.asked("watch")) >= 2)
    assert offered(pool) == ["10.0.0.1"]
    scene.cluster.faults.resume()
    await until(lambda: offered(pool) == ["10.0.0.2"])


async def test_an_object_of_megabytes_is_one_line_and_is_read(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    scene.put("web", "10.0.0.2", pad=2**22)
    await until(lambda: offered(pool) == ["10.0.0.2"])


async def test_a_storm_ends_in_its_last_state_and_is_told_in_few_steps(scene: Scene) -> None:
    for service in ("web", "db"):
        scene.put(service, "10.0.0.1")
    web, db = await scene.pool("web"), await scene.pool("db")
    await until(lambda: scene.asked("watch")[-1]["labelSelector"].endswith("(db,web)"))
    offers = Offers(web)
    await until(lambda: offers.sets)
    for number in range(200):
        scene.put("web", f"10.0.1.{number}", pad=2**14)
        scene.put("db", f"10.0.2.{number}", pad=2**14)
    await until(lambda: (offered(web), offered(db)) == (["10.0.1.199"], ["10.0.2.199"]))
    await until(lambda: offers.sets[-1] == ["10.0.1.199"])
    assert len(offers.sets) < 100
    offers.end()


async def test_an_object_that_cannot_be_read_changes_nothing_and_is_told_of(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    pool = await scene.pool("web")
    await until(lambda: scene.asked("watch"))
    broken = slice_of("web", "10.0.0.2")
    broken["endpoints"] = "nonsense"
    scene.cluster.apply(broken)
    await until(lambda: scene.said("object.unreadable"))
    assert offered(pool) == ["10.0.0.1"]
    scene.put("web", "10.0.0.3")
    await until(lambda: offered(pool) == ["10.0.0.3"])


async def test_a_change_of_the_services_port_is_followed(scene: Scene) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    spec: dict[str, Any] = {"clusterIP": "10.96.0.1", "selector": {"app": "web"}}
    scene.cluster.apply({**body, "spec": {**spec, "ports": [{"name": "http", "port": 80}]}})
    scene.put("web", "10.0.0.1")
    async with scene.disco.pool("endpoints://default/web:80") as pool:
        await pool.ready(5)
        scene.cluster.apply({**body, "spec": {**spec, "ports": [{"name": "http", "port": 81}]}})
        await until(lambda: not pool.backends)
        assert "It has http=81" in str(pool.status.last_error)
        scene.cluster.apply({**body, "spec": {**spec, "ports": [{"name": "http", "port": 80}]}})
        await until(lambda: pool.backends)


async def test_reconciling_reads_the_list_anew(fake_cluster: FakeCluster) -> None:
    fake_cluster.apply(slice_of("web", "10.0.0.1"))
    async with (
        Discovery(kubeconfig=fake_cluster.kubeconfig, reconcile=0.1) as disco,
        disco.pool("endpoints://default/web:http") as pool,
    ):
        await pool.ready(5)
        slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        await until(
            lambda: (
                [one.verb for one in fake_cluster.requests if one.path == slices][:4]
                == ["list", "watch", "list", "watch"]
            )
        )


# Ending


async def test_a_prefetch_that_is_denied_takes_nothing_from_pools_that_are_allowed(scene: Scene) -> None:
    scene.put("web", "10.0.0.1")
    scene.cluster.faults.deny("endpointslices", "elsewhere")
    with pytest.raises(AccessDenied):
        await scene.disco.prefetch("elsewhere")
    scene.cluster.faults.deny("endpointslices", "default")
    with pytest.raises(AccessDenied):
        await scene.disco.prefetch("default")
    scene.cluster.faults.heal()
    assert offered(await scene.pool("web")) == ["10.0.0.1"]


async def test_a_prefetch_ends_with_its_discovery(scene: Scene) -> None:
    scene.cluster.faults.stall()
    waiting = asyncio.create_task(scene.disco.prefetch(timeout=None))
    await until(lambda: scene.asked("list"))
    await scene.disco.aclose()
    with pytest.raises(ApiUnavailable, match="closed"):
        await waiting


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 200])
async def test_closing_at_any_moment_leaves_no_task_and_no_connection(fake_cluster: FakeCluster, steps: int) -> None:
    fake_cluster.apply(slice_of("web", "10.0.0.1"))
    before = asyncio.all_tasks()
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        disco.pool("endpoints://default/web:80")
        disco.pool("endpoints://default/db:http")
        for _ in range(steps):
            await asyncio.sleep(0)
    await until(lambda: not fake_cluster.faults.streams)
    await until(lambda: not asyncio.all_tasks() - before)  # the simulated server's, for each connection, too
