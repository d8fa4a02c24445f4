"""The bridge under faults of all kinds, on real servers: nothing is lost, and nothing foreign is touched."""

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..until import until
from .admin import Admin, Object
from .bridges import ROLE, Bridging, Process, bridging, fill, remove, spread_service
from .catalogs import Absences, Catalog, Place, eventually
from .cluster import NODES, Cluster
from .consul import ConsulQuorum, ConsulServer
from .faults import kubeconfig_with
from .light import register_nodes
from .relay import Asked, Lists, Relay, Said, before_api, passes
from .servers import ApiServer

OWNER = "prod"
NODE_1 = f"k8s-{OWNER}--node-1"


@pytest.fixture
async def kubeconfig(admin: Admin, cluster: Cluster, namespace: str) -> Path:
    """Of an account that may do what a bridge must, and nothing else. The three nodes are there."""
    await register_nodes(admin)
    return await kubeconfig_with(admin, cluster, namespace, [ROLE])


@contextlib.asynccontextmanager
async def reading(server: ConsulServer) -> AsyncIterator[Catalog]:
    async with server.session() as http:
        yield Catalog(http)


@pytest.fixture
async def consul(cluster: Cluster) -> AsyncIterator[ConsulServer]:
    """One on disk, without ACLs."""
    async with ConsulServer() as server:
        yield server


@pytest.fixture
async def catalog(consul: ConsulServer) -> AsyncIterator[Catalog]:
    async with reading(consul) as made:
        yield made


async def plant(catalog: Catalog, service: str) -> None:
    """What others have: on a node of theirs, under our names, and (where it is there) on a node of ours."""
    await catalog.plant("elsewhere", service="db", called="db-1")
    await catalog.plant("elsewhere", service=service, called=f"{OWNER}.{service}")
    if NODE_1 in await catalog.nodes():
        await catalog.plant(NODE_1, service="agentless", called="agentless-1")


# Killed


async def end_session(catalog: Catalog) -> None:
    """Do now what Consul does with a dead leader's session after one to two of its TTLs."""
    (lock,) = await catalog.get(f"/v1/kv/discovery/{OWNER}/leader")
    if lock.get("Session"):
        await catalog.put(f"/v1/session/destroy/{lock['Session']}")


async def test_a_bridge_that_is_killed_at_any_point_of_a_fill_goes_on_where_it_was(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog, tmp_path: Path
) -> None:
    await plant(catalog, "many-0")
    foreign = await catalog.foreign(OWNER)
    await fill(admin, namespace, 200)
    known: dict[Place, int] = {}
    async with Relay(consul.url) as relay, Absences(catalog, OWNER) as absences:
        for moment, number in (("before", 1), ("after", 1), ("after", 3), ("before", 2)):
            async with Process(
                kubeconfig, relay.url, OWNER, tmp_path / f"{moment}-{number}", namespaces=namespace, in_flight="2"
            ) as bridge:
                await killed_at(relay, bridge, moment, number)
            there = await catalog.since(OWNER)
            assert known.items() <= there.items(), "what was there before has never been away"
            assert await catalog.foreign(OWNER) == foreign
            known = there
            await plant(catalog, "many-0")  # on a node of ours too, once there is one
            foreign = await catalog.foreign(OWNER)
            await end_session(catalog)
            known = await catalog.since(OWNER)  # what was still under way has come, or fails from now on
        assert 0 < len(known) < 600
        async with bridging(kubeconfig, consul.url, OWNER, namespaces=namespace) as last:
            await last.settled(600)
            assert known.items() <= (await catalog.since(OWNER)).items()
            assert last.status.changes.keys() == {"register"}
            assert last.status.changes["register"] == 600 - len(known)
    assert absences.missed == set()
    assert absences.reads > 10
    assert await catalog.foreign(OWNER) == foreign


async def killed_at(relay: Relay, bridge: Process, moment: str, number: int) -> None:
    """Let it begin, and kill it at its n-th transaction: before Consul has it, or before it has Consul's answer."""
    seen, dead = 0, asyncio.Event()

    async def step(asked: Asked) -> Said | None:
        nonlocal seen
        seen += asked.writes
        if asked.writes and seen >= number:
            dead.set()
            bridge.signal(signal.SIGKILL)
            await asyncio.sleep(3600)  # nobody is there to be answered: cancelled with the connection
        return None

    setattr(relay, moment, step)
    try:
        async with asyncio.timeout(40):
            await dead.wait()
    finally:
        await bridge.kill()
        relay.before = relay.after = passes


