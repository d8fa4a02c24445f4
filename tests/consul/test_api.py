"""Each request as Consul has to see it, and each answer as a caller has to see it."""

import asyncio
import base64
import json
import math
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from discovery.consul.api import Answer, Consul, Read
from discovery.consul.objects import Link, NodeServices, TokenSelf
from discovery.errors import ConfigurationError, ConsulError
from discovery.version import __version__

from ..until import until
from .server import Said, Server, for_ever, reaching, refused, said

NODE = {"ID": "", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {"a": "b"}, "ModifyIndex": 9}
SERVICE = {
    "ID": "web-1", "Service": "web", "Address": "10.0.0.1", "Port": 30080, "Tags": ["k8s"], "Meta": {"c": "d"},
    "Weights": {"Passing": 5, "Warning": 1}, "ModifyIndex": 11, "Unknown": [1],
}  # fmt: skip
CHECK = {
    "Node": "n1", "CheckID": "web-1:ready", "Name": "ready", "Status": "passing", "ServiceID": "web-1",
    "ServiceName": "web", "Definition": {"TCP": "10.0.0.1:30080"}, "ModifyIndex": 12,
}  # fmt: skip
HEALTH = {"Node": NODE, "Service": SERVICE, "Checks": [CHECK]}

Asking = Callable[[Consul], Awaitable[Any]]


# What is asked


@pytest.mark.parametrize(
    ("ask", "method", "path", "query"),
    [
        (lambda c: c.nodes(), "GET", "/v1/catalog/nodes", []),
        (lambda c: c.nodes(Read(filter='"k" in Tags')), "GET", "/v1/catalog/nodes", [("filter", '"k" in Tags')]),
        (lambda c: c.node_checks("n/1 ü"), "GET", "/v1/health/node/n%2F1%20%C3%BC", []),
        (lambda c: c.services(Read(datacenter="dc2")), "GET", "/v1/catalog/services", [("dc", "dc2")]),
        (lambda c: c.health("web", Read(near="_agent")), "GET", "/v1/health/service/web", [("near", "_agent")]),
        (
            lambda c: c.health("web", tags=["a", "b"], passing=True, node_meta={"zone": "x"}),
            "GET",
            "/v1/health/service/web",
            [("tag", "a"), ("tag", "b"), ("node-meta", "zone:x"), ("passing", "true")],
        ),
        (lambda c: c.health("web", node_meta=[("z", "1"), ("z", "2")]), "GET", "/v1/health/service/web",
         [("node-meta", "z:1"), ("node-meta", "z:2")]),
        (lambda c: c.nodes(Read(index=5, wait=0.25)), "GET", "/v1/catalog/nodes", [("index", "5"), ("wait", "250ms")]),
        (lambda c: c.nodes(Read(wait=5)), "GET", "/v1/catalog/nodes", []),
        (lambda c: c.nodes(Read(consistency="stale")), "GET", "/v1/catalog/nodes", [("stale", "")]),
        (lambda c: c.nodes(Read(consistency="consistent")), "GET", "/v1/catalog/nodes", [("consistent", "")]),
        (lambda c: c.key("a/b c"), "GET", "/v1/kv/a/b%20c", []),
    ],
)  # fmt: skip
async def test_a_read_asks_for_just_what_is_meant(ask: Asking, method: str, path: str, query: list[Any]) -> None:
    async with Server(said(None)) as server, reaching(server) as consul:
        await ask(consul)
    (asked,) = server.asked
    assert (asked.method, asked.path, list(asked.query), asked.body) == (method, path, query, b"")


