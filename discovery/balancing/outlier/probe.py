"""The one request that a backend which is out is tried with."""

from collections.abc import Callable
from typing import Any

from ..node import Node


def _shared(name: str) -> Any:
    """What the backend's record has by this name, to be read and written."""

    def read(probe: "Probe") -> Any:
        return getattr(probe.node, name)

    def write(probe: "Probe", value: Any) -> None:
        setattr(probe.node, name, value)

    return property(read, write, doc=f"As the backend's record has it: `{name}`.")


class Probe(Node):
    """A record for one exchange with the backend of `node`.

    Answers to requests sent before the ejection may still come: a record of its own tells the probe's outcome from
    theirs. Load, latency and age are the backend's; the outcomes counted here are not counted there. A 429 fails it, as
    in Linkerd: who asks for fewer requests is not to get its whole share back.

    Args:
        node: the backend's record.
        judged: called with True after a success, False after a failure, None when the exchange is over; that may come
            before its outcome.
        now: when it is sent.
    """

    __slots__ = ("_held", "_judged", "node", "sent_at")

    backend = _shared("backend")
    index = _shared("index")
    latency = _shared("latency")
    measured = _shared("measured")
    since = _shared("since")

    def __init__(self, node: Node, judged: Callable[["Probe", bool | None], None], now: float) -> None:
        self.node = node
        self.sent_at = now
        self.watchers = ()
        self.successes = 0
        self.failures = 0
        self.consecutive_failures = 1  # so that the first success is told
        self._judged = judged
        self._held = 0

    @property
    def in_flight(self) -> int:
        """Of the backend, this one included."""
        return self.node.in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._held += count - self.node.in_flight
        self.node.in_flight = count
        if not self._held:
            self._judged(self, None)

    def recover(self) -> None:
        """It succeeded."""
        self.consecutive_failures = 0
        self._judged(self, True)

    def fail(self, *, throttled: bool = False) -> None:
        """It failed, or was told that there are too many requests."""
        self.failures += 1
        self._judged(self, False)
