"""When the bridge acts: after a moment of quiet, never later than its bound; and after failures less and less often."""

import asyncio
import random

from discovery.bridge.timing import LEAST, MOST, Debounce, Due, Pauses

from ..virtual import run


def test_a_single_change_is_acted_on_after_a_moment_of_quiet() -> None:
    async def check() -> None:
        loop, debounce = asyncio.get_running_loop(), Debounce(0.1, 0.3)
        start = loop.time()
        debounce.wake()
        await debounce.wait()
        assert round(loop.time() - start, 6) == 0.1

    run(check())


def test_a_burst_is_one_change_and_is_not_put_off_for_ever() -> None:
    async def check() -> None:
        loop, debounce = asyncio.get_running_loop(), Debounce(0.1, 0.3)
        start = loop.time()

        async def burst() -> None:
            while True:
                debounce.wake()
                await asyncio.sleep(0.05)

        bursting = asyncio.create_task(burst())
        await asyncio.sleep(0)
        await debounce.wait()
        assert round(loop.time() - start, 6) == 0.3
        bursting.cancel()
        await asyncio.gather(bursting, return_exceptions=True)

    run(check())


def test_what_comes_while_it_acts_is_waited_for_next() -> None:
    async def check() -> None:
        loop, debounce = asyncio.get_running_loop(), Debounce(0.1, 0.3)
        debounce.wake()
        await debounce.wait()
        debounce.wake()
        start = loop.time()
        await debounce.wait()
        assert round(loop.time() - start, 6) == 0.1

    run(check())


def test_with_nothing_changed_it_waits_until_the_time_it_was_given() -> None:
    async def check() -> None:
        loop, debounce = asyncio.get_running_loop(), Debounce(0.1, 0.3)
        until = loop.time() + 7.0
        await debounce.wait(until)
        assert round(loop.time() - until, 6) == 0.0

    run(check())


def test_pauses_grow_with_failures_in_a_row_within_bounds_and_begin_anew() -> None:
    pauses = Pauses(random.Random(0))
    drawn = [pauses.failed() for _ in range(200)]
    assert all(LEAST / 2 <= pause <= MOST for pause in drawn)
    assert max(drawn) > MOST / 2 > max(drawn[:3])
    pauses.worked()
    assert pauses.failed() <= LEAST


def test_what_is_due_is_taken_once_and_a_sooner_time_wins_where_it_is_wanted() -> None:
    now = [0.0]
    due = Due(lambda: now[0])
    assert not due.taken()
    due.after(5.0)
    due.after(9.0, sooner=True)
    now[0] = 4.9
    assert not due.taken()
    now[0] = 5.0
    assert due.taken()
    assert not due.taken()
    due.after(5.0)
    due.after(1.0, sooner=True)
    assert due.at == 6.0
    due.after(7.0)
    assert due.at == 12.0