@pytest.mark.parametrize(
    ("ask", "method", "path", "query", "body"),
    [
        (lambda c: c.acquire("l/k", b"me", "sid"), "PUT", "/v1/kv/l/k", [("acquire", "sid")], b"me"),
        (lambda c: c.release("l/k", "sid"), "PUT", "/v1/kv/l/k", [("release", "sid")], b""),
        (lambda c: c.put_key("k", b"\x00\xff"), "PUT", "/v1/kv/k", [], b"\x00\xff"),
        (lambda c: c.put_key("k", b"v", cas=0), "PUT", "/v1/kv/k", [("cas", "0")], b"v"),
        (lambda c: c.delete_key("k"), "DELETE", "/v1/kv/k", [], b""),
        (lambda c: c.delete_key("k", cas=7), "DELETE", "/v1/kv/k", [("cas", "7")], b""),
        (lambda c: c.destroy_session("s"), "PUT", "/v1/session/destroy/s", [], b""),
        (lambda c: c.renew_session("s"), "PUT", "/v1/session/renew/s", [], b""),
    ],
)
async def test_a_write_asks_for_just_what_is_meant(
    ask: Asking, method: str, path: str, query: list[Any], body: bytes
) -> None:
    async with Server(said(True, index=None)) as server, reaching(server) as consul:
        assert await ask(consul) in (True, None)
        assert consul.writes == 0
    (asked,) = server.asked
    assert (asked.method, asked.path, list(asked.query), asked.body) == (method, path, query, body)


async def test_a_request_says_who_asks_and_what_it_takes() -> None:
    async with Server(said([])) as server, reaching(server) as consul:
        await consul.nodes()
    headers = server.asked[0].headers
    assert headers["User-Agent"] == f"aiodiscovery/{__version__}"
    assert headers["Accept-Encoding"] == "identity"
    assert "X-Consul-Token" not in headers
    assert "Authorization" not in headers


async def test_namespace_partition_and_datacenter_go_with_every_request() -> None:
    async with (
        Server(said(True)) as server,
        reaching(server, datacenter="dc2", namespace="team", partition="p") as consul,
    ):
        await consul.put_key("k", b"")
        server.answers = [said([])]
        await consul.nodes()
        await consul.nodes(Read(datacenter="dc3"))
    scope = [("ns", "team"), ("partition", "p")]
    assert [list(one.query) for one in server.asked] == [
        [("dc", "dc2"), *scope],
        [("dc", "dc2"), *scope],
        [("dc", "dc3"), *scope],
    ]


@pytest.mark.parametrize(
    "wrong", [{"index": -1}, {"wait": 0}, {"wait": 601}, {"wait": math.nan}, {"consistency": "none"}, {"index": True}]
)
def test_a_read_that_cannot_work_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        Read(**wrong)


# What is answered


async def test_an_answer_says_how_far_it_is_to_be_believed() -> None:
    reply = said([], index=42, X_Consul_KnownLeader="false", X_Consul_LastContact="1500",
                 X_Consul_Results_Filtered_By_ACLs="true")  # fmt: skip
    async with Server(reply) as server, reaching(server) as consul:
        answer = await consul.nodes()
    assert answer == Answer((), index=42, known_leader=False, last_contact=1.5, filtered=True)


async def test_an_answer_without_remarks_is_whole_and_of_the_leader() -> None:
    reply = said([], X_Consul_KnownLeader="true", X_Consul_LastContact="0")
    async with Server(reply) as server, reaching(server) as consul:
        assert await consul.nodes() == Answer((), index=7, known_leader=True, last_contact=0.0, filtered=False)


@pytest.mark.parametrize(
    ("token", "nodes", "filtered"), [(None, [], True), (None, [NODE], False), ("secret", [], False)]
)
async def test_where_nothing_is_allowed_by_default_an_empty_answer_without_a_token_may_be_anything(
    token: str | None, nodes: list[Any], filtered: bool
) -> None:
    reply = said(nodes, X_Consul_Default_ACL_Policy="deny")
    async with Server(reply) as server, reaching(server, token=token) as consul:
        assert (await consul.nodes()).filtered is filtered


