"""The discipline of blocking queries: what index to ask with next, and how often at most.

A blocking query comes back when something may have changed, not when something has, and it may come back at once and
for ever: on a catalog where the index moves with every write of anybody, or against a server that does not block.
"""

import random

FIRST = 0.5
"""Seconds that bound the pause after the first failure; it doubles with each."""

LONGEST = 30.0
"""Seconds that bound every pause but that after a refusal."""

DENIED = 30.0
"""Seconds that a refusal by ACL waits at least: rights do not come back in a moment, and every try costs the server."""


def next_index(asked: int, answered: int) -> int:
    """The index to ask with after an answer.

    An index that went back (Consul was restored from a snapshot, or another one answers) starts anew with 0, which does
    not block. Otherwise it is never below 1: a query with the index 0 would not block at all.
    """
    index = max(answered, 1)
    return 0 if index < asked else index


class Pace:
    """A token bucket for a loop that is woken too often: `burst` rounds at once, then one every `interval` seconds."""

    def __init__(self, now: float, *, interval: float = 1.0, burst: int = 2) -> None:
        self._interval = interval
        self._room = (burst - 1) * interval
        self._next = now - self._room

    def delay(self, now: float) -> float:
        """Take a round that may begin in so many seconds, 0 for at once."""
        self._next = max(self._next, now - self._room)
        begins = max(self._next, now)
        self._next += self._interval
        return begins - now


def pause(failures: int, rng: random.Random, reason: str = "") -> float:
    """Seconds to wait after so many failures in a row, from 1 on: exponential, with full jitter.

    After a refusal (`reason` is that of the `ConsulError`) it is 30 to 60 s.
    """
    if reason == "denied":
        return DENIED + rng.uniform(0.0, DENIED)
    return rng.uniform(0.0, min(LONGEST, FIRST * 2.0 ** min(max(failures, 1) - 1, 16)))
