"""The simulated Consul server as a test uses it: what others write, what is looked at, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from discovery.testing.consul import FakeConsul, Rules

from ..conformance.consul import Consul, check, key, node, service
from ..until import until


@pytest.fixture
async def fake() -> AsyncIterator[FakeConsul]:
    async with FakeConsul() as server:
        yield server


@pytest.fixture
async def consul(fake: FakeConsul) -> AsyncIterator[Consul]:
    async with aiohttp.ClientSession() as http:
        yield speaking_to(fake, http)


def speaking_to(server: FakeConsul, http: aiohttp.ClientSession) -> Consul:
    http._retry_connection = False  # or a PUT whose connection breaks is sent again, and nobody sees it break

    async def make_token(_: object) -> str:
        raise NotImplementedError

    return Consul(server.url, server.token, "consul-server", http, make_token)


# What others do


async def test_what_somebody_registers_is_found(fake: FakeConsul, consul: Consul) -> None:
    fake.register(
        node="db-1",
        address="10.0.0.7",
        node_meta={"rack": "1"},
        service="postgres",
        id="pg",
        service_address="10.0.0.8",
        port=5432,
        tags=["primary"],
        meta={"version": "17"},
        weights=(5, 1),
        status="passing",
    )
    (entry,) = (await consul.get("/v1/health/service/postgres", passing="")).body
    assert (entry["Node"]["Address"], entry["Node"]["Meta"]) == ("10.0.0.7", {"rack": "1"})
    row = entry["Service"]
    assert (row["ID"], row["Address"], row["Port"], row["Tags"]) == ("pg", "10.0.0.8", 5432, ["primary"])
    assert (row["Meta"], row["Weights"]) == ({"version": "17"}, {"Passing": 5, "Warning": 1})
    assert entry["Checks"][0]["CheckID"] == "service:pg"
    assert fake.instances("postgres") == [entry]


async def test_registering_again_changes_what_is_there(fake: FakeConsul) -> None:
    fake.register(node="db-1", service="postgres", status="passing")
    fake.register(node="db-1", service="postgres", port=1, status="critical")
    (entry,) = fake.instances("postgres")
    assert (entry["Service"]["Port"], entry["Checks"][0]["Status"]) == (1, "critical")


async def test_a_node_may_be_registered_alone_with_a_check_of_its_own(fake: FakeConsul) -> None:
    fake.register(node="bare", status="passing")
    assert list(fake.dump()["nodes"]["bare"]["Checks"]) == ["node"]
    assert fake.services() == {"consul": ("consul",)}


async def test_checks_are_set_and_things_deregistered(fake: FakeConsul) -> None:
    fake.register(node="db-1", service="postgres")
    fake.set_check("db-1", "alive", "warning", instance="postgres")
    assert fake.instances("postgres")[0]["Checks"][0]["Status"] == "warning"
    for nowhere in ({"node": "none"}, {"node": "db-1", "instance": "none"}):
        with pytest.raises(KeyError):
            fake.set_check(id="alive", status="passing", **nowhere)
    fake.deregister(node="db-1", check="alive")
    assert fake.instances("postgres")[0]["Checks"] == []
    fake.deregister(node="db-1", id="postgres")
    assert "db-1" in fake.dump()["nodes"]
    fake.deregister(node="db-1")
    assert "db-1" not in fake.dump()["nodes"]


async def test_what_somebody_does_wakes_who_waits_for_it(fake: FakeConsul, consul: Consul) -> None:
    fake.register(node="db-1", service="postgres", status="passing")
    index = (await consul.get("/v1/health/service/postgres")).index
    waiting = asyncio.ensure_future(consul.get("/v1/health/service/postgres", index=index, wait="60s"))
    await until(lambda: len(fake.requests) == 2 and fake.state.listeners)
    fake.register(node="elsewhere", service="other")
    await asyncio.sleep(0)
    assert not waiting.done()
    fake.set_check("db-1", "service:postgres", "critical", instance="postgres")
    assert (await waiting).body[0]["Checks"][0]["Status"] == "critical"
    assert not fake.state.listeners


async def test_who_goes_away_while_waiting_leaves_nothing_behind(fake: FakeConsul, consul: Consul) -> None:
    waiting = asyncio.ensure_future(consul.get("/v1/catalog/nodes", index=1000, wait="60s"))
    await until(lambda: fake.state.listeners)
    waiting.cancel()
    await until(lambda: not fake.state.listeners)
    assert not fake.faults.connections


async def test_a_session_is_expired_at_once(fake: FakeConsul, consul: Consul) -> None:
    session = await consul.session(TTL="3600s")
    await consul.ask("PUT", "/v1/kv/lock", b"me", acquire=session)
    fake.expire_session(session)
    assert "Session" not in (await consul.get("/v1/kv/lock")).body[0]
    with pytest.raises(KeyError):
        fake.expire_session(session)


# What is looked at


async def test_requests_are_noted_and_writes_to_the_catalog_counted(fake: FakeConsul, consul: Consul) -> None:
    seen: list[tuple[str, dict[str, str], str]] = []
    fake.on_request(lambda asked: seen.append((asked.path, asked.query, asked.token)))
    await consul.txn(node("n"))
    await consul.ask("PUT", "/v1/kv/k", b"", token="secret", flags=1)
    await consul.ask("PUT", "/v1/catalog/deregister", {"Node": "n"})
    await consul.get("/v1/catalog/nodes")
    assert fake.requests == [
        ("PUT", "/v1/txn"),
        ("PUT", "/v1/kv/k"),
        ("PUT", "/v1/catalog/deregister"),
        ("GET", "/v1/catalog/nodes"),
    ]
    assert fake.writes == 2
    assert seen[1] == ("/v1/kv/k", {"flags": "1"}, "secret")
    fake.requests.clear()
    assert fake.requests == []


async def test_two_dumps_without_indexes_are_equal_when_the_content_is(fake: FakeConsul, consul: Consul) -> None:
    fake.register(node="db-1", service="postgres", status="passing")
    before, exact = fake.dump(volatile=False), fake.dump()
    fake.set_check("db-1", "service:postgres", "critical", instance="postgres")
    assert fake.dump(volatile=False) != before
    fake.set_check("db-1", "service:postgres", "passing", instance="postgres")
    assert fake.dump(volatile=False) == before
    assert fake.dump() != exact
    await consul.ask("PUT", "/v1/kv/k", b"x")
    session = await consul.session()
    assert list(fake.dump()["keys"]) == ["k"]
    assert list(fake.dump()["sessions"]) == [session]


async def test_it_says_what_it_is(fake: FakeConsul) -> None:
    assert repr(fake) == f"<FakeConsul {fake.url} 1 nodes 1 instances>"
    assert repr(FakeConsul()) == "<FakeConsul not started 1 nodes 1 instances>"


async def test_the_token_of_a_request_is_not_shown(fake: FakeConsul, consul: Consul) -> None:
    seen: list[str] = []
    fake.on_request(lambda asked: seen.append(repr(asked)))
    await consul.ask("GET", "/v1/catalog/nodes", token="sesame")
    assert "sesame" not in seen[0]


# Going back in time


async def test_a_restored_snapshot_takes_content_and_indexes_back(fake: FakeConsul, consul: Consul) -> None:
    fake.register(node="db-1", service="postgres")
    then, before = fake.snapshot(), fake.dump()
    index = (await consul.get("/v1/health/service/postgres")).index
    fake.register(node="db-2", service="postgres")
    late = (await consul.get("/v1/health/service/postgres")).index
    assert late > index
    waiting = asyncio.ensure_future(consul.get("/v1/health/service/postgres", index=late, wait="60s"))
    await until(lambda: fake.state.listeners)
    fake.restore(then)
    assert len((await waiting).body) == 2, "who waited is told what was before the restore"
    assert fake.dump() == before
    assert (await consul.get("/v1/health/service/postgres")).index == index
    fake.register(node="db-3", service="postgres")
    assert (await consul.get("/v1/health/service/postgres")).index > late, "the log itself goes on"


async def test_indexes_go_back_while_the_content_stays(fake: FakeConsul, consul: Consul) -> None:
    for number in range(20):
        fake.register(node="db-1", service="postgres", port=number)
    before = await consul.get("/v1/health/service/postgres")
    content = fake.dump(volatile=False)
    fake.faults.index_back()
    after = await consul.get("/v1/health/service/postgres")
    assert after.index < before.index
    assert fake.dump(volatile=False) == content
    stale = before.body[0]["Service"]["ModifyIndex"]
    assert (await consul.txn(service("db-1", "postgres", "postgres", "cas", ModifyIndex=stale))).errors
    fake.register(node="db-1", service="postgres", port=99)
    assert (await consul.get("/v1/health/service/postgres")).index > after.index


# Faults


async def test_so_many_answers_are_as_ordered_and_nothing_is_done(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.answer(503, "later", times=2, path="/v1/txn")
    assert (await consul.get("/v1/catalog/nodes")).status == 200
    answers = [await consul.txn(node(f"n{number}")) for number in range(3)]
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].body == "later"
    assert list(fake.dump()["nodes"]) == ["consul-server", "n2"]
    assert fake.writes == 3


async def test_an_order_may_be_for_one_method_until_it_is_healed(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.answer(500, method="GET")
    assert [(await consul.get("/v1/kv/k")).status, (await consul.ask("PUT", "/v1/kv/k", b"")).status] == [500, 200]
    fake.faults.heal()
    assert (await consul.get("/v1/kv/k")).status == 200


async def test_while_it_hangs_nothing_is_answered(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.hang()
    hanging = asyncio.ensure_future(consul.txn(node("n")))
    await until(lambda: fake.requests)
    assert (hanging.done(), fake.services()) == (False, {"consul": ("consul",)})
    fake.faults.resume()
    assert len((await hanging).results) == 1


async def test_a_cut_resets_open_connections(fake: FakeConsul, consul: Consul) -> None:
    waiting = asyncio.ensure_future(consul.get("/v1/catalog/nodes", index=1000, wait="60s"))
    await until(lambda: fake.state.listeners)
    fake.faults.cut()
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await waiting
    assert (await consul.get("/v1/catalog/nodes")).status == 200


async def test_an_answer_is_lost_after_the_write_was_applied(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.lose_answer(path="/v1/txn")
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await consul.txn(node("n"))
    assert "n" in fake.dump()["nodes"]
    assert (await consul.txn(node("n"))).status == 200


async def test_without_a_leader_only_stale_reads_are_answered(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.no_leader()
    for refused in (await consul.get("/v1/catalog/nodes"), await consul.txn(node("n"))):
        assert (refused.status, refused.body) == (500, "No cluster leader")
    stale = await consul.get("/v1/catalog/nodes", stale="")
    assert (stale.status, stale.headers["X-Consul-KnownLeader"]) == (200, "false")
    assert int(stale.headers["X-Consul-LastContact"]) > 0
    assert (await consul.get("/v1/status/leader")).body == ""
    fake.faults.heal()
    assert (await consul.get("/v1/status/leader")).body == "127.0.0.1:8300"


async def test_above_the_rate_reads_may_go_elsewhere_and_writes_have_to_wait(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.rate_limit()
    read, write = await consul.get("/v1/catalog/nodes"), await consul.txn(node("n"))
    assert (read.status, write.status) == (429, 503)
    assert read.body == "rate limit exceeded, try again later or against a different server"
    assert "only be performed by the leader" in write.body


async def test_one_service_is_denied_to_everybody(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.deny_service("secret")
    refused = await consul.txn(node("n"), service("n", "a", "web"), service("n", "b", "secret"))
    ((index, what),) = refused.errors
    assert (index, "lacks permission 'service:write' on \"secret\"" in what) == (2, True)
    assert len((await consul.txn(node("n"), service("n", "a", "web"))).results) == 2
    fake.faults.heal()
    assert len((await consul.txn(service("n", "b", "secret"))).results) == 1


async def test_reads_may_say_that_something_was_left_out(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.filtered()
    assert (await consul.get("/v1/catalog/nodes")).headers["X-Consul-Results-Filtered-By-ACLs"] == "true"
    fake.faults.heal()
    assert "X-Consul-Results-Filtered-By-ACLs" not in (await consul.get("/v1/catalog/nodes")).headers


async def test_less_may_be_taken_than_usual(fake: FakeConsul, consul: Consul) -> None:
    fake.faults.body_limit(200)
    assert (await consul.txn(node("n"))).status == 200
    refused = await consul.txn(node("n"), node("m"), key("set", "k"), check("n", "c"))
    assert refused.status == 413
    assert "too large, max size: 200 bytes" in refused.body


async def test_a_body_without_a_length_is_measured_too(fake: FakeConsul, consul: Consul) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b" " * 300

    fake.faults.body_limit(200)
    async with consul.http.put(consul.url + "/v1/txn", data=pieces()) as response:
        assert (response.status, "too large" in await response.text()) == (413, True)


async def test_it_can_be_slow(fake: FakeConsul, consul: Consul) -> None:
    loop = asyncio.get_running_loop()
    fake.faults.slow(0.05)
    began = loop.time()
    await asyncio.gather(*(consul.get("/v1/catalog/nodes") for _ in range(10)))
    assert 0.05 <= loop.time() - began < 0.4, "requests are not slowed one after the other"


async def test_it_is_gone_and_comes_back_at_the_same_place_with_what_it_had(fake: FakeConsul, consul: Consul) -> None:
    await consul.txn(node("n"))
    session, url = await consul.session(TTL="3600s"), fake.url
    waiting = asyncio.ensure_future(consul.get("/v1/catalog/nodes", index=1000, wait="60s"))
    await until(lambda: fake.state.listeners)
    await fake.stop()
    await fake.stop()
    with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
        await waiting
    with pytest.raises(aiohttp.ClientConnectorError):
        await consul.get("/v1/catalog/nodes")
    await fake.start()
    await fake.start()
    assert fake.url == url
    assert [row["Node"] for row in (await consul.get("/v1/catalog/nodes")).body] == ["consul-server", "n"]
    assert (await consul.ask("PUT", f"/v1/session/renew/{session}")).status == 200


# Tokens


async def test_a_bearer_token_is_traded_for_a_token_and_given_back() -> None:
    async with FakeConsul(acls=True) as fake, aiohttp.ClientSession() as http:
        consul = speaking_to(fake, http)
        fake.trust("kubernetes", "jwt", Rules(key={"mine": "write"}))

        async def login(method: str, bearer: str) -> tuple[int, dict[str, str]]:
            body = {"AuthMethod": method, "BearerToken": bearer, "Meta": {"pod": "a"}}
            answer = await consul.ask("POST", "/v1/acl/login", body, token="")
            return answer.status, answer.body

        status, made = await login("kubernetes", "jwt")
        assert status == 200
        assert [(await login(*wrong))[0] for wrong in (("kubernetes", "other"), ("nomad", "jwt"))] == [403, 403]
        token = made["SecretID"]
        assert (await consul.ask("GET", "/v1/acl/token/self", token=token)).body["AccessorID"] == made["AccessorID"]
        assert (await consul.ask("PUT", "/v1/kv/mine", b"", token=token)).body is True
        assert (await consul.ask("POST", "/v1/acl/logout", token="")).status == 401
        assert (await consul.ask("POST", "/v1/acl/logout", token=token)).body is True
        assert (await consul.ask("PUT", "/v1/kv/mine", b"", token=token)).status == 403


async def test_a_token_is_revoked() -> None:
    async with FakeConsul(acls=True) as fake, aiohttp.ClientSession() as http:
        consul = speaking_to(fake, http)
        token = fake.create_token(Rules(key={"": "write"}))
        assert (await consul.ask("PUT", "/v1/kv/k", b"", token=token)).status == 200
        fake.revoke_token(token)
        refused = await consul.ask("PUT", "/v1/kv/k", b"", token=token)
        assert (refused.status, refused.body) == (403, "ACL not found")
        with pytest.raises(KeyError):
            fake.revoke_token(token)


@pytest.mark.parametrize("way", ["X-Consul-Token", "Authorization", "token"])
async def test_a_token_may_come_in_any_of_the_ways_that_consul_knows(way: str) -> None:
    async with FakeConsul(acls=True) as fake, aiohttp.ClientSession() as http:
        value = f"Bearer {fake.token}" if way == "Authorization" else fake.token
        headers, params = ({}, {way: value}) if way == "token" else ({way: value}, {})
        async with http.get(fake.url + "/v1/agent/self", headers=headers, params=params) as response:
            assert response.status == 200
