"""Ten minutes in which nothing changes: nothing is written to Consul's catalog, by the bridge's count and Consul's."""

import asyncio
import time
from collections.abc import Iterator

from .bridge_fill import NODES, SERVICES, asked, bridge, load, settled
from .bridging.consul import consul_server
from .bridging.world import World
from .figures import Figure, amount
from .programs import Said
from .servers import ApiServer, api_server

SECONDS = 600.0
"""In which the bridge reads all that Consul holds once or twice: every 300 s."""
TABLES = "/v1/catalog/nodes", "/v1/catalog/services", "/v1/health/state/any"
"""Consul's nodes, services and checks: the index of each moves with any write to it."""


def measure(runs: int, seconds: float = SECONDS, services: int = SERVICES) -> Iterator[Figure]:
    world = World(services, NODES)
    with api_server() as server:
        asyncio.run(load(server, world))
        said = [_steady(server, world, seconds) for _ in range(runs)]
    requests, cpu = amount((one["requests"] for one in said), "requests"), amount((one["cpu"] for one in said), "s")
    yield Figure(
        name="bridge_steady",
        what=f"writes to Consul's catalog in {seconds / 60:g} minutes without a change, {world.size:,} instances",
        unit="",
        runs=tuple(float(one["writes"] + one["moved"]) for one in said),
        at_most=0,
        ours=f"{requests} to keep the lock and to look for drift, {cpu} of processor",
    )
    yield Figure(
        name="bridge_steady_memory",
        what="the bridge's whole memory at their end",
        unit="MB",
        runs=tuple(one["resident_kb"] * 1024 / 1e6 for one in said),
        at_most=250,
        ours=f"{amount((one['grown_kb'] * 1024 / 1e6 for one in said), 'MB')} more than at their beginning",
    )


def _steady(server: ApiServer, world: World, seconds: float) -> Said:
    with consul_server() as consul, bridge(server, consul, world) as program:
        program.hear()
        before, indexes = settled(program), [consul.index(table) for table in TABLES]
        time.sleep(seconds)
        after, moved = asked(program), [consul.index(table) for table in TABLES]
        assert consul.holds(world), "Consul holds something else than the cluster"
    counts = {key: after[key] - before[key] for key in ("requests", "writes", "passes", "cpu")}
    assert seconds < SECONDS or counts["passes"] >= 1, "the bridge has not looked for drift"
    tables = sum(now != then for now, then in zip(moved, indexes, strict=True))
    grown = after["resident_kb"] - before["resident_kb"]
    return {**counts, "moved": tables, "resident_kb": after["resident_kb"], "grown_kb": grown}
