"""Long work on the event loop, cut so that others get their turn."""

import asyncio
import time

SLICE = 0.002
"""Seconds of work after which a turn is given: what a request may have to wait, at most."""


class Turns:
    """Says when it is time to let others go on. One for each task."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def start(self) -> None:
        """Work begins now, after a wait."""
        self._since = time.perf_counter()

    def due(self) -> bool:
        """Whether the work since the last turn has been long enough."""
        return time.perf_counter() - self._since > SLICE

    async def give(self) -> None:
        """Let every other task that is ready run once."""
        await asyncio.sleep(0)
        self._since = time.perf_counter()
