"""Time limits of one length for many exchanges at once.

A timer of the loop for each request costs more than all else a middleware does. Limits of one length run out in the
order in which they began: so one timer, for the oldest of them, serves all.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls `missed(one)` for each that was started and not stopped within `seconds`; if it says so, once more after.

    Starting and stopping take constant time. While any runs, the loop wakes at most once in `seconds` for nothing.
    """

    __slots__ = ("_loop", "_missed", "_running", "_timer", "seconds")

    def __init__(self, seconds: float, missed: Callable[[T], bool]) -> None:
        self.seconds = seconds
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self._running: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, one: T) -> None:
        """From now."""
        self._running[one] = due = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._look)

    def stop(self, one: T) -> None:
        """In time, or not started at all."""
        self._running.pop(one, None)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = []
        for one, due in self._running.items():
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                break
            late.append(one)
        for one in late:
            if self._running.pop(one, None) is not None and self._missed(one):
                self.start(one)
