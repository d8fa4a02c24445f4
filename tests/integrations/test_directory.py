"""Which hosts a middleware holds a pool for, and for how long; in virtual time."""

import asyncio
import random

import aiohttp
import pytest
from yarl import URL

from discovery import Discovery, Sink
from discovery.errors import ServiceNotFound
from discovery.integrations.directory import IDLE, MOST, SWEEP, UNKNOWN, Directory, Host
from discovery.integrations.routes import Route
from discovery.pool import Pool
from discovery.pool_options import PoolOptions
from discovery.pools import Pools
from discovery.targets import Static, Target

from ..sources import backend
from ..virtual import run


class Known:
    """A resolver whose backend is known before it runs."""

    async def run(self, sink: Sink) -> None:
        pass


class Opened:
    """`Pools` that are of this test: real ones, each with one backend, and how often each target is in use."""

    def __init__(self) -> None:
        self.uses: dict[str, int] = {}
        self.opens = 0
        self._pools = Pools(
            lambda target, health: Known(), lambda target: "", lambda: "", lambda event: None, random.Random(1)
        )

    def open(self, target: Target, options: PoolOptions) -> Pool:
        name = str(target)
        self.uses[name] = self.uses.get(name, 0) + 1
        self.opens += 1
        pool = self._pools.open(target, options)
        pool._membership.replace([backend(1)])
        return pool

    def close(self, pool: Pool) -> None:
        self.uses[pool.name] -= 1
        assert self.uses[pool.name] >= 0
        self._pools.close(pool)

    @property
    def open_now(self) -> list[str]:
        return [name for name, uses in self.uses.items() for _ in range(uses)]


def made(pools: Opened, routes: dict[str, Route] | None = None, domain: str = "cluster.local") -> Directory[Host]:
    return Directory(pools, routes or {}, PoolOptions(), None, domain=domain, short_names=False)


def look(directory: Directory[Host], url: URL) -> Host | None:
    return directory.find((url.scheme, url.raw_authority), url.raw_host or "", url.explicit_port)


def find(directory: Directory[Host], host: str, *, scheme: str = "http") -> Host:
    found = look(directory, URL(f"{scheme}://{host}/"))
    assert found is not None
    return found


def sweeping(directory: Directory[Host]) -> bool:
    return directory._sweeping is not None


def test_a_pool_is_opened_when_its_host_is_first_asked_for_and_then_kept() -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools)
        assert pools.opens == 0
        host = find(directory, "web.default.svc")
        assert find(directory, "web.default.svc") is host
        assert pools.open_now == ["endpoints://default/web:80"]
        assert host.unknown is None
        directory.aclose()

    run(scenario())


def test_the_same_host_at_another_port_or_with_another_scheme_is_another() -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools)
        hosts = [find(directory, "web.default.svc"), find(directory, "web.default.svc:81")]
        hosts += [find(directory, "web.default.svc", scheme=scheme) for scheme in ("https", "ws", "wss")]
        assert len({id(host) for host in hosts}) == 5
        assert [host.certified is not None for host in hosts] == [False, False, True, False, True]
        directory.aclose()

    run(scenario())


@pytest.mark.parametrize(
    "url", ["ftp://web.default.svc/", "/only/a/path", "http://shop.example/", "http://web.default.svc:0/"]
)
def test_what_is_no_request_to_a_service_is_not_found_and_remembered_as_such(url: str) -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools)
        assert look(directory, URL(url)) is None
        assert look(directory, URL(url)) is None
        assert len(directory._foreign) == 1
        assert pools.opens == 0

    run(scenario())


def test_foreign_hosts_are_forgotten_before_they_fill_the_memory() -> None:
    async def scenario() -> None:
        directory = made(Opened())
        for number in range(10 * MOST + 1):
            look(directory, URL.build(scheme="http", host=f"h{number}.example"))
        assert len(directory._foreign) == 1

    run(scenario())


def test_a_host_that_nobody_asked_for_in_ten_minutes_gives_its_pool_back() -> None:
    async def scenario() -> None:
        assert IDLE == 600
        pools = Opened()
        directory = made(pools)
        find(directory, "idle.default.svc")
        find(directory, "busy.default.svc")
        for _ in range(11):
            assert sorted(pools.open_now) == ["endpoints://default/busy:80", "endpoints://default/idle:80"]
            await asyncio.sleep(IDLE / 11)
            find(directory, "busy.default.svc")
        await asyncio.sleep(SWEEP)
        assert pools.open_now == ["endpoints://default/busy:80"]
        find(directory, "idle.default.svc")
        assert len(pools.open_now) == 2
        directory.aclose()

    run(scenario())


