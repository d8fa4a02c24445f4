"""When a second copy of a request is worth sending, though the first may still be answered.

Nobody can tell a slow answer from a lost one; but what takes longer than 98 in 100 answers did will likely take much
longer. Who runs the copies is `discovery.racing`.
"""

import math
import operator
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate

import attrs

from ..checks import number, seconds
from .budget import Budget, RetryBudget

ENOUGH = 100
"""Answers without which there is no percentile to speak of, and no hedge."""

GENERATION = 15.0
"""Seconds after which answers begin to be forgotten: the window of Finagle's percentile."""

REFRESH = 16
"""The percentile is looked up anew when one part in so many has been added to what it is of."""

PARTS = 16
"""Of each doubling of the time: a percentile is known to one part in 16."""

LEAST, GREATEST = -20, 12
"""Powers of two between which times are told apart, in seconds: 1 µs to an hour."""

BUCKETS = (GREATEST - LEAST) * PARTS


@attrs.frozen(kw_only=True)
class Hedging:
    """A second copy, on another backend, of an idempotent request that takes longer than most; the first answer wins.

    After Dean and Barroso, The Tail at Scale (2013), Finagle's BackupRequestFilter and gRPC's hedging (A6). A copy is
    one of the attempts of `RetryPolicy`. It is sent only while both its own budget and the policy's allow one, and not
    before 100 answers of the target are known.

    Args:
        percentile: of the answers' times after which the copy is sent: from 1 (98 is 98 %) to below 100. With 98, two
            requests in a hundred get one.
        minimum_delay: seconds to wait at least, above 0. 1 ms is Finagle's: below that a copy costs more than it saves.
        ratio: copies for each request, from 0 to 1, however slow all answers become: within the last ten seconds, and
            within any one as `RetryBudget` has it.

    Raises:
        ConfigurationError: a number out of its range.
    """

    percentile: float = attrs.field(default=98, validator=number(least=1, most=99.999))
    minimum_delay: float = attrs.field(default=0.001, validator=seconds())
    ratio: float = attrs.field(default=0.05, validator=number(above=0, most=1))


class Latencies:
    """How long a target's answers took, and so how long to wait before a hedge; with the hedges' own budget.

    A histogram of two generations. The older is forgotten when the younger is `GENERATION` seconds old and knows
    enough to speak alone.

    Args:
        spec: which percentile.
        clock: seconds that never go back, such as an event loop's `time`.
    """

    __slots__ = ("_born", "_clock", "_left", "_old", "_spec", "_young", "budget", "delay")

    def __init__(self, spec: Hedging, clock: Callable[[], float]) -> None:
        self._spec = spec
        self._clock = clock
        self._born = clock()
        self._old = _Histogram()
        self._young = _Histogram()
        self._left = ENOUGH
        self.budget = Budget(RetryBudget(ratio=spec.ratio, minimum_per_second=0), clock)
        self.delay: float | None = None  # seconds to wait before a hedge; None while too little is known

    def __repr__(self) -> str:
        return f"<Latencies {self._old.count + self._young.count} known, hedges after {self.delay}>"

    def observe(self, seconds: float) -> None:
        """An answer took so long, or was given up after so long; what is no time is passed over."""
        if not 0 < seconds < math.inf:
            return
        young = self._young
        young.count += 1
        mantissa, power = math.frexp(seconds)
        place = (power - 1 - LEAST) * PARTS + int((2 * mantissa - 1) * PARTS)
        young.buckets[0 if place < 0 else place if place < BUCKETS else -1] += 1
        self._left -= 1
        if self._left <= 0:
            self._refresh()

    def _refresh(self) -> None:
        known = self._old.count + self._young.count
        self._left = max(ENOUGH, known) // REFRESH
        if known >= ENOUGH:
            self.delay = max(self._spec.minimum_delay, self._percentile(known))
        now = self._clock()
        if self._young.count >= ENOUGH and now - self._born >= GENERATION:
            self._old, self._young, self._born = self._young, _Histogram(), now

    def _percentile(self, known: int) -> float:
        """The upper end of the bucket that the percentile is in."""
        counts = map(operator.add, self._old.buckets, self._young.buckets)
        place = bisect_left(list(accumulate(counts)), known * self._spec.percentile / 100)
        power, part = divmod(place + 1, PARTS)
        return math.ldexp(1 + part / PARTS, power + LEAST)


class _Histogram:
    """Times, counted in buckets that grow with them."""

    __slots__ = ("buckets", "count")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.count = 0
