"""`discovery demo`: the main job, with nothing installed.

A simulated API server, ten real HTTP backends on loopback, and clients that never pause: through a rolling restart, and
through the death of a backend that nobody has noticed yet.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from .codes import DONE, NO_BACKEND
from .output import HOME_AND_CLEAR, table

if TYPE_CHECKING:
    import aiohttp

    from ..events import Event
    from ..pool import Pool
    from ..testing import Deployment, FakePod

BACKENDS = 10
CLIENTS = 16
UNNOTICED = 2.0
"""Seconds for which a dead backend is still called ready: a kubelet's probes take longer than that."""

STABLE = 2000
"""Requests after all is over, of which the spread is taken."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    made = commands.add_parser(
        "demo",
        help="a rolling restart under load, with nothing installed",
        description="Start a simulated Kubernetes API and ten real HTTP backends on loopback, send them requests "
        "through the aiohttp middleware, restart them one by one, kill one without notice, and say what came of it.",
        epilog="examples:\n  discovery demo\n  discovery demo --output json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--output", choices=("table", "json"), default="table", help="how to print (default: %(default)s)"
    )
    made.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Run it, and print the verdict; 1 where a request failed."""
    import aiohttp

    from ..balancing import RoundRobin
    from ..client import Discovery
    from ..testing import FakeCluster

    tally = Tally()
    screen = Screen(quiet=options.output == "json")
    async with (
        FakeCluster() as cluster,
        Discovery(kubeconfig=cluster.kubeconfig, on_event=tally.take) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware(balancer=RoundRobin())]) as http,
        asyncio.TaskGroup() as group,
    ):
        web = await cluster.deploy("alpaca-prod", replicas=BACKENDS)
        group.create_task(screen.show(web, tally))
        pool = disco.pool(f"endpoints://{web.namespace}/{web.name}:{web.port}")
        await pool.ready(timeout=5)
        await scenes(web, pool, http, tally, screen)
    verdict = tally.verdict()
    print(json.dumps(verdict) if options.output == "json" else in_words(verdict))
    return NO_BACKEND if tally.failures else DONE


@attrs.define
class Tally:
    """What is counted. `shares` are of the stable end only; `noticed` is in seconds."""

    requests: int = 0
    failures: list[str] = attrs.field(factory=list)
    retried: int = 0
    slowest: float = 0.0
    shares: Counter[str] = attrs.field(factory=Counter)
    noticed: float = 0.0
    began: float = attrs.field(factory=time.monotonic)
    _wanted: int = 0
    _reached: asyncio.Event = attrs.field(factory=asyncio.Event)

    def count(self) -> None:
        """One more request."""
        self.requests += 1
        if self.requests >= self._wanted:
            self._reached.set()

    async def reach(self, requests: int) -> None:
        """Wait for so many."""
        self._wanted = requests
        self._reached.clear()
        await self._reached.wait()

    def take(self, event: "Event") -> None:
        """Count the attempts that went wrong and were made good elsewhere."""
        self.retried += event.name == "call.retried"

    def verdict(self) -> dict[str, Any]:
        """All of it, for a program."""
        fair = sum(self.shares.values()) / BACKENDS
        return {
            "requests": self.requests,
            "failures": len(self.failures),
            "errors": sorted(set(self.failures))[:5],
            "retried": self.retried,
            "slowest_ms": round(self.slowest * 1000, 1),
            "spread_percent": round(100 * max(abs(count - fair) for count in self.shares.values()) / fair, 1),
            "time_to_notice_ms": round(self.noticed * 1000, 1),
            "seconds": round(time.monotonic() - self.began, 1),
        }


def in_words(verdict: dict[str, Any]) -> str:
    """All of it, for a reader."""
    opening = "REQUESTS FAILED" if verdict["failures"] else "No request failed"
    lines = (
        f"{opening}: {verdict['failures']} of {verdict['requests']:,}. The slowest took {verdict['slowest_ms']:g} ms.",
        f"  Attempts that met the dead backend and were made good elsewhere: {verdict['retried']}.",
        f"  Time to notice, from the API's word until it is offered no more: {verdict['time_to_notice_ms']:g} ms.",
        f"  Spread at the end: every backend within {verdict['spread_percent']:g} % of its fair share.",
    )
    return "\n".join([*lines, *(f"  {error}" for error in verdict["errors"])])


async def scenes(
    web: "Deployment", pool: "Pool", http: "aiohttp.ClientSession", tally: Tally, screen: "Screen"
) -> None:
    """The play."""
    going = asyncio.Event()
    going.set()
    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(client(web.url, http, tally, going))
        screen.scene(f"{CLIENTS} clients, {BACKENDS} backends")
        await asyncio.sleep(2)
        screen.scene("rolling restart: one more at a time, never fewer")
        await web.rolling_restart(pause=0.4)
        victim = web.pods[0]
        screen.scene(f"{victim.name} dies, and the API still calls it ready")
        await web.kill(victim)
        await asyncio.sleep(UNNOTICED)
        screen.scene(f"the API finds out about {victim.name}, and it is replaced")
        tally.noticed = await notice(web, pool, victim)
        await web.remove(victim)
        await web.scale(BACKENDS)
        screen.scene("all is well again")
        await asyncio.sleep(0.3)
        tally.shares.clear()
        await tally.reach(tally.requests + STABLE)
        going.clear()
    screen.end()


async def client(url: str, http: "aiohttp.ClientSession", tally: Tally, going: asyncio.Event) -> None:
    """Ask without pause."""
    import aiohttp

    while going.is_set():
        start = time.monotonic()
        try:
            async with http.get(url) as response:
                tally.shares[(await response.json())["pod"]] += 1
        except (aiohttp.ClientError, OSError) as error:
            tally.failures.append(f"{type(error).__name__}: {error}")
        tally.count()
        tally.slowest = max(tally.slowest, time.monotonic() - start)


async def notice(web: "Deployment", pool: "Pool", victim: "FakePod") -> float:
    """Let the API find out; seconds until the pool has."""
    start = time.monotonic()
    web.notice(victim)
    async for change in pool.changes():
        if all(backend.address != victim.address for backend in change.snapshot.backends):
            break
    return time.monotonic() - start


class Screen:
    """A live table on a terminal; a line a scene for files and pipes; nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stdout.isatty() and not quiet
        self._scene = ""
        self._over = False

    def scene(self, text: str) -> None:
        """What happens from now on."""
        self._scene = text
        if not (self._quiet or self._live):
            print(text, flush=True)

    def end(self) -> None:
        """The last picture stays."""
        self._over = True

    async def show(self, web: "Deployment", tally: Tally) -> None:
        """Draw until the end."""
        while self._live and not self._over:
            rows = [
                (pod.name, f"{pod.address}:{pod.port}", pod.node, _state(pod), f"{pod.requests:,}") for pod in web.pods
            ]
            head = f"{tally.requests:,} requests, {len(tally.failures)} failed    {self._scene}"
            print(
                f"{HOME_AND_CLEAR}{head}\n\n{table(('POD', 'ADDRESS', 'NODE', 'STATE', 'REQUESTS'), rows)}\n",
                flush=True,
            )
            await asyncio.sleep(0.1)


def _state(pod: "FakePod") -> str:
    if not pod.alive:
        return "dead, called ready" if pod.ready else "dead"
    return "terminating" if pod.terminating else "ready" if pod.ready else "not ready"
