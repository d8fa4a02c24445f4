"""What one process that calls much of a cluster costs the API server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TypeVar

import pytest

import discovery

from ..until import until
from .admin import Admin, Object
from .cluster import API, Cluster
from .light import register_nodes
from .manifests import endpoint_slice, fresh_name, service
from .rollout import slices_path
from .sockets import Counting

NAMESPACES = 5
SERVICES = 100
"""In each."""

T = TypeVar("T")


async def all_of(work: Iterable[Awaitable[T]], *, at_once: int = 32) -> list[T]:
    """Do all, some at once."""
    turn = asyncio.Semaphore(at_once)

    async def one(task: Awaitable[T]) -> T:
        async with turn:
            return await task

    return await asyncio.gather(*map(one, work))


def by_hand(namespace: str, name: str, address: str) -> list[Object]:
    """A Service and its slice, without pods."""
    made = service(namespace, name, port=80, kind="NodePort")
    del made["spec"]["selector"]
    return [made, endpoint_slice(namespace, f"{name}-1", name, [address])]


@pytest.fixture
async def namespaces(admin: Admin) -> AsyncIterator[list[str]]:
    """With a hundred Services each."""
    names = [fresh_name("scale") for _ in range(NAMESPACES)]
    for name in names:
        await admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    made = (
        thing
        for number, name in enumerate(names)
        for service in range(SERVICES)
        for thing in by_hand(name, f"web-{service}", f"10.20.{number}.{service + 1}")
    )
    await all_of(map(admin.create, made))
    yield names
    await asyncio.gather(*(admin.delete(f"/api/v1/namespaces/{name}") for name in names))


TARGETS = (
    "endpoints://{}/web-{}:80",
    "endpoints://{}/web-{}:http",
    "cluster-ip://{}/web-{}:80",
    "node-port://{}/web-{}",
)


async def test_pools_of_every_kind_on_500_services_in_5_namespaces_share_12_connections_at_most(
    admin: Admin, namespaces: list[str], cluster: Cluster
) -> None:
    assert API == "https://172.31.0.1:6443"
    await register_nodes(admin)
    with Counting() as counted:
        async with (
            discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
            contextlib.AsyncExitStack() as stack,
        ):
            places = [(name, number) for name in namespaces for number in range(SERVICES)]
            pools = {place: disco.pool(TARGETS[0].format(*place)) for place in places}
            others = [disco.pool(text.format(*place)) for place in places for text in TARGETS[1:]]
            for pool in (*pools.values(), *others):
                await stack.enter_async_context(pool)
            await asyncio.gather(*(pool.ready(timeout=30) for pool in (*pools.values(), *others)))
            steady = counted.now
            assert [len(pool.backends) for pool in pools.values()] == [1] * len(pools)
            # They are live: a change in each namespace arrives.
            for name in namespaces:
                endpoints = [{"addresses": ["10.20.9.9"], "conditions": {"ready": True}}]
                await admin.patch(f"{slices_path(name)}/web-7-1", {"endpoints": endpoints})
            for name in namespaces:
                await until(lambda: pools[name, 7].backends[0].address == "10.20.9.9")  # noqa: B023
    assert steady <= 2 * NAMESPACES + 2
    assert counted.peak <= 2 * NAMESPACES + 2
    print(f"connections: {counted.peak} at most, {steady} at rest, {len(counted.ever)} in all")
