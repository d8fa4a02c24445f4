"""`consul://` targets from a Discovery to a server: what is there is found, followed, and held on to."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
import attrs
import pytest

from discovery.client import Discovery
from discovery.consul.settings import Login, Settings
from discovery.errors import ConfigurationError, ConsulError, NoBackends, NotReady, ServiceNotFound
from discovery.pool import Pool
from discovery.targets import Consul
from discovery.testing.consul import FakeConsul, Rules

from ..until import until

if TYPE_CHECKING:
    from discovery.events import Event

READS = Rules(service={"": "read"}, node={"": "read"})


@pytest.fixture
async def consul() -> AsyncIterator[FakeConsul]:
    async with FakeConsul() as started:
        yield started


@pytest.fixture
async def disco(consul: FakeConsul) -> AsyncIterator[Discovery]:
    async with Discovery(consul=consul.url) as made:
        yield made


def register(consul: FakeConsul, number: int, status: str = "passing", **more: str) -> None:
    """The `number`-th instance of `web`, on a node of its own."""
    consul.register(
        node=f"node-{number}",
        address=f"10.0.0.{number}",
        node_meta={"rack": str(number)},
        service="web",
        id=f"web-{number}",
        port=8080,
        tags=["v1" if number == 1 else "v2", "all"],
        status=status,
        meta=more,
    )


def places(pool: Pool) -> list[str]:
    return [backend.netloc for backend in pool.backends]


# Following


async def test_instances_are_found_and_followed(consul: FakeConsul, disco: Discovery) -> None:
    register(consul, 1, **{"external-k8s-node-name": "worker-1", "external-k8s-topology-zone": "zone-a"})
    register(consul, 2, "critical")
    async with disco.pool("consul://web") as pool:
        await pool.ready(5)
        (backend,) = pool.backends
        assert (backend.netloc, backend.node, backend.zone) == ("10.0.0.1:8080", "worker-1", "zone-a")
        assert "the check 'service:web-2' is critical" in pool.explain()[1].reason
        consul.set_check("node-2", "service:web-2", "passing", instance="web-2")
        await until(lambda: len(pool.backends) == 2)
        consul.set_check("node-1", "alive", "critical")
        await until(lambda: places(pool) == ["10.0.0.2:8080"])
        consul.deregister(node="node-2", id="web-2")
        await until(lambda: not pool.backends)
        with pytest.raises(NoBackends, match="the node's check 'alive' is critical"):
            pool.pick()


async def test_a_service_that_appears_later_is_found_then(consul: FakeConsul, disco: Discovery) -> None:
    async with disco.pool("consul://web") as pool:
        await until(lambda: pool.status.synced)
        assert isinstance(pool.status.last_error, ServiceNotFound)
        register(consul, 1)
        await until(lambda: places(pool) == ["10.0.0.1:8080"])
        assert pool.status.last_error is None


async def test_nothing_is_asked_while_nothing_changes_and_one_request_is_open(
    consul: FakeConsul, disco: Discovery
) -> None:
    register(consul, 1)
    pools = [disco.pool(target) for target in ("consul://web", "consul://web?tag=all", "consul://web?tag=v1")]
    for pool in pools:
        await pool.ready(5)
    await until(lambda: len(consul.requests) == 6)
    await asyncio.sleep(0.2)  # what must not happen would happen now
    assert len(consul.requests) == 6, "a first answer and a question that blocks, for each"
    register(consul, 2)
    await until(lambda: [len(pool.backends) for pool in pools] == [2, 2, 1])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("tag=all", 2),
        ("tag=v2,all", 1),
        ("tag=v1,v2", 0),
        ("node-meta=rack=2", 1),
        ("stale=30", 2),
        ("near=_agent", 2),
        ("dc=dc1", 2),
    ],
)
async def test_options_narrow_what_is_asked_for(consul: FakeConsul, disco: Discovery, options: str, found: int) -> None:
    register(consul, 1)
    register(consul, 2)
    async with disco.pool(f"consul://web?{options}") as pool:
        await until(lambda: pool.status.synced)
        assert len(pool.backends) == found


async def test_an_instance_that_warns_is_used_where_that_is_wanted(consul: FakeConsul, disco: Discovery) -> None:
    register(consul, 1, "warning")
    async with disco.pool("consul://web") as strict, disco.pool(Consul("web", warning=True)) as wide:
        await wide.ready(5)
        await until(lambda: strict.status.synced)
        assert (places(strict), places(wide)) == ([], ["10.0.0.1:8080"])


async def test_many_targets_share_one_client_and_are_all_followed(consul: FakeConsul, disco: Discovery) -> None:
    for number in range(100):
        consul.register(node="node-1", address="10.0.0.1", service=f"s{number}", port=1000 + number, status="passing")
    pools = [disco.pool(Consul(f"s{number}")) for number in range(100)]
    for number, pool in enumerate(pools):
        await pool.ready(10)
        assert places(pool) == [f"10.0.0.1:{1000 + number}"]
    consul.set_check("node-1", "alive", "critical")
    await until(lambda: not any(pool.backends for pool in pools), 10)


# What holds on


async def test_a_pool_holds_on_while_consul_is_away_and_follows_when_it_is_back(consul: FakeConsul) -> None:
    events: list[Event] = []
    register(consul, 1)
    async with Discovery(consul=consul.url, on_event=events.append) as disco, disco.pool("consul://web") as pool:
        await pool.ready(5)
        await consul.stop()
        await until(lambda: isinstance(pool.status.last_error, ConsulError))
        pool.pick().release()
        register(consul, 2)
        await consul.start()
        await until(lambda: len(pool.backends) == 2)
        assert pool.status.last_error is None
    told = [event.name for event in events if event.name in ("consul.failed", "consul.recovered")]
    assert told == ["consul.failed", "consul.recovered"]


async def test_an_index_that_goes_back_is_followed(consul: FakeConsul, disco: Discovery) -> None:
    register(consul, 1)
    before = consul.snapshot()
    async with disco.pool("consul://web") as pool:
        await pool.ready(5)
        register(consul, 2)
        await until(lambda: len(consul.requests) == 3)  # the third blocks: one that came later would wait for its time
        consul.restore(before)
        await until(lambda: len(pool.backends) == 1)
        register(consul, 3)
        await until(lambda: len(pool.backends) == 2)


async def test_a_token_that_is_revoked_does_not_empty_a_pool() -> None:
    async with FakeConsul(acls=True) as consul:
        token = consul.create_token(READS)
        register(consul, 1)
        async with (
            Discovery(consul=Settings(address=consul.url, token=token)) as disco,
            disco.pool("consul://web") as pool,
        ):
            await pool.ready(5)
            consul.revoke_token(token)
            consul.faults.cut()
            await until(lambda: isinstance(pool.status.last_error, ConsulError))
            assert places(pool) == ["10.0.0.1:8080"]
            assert token not in str(pool.status.last_error)


async def test_without_rights_nothing_is_known_and_the_rule_is_said() -> None:
    async with FakeConsul(acls=True) as consul:
        register(consul, 1)
        settings = Settings(address=consul.url, token=consul.create_token(Rules()))
        async with Discovery(consul=settings) as disco, disco.pool("consul://web") as pool:
            with pytest.raises(NotReady, match=r'service "web" \{ policy = "read" \}'):
                await pool.ready(0.5)


async def test_no_leader_empties_no_pool_and_a_stale_read_takes_none_for_an_answer(consul: FakeConsul) -> None:
    register(consul, 1)
    async with Discovery(consul=consul.url) as disco:
        pools = [disco.pool("consul://web"), disco.pool("consul://web?stale=1")]
        for pool in pools:
            await pool.ready(5)
        consul.faults.no_leader()
        consul.faults.cut()
        await until(lambda: all(isinstance(pool.status.last_error, ConsulError) for pool in pools))
        assert [places(pool) for pool in pools] == [["10.0.0.1:8080"]] * 2
        consul.faults.heal()
        await until(lambda: not any(pool.status.last_error for pool in pools), 10)


# Prepared queries


async def test_a_prepared_query_is_executed(consul: FakeConsul, disco: Discovery) -> None:
    register(consul, 1)
    register(consul, 2, "critical")
    body = json.dumps({"Name": "best", "Service": {"Service": "web", "OnlyPassing": True}})
    async with aiohttp.ClientSession() as http, http.post(f"{consul.url}/v1/query", data=body) as response:
        assert response.status == 200
    async with disco.pool("consul://best?prepared=yes") as pool:
        await pool.ready(5)
        assert places(pool) == ["10.0.0.1:8080"]


async def test_a_prepared_query_that_does_not_exist_is_said(disco: Discovery) -> None:
    async with disco.pool("consul://worst?prepared=yes") as pool:
        with pytest.raises(NotReady, match="Consul has no prepared query 'worst'"):
            await pool.ready(0.5)


# The client


async def test_nothing_is_contacted_before_a_target_needs_it(consul: FakeConsul) -> None:
    async with Discovery(consul=consul.url) as disco:
        client = disco.consul_client()
        assert disco.consul_client() is client
        await disco.pool("static://127.0.0.1:1").ready(5)
        assert consul.requests == []
        assert await client.leader()
    assert consul.requests == [("GET", "/v1/status/leader")]


async def test_consul_is_where_the_environment_says_unless_it_is_told(
    consul: FakeConsul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    async with Discovery(consul=consul.url) as told, Discovery() as untold:
        assert await told.consul_client().leader()
        with pytest.raises(ConsulError):
            await untold.consul_client().leader()
    monkeypatch.setenv("CONSUL_HTTP_ADDR", consul.url.removeprefix("http://"))
    async with Discovery() as disco:
        assert await disco.consul_client().leader()


@pytest.mark.parametrize("given", ["gopher://consul", "http://user:secret@consul:8500", "", 5])
async def test_what_is_no_url_is_refused_where_it_is_written(given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Discovery(consul=given)
    assert "secret" not in str(caught.value)


async def test_an_environment_that_cannot_be_used_is_said_when_consul_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "gopher://consul")
    async with Discovery() as disco:
        with pytest.raises(ConfigurationError):
            disco.consul_client()
        with pytest.raises(ConfigurationError):
            disco.pool("consul://web")


async def test_a_namespace_and_a_partition_are_asked_for_by_a_client_of_their_own(consul: FakeConsul) -> None:
    asked: list[tuple[str | None, str | None]] = []
    consul.on_request(lambda one: asked.append((one.query.get("ns"), one.query.get("partition"))))
    settings = Settings(address=consul.url, namespace="base")
    async with Discovery(consul=settings) as disco:
        pools = [disco.pool(f"consul://web{one}") for one in ("", "?ns=team", "?partition=east", "?ns=base")]
        await until(lambda: all(pool.status.last_error for pool in pools))  # the server is none of Enterprise
        assert set(asked) == {("base", None), ("team", None), ("base", "east")}


async def test_equal_settings_are_one_client_and_others_another(consul: FakeConsul) -> None:
    login = Settings(address=consul.url, login=Login(method="kubernetes", meta={"pod": "web-1"}))
    async with Discovery(consul=login) as disco:
        assert disco.consul_client() is disco.consul_client(attrs.evolve(login))
        assert disco.consul_client() is not disco.consul_client(consul.url)
        assert disco.consul_client(consul.url) is disco.consul_client(consul.url)
    assert consul.requests == [], "nobody has logged in who asks nothing"


async def test_a_closed_discovery_gives_no_client(consul: FakeConsul) -> None:
    disco = Discovery(consul=consul.url)
    await disco.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        disco.consul_client()


async def test_a_discovery_that_closes_in_the_middle_leaves_nothing_open(consul: FakeConsul) -> None:
    disco = Discovery(consul=consul.url)
    for number in range(20):
        disco.pool(Consul(f"s{number}"))
    await until(lambda: len(consul.requests) > 10)
    before = {task for task in asyncio.all_tasks() if "resolve consul" in task.get_name()}
    assert before
    await disco.aclose()
    assert all(task.done() for task in before)
