"""From a write to the API server until a client of Consul sees what follows from it, one change at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import attrs

from .bridge_fill import asked, bridge, load
from .bridging.api import Api, writing
from .bridging.consul import consul_server, watching
from .bridging.world import SERVICES as SERVICE
from .bridging.world import SLICES, World, name, node, node_name, service
from .figures import Figure, percentile
from .servers import ApiServer, api_server

SERVICES = 20
NODES = 7
CHANGES = 200
PATIENCE = 30.0
"""Seconds until a change counts as never seen."""
PAUSE = 0.02
"""Seconds between two changes."""


def measure(runs: int) -> Iterator[Figure]:
    world = World(SERVICES, NODES)
    with api_server() as server:
        asyncio.run(load(server, world))
        seen = [_follow(server, world) for _ in range(runs)]
    for percent, bound in (50, None), (99, 1.0):
        yield Figure(
            name=f"bridge_latency_p{percent}",
            what=f"a change in Kubernetes until Consul's clients see it, p{percent} of {CHANGES}",
            unit="s",
            runs=tuple(percentile(run, percent) for run in seen),
            at_most=bound,
            ours=f"at most {max(max(run) for run in seen):.3g} s",
        )


def _follow(server: ApiServer, world: World) -> list[float]:
    """Seconds of each change."""
    with consul_server() as consul, bridge(server, consul, world) as program:
        program.hear()
        seconds = asyncio.run(_changes(server, consul.url, world))
        asked(program)
        assert consul.holds(world), "Consul holds something else than the cluster"
    return seconds


async def _changes(server: ApiServer, consul: str, world: World) -> list[float]:
    async with writing(server) as api:
        changes = Changes(world, api)
        seconds = []
        for number in range(CHANGES):
            seconds.append(await seen(consul, world, changes.next(number)))
            await asyncio.sleep(PAUSE)
        return seconds


@attrs.frozen
class Change:
    """One change: the Services that it concerns, how the world looks after it, and how it is written."""

    services: tuple[int, ...]
    write: Callable[[], Awaitable[None]]


async def seen(consul: str, world: World, change: Change) -> float:
    """Seconds from just before it is written until every Service that it concerns is in Consul as it should be.

    Args:
        consul: where to look.
        world: as it is after the change.
        change: not written yet.
    """
    async with watching(consul, [name(number) for number in change.services]) as watches, asyncio.timeout(PATIENCE):
        waits = [watches[name(number)].until(world.instances(number)) for number in change.services]
        following = asyncio.gather(*waits)
        await asyncio.sleep(0)  # they ask before anything is written
        start = time.perf_counter()
        await change.write()
        return max(await following) - start


class Changes:
    """All kinds of change in turn, so that each is undone by the next but for an endpoint that moved.

    Args:
        world: changed with every step.
        api: where it is written.
    """

    KINDS = "unready", "ready", "moved", "node deleted", "node created", "Service deleted", "Service created", "moved"

    def __init__(self, world: World, api: Api) -> None:
        self._world = world
        self._api = api

    def next(self, number: int) -> Change:
        """The change of that number, noted in the world and not written yet."""
        turn, step = divmod(number, len(self.KINDS))
        kind, of = self.KINDS[step], turn % SERVICES
        if kind.startswith("node"):
            return self._node(turn % NODES, deleted=kind.endswith("deleted"))
        if kind.startswith("Service"):
            return self._service(of, deleted=kind.endswith("deleted"))
        patch = self._world.move(of) if kind == "moved" else self._world.turn(of, ready=kind == "ready")
        return Change((of,), lambda: self._api.patch(f"{SLICES}/{name(of)}", patch))

    def _node(self, number: int, *, deleted: bool) -> Change:
        concerned = tuple(self._world.standing_on(number))
        if deleted:
            self._world.nodes.discard(number)
            return Change(concerned, lambda: self._api.delete(f"/api/v1/nodes/{node_name(number)}"))
        self._world.nodes.add(number)
        return Change(concerned, lambda: self._api.create("/api/v1/nodes", node(number)))

    def _service(self, number: int, *, deleted: bool) -> Change:
        if deleted:
            self._world.services.discard(number)
            return Change((number,), lambda: self._api.delete(f"{SERVICE}/{name(number)}"))
        self._world.services.add(number)
        return Change((number,), lambda: self._api.create(SERVICE, service(number)))
