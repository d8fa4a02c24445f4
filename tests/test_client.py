"""Discovery's life: what it shares, what it opens and when, and how it ends."""

import asyncio
import gc
import itertools
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from discovery import (
    Backend,
    ConfigurationError,
    Discovery,
    Endpoints,
    Event,
    InvalidTarget,
    LeastRequest,
    Members,
    Node,
    Pool,
    RetryPolicy,
    RoundRobin,
    Sink,
    Static,
)
from discovery.balancing import Picker
from discovery.lease import FAILURES
from discovery.surroundings import cluster_domain
from discovery.testing import FakeCluster

from . import virtual
from .sources import Source, backend
from .until import until

NOWHERE = "static://127.0.0.1:1"


@pytest.fixture
async def disco() -> AsyncIterator[Discovery]:
    async with Discovery(kubeconfig="/nonexistent/config") as made:
        yield made


# Sharing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({}, {"balancer": LeastRequest()}),
        ({}, {"balancer": None, "retry": RetryPolicy(), "failures": FAILURES}),
        ({"balancer": RoundRobin()}, {"balancer": RoundRobin()}),
        ({"retry": RetryPolicy(attempts=2)}, {"retry": RetryPolicy(attempts=2)}),
        ({"failures": (KeyError,)}, {"failures": (KeyError,)}),
    ],
)
async def test_the_same_target_and_equal_options_are_the_same_pool(
    disco: Discovery, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert disco.pool(NOWHERE, **one) is disco.pool(Static(["127.0.0.1:1"]), **other)


@pytest.mark.parametrize(
    ("target", "other"),
    [
        (NOWHERE, {"balancer": RoundRobin()}),
        (NOWHERE, {"retry": RetryPolicy(attempts=2)}),
        (NOWHERE, {"failures": (KeyError,)}),
        ("static://127.0.0.1:2", {}),
    ],
)
async def test_another_target_or_option_is_another_pool(disco: Discovery, target: str, other: dict[str, Any]) -> None:
    assert disco.pool(NOWHERE) is not disco.pool(target, **other)


async def test_a_pool_ends_when_it_has_been_given_back_as_often_as_it_was_taken(disco: Discovery) -> None:
    source = Source(backend(1))
    pool = disco.pool(source)
    async with disco.pool(source) as same:
        assert same is pool
        await pool.ready(5)
    pool.pick().release()
    await pool.aclose()
    with pytest.raises(RuntimeError, match="the pool test://source is closed"):
        pool.pick()
    await pool.aclose()
    again = disco.pool(source)
    assert again is not pool
    await pool.aclose()
    await again.ready(5)
    assert source.runs == 2


async def test_one_resolver_serves_all_pools_of_a_target_and_ends_with_the_last(disco: Discovery) -> None:
    source = Source(backend(1))
    one, other = disco.pool(source), disco.pool(source, balancer=RoundRobin())
    await one.ready(5)
    await one.aclose()
    other.pick().release()
    assert (source.runs, source.stopped.is_set()) == (1, False)
    await other.aclose()
    await asyncio.wait_for(source.stopped.wait(), 5)


async def test_pools_of_one_target_share_its_records_through_every_change(disco: Discovery) -> None:
    source = Source(backend(1))
    one, other = disco.pool(source), disco.pool(source, balancer=RoundRobin())
    await one.ready(5)
    with one.pick(), one.pick(), other.pick() as lease:
        source.sink.update([backend(1, zone="b")], [])
        assert [pool.explain()[0].in_flight for pool in (one, other)] == [3, 3]
        lease.fail()
    assert (one.pick().node.failures, other.pick().node.in_flight) == (1, 2)


# Being contacted


async def test_nothing_is_contacted_or_read_before_a_target_needs_it(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=tmp_path / "later") as disco:
        disco.middleware(routes={"web.internal": "endpoints://default/web"})
        await disco.pool(NOWHERE).ready(5)
        (tmp_path / "later").write_bytes(fake_cluster.kubeconfig.read_bytes())
        assert fake_cluster.requests == []
        await disco.pool("endpoints://default/web:http").ready(5)
        asked = {request.path.rpartition("/")[2] for request in fake_cluster.requests}
        assert asked == {"endpointslices", "services"}, "and then only what it needs"


async def test_a_discovery_that_was_never_used_closes(tmp_path: Path) -> None:
    await Discovery(kubeconfig=tmp_path / "none").aclose()


# The namespace


@pytest.mark.parametrize(
    ("options", "expected"), [({}, "shop"), ({"namespace": "other"}, "other"), ({"context": "second"}, "second-ns")]
)
async def test_a_target_without_a_namespace_is_settled_before_it_is_keyed(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    contexts = {"first": {"namespace": "shop"}, "second": {"namespace": "second-ns"}}
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", **more}} for name, more in contexts.items()],
        "current-context": "first",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    async with Discovery(kubeconfig=tmp_path / "config", on_event=lambda _: None, **options) as disco:
        pool = disco.pool("endpoints:///web:http")
        assert pool.name == f"endpoints://{expected}/web:http"
        for same in ("endpoints://web:http", f"endpoints://{expected}/web:http", Endpoints("web", port="http")):
            assert disco.pool(same) is pool
        assert disco.pool("endpoints://elsewhere/web:http") is not pool


async def test_where_the_own_namespace_cannot_be_found_out_that_is_said_at_once(
    disco: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="there is no kubeconfig at '/nonexistent/config'"):
        disco.pool("endpoints:///web:http")


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n", "cluster.local"),
        (
            "nameserver 10.96.0.10\nsearch shop.svc.k8s.example.com svc.k8s.example.com k8s.example.com",
            "k8s.example.com",
        ),
        ("search svc.corp.\n", "corp"),
        ("search\tshop.svc.tabs.example\t svc.tabs.example\r\n", "tabs.example"),
        ("search example.com shop.svc.later.example", "later.example"),
        ("search example.com\nsearch shop.svc.second.example", "second.example"),
        ("search example.com lan\nnameserver 192.168.0.1", "cluster.local"),
        ("search mysvc.example.com", "cluster.local"),
        ("search shop.svc", "cluster.local"),
        ("search shop.svc.", "cluster.local"),
        ("# search shop.svc.comment.example", "cluster.local"),
        ("options ndots:5\nsearch\n", "cluster.local"),
        ("", "cluster.local"),
        (b"search \xff\xfe.svc.x", "cluster.local"),
    ],
)
def test_the_cluster_domain_is_read_from_what_a_kubelet_writes(tmp_path: Path, text: str | bytes, domain: str) -> None:
    made = tmp_path / "resolv.conf"
    made.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert cluster_domain(made) == domain