# Deposed


async def test_a_deposed_leader_that_wakes_up_in_the_middle_of_a_fill_writes_nothing_any_more(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog, tmp_path: Path
) -> None:
    """Its transactions are on their way while it is suspended; they arrive when another one leads."""
    await fill(admin, namespace, 200)
    held, let_go = asyncio.Event(), asyncio.Event()
    late: list[tuple[int, str]] = []

    async def step(asked: Asked) -> Said | None:
        if not asked.writes:
            return None
        held.set()
        await let_go.wait()
        said = await relay.fetch(asked)
        late.append((said.status, said.body.decode()))
        return said

    async with Relay(consul.url) as relay:
        relay.before = step
        log = tmp_path / "log"
        async with Process(kubeconfig, relay.url, OWNER, log, namespaces=namespace) as deposed:
            await asyncio.wait_for(held.wait(), 30)
            deposed.signal(signal.SIGSTOP)
            await end_session(catalog)
            # Another one leads, which is to register nothing: so whatever appears is the deposed one's.
            async with bridging(kubeconfig, consul.url, OWNER, namespaces="nowhere", policy="create-only") as leader:
                await leader.settled(0)
                let_go.set()
                deposed.signal(signal.SIGCONT)
                await until(lambda: late and deposed.told("leader.lost"), 30)
                await until(lambda: deposed.told("leader.changed"), 30)
                assert leader.status.leading
                assert await catalog.owned(OWNER) == {}
    assert {status for status, _ in late} == {409}
    assert all("session" in said for _, said in late)


# Consul fails


RULES = """
node_prefix "" { policy = "read" }
node_prefix "k8s-prod-" { policy = "write" }
service_prefix "" { policy = "write" }
session_prefix "" { policy = "write" }
key_prefix "discovery/prod/" { policy = "write" }
"""
"""All that a bridge with the owner id prod may do in Consul."""


async def changed_meanwhile(admin: Admin, namespace: str) -> None:
    """One Service goes, one comes, and one is served by a node less."""
    await remove(admin, namespace, "many-0")
    for thing in spread_service(namespace, "late"):
        await admin.create(thing)
    await serve_from(admin, namespace, "many-1", NODES[:2])


async def serve_from(admin: Admin, namespace: str, name: str, nodes: tuple[str, ...]) -> None:
    """A Service has its endpoints on these nodes only."""
    _, piece = spread_service(namespace, name, nodes)
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}-1"
    await admin.patch(path, {"endpoints": piece["endpoints"]})


async def in_keeping(catalog: Catalog, before: Mapping[Place, int], namespace: str, *, extra: int = 0) -> None:
    """Consul has what `changed_meanwhile` made of it, and what it did not concern has never been away.

    `extra` is how many Services have come besides.
    """
    names = Counter(map(name_of, before)) - Counter({"many-0": 3, "many-1": 1}) + Counter({"late": 3})
    after = await eventually(
        lambda: catalog.since(OWNER),
        lambda found: (
            names.items() <= Counter(map(name_of, found)).items() and len(found) == len(before) - 1 + 3 * extra
        ),
    )
    lasting = {place: index for place, index in before.items() if name_of(place) != "many-0"}
    del lasting["k8s-prod--node-3", f"{OWNER}.{namespace}.many-1.http.172.31.3.1"]
    assert lasting.items() <= after.items()


def name_of(place: Place) -> str:
    """The name of the Service that an instance is of."""
    return place[1].split(".")[2]


async def test_a_consul_that_is_killed_and_comes_back_from_its_disk_gets_what_has_changed_meanwhile(
    admin: Admin, namespace: str, kubeconfig: Path, cluster: Cluster
) -> None:
    await fill(admin, namespace, 20)
    async with ConsulServer(acls=True) as consul, reading(consul) as catalog:
        token = await consul.create_token(RULES)
        async with bridging(kubeconfig, consul.url, OWNER, token=token, namespaces=namespace) as bridge:
            await bridge.settled(60)
            await plant(catalog, "many-0")
            before, foreign = await catalog.since(OWNER), await catalog.foreign(OWNER)
            await consul.kill()
            await changed_meanwhile(admin, namespace)
            await until(lambda: bridge.told("bridge.failed"), 15)
            await consul.start()
            await consul.ready()
            await bridge.settled(59)
            await in_keeping(catalog, before, namespace)
            assert await catalog.foreign(OWNER) == foreign