async def test_a_contact_that_cannot_be_read_is_no_contact() -> None:
    async with Server(said([], X_Consul_LastContact="never")) as server, reaching(server) as consul:
        assert (await consul.nodes()).last_contact == math.inf


async def test_nodes_services_and_checks_come_typed() -> None:
    async with Server(said([NODE])) as server, reaching(server) as consul:
        (node,) = (await consul.nodes()).value
        assert (node.name, node.address, node.meta, node.modify_index) == ("n1", "10.0.0.1", {"a": "b"}, 9)
        server.answers = [said({"Node": NODE, "Services": [SERVICE]})]
        held = (await consul.node_services("n1")).value
        assert held.node == node
        assert held.services is not None
        (service,) = held.services
        assert (service.id, service.port, service.tags, service.modify_index) == ("web-1", 30080, ("k8s",), 11)
        server.answers = [said([CHECK])]
        (check,) = (await consul.node_checks("n1")).value
        assert (check.check_id, check.status, check.definition) == ("web-1:ready", "passing", {"TCP": "10.0.0.1:30080"})
        server.answers = [said([HEALTH])]
        (entry,) = (await consul.health("web")).value
        assert (entry.node, entry.service, entry.checks) == (node, service, (check,))
        server.answers = [said({"consul": [], "web": ["k8s"], "other": None})]
        assert (await consul.services()).value == {"consul": (), "web": ("k8s",), "other": ()}


@pytest.mark.parametrize("body", [None, {"Node": None, "Services": []}, {"Node": None, "Services": None}])
async def test_a_node_that_is_not_there_is_none(body: Any) -> None:
    async with Server(said(body)) as server, reaching(server) as consul:
        held = (await consul.node_services("gone")).value
        assert held.node is None
        assert not held.services


async def test_a_prepared_query_neither_blocks_nor_has_an_index() -> None:
    body = {"Service": "web", "Nodes": [HEALTH], "Datacenter": "dc2", "Failovers": 1}
    async with Server(said(body, index=None)) as server, reaching(server) as consul:
        asked = Read(index=5, consistency="stale")
        answer = await consul.prepared("near web", asked, near="_agent", datacenter="dc2", limit=3)
    assert (answer.index, answer.value.failovers, answer.value.datacenter) == (0, 1, "dc2")
    assert answer.value.nodes is not None
    assert answer.value.nodes[0].service.id == "web-1"
    assert server.asked[0].path == "/v1/query/near%20web/execute"
    assert set(server.asked[0].query) == {("dc", "dc2"), ("near", "_agent"), ("stale", ""), ("limit", "3")}


async def test_a_prepared_query_that_is_not_there_is_told() -> None:
    async with Server(refused(404, "Query not found")) as server, reaching(server) as consul:
        with pytest.raises(ConsulError, match="Query not found") as failed:
            await consul.prepared("none")
    assert failed.value.reason == "not-found"


EVERY: dict[str, Asking] = {
    "nodes": lambda c: c.nodes(),
    "services": lambda c: c.services(),
    "node_services": lambda c: c.node_services("n"),
    "node_checks": lambda c: c.node_checks("n"),
    "health": lambda c: c.health("s"),
    "key": lambda c: c.key("k"),
    "prepared": lambda c: c.prepared("q"),
    "leader": lambda c: c.leader(),
    "version": lambda c: c.version(),
    "token_self": lambda c: c.token_self(),
    "put_key": lambda c: c.put_key("k", b""),
    "delete_key": lambda c: c.delete_key("k"),
    "create_session": lambda c: c.create_session(name="n", ttl=15),
    "transact": lambda c: c.transact([b'{"KV":{"Verb":"set","Key":"k"}}']),
}


@pytest.mark.parametrize("ask", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"[[]]", b'"\xff"', b"[" * 100_000], ids=range(5))
async def test_what_is_no_answer_of_consul_is_never_taken_for_one(ask: Asking, body: bytes) -> None:
    async with Server(Said(body, headers={"X-Consul-Index": "1"})) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await ask(consul)
    assert failed.value.reason == "unusable"
    assert len(str(failed.value)) < 800


