"""The pytest plugin: a fixture `fake_cluster`, a started `FakeCluster`. It needs pytest-asyncio."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .cluster import FakeCluster

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