async def test_a_cluster_of_consul_that_loses_its_leader_loses_nothing_of_ours(
    admin: Admin, namespace: str, kubeconfig: Path, cluster: Cluster
) -> None:
    await fill(admin, namespace, 20)
    async with ConsulQuorum() as quorum:
        addresses = ",".join(server.url for server in quorum.servers)
        follower = (await quorum.followers())[0]
        async with (
            reading(follower) as catalog,
            bridging(kubeconfig, addresses, OWNER, namespaces=namespace) as bridge,
        ):
            await bridge.settled(60)
            await plant(catalog, "many-0")
            before, foreign = await catalog.since(OWNER), await catalog.foreign(OWNER)
            await quorum.kill_leader()
            await changed_meanwhile(admin, namespace)
            await quorum.leader()
            await bridge.settled(59)
            await in_keeping(catalog, before, namespace)
            assert await catalog.foreign(OWNER) == foreign


async def test_a_token_that_is_revoked_stops_the_writing_and_one_in_its_file_lets_it_go_on(
    admin: Admin,
    namespace: str,
    kubeconfig: Path,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("discovery.bridge.running.DENIED", 1.0)  # instead of half a minute: no other difference
    monkeypatch.setattr("discovery.consul.blocking.DENIED", 1.0)
    await fill(admin, namespace, 20)
    async with ConsulServer(acls=True) as consul, reading(consul) as catalog:
        file = tmp_path / "token"
        file.write_text(token := await consul.create_token(RULES))
        async with bridging(kubeconfig, consul.url, OWNER, token_file=file, namespaces=namespace) as bridge:
            await bridge.settled(60)
            await plant(catalog, "many-0")
            before, foreign = await catalog.since(OWNER), await catalog.foreign(OWNER)
            await consul.revoke_token(token)
            await changed_meanwhile(admin, namespace)
            await until(lambda: "denied" in bridge.status.errors or not bridge.status.leading, 20)
            assert await catalog.since(OWNER) == before
            file.write_text(await consul.create_token(RULES))
            await bridge.settled(59)
            await in_keeping(catalog, before, namespace)
            assert await catalog.foreign(OWNER) == foreign
            assert not any(token in str(event) for event in bridge.events)


async def test_a_service_that_consul_forbids_keeps_no_other_from_being_written(
    admin: Admin, namespace: str, kubeconfig: Path, cluster: Cluster
) -> None:
    await fill(admin, namespace, 20)
    async with ConsulServer(acls=True) as consul, reading(consul) as catalog:
        token = await consul.create_token(RULES + 'service "many-7" { policy = "read" }')
        async with bridging(kubeconfig, consul.url, OWNER, token=token, namespaces=namespace) as bridge:
            await bridge.settled(57)
            (event,) = bridge.told("bridge.refused")
            assert (event.subject, event.data["reason"]) == (f"{namespace}/many-7", "denied")
            before = await catalog.since(OWNER)
            assert "many-7" not in map(name_of, before)
            await plant(catalog, "many-7")
            await changed_meanwhile(admin, namespace)
            await bridge.settled(56)
            await in_keeping(catalog, before, namespace)
            assert len(bridge.told("bridge.refused")) == 1


async def test_a_server_that_takes_small_bodies_only_gets_small_ones(
    admin: Admin, namespace: str, kubeconfig: Path, cluster: Cluster
) -> None:
    await fill(admin, namespace, 40)
    sizes: list[tuple[int, int]] = []

    async with (
        ConsulServer(config={"limits": {"txn_max_req_len": 16384, "kv_max_value_size": 16384}}) as consul,
        reading(consul) as catalog,
        Relay(consul.url) as relay,
    ):

        async def step(asked: Asked) -> Said | None:
            if not asked.writes:
                return None
            said = await relay.fetch(asked)
            sizes.append((said.status, len(asked.body)))
            return said

        relay.before = step
        async with bridging(kubeconfig, relay.url, OWNER, namespaces=namespace) as bridge:
            await bridge.settled(120)
            assert not bridge.told("bridge.refused")
            assert len(await catalog.owned(OWNER)) == 120
            refused = [size for status, size in sizes if status == 413]
            assert refused
            learnt = len(sizes)
            await fill(admin, namespace, 20, first=40)
            await bridge.settled(180)
            assert {status for status, _ in sizes[learnt:]} == {200}, "what was learnt is remembered"
            assert max(size for _, size in sizes[learnt:]) <= 16384


async def test_a_consul_that_has_too_much_to_do_gets_everything_in_time(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog
) -> None:
    """It refuses all writes, then all reads; for 10 s: the pauses are at their longest long before a minute."""
    await fill(admin, namespace, 100)
    async with (
        Relay(consul.url) as relay,
        bridging(kubeconfig, relay.url, OWNER, namespaces=namespace, repair=0.5) as bridge,
    ):
        await bridge.settled(300)
        await plant(catalog, "many-0")
        before, foreign = await catalog.since(OWNER), await catalog.foreign(OWNER)
        loop = asyncio.get_running_loop()
        ends = loop.time() + 10
        limit(consul, writes=REFUSED)
        await changed_meanwhile(admin, namespace)
        await until(lambda: relay.said["PUT", 503], 20)
        limit(consul, reads=REFUSED)
        await until(lambda: relay.said["GET", 429], 20)
        await fill(admin, namespace, 50, first=100)
        await asyncio.sleep(ends - loop.time())  # the fault's length
        assert 0 < bridge.status.errors["rate-limited"] < 20, "it does not storm"
        limit(consul)
        await eventually(lambda: answered(catalog), bool)  # a second at most, until its limiter has heard of it
        await bridge.settled(449, timeout=60)
        await in_keeping(catalog, before, namespace, extra=50)
        assert await catalog.foreign(OWNER) == foreign


async def answered(catalog: Catalog) -> bool:
    """Whether it answers a read, and does not refuse it."""
    try:
        await catalog.nodes()
    except aiohttp.ClientResponseError as error:
        return error.status != 429
    return True


REFUSED = 0.5
"""Of less than one a second Consul makes none. (Its limiter allows bursts of ten times the rate, each second anew.)"""


def limit(consul: ConsulServer, *, reads: float = 10_000, writes: float = 10_000) -> None:
    """Refuse requests above so many a second from now on. These limits are read anew on SIGHUP."""
    path = consul.directory / "consul.json"
    config = json.loads(path.read_text())
    config["limits"] = {"request_limits": {"mode": "enforcing", "read_rate": reads, "write_rate": writes}}
    path.write_text(json.dumps(config))
    os.kill(consul.pid, signal.SIGHUP)


# Kubernetes fails


async def test_without_an_api_server_all_stays_as_it_is_and_what_comes_after_is_followed(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog, api_server: ApiServer
) -> None:
    await fill(admin, namespace, 20)
    async with (
        bridging(kubeconfig, consul.url, OWNER, namespaces=namespace, repair=0.2) as bridge,
        Absences(catalog, OWNER) as absences,
    ):
        await bridge.settled(60)
        before = await catalog.owned(OWNER)
        async with api_server.down():
            await until(lambda: bridge.status.stale_for > 2, 20)
            await bridge.passed(5)
            assert await catalog.owned(OWNER) == before
        await until(lambda: bridge.status.stale_for == 0, 60)
        await changed_meanwhile(admin, namespace)
        await bridge.settled(59)
        await in_keeping(catalog, {place: one["CreateIndex"] for place, one in before.items()}, namespace)
    assert set(map(name_of, absences.missed)) <= {"many-0", "many-1"}
    assert len(absences.missed) <= 4


@pytest.fixture
async def lists(cluster: Cluster) -> AsyncIterator[tuple[Relay, Lists]]:
    """A relay before the API server, and what it does to lists."""
    async with before_api(cluster) as relay:
        yield relay, Lists(relay)


@contextlib.asynccontextmanager
async def relayed(
    admin: Admin, cluster: Cluster, namespace: str, consul: ConsulServer, relay: Relay, **options: object
) -> AsyncIterator[Bridging]:
    """A bridge that reaches the API server through the relay."""
    through = await kubeconfig_with(admin, cluster, namespace, [ROLE], server=relay.url)
    async with bridging(through, consul.url, OWNER, namespaces=namespace, **options) as bridge:  # type: ignore[arg-type]
        yield bridge


RESOURCES = ("services", "endpointslices", "nodes")


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_list_that_is_empty_or_cut_short_removes_and_writes_nothing(
    admin: Admin,
    cluster: Cluster,
    namespace: str,
    kubeconfig: Path,
    consul: ConsulServer,
    catalog: Catalog,
    lists: tuple[Relay, Lists],
    resource: str,
) -> None:
    relay, served = lists
    await fill(admin, namespace, 10)
    async with bridging(kubeconfig, consul.url, OWNER, namespaces=namespace) as bridge:
        await bridge.settled(30)
    await plant(catalog, "many-0")
    before, foreign = await catalog.owned(OWNER), await catalog.foreign(OWNER)
    served.shorten(resource, keep=0, times=1)  # the first list of a bridge that starts
    async with relayed(admin, cluster, namespace, consul, relay, repair=0.2, confirm_after=0.5) as bridge:
        await bridge.settled(30)
        await until(lambda: bridge.status.passes > 1 and not bridge.status.withheld, 20)
        assert served.touched == [resource]
        assert bridge.status.transactions == 0
    whole = served.whole[resource]
    async with relayed(admin, cluster, namespace, consul, relay, repair=0.2, confirm_after=0.5) as bridge:
        await bridge.settled(30)
        await until(lambda: served.whole[resource] == whole + 2, 20)  # the second look at its first lists
        served.shorten(resource, keep=1, times=1)  # and one while it runs
        served.relist(resource)
        await until(lambda: served.whole[resource] == whole + 3, 20)  # the second look at that
        await bridge.passed(3)
        assert served.touched == [resource] * 2
        assert bridge.status.transactions == 0
    assert await catalog.owned(OWNER) == before
    assert {status for name in names(10) for status in (await catalog.healthy(name)).values()} == {"passing"}
    assert await catalog.foreign(OWNER) == foreign


def names(count: int) -> list[str]:
    """Those that `fill` gives."""
    return [f"many-{number}" for number in range(count)]


@pytest.mark.parametrize("keep", [0, 2])
async def test_a_list_that_stays_empty_or_short_is_asked_about_before_it_is_believed(
    admin: Admin,
    cluster: Cluster,
    namespace: str,
    kubeconfig: Path,
    consul: ConsulServer,
    catalog: Catalog,
    lists: tuple[Relay, Lists],
    keep: int,
) -> None:
    relay, served = lists
    await fill(admin, namespace, 20)
    async with relayed(admin, cluster, namespace, consul, relay, repair=0.2, confirm_after=0.3) as bridge:
        await bridge.settled(60)
        await plant(catalog, "many-0")
        before, foreign = await catalog.since(OWNER), await catalog.foreign(OWNER)
        served.shorten("services", keep=keep)
        served.relist("services")
        await until(lambda: bridge.status.asks, 20)
        assert bridge.status.withheld == {"too-many": 60 - 3 * keep}
        assert len(bridge.told("bridge.asks")) == 1
        assert await catalog.since(OWNER) == before
        await bridge.bridge.approve(bridge.status.asks)
        await bridge.settled(3 * keep)
        assert len(await catalog.owned(OWNER)) == 3 * keep
        assert await catalog.foreign(OWNER) == foreign


async def test_nodes_that_cannot_be_listed_remove_nothing_and_hold_up_nothing_that_is_known(
    admin: Admin,
    cluster: Cluster,
    namespace: str,
    kubeconfig: Path,
    consul: ConsulServer,
    catalog: Catalog,
    lists: tuple[Relay, Lists],
) -> None:
    relay, served = lists
    await fill(admin, namespace, 10)
    async with relayed(admin, cluster, namespace, consul, relay, repair=0.2, confirm_after=0.3) as bridge:
        await bridge.settled(30)
        before = await catalog.since(OWNER)
        served.fail("nodes")
        await until(lambda: served.touched, 20)
        await bridge.passed(5)
        assert await catalog.since(OWNER) == before
        await changed_meanwhile(admin, namespace)
        await bridge.settled(29)
        await in_keeping(catalog, before, namespace)
    before = await catalog.since(OWNER)
    async with relayed(admin, cluster, namespace, consul, relay, repair=0.2) as bridge:
        await until(lambda: bridge.told("watch.retry"), 20)
        assert not bridge.status.ready
        assert bridge.status.transactions == 0
        assert await catalog.since(OWNER) == before
        served.heal()
        await bridge.settled(29)
        assert await catalog.since(OWNER) == before


# Several bridges


async def test_one_of_two_bridges_acts_and_the_other_follows_it_after_its_death(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog, tmp_path: Path
) -> None:
    await fill(admin, namespace, 20)
    first = Process(kubeconfig, consul.url, OWNER, tmp_path / "first", namespaces=namespace)
    async with first, Absences(catalog, OWNER) as absences:
        await first.tells("leader.gained")
        await eventually(lambda: catalog.owned(OWNER), lambda found: len(found) == 60, timeout=20)
        await plant(catalog, "many-0")
        before, foreign = await catalog.owned(OWNER), await catalog.foreign(OWNER)
        async with bridging(kubeconfig, consul.url, OWNER, namespaces=namespace) as second:
            await until(lambda: second.status.ready, 20)
            assert not second.status.leading
            assert second.status.transactions == 0
            loop = asyncio.get_running_loop()
            died = loop.time()
            await first.kill()
            await second.settled(60)
            assert loop.time() - died < 2 * 10 + 2
            assert second.status.transactions == 0, "there was nothing to do"
            assert await catalog.owned(OWNER) == before
            for thing in spread_service(namespace, "late"):
                await admin.create(thing)
            await second.settled(63)
    assert absences.missed == set()
    assert await catalog.foreign(OWNER) == foreign


async def test_two_clusters_with_the_same_names_leave_each_other_alone(
    admin: Admin, namespace: str, kubeconfig: Path, consul: ConsulServer, catalog: Catalog
) -> None:
    await fill(admin, namespace, 10)
    async with bridging(kubeconfig, consul.url, "east", namespaces=namespace, repair=0.1) as east:
        await east.settled(30)
        await catalog.plant("k8s-east--node-1", service="other", called="other-1")
        theirs = await catalog.foreign("west")
        async with bridging(
            kubeconfig, consul.url, "west", namespaces=namespace, repair=0.1, shutdown="deregister"
        ) as west:
            await west.settled(30)
            ours = await catalog.foreign("east")
            sent = east.status.transactions, west.status.transactions
            await asyncio.gather(east.passed(10), west.passed(10))
            assert (east.status.transactions, west.status.transactions) == sent
            assert await catalog.foreign("west") == theirs
            assert await catalog.foreign("east") == ours
            assert len(await catalog.get("/v1/catalog/service/many-0")) == 6
        assert await catalog.owned("west") == {}
        assert await catalog.foreign("west") == theirs


async def test_replicas_that_choose_by_a_lease_hand_over_without_a_change(
    admin: Admin, cluster: Cluster, namespace: str, consul: ConsulServer, catalog: Catalog
) -> None:
    await register_nodes(admin)
    await fill(admin, namespace, 10)
    leases: Object = {"kind": "Role", "metadata": {"namespace": namespace}, "rules": LEASES}
    kubeconfig = await kubeconfig_with(admin, cluster, namespace, [ROLE, leases])
    by_lease: Any = {"namespaces": namespace, "leader": "lease", "lease_namespace": namespace}
    async with contextlib.AsyncExitStack() as stack:
        async with bridging(kubeconfig, consul.url, OWNER, **by_lease) as first:
            await first.settled(30)
            second = await stack.enter_async_context(bridging(kubeconfig, consul.url, OWNER, **by_lease))
            await until(lambda: second.status.ready, 20)
            assert not second.status.leading
            before = await catalog.owned(OWNER)
        await second.settled(30)
        assert second.status.transactions == 0
        assert await catalog.owned(OWNER) == before
        await remove(admin, namespace, "many-0")
        await second.settled(27)


LEASES: list[Object] = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
]
