"""The suite against the simulated API server. Its faults are tested in tests/testing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from discovery.testing import FakeCluster

from .endpoint import Endpoint
from .suite import *  # noqa: F403 - all of its tests


@pytest.fixture
async def api(fake_cluster: FakeCluster) -> AsyncIterator[Endpoint]:
    async def compact() -> None:
        fake_cluster.compact()

    async with aiohttp.ClientSession() as http:
        yield Endpoint(fake_cluster.url, fake_cluster.token, True, fake_cluster.namespace, compact, http)