def test_where_there_is_no_resolv_conf_the_domain_is_the_usual_one(tmp_path: Path) -> None:
    assert cluster_domain(tmp_path / "none") == cluster_domain(tmp_path) == "cluster.local"


# Resolvers of users


class Breaking:
    """Tells of one backend, and breaks each time it is run."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.at: list[float] = []

    def __str__(self) -> str:
        return "test://breaking"

    async def run(self, sink: Sink) -> None:
        self.at.append(asyncio.get_running_loop().time())
        sink.replace([backend(len(self.at))])
        if self.errors:
            raise self.errors.pop(0)


async def test_a_resolver_that_breaks_is_told_of_and_what_it_told_stays() -> None:
    events: list[Event] = []
    resolver = Breaking(LookupError("no zone"))
    async with Discovery(on_event=events.append) as disco:
        pool = disco.pool(resolver)
        await until(lambda: pool.status.last_error)
        assert (str(pool.status.last_error), pool.backends) == ("no zone", (backend(1),))
        assert pool.status.stale_for >= 0
        (failed,) = (event for event in events if event.name == "resolver.failed")
        assert failed == Event("resolver.failed", "test://breaking", {"error": "LookupError('no zone')"})
        await until(lambda: pool.status.last_error is None)
        assert (pool.backends, pool.status.stale_for, len(resolver.at)) == ((backend(2),), 0, 2)


def test_a_resolver_that_breaks_is_run_again_after_pauses_that_grow_to_half_a_minute() -> None:
    async def scene() -> list[float]:
        resolver = Breaking(*[OSError("lost")] * 60)
        async with Discovery(on_event=lambda _: None) as disco:
            disco.pool(resolver)
            async with asyncio.timeout(3600):
                while resolver.errors:  # noqa: ASYNC110
                    await asyncio.sleep(1)
        return [after - before for before, after in itertools.pairwise(resolver.at)]

    pauses = virtual.run(scene())
    assert max(pauses[:3]) <= 3.2
    assert 3.2 < max(pauses[3:]) <= 30, "of so many random ones, one is long"


async def test_a_resolver_that_ends_has_said_all_it_has_to_say(disco: Discovery) -> None:
    resolver = Breaking()
    pool = disco.pool(resolver)
    await pool.ready(5)
    await asyncio.sleep(0)
    assert (len(resolver.at), pool.backends, pool.status.last_error) == (1, (backend(1),), None)
    pool.pick().release()


async def test_a_resolver_that_is_none_is_refused_and_so_is_anything_else(disco: Discovery) -> None:
    for nonsense in (None, 5, object(), b"static://127.0.0.1:1", ["127.0.0.1:1"]):
        with pytest.raises(InvalidTarget, match="is no target"):
            disco.pool(nonsense)  # type: ignore[arg-type]


# Balancers of users


@attrs.frozen
class Keyed:
    """The backend whose number is the key."""

    def picker(self, members: Members, rng: random.Random) -> Picker:
        def pick(key: str | bytes | None) -> Node:
            return next(node for node in members.nodes if node.backend.address == f"10.0.0.{key!s}")

        return pick


async def test_a_balancer_of_your_own_chooses_by_the_key(disco: Discovery) -> None:
    source = Source(backend(1), backend(2))
    pool = disco.pool(source, balancer=Keyed())
    await pool.ready(5)
    assert pool is disco.pool(source, balancer=Keyed())
    for key in "12":
        with pool.pick(key) as lease:
            assert lease.backend == backend(int(key))
        async with pool.acquire(key) as lease:
            assert lease.backend == backend(int(key))

    async def where(one: Backend) -> str:
        return one.address

    assert await pool.call(where, key="2") == "10.0.0.2"
    source.sink.update([backend(3)], [])
    assert pool.pick("3").backend == backend(3)


# Options


@pytest.mark.parametrize("option", ["balancer", "retry"])
@pytest.mark.parametrize("value", ["round_robin", 5, object(), {"attempts": 2}, RoundRobin, RetryPolicy])
async def test_an_option_of_the_wrong_kind_is_refused_at_once_and_says_what_is_meant(
    disco: Discovery, option: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option}=.* is no \w+\. Give an instance"):
        disco.pool(NOWHERE, **{option: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=rf"{option}=.* is no \w+\. Give an instance"):
        disco.middleware(**{option: value})  # type: ignore[arg-type]
    assert repr(disco) == "<Discovery 0 pools>"


@pytest.mark.parametrize("value", [OSError, [OSError], (OSError, "EOFError"), (int,), None, "OSError"], ids=repr)
async def test_failures_that_are_no_exceptions_are_refused_at_once(disco: Discovery, value: Any) -> None:
    for make in (lambda **options: disco.pool(NOWHERE, **options), disco.middleware):
        with pytest.raises(ConfigurationError, match=r"failures=.* is no tuple of exceptions"):
            make(failures=value)


@attrs.define
class Unhashable(Keyed):
    """It could be changed while pools are known by it."""

    __hash__ = None  # type: ignore[assignment]


async def test_a_policy_that_cannot_be_a_key_is_refused_at_once(disco: Discovery) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be hashed\. Make a policy a frozen value"):
        disco.pool(NOWHERE, balancer=Unhashable())


@pytest.mark.parametrize("value", [0, -1, float("nan"), "60", True])
def test_a_reconciliation_that_cannot_be_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"reconcile='.*' is not a number of seconds above 0"):
        Discovery(reconcile=value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fallback": "none"}, "fallback='none' is unknown. Give \"service\" or None"),
        ({"ready_timeout": -1}, "ready_timeout='-1' is not a number of seconds"),
        ({"ready_timeout": "5"}, "ready_timeout='5' is not a number of seconds"),
        ({"ready_timeout": None}, "ready_timeout='None' is not a number of seconds"),
        ({"ready_timeout": float("nan")}, "ready_timeout='nan' is not a number of seconds"),
    ],
)
async def test_a_middleware_that_cannot_work_is_refused_when_it_is_made(
    disco: Discovery, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        disco.middleware(**options)
    assert str(caught.value) == says


async def test_a_target_that_cannot_be_read_opens_nothing(disco: Discovery) -> None:
    with pytest.raises(InvalidTarget):
        disco.pool("web")
    with pytest.raises(InvalidTarget):
        disco.middleware(routes={"web.internal": "nonsense"})
    assert repr(disco) == "<Discovery 0 pools>"


# Loops


def test_another_event_loop_is_told_to_make_its_own() -> None:
    disco = Discovery()

    async def use() -> None:
        async with aiohttp.ClientSession(middlewares=[disco.middleware(routes={"web.internal": NOWHERE})]) as http:
            with pytest.raises(RuntimeError, match="another event loop: make one in each loop"):
                await http.get("http://web.internal/")
        for act in (lambda: disco.pool(NOWHERE), disco.prefetch, disco.__aenter__, disco.aclose):
            with pytest.raises(RuntimeError, match="another event loop: make one in each loop"):
                await _awaited(act)

    with asyncio.Runner() as first:
        first.run(_awaited(lambda: disco.pool(NOWHERE)))
        asyncio.run(use())
        first.run(_awaited(lambda: disco.pool(NOWHERE)))
        first.run(disco.aclose())


def test_outside_of_a_loop_a_pool_cannot_be_made() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Discovery().pool(NOWHERE)


async def _awaited(act: Callable[[], Any]) -> Any:
    made = act()
    return await made if isinstance(made, Awaitable) else made


# Processes

FORKED = Path(__file__).parent / "forked.py"


@pytest.fixture(scope="module")
def forked() -> dict[str, str]:
    """What came of each use in a process that was forked while everything was open, and of the parent after it."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])
    came = json.loads(done.stdout)
    assert isinstance(came, dict)
    return came


