"""The pytest plugin: fixtures `fake_cluster` and `fake_consul`, both started. It needs pytest-asyncio."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .cluster import FakeCluster
    from .consul import FakeConsul

try:
    from pytest_asyncio import fixture
except ImportError:
    from pytest import fixture  # type: ignore[no-redef] # noqa: PT013


@fixture
async def fake_cluster() -> "AsyncIterator[FakeCluster]":
    """A simulated Kubernetes cluster, empty, for one test."""
    from .cluster import FakeCluster

    async with FakeCluster() as cluster:
        yield cluster


@fixture
async def fake_consul() -> "AsyncIterator[FakeConsul]":
    """A simulated Consul server, with nothing but itself in its catalog, for one test."""
    from .consul import FakeConsul

    async with FakeConsul() as consul:
        yield consul
