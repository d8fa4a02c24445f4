"""A pool as its user meets it: pick, hold, wait, follow, and know why not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from discovery import (
    Backend,
    Change,
    Discovery,
    LeastRequest,
    NoBackends,
    NotReady,
    Pool,
    RetriesExhausted,
    RetryPolicy,
    RoundRobin,
)

from .sources import Source, backend
from .until import until


@pytest.fixture
async def disco() -> AsyncIterator[Discovery]:
    async with Discovery() as made:
        yield made


async def ready(disco: Discovery, *backends: Backend, **options: object) -> tuple[Pool, Source]:
    source = Source(*backends)
    pool = disco.pool(source, **options)  # type: ignore[arg-type]
    await pool.ready(timeout=1)
    return pool, source


# Picking


async def test_a_pool_that_was_never_told_anything_is_not_ready_and_an_empty_one_has_no_backends(
    disco: Discovery,
) -> None:
    source = Source()
    pool = disco.pool(source)
    with pytest.raises(NotReady, match="the first answer is still awaited"):
        pool.pick()
    await until(lambda: source.runs)
    source.sink.replace([])
    with pytest.raises(NoBackends, match="no endpoints"):
        pool.pick()
    source.sink.replace([backend(1, ready=False, serving=False)])
    with pytest.raises(NoBackends, match="1 known, none ready"):
        pool.pick()


async def test_a_lease_counts_until_it_is_released_once(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1))
    lease = pool.pick()
    assert pool.explain()[0].in_flight == 1
    lease.release()
    lease.release()
    assert pool.explain()[0].in_flight == 0
    with pool.pick() as held:
        assert held.backend == backend(1)
        assert pool.explain()[0].in_flight == 1
    assert pool.explain()[0].in_flight == 0


@pytest.mark.parametrize(
    ("error", "failures"),
    [(None, 0), (OSError(), 1), (TimeoutError(), 1), (EOFError(), 1), (ValueError(), 0), (asyncio.CancelledError(), 0)],
)
async def test_only_what_is_the_backends_fault_counts_against_it(
    disco: Discovery, error: BaseException | None, failures: int
) -> None:
    pool, _ = await ready(disco, backend(1))
    lease = pool.pick()
    lease.__exit__(type(error) if error else None, error, None)
    node = lease.node
    assert (node.failures, node.consecutive_failures, node.in_flight) == (failures, failures, 0)
    assert node.successes == (error is None)


async def test_what_is_a_failure_may_be_said_and_is_counted_once(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1), failures=(KeyError,))
    lease = pool.pick()
    lease.fail()
    lease.__exit__(KeyError, KeyError(), None)
    with pytest.raises(OSError), pool.pick():  # noqa: PT011
        raise OSError
    with pool.pick() as ignored:
        ignored.ignore()
        ignored.fail()
    assert (lease.node.failures, lease.node.successes) == (1, 0)


async def test_a_success_ends_a_row_of_failures(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1))
    for _ in range(3):
        with pool.pick() as lease:
            lease.fail()
    assert lease.node.consecutive_failures == 3
    with pool.pick():
        pass
    assert (lease.node.consecutive_failures, lease.node.failures) == (0, 3)


async def test_a_lease_of_a_backend_that_left_and_came_back_does_not_count_on_the_new_one(disco: Discovery) -> None:
    pool, source = await ready(disco, backend(1))
    lease = pool.pick()
    source.sink.replace([])
    source.sink.replace([backend(1)])
    assert pool.explain()[0].in_flight == 0
    lease.release()
    assert pool.explain()[0].in_flight == 0


async def test_pools_of_one_target_share_what_is_learnt(disco: Discovery) -> None:
    pool, source = await ready(disco, backend(1))
    other = disco.pool(source, balancer=RoundRobin())
    assert other is not pool
    with pool.pick():
        assert other.explain()[0].in_flight == 1
    assert source.runs == 1


# Waiting


async def test_acquire_waits_for_the_first_backend(disco: Discovery) -> None:
    source = Source()
    pool = disco.pool(source)

    async def take() -> Backend:
        async with pool.acquire(timeout=5) as lease:
            return lease.backend

    async with asyncio.TaskGroup() as group:
        taken = group.create_task(take())
        await until(lambda: source.runs)
        source.sink.replace([])
        await asyncio.sleep(0)
        assert not taken.done()
        source.sink.replace([backend(1)])
    assert taken.result() == backend(1)
    assert pool.explain()[0].in_flight == 0


async def test_acquire_raises_what_a_pick_would_when_its_time_is_over(disco: Discovery) -> None:
    source = Source()
    pool = disco.pool(source)
    with pytest.raises(NotReady):
        async with pool.acquire(timeout=0.01):
            pass
    source.sink.replace([])
    with pytest.raises(NoBackends):
        async with pool.acquire(timeout=0.01):
            pass


async def test_ready_says_why_it_is_not(disco: Discovery) -> None:
    source = Source()
    pool = disco.pool(source)
    with pytest.raises(NotReady, match=r"not ready within 0\.01 s: the first answer is still awaited"):
        await pool.ready(timeout=0.01)
    lost = OSError("the line is cut")
    source.sink.failed(lost)
    with pytest.raises(NotReady, match="the line is cut") as caught:
        await pool.ready(timeout=0.01)
    assert caught.value.__cause__ is lost


async def test_a_wait_that_is_cancelled_leaves_nobody_waiting(disco: Discovery) -> None:
    source = Source()
    pool = disco.pool(source)
    waiting = asyncio.create_task(pool.ready())
    await until(lambda: source.runs)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert pool._membership._waiters == set()


# Following


class Followed:
    """What a reader of `changes()` adds up to."""

    def __init__(self, pool: Pool) -> None:
        self.changes: list[Change] = []
        self.there: dict[str, Backend] = {}
        self.task = asyncio.create_task(self._follow(pool))

    async def _follow(self, pool: Pool) -> None:
        async for change in pool.changes():
            self.changes.append(change)
            for gone in change.removed:
                del self.there[gone.address]
            self.there.update((one.address, one) for one in (*change.added, *change.updated))
            assert self.there == {one.address: one for one in change.snapshot.backends}


async def test_changes_are_first_the_current_set_and_then_what_differs(disco: Discovery) -> None:
    pool, source = await ready(disco, backend(1), backend(2))
    followed = Followed(pool)
    await until(lambda: followed.changes)
    assert (followed.changes[0].added, followed.changes[0].removed) == ((backend(1), backend(2)), ())
    source.sink.update([backend(3), backend(1, zone="b")], [backend(2).id])
    await until(lambda: len(followed.changes) == 2)
    change = followed.changes[1]
    assert (change.added, change.removed, change.updated) == ((backend(3),), (backend(2),), (backend(1, zone="b"),))
    followed.task.cancel()


async def test_an_empty_pool_that_is_synced_is_a_first_change_too(disco: Discovery) -> None:
    source = Source()
    pool = disco.pool(source)
    followed = Followed(pool)
    await until(lambda: source.runs)
    assert followed.changes == []
    source.sink.replace([])
    await until(lambda: followed.changes)
    assert followed.changes[0].snapshot.backends == ()
    followed.task.cancel()


async def test_a_slow_reader_is_told_the_net_change_and_what_came_and_went_not_at_all(disco: Discovery) -> None:
    pool, source = await ready(disco, backend(1))
    changes = pool.changes()
    await anext(changes)
    source.sink.update([backend(2)], [])
    source.sink.update([backend(3)], [])
    source.sink.update([], [backend(2).id, backend(1).id])
    change = await anext(changes)
    assert (change.added, change.removed, change.updated) == ((backend(3),), (backend(1),), ())
    await changes.aclose()  # type: ignore[attr-defined]
    assert pool._membership.listeners == set()


async def test_not_ready_ones_are_not_told_of_until_they_stand_in(disco: Discovery) -> None:
    leaving = backend(2, ready=False, serving=True, terminating=True)
    pool, source = await ready(disco, backend(1))
    followed = Followed(pool)
    source.sink.update([leaving], [])
    await until(lambda: followed.changes)
    assert list(followed.there) == ["10.0.0.1"]
    source.sink.update([], [backend(1).id])
    await until(lambda: "10.0.0.2" in followed.there)
    assert pool.status.standing_in
    assert not followed.there["10.0.0.2"].ready
    followed.task.cancel()


async def test_changes_end_with_the_pool(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1))
    followed = Followed(pool)
    await until(lambda: followed.changes)
    await pool.aclose()
    await asyncio.wait_for(followed.task, 1)


# Knowing


async def test_the_status_and_the_repr_are_for_operators(disco: Discovery) -> None:
    pool, source = await ready(disco, backend(1), backend(2, ready=False, serving=False))
    status = pool.status
    assert (status.synced, status.backends, status.not_ready, status.stale_for) == (True, 1, 1, 0)
    assert repr(pool).startswith("<Pool test://source 1 ready, 1 not ready, synced ")
    source.sink.failed(OSError("lost"))
    assert "stale for" in repr(pool)
    assert pool.backends == (backend(1),)


# Calling


async def test_a_call_that_never_connected_goes_to_another_backend(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1), backend(2), balancer=RoundRobin())
    asked: list[str] = []

    async def refuse_the_first(one: Backend) -> str:
        asked.append(one.address)
        if len(asked) == 1:
            raise ConnectionRefusedError(111, "refused")
        return one.address

    assert await pool.call(refuse_the_first) == asked[1]
    assert asked[0] != asked[1]


@pytest.mark.parametrize(("idempotent", "attempts"), [(True, 3), (False, 1)])
async def test_a_call_that_may_have_been_done_is_only_repeated_if_it_is_idempotent(
    disco: Discovery, idempotent: bool, attempts: int
) -> None:
    pool, _ = await ready(disco, *map(backend, range(1, 6)))
    asked: list[str] = []

    async def cut(one: Backend) -> None:
        asked.append(one.address)
        raise ConnectionResetError(104, "reset")

    with pytest.raises(RetriesExhausted if idempotent else ConnectionResetError):
        await pool.call(cut, idempotent=idempotent)
    assert len(asked) == len(set(asked)) == attempts
    assert all(one.in_flight == 0 for one in pool.explain())


async def test_what_is_not_the_backends_fault_is_raised_as_it_is(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1), backend(2))

    async def wrong(_: Backend) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await pool.call(wrong, idempotent=True)


async def test_exhausted_retries_say_how_many_and_the_last_cause(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1), retry=RetryPolicy(attempts=2))

    async def refuse(_: Backend) -> None:
        raise ConnectionRefusedError(111, "refused")

    with pytest.raises(RetriesExhausted, match="each of 2 attempts failed") as caught:
        await pool.call(refuse)
    assert caught.value.attempts == 2
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_another_node_is_tried_before_another_backend_of_the_same(disco: Discovery) -> None:
    there = [backend(1, node="a"), backend(2, node="a"), backend(3, node="a"), backend(4, node="b")]
    for _ in range(20):
        pool, _ = await ready(disco, *there, balancer=LeastRequest())
        asked: list[Backend] = []

        async def refuse(one: Backend, asked: list[Backend] = asked) -> None:
            asked.append(one)
            raise ConnectionRefusedError(111, "refused")

        with pytest.raises(RetriesExhausted):
            await pool.call(refuse)
        assert asked[0].node != asked[1].node
        assert len({one.address for one in asked}) == 3


async def test_a_try_that_takes_too_long_is_ended_and_another_made(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1), backend(2), retry=RetryPolicy(per_try_timeout=0.01))
    asked: list[str] = []

    async def hang(one: Backend) -> str:
        asked.append(one.address)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return one.address

    assert await pool.call(hang, idempotent=True) == asked[1]


async def test_a_cancelled_call_leaves_no_count_and_no_failure(disco: Discovery) -> None:
    pool, _ = await ready(disco, backend(1))
    begun = asyncio.Event()

    async def hang(_: Backend) -> None:
        begun.set()
        await asyncio.Event().wait()

    calling = asyncio.create_task(pool.call(hang, idempotent=True))
    await begun.wait()
    assert pool.explain()[0].in_flight == 1
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    node = pool.pick().node
    assert (node.in_flight, node.failures) == (1, 0)
