"""The suite that the simulated Consul server is held to, against the real one."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from ..conformance.consul import Consul, Rules
from ..conformance.consul_laws import *  # noqa: F403 - all of its tests
from . import build
from .consul import ConsulServer


def need_servers() -> None:
    """Where the real servers cannot run: a skip, but in CI a failure."""
    if reason := build.obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@contextlib.contextmanager
def running(server: ConsulServer) -> Iterator[ConsulServer]:
    """The server, for tests that each have a loop of their own."""
    need_servers()
    try:
        asyncio.run(server.start())
        asyncio.run(server.ready())
        yield server
    finally:
        asyncio.run(server.aclose())


@pytest.fixture(scope="module")
def open_server() -> Iterator[ConsulServer]:
    with running(ConsulServer(config={"session_ttl_min": "250ms"})) as server:
        yield server


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[ConsulServer]:
    with running(ConsulServer(acls=True)) as server:
        yield server


async def endpoint(server: ConsulServer) -> AsyncIterator[Consul]:
    async def make_token(rules: Rules) -> str:
        written = [
            f'{resource}_prefix "{prefix}" {{ policy = "{level}" }}'
            for resource, by_prefix in rules.items()
            for prefix, level in by_prefix.items()
        ]
        return await server.create_token("\n".join(written))

    async with aiohttp.ClientSession() as http:
        yield Consul(server.url, server.token, server.name, http, make_token)


@pytest.fixture
async def consul(open_server: ConsulServer) -> AsyncIterator[Consul]:
    async for one in endpoint(open_server):
        yield one


@pytest.fixture
async def guarded(guarded_server: ConsulServer) -> AsyncIterator[Consul]:
    async for one in endpoint(guarded_server):
        yield one