@pytest.mark.parametrize("use", ["pool", "enter", "prefetch", "a new middleware", "aclose"])
def test_in_a_forked_process_a_discovery_says_to_make_another(forked: dict[str, str], use: str) -> None:
    says = "RuntimeError: this Discovery is of the process that was forked: make one in each process"
    assert forked[use] == says


@pytest.mark.parametrize("use", ["pick", "call", "acquire", "ready", "middleware"])
def test_in_a_forked_process_nothing_is_picked(forked: dict[str, str], use: str) -> None:
    assert forked[use].startswith("RuntimeError: ")


def test_the_process_that_forked_goes_on(forked: dict[str, str]) -> None:
    assert forked["parent"] == "follows, picks and closes"


# The end


async def test_it_may_be_closed_again_and_by_several_at_once(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    disco = Discovery(kubeconfig=fake_cluster.kubeconfig)
    await disco.pool(f"endpoints://{fake_cluster.namespace}/web:http").ready(5)
    await asyncio.gather(disco.aclose(), disco.aclose())
    await disco.aclose()
    assert repr(disco) == "<Discovery 0 pools, closed>"


async def nothing(_: Backend) -> None: ...


async def acquired(pool: Pool) -> None:
    async with pool.acquire():
        pass


USES: dict[str, Callable[[Discovery, Pool], Any]] = {
    "pool": lambda disco, _: disco.pool(NOWHERE),
    "enter": lambda disco, _: disco.__aenter__(),
    "prefetch": lambda disco, _: disco.prefetch(),
    "pick": lambda _, pool: pool.pick(),
    "call": lambda _, pool: pool.call(nothing),
    "acquire": lambda _, pool: acquired(pool),
}


@pytest.mark.parametrize("use", USES)
async def test_after_the_end_every_use_is_refused(use: str) -> None:
    disco = Discovery()
    pool = disco.pool(NOWHERE)
    await pool.ready(5)
    await disco.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await _awaited(lambda: USES[use](disco, pool))
    await pool.aclose()


async def _follow(pool: Pool) -> None:
    async for _ in pool.changes():
        pass


async def test_whoever_awaits_a_pool_is_released_when_it_is_closed() -> None:
    disco, source = Discovery(), Source()
    pool = disco.pool(source)
    waiting = {
        "ready": asyncio.create_task(pool.ready()),
        "acquire": asyncio.create_task(acquired(pool)),
        "settled": asyncio.create_task(pool.settled()),
        "changes": asyncio.create_task(_follow(pool)),
    }
    await until(lambda: source.runs and len(pool._membership._waiters) + len(pool._queue) == len(waiting))
    await disco.aclose()
    await asyncio.wait(waiting.values(), timeout=5)
    assert all(task.done() for task in waiting.values()), waiting
    assert isinstance(waiting["ready"].exception(), RuntimeError)
    assert isinstance(waiting["acquire"].exception(), RuntimeError)
    assert (waiting["settled"].result(), waiting["changes"].result()) == (False, None)
    assert source.stopped.is_set()


async def test_the_end_waits_for_a_resolver_that_has_things_to_put_away(disco: Discovery) -> None:
    put_away: list[str] = []

    class Tidy(Source):
        async def run(self, sink: Sink) -> None:
            try:
                await super().run(sink)
            finally:
                await asyncio.sleep(0.01)
                put_away.append("all")

    async with disco.pool(Tidy(backend(1))) as pool:
        await pool.ready(5)
        disco.pool(Tidy(backend(1)))
        await asyncio.sleep(0)
    assert put_away == []
    await disco.aclose()
    assert put_away == ["all", "all"]


async def test_the_end_waits_for_every_task_and_leaves_no_connection(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    before = asyncio.all_tasks()
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        async with aiohttp.ClientSession(middlewares=[disco.middleware()]) as http, http.get(web.url) as response:
            assert response.status == 200
        await disco.pool("endpoints:///web:80").ready(5)
        session = disco._access._session if disco._access else None
        assert session is not None
        mine = [task for task in asyncio.all_tasks() - before if "discovery/testing" not in repr(task.get_coro())]
        assert mine
    assert session.closed
    assert [task for task in mine if not task.done() and "aiohttp" not in repr(task)] == []


async def test_a_pool_that_is_given_back_ends_its_watch(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        async with disco.pool("endpoints:///web:http") as pool:
            await pool.ready(5)
            await until(lambda: fake_cluster.faults.streams)
        await until(lambda: not fake_cluster.faults.streams)


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_event": 5},
        {"on_event": asyncio.sleep},
        {"context": ""},
        {"namespace": 5},
        {"cluster_domain": 5},
        {"reconcile": "x"},
    ],
)
def test_what_a_discovery_cannot_be_made_of_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Discovery(**wrong)


def test_a_namespace_that_cannot_be_one_is_refused_at_once() -> None:
    with pytest.raises(InvalidTarget, match="Bad NS"):
        Discovery(namespace="Bad NS")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"routes": "x"}, ConfigurationError),
        ({"routes": {5: "static://a:1"}}, ConfigurationError),
        ({"routes": {"a.internal:8080": "static://a:1"}}, ConfigurationError),
        ({"routes": {"http://a/": "static://a:1"}}, ConfigurationError),
        ({"routes": {"a": 5}}, InvalidTarget),
        ({"routes": {"a": "nonsense"}}, InvalidTarget),
        ({"key": "x"}, ConfigurationError),
    ],
)
async def test_what_a_middleware_cannot_be_made_of_is_refused_at_once(
    wrong: dict[str, Any], kind: type[Exception]
) -> None:
    async with Discovery() as disco:
        with pytest.raises(kind):
            disco.middleware(**wrong)


