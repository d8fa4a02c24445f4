"""What the benchmarks of the bridge go by: a cluster, what Consul should say of it, and the programs between them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest

import discovery
from bench.bridge_fill import Filled, figures
from bench.bridge_latency import Changes, seen
from bench.bridging import serial
from bench.bridging.api import Api, at_once
from bench.bridging.bare import bodies, send
from bench.bridging.bridge import Log
from bench.bridging.consul import ConsulServer, Watch, worst
from bench.bridging.world import ENDPOINTS, FIRST_PORT, OWNER, SERVICES, SLICES, Json, World, address, name
from bench.programs import Program, ours
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.batches import MOST_OPERATIONS, batches
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul

from ..until import until

FENCE = b'{"KV":{"Verb":"check-session","Key":"k","Session":"s"}}'


def apply(cluster: FakeCluster, world: World) -> None:
    """Make all there is, but for the namespace."""
    for path, thing in world.objects():
        if not path.endswith("/namespaces"):
            cluster.apply(thing)


@pytest.fixture
async def consul() -> AsyncIterator[FakeConsul]:
    async with FakeConsul() as started:
        yield started


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as started:
        yield started


@pytest.fixture
def small() -> World:
    return World(services=12, nodes=7)


async def holds(consul: FakeConsul, world: World) -> bool:
    return await asyncio.to_thread(ConsulServer(consul.url).holds, world)


# The world


def test_every_service_has_its_endpoints_on_nodes_of_their_own() -> None:
    world = World(services=5_000, nodes=100)
    assert world.size == 15_000
    assert all(len(world.instances(number)) == ENDPOINTS for number in world.services)


def test_every_node_has_as_much_as_every_other() -> None:
    world = World(services=500, nodes=100)
    assert {len(world.standing_on(node)) for node in world.nodes} == {500 * ENDPOINTS // 100}


@pytest.mark.parametrize("nodes", [4, 5, 7, 100])
def test_an_endpoint_that_moves_comes_to_a_node_that_had_none(nodes: int) -> None:
    world = World(services=3, nodes=nodes)
    for _ in range(2 * nodes):
        before = world.instances(1)
        world.move(1)
        after = world.instances(1)
        assert len(after) == ENDPOINTS
        assert len(after.keys() - before.keys()) == 1


def test_an_unready_endpoint_is_critical_until_it_is_ready_again(small: World) -> None:
    before = small.instances(3)
    small.turn(3, ready=False)
    assert sorted(small.instances(3).values()) == ["critical", "passing", "passing"]
    small.turn(3, ready=True)
    assert small.instances(3) == before


def test_what_stood_on_a_node_that_is_gone_is_gone(small: World) -> None:
    (first, *_) = small.standing_on(2)
    small.nodes.discard(2)
    assert (address(2), FIRST_PORT + first) not in small.instances(first)
    assert len(small.instances(first)) == ENDPOINTS - 1


def test_a_service_that_is_gone_has_no_instances_and_comes_back_as_it_was(small: World) -> None:
    before = small.instances(5)
    small.services.discard(5)
    assert (small.instances(5), small.size) == ({}, 11 * ENDPOINTS)
    small.services.add(5)
    assert small.instances(5) == before


def test_the_namespace_is_made_before_what_is_in_it(small: World) -> None:
    paths = [path for path, _ in small.objects()]
    assert paths[0] == "/api/v1/namespaces"
    assert (paths.count(SERVICES), paths.count(SLICES)) == (12, 12)


def test_node_ports_are_all_different_and_in_the_servers_range() -> None:
    world = World(5_000, 100)
    ports = [next(iter(world.instances(number)))[1] for number in world.services]
    assert len(set(ports)) == 5_000
    assert min(ports) >= 20_000
    assert max(ports) <= 32_767


# The bridge agrees with it


async def test_a_bridge_makes_of_it_what_the_world_says(cluster: FakeCluster, consul: FakeConsul, small: World) -> None:
    small.turn(4, ready=False)
    apply(cluster, small)
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url) as disco:
        plan = await ConsulBridge(disco, owner=OWNER).once()
    assert len(plan.register) == small.size
    assert await holds(consul, small)


async def test_what_consul_holds_too_much_or_too_little_is_noticed(
    cluster: FakeCluster, consul: FakeConsul, small: World
) -> None:
    apply(cluster, small)
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url) as disco:
        await ConsulBridge(disco, owner=OWNER).once()
    small.turn(0, ready=False)
    assert not await holds(consul, small)
    small.turn(0, ready=True)
    assert await holds(consul, small)
    small.services.discard(0)
    assert not await holds(consul, small)


class Direct(Api):
    """Writes to a simulated cluster, in the same process."""

    def __init__(self, cluster: FakeCluster, world: World) -> None:
        self._cluster = cluster
        self._world = world

    async def create(self, path: str, thing: Json) -> None:
        self._cluster.apply(thing)

    async def patch(self, path: str, change: Json) -> None:
        number = next(number for number in range(12) if path.endswith(name(number)))
        assert self._world.slice(number)["endpoints"] == change["endpoints"]
        self._cluster.apply(self._world.slice(number))

    async def delete(self, path: str) -> None:
        *_, resource, thing = path.split("/")
        self._cluster.delete(resource, thing, None if resource == "nodes" else "bench")


async def test_every_kind_of_change_is_seen_in_consul(cluster: FakeCluster, consul: FakeConsul, small: World) -> None:
    apply(cluster, small)
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url) as disco:
        bridge = ConsulBridge(disco, owner=OWNER, debounce=0.005, max_debounce=0.01)
        running = asyncio.create_task(bridge.run())
        await until(lambda: bridge.status.owned == small.size)
        changes = Changes(small, Direct(cluster, small))
        for number in range(2 * len(Changes.KINDS)):
            assert 0.0 < await seen(consul.url, small, changes.next(number)) < 10.0
        running.cancel()
        await asyncio.wait([running])
    assert await holds(consul, small)


# Watches


async def test_a_watch_sees_what_it_waits_for_and_not_before(consul: FakeConsul) -> None:
    consul.register(node="n", service="web", service_address="10.0.0.1", port=80, status="critical")
    async with aiohttp.ClientSession(consul.url) as http:
        watch = Watch(http, "web")
        await watch.start()
        waiting = asyncio.create_task(watch.until({("10.0.0.1", 80): "passing"}))
        asked = len(consul.requests)
        await until(lambda: len(consul.requests) > asked)
        assert not waiting.done()
        consul.register(node="n", service="web", service_address="10.0.0.1", port=80, status="passing")
        await asyncio.wait_for(waiting, 5)


async def test_a_watch_for_what_is_so_already_asks_nothing_more(consul: FakeConsul) -> None:
    async with aiohttp.ClientSession(consul.url) as http:
        watch = Watch(http, "nothing")
        await watch.start()
        asked = len(consul.requests)
        await watch.until({})
        assert len(consul.requests) == asked


@pytest.mark.parametrize(
    ("statuses", "expected"), [([], "passing"), (["passing", "critical"], "critical"), (["warning"], "critical")]
)
def test_an_instance_is_as_good_as_the_worst_of_its_checks(statuses: list[str], expected: str) -> None:
    assert worst([{"Status": status} for status in statuses]) == expected


# The anchor


async def plan_of(cluster: FakeCluster, consul: FakeConsul) -> Any:
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url) as disco:
        return await ConsulBridge(disco, owner=OWNER).once(dry_run=True)


async def test_the_bare_transactions_are_the_bridges_own(cluster: FakeCluster, consul: FakeConsul) -> None:
    world = World(services=100, nodes=10)
    apply(cluster, world)
    made = list(batches(await plan_of(cluster, consul), BridgeOptions(owner=OWNER), fence=FENCE))
    groups = bodies(made, FENCE)
    sent = [json.loads(body) for group in groups for body in group]
    assert [len(one) for one in sent] == [1 + len(batch.operations) for batch in made]
    assert all("KV" in one[0] and len(one) <= MOST_OPERATIONS for one in sent)
    assert sum(len(one) - 1 for one in sent) == 10 + 2 * world.size
    assert len(groups) == 1 + sum(batch.after for batch in made[1:])


async def test_sent_bare_they_leave_what_the_bridge_would_leave(cluster: FakeCluster, consul: FakeConsul) -> None:
    world = World(services=100, nodes=10)
    apply(cluster, world)
    with ours("bridging.bare", str(cluster.kubeconfig), consul.url) as program:
        prepared = await asyncio.to_thread(program.hear)
        assert (prepared["instances"], list(consul.services())) == (world.size, ["consul"])
        program.go_on()
        assert (await asyncio.to_thread(program.hear))["seconds"] > 0
        assert consul.writes == prepared["transactions"]
        await asyncio.to_thread(program.close)
    assert await holds(consul, world)


async def test_a_bare_transaction_that_is_refused_ends_the_measurement(consul: FakeConsul) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await send(consul.url, [[b"[" + FENCE + b"]"]], 4)
    assert "409" in str(raised.value.exceptions[0])


async def test_serial_registration_registers_the_first_of_them(consul: FakeConsul, small: World) -> None:
    assert await asyncio.to_thread(serial.register, consul.url, small, 10) > 0
    assert sum(len(consul.instances(name(number))) for number in range(12)) == 10
    assert consul.writes == 10


# The bridge as a program


async def asked(program: Program) -> Any:
    program.go_on()
    return await asyncio.to_thread(program.hear)


async def test_the_program_says_when_it_has_filled_consul_and_then_how_it_stands(
    cluster: FakeCluster, consul: FakeConsul, small: World
) -> None:
    apply(cluster, small)
    with ours("bridging.bridge", str(cluster.kubeconfig), consul.url, str(small.size)) as program:
        fill = await asyncio.to_thread(program.hear)
        assert await holds(consul, small)
        assert 0 < fill["writing"] < fill["seconds"]
        assert 0 < fill["resident_kb"] <= fill["peak_kb"]
        before = await asked(program)
        assert (before["owned"], before["wrote"], before["failures"]) == (small.size, {"register": small.size}, [])
        small.move(0)
        cluster.apply(small.slice(0))
        while (after := await asked(program))["wrote"].get("deregister", 0) < 1:
            pass
        assert after["wrote"] == {"register": small.size + 1, "deregister": 1}
        assert 1 <= after["writes"] - before["writes"] <= after["requests"] - before["requests"]
        await asyncio.to_thread(program.close)
    assert await holds(consul, small)


def test_a_fill_in_several_passes_is_done_with_the_last() -> None:
    log = Log(instances=10)
    log(discovery.Event("bridge.wrote", OWNER, {"register": 7}))
    assert not log.filled.is_set()
    log(discovery.Event("bridge.wrote", OWNER, {"register": 3, "update": 1}))
    assert log.filled.is_set()
    assert log.at["bridge.wrote"] <= log.at["filled"]


def test_what_the_bridge_fails_at_is_kept() -> None:
    log = Log(instances=10)
    log(discovery.Event("bridge.refused", "ns/web", {"reason": "denied"}))
    log(discovery.Event("bridge.recovered", OWNER))
    assert log.failures == ["bridge.refused ns/web {'reason': 'denied'}"]


# Figures


@pytest.fixture
def figured() -> Filled:
    fill = {"seconds": 6.0, "writing": 5.0, "peak_kb": 200_000, "resident_kb": 150_000}
    return Filled(fill, requests=13, writes=12, seconds=0.9)


def test_a_fill_is_good_enough_at_the_bounds_and_not_beyond(figured: Filled) -> None:
    bare = {"seconds": 5.0, "transactions": 239}
    by_name = {figure.name: figure for figure in figures([figured], [bare], 1.5)}
    assert all(figure.met for figure in by_name.values())
    assert by_name["bridge_fill"].value == pytest.approx(1.2)
    assert by_name["bridge_fill_peak"].value == pytest.approx(204.8)
    assert not by_name["bridge_serial"].bound
    slow = attrs.evolve(figured, fill={**figured.fill, "seconds": 6.6, "peak_kb": 250_000}, requests=16)
    met = {figure.name: figure.met for figure in figures([slow], [bare], 1.5)}
    assert met == {"bridge_fill": False, "bridge_fill_peak": False, "bridge_replaced": False, "bridge_serial": True}


async def test_several_things_are_done_at_once_and_each_once() -> None:
    done: list[int] = []
    running = most = 0

    async def do(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(random.random() / 1000)
        running -= 1
        done.append(number)

    await at_once(do, range(100), workers=7)
    assert (sorted(done), most) == (list(range(100)), 7)