def test_a_host_with_a_request_under_way_is_not_idle() -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools)
        host = find(directory, "web.default.svc")
        lease = host.pool.pick()
        await asyncio.sleep(3 * IDLE)
        assert pools.open_now, "a retry could not pick from a pool that is closed"
        lease.release()
        await asyncio.sleep(SWEEP)
        assert pools.open_now == []

    run(scenario())


def test_with_no_hosts_left_nothing_wakes_the_loop() -> None:
    async def scenario() -> None:
        directory = made(Opened())
        find(directory, "web.default.svc")
        await asyncio.sleep(IDLE + 2 * SWEEP)
        assert not sweeping(directory)
        find(directory, "web.default.svc")
        assert sweeping(directory)
        directory.aclose()

    run(scenario())


def test_a_host_with_a_request_under_way_makes_no_room() -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools)
        lease = find(directory, "web0.default.svc").pool.pick()
        for number in range(1, MOST + 1):
            await asyncio.sleep(0.001)
            find(directory, f"web{number}.default.svc")
        assert pools.uses["endpoints://default/web0:80"] == 1
        assert pools.uses["endpoints://default/web1:80"] == 0
        lease.release()
        directory.aclose()

    run(scenario())


def test_at_most_a_thousand_hosts_are_held_and_the_one_asked_for_the_longest_ago_makes_room() -> None:
    async def scenario() -> None:
        assert MOST == 1000
        pools = Opened()
        directory = made(pools)
        for number in range(MOST):
            find(directory, f"web{number}.default.svc")
            await asyncio.sleep(0.001)
        find(directory, "web0.default.svc")
        assert len(pools.open_now) == MOST
        await asyncio.sleep(0.001)
        find(directory, "one-more.default.svc")
        assert len(pools.open_now) == MOST
        assert pools.uses["endpoints://default/web0:80"] == 1
        assert pools.uses["endpoints://default/web1:80"] == 0
        directory.aclose()

    run(scenario())


def test_an_unknown_service_is_remembered_for_five_seconds_and_holds_no_pool_meanwhile() -> None:
    async def scenario() -> None:
        assert UNKNOWN == 5
        pools = Opened()
        directory = made(pools)
        host = find(directory, "web.default.svc")
        problem = ServiceNotFound("there is none")
        directory.remember_unknown(host, problem)
        directory.remember_unknown(host, ServiceNotFound("said twice"))
        assert pools.open_now == []
        await asyncio.sleep(UNKNOWN - 0.001)
        assert (find(directory, "web.default.svc").unknown, host.direct) == (problem, False)
        await asyncio.sleep(0.001)
        assert find(directory, "web.default.svc").unknown is None
        assert host.opened == asyncio.get_running_loop().time(), "the time to be ready begins anew"
        assert pools.open_now == ["endpoints://default/web:80"]
        directory.aclose()
        assert pools.open_now == []

    run(scenario())


@pytest.mark.parametrize("unknown", [False, True])
def test_every_pool_is_given_back_once_when_all_ends(unknown: bool) -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools, {"shop.example": Route(Static(["127.0.0.1:80"]))})
        hosts = [find(directory, host) for host in ("web.default.svc", "db.default.svc:5432", "shop.example")]
        if unknown:
            directory.remember_unknown(hosts[0], ServiceNotFound("there is none"))
        directory.aclose()
        directory.aclose()
        assert pools.opens == 3
        assert pools.open_now == []

    run(scenario())


@pytest.mark.parametrize("domain", ["k8s.corp", "K8S.corp", "k8s.corp."])
def test_the_clusters_domain_may_be_written_in_any_way(domain: str) -> None:
    async def scenario() -> None:
        pools = Opened()
        directory = made(pools, domain=domain)
        find(directory, "web.default.svc.k8s.corp")
        assert pools.open_now == ["endpoints://default/web:80"]
        directory.aclose()

    run(scenario())


def test_a_host_belongs_to_the_loop_that_first_asked_for_it() -> None:
    directory = made(Opened())

    async def ask() -> None:
        find(directory, "web.default.svc")

    run(ask())
    with pytest.raises(RuntimeError, match="belongs to another event loop: make a Discovery in each loop"):
        run(ask())


def test_a_middleware_used_in_another_loop_says_so() -> None:
    discovery = Discovery(cluster_domain="cluster.local")
    middleware = discovery.middleware(routes={"shop.example": "static://127.0.0.1:1"})

    async def ask() -> None:
        async with aiohttp.ClientSession(middlewares=[middleware]) as http:
            await http.get("http://shop.example/")

    for error in (aiohttp.ClientError, RuntimeError):
        with pytest.raises(error):
            asyncio.run(ask())
