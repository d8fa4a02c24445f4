"""What is learnt about one backend: one record per target, shared by all its pools, held by each lease.

A lease counts on the record and not on a position in a list, so a backend that leaves and comes back while requests
are under way never gets their count.
"""

from collections.abc import Callable
from typing import Protocol

from ..model import Backend


class Node:
    """A backend's record.

    `in_flight`: leases held now. `successes`, `failures`: outcomes since it appeared. `consecutive_failures`: since
    the last success. `index`: its place among those that may be picked, -1 where it may not be.
    """

    __slots__ = ("backend", "consecutive_failures", "failures", "in_flight", "index", "successes")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.in_flight = 0
        self.successes = 0
        self.failures = 0
        self.consecutive_failures = 0
        self.index = -1

    def __repr__(self) -> str:
        return f"<Node {self.backend.netloc} {self.in_flight} in flight>"


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
        """Grows with every change of `nodes`: what was built from them is stale when it differs."""
