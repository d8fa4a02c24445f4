"""What is learnt about one backend: one record per target, shared by all its pools, held by each lease.

A lease counts on the record and not on a position in a list, so a backend that leaves and comes back while requests
are under way never gets their count.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..model import Backend


class Watcher(Protocol):
    """What is told of a backend's troubles. Successes of a backend that has none are not told: they are too many."""

    def failed(self, node: "Node", *, throttled: bool) -> None:
        """It failed; `throttled`: it only asked for fewer requests (429)."""

    def recovered(self, node: "Node") -> None:
        """It succeeded, and had failed before."""


class Node:
    """A backend's record.

    `in_flight`: leases held now. `successes`, `failures`: outcomes since it appeared. `consecutive_failures`: since
    the last success; above 0 too where the next success must be told. `index`: its place among those that may be
    picked, -1 where it may not be. `since`: when it last came among them, in seconds of the loop's clock. `latency`:
    what a policy that learns makes of its answers' times, in seconds, 0 where none is known; `measured`: when that was.
    """

    __slots__ = (
        "backend",
        "consecutive_failures",
        "failures",
        "in_flight",
        "index",
        "latency",
        "measured",
        "since",
        "successes",
        "watchers",
    )

    def __init__(self, backend: Backend, watchers: Sequence[Watcher] = ()) -> None:
        self.backend = backend
        self.watchers = watchers
        self.in_flight = 0
        self.successes = 0
        self.failures = 0
        self.consecutive_failures = 0
        self.index = -1
        self.since = 0.0
        self.latency = 0.0
        self.measured = 0.0

    def __repr__(self) -> str:
        return f"<Node {self.backend.netloc} {self.in_flight} in flight>"

    def succeed(self) -> None:
        """An exchange went well. What is called for each request says this with the same three lines of its own."""
        self.successes += 1
        if self.consecutive_failures:
            self.recover()

    def recover(self) -> None:
        """The first success after failures."""
        self.consecutive_failures = 0
        for watcher in tuple(self.watchers):
            watcher.recovered(self)

    def fail(self, *, throttled: bool = False) -> None:
        """An exchange failed. One that was only `throttled` (429) does not count as one of a row (Linkerd)."""
        self.failures += 1
        if not throttled:
            self.consecutive_failures += 1
        for watcher in tuple(self.watchers):
            watcher.failed(self, throttled=throttled)


Key = bytes | str | None
"""What a hash policy places a request by; the others take no notice of it."""

Picker = Callable[[Key], Node]


class Members(Protocol):
    """What a picker picks from. The list is the same object for as long as the pool lives, and changed in place."""

    @property
    def nodes(self) -> list[Node]:
        """The records that may be picked now, in no particular order."""

    @property
    def version(self) -> int:
        """Grows with every change of `nodes`, or of a weight: what was built from them is stale when it differs."""

    @property
    def weighted(self) -> bool:
        """Whether weights differ now. If not, a picker need not ask for any."""

    def weight(self, node: Node) -> float:
        """Of a node, now: above 0. Its backend's, less while it starts slowly."""

    def now(self) -> float:
        """Seconds, of the clock that `Node.since` and `Node.measured` are of."""

    def offload(self, work: Callable[[], None]) -> None:
        """Have long work done in a thread, soon; what it makes, it leaves where the picker looks for it."""
