"""Waiting for a state, never for a time."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object], timeout: float = 5.0) -> None:
    """Let everything else go on until the condition holds.

    Raises:
        TimeoutError: it does not, after so many seconds.
    """
    async with asyncio.timeout(timeout):
        while not holds():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.001)
