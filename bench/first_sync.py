"""First sync: 10,000 EndpointSlices with 100,000 endpoints from a real API server, beside client-go with protobuf."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator

import discovery

from .figures import Figure, amount, ratios
from .population import NAMESPACE, Expected, endpoints, service
from .programs import Said, anchor, forget_peak, grown, memory, ours, say, wait_for_word
from .servers import ApiServer, api_server

SERVICES = 10_000
ENDPOINTS = 10
POOLS = 100


def measure(runs: int) -> Iterator[Figure]:
    with api_server() as server:
        server.load(SERVICES, ENDPOINTS)
        theirs, mine = [], []
        _sync_anchor(server)  # the server's caches are warm for both
        for run in range(runs):
            theirs.append(_sync_anchor(server))
            mine.append(_sync_ours(server, seed=run))
    seconds, anchors = [one["seconds"] for one in mine], [one["seconds"] for one in theirs]
    resident, peak = ([grown(one, field) for one in mine] for field in ("after_kb", "peak_kb"))
    held, most = (amount((grown(one, field) for one in theirs), "MB") for field in ("after_kb", "peak_kb"))
    yield Figure(
        name="first_sync",
        what="first sync of 10,000 EndpointSlices, 100,000 endpoints",
        unit="x",
        runs=ratios(seconds, anchors),
        at_most=1.0,
        ours=amount(seconds, "s"),
        anchor=f"client-go, protobuf: {amount(anchors, 's')}",
    )
    yield Figure(
        name="first_sync_memory",
        what="memory for it, over a program with its access configured",
        unit="MB",
        runs=tuple(resident),
        at_most=60,
        ours=amount(resident, "MB"),
        anchor=f"client-go, protobuf: {held}",
    )
    yield Figure(
        name="first_sync_peak",
        what="peak of it",
        unit="MB",
        runs=tuple(peak),
        at_most=150,
        ours=amount(peak, "MB"),
        anchor=f"client-go, protobuf: {most}",
    )


def _sync_anchor(server: ApiServer) -> Said:
    with anchor("sync", "-kubeconfig", server.kubeconfig, "-namespace", "") as program:
        said = program.hear()
    assert (said["slices"], said["endpoints"]) == (SERVICES, SERVICES * ENDPOINTS), said
    return said


def _sync_ours(server: ApiServer, seed: int) -> Said:
    with ours("first_sync", server.kubeconfig, str(seed)) as program:
        said = program.hear()
        before = server.requests()
        program.go_on()
        assert program.hear()["right"] == POOLS
        asked = server.requests() - before
        assert asked == 0, f"{POOLS} pools of a prefetched cluster made {asked} requests"
    return said


async def program(kubeconfig: str, seed: int) -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        await disco.prefetch("default")  # nothing is there: the access is configured now, as it is in the anchor
        before = memory("VmRSS")
        forget_peak()
        start = time.perf_counter()
        await disco.prefetch()
        seconds = time.perf_counter() - start
        say(seconds=seconds, before_kb=before, after_kb=memory("VmRSS"), peak_kb=memory("VmHWM"))
        await asyncio.to_thread(wait_for_word)
        for index in random.Random(seed).sample(range(SERVICES), POOLS):
            await _check(disco, index)
        say(right=POOLS)
        await asyncio.to_thread(wait_for_word)


async def _check(disco: discovery.Discovery, index: int) -> None:
    """The pool's backends are those that were written, and so is the one that is picked."""
    pool = disco.pool(f"endpoints://{NAMESPACE}/{service(index)}:http")
    await pool.ready(timeout=5)
    expected = set(endpoints(index, ENDPOINTS))
    with pool.pick() as lease:
        assert _described(lease.backend) in expected, lease.backend
    assert {_described(backend) for backend in pool.backends} == expected, pool


def _described(backend: discovery.Backend) -> Expected:
    assert backend.pod is not None
    assert backend.pod.namespace == NAMESPACE
    return Expected(backend.address, backend.port, backend.node, backend.zone, backend.pod.name, backend.pod.uid)


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1], int(sys.argv[2])))
