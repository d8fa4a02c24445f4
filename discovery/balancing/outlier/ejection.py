"""What is known of one backend that is out, and when each asks for its probe."""

import heapq
from collections.abc import Iterator
from itertools import count

import attrs

from ..node import Node
from .probe import Probe


@attrs.define(eq=False, kw_only=True)
class Ejection:
    """Why a backend must not be picked now.

    Either it is ejected for a time, or, in an outage, it is a suspect, which is probed soon and ever more rarely.

    `seconds`: from going out, or from the last probe, to the next. `times`: its ejections so far, this one included
    unless it is a suspect, less the intervals it was well. `asks_at`: when it asks for a probe; None while it does.
    `probe`: the last one sent, until its outcome is known. `known`: with so many outcomes of a suspect, all may be of
    requests sent before it was one.
    """

    node: Node
    why: str
    times: int
    seconds: float = 0.0
    suspect: bool = False
    asks_at: float | None = None
    probe: Probe | None = None
    known: int = 0

    @property
    def reason(self) -> str:
        """For people: what is done to it, and why."""
        asks = "; its probe is due" if self.asks_at is None else ""
        if self.suspect:
            return f"suspect: {self.why}, probed every {self.seconds:g} s{asks}"
        return f"ejected for {self.seconds:g} s after {self.why}{asks}"


class Schedule:
    """When which ejection asks for its probe."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Ejection]] = []
        self._order = count()

    def put(self, ejection: Ejection, at: float) -> None:
        """It asks at this time, and at no other."""
        ejection.asks_at = at
        heapq.heappush(self._heap, (at, next(self._order), ejection))

    def first(self) -> float | None:
        """When the first one asks."""
        while self._heap:
            at, _, ejection = self._heap[0]
            if ejection.asks_at == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> Iterator[Ejection]:
        """Those that ask now; each is given once."""
        while (first := self.first()) is not None and first <= now:
            ejection = heapq.heappop(self._heap)[2]
            ejection.asks_at = None
            yield ejection
