"""A bridge in a process of its own: `bridge KUBECONFIG CONSUL INSTANCES`.

It says when it has registered so many, and how large it is. After that it says how it stands whenever it is asked,
until its standard input ends.
"""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import discovery
from discovery.bridge.bridge import ConsulBridge
from discovery.cli.sync import collect_seldom

from ..programs import forget_peak, memory, say, wait_for_word
from .world import OWNER

T = TypeVar("T")


class Log:
    """What the bridge tells: when each thing happened first, and how much it has written.

    Args:
        instances: whose registration is awaited.
    """

    def __init__(self, instances: int) -> None:
        self.at: dict[str, float] = {}
        self.filled = asyncio.Event()
        self.wrote: Counter[str] = Counter()
        self.failures: list[str] = []
        self._instances = instances

    def __call__(self, event: discovery.Event) -> None:
        self.at.setdefault(event.name, time.perf_counter())
        if event.name == "bridge.wrote":
            self.wrote.update(event.data)
            if self.wrote["register"] >= self._instances and not self.filled.is_set():
                self.at["filled"] = time.perf_counter()
                self.filled.set()
        elif event.name in ("bridge.failed", "bridge.refused", "bridge.withheld", "bridge.unusable"):
            self.failures.append(f"{event.name} {event.subject} {event.data}")


async def program(kubeconfig: str, url: str, instances: int) -> None:
    log = Log(instances)
    async with discovery.Discovery(kubeconfig=kubeconfig, consul=url, on_event=log) as disco:
        bridge = ConsulBridge(disco, owner=OWNER)
        forget_peak()
        start = time.perf_counter()
        running = asyncio.create_task(bridge.run())
        await _first(running, log.filled.wait())
        known = max(log.at["bridge.synced"], log.at["leader.gained"])
        say(seconds=log.at["filled"] - start, writing=log.at["filled"] - known, **_size())
        while await _first(running, asyncio.to_thread(wait_for_word)):
            _report(disco, bridge, log)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _first(running: "asyncio.Task[None]", awaited: Coroutine[Any, Any, T]) -> T:
    """What is awaited; the bridge's error where that ends before."""
    waiting = asyncio.ensure_future(awaited)
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    return await waiting


def _size() -> dict[str, int]:
    return {"resident_kb": memory("VmRSS"), "peak_kb": memory("VmHWM")}


def _report(disco: discovery.Discovery, bridge: ConsulBridge, log: Log) -> None:
    status, consul = bridge.status, disco.consul_client()
    say(
        owned=status.owned,
        passes=status.passes,
        requests=consul.requests,
        writes=consul.writes,
        wrote=dict(log.wrote),
        failures=log.failures,
        cpu=time.process_time(),
        **_size(),
    )


if __name__ == "__main__":
    collect_seldom()  # as `discovery sync` does
    asyncio.run(program(sys.argv[1], sys.argv[2], int(sys.argv[3])))
