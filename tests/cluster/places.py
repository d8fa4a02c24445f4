"""Clients and servers at a chosen place: on a node, behind a route, or beside the cluster."""

import asyncio
import contextlib
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import aiohttp

from discovery.model import Backend

from .admin import UNREACHABLE, Object
from .cluster import Cluster
from .pods import SERVER
from .statuses import node_address

T = TypeVar("T")


async def ask(netloc: str, *, timeout: float = 5.0) -> Object:
    """What the process at `host:port` says of itself."""
    patience = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=patience) as http, http.get(f"http://{netloc}/") as response:
        answer: Object = await response.json()
        return answer


async def control(address: str, said: str, *, port: int = 8080) -> None:
    """Tell a pod's process what to do: see `server`."""
    async with aiohttp.ClientSession() as http, http.post(f"http://{address}:{port}/control?{said}"):
        pass


async def arrivals(address: str, *, port: int = 8080) -> list[float]:
    """When a pod's process was asked for something, in seconds of unix time."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}:{port}/arrivals") as response:
        found: list[float] = (await response.json())["arrivals"]
        return found


async def asked(backends: Iterable[Backend]) -> dict[str, str]:
    """By address, the name of the process that answers there."""
    places = {backend.address: backend.netloc for backend in backends}
    answers = await asyncio.gather(*map(ask, places.values()))
    return {address: answer["pod"] for address, answer in zip(places, answers, strict=True)}


async def until_answered(netloc: str, *, timeout: float = 20.0) -> Object:
    """Ask until there is an answer: kube-proxy writes its rules some time after it has learnt of a Service."""
    async with asyncio.timeout(timeout):
        while True:
            with contextlib.suppress(TimeoutError, *UNREACHABLE):
                return await ask(netloc, timeout=0.5)
            await asyncio.sleep(0.05)


async def on_node(cluster: Cluster, node: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do something as a client that runs on a node: in its network namespace, in a loop and a thread of its own."""

    def there() -> T:
        async def begin() -> T:
            return await work()

        with cluster.entered(node):
            return asyncio.run(begin())

    return await asyncio.to_thread(there)


@contextlib.asynccontextmanager
async def serving(
    cluster: Cluster, node: str, port: int, *, address: str = "", also: str = "", name: str
) -> AsyncIterator[str]:
    """A process on a node that is no pod: an external database, for example. Gives its address.

    Without an address it is one of the node's pod addresses; "0.0.0.0" serves them all. `also` is a second one.
    """
    address = address or cluster.next_address(node)
    inside = ("ip", "netns", "exec", cluster.netns(node))
    listen = [word for place in (address, also) if place for word in ("--listen", f"{place}:{port}")]
    what = (*listen, "--pod", name, "--node", node, "--linger", "0")
    process = await asyncio.create_subprocess_exec(
        *inside, sys.executable, "-I", "-S", SERVER, *what, stdin=DEVNULL, stdout=DEVNULL
    )
    try:
        seen_at = node_address(node) if address == "0.0.0.0" else address
        await until_answered(f"{seen_at}:{port}")
        yield address
    finally:
        process.terminate()
        await process.wait()


@contextlib.contextmanager
def with_ipv6(cluster: Cluster, node: str, address: str) -> Iterator[None]:
    """A node has an IPv6 address of its own that others reach, for as long as the block lasts."""
    number = node.removeprefix("node-")
    here, there, link = cluster.name, cluster.netns(node), f"fd00:31:{number}::"
    commands = (
        (here, "address", "add", f"{link}fe/64", "dev", f"node{number}", "nodad"),
        (there, "address", "add", f"{link}1/64", "dev", "eth0", "nodad"),
        (there, "address", "add", f"{address}/128", "dev", "lo", "nodad"),
        (here, "-6", "route", "add", f"{address}/128", "via", f"{link}1"),
    )
    for place, *words in commands:
        subprocess.run(["ip", "-n", place, *words], check=True)
    try:
        yield
    finally:
        for place, *words in reversed(commands):
            undo = [{"add": "del"}.get(word, word) for word in words if word != "nodad"]
            subprocess.run(["ip", "-n", place, *undo], check=True)


@contextlib.contextmanager
def routed(cluster: Cluster, address: str, node: str) -> Iterator[None]:
    """From outside, an address leads to a node: what a cloud's load balancer, or a router, does."""
    route = ("ip", "-n", cluster.name, "route")
    subprocess.run([*route, "add", f"{address}/32", "via", node_address(node)], check=True)
    try:
        yield
    finally:
        subprocess.run([*route, "del", f"{address}/32"], check=True)
