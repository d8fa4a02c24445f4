"""How much trying again a service can bear: what keeps an outage from being made worse by those who call.

Retries and hedges of a target are paid for by its requests. Once the budget is spent, failures are final at once. A
request is told here one time, whatever becomes of it; what is worth a retry is not decided here.
"""

from collections.abc import Callable

import attrs

from ..checks import number

SECOND, SECOND_SLOTS = 1.0, 50
"""The window that forbids to spend savings at once, and its slots: it ends at most 20 ms late."""

TENTH, TENTH_SLOTS = 0.1, 5
"""The window that spreads what a second may spend over it."""

TTL_SLOTS = 10
"""The slots of the long window, as many as Finagle and tower have."""


@attrs.frozen(kw_only=True)
class RetryBudget:
    """How many retries and hedges there may be, of all pools of a target with an equal budget.

    Within the last `ttl` seconds at most `ratio` for each request, and `minimum_per_second` for each second (Finagle's
    RetryBudget, tower's TpsBudget). And within the last second at most `minimum_per_second`, or `ratio` for each
    request of it, or of a mean second of the last `ttl`, whichever is the most: so the savings of ten quiet seconds
    cannot be spent at once on a service that has just broken down. A tenth of a second, likewise, has at most
    `minimum_per_second`, or `ratio` for each of its requests. One retry is always within these shares. While a pool of
    the target is in panic for an outage of the whole service, `minimum_per_second` is all there is: to try again would
    only make it worse.

    From 50 requests a second on the default allows a fifth of them: a service that is down gets 1.2 times its load.

    Args:
        ratio: retries for each request, from 0 to 1. 0.2 is Finagle's and tower's.
        minimum_per_second: retries a second that a client of few requests has besides, at least 0. 10 is theirs too.
        ttl: seconds for which a request counts, 1 to 60, counted in tenths of it. 10 is theirs too.

    Raises:
        ConfigurationError: a number out of its range.
    """

    ratio: float = attrs.field(default=0.2, validator=number(least=0, most=1))
    minimum_per_second: float = attrs.field(default=10, validator=number(least=0))
    ttl: float = attrs.field(default=10, validator=number(least=1, most=60))


class Budget:
    """What is left of a `RetryBudget`: one per target.

    Args:
        spec: what is allowed.
        clock: seconds that never go back, such as an event loop's `time`.
    """

    __slots__ = ("_asked", "_clock", "_due", "_second", "_spec", "_tenth", "_ttl", "outages")

    def __init__(self, spec: RetryBudget, clock: Callable[[], float]) -> None:
        self._spec = spec
        self._clock = clock
        now = clock()
        self._tenth = _Window(TENTH, TENTH_SLOTS, now)
        self._second = _Window(SECOND, SECOND_SLOTS, now)
        self._ttl = _Window(spec.ttl, TTL_SLOTS, now)
        self.outages = 0  # pools that see the whole service down: then requests pay for nothing
        self._asked = 0  # requests that no window has been told of yet
        self._due = self._second.until()

    def __repr__(self) -> str:
        return f"<Budget {self.balance:.1f} left>"

    def deposit(self) -> None:
        """A request, once: its retries and hedges are none. It is called for each, and does next to nothing."""
        if self._clock() >= self._due:
            self._settle()
        self._asked += 1

    def withdraw(self) -> bool:
        """Take one retry or hedge; False, and nothing taken, where there is none."""
        if self.balance < 1:
            return False
        for window in (self._tenth, self._second, self._ttl):
            window.spend()
        return True

    @property
    def balance(self) -> float:
        """What may be withdrawn now, never negative."""
        self._settle()
        spec, second, ttl = self._spec, self._second, self._ttl
        saved = spec.ratio * ttl.requests + spec.minimum_per_second * spec.ttl - ttl.retries
        shares = (self._share(window) for window in (self._tenth, second))
        return max(0.0, min(saved, *shares))

    def _share(self, window: "_Window") -> float:
        """What is left of a short window."""
        busiest = max(window.requests, self._ttl.requests / self._ttl.longest * window.seconds)
        if self.outages:
            busiest = 0.0
        return max(1.0, self._spec.ratio * busiest, self._spec.minimum_per_second) - window.retries

    def _settle(self) -> None:
        """Tell the windows what came since, then what time it is."""
        now = self._clock()
        for window in (self._tenth, self._second, self._ttl):
            window.add(self._asked)
            window.move(now)
        self._asked = 0
        self._due = self._second.until()


class _Window:
    """Requests and retries of the last while: in the slot under way, and in as many full ones as make it up.

    So it is never shorter than it should be, and at most one slot longer: `longest`, in seconds.
    """

    __slots__ = ("_length", "_place", "_requests", "_retries", "_tick", "longest", "requests", "retries", "seconds")

    def __init__(self, seconds: float, slots: int, now: float) -> None:
        self.seconds = seconds
        self._length = seconds / slots
        self.longest = seconds + self._length
        self._tick = int(now / self._length)
        self._place = 0
        self._requests = [0] * (slots + 1)
        self._retries = [0] * (slots + 1)
        self.requests = 0
        self.retries = 0

    def until(self) -> float:
        """When the slot under way is over."""
        return (self._tick + 1) * self._length

    def add(self, requests: int) -> None:
        """So many more in the slot under way."""
        self._requests[self._place] += requests
        self.requests += requests

    def spend(self) -> None:
        """One retry, in the slot under way."""
        self._retries[self._place] += 1
        self.retries += 1

    def move(self, now: float) -> None:
        """Forget what has become too old."""
        tick = int(now / self._length)
        size = len(self._requests)
        for _ in range(min(tick - self._tick, size)):
            self._place = (self._place + 1) % size
            self.requests -= self._requests[self._place]
            self.retries -= self._retries[self._place]
            self._requests[self._place] = self._retries[self._place] = 0
        self._tick = max(self._tick, tick)
