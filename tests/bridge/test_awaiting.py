"""Several things awaited at once leave nothing behind, whichever of them fails."""

import asyncio

import pytest

from discovery.bridge.awaiting import all_of


async def test_they_come_in_their_order() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def one() -> int:
        await second.wait()
        first.set()
        return 1

    async def other() -> int:
        second.set()
        await first.wait()
        return 2

    assert await all_of([one(), other()]) == [1, 2]


async def test_the_first_that_fails_ends_the_others_and_its_error_comes_as_it_was() -> None:
    ended: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("this one")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    with pytest.raises(KeyError, match="this one"):
        await all_of([waits(), fails()])
    assert ended == ["waits"]


async def test_cancelled_it_leaves_no_task() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    task = asyncio.create_task(all_of([waits(), waits()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
