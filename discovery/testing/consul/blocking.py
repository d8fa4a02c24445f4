"""Blocking queries: a read that waits until there is something new where it looked."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs

from .acl import Access
from .tables import State, Topic

WAIT, WAIT_MAX = 300.0, 600.0
"""Seconds: how long a query waits that does not say, and that says too much."""


@attrs.frozen(kw_only=True)
class Found:
    """What a read came to.

    Attributes:
        index: of the answer.
        topics: where a change ends the waiting.
        render: the rows that somebody may see, and whether others were left out.
        missing: there is nothing there: it goes on waiting until there is, whatever the index.
    """

    index: int
    topics: frozenset[Topic]
    render: Callable[[Access], tuple[Any, bool]]
    missing: bool = False


Query = Callable[[], Found]


async def answered(state: State, query: Query, index: int, wait: float, access: Access) -> tuple[int, Any, bool]:
    """The query's index, rows and whether some were left out, when its index is above this one or the time is over.

    Args:
        state: which is read.
        query: reads it.
        index: 0 does not wait.
        wait: seconds.
        access: of who asks.
    """
    found = query()
    if index == 0:
        return found.index, *found.render(access)
    last: tuple[int, Any, bool] | None = None
    woken = asyncio.Event()

    def look(touched: frozenset[Topic] | None) -> None:
        nonlocal last
        if touched is None:  # the state is about to be another: what it was is the answer
            last = last or (found.index, *found.render(access))
            woken.set()
        elif touched & found.topics:
            woken.set()

    state.listeners.add(look)
    try:
        async with asyncio.timeout(min(wait, WAIT_MAX)):
            was_missing = found.missing
            while found.index <= index:
                await woken.wait()
                if last is not None:
                    return last
                woken.clear()
                found = query()
                if found.missing and was_missing:
                    index = max(index, found.index)
                was_missing = was_missing or found.missing
    except TimeoutError:
        found = query()
    finally:
        state.listeners.discard(look)
    return found.index, *found.render(access)