async def test_a_middleware_is_not_made_of_a_closed_discovery_and_not_kept_by_an_open_one() -> None:
    async with Discovery() as disco:
        for _ in range(100):
            disco.middleware()
        gc.collect()
        assert len(disco._directories) == 0
    with pytest.raises(RuntimeError, match="closed"):
        disco.middleware()


# Times and callbacks that cannot work


@pytest.mark.parametrize("timeout", ["5", True, -1, float("nan"), ()])
async def test_a_time_that_is_none_is_refused_before_anything_waits(fake_cluster: FakeCluster, timeout: Any) -> None:
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco, disco.pool(NOWHERE) as pool:
        waits: list[Any] = [
            lambda: pool.ready(timeout),
            lambda: disco.service("web", timeout=timeout),
            lambda: disco.load_balancer("web", timeout=timeout),
            lambda: disco.prefetch(timeout=timeout),
        ]
        for wait in waits:
            with pytest.raises(ConfigurationError, match="not a number of seconds"):
                await wait()
        with pytest.raises(ConfigurationError, match="not a number of seconds"):
            pool.acquire(timeout=timeout)
    assert fake_cluster.requests == []


@pytest.mark.parametrize("given", [5, asyncio.sleep])
async def test_progress_is_told_to_a_plain_function(fake_cluster: FakeCluster, given: Any) -> None:
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        with pytest.raises(ConfigurationError, match="on_progress is no plain function"):
            await disco.load_balancer("web", on_progress=given)


async def test_definitions_are_followed_in_the_loop_that_asked_for_them(fake_cluster: FakeCluster) -> None:
    async def elsewhere(found: Any) -> None:
        await anext(found)

    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        found = disco.watch_service("web")
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere(found))


async def test_a_policy_that_raises_leaves_nothing_open(fake_cluster: FakeCluster) -> None:
    @attrs.frozen
    class Broken:
        def picker(self, members: Any, rng: Any) -> Any:
            raise ZeroDivisionError

    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        before = len(asyncio.all_tasks())
        with pytest.raises(ZeroDivisionError):
            disco.pool("endpoints://default/web:http", balancer=Broken())
        await until(lambda: len(asyncio.all_tasks()) == before)
