"""The bridge's first fill of a Consul server, beside the bare transactions; and 450 pods replaced at once after it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import attrs

from .bridging.api import at_once, writing
from .bridging.consul import ConsulServer, consul_server
from .bridging.serial import register
from .bridging.world import ENDPOINTS, SLICES, Json, World, name
from .figures import Figure, amount, ratios
from .programs import Program, Said, ours
from .servers import ApiServer, api_server

SERVICES = 5_000
NODES = 100
REPLACED = 450
SERIALLY = 1_000
"""Instances that are registered one by one: the time of each grows with those before it."""
CURRENT = 60.0
"""Seconds that the bridge has to catch up with a change, or to come to rest."""
SETTLED = 20.0
"""Seconds after a fill in which the bridge looks around once: it reads the lists again, and the marks on its nodes."""
QUIET = 1.0
"""Seconds without a request after which it is at rest."""


@attrs.frozen
class Filled:
    """What a bridge said of a fill, and of what came after it."""

    fill: Said
    requests: int
    writes: int
    seconds: float


def measure(runs: int) -> Iterator[Figure]:
    world = World(SERVICES, NODES)
    with api_server() as server:
        asyncio.run(load(server, world))
        bare, mine = [], []
        for _ in range(runs):
            bare.append(_bare(server))
            mine.append(_bridge(server, world))
    with consul_server() as consul:
        serial = register(consul.url, world, SERIALLY)
    yield from figures(mine, bare, serial)


def figures(mine: Sequence[Filled], bare: Sequence[Said], serial: float) -> Iterator[Figure]:
    """What is promised of them."""
    seconds, anchors = [one.fill["seconds"] for one in mine], [one["seconds"] for one in bare]
    writing_alone = amount((one.fill["writing"] for one in mine), "s")
    yield Figure(
        name="bridge_fill",
        what=f"Consul filled by the bridge: {SERVICES:,} NodePort Services, {SERVICES * ENDPOINTS:,} instances",
        unit="x",
        runs=ratios(seconds, anchors),
        at_most=1.3,
        ours=f"{amount(seconds, 's')}, of which {writing_alone} once all was read",
        anchor=f"the {bare[0]['transactions']} bare transactions: {amount(anchors, 's')}",
    )
    yield Figure(
        name="bridge_fill_peak",
        what="the bridge's whole memory at its peak",
        unit="MB",
        runs=tuple(_megabytes(one.fill["peak_kb"]) for one in mine),
        at_most=250,
        ours=f"{amount((_megabytes(one.fill['resident_kb']) for one in mine), 'MB')} once it is done",
    )
    yield Figure(
        name="bridge_replaced",
        what=f"requests to Consul for {REPLACED} pods replaced at once",
        unit="",
        runs=tuple(float(one.requests) for one in mine),
        at_most=15,
        ours=f"{amount((one.writes for one in mine), 'transactions')} in {amount((one.seconds for one in mine), 's')}",
    )
    yield Figure(
        name="bridge_serial",
        what=f"the first {SERIALLY:,} instances one by one on one node, as consul-k8s does it: each takes longer",
        unit="s",
        runs=(serial,),
    )


async def load(server: ApiServer, world: World) -> None:
    """Make all there is."""
    async with writing(server) as api:
        await api.load(world)


def _bare(server: ApiServer) -> Said:
    with consul_server() as consul, ours("bridging.bare", server.kubeconfig, consul.url) as program:
        prepared = program.hear()
        assert prepared["instances"] == SERVICES * ENDPOINTS, prepared
        program.go_on()
        return {**prepared, **program.hear()}


def _bridge(server: ApiServer, world: World) -> Filled:
    with consul_server() as consul, bridge(server, consul, world) as program:
        fill = program.hear()
        assert consul.holds(world), "the bridge says that it is done, and Consul holds something else"
        before = settled(program)
        start = time.perf_counter()
        asyncio.run(_replace(server, world))
        after = _caught_up(program, before)
        seconds = time.perf_counter() - start
        assert consul.holds(world), "pods were replaced, and Consul has not followed"
    return Filled(fill, after["requests"] - before["requests"], after["writes"] - before["writes"], seconds)


def bridge(server: ApiServer, consul: ConsulServer, world: World) -> contextlib.AbstractContextManager[Program]:
    """A bridge in a process of its own, that says when Consul holds all there is."""
    return ours("bridging.bridge", server.kubeconfig, consul.url, str(world.size))


def asked(program: Program) -> Said:
    """How the bridge stands; an error where it has failed at anything."""
    program.go_on()
    said = program.hear()
    assert not said["failures"], said["failures"]
    return said


def settled(program: Program) -> Said:
    """How the bridge stands once it has looked around after a fill, and asks nothing of Consul any more."""
    time.sleep(SETTLED)
    end = time.monotonic() + CURRENT
    before = asked(program)
    while time.monotonic() < end:
        time.sleep(QUIET)
        now = asked(program)
        if now["requests"] == before["requests"]:
            return now
        before = now
    raise RuntimeError(f"the bridge does not come to rest: {before}")


async def _replace(server: ApiServer, world: World) -> None:
    """One pod of each of these Services goes to another node."""
    changes: list[tuple[int, Json]] = [(number, world.move(number)) for number in range(REPLACED)]
    async with writing(server) as api:
        await at_once(lambda one: api.patch(f"{SLICES}/{name(one[0])}", one[1]), changes)


def _caught_up(program: Program, before: Said) -> Said:
    """How the bridge stands once it has put each in its new place and taken it from the old one."""
    end = time.monotonic() + CURRENT
    while time.monotonic() < end:
        said = asked(program)
        done = (said["wrote"].get(action, 0) - before["wrote"].get(action, 0) for action in ("register", "deregister"))
        if all(count >= REPLACED for count in done):
            return said
        time.sleep(0.05)
    raise RuntimeError(f"{REPLACED} pods were replaced, and the bridge has not caught up: {asked(program)}")


def _megabytes(kibibytes: int) -> float:
    return kibibytes * 1024 / 1e6
