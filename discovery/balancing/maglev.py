"""Each key at a backend of its own, by a table in which all have their share to the slot."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapreplace
from itertools import cycle
from math import ceil
from typing import Any, ClassVar

import attrs

from ..checks import whole
from ..errors import ConfigurationError
from .hashing import Digest, encoded, order, weight, xxh64
from .node import Key, Members, Node, Picker
from .primes import is_prime, next_prime
from .random_choice import Random
from .rendezvous import MASK, Owners

LARGEST = 5_000_011
"""Slots of a table at most, as in Envoy."""
AT_ONCE = 1536
"""Slots and backends up to which a table is built while the pick waits: within two milliseconds."""
NEVER = 1 << 60
"""Rounds after which no table is built any more."""


def _table_size(instance: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    whole(least=2)(instance, attribute, value)
    if value > LARGEST:
        raise ConfigurationError(f"{attribute.name}={value} is above {LARGEST:,}")
    if not is_prime(value):
        raise ConfigurationError(
            f"{attribute.name}={value} is not a prime number", next_step=f"The next one is {next_prime(value)}"
        )


@attrs.frozen(kw_only=True)
class Maglev:
    """The same backend for the same key, in every process, whatever order they are listed in.

    Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4) with Envoy's hashes and weights: Envoy with the same
    backends fills the same table. Shares are even to within a slot. A backend that leaves moves its own keys and hardly
    any others: with 100 backends and 10,007 slots 1.7 % of them. A request without a key goes to a random one.

    A table of 65,537 slots takes some 0.05 s of a thread to build. Meanwhile the one before is used; what it has at a
    backend that left, and all where there was none, is placed by rendezvous hashing.

    Args:
        table_size: slots; a prime number, best above 100 times the backends, for shares that differ by 1 % (the paper).
            Envoy's default, 65,537. At most 5,000,011.

    Raises:
        ConfigurationError: `table_size` is no prime number, or too large.
    """

    keyed: ClassVar[bool] = True

    table_size: int = attrs.field(default=65537, validator=_table_size)

    def picker(self, members: Members, rng: random.Random) -> Picker:
        """The key's own, at each call."""
        digest, size = xxh64(), self.table_size
        tables = Tables(members, size, digest)
        anyone = Random().picker(members, rng)

        def pick(key: Key) -> Node:
            if key is None:
                return anyone(None)
            place = digest(encoded(key) if isinstance(key, str) else key)
            if members.version == tables.version:
                return tables.table[place % size]
            return tables.find(place)

        return pick


class Tables:
    """The table in use, and the one that is being built. `version`: of the members that `table` is right for."""

    def __init__(self, members: Members, size: int, digest: Digest) -> None:
        self.version = -1
        self.table: Sequence[Node] = ()
        self._members = members
        self._size = size
        self._digest = digest
        self._seen = -1
        self._wanted: Mapping[Node, float] = {}
        self._made_of: Mapping[Node, float] = {}
        self._building: Build | None = None
        self._stopgap: Owners | None = None

    def find(self, place: int) -> Node:
        """For when the table is not known to be right."""
        if self._members.version != self._seen:
            self._seen = self._members.version
            self._wanted = {node: weight(node) for node in self._members.nodes}
            self._renew()
        elif self._building is not None and self._building.table:
            self._renew()
        node = self.table[place % self._size] if self.table else None
        if node is not None and node in self._wanted:
            return node
        if self._stopgap is None:
            self._stopgap = Owners(self._members, self._digest)
        return self._stopgap.of(place & MASK)

    def _renew(self) -> None:
        """Take over what has been built; where that is not of what there is now, begin anew."""
        if self._building is not None and self._building.table:
            self._use(self._building)
            self._building = None
        if self._made_of != self._wanted and self._building is None:
            build = Build(self._wanted, self._size, self._digest)
            if self._size + len(self._wanted) <= AT_ONCE:
                build.run()
                self._use(build)
            else:
                self._building = build
                self._members.offload(build.run)
        if self._made_of == self._wanted:
            self.version = self._seen
            self._stopgap = None

    def _use(self, build: "Build") -> None:
        self.table, self._made_of = build.table, build.weights


class Build:
    """A table in the making, by any thread: `table` is empty until all of it is there."""

    def __init__(self, weights: Mapping[Node, float], size: int, digest: Digest) -> None:
        self.weights = weights
        self.table: Sequence[Node] = ()
        self._size = size
        self._digest = digest

    def run(self) -> None:
        """Build it."""
        nodes = sorted(self.weights, key=order)
        walks = [walk(order(node)[0], self._size, self._digest) for node in nodes]
        turns = in_turn([self.weights[node] for node in nodes])
        self.table = [nodes[index] for index in fill(walks, turns, self._size)]


def walk(name: bytes, size: int, digest: Digest) -> tuple[int, int]:
    """Where a backend begins to look for slots, and how far it goes each time."""
    return digest(name, 0) % size, digest(name, 1) % (size - 1) + 1


def in_turn(weights: Sequence[float]) -> Iterator[int]:
    """Whose turn it is, without end: the heaviest has one in each round, one of half its weight in every second."""
    heaviest = max(weights)
    if heaviest == min(weights):
        yield from cycle(range(len(weights)))
    apart = [min(heaviest / one, NEVER) for one in weights]  # rounds from one turn to the next
    due = [(1, index, 0) for index in range(len(weights))]
    while True:
        turn, index, taken = due[0]
        yield index
        heapreplace(due, (max(turn + 1, ceil((taken + 1) * apart[index])), index, taken + 1))


def fill(walks: Sequence[tuple[int, int]], turns: Iterable[int], size: int) -> list[int]:
    """Each takes the next free slot of its walk at each of its turns, until none is free."""
    table, taken, free = [0] * size, bytearray(size), size
    places = [place for place, _ in walks]
    for index in turns:
        place, skip = places[index], walks[index][1]
        while taken[place]:
            place += skip
            if place >= size:
                place -= size
        table[place], taken[place], places[index] = index, 1, place
        free -= 1
        if not free:
            break
    return table
