"""Pods by selector: 50,000 of 6.8 KB from a real API server to a pool, beside a client-go informer that trims them.

The informer's transform keeps what discovery needs, and drops managedFields, annotations and the rest: what a careful
Go program does. Here it ends with a pool that can be picked from; there with the pods in the informer's store.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterator

import discovery

from .figures import Figure, amount, ratios
from .population import NAMESPACE
from .programs import Said, anchor, forget_peak, grown, memory, ours, say, wait_for_word
from .servers import ApiServer, api_server

PODS = 50_000
OF_DEPLOYMENT = 500
READY = PODS * 9 // 10
LOOKED_AT = 100
"""Backends of the pool that are checked, chosen at random."""


def measure(runs: int) -> Iterator[Figure]:
    with api_server() as server:
        server.load_pods(PODS)
        theirs, mine = [], []
        _sync_anchor(server)  # the server's caches are warm for both
        for run in range(runs):
            theirs.append(_sync_anchor(server))
            mine.append(_sync_ours(server, seed=run))
    seconds, anchors = [one["seconds"] for one in mine], [one["seconds"] for one in theirs]
    resident, held = ([grown(one, "settled_kb") for one in side] for side in (mine, theirs))
    collected = amount((grown(one, "collected_kb") for one in theirs), "MB")
    yield Figure(
        name="pods_sync",
        what="first sync of 50,000 pods of 6.8 KB, by selector",
        unit="x",
        runs=ratios(seconds, anchors),
        at_most=1.5,
        ours=amount(seconds, "s"),
        anchor=f"client-go, protobuf, trimmed: {amount(anchors, 's')}",
    )
    yield Figure(
        name="pods_sync_memory",
        what="memory for it, over a program with its access configured",
        unit="x",
        runs=ratios(resident, held),
        at_most=0.6,
        ours=amount(resident, "MB"),
        anchor=f"client-go, protobuf, trimmed: {amount(held, 'MB')}, {collected} once collected by force",
    )


def _sync_anchor(server: ApiServer) -> Said:
    with anchor("pods", "-kubeconfig", server.kubeconfig, "-selector", "app=web") as program:
        said = program.hear()
    assert (said["pods"], said["ready"]) == (PODS, READY), said
    return said


def _sync_ours(server: ApiServer, seed: int) -> Said:
    with ours("pods", server.kubeconfig, str(seed)) as program:
        said = program.hear()
    assert (said["pods"], said["ready"], said["right"]) == (PODS, READY, LOOKED_AT), said
    return said


async def program(kubeconfig: str, seed: int) -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        await disco.prefetch("default")  # nothing is there: the access is configured now, as it is in the anchor
        before = memory("VmRSS")
        forget_peak()
        start = time.perf_counter()
        pool = disco.pool(f"pods://{NAMESPACE}/app=web:http")
        await pool.ready(timeout=60)
        seconds = time.perf_counter() - start
        peak = memory("VmHWM")
        await asyncio.sleep(2)
        settled = memory("VmRSS")
        status = pool.status
        with pool.pick() as lease:
            _check(lease.backend)
        for backend in random.Random(seed).sample(pool.snapshot.backends, LOOKED_AT):
            _check(backend)
        say(
            seconds=seconds,
            pods=status.backends + status.not_ready,
            ready=status.backends,
            right=LOOKED_AT,
            before_kb=before,
            settled_kb=settled,
            peak_kb=peak,
        )
        await asyncio.to_thread(wait_for_word)


def _check(backend: discovery.Backend) -> None:
    """It is what `anchors/podpopulation.go` wrote of the pod of this number."""
    assert backend.pod is not None
    number = int(backend.pod.name.rpartition("-")[2], 16)
    node = number % 500
    assert number % 10 != 9
    assert (backend.address, backend.port) == (f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 8080)
    assert (backend.node, backend.zone) == (f"node-{node:03d}", f"zone-{'abc'[node % 3]}")
    assert backend.pod.uid == f"{2:08x}-5d1c-4b7e-9f00-{number:012x}"
    assert dict(backend.labels)["app.kubernetes.io/name"] == f"web-{number // OF_DEPLOYMENT:03d}"


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1], int(sys.argv[2])))