@pytest.mark.parametrize("index", [None, "", "-1", "x", "9" * 30, "\u0661"])
async def test_a_list_without_an_index_is_no_list_of_consul(index: str | None) -> None:
    """A proxy that answers `[]` must not empty anything."""
    headers = {} if index is None else {"X-Consul-Index": index}
    body = Said(b"[]", headers={name: value.encode().decode("latin-1") for name, value in headers.items()})
    async with Server(body) as server, reaching(server) as consul:
        with pytest.raises(ConsulError, match="X-Consul-Index") as failed:
            await consul.nodes()
    assert failed.value.reason == "unusable"


async def test_a_long_list_is_decoded_in_turns() -> None:
    services = [SERVICE | {"ID": f"web-{number}"} for number in range(20_000)]
    body = json.dumps({"Node": NODE, "Services": services}).encode()
    async with Server(Said(body, headers={"X-Consul-Index": "3"})) as server, reaching(server) as consul:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            held = (await consul.node_services("n1")).value
            counting.cancel()
        server.answers = [Said(json.dumps([HEALTH] * 2_000).encode(), headers={"X-Consul-Index": "3"})]
        assert len((await consul.health("web")).value) == 2_000
    assert held.services is not None
    assert [one.id for one in held.services] == [one["ID"] for one in services]
    assert turns > 3


async def test_one_bad_entry_in_a_long_list_spoils_it() -> None:
    body = json.dumps([*([HEALTH] * 2_000), {"Node": 1}]).encode()
    async with Server(Said(body, headers={"X-Consul-Index": "3"})) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.health("web")
    assert failed.value.reason == "unusable"


# Keys and sessions


async def test_a_key_comes_with_its_value() -> None:
    entry = {"Key": "k", "Value": base64.b64encode(b"\x00v").decode(), "Session": "s", "LockIndex": 2, "ModifyIndex": 5}
    async with Server(said([entry])) as server, reaching(server) as consul:
        found = (await consul.key("k")).value
        assert found is not None
        assert (found.data, found.session, found.lock_index, found.modify_index) == (b"\x00v", "s", 2, 5)
        server.answers = [said([entry | {"Value": None}])]
        empty = (await consul.key("k")).value
        assert empty is not None
        assert empty.data == b""


async def test_a_key_that_is_not_there_can_be_waited_for() -> None:
    async with Server(refused(404, **{"X-Consul-Index": "12"})) as server, reaching(server) as consul:
        assert await consul.key("k") == Answer(None, index=12)


async def test_a_page_not_found_is_not_a_key_that_is_free() -> None:
    async with Server(refused(404, "404 page not found")) as server, reaching(server) as consul:
        with pytest.raises(ConsulError) as failed:
            await consul.key("lock")
        assert failed.value.reason == "unusable"


async def test_a_session_hangs_on_no_check() -> None:
    async with Server(said({"ID": "4ca8e74b"}, index=None)) as server, reaching(server) as consul:
        assert await consul.create_session(name="me", ttl=15, lock_delay=0.5) == "4ca8e74b"
    assert server.asked[0].path == "/v1/session/create"
    expected = {"Name": "me", "TTL": "15000ms", "LockDelay": "500ms", "Behavior": "release", "NodeChecks": []}
    assert server.asked[0].json == expected


async def test_a_session_that_is_gone_is_told_apart_from_a_page_that_is() -> None:
    async with Server(refused(404, "Session id '4ca8' not found")) as server, reaching(server) as consul:
        assert await consul.renew_session("4ca8") is False
        server.answers = [refused(404, "404 page not found")]
        with pytest.raises(ConsulError) as failed:
            await consul.renew_session("4ca8")
        assert failed.value.reason == "unusable"


