"""The suite against the simulated Consul server. Its faults are tested in tests/testing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from discovery.testing.consul import FakeConsul
from discovery.testing.consul import Rules as FakeRules

from .consul import Consul, Rules
from .consul_laws import *  # noqa: F403 - all of its tests


async def endpoint(server: FakeConsul) -> AsyncIterator[Consul]:
    async def make_token(rules: Rules) -> str:
        return server.create_token(FakeRules(**rules))  # type: ignore[arg-type]

    async with server, aiohttp.ClientSession() as http:
        yield Consul(server.url, server.token, "consul-server", http, make_token)


@pytest.fixture
async def consul() -> AsyncIterator[Consul]:
    async for one in endpoint(FakeConsul(session_ttl_min=0.25)):
        yield one


@pytest.fixture
async def guarded() -> AsyncIterator[Consul]:
    async for one in endpoint(FakeConsul(acls=True)):
        yield one
