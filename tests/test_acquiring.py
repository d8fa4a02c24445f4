"""Waiting for a lease: in order, never longer than asked, and nothing is left behind by those who give up."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.acquiring import Queue
from discovery.balancing import Key, Node
from discovery.errors import NotReady, Overloaded
from discovery.lease import Lease
from discovery.model import Backend

from . import virtual


class Places:
    """A pool of one backend with so many places."""

    def __init__(self, free: int, most: int = 1000) -> None:
        self.node = Node(Backend(address="10.0.0.1", port=80))
        self.free = free
        self.queue = Queue(self.pick, most)

    def pick(self, key: Key) -> Lease:
        if self.node.in_flight >= self.free:
            raise Overloaded("full")
        self.node.in_flight += 1
        return Lease(self.node, ended=lambda _: self.queue.serve())


async def test_a_free_place_is_taken_at_once() -> None:
    places = Places(1)
    assert (await places.queue.wait(None, 0)).node is places.node


async def test_those_who_wait_are_served_in_their_order_and_nobody_comes_between() -> None:
    places, order = Places(1), list[int]()
    first = places.pick(None)

    async def wait(number: int) -> Lease:
        lease = await places.queue.wait(None, None)
        order.append(number)
        return lease

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    first.release()
    with pytest.raises(Overloaded):
        places.pick(None)
    for task in waiting:
        (await task).release()
    assert order == [0, 1, 2]
    assert places.node.in_flight == 0
    assert len(places.queue) == 0


def test_a_wait_ends_with_what_a_pick_would_say_then() -> None:
    async def scene() -> None:
        places = Places(0)
        start = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded, match="full"):
            await places.queue.wait(None, 2.5)
        assert asyncio.get_running_loop().time() - start == pytest.approx(2.5)
        assert len(places.queue) == 0

    virtual.run(scene())


async def test_when_too_many_wait_already_the_next_is_told_at_once() -> None:
    places = Places(0, most=1)
    waiting = asyncio.create_task(places.queue.wait(None, None))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="full, and 1 wait already"):
        await places.queue.wait(None, None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_bound_is_for_overload_and_not_for_a_pool_that_is_not_ready() -> None:
    def never(_: Key) -> Lease:
        raise NotReady("not yet")

    with pytest.raises(NotReady):
        await Queue(never, 0).wait(None, 0)


async def test_a_lease_that_comes_as_its_waiter_gives_up_is_given_back_without_a_verdict() -> None:
    places = Places(1)
    first = places.pick(None)
    waiting = asyncio.create_task(places.queue.wait(None, None))
    await asyncio.sleep(0)
    first.release()  # the place is the waiter's from now on
    assert places.node.in_flight == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert places.node.in_flight == 0
    assert places.node.successes == 1  # the first one's


async def test_what_closes_the_pool_ends_every_wait() -> None:
    places = Places(0)
    waiting = asyncio.create_task(places.queue.wait(None, None))
    await asyncio.sleep(0)

    def closed(_: Key) -> Lease:
        raise RuntimeError("closed")

    places.queue._pick = closed
    places.queue.serve()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting


@given(st.integers(1, 3), st.lists(st.sampled_from(["wait", "release", "cancel", "turn"]), max_size=40), st.randoms())
def test_any_order_of_waits_ends_and_cancellations_leaves_every_count_right(
    free: int, acts: list[str], rng: random.Random
) -> None:
    async def scene() -> None:
        places, held, tasks = Places(free), list[Lease](), list[asyncio.Task[Lease]]()
        for act in acts:
            if act == "wait":
                tasks.append(asyncio.create_task(places.queue.wait(None, None)))
            elif act == "release" and held:
                held.pop(rng.randrange(len(held))).release()
            elif act == "cancel" and tasks:
                tasks.pop(rng.randrange(len(tasks))).cancel()
            else:
                await asyncio.sleep(0)
            held += [task.result() for task in tasks if task.done()]
            tasks = [task for task in tasks if not task.done()]
            assert places.node.in_flight <= free
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        while tasks or held:
            held += [task.result() for task in tasks if task.done()]
            tasks = [task for task in tasks if not task.done()]
            if held:
                held.pop().release()
            await asyncio.sleep(0)
        assert places.node.in_flight == 0
        assert len(places.queue) == 0

    asyncio.run(scene())


def test_a_place_that_nobody_tells_of_is_found_soon_and_nothing_looks_on_after() -> None:
    async def scene() -> None:
        places = Places(0)
        places.queue = Queue(places.pick, 1000, again=0.01)
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(places.queue.wait(None, None)) for _ in range(2)]
        await asyncio.sleep(5)
        start, places.free = loop.time(), 1
        lease = await waiting[0]
        assert loop.time() - start <= 0.011
        waiting[1].cancel()
        await asyncio.wait(waiting)
        assert places.queue._timer is None
        lease.release()
        assert places.node.in_flight == 0

    virtual.run(scene())
