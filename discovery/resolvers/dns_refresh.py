"""What is known of one question to the DNS, and when it is asked again. Pure.

A record holds for its TTL: to ask sooner costs the server, to ask later shows what is gone. Failures say nothing of the
name, so what was known holds on. That there are no records any more is believed at the second telling: else a server
that lacks its data for a moment (a restart, a zone being loaded) would empty every pool at once.
"""

import random

import attrs

from ..dns.answers import ABSENT, Answer
from ..errors import ResolutionError

FLOOR = 1.0
"""Seconds. A TTL of 0 is asked for this often (the kubelet's and CoreDNS's smallest useful figure is 1 to 5)."""

CEILING = 300.0
"""Seconds. A longer TTL is not trusted that long: records are changed before their TTL has been lowered."""

NEGATIVE_CEILING = 30.0
"""Seconds within which a name is found that had no records, whatever its zone says (stock CoreDNS: 30)."""

EARLIER = 0.1
"""The part of a TTL by which a question may be early, so that clients and names part."""

FIRST_EARLIER = 0.5
"""The same for the first time: a thousand names of a process that has just started are not all due within a moment."""

TICK = 0.1
"""Seconds. Refreshes are put on multiples of this, where that is early enough: to wake for several questions at once
takes half the processor time that it takes for each alone."""

SECOND_LOOK = 0.5
"""Seconds until what a server says to be gone is asked for once more: within a TTL and one second it has left."""

RETRY = 1.0
RETRY_CAP = 30.0
"""Seconds. Pauses after failures: from half of RETRY, doubled each time, up to RETRY_CAP."""


@attrs.frozen(kw_only=True)
class Known:
    """What is known of one question.

    Attributes:
        answer: the records that hold; None where there are none.
        nothing: the server's word that there are none.
        error: why the last lookup said nothing.
        heard: when a server last said something, in the loop's time.
        failures: in a row.
        doubted: the records are said to be gone, which has been told once.
    """

    answer: Answer | None = None
    nothing: ResolutionError | None = None
    error: ResolutionError | None = None
    heard: float | None = None
    failures: int = 0
    doubted: bool = False

    @property
    def answered(self) -> bool:
        """Whether a server has ever said something."""
        return self.heard is not None

    def same(self, other: "Known") -> bool:
        """Whether both come to the same: the TTL is not looked at, nor how often it was asked."""
        return (self.error is other.error) and _records(self) == _records(other)


def _records(known: Known) -> object:
    held = known.answer
    if held is None:
        return known.nothing and known.nothing.reason
    return held.addresses, held.services, held.additional


def step(known: Known, outcome: Answer | ResolutionError, now: float) -> Known:
    """What is known after a lookup that ended at `now`."""
    if isinstance(outcome, Answer):
        return Known(answer=outcome, heard=now)
    if outcome.reason not in ABSENT:
        return attrs.evolve(known, error=outcome, failures=known.failures + 1)
    if known.answer is not None and not known.doubted:
        return attrs.evolve(known, failures=0, doubted=True)
    return Known(nothing=outcome, heard=now)


def pause(known: Known, now: float, rng: random.Random, *, first: bool = False, relaxed: bool = False) -> float:
    """Seconds from `now` until the next lookup.

    Args:
        known: after the last one.
        now: the loop's time.
        rng: spreads them.
        first: there has been no answer before.
        relaxed: the name has other records, which serve.
    """
    if known.failures:
        return min(RETRY_CAP, RETRY * 2.0 ** min(known.failures - 1, 32)) * rng.uniform(0.5, 1.0)
    if known.doubted:
        return SECOND_LOOK
    told = known.answer or known.nothing
    ceiling = CEILING if known.answer is not None or relaxed else NEGATIVE_CEILING
    last = max(FLOOR, min(told.ttl if told is not None else FLOOR, ceiling))
    earlier = FIRST_EARLIER if first else EARLIER
    least = max(FLOOR, last * (1.0 - earlier))
    seconds = max(FLOOR, last * (1.0 - rng.uniform(0.0, earlier)))
    tick = (now + seconds) // TICK * TICK - now
    return next((one for one in (tick, tick + TICK) if least <= one <= last), seconds)