async def test_a_lock_that_another_holds_is_no_error() -> None:
    async with Server(said(False, index=None)) as server, reaching(server) as consul:
        assert await consul.acquire("k", b"", "s") is False
        assert await consul.release("k", "s") is False
        assert await consul.put_key("k", b"", cas=3) is False
        assert await consul.delete_key("k", cas=3) is False


# Consul itself


@pytest.mark.parametrize(
    ("text", "version"), [("1.20.1", (1, 20, 1)), ("1.22.0-dev", (1, 22, 0)), ("2.0.0+ent", (2, 0, 0)), ("1.9", (1, 9))]
)
async def test_a_version_is_compared_as_numbers(text: str, version: tuple[int, ...]) -> None:
    async with Server(said({"Config": {"Version": text}}, index=None)) as server, reaching(server) as consul:
        assert await consul.version() == version
        server.answers = [said({"Config": {"Version": "unknown"}}, index=None)]
        with pytest.raises(ConsulError):
            await consul.version()


@pytest.mark.parametrize("leader", ["10.0.0.1:8300", ""])
async def test_the_leader_is_known_or_there_is_none(leader: str) -> None:
    async with Server(said(leader, index=None)) as server, reaching(server) as consul:
        assert await consul.leader() == leader
    assert server.paths == ["/v1/status/leader"]


async def test_a_token_tells_of_itself_but_for_its_secret() -> None:
    body = {"AccessorID": "acc", "SecretID": "hush", "Policies": [{"ID": "1", "Name": "sync"}], "Description": "d"}
    async with Server(said(body)) as server, reaching(server) as consul:
        found = await consul.token_self()
    assert found == TokenSelf(accessor_id="acc", description="d", policies=(Link(id="1", name="sync"),))
    assert "hush" not in repr(found)


async def test_without_acls_there_is_no_token() -> None:
    async with Server(refused(401, "ACL support disabled")) as server, reaching(server) as consul:
        assert await consul.token_self() is None
        server.answers = [refused(403, "Permission denied")]
        with pytest.raises(ConsulError):
            await consul.token_self()


# Life


async def test_nothing_is_opened_before_the_first_request() -> None:
    async with reaching("http://127.0.0.1:1") as consul:
        assert (consul.requests, consul.writes) == (0, 0)
        assert consul.where == "127.0.0.1:1"
        assert repr(consul) == "<Consul at 127.0.0.1:1, 0 requests>"


async def test_it_can_be_closed_twice() -> None:
    async with Server(said([])) as server, reaching(server) as consul:
        await consul.nodes()
        await consul.aclose()
        await consul.aclose()


async def test_a_blocking_query_that_is_given_up_leaves_no_connection() -> None:
    async with Server(for_ever) as server, reaching(server) as consul:
        asking = asyncio.create_task(consul.nodes(Read(index=1)))
        await until(lambda: server.asked)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: server.cut == 1)


async def test_blocking_queries_do_not_stand_in_each_others_way() -> None:
    """More of them than aiohttp's connector would let through."""
    async with Server(for_ever) as server, reaching(server) as consul:
        tasks = [asyncio.create_task(consul.nodes(Read(index=1))) for _ in range(120)]
        await until(lambda: len(server.asked) == 120)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await until(lambda: server.cut == 120)


async def test_memory_does_not_grow_with_the_rounds() -> None:
    body = json.dumps([HEALTH] * 50).encode()
    async with Server(Said(body, headers={"X-Consul-Index": "3"})) as server, reaching(server) as consul:
        for _ in range(20):
            await consul.health("web")
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(50):
                await consul.health("web")
            server.asked.clear()
            assert tracemalloc.get_traced_memory()[0] - before < 200_000
        finally:
            tracemalloc.stop()


def test_an_answer_is_a_value() -> None:
    assert attrs.evolve(Answer(NodeServices(), 3), index=4) == Answer(NodeServices(), 4)
