"""Limits of one length for many at once, in virtual time: each is told of once, at its time, never before."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from discovery.integrations.deadlines import Deadlines

from ..virtual import run

SECONDS = 1.0
TICK = 0.125
"""Exact in binary, so that virtual times can be compared."""


class Missed:
    """Who was called, and when. `again` says yes to another time, so often for each."""

    def __init__(self, again: dict[int, int] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = self.loop.time()
        self.calls: list[tuple[int, float]] = []
        self.again = again or {}

    def __call__(self, one: int) -> bool:
        self.calls.append((one, self.loop.time() - self.begun))
        self.again[one] = self.again.get(one, 0) - 1
        return self.again[one] >= 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),  # starts at this tick
            st.none() | st.integers(0, 20),  # is stopped so many ticks later, or never
            st.integers(0, 2),  # asks for more time so often
        ),
        max_size=12,
    )
)
def test_whoever_is_not_stopped_is_called_at_its_time_and_nobody_before(
    plans: list[tuple[int, int | None, int]],
) -> None:
    async def scenario() -> None:
        missed = Missed({number: again for number, (_, _, again) in enumerate(plans)})
        deadlines = Deadlines(SECONDS, missed)

        async def one(number: int, start: int, stop: int | None) -> None:
            await asyncio.sleep(start * TICK)
            deadlines.start(number)
            if stop is not None:
                # A moment past the tick: what is due at the very moment of a stop may be called or not.
                await asyncio.sleep(stop * TICK + TICK / 2)
                deadlines.stop(number)

        await asyncio.gather(*(one(number, start, stop) for number, (start, stop, _) in enumerate(plans)))
        await asyncio.sleep(10 * SECONDS)
        expected = [
            (number, start * TICK + turn * SECONDS)
            for number, (start, stop, again) in enumerate(plans)
            for turn in range(1, again + 2)
            if stop is None or turn * SECONDS < stop * TICK + TICK / 2
        ]
        assert sorted(missed.calls) == sorted(expected)

    run(scenario())


def test_the_loop_has_one_timer_however_many_run() -> None:
    async def scenario() -> None:
        deadlines = Deadlines(SECONDS, Missed())
        loop = asyncio.get_running_loop()
        before = len(loop._scheduled)  # type: ignore[attr-defined]
        for number in range(100):
            deadlines.start(number)
        assert len(loop._scheduled) == before + 1  # type: ignore[attr-defined]
        for number in range(100):
            deadlines.stop(number)

    run(scenario())


def test_once_all_are_stopped_the_loop_wakes_once_more_and_then_no_more() -> None:
    async def scenario() -> None:
        missed = Missed()
        deadlines = Deadlines(SECONDS, missed)
        deadlines.start(1)
        deadlines.stop(1)
        await asyncio.sleep(2 * SECONDS)
        assert deadlines._timer is None
        assert missed.calls == []
        deadlines.start(2)
        await asyncio.sleep(2 * SECONDS)
        assert missed.calls == [(2, 3 * SECONDS)]

    run(scenario())


def test_one_that_was_never_started_may_be_stopped() -> None:
    async def scenario() -> None:
        Deadlines(SECONDS, Missed()).stop(1)

    run(scenario())


def test_who_is_stopped_by_another_of_the_same_moment_is_not_called() -> None:
    async def scenario() -> None:
        called: list[int] = []

        def stop_the_next(one: int) -> bool:
            called.append(one)
            deadlines.stop(one + 1)
            return False

        deadlines = Deadlines(SECONDS, stop_the_next)
        for number in (1, 2, 3):
            deadlines.start(number)
        await asyncio.sleep(2 * SECONDS)
        assert called == [1, 3]

    run(scenario())
