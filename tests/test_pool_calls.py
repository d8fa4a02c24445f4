"""`pool.call` with all that a pool has for it: budget, deadline, hedges, and what the caller says around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import (
    Backend,
    Balancer,
    DeadlineExceeded,
    Discovery,
    Event,
    Hedging,
    Lease,
    Overloaded,
    Pool,
    RetriesExhausted,
    RetryBudget,
    RetryPolicy,
    RoundRobin,
    Static,
    options,
)
from discovery.balancing import Key, Members, Node, Picker
from discovery.retrying.hedging import ENOUGH

from . import virtual
from .sources import Source, backend


def in_a_pool(scene: Callable[[Pool, list[Event]], Awaitable[None]], *, backends: int = 3, **more: Any) -> None:
    """Play a scene in virtual time, with a pool of so many backends and what is told of it."""

    async def play() -> None:
        events: list[Event] = []
        async with Discovery(on_event=events.append) as disco:
            where = Static([f"10.0.0.{number}:80" for number in range(1, backends + 1)])
            async with disco.pool(where, **more) as pool:
                await pool.ready(timeout=1)
                await scene(pool, events)
                assert pool.in_flight == 0

    virtual.run(play())


async def reset(_: Backend) -> None:
    raise ConnectionResetError(104, "reset")


async def hang(_: Backend) -> None:
    await asyncio.Event().wait()


# The budget


def test_retries_of_a_pool_stay_within_its_budget_and_then_errors_are_final_at_once() -> None:
    async def scene(pool: Pool, events: list[Event]) -> None:
        raised: list[type[Exception]] = []
        for _ in range(100):
            with pytest.raises((ConnectionResetError, RetriesExhausted)) as caught:
                await pool.call(reset, idempotent=True)
            raised.append(caught.type)
        retried = sum(event.name == "call.retried" for event in events)
        assert 10 <= retried <= 0.2 * 100 + 10 + 1
        assert raised[-1] is ConnectionResetError
        assert [event.name for event in events][-1] == "call.refused"

    in_a_pool(scene, outlier=None)


def test_pools_of_one_target_share_a_budget_and_policies_that_differ_in_it_do_not() -> None:
    async def play() -> None:
        async with Discovery() as disco:
            where = Static(["10.0.0.1:80"])
            one = disco.pool(where, balancer=RoundRobin())
            two = disco.pool(where, retry=RetryPolicy(attempts=2))
            other = disco.pool(where, retry=RetryPolicy(budget=RetryBudget(ratio=0.1)))
            free = disco.pool(where, retry=RetryPolicy(budget=None))
            assert one.budget is two.budget is not None
            assert other.budget is not one.budget
            assert free.budget is None

    virtual.run(play())


# The deadline


def test_a_call_to_backends_that_hang_ends_at_the_deadline_and_they_have_failed() -> None:
    async def scene(pool: Pool, _: list[Event]) -> None:
        loop = asyncio.get_running_loop()
        nodes, began = list(pool.nodes), loop.time()
        with pytest.raises(DeadlineExceeded, match="the deadline of the call passed in attempt 3") as caught:
            await pool.call(hang, idempotent=True)
        assert loop.time() == pytest.approx(began + 1.0, abs=0.002)
        assert isinstance(caught.value, TimeoutError)
        assert [node.failures for node in nodes] == [1, 1, 1]

    in_a_pool(scene, retry=RetryPolicy(deadline=1.0, per_try_timeout=0.4))


def test_the_callers_deadline_holds_for_all_calls_inside_together() -> None:
    async def scene(pool: Pool, _: list[Event]) -> None:
        async def half(_: Backend) -> None:
            await asyncio.sleep(0.4)

        loop = asyncio.get_running_loop()
        began = loop.time()
        with options(deadline=1.0):
            await pool.call(half)
            await pool.call(half)
            with pytest.raises(DeadlineExceeded):
                await pool.call(half)
            assert loop.time() == pytest.approx(began + 1.0, abs=0.002)
            with pytest.raises(DeadlineExceeded, match="no time was left"):
                await pool.call(half)
        await pool.call(half)

    in_a_pool(scene)


def test_a_deadline_does_not_reach_beyond_the_call() -> None:
    async def scene(pool: Pool, _: list[Event]) -> None:
        async def fine(one: Backend) -> str:
            return one.address

        with options(deadline=1.0):
            await pool.call(fine)
        await asyncio.sleep(5)

    in_a_pool(scene)


# What the caller says


class ByKey:
    """The key is the number of the backend; what it was given is kept."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def picker(self, members: Members, rng: Any) -> Picker:
        def pick(key: Key) -> Node:
            self.keys.append(key)
            return members.nodes[0]

        return pick


def test_what_a_call_leaves_out_is_as_the_block_around_it_says() -> None:
    by: Balancer = ByKey()

    async def scene(pool: Pool, _: list[Event]) -> None:
        async def fine(_: Backend) -> None:
            """Nothing to do."""

        with options(key=b"block", idempotent=True):
            await pool.call(fine)
            await pool.call(fine, key=b"call")
            with pytest.raises(RetriesExhausted):
                await pool.call(reset)
            with pytest.raises(ConnectionResetError):
                await pool.call(reset, idempotent=False)
        with pytest.raises(ConnectionResetError):
            await pool.call(reset)
        assert isinstance(by, ByKey)
        assert by.keys[:2] == [b"block", b"call"]
        assert by.keys[-1] is None

    in_a_pool(scene, balancer=by, outlier=None)


