"""The suite that the simulated API server is held to, against the real one."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ..conformance.endpoint import Endpoint
from ..conformance.suite import *  # noqa: F403 - all of its tests
from .cluster import API, TOKEN, Cluster
from .faults import compact
from .servers import ApiServer


@pytest.fixture
async def api(cluster: Cluster, namespace: str, api_server: ApiServer) -> AsyncIterator[Endpoint]:
    async def forget() -> None:
        await compact()
        await api_server.restart()

    # A restart breaks idle connections.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        yield Endpoint(API, TOKEN, cluster.tls(), namespace, forget, http)
