"""A service in virtual time: backends that answer, refuse or hang, one client that sends to them at a steady rate.

The client is as plain as it can be: round robin among those that are not out, among all where fewer than half are left,
one retry elsewhere for each failure as long as a budget of a fifth of the requests allows.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count

import attrs

from discovery.balancing.node import Node
from discovery.balancing.outlier import OutlierDetection, Probe

from .watched import Watched

ANSWER = 0.005
PER_TRY_TIMEOUT = 0.5
RETRIES = 0.2
SAVED = 5


@attrs.define
class Request:
    began: float
    tried: list[Node] = attrs.field(factory=list)


@attrs.define
class Done:
    """A request that is over: how long it took, whether it was answered, how many attempts it had."""

    began: float
    took: float
    answered: bool
    attempts: int


class Service:
    """`works(index, now)`: True where the backend answers, False where it fails at once, None where it hangs."""

    def __init__(self, count_: int, works: Callable[[int, float], bool | None], *, rate: float) -> None:
        self.watched = Watched(count_, OutlierDetection())
        self.start = self.watched.now
        self.attempts: Counter[tuple[int, int]] = Counter()  # of a backend in a second
        self.done: list[Done] = []
        self._works = works
        self._rate = rate
        self._place = {node: index for index, node in enumerate(self.watched.nodes)}
        self._turns = dict.fromkeys(self.watched.nodes, 0)  # when each was last picked
        self._balance = 0.0
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def run(self, seconds: float) -> None:
        for number in range(int(seconds * self._rate)):
            self._at(self.start + number / self._rate, self._arrive)
        while self._events:
            at, _, event = heapq.heappop(self._events)
            self.watched.rest(at - self.watched.now)
            event()

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _arrive(self) -> None:
        self._balance = min(self._balance + RETRIES, SAVED)
        self._send(Request(self.watched.now))

    def _pick(self, tried: list[Node]) -> Node:
        watched = self.watched
        if not tried and watched.detector.wanted():
            probe = watched.detector.probe()
            assert probe is not None
            return probe
        usable = watched.usable
        nodes = usable if 2 * len(usable) >= len(watched.nodes) else watched.nodes
        ids = {node.backend.id for node in tried}
        nodes = [node for node in nodes if node.backend.id not in ids] or nodes
        return min(nodes, key=self._turns.__getitem__)

    def _send(self, request: Request) -> None:
        node, now = self._pick(request.tried), self.watched.now
        record = node.node if isinstance(node, Probe) else node
        self._turns[record] = next(self._order)
        index = self._place[record]
        self.attempts[index, int(now - self.start)] += 1
        request.tried.append(node)
        node.in_flight += 1
        works = self._works(index, now - self.start)
        self._at(now + (PER_TRY_TIMEOUT if works is None else ANSWER), lambda: self._end(request, node, works))

    def _end(self, request: Request, node: Node, works: bool | None) -> None:
        if works:
            node.succeed()
        else:
            node.fail()
        node.in_flight -= 1
        if not works and len(request.tried) < 3 and self._balance >= 1:
            self._balance -= 1
            self._send(request)
        else:
            took = self.watched.now - request.began
            self.done.append(Done(request.began - self.start, took, bool(works), len(request.tried)))