# A limit that is reached


def test_where_there_is_no_room_for_another_attempt_the_call_ends_as_the_first_did() -> None:
    async def scene(pool: Pool, _: list[Event]) -> None:
        taken: list[Lease] = []

        async def reset_and_taken(_: Backend) -> None:
            asyncio.get_running_loop().call_soon(lambda: taken.append(pool.pick()))  # once this attempt has let go
            raise ConnectionResetError(104, "reset")

        with pytest.raises(ConnectionResetError):
            await pool.call(reset_and_taken, idempotent=True)
        assert pool.in_flight == 1
        with pytest.raises(Overloaded):
            await pool.call(reset, idempotent=True)
        taken[0].release()

    in_a_pool(scene, max_in_flight=1)


# Hedges


def learned(pool: Pool, seconds: float = 0.010) -> None:
    """Answers usually take so long, and there have been enough to pay for some hedges."""
    assert pool.latencies is not None
    for _ in range(ENOUGH):
        pool.latencies.observe(seconds * 0.95)
        pool.latencies.budget.deposit()


def test_a_pool_with_hedging_answers_from_another_backend_when_one_is_slow() -> None:
    async def scene(pool: Pool, events: list[Event]) -> None:
        learned(pool)
        asked: list[str] = []

        async def slow_at_first(one: Backend) -> str:
            asked.append(one.address)
            await asyncio.sleep(10 if len(asked) == 1 else 0.001)
            return one.address

        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await pool.call(slow_at_first, idempotent=True) == asked[1] != asked[0]
        assert loop.time() - began < 0.02
        assert [event.name for event in events][-2:] == ["hedge.sent", "hedge.won"]
        assert [node.failures for node in pool.nodes] == [0, 0, 0]

    in_a_pool(scene, hedging=Hedging())


def test_a_call_learns_by_itself_when_a_hedge_is_due() -> None:
    async def scene(pool: Pool, events: list[Event]) -> None:
        async def fine(_: Backend) -> None:
            await asyncio.sleep(0.010)

        for _ in range(ENOUGH):
            await pool.call(fine, idempotent=True)
        assert pool.latencies is not None
        assert pool.latencies.delay == pytest.approx(0.010, rel=0.1)
        assert "hedge.sent" not in [event.name for event in events]

    in_a_pool(scene, hedging=Hedging())


# Always

DOES = st.tuples(
    st.sampled_from([0, 0.001, 0.012, 0.03, 1.0]),
    st.sampled_from([None, None, ConnectionResetError, ConnectionRefusedError, EOFError, ValueError]),
)


@given(
    calls=st.lists(st.tuples(st.sampled_from([0, 0.005, 0.02]), st.lists(DOES, min_size=4, max_size=4)), max_size=6),
    cancelled=st.lists(st.sampled_from([0, 0.004, 0.0105, 0.013, 0.025, 0.05, 3.0]), min_size=6, max_size=6),
    changes=st.lists(st.tuples(st.sampled_from([0.003, 0.011, 0.02]), st.sets(st.integers(1, 4))), max_size=3),
    most=st.sampled_from([None, 1, 3]),
)
def test_whatever_calls_come_to_while_backends_come_and_go_no_count_is_left(
    calls: list[tuple[float, list[tuple[float, type[Exception] | None]]]],
    cancelled: list[float],
    changes: list[tuple[float, set[int]]],
    most: int | None,
) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with Discovery(on_event=lambda _: None) as disco:
            source = Source(*map(backend, range(1, 4)))
            pool = disco.pool(source, hedging=Hedging(ratio=1), max_in_flight=most)
            await pool.ready(timeout=1)
            learned(pool)
            seen = set(pool.nodes)

            async def change() -> None:
                for pause, there in changes:
                    await asyncio.sleep(pause)
                    source.sink.replace(map(backend, there))
                    seen.update(pool.nodes)

            async def one(pause: float, does: list[tuple[float, type[Exception] | None]]) -> None:
                left = iter(does)

                async def fn(_: Backend) -> None:
                    seconds, error = next(left)
                    await asyncio.sleep(seconds)
                    if error is not None:
                        raise error("drawn")

                await asyncio.sleep(pause)
                await pool.call(fn, idempotent=True)

            changing = asyncio.create_task(change())
            calling = [asyncio.create_task(one(*call)) for call in calls]
            for task, when in zip(calling, cancelled, strict=False):
                loop.call_later(when, task.cancel)
            await asyncio.gather(*calling, return_exceptions=True)
            await changing
            assert [node.in_flight for node in seen] == [0] * len(seen)
            assert pool.in_flight == 0
            if most is not None and pool.nodes:
                leases = [pool.pick() for _ in range(most)]  # all the room is there again
                with pytest.raises(Overloaded):
                    pool.pick()
                for lease in leases:
                    lease.release()

    virtual.run(play())
