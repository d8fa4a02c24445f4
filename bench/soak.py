"""A soak: 1,000,000 requests while backends come and go ten times a second, some of them broken. Takes minutes.

A simulated API server tells of the backends, as slices of a Service. Of those that come one in eight answers 503 and
one in eight hangs, until it goes; each is a new pod at an address that is used again. Some requests are given up
halfway, some responses are closed unread. In the end nothing may be left of all that but what there was after the first
tenth: memory, tasks, sockets and requests in flight.
"""

import asyncio
import contextlib
import gc
import itertools
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp

import discovery
from discovery.testing import FakeCluster

from .figures import Figure, amount
from .programs import memory, ours, say, wait_for_word
from .traffic.behaviour import Behaviour, Remote

BACKENDS = 20
FEWEST = 6
"""Backends that stay, whatever happens."""
CLIENTS = 32
REQUESTS = 1_000_000
WARM = REQUESTS // 10
PAUSE = 0.1
"""Seconds from one change to the next."""
GRACE = 0.05
"""Seconds that a backend goes on after it was said that it has gone."""
EXPIRED = 100
"""Changes after which the API server forgets what was before: a watch that is behind has to list anew."""
GIVEN_UP = 100
UNREAD = 50
"""One in so many requests."""
SERVICE = "soak"
URL = f"http://{SERVICE}.default.svc/orders"
BROKEN = Behaviour(status=503), Behaviour(hangs=True)
SOUND = 6
"""Beside one of each that is broken."""
RETRY = discovery.RetryPolicy(per_try_timeout=0.25)


def measure(runs: int) -> Iterator[Figure]:
    said = []
    for _ in range(runs):
        with (
            ours("traffic.backends", str(BACKENDS)) as backends,
            ours("soak", "cluster", str(backends.hear()["control"])) as cluster,
        ):
            with ours("soak", "client", cluster.hear()["kubeconfig"]) as client:
                said.append(client.hear())
            cluster.go_on()
            changes = cluster.hear()["changes"]
    yield Figure(
        name="soak_memory",
        what=f"memory that {REQUESTS:,} requests add after the first {WARM:,}, with {changes:,} changes of backends",
        unit="MB",
        runs=tuple(one["grown_kb"] * 1024 / 1e6 for one in said),
        at_most=2,
        ours=f"{amount((one['rate'] for one in said), 'requests/s')}; {sum(one['failed'] for one in said):,} failed",
    )
    yield Figure(
        name="soak_left",
        what="tasks, sockets and requests in flight that are left",
        unit="",
        runs=tuple(one["tasks"] + one["files"] + one["in_flight"] for one in said),
        at_most=0,
    )


# The cluster


async def play(control: str) -> None:
    backends = await Remote.connect(int(control))
    async with FakeCluster() as cluster:
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": SERVICE},
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "10.96.0.10",
                    "clusterIPs": ["10.96.0.10"],
                    "selector": {"app": SERVICE},
                    "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
                },
            }
        )
        churn = Churn(cluster, backends)
        for index in range(FEWEST):
            await churn.come(index, Behaviour())
        churning = asyncio.create_task(churn.run())
        say(kubeconfig=str(cluster.kubeconfig))
        await asyncio.to_thread(wait_for_word)
        churning.cancel()
        await asyncio.wait([churning])
        say(changes=churn.changes)
    await backends.aclose()


class Churn:
    """Backends that come and go. The first `FEWEST` stay as they are."""

    def __init__(self, cluster: FakeCluster, backends: Remote) -> None:
        self.changes = 0
        self._cluster = cluster
        self._backends = backends
        self._rng = random.Random(1)
        self._there: set[int] = set()

    async def run(self) -> None:
        """One change after the other, for ever."""
        kinds = (*itertools.repeat(Behaviour(), SOUND), *BROKEN)
        while True:
            await asyncio.sleep(PAUSE)
            index = self._rng.randrange(FEWEST, BACKENDS)
            if index in self._there:
                await self.go(index)
            else:
                await self.come(index, self._rng.choice(kinds))
            self.changes += 1
            if self.changes % EXPIRED == 0:
                self._cluster.compact()

    async def come(self, index: int, behaviour: Behaviour) -> None:
        """First it serves, then it is said to."""
        await self._backends.become(behaviour, [index])
        self._cluster.apply(self._slice(index))
        self._there.add(index)

    async def go(self, index: int) -> None:
        """First it is said to have gone, then it goes and cuts what is open."""
        self._cluster.delete("endpointslices", f"{SERVICE}-{index}")
        self._there.discard(index)
        await asyncio.sleep(GRACE)
        await self._backends.become(Behaviour(gone=True), [index])

    def _slice(self, index: int) -> dict[str, object]:
        pod = {"kind": "Pod", "namespace": "default", "name": f"{SERVICE}-{index}", "uid": str(uuid.uuid4())}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{SERVICE}-{index}", "labels": {"kubernetes.io/service-name": SERVICE}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": self._backends.ports[index], "protocol": "TCP"}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}, "targetRef": pod}],
        }


# The client


async def soak(kubeconfig: str) -> None:
    before = _files()
    outcomes: Counter[str] = Counter()
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        middleware = disco.middleware(retry=RETRY)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as session:
            await _all(session, WARM, outcomes)
            warm, start = _memory(), time.perf_counter()
            await _all(session, REQUESTS - WARM, outcomes)
            rate = (REQUESTS - WARM) / (time.perf_counter() - start)
            grown = _memory() - warm
            in_flight = disco.pool(f"endpoints://default/{SERVICE}:http").in_flight
    await asyncio.sleep(0)
    say(
        grown_kb=grown,
        rate=rate,
        failed=outcomes["failed"],
        in_flight=in_flight,
        tasks=len(asyncio.all_tasks()) - 1,
        files=_files() - before,
    )


async def _all(session: aiohttp.ClientSession, requests: int, outcomes: Counter[str]) -> None:
    left = iter(range(requests))

    async def work() -> None:
        for number in left:
            outcomes[await _one(session, number)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(work())


async def _one(session: aiohttp.ClientSession, number: int) -> str:
    """What came of it."""
    given_up = number % GIVEN_UP == 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001 if given_up else None):
            try:
                async with session.get(URL) as response:
                    if number % UNREAD != 1:
                        await response.read()
                    return "served" if response.status == 200 else "failed"
            except aiohttp.ClientError:
                return "failed"
    return "given up"


def _memory() -> int:
    gc.collect()
    return memory("VmRSS")


def _files() -> int:
    """How many this process has open; all that it opens here are sockets."""
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    asyncio.run(play(sys.argv[2]) if sys.argv[1] == "cluster" else soak(sys.argv[2]))
