"""When the bridge acts: once what changes has been quiet for a moment, and later each time after a failure."""

import asyncio
import random
from collections.abc import Callable

LEAST = 0.5
MOST = 30.0
"""Seconds. Pauses after failures grow from the one to the other, each drawn anew (full jitter)."""


class Debounce:
    """Wakes when something has changed and nothing more has for `quiet` seconds, after `most` seconds even so."""

    def __init__(self, quiet: float, most: float) -> None:
        self._quiet = quiet
        self._most = most
        self._event = asyncio.Event()
        self._first = self._last = 0.0

    def wake(self) -> None:
        """Something has changed."""
        self._last = asyncio.get_running_loop().time()
        if not self._event.is_set():
            self._first = self._last
            self._event.set()

    async def wait(self, until: float | None = None, *, settle: bool = True) -> None:
        """Wait for a change, and unless told otherwise for it to settle, but no longer than `until` (loop's time)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until):
                await self._event.wait()
        except TimeoutError:
            return
        while settle and (left := min(self._last + self._quiet, self._first + self._most) - loop.time()) > 0:  # noqa: ASYNC110 - a time
            await asyncio.sleep(left)  # more may come meanwhile, and put the end off
        self._event.clear()


class Pauses:
    """How long to wait after failures in a row."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def failed(self) -> float:
        """One more; returns the seconds to wait."""
        self._failures += 1
        longest = min(MOST, LEAST * 2.0 ** min(self._failures - 1, 16))
        return self._rng.uniform(LEAST / 2, longest)

    def worked(self) -> None:
        """None in a row any more."""
        self._failures = 0


class Due:
    """What is to be done at a time: set, and asked for."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.at: float | None = None

    def after(self, seconds: float, *, sooner: bool = False) -> None:
        """In so many seconds; with `sooner`, unless it is due before that."""
        at = self._now() + seconds
        if not sooner or self.at is None or at < self.at:
            self.at = at

    def taken(self) -> bool:
        """Whether it is due; it is not any more then."""
        if self.at is None or self.at > self._now():
            return False
        self.at = None
        return True
