"""The real servers that a test may have: killed, started again, out of reach of a leader, limited, with tokens."""

import asyncio

import aiohttp
import pytest

from discovery.testing.consul.faults import NO_LEADER, RETRY_ELSEWHERE, RETRY_LATER

from ..conformance.consul import node
from .consul import ConsulQuorum, ConsulServer, limited
from .test_consul_conformance import need_servers


@pytest.fixture(autouse=True)
def servers() -> None:
    need_servers()


async def test_a_server_that_is_killed_comes_back_with_its_data() -> None:
    async with ConsulServer(acls=True) as server:
        await server.ask("PUT", "/v1/txn", [node("kept")])
        first = server.pid
        await server.restart()
        assert server.pid != first
        found = await server.ask("GET", "/v1/catalog/node-services/kept")
        assert found["Node"]["Node"] == "kept"
    assert (server.running, server.directory.exists()) == (False, False)


async def test_a_token_that_is_revoked_is_refused_from_then_on() -> None:
    async with ConsulServer(acls=True) as server:
        token = await server.create_token('node_prefix "" { policy = "write" }')
        async with server.session(token=token) as http:
            async with http.put("/v1/txn", json=[node("mine")]) as response:
                assert response.status == 200
            await server.revoke_token(token)
            async with http.put("/v1/txn", json=[node("other")]) as response:
                assert (response.status, "ACL not found" in await response.text()) == (403, True)


async def test_three_servers_lose_their_leader_and_find_another() -> None:
    async with ConsulQuorum() as quorum:
        await quorum.servers[0].ask("PUT", "/v1/txn", [node("kept")])
        old = await quorum.kill_leader()
        new = await quorum.leader()
        assert new is not old
        found = await new.ask("GET", "/v1/catalog/node-services/kept")
        assert found["Node"]["Node"] == "kept"
        assert old not in await quorum.followers()
        await old.start()
        await old.ready()
        assert {server.running for server in quorum.servers} == {True}


async def test_one_of_three_has_no_leader_and_answers_stale_reads_only() -> None:
    """What `FakeConsul.faults.no_leader` simulates."""
    impatient = {"performance": {"raft_multiplier": 1, "rpc_hold_timeout": "100ms"}}  # it waits 7 s for a leader
    async with ConsulQuorum(config=impatient) as quorum:
        left, *others = quorum.servers
        await asyncio.gather(*(server.kill() for server in others))
        await left.leaderless()
        async with left.session() as http:
            async with http.put("/v1/txn", json=[node("n")]) as response:
                assert (response.status, await response.text()) == (500, NO_LEADER)
            async with http.get("/v1/catalog/nodes") as response:
                assert (response.status, await response.text()) == (500, NO_LEADER)
            async with http.get("/v1/catalog/nodes", params={"stale": ""}) as response:
                assert (response.status, response.headers["X-Consul-KnownLeader"]) == (200, "false")
                assert int(response.headers["X-Consul-LastContact"]) >= 0


async def test_above_its_rates_a_server_refuses_reads_with_429_and_writes_with_503() -> None:
    """What `FakeConsul.faults.rate_limit` simulates."""
    async with limited(read_rate=5, write_rate=2) as server, server.session() as http, asyncio.timeout(30):
        assert await _refused(http, "GET", "/v1/catalog/nodes") == {(429, RETRY_ELSEWHERE)}
        assert await _refused(http, "PUT", "/v1/kv/k") == {(503, RETRY_LATER)}


async def _refused(http: aiohttp.ClientSession, method: str, path: str) -> set[tuple[int, str]]:
    """What a server says when it refuses: it forgives a burst, so it is asked until it does."""
    while True:
        answers = await asyncio.gather(*(_status(http, method, path) for _ in range(80)))
        if refused := {one for one in answers if one[0] != 200}:
            return refused


async def _status(http: aiohttp.ClientSession, method: str, path: str) -> tuple[int, str]:
    async with http.request(method, path) as response:
        return response.status, await response.text()
