"""Some of many backends, so that a client's connections are few enough to be used again.

A client of thousands of backends would open thousands of connections, each of them cold most of the time. It is given
a subset of its own: the first of all backends in an order that is random, but the same for good (rendezvous hashing,
gRFC A68). So one backend more or less changes at most one member, clients need not know of each other, and a client
that comes back under its old name finds its old subset. Which of the members is picked is the balancer's business.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from operator import itemgetter

import attrs

from ..checks import text, whole
from .hashing import encoded, xxh64
from .node import Node

Rank = tuple[int, str, str]
"""A backend's place in the order of one client: its hash; equal ones by netloc, then by pod."""

_RANK = itemgetter(0)
_RESERVE = 2
"""Times the size: how many of the first are kept in order, so that all are looked at once in `size` departures."""


@attrs.frozen(kw_only=True)
class Subset:
    """How many of the backends one client uses, and which.

    Args:
        size: backends that it uses; None is all of them, however many. At or below this number all are used. The
            SRE book (chapter 20) finds 20 to 100 right for most services; 100, the most of that, is also Spring's. The
            more there are, the more evenly the clients of a service load it: with `C` clients the most loaded of
            `N` backends serves some `sqrt(2 · ln(N) · N / (size · C))` more than the mean.
        client: what tells this client from others: the same text has the same subset in every process and version.
            None is the host's name and the process's number, so each worker has a subset of its own.

    Raises:
        ConfigurationError: a size below 1, or an empty text.
    """

    size: int | None = attrs.field(default=100, validator=whole(least=1, optional=True))
    client: str | None = attrs.field(default=None, validator=text(optional=True))

    @property
    def identity(self) -> str:
        """The text that tells this client from others."""
        return self.client or f"{os.uname().nodename}/{os.getpid()}"


def score(name: str, seed: int) -> int:
    """The hash that a client of this seed orders a name by: XXH64, as gRFC A68 has it."""
    return xxh64()(encoded(name), seed)


def seed_of(client: str) -> int:
    """A client's seed, from what tells it from others."""
    return score(client, 0)


class Chosen:
    """The live subset of one client.

    What is kept in order is the first `2 · size` of all, of which the members are the first `size`. A change costs
    what changed; only when departures have used up the reserve are all backends looked at.

    Args:
        size: members, at most.
        seed: `seed_of(client)`.
        everybody: the live list of what may be chosen, of which no two have the same `BackendId`. It is up to date
            whenever `update` is called.
    """

    def __init__(self, size: int, seed: int, everybody: Sequence[Node]) -> None:
        self.nodes: list[Node] = []
        self._size = size
        self._seed = seed
        self._everybody = everybody
        self._ranked: list[tuple[Rank, Node]] = []
        self._bound: Rank | None = None  # all up to this one are in `_ranked`; None: all there are
        self._moved: dict[Node, int] = {}
        self._refill()

    def update(self, entered: Iterable[Node], left: Iterable[Node]) -> tuple[list[Node], list[Node]]:
        """These came to everybody and those went; returns what therefore entered and left the subset.

        What it knows to be there, or not to be, is passed over.
        """
        self._moved = {}
        for node in left:
            self._take_out(node)
        for node in entered:
            self._put_in(node)
        if self._bound is not None and len(self._ranked) < self._size:
            self._refill()
        came = [node for node, times in self._moved.items() if times > 0]
        return came, [node for node, times in self._moved.items() if times < 0]

    def _rank(self, node: Node) -> Rank:
        backend = node.backend
        return score(backend.netloc, self._seed), backend.netloc, backend.id.uid

    def _take_out(self, node: Node) -> None:
        at = bisect_left(self._ranked, self._rank(node), key=_RANK)
        if not self._holds(at, node):
            return
        del self._ranked[at]
        if at < self._size:
            self._move(self.nodes.pop(at), -1)
            for _, next_one in self._ranked[self._size - 1 : self._size]:
                self.nodes.append(next_one)
                self._move(next_one, 1)

    def _put_in(self, node: Node) -> None:
        rank = self._rank(node)
        if self._bound is not None and rank > self._bound:
            return
        at = bisect_left(self._ranked, rank, key=_RANK)
        if self._holds(at, node):
            return
        self._ranked.insert(at, (rank, node))
        if at < self._size:
            self.nodes.insert(at, node)
            self._move(node, 1)
            if len(self.nodes) > self._size:
                self._move(self.nodes.pop(), -1)
        self._trim()

    def _holds(self, at: int, node: Node) -> bool:
        return at < len(self._ranked) and self._ranked[at][1] is node

    def _trim(self) -> None:
        if len(self._ranked) > _RESERVE * self._size:
            self._ranked.pop()
            self._bound = self._ranked[-1][0]

    def _refill(self) -> None:
        """Look at all of them."""
        kept = _RESERVE * self._size
        self._ranked = nsmallest(kept, ((self._rank(node), node) for node in self._everybody), key=_RANK)
        self._bound = self._ranked[-1][0] if len(self._everybody) > kept else None
        members = [node for _, node in self._ranked[: self._size]]
        for node in self.nodes:
            self._move(node, -1)
        for node in members:
            self._move(node, 1)
        self.nodes[:] = members

    def _move(self, node: Node, by: int) -> None:
        self._moved[node] = self._moved.get(node, 0) + by
