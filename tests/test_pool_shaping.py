"""A pool's own choice among what its target offers: subset, ejection, panic, limits; and every count exact."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery import (
    ConfigurationError,
    Discovery,
    Event,
    Lease,
    LocalityAware,
    NoBackends,
    Node,
    NotReady,
    OutlierDetection,
    Overloaded,
    PeakEwma,
    Pool,
    RendezvousHash,
    RoundRobin,
    SlowStart,
    Subset,
)
from discovery.pool_options import PoolOptions
from discovery.pools import Pools

from . import virtual
from .sources import Source, backend
from .until import until


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def disco(events: list[Event]) -> AsyncIterator[Discovery]:
    async with Discovery(on_event=events.append) as made:
        yield made


async def ready(disco: Discovery, count: int, **options: object) -> tuple[Pool, Source]:
    source = Source(*(backend(number) for number in range(1, count + 1)))
    pool = disco.pool(source, **options)  # type: ignore[arg-type]
    await pool.ready(timeout=1)
    return pool, source


def fail(pool: Pool, address: str, times: int = 5) -> None:
    """Until it has been picked and has failed so often."""
    left = times
    while left:
        with pool.pick() as lease:
            if lease.backend.address == address:
                lease.fail()
                left -= 1


def picked(pool: Pool, picks: int = 100) -> set[str]:
    seen = set()
    for _ in range(picks):
        with pool.pick() as lease:
            lease.ignore()
            seen.add(lease.backend.address)
    return seen


# Subset


async def test_above_a_hundred_backends_a_client_uses_a_hundred_and_up_to_that_all(disco: Discovery) -> None:
    pool, source = await ready(disco, 100)
    assert len(picked(pool, 1000)) == 100
    source.sink.replace([backend(number) for number in range(1, 201)])
    assert len(picked(pool, 1000)) == 100
    assert pool.backends == pool.snapshot.backends
    assert len(pool.backends) == 200
    reasons = [candidate.reason for candidate in pool.explain() if not candidate.usable]
    assert reasons == ["not in this client's subset"] * 100


async def test_a_subset_that_was_asked_for_is_all_that_is_told(disco: Discovery) -> None:
    pool, source = await ready(disco, 20, subset=Subset(size=5))
    assert {one.address for one in pool.backends} == picked(pool)
    gone = pool.backends[0]
    source.sink.update([], [gone.id])
    assert gone not in pool.backends
    assert len(pool.backends) == 5


async def test_who_places_by_a_key_uses_all_and_so_does_who_says_so(disco: Discovery) -> None:
    for options in ({"balancer": RendezvousHash()}, {"subset": Subset(size=None)}):
        pool, _ = await ready(disco, 200, **options)
        assert len(pool.backends) == 200


# Outliers


async def test_a_backend_that_fails_five_times_in_a_row_is_out_and_explained(
    disco: Discovery, events: list[Event]
) -> None:
    pool, _ = await ready(disco, 4, balancer=RoundRobin())
    fail(pool, "10.0.0.1")
    assert picked(pool) == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    assert [one.address for one in pool.backends] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert len(pool.snapshot.backends) == 4
    assert pool.status.ejected == 1
    (out,) = [candidate for candidate in pool.explain() if not candidate.usable]
    assert out.backend.address == "10.0.0.1"
    assert "5 failures in a row" in out.reason
    assert [event.name for event in events if event.name.startswith("backend")] == ["backend.ejected"]


async def test_pools_of_one_target_share_who_is_out_and_one_without_detection_uses_all(disco: Discovery) -> None:
    pool, source = await ready(disco, 4, balancer=RoundRobin())
    other = disco.pool(source)
    blind = disco.pool(source, outlier=None)
    fail(pool, "10.0.0.1")
    assert len(picked(other)) == 3
    assert len(picked(blind)) == 4


async def test_a_backend_that_left_and_came_back_in_a_new_pod_is_not_out(disco: Discovery) -> None:
    pool, source = await ready(disco, 4, balancer=RoundRobin())
    fail(pool, "10.0.0.1")
    source.sink.update([], [backend(1).id])
    assert pool.status.ejected == 0
    source.sink.update([backend(1)], [])
    assert len(picked(pool)) == 4


async def test_when_the_service_is_down_all_are_used_and_it_is_said(disco: Discovery, events: list[Event]) -> None:
    pool, _ = await ready(disco, 3, balancer=RoundRobin())
    for address in ("10.0.0.1", "10.0.0.2"):
        fail(pool, address)
    assert picked(pool) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert pool.status.panic
    assert pool.status.outage
    assert {"panic.started", "outage.started"} <= {event.name for event in events}
    assert "though" in pool.explain()[0].reason


async def test_while_the_service_is_down_the_budget_is_spared_and_afterwards_no_more(disco: Discovery) -> None:
    pool, source = await ready(disco, 3, balancer=RoundRobin())
    other = disco.pool(source, balancer=RoundRobin(), max_in_flight=9)
    assert pool.budget is not None
    assert pool.budget is other.budget
    for address in ("10.0.0.1", "10.0.0.2"):
        fail(pool, address)
    assert pool.budget.outages == 2
    await other.aclose()
    assert pool.budget.outages == 1
    source.sink.replace([backend(3)])
    assert pool.budget.outages == 0


async def test_without_panic_an_outage_is_a_pool_with_nothing_usable_that_says_how_many_are_out(
    disco: Discovery,
) -> None:
    pool, _ = await ready(disco, 2, balancer=RoundRobin(), outlier=OutlierDetection(panic_threshold=0))
    for address in ("10.0.0.1", "10.0.0.2"):
        fail(pool, address)
    with pytest.raises(NoBackends, match="2 of 2 are kept out for failures"):
        pool.pick()


async def test_a_policy_that_learns_is_told_of_every_exchange(disco: Discovery) -> None:
    pool, _ = await ready(disco, 1, balancer=PeakEwma())
    assert not pool.plain
    lease = pool.pick()
    await asyncio.sleep(0.002)
    lease.release()
    assert lease.node.latency >= 0.002
    learnt = lease.node.latency
    with pytest.raises(asyncio.CancelledError), pool.pick():
        raise asyncio.CancelledError
    assert lease.node.latency == learnt


# Limits


async def test_above_the_limit_of_the_pool_it_is_overloaded_and_a_wait_gets_the_next_free_place(
    disco: Discovery,
) -> None:
    pool, _ = await ready(disco, 2, max_in_flight=2)
    first, second = pool.pick(), pool.pick()
    with pytest.raises(Overloaded, match="2 exchanges are in flight, as many as max_in_flight allows"):
        pool.pick()
    waiting = asyncio.create_task(pool.acquire().__aenter__())
    await asyncio.sleep(0)
    first.release()
    lease = await waiting
    second.release()
    lease.release()
    assert pool.in_flight == 0


async def test_above_the_limit_of_a_backend_others_are_used_then_it_is_overloaded(disco: Discovery) -> None:
    pool, source = await ready(disco, 3, max_in_flight_per_backend=2, balancer=RoundRobin())
    held = [pool.pick() for _ in range(6)]
    assert sorted(lease.backend.address[-1] for lease in held) == ["1", "1", "2", "2", "3", "3"]
    with pytest.raises(Overloaded, match="each of 3 backends has 2 exchanges in flight"):
        pool.pick()
    with pytest.raises(Overloaded):
        pool.pick_other([held[0].node])
    waiting = asyncio.create_task(pool.acquire().__aenter__())
    await asyncio.sleep(0)
    source.sink.update([backend(4)], [])
    assert (await waiting).backend.address == "10.0.0.4"


async def test_no_more_than_max_queued_wait(disco: Discovery) -> None:
    pool, _ = await ready(disco, 1, max_in_flight=1, max_queued=0)
    with pool.pick(), pytest.raises(Overloaded, match=r"and 0 wait already\. Send less"):
        async with pool.acquire(timeout=10):
            pass


async def test_a_pool_that_closes_ends_the_waits_for_a_place(disco: Discovery) -> None:
    pool, _ = await ready(disco, 1, max_in_flight=1)
    lease = pool.pick()
    waiting = asyncio.create_task(pool.acquire().__aenter__())
    await asyncio.sleep(0)
    await pool.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    lease.release()


@pytest.mark.parametrize(
    "options",
    [
        {"max_in_flight": 0},
        {"max_in_flight": True},
        {"max_in_flight_per_backend": 1.5},
        {"max_queued": -1},
        {"outlier": "on"},
        {"outlier": OutlierDetection},
        {"slow_start": 30},
        {"locality": "zone-a"},
        {"subset": 100},
        {"hedging": True},
        {"health": "/healthz"},
    ],
    ids=str,
)
async def test_an_option_that_cannot_be_is_refused_where_it_is_written(
    disco: Discovery, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        disco.pool(Source(), **options)  # type: ignore[arg-type]


# Counts

ACTS = ("pick", "keyed", "other", "acquire", "cancel", "release", "fail", "ignore", "add", "remove", "turn")
OPTIONS: Sequence[dict[str, object]] = (
    {},
    {"balancer": PeakEwma()},
    {"balancer": RendezvousHash()},
    {"max_in_flight": 5, "max_in_flight_per_backend": 2},
    {"outlier": OutlierDetection(consecutive_failures=1)},
)


@attrs.define
class Play:
    """What users, backends and the cluster do to a pool, in any order."""

    pool: Pool
    source: Source
    rng: random.Random
    there: set[int]
    held: list[Lease] = attrs.field(factory=list)
    waiting: list[asyncio.Task[Lease]] = attrs.field(factory=list)
    known: set[Node] = attrs.field(factory=set)

    async def act(self, name: str) -> None:
        with contextlib.suppress(NoBackends, NotReady, Overloaded):
            await getattr(self, f"_{name}")()
        self.known.update(self.pool._membership.nodes)
        self._collect()

    def _collect(self) -> None:
        done = [task for task in self.waiting if task.done()]
        self.held += [task.result() for task in done if not task.cancelled()]
        self.waiting = [task for task in self.waiting if task not in done]

    async def _pick(self) -> None:
        self.held.append(self.pool.pick())

    async def _keyed(self) -> None:
        self.held.append(self.pool.pick(str(self.rng.random())))

    async def _other(self) -> None:
        self.held.append(self.pool.pick_other([lease.node for lease in self.held[:2]]))

    async def _acquire(self) -> None:
        self.waiting.append(asyncio.create_task(self.pool.acquire().__aenter__()))

    async def _cancel(self) -> None:
        for task in self.waiting[:1]:
            task.cancel()

    async def _release(self) -> None:
        for lease in self.held[:1]:
            self.held.remove(lease)
            lease.release()

    async def _fail(self) -> None:
        for lease in self.held[-1:]:
            lease.fail()
        await self._release()

    async def _ignore(self) -> None:
        for lease in self.held[:1]:
            lease.ignore()
        await self._release()

    async def _add(self) -> None:
        number = self.rng.randint(1, 6)
        self.there.add(number)
        self.source.sink.update([backend(number)], [])

    async def _remove(self) -> None:
        number = self.rng.randint(1, 6)
        self.there.discard(number)
        self.source.sink.update([], [backend(number).id])

    async def _turn(self) -> None:
        await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.waiting:
            task.cancel()
        await asyncio.wait(self.waiting or {asyncio.create_task(asyncio.sleep(0))})
        self._collect()
        for lease in self.held:
            lease.release()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ACTS), max_size=80), st.sampled_from(OPTIONS), st.integers())
def test_any_order_of_picks_ends_cancellations_and_changes_leaves_every_count_right(
    acts: list[str], options: dict[str, object], seed: int
) -> None:
    async def scene() -> None:
        async with Discovery(on_event=lambda _: None) as disco:
            source = Source(*map(backend, {1, 2, 3}))
            pool = disco.pool(source, **options)  # type: ignore[arg-type]
            await until(lambda: pool.nodes)
            play = Play(pool, source, random.Random(seed), {1, 2, 3})
            for name in acts:
                await play.act(name)
                load = Counter(lease.node.backend.id for lease in play.held)
                assert {node.backend.id: node.in_flight for node in play.known if node.in_flight} == load
            await play.end()
            assert pool._held == 0
            assert not any(node.in_flight for node in play.known)

    asyncio.run(scene())


# What else holds, whatever the order of things


async def test_a_wait_for_a_pool_that_has_everything_out_ends_with_the_first_that_is_back(disco: Discovery) -> None:
    outlier = OutlierDetection(panic_threshold=0, interval=0.01)
    pool, _ = await ready(disco, 2, balancer=RoundRobin(), outlier=outlier)
    for address in ("10.0.0.1", "10.0.0.2"):
        fail(pool, address)
    waiting = asyncio.create_task(pool.ready(timeout=5))
    await asyncio.sleep(0)
    assert not pool.backends
    while not pool.backends:
        with contextlib.suppress(NoBackends), pool.pick():
            pass
        await asyncio.sleep(0.001)
    await asyncio.wait_for(waiting, 1)


async def test_a_place_that_a_pool_with_other_options_gives_back_is_not_missed(disco: Discovery) -> None:
    pool, source = await ready(disco, 1, max_in_flight_per_backend=1)
    other = disco.pool(source)
    lease = other.pick()
    waiting = asyncio.create_task(pool.acquire().__aenter__())
    await until(lambda: len(pool._queue))
    lease.release()
    (await asyncio.wait_for(waiting, 1)).release()
    assert pool.in_flight == 0


async def test_a_probe_that_one_who_waits_is_given_is_given_once(disco: Discovery) -> None:
    outlier = OutlierDetection(ejection=0.001)
    pool, _ = await ready(disco, 3, balancer=RoundRobin(), outlier=outlier, max_in_flight=1)
    fail(pool, "10.0.0.1")
    lease = pool.pick()
    detector = pool._candidates.detector
    assert detector is not None
    await until(detector.wanted)
    waiting = asyncio.create_task(pool.acquire().__aenter__())
    await until(lambda: len(pool._queue))
    lease.release()
    probe = await waiting
    assert probe.backend.address == "10.0.0.1"
    probe.release()
    assert pool.in_flight == 0
    assert pool.status.ejected == 0


async def test_a_pool_that_is_closed_has_no_backends_and_may_be_closed_again(disco: Discovery) -> None:
    pool, _ = await ready(disco, 2)
    before = pool.backends
    assert len(before) == 2
    await pool.aclose()
    assert not pool.backends
    pool.close()
    assert pool.closed


async def test_when_the_own_zone_becomes_known_pools_of_other_targets_prefer_it_too() -> None:
    place, rng = [""], random.Random(1)
    sources = [Source(backend(1, zone="a"), backend(2, zone="b")), Source(backend(3))]
    pools = Pools(lambda target, _: target, lambda _: "", lambda: place[0], lambda _: None, rng)  # type: ignore[arg-type, return-value]
    pool, other = (pools.open(source, PoolOptions(locality=LocalityAware())) for source in sources)
    await pool.ready(1)
    await other.ready(1)
    assert len(picked(pool)) == 2
    place[0] = "b"
    sources[1].sink.update([backend(4)], [])
    await asyncio.sleep(0)
    assert picked(pool) == {"10.0.0.2"}
    assert len(picked(other)) == 2
    await pools.aclose()


async def test_panic_uses_who_is_out_and_never_who_is_not_ready_or_has_left(disco: Discovery) -> None:
    pool, source = await ready(disco, 4, balancer=RoundRobin())
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        fail(pool, address)
    source.sink.update([backend(1, ready=False)], [backend(2).id])
    fail(pool, "10.0.0.4")
    assert pool.status.panic
    assert picked(pool) == {"10.0.0.3", "10.0.0.4"}


async def test_a_backend_that_is_described_anew_keeps_what_was_learnt_of_it_and_stays_out(disco: Discovery) -> None:
    pool, source = await ready(disco, 4, balancer=RoundRobin())
    with pool.pick() as lease:
        node = lease.node
        node.latency = 0.5
        fail(pool, node.backend.address)
        source.sink.update([attrs.evolve(node.backend, weight=2.0, labels=(("a", "b"),))], [])
        assert (node.in_flight, node.latency, node.failures) == (1, 0.5, 5)
        assert pool.status.ejected == 1
        assert node.backend.address not in picked(pool)


async def test_a_backend_that_is_told_twice_is_one_and_ports_tell_backends_apart(disco: Discovery) -> None:
    pool, source = await ready(disco, 1)
    source.sink.replace([backend(1), backend(1), attrs.evolve(backend(1), port=81)])
    assert [one.port for one in pool.backends] == [80, 81]
    assert len(pool.explain()) == 2


def test_one_that_comes_back_from_ejection_starts_slowly_and_one_that_changes_does_not() -> None:
    async def run() -> None:
        async with Discovery() as disco:
            outlier = OutlierDetection(ejection=30)
            options = {"balancer": RoundRobin(), "outlier": outlier, "slow_start": SlowStart(window=10)}
            pool, source = await ready(disco, 3, **options)
            await asyncio.sleep(60)
            fail(pool, "10.0.0.1")
            while pool.status.ejected:
                picked(pool, 1)
                with pool.pick():
                    await asyncio.sleep(1)
            await asyncio.sleep(1)
            counts = Counter(lease.backend.address for lease in held(pool, 210))
            assert 5 <= counts["10.0.0.1"] <= 40
            await asyncio.sleep(10)
            source.sink.update([attrs.evolve(backend(1), labels=(("a", "b"),))], [])
            counts = Counter(lease.backend.address for lease in held(pool, 210))
            assert counts["10.0.0.1"] == 70

    virtual.run(run())


def held(pool: Pool, picks: int) -> list[Lease]:
    """Leases that have ended without a verdict."""
    leases = []
    for _ in range(picks):
        with pool.pick() as lease:
            lease.ignore()
            leases.append(lease)
    return leases
