"""The anchor of a fill: the very transactions that a bridge sends, made beforehand, sent by a loop of nothing else.

As a program: `bare KUBECONFIG CONSUL` says that it is prepared, sends when it is told to, and says how long that took.
"""

import asyncio
import random
import sys
import time
from collections.abc import Iterable, Sequence

import aiohttp

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.bridge.leading.session_lock import SessionLock
from discovery.bridge.options import BridgeOptions
from discovery.bridge.plan.batches import Batch, batches

from ..programs import say, wait_for_word
from .world import OWNER

TTL = 3600.0
"""Seconds for which the lock is held: nobody renews it."""


def bodies(made: Iterable[Batch], fence: bytes) -> list[list[bytes]]:
    """The bodies of transactions, in groups: those of a group may be sent at once, one group after the other."""
    groups: list[list[bytes]] = [[]]
    for batch in made:
        if batch.after and groups[-1]:
            groups.append([])
        groups[-1].append(b"[" + b",".join([fence, *batch.operations]) + b"]")
    return groups


async def send(url: str, groups: Sequence[Sequence[bytes]], in_flight: int) -> float:
    """All of these, so many at a time; returns the seconds it took."""
    async with aiohttp.ClientSession(url, headers={"Content-Type": "application/json"}) as http:
        start = time.perf_counter()
        for group in groups:
            left = iter(group)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(in_flight):
                    tasks.create_task(_send(http, left))
        return time.perf_counter() - start


async def _send(http: aiohttp.ClientSession, left: Iterable[bytes]) -> None:
    for body in left:
        async with http.put("/v1/txn", data=body) as response:
            if response.status != 200:
                raise RuntimeError(f"PUT /v1/txn: {response.status} {(await response.text())[:500]}")
            await response.read()


async def program(kubeconfig: str, url: str) -> None:
    options = BridgeOptions(owner=OWNER, session_ttl=TTL)
    async with discovery.Discovery(kubeconfig=kubeconfig, consul=url) as disco:
        plan = await ConsulBridge(disco, owner=OWNER).once(dry_run=True)
        consul = disco.consul_client()
        lock = SessionLock(consul, options, emit=disco.emit, rng=random.Random())
        async with lock.borrowed() as fence:
            assert fence is not None
            groups = bodies(batches(plan, options, fence=fence), fence)
            say(instances=len(plan.register), transactions=sum(map(len, groups)))
            await asyncio.to_thread(wait_for_word)
            say(seconds=await send(url, groups, options.in_flight))


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1], sys.argv[2]))
