"""When backends are checked, what a pool sees of it, and that no check outlives what it is of.

Time is virtual and the answers of checks are played; a last part has real servers. One check on a socket is in
`test_probes`, what the results come to in `test_checked_set`.
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Self

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import discovery
from discovery.errors import NoBackends
from discovery.membership import Membership
from discovery.model import Backend
from discovery.resolvers import Remark, Resolver, Sink
from discovery.resolvers.checked import AT_ONCE, CheckedResolver
from discovery.resolvers.checked_set import NOTHING_PASSES
from discovery.resolvers.health import HealthCheck

from ..sources import Source, backend
from ..until import until
from ..virtual import run

if TYPE_CHECKING:
    from discovery.events import Event

SPEC = HealthCheck(interval=10.0)
REFUSED = "connection refused"


class Exact(random.Random):
    """No jitter: each check as early as can be."""

    def uniform(self, a: float, b: float) -> float:
        return a


class Checks:
    """Plays the checks: what each backend has to say, by its address, after so many seconds."""

    def __init__(self) -> None:
        self.says: dict[str, str | None] = {}
        self.takes: dict[str, float] = {}
        self.made: defaultdict[str, list[float]] = defaultdict(list)
        self.under_way = 0
        self.most = 0

    async def __call__(self, one: Backend) -> str | None:
        self.made[one.address].append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.takes.get(one.address, 0.001))
        finally:
            self.under_way -= 1
        return self.says.get(one.address)


class Scene:
    """A checked source that runs, and what its pool knows: `async with Scene(backend(1)) as scene`."""

    def __init__(self, *first: Backend, source: Resolver | None = None, rng: random.Random | None = None) -> None:
        self.events: list[Event] = []
        self.checks = Checks()
        self.source = Source(*first)
        self.pool = Membership("test://source", emit=self.events.append, clock=asyncio.get_running_loop().time)
        self.resolver = CheckedResolver(
            source or self.source,
            SPEC,
            self.events.append,
            rng or Exact(),
            name="test://source",
            check=self.checks,
        )

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.resolver.run(self.pool))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.checks.under_way == 0

    def fail(self, *numbers: int, says: str | None = REFUSED) -> None:
        self.checks.says.update((backend(number).address, says) for number in numbers)

    def made(self, number: int) -> list[float]:
        """When a backend was checked, in seconds since the start."""
        return [round(at, 2) for at in self.checks.made[backend(number).address]]

    @property
    def offered(self) -> list[int]:
        return sorted(int(node.backend.address.rpartition(".")[2]) for node in self.pool.nodes)

    def reason(self, number: int) -> str:
        return next(one.reason for one in self.pool.candidates() if one.backend == backend(number))

    def synced_at(self) -> float | None:
        return self.pool.synced_at

    def remarks(self) -> tuple[Remark, ...]:
        return self.pool.remarks

    def trouble(self) -> tuple[Exception | None, float]:
        return self.pool.last_error, self.pool.stale_for()

    def told(self, prefix: str) -> list[str]:
        return [one.name for one in self.events if one.name.startswith(prefix)]


# What a pool sees


def test_a_backend_is_offered_when_its_first_check_has_passed_and_not_before() -> None:
    async def main() -> None:
        async with Scene(backend(1)) as scene:
            await asyncio.sleep(0.0005)
            assert (scene.offered, scene.reason(1)) == ([], "not checked yet")
            await asyncio.sleep(0.001)
            assert (scene.offered, scene.reason(1)) == ([1], "ready")
            scene.source.sink.update([backend(2)], [])
            assert (scene.offered, scene.reason(2)) == ([1], "not checked yet")
            await asyncio.sleep(0.002)
            assert scene.offered == [1, 2]

    run(main())


def test_a_pool_is_synced_with_the_first_backend_that_passes() -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:
            scene.checks.takes[backend(2).address] = 0.5
            await asyncio.sleep(0.0005)
            assert scene.synced_at() is None
            await asyncio.sleep(0.01)
            assert (scene.synced_at(), scene.offered) == (0.001, [1])
            assert scene.told("pool.empty") == []

    run(main())


def test_a_source_that_has_nothing_is_synced_at_once() -> None:
    async def main() -> None:
        async with Scene() as scene:
            await asyncio.sleep(0)
            scene.source.sink.replace([])
            assert scene.synced_at() == 0.0
            assert isinstance(scene.pool.why_empty(), NoBackends)

    run(main())


def test_where_all_fail_the_pool_is_synced_with_all_of_them_and_a_warning_that_is_given_once() -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:
            scene.fail(1, 2)
            await asyncio.sleep(100.0)
            assert scene.offered == [1, 2]
            assert scene.synced_at() == 0.001
            assert scene.remarks() == (NOTHING_PASSES,)
            assert scene.told("pool.warning") == ["pool.warning"]
            scene.fail(2, says=None)
            await asyncio.sleep(10.0)
            assert (scene.offered, scene.remarks()) == ([2], ())

    run(main())


def test_a_backend_that_fails_three_times_is_withheld_with_the_reason_and_returns_with_one_pass() -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:
            await asyncio.sleep(1.0)
            scene.fail(1)
            await asyncio.sleep(15.0)  # checks at 5 and 14
            assert scene.offered == [1, 2]
            await asyncio.sleep(9.0)
            assert scene.offered == [2]
            assert scene.reason(1) == "health check failed: connection refused (3 times)"
            scene.fail(1, says=None)
            await asyncio.sleep(9.0)
            assert scene.offered == [1, 2]
            told = [(one.name, one.data) for one in scene.events if one.name.startswith("health.")]
            assert told == [
                ("health.failed", {"backend": "10.0.0.1:80", "error": REFUSED}),
                ("health.recovered", {"backend": "10.0.0.1:80"}),
            ]

    run(main())


def test_results_that_come_together_are_one_change() -> None:
    async def main() -> None:
        async with Scene(*(backend(number) for number in range(1, 51))) as scene:
            await asyncio.sleep(1.0)
            assert len(scene.offered) == 50
            assert scene.pool.version == 2, "what is there, and that it passes"

    run(main())


def test_a_set_that_is_replaced_at_once_never_leaves_the_pool_empty() -> None:
    async def main() -> None:
        async with Scene(backend(1)) as scene:
            await asyncio.sleep(1.0)
            scene.source.sink.replace([backend(2), backend(3)])
            assert scene.offered == [2, 3]
            scene.fail(3)
            await asyncio.sleep(1.0)
            assert scene.offered == [2]
            assert scene.told("pool.empty") == []

    run(main())


def test_what_the_source_withholds_or_calls_unready_is_passed_on_and_never_checked() -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2, ready=False)) as scene:
            await asyncio.sleep(1.0)
            scene.source.sink.update([backend(3)], [], {backend(3).id: "its hints name zone-b"})
            await asyncio.sleep(50.0)
            assert (scene.offered, scene.reason(3)) == ([1], "its hints name zone-b")
            assert scene.made(2) == scene.made(3) == []
            scene.source.sink.update([backend(2), backend(3)], [])
            assert scene.reason(2) == scene.reason(3) == "not checked yet"
            await asyncio.sleep(0.002)
            assert scene.offered == [1, 2, 3]

    run(main())


def test_what_is_wrong_with_the_source_is_passed_on_and_its_remarks_stand_beside_ours() -> None:
    async def main() -> None:
        async with Scene(backend(1)) as scene:
            scene.fail(1)
            await asyncio.sleep(1.0)
            scene.source.sink.remark((Remark("theirs"),))
            assert scene.remarks() == (Remark("theirs"), NOTHING_PASSES)
            wrong, lost = LookupError("no such port"), OSError("lost")
            scene.source.sink.note(wrong)
            assert scene.trouble() == (wrong, 0.0)
            scene.source.sink.failed(lost, since=0.25)
            assert scene.trouble() == (lost, 0.75)
            scene.source.sink.synced()
            scene.source.sink.note(None)
            assert scene.trouble() == (None, 0.0)

    run(main())


def test_a_source_that_is_lost_before_the_first_check_ends_has_been_synced_and_is_lost() -> None:
    async def main() -> None:
        async with Scene(backend(1)) as scene:
            await asyncio.sleep(0.0005)
            lost = OSError("lost")
            scene.source.sink.failed(lost)
            assert scene.synced_at() is not None
            assert scene.trouble() == (lost, 0.0)
            await asyncio.sleep(1.0)
            assert (scene.offered, scene.trouble()[0]) == ([1], lost)

    run(main())


# When checks are made


def test_the_first_check_is_at_once_the_second_early_and_the_others_by_the_interval() -> None:
    async def main() -> None:
        async with Scene(backend(1)) as scene:
            await asyncio.sleep(33.0)
            assert scene.made(1) == [0.0, 5.0, 14.0, 23.0, 32.0]

    run(main())


def test_checks_of_many_backends_spread_over_the_interval() -> None:
    async def main() -> None:
        backends = [backend(number) for number in range(1, 201)]
        async with Scene(*backends, rng=random.Random(1)) as scene:
            await asyncio.sleep(200.0)
            for one in backends:
                made = scene.checks.made[one.address]
                pauses = [later - earlier - 0.001 for earlier, later in itertools.pairwise(made)]
                assert 5.0 <= pauses[0] <= 11.0
                assert all(8.999 <= pause <= 11.001 for pause in pauses[1:])
            seconds = [int(at) for one in backends for at in scene.checks.made[one.address] if at >= 100.0]
            assert max(map(seconds.count, set(seconds))) <= 40, "of 20 in the mean"

    run(main())


def test_no_more_than_so_many_checks_are_under_way_and_all_get_their_turn() -> None:
    async def main() -> None:
        backends = [backend(number) for number in range(1, 4 * AT_ONCE)]
        async with Scene(*backends) as scene:
            scene.checks.takes = {one.address: 0.4 for one in backends}
            await asyncio.sleep(1.7)
            assert scene.checks.most == AT_ONCE
            assert len(scene.offered) == len(backends)

    run(main())


def test_one_that_hangs_delays_no_other() -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:
            scene.checks.takes[backend(1).address] = 1e9
            await asyncio.sleep(33.0)
            assert scene.made(2) == [0.0, 5.0, 14.0, 23.0, 32.0]
            assert (scene.made(1), scene.offered) == ([0.0], [2])

    run(main())


@pytest.mark.parametrize("after", [0.0005, 1.0])
def test_a_backend_that_left_is_checked_no_more_even_where_a_check_is_under_way(after: float) -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:
            await asyncio.sleep(after)
            scene.source.sink.update([], [backend(1).id])
            await asyncio.sleep(0)
            assert scene.checks.under_way <= 1
            await asyncio.sleep(50.0)
            assert (scene.made(1), scene.offered) == ([0.0], [2])

    run(main())


# How it ends, and begins anew


@pytest.mark.parametrize("after", [0.0, 0.0005, 1.0, 5.0005])
def test_a_run_that_is_cancelled_leaves_no_task_and_its_source_has_ended(after: float) -> None:
    async def main() -> None:
        async with Scene(backend(1), backend(2)) as scene:  # which looks for tasks at the end
            scene.fail(2)
            await asyncio.sleep(after)
        assert scene.task.cancelled()
        assert scene.source.runs == scene.source.stopped.is_set()

    run(main())


class Broken:
    """A way of finding backends that tells some and then raises, once."""

    def __init__(self, *told: Backend) -> None:
        self.told = told
        self.runs = 0

    async def run(self, sink: Sink) -> None:
        self.runs += 1
        sink.replace(self.told)
        if self.runs == 1:
            await asyncio.sleep(1.0)
            raise LookupError("broken")
        await asyncio.Event().wait()


def test_what_a_source_raises_is_raised_as_itself_and_another_run_goes_on_with_what_was_known() -> None:
    async def main() -> None:
        source = Broken(backend(1), backend(2))
        async with Scene(source=source) as scene:
            scene.fail(2)
            with pytest.raises(LookupError, match=r"^broken$"):
                await scene.task
            assert asyncio.all_tasks() == {asyncio.current_task()}
            version = scene.pool.version
            scene.task = asyncio.create_task(scene.resolver.run(scene.pool))
            await asyncio.sleep(30.0)
            assert source.runs == 2
            assert (scene.offered, scene.pool.version) == ([1], version)
            assert scene.made(1) == scene.made(2) == [0.0, 1.0, 6.0, 15.0, 24.0]

    run(main())


class Once:
    """A way of finding backends that tells them and is done."""

    def __init__(self, told: Iterable[Backend]) -> None:
        self._told = list(told)

    def __str__(self) -> str:
        return "test://once"

    async def run(self, sink: Sink) -> None:
        sink.replace(self._told)


def test_the_backends_of_a_source_that_has_said_all_are_checked_on() -> None:
    async def main() -> None:
        async with Scene(source=Once([backend(1)])) as scene:
            await asyncio.sleep(33.0)
            assert len(scene.made(1)) == 5
            assert not scene.task.done()

    run(main())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.builds(backend, st.integers(1, 4), ready=st.booleans())),
        st.tuples(st.just("remove"), st.builds(backend, st.integers(1, 4))),
        st.tuples(st.just("fail"), st.builds(backend, st.integers(1, 4))),
        st.tuples(st.just("pass"), st.builds(backend, st.integers(1, 4))),
        st.tuples(st.just("wait"), st.builds(backend, st.integers(1, 40))),
    ),
    max_size=25,
)


@given(STEPS, st.integers())
def test_whatever_happens_each_backend_that_is_ready_has_one_task_that_checks_it_and_no_other_has(
    steps: list[tuple[str, Backend]], seed: int
) -> None:
    async def main() -> None:
        async with Scene(rng=random.Random(seed)) as scene:
            await asyncio.sleep(0)
            there = dict[str, Backend]()
            before = len(asyncio.all_tasks())
            for what, one in steps:
                await play(scene, there, what, one)
                await asyncio.sleep(0)
                ready = ready_ones(there)
                assert len(asyncio.all_tasks()) - before == len(ready)
            await asyncio.sleep(2 * SPEC.interval)
            since = asyncio.get_running_loop().time()
            await asyncio.sleep(2 * SPEC.interval)
            checked = {address for address, made in scene.checks.made.items() if made[-1] >= since}
            assert checked == {one.address for one in ready_ones(there)}

    run(main())


def ready_ones(there: dict[str, Backend]) -> list[Backend]:
    return [one for one in there.values() if one.ready]


async def play(scene: Scene, there: dict[str, Backend], what: str, one: Backend) -> None:
    if what == "put":
        there[one.address] = one
        scene.source.sink.update([one], [])
    elif what == "remove":
        there.pop(one.address, None)
        scene.source.sink.update([], [one.id])
    elif what == "wait":
        await asyncio.sleep(int(one.address.rpartition(".")[2]) * 0.9)
    else:
        scene.checks.says[one.address] = REFUSED if what == "fail" else None


# Real servers


class Site:
    """A server of HTTP on a port of its own, that can stop and come back there."""

    def __init__(self) -> None:
        self.status = 200
        self.place = Backend(address="127.0.0.1", port=1)
        self.asked: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        port = 0 if self.place.port == 1 else self.place.port
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        self.place = Backend(address="127.0.0.1", port=self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked[path] += 1
            status = self.status if path == "/healthz" else 200
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def sites(count: int) -> AsyncIterator[list[Site]]:
    there = [Site() for _ in range(count)]
    for site in there:
        await site.start()
    try:
        yield there
    finally:
        for site in there:
            await site.stop()


def static(there: list[Site]) -> discovery.Static:
    return discovery.Static([(site.place.address, site.place.port) for site in there])


async def test_a_server_that_stops_or_answers_503_leaves_the_pool_and_comes_back_with_it() -> None:
    spec = HealthCheck(path="/healthz", interval=0.01, unhealthy=2, timeout=5.0)
    async with (
        sites(3) as there,
        discovery.Discovery(on_event=lambda _: None) as disco,
        disco.pool(static(there), health=spec) as pool,
    ):
        await pool.ready(timeout=5)
        await until(lambda: len(pool.backends) == 3)
        await there[0].stop()
        there[1].status = 503
        await until(lambda: pool.backends == (there[2].place,))
        reasons = {one.backend: one.reason for one in pool.explain()}
        assert reasons[there[0].place] == "health check failed: connection refused (2 times)"
        assert reasons[there[1].place] == "health check failed: status 503 (2 times)"
        await there[2].stop()
        await until(lambda: len(pool.backends) == 3)
        assert pool.notes == (NOTHING_PASSES.text,)
        await there[0].start()
        there[1].status = 200
        await there[2].start()
        await until(lambda: len(pool.backends) == 3 and not pool.notes)


async def test_no_request_of_a_middleware_goes_to_a_backend_before_it_has_passed() -> None:
    spec = HealthCheck(path="/healthz", timeout=5.0)
    async with sites(4) as there, discovery.Discovery() as disco:
        for site in there[:3]:
            site.status = 404
        middleware = disco.middleware(routes={"legacy.internal": static(there)}, fallback=None, health=spec)
        async with aiohttp.ClientSession(middlewares=[middleware]) as http:
            for _ in range(10):
                async with http.get("http://legacy.internal/orders") as response:
                    assert response.status == 200
        assert [site.asked["/orders"] for site in there] == [0, 0, 0, 10]


async def test_pools_with_the_same_target_and_check_share_the_checks_and_others_do_not() -> None:
    spec = HealthCheck(path="/healthz", interval=60.0, timeout=5.0)
    policies = (discovery.RoundRobin(), discovery.LeastRequest())
    async with sites(1) as there, discovery.Discovery() as disco:
        pools = [disco.pool(static(there), balancer=one, health=spec) for one in policies]
        for pool in pools:
            await pool.ready(timeout=5)
        assert there[0].asked == {"/healthz": 1}
        await disco.pool(static(there), health=attrs.evolve(spec, path="/other")).ready(timeout=5)
        assert there[0].asked == {"/healthz": 1, "/other": 1}
        await disco.pool(static(there)).ready(timeout=5)
        assert there[0].asked.total() == 2
